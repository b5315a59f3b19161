//! What an observed issue means: a pure function of what we knew, what we see and who did it.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::State;

mod withdrawn;

pub use withdrawn::put_on_at;
use withdrawn::{put_back, withdraw, withdrawn_for_a_while};

/// Acts of one person that lie no further apart are one act: GitLab writes an event a label.
const ONE_ACT: SignedDuration = SignedDuration::from_millis(10);
/// So is a closing or reopening with the labels that follow it: GitLab runs it first, as a change of its own
/// (fact sheet, 2.2), and the labels a moment later.
pub const CLOSING_THEN_LABELS: SignedDuration = SignedDuration::from_secs(3);

/// What the mirror says about a match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Where it stands.
    pub state: State,
    /// Whether its `job-match` label was taken off.
    pub withdrawn: bool,
    /// Whether the step back from sent is open.
    pub undo_sent: bool,
}

/// What a fresh read of the issue says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// Whether it carries `job-match`.
    pub is_match: bool,
    /// The state labels that it carries.
    pub states: BTreeSet<State>,
    /// Whether it is closed.
    pub closed: bool,
}

/// Something that a person did to the issue since we last looked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Act {
    /// When.
    pub at: Timestamp,
    /// Their username; none where GitLab does not say.
    pub by: Option<String>,
    /// What.
    pub what: What,
}

/// What a person did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Put a state label on.
    Add(State),
    /// Took a state label off.
    Remove(State),
    /// Took the label `job-match` off.
    Withdraw,
    /// Put the label `job-match` on.
    PutBack,
    /// Closed the issue.
    Close,
    /// Reopened it.
    Reopen,
}

/// Who may decide.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reviewers {
    /// Whether anybody else's decision is taken back.
    pub enforced: bool,
    /// Their usernames.
    pub usernames: Vec<String>,
}

impl Act {
    /// Whether it is what carrying out a decision to `state` looks like.
    pub fn is_part_of(&self, state: State) -> bool {
        match self.what {
            What::Add(added) => added == state,
            What::Remove(removed) => removed != state,
            What::Close => state.is_closed(),
            What::Reopen => !state.is_closed(),
            What::Withdraw | What::PutBack => false,
        }
    }
}

impl Reviewers {
    /// Whether somebody's decision counts; one who cannot be determined is no reviewer.
    pub fn may(&self, who: Option<&str>) -> bool {
        !self.enforced
            || who.is_some_and(|who| self.usernames.iter().any(|name| name.eq_ignore_ascii_case(who)))
    }
}

/// What is to be done about an issue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Where the match stands now.
    pub state: State,
    /// Whether it is withdrawn now.
    pub withdrawn: bool,
    /// The steps that led there, in their order; none where it stands where it stood.
    pub steps: Vec<Decided>,
    /// What was undone and why.
    pub refusal: Option<Refusal>,
    /// What to write into GitLab.
    pub repair: Repair,
}

/// A step that somebody took in GitLab.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// Where the match was.
    pub from: State,
    /// Where it went.
    pub to: State,
    /// Who; none where GitLab does not say.
    pub by: Option<String>,
    /// When; none where GitLab does not say.
    pub at: Option<Timestamp>,
}

/// Why something was undone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// Several state labels were put on at once.
    Ambiguous,
    /// The table has no such step.
    NotAllowed {
        /// Where the match is.
        from: State,
        /// Where it was to go.
        to: State,
    },
    /// An open issue was left without a state label.
    NoState,
    /// Somebody decided who is no reviewer.
    NoReviewer {
        /// Who; none where GitLab does not say.
        who: Option<String>,
    },
}

/// The difference between what is and what should be, in one write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repair {
    /// Put `job-match` on again.
    pub add_match: bool,
    /// The state label to put on.
    pub add: Option<State>,
    /// The state labels to take off.
    pub remove: Vec<State>,
    /// To close or to reopen.
    pub close: Option<bool>,
}

impl Verdict {
    /// The match stands where it stood, and nothing is to be done.
    fn nothing_happened(known: Known) -> Self {
        Self {
            state: known.state,
            withdrawn: false,
            steps: Vec::new(),
            refusal: None,
            repair: Repair::default(),
        }
    }

    /// The same of an issue that shows something else than what counts of it.
    pub fn repairing(self, shown: &Observed) -> Self {
        let repair = if self.withdrawn { self.repair } else { Repair::towards(self.state, shown) };
        Self { repair, ..self }
    }

    /// This one and what was found of the acts after those that it is about.
    fn and_then(self, next: Self, known: Known) -> Self {
        let mut steps = [self.steps, next.steps].concat();
        if next.state == known.state {
            steps.clear();
        }
        Self { steps, refusal: next.refusal.or(self.refusal), ..next }
    }
}

impl Repair {
    /// Whether everything is as it should be.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What makes an issue that looks like `observed` show `state`.
    pub fn towards(state: State, observed: &Observed) -> Self {
        Self {
            add_match: !observed.is_match,
            add: (!observed.states.contains(&state)).then_some(state),
            remove: observed.states.iter().copied().filter(|label| *label != state).collect(),
            close: (observed.closed != state.is_closed()).then_some(state.is_closed()),
        }
    }
}

impl Observed {
    /// How the issue looked before these acts, the last that were done to it.
    fn before(&self, acts: &[Act]) -> Self {
        let mut before = self.clone();
        for act in acts.iter().rev() {
            match act.what {
                What::Add(state) => drop(before.states.remove(&state)),
                What::Remove(state) => drop(before.states.insert(state)),
                What::Withdraw => before.is_match = true,
                What::PutBack => before.is_match = false,
                What::Close => before.closed = false,
                What::Reopen => before.closed = true,
            }
        }
        before
    }

    /// Whether the issue looks as a match in this state should: then nobody need be asked what happened.
    pub fn agrees_with(&self, known: Known) -> bool {
        self.is_match != known.withdrawn
            && (known.withdrawn
                || (self.states.len() == 1
                    && self.states.contains(&known.state)
                    && self.closed == known.state.is_closed()))
    }
}

/// What an observed issue means. `acts` are people's, in the order of their times; the service's own are left out.
pub fn decide(known: Known, observed: &Observed, acts: &[Act], reviewers: &Reviewers) -> Verdict {
    if !observed.is_match {
        return withdraw(known, observed, acts, reviewers);
    }
    if known.withdrawn {
        return put_back(known, observed, acts, reviewers);
    }
    let may_all = acts.iter().all(|act| reviewers.may(act.by.as_deref()));
    if observed.agrees_with(known) && may_all {
        return Verdict::nothing_happened(known);
    }
    if let Some(verdict) = withdrawn_for_a_while(known, observed, acts, reviewers) {
        return verdict;
    }
    let mut walk = match Walk::along(known, acts, reviewers) {
        walk if walk.refusal.is_some() || walk.explains(known, observed) => walk,
        _ => Walk::by_the_looks(known, observed, acts, reviewers),
    };
    if observed.agrees_with(known) && was_taken_back(&walk, acts, reviewers) {
        return Verdict::nothing_happened(known);
    }
    if walk.state == known.state {
        walk.steps.clear();
    }
    Verdict {
        state: walk.state,
        withdrawn: false,
        steps: walk.steps,
        // Who undid their own act is told nothing.
        refusal: walk.refusal.filter(|_| walk.state != known.state || !observed.agrees_with(known)),
        repair: Repair::towards(walk.state, observed),
    }
}

/// Whether somebody who may decide took the decision back to which strangers' acts were added.
fn was_taken_back(walk: &Walk, acts: &[Act], reviewers: &Reviewers) -> bool {
    let takes_it_off = |act: &&Act| act.what == What::Remove(walk.state);
    acts.iter().rfind(takes_it_off).is_some_and(|act| reviewers.may(act.by.as_deref()))
}

/// Where people's acts led, as far as they were allowed.
struct Walk {
    state: State,
    /// The states that labels of these acts may be left of.
    touched: BTreeSet<State>,
    /// The state labels that these acts leave.
    labels: BTreeSet<State>,
    steps: Vec<Decided>,
    refusal: Option<Refusal>,
}

impl Walk {
    fn start(state: State) -> Self {
        let on = BTreeSet::from([state]);
        Self { state, touched: on.clone(), labels: on, steps: Vec::new(), refusal: None }
    }

    /// Follows acts one by one, as the service would have had it been awake for each: one that is not allowed leaves
    /// the match where it is, and the next one counts.
    fn along(known: Known, acts: &[Act], reviewers: &Reviewers) -> Self {
        let mut walk = Self::start(known.state);
        for act in one_by_one(acts) {
            for part in act {
                match part.what {
                    What::Add(state) => walk.touched.extend(walk.labels.insert(state).then_some(state)),
                    What::Remove(state) => drop(walk.labels.remove(&state)),
                    What::Withdraw | What::PutBack | What::Close | What::Reopen => {}
                }
            }
            match walk.meaning(act) {
                Some(to) if to == walk.state => walk.stays(act, reviewers),
                Some(to) => {
                    // The moment of its label, where it has one: history is read back by labels.
                    let one = act.iter().find(|part| part.what == What::Add(to)).unwrap_or(&act[0]);
                    walk.step(to, one.by.clone(), Some(one.at), known.undo_sent, reviewers);
                }
                None => walk.refusal = Some(Refusal::Ambiguous),
            }
        }
        walk
    }

    /// An act that led nowhere. Who may not decide takes no label off that was decided for.
    fn stays(&mut self, act: &[Act], reviewers: &Reviewers) {
        let takes_off = |part: &&Act| part.what == What::Remove(self.state);
        let Some(part) = act.iter().find(takes_off) else { return };
        if !self.steps.is_empty() && !reviewers.may(part.by.as_deref()) {
            self.refusal = Some(Refusal::NoReviewer { who: part.by.clone() });
        }
    }

    /// Where one act wants to go; none where it wants several things at once.
    fn meaning(&self, act: &[Act]) -> Option<State> {
        let added: BTreeSet<State> = act
            .iter()
            .filter_map(|act| if let What::Add(state) = act.what { Some(state) } else { None })
            .filter(|state| *state != self.state)
            .collect();
        let mut added = added.into_iter();
        match (added.next(), added.next()) {
            (Some(_), Some(_)) => None,
            (Some(only), None) => Some(only),
            (None, _) => Some(act.iter().fold(self.state, |state, act| match act.what {
                What::Close => closed_by_hand(state),
                What::Reopen => reopened_by_hand(state),
                What::Add(_) | What::Remove(_) | What::Withdraw | What::PutBack => state,
            })),
        }
    }

    fn step(
        &mut self,
        to: State,
        by: Option<String>,
        at: Option<Timestamp>,
        undo_sent: bool,
        reviewers: &Reviewers,
    ) {
        if to == self.state {
            return;
        }
        if !reviewers.may(by.as_deref()) {
            self.refusal = Some(Refusal::NoReviewer { who: by });
        } else if !self.state.may_become(to, undo_sent) {
            self.refusal = Some(Refusal::NotAllowed { from: self.state, to });
        } else {
            self.steps.push(Decided { from: self.state, to, by, at });
            self.state = to;
            // What was refused before is over: the labels follow this step.
            self.refusal = None;
        }
    }

    /// Whether the walk ends where the issue is: otherwise we have not heard of everything.
    fn explains(&self, known: Known, observed: &Observed) -> bool {
        // A closing or reopening leaves the labels as they are.
        let as_they_left_them = observed.states == self.labels;
        !self.steps.is_empty()
            && (as_they_left_them
                || observed.states.is_subset(&self.touched)
                    && (observed.states.contains(&self.state)
                        || observed.states.is_empty()
                        || observed.states.contains(&known.state)))
    }

    /// Nobody can tell what happened: the labels and the closing speak for themselves.
    fn by_the_looks(known: Known, observed: &Observed, acts: &[Act], reviewers: &Reviewers) -> Self {
        let mut walk = Self::start(known.state);
        let mut new = observed.states.iter().copied().filter(|label| *label != known.state);
        let to = match (new.next(), new.next()) {
            (Some(_), Some(_)) => {
                walk.refusal = Some(Refusal::Ambiguous);
                return walk;
            }
            (Some(only), None) => only,
            (None, _) if observed.closed => closed_by_hand(known.state),
            (None, _) if known.state.is_closed() => reopened_by_hand(known.state),
            (None, _) if observed.states.is_empty() => {
                // Where nobody took it off, the label itself was deleted.
                let taken_off = acts.iter().any(|act| act.what == What::Remove(known.state));
                walk.refusal = taken_off.then_some(Refusal::NoState);
                return walk;
            }
            (None, _) => known.state,
        };
        // Where the copy that was read lags behind its events, there are acts that it does not show yet.
        let led_there = |act: &&Act| match act.what {
            What::Add(state) => state == to,
            What::Close => observed.closed && !observed.states.contains(&to),
            What::Reopen => !observed.closed && !observed.states.contains(&to),
            What::Remove(_) | What::Withdraw | What::PutBack => false,
        };
        let last = acts.iter().rfind(led_there).or(acts.last());
        walk.step(
            to,
            last.and_then(|act| act.by.clone()),
            last.map(|act| act.at),
            known.undo_sent,
            reviewers,
        );
        walk
    }
}

const fn closed_by_hand(state: State) -> State {
    match state {
        State::Pending | State::Approved => State::Rejected,
        closed => closed,
    }
}

/// Where reopening an issue leads.
pub const fn reopened_by_hand(state: State) -> State {
    match state {
        State::Rejected => State::Pending,
        State::Sent => State::Approved,
        open => open,
    }
}

/// What one person did in one go: labels at the same moment, or a closing or reopening and the labels that follow it.
fn one_by_one(acts: &[Act]) -> Vec<&[Act]> {
    let moves_issue = |act: &Act| matches!(act.what, What::Close | What::Reopen);
    let mut groups: Vec<&[Act]> = Vec::new();
    let mut first = 0;
    for next in 1..=acts.len() {
        let joins = acts.get(next).is_some_and(|act| {
            let last = &acts[next - 1];
            let pause = act.at.duration_since(last.at).abs();
            let follows = acts[first..next].iter().all(moves_issue) && !moves_issue(act);
            act.by == last.by && (pause <= ONE_ACT || (follows && pause <= CLOSING_THEN_LABELS))
        });
        if !joins {
            groups.push(&acts[first..next]);
            first = next;
        }
    }
    groups
}

#[cfg(test)]
mod tests;

//! What an observed issue means: a pure function of what we knew, what we see and who did it.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::State;

/// Acts of one person that lie no further apart are one act: GitLab writes an event a label.
const ONE_ACT: SignedDuration = SignedDuration::from_millis(10);
/// So is a closing or reopening with the labels that follow it: GitLab runs it first, as a change of its own
/// (fact sheet, 2.2), and the labels a moment later.
const CLOSING_THEN_LABELS: SignedDuration = SignedDuration::from_secs(3);

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
            What::Withdraw => false,
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
    /// The step that led there, if one did.
    pub step: Option<Decided>,
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
    if observed.agrees_with(known) {
        return Verdict {
            state: known.state,
            withdrawn: false,
            step: None,
            refusal: None,
            repair: Repair::default(),
        };
    }
    let walk = match Walk::along(known, acts, reviewers) {
        walk if walk.refusal.is_some() || walk.explains(known, observed) => walk,
        _ => Walk::by_the_looks(known, observed, acts, reviewers),
    };
    let step = walk.last.filter(|_| walk.state != known.state).map(|(by, at)| Decided {
        from: known.state,
        to: walk.state,
        by,
        at,
    });
    Verdict {
        state: walk.state,
        withdrawn: false,
        step,
        refusal: walk.refusal,
        repair: Repair::towards(walk.state, observed),
    }
}

fn withdraw(known: Known, observed: &Observed, acts: &[Act], reviewers: &Reviewers) -> Verdict {
    let stays =
        |refusal, repair| Verdict { state: known.state, withdrawn: false, step: None, refusal, repair };
    let taken_off = acts.iter().rev().find(|act| act.what == What::Withdraw);
    match taken_off {
        _ if known.withdrawn => {}
        Some(act) if reviewers.may(act.by.as_deref()) => {}
        Some(act) => {
            let refusal = Refusal::NoReviewer { who: act.by.clone() };
            return stays(Some(refusal), Repair::towards(known.state, observed));
        }
        // Nobody took it off: the label itself was deleted.
        None => return stays(None, Repair::towards(known.state, observed)),
    }
    Verdict { withdrawn: true, ..stays(None, Repair::default()) }
}

/// `job-match` is on again: the match is staged anew, in the state that its label says where somebody put it on who may.
fn put_back(known: Known, observed: &Observed, acts: &[Act], reviewers: &Reviewers) -> Verdict {
    let mut labels = observed.states.iter();
    let wanted = match (labels.next(), labels.next()) {
        (Some(only), None) => *only,
        _ => known.state,
    };
    let put_on = acts.iter().rev().find(|act| act.what == What::Add(wanted));
    let (by, at) = (put_on.and_then(|act| act.by.clone()), put_on.map(|act| act.at));
    let refusal = if wanted == known.state {
        None
    } else if !reviewers.may(by.as_deref()) {
        Some(Refusal::NoReviewer { who: by.clone() })
    } else if known.state == State::Sent && !known.undo_sent {
        // What has left is with the employer, whatever was withdrawn here meanwhile.
        Some(Refusal::NotAllowed { from: known.state, to: wanted })
    } else {
        None
    };
    let state = if refusal.is_none() { wanted } else { known.state };
    Verdict {
        state,
        withdrawn: false,
        refusal,
        step: (state != known.state).then_some(Decided { from: known.state, to: state, by, at }),
        repair: Repair::towards(state, observed),
    }
}

/// Where people's acts led, as far as they were allowed.
struct Walk {
    state: State,
    /// The states that labels of these acts may be left of.
    touched: BTreeSet<State>,
    last: Option<(Option<String>, Option<Timestamp>)>,
    refusal: Option<Refusal>,
}

impl Walk {
    fn start(state: State) -> Self {
        Self { state, touched: BTreeSet::from([state]), last: None, refusal: None }
    }

    /// Follows acts one by one, as the service would have had it been awake for each: one that is not allowed leaves
    /// the match where it is, and the next one counts.
    fn along(known: Known, acts: &[Act], reviewers: &Reviewers) -> Self {
        let mut walk = Self::start(known.state);
        for act in one_by_one(acts) {
            walk.touched.extend(act.iter().filter_map(|act| match act.what {
                What::Add(state) => Some(state),
                _ => None,
            }));
            match walk.meaning(act) {
                Some(to) => walk.step(to, act[0].by.clone(), Some(act[0].at), known.undo_sent, reviewers),
                None => walk.refusal = Some(Refusal::Ambiguous),
            }
        }
        walk
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
                What::Add(_) | What::Remove(_) | What::Withdraw => state,
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
            self.state = to;
            self.last = Some((by, at));
            // What was refused before is over: the labels follow this step.
            self.refusal = None;
        }
    }

    /// Whether the walk ends where the issue is: otherwise we have not heard of everything.
    fn explains(&self, known: Known, observed: &Observed) -> bool {
        self.last.is_some()
            && observed.states.is_subset(&self.touched)
            && (observed.states.contains(&self.state)
                || observed.states.is_empty()
                || observed.states.contains(&known.state))
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
                let taken_off = acts.iter().any(|act| matches!(act.what, What::Remove(_)));
                walk.refusal = taken_off.then_some(Refusal::NoState);
                return walk;
            }
            (None, _) => known.state,
        };
        let last = acts.last();
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

const fn reopened_by_hand(state: State) -> State {
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
mod tests {
    use super::*;

    use State::{Approved, Pending, Rejected, Sent};

    fn known(state: State) -> Known {
        Known { state, withdrawn: false, undo_sent: true }
    }

    fn seen(states: &[State], closed: bool) -> Observed {
        Observed { is_match: true, states: states.iter().copied().collect(), closed }
    }

    /// Acts a second apart; those in one slice at the same moment.
    fn acts(moments: &[(&str, &[What])]) -> Vec<Act> {
        let start: Timestamp = "2026-11-23T08:00:00Z".parse().unwrap();
        let mut acts = Vec::new();
        for (second, (by, whats)) in moments.iter().enumerate() {
            let at = start.checked_add(SignedDuration::from_secs(second as i64)).unwrap();
            acts.extend(whats.iter().map(|what| Act { at, by: Some((*by).to_owned()), what: *what }));
        }
        acts
    }

    fn anyone() -> Reviewers {
        Reviewers::default()
    }

    fn enforced() -> Reviewers {
        Reviewers { enforced: true, usernames: vec!["anna".into()] }
    }

    #[test]
    fn every_cell_of_the_table_by_an_added_label() {
        for from in State::ALL {
            for to in State::ALL.into_iter().filter(|to| *to != from) {
                let acts = acts(&[("anna", &[What::Add(to)])]);
                let verdict = decide(known(from), &seen(&[from, to], from.is_closed()), &acts, &anyone());
                if from.may_become(to, true) {
                    assert_eq!((verdict.state, &verdict.refusal), (to, &None), "{from} to {to}");
                    assert_eq!(verdict.step.unwrap().by.as_deref(), Some("anna"));
                    assert_eq!(verdict.repair.remove, [from]);
                    assert_eq!(
                        verdict.repair.close,
                        (from.is_closed() != to.is_closed()).then_some(to.is_closed())
                    );
                } else {
                    assert_eq!(verdict.state, from);
                    assert_eq!(verdict.refusal, Some(Refusal::NotAllowed { from, to }));
                    assert_eq!(verdict.repair.remove, [to]);
                }
            }
        }
    }

    #[test]
    fn a_dragged_card_is_a_step_and_needs_at_most_the_closing() {
        let verdict = decide(known(Pending), &seen(&[Approved], false), &[], &anyone());
        assert_eq!((verdict.state, verdict.repair), (Approved, Repair::default()));
        let verdict = decide(known(Pending), &seen(&[Rejected], false), &[], &anyone());
        assert_eq!(verdict.repair, Repair { close: Some(true), ..Repair::default() });
    }

    #[test]
    fn closing_rejects_and_reopening_undoes() {
        for (from, labels) in [(Pending, &[Pending][..]), (Approved, &[Approved]), (Pending, &[])] {
            let verdict =
                decide(known(from), &seen(labels, true), &acts(&[("anna", &[What::Close])]), &anyone());
            assert_eq!((verdict.state, verdict.refusal, verdict.repair.close), (Rejected, None, None));
        }
        let reopened = acts(&[("anna", &[What::Reopen])]);
        let verdict = decide(known(Rejected), &seen(&[Rejected], false), &reopened, &anyone());
        assert_eq!((verdict.state, verdict.repair.add), (Pending, Some(Pending)));
        let verdict = decide(known(Sent), &seen(&[Sent], false), &reopened, &anyone());
        assert_eq!(verdict.state, Approved);
        let sent_by_us = Known { undo_sent: false, ..known(Sent) };
        let verdict = decide(sent_by_us, &seen(&[Sent], false), &reopened, &anyone());
        assert_eq!(verdict.refusal, Some(Refusal::NotAllowed { from: Sent, to: Approved }));
        assert_eq!(verdict.repair.close, Some(true));
    }

    #[test]
    fn closing_as_approved_with_sent_already_on_is_sent() {
        let acts = acts(&[("anna", &[What::Add(Sent)]), ("anna", &[What::Close])]);
        let verdict = decide(known(Approved), &seen(&[Approved, Sent], true), &acts, &anyone());
        assert_eq!((verdict.state, verdict.repair.remove), (Sent, vec![Approved]));
    }

    #[test]
    fn two_labels_at_once_are_ambiguous_and_one_after_the_other_are_steps() {
        let at_once = acts(&[("anna", &[What::Add(Approved), What::Add(Rejected)])]);
        let all = seen(&[Pending, Approved, Rejected], false);
        let verdict = decide(known(Pending), &all, &at_once, &anyone());
        assert_eq!((verdict.state, verdict.refusal), (Pending, Some(Refusal::Ambiguous)));
        assert_eq!(verdict.repair.remove, [Approved, Rejected]);
        let in_turn = acts(&[("anna", &[What::Add(Approved)]), ("anna", &[What::Add(Rejected)])]);
        assert_eq!(decide(known(Pending), &all, &in_turn, &anyone()).state, Rejected);
        assert_eq!(decide(known(Pending), &all, &[], &anyone()).refusal, Some(Refusal::Ambiguous));
    }

    #[test]
    fn steps_made_while_we_slept_are_followed_in_their_order() {
        let acts = acts(&[("anna", &[What::Add(Approved)]), ("anna", &[What::Add(Sent)])]);
        assert_eq!(decide(known(Pending), &seen(&[Sent], false), &acts, &anyone()).state, Sent);
        let direct = decide(known(Pending), &seen(&[Sent], false), &acts[1..], &anyone());
        assert_eq!(direct.refusal, Some(Refusal::NotAllowed { from: Pending, to: Sent }));
    }

    #[test]
    fn an_open_issue_without_a_state_label_gets_it_back() {
        let taken_off = acts(&[("anna", &[What::Remove(Approved)])]);
        let verdict = decide(known(Approved), &seen(&[], false), &taken_off, &anyone());
        assert_eq!((verdict.refusal, verdict.repair.add), (Some(Refusal::NoState), Some(Approved)));
        // The label itself was deleted: nobody did anything wrong.
        let verdict = decide(known(Approved), &seen(&[], false), &[], &anyone());
        assert_eq!((verdict.refusal, verdict.repair.add), (None, Some(Approved)));
        let verdict = decide(known(Sent), &seen(&[], true), &[], &anyone());
        assert_eq!((verdict.state, verdict.refusal, verdict.repair.add), (Sent, None, Some(Sent)));
    }

    #[test]
    fn only_reviewers_decide_where_that_is_enforced() {
        let by = |who| acts(&[(who, &[What::Add(Approved)][..])]);
        let both = seen(&[Pending, Approved], false);
        assert_eq!(decide(known(Pending), &both, &by("Anna"), &enforced()).state, Approved);
        let verdict = decide(known(Pending), &both, &by("eve"), &enforced());
        assert_eq!((verdict.state, verdict.step), (Pending, None));
        assert_eq!(verdict.refusal, Some(Refusal::NoReviewer { who: Some("eve".into()) }));
        let unknown = decide(known(Pending), &both, &[], &enforced());
        assert_eq!(unknown.refusal, Some(Refusal::NoReviewer { who: None }));
        let closed = acts(&[("eve", &[What::Close])]);
        let verdict = decide(known(Pending), &seen(&[Pending], true), &closed, &enforced());
        assert_eq!((verdict.state, verdict.repair.close), (Pending, Some(false)));
        let gone = Observed { is_match: false, ..both };
        let withdrawn = acts(&[("eve", &[What::Withdraw])]);
        assert!(decide(known(Pending), &gone, &withdrawn, &enforced()).repair.add_match);
        assert!(decide(known(Pending), &gone, &withdrawn, &anyone()).withdrawn);
    }

    #[test]
    fn put_back_it_stands_where_its_label_says() {
        let withdrawn = Known { withdrawn: true, ..known(Approved) };
        assert_eq!(decide(withdrawn, &seen(&[Rejected], false), &[], &anyone()).state, Rejected);
        assert_eq!(decide(withdrawn, &seen(&[], false), &[], &anyone()).state, Approved);
        let by = |who| acts(&[(who, &[What::Add(Rejected)][..])]);
        let by_anna = decide(withdrawn, &seen(&[Rejected], false), &by("anna"), &enforced());
        assert_eq!((by_anna.state, by_anna.step.unwrap().by.as_deref()), (Rejected, Some("anna")));
        let by_eve = decide(withdrawn, &seen(&[Rejected], false), &by("eve"), &enforced());
        assert_eq!(by_eve.refusal, Some(Refusal::NoReviewer { who: Some("eve".into()) }));
        assert_eq!((by_eve.state, by_eve.repair.add), (Approved, Some(Approved)));
        let left = Known { withdrawn: true, undo_sent: false, ..known(Sent) };
        let back =
            decide(left, &seen(&[Approved], false), &acts(&[("anna", &[What::Add(Approved)])]), &anyone());
        assert_eq!(
            (back.state, back.refusal),
            (Sent, Some(Refusal::NotAllowed { from: Sent, to: Approved }))
        );
    }

    #[test]
    fn where_nobody_took_job_match_off_the_label_was_deleted() {
        let gone = Observed { is_match: false, ..seen(&[Approved], false) };
        let verdict = decide(known(Approved), &gone, &[], &anyone());
        assert!(!verdict.withdrawn && verdict.repair.add_match);
        let taken_off = acts(&[("anna", &[What::Withdraw])]);
        assert!(decide(known(Approved), &gone, &taken_off, &anyone()).withdrawn);
    }

    #[test]
    fn after_an_act_that_is_not_allowed_the_next_one_counts() {
        let in_turn = acts(&[("anna", &[What::Add(Sent)]), ("anna", &[What::Add(Approved)])]);
        let verdict = decide(known(Pending), &seen(&[Approved], false), &in_turn, &anyone());
        assert_eq!((verdict.state, verdict.refusal), (Approved, None));
        let strangers_first = acts(&[("eve", &[What::Add(Approved)]), ("anna", &[What::Add(Rejected)])]);
        let verdict =
            decide(known(Pending), &seen(&[Approved, Rejected], false), &strangers_first, &enforced());
        assert_eq!((verdict.state, verdict.refusal, verdict.repair.remove), (Rejected, None, vec![Approved]));
        let stranger_last = acts(&[("anna", &[What::Add(Approved)]), ("eve", &[What::Add(Rejected)])]);
        let verdict =
            decide(known(Pending), &seen(&[Approved, Rejected], false), &stranger_last, &enforced());
        assert_eq!(verdict.state, Approved);
        assert_eq!(verdict.refusal, Some(Refusal::NoReviewer { who: Some("eve".into()) }));
    }

    #[test]
    fn a_closing_and_the_labels_that_follow_it_are_one_act() {
        let start: Timestamp = "2026-11-23T08:00:00Z".parse().unwrap();
        let act = |millis, what| Act {
            at: start.checked_add(SignedDuration::from_millis(millis)).unwrap(),
            by: Some("anna".to_owned()),
            what,
        };
        let decided = |from, seen_now: &Observed, acts: &[Act]| {
            let verdict = decide(known(from), seen_now, acts, &anyone());
            (verdict.state, verdict.refusal)
        };
        // `sent` put on and closed in one request: GitLab closes first.
        let closed_as_sent = [act(0, What::Close), act(40, What::Add(Sent))];
        assert_eq!(decided(Approved, &seen(&[Approved, Sent], true), &closed_as_sent), (Sent, None));
        // A card dragged out of the Closed column: a step from the old state.
        let to_pending = [act(0, What::Reopen), act(40, What::Add(Pending))];
        let refused = Refusal::NotAllowed { from: Sent, to: Pending };
        assert_eq!(decided(Sent, &seen(&[Pending], false), &to_pending), (Sent, Some(refused)));
        let to_sent = [act(0, What::Reopen), act(40, What::Remove(Rejected)), act(40, What::Add(Sent))];
        let refused = Refusal::NotAllowed { from: Rejected, to: Sent };
        assert_eq!(decided(Rejected, &seen(&[Sent], false), &to_sent), (Rejected, Some(refused)));
        // Approved, and then thought better of: two acts.
        let then_closed = [act(0, What::Add(Approved)), act(900, What::Close)];
        assert_eq!(decided(Pending, &seen(&[Pending, Approved], true), &then_closed), (Rejected, None));
    }

    #[test]
    fn whatever_is_seen_the_repair_leads_to_one_label_and_a_second_look_finds_nothing() {
        let subsets = (0..16u8).map(|bits| {
            State::ALL
                .into_iter()
                .enumerate()
                .filter(move |(i, _)| bits >> i & 1 == 1)
                .map(|(_, s)| s)
                .collect()
        });
        for labels in subsets.collect::<Vec<Vec<State>>>() {
            for from in State::ALL {
                for closed in [true, false] {
                    for reviewers in [anyone(), enforced()] {
                        let observed = seen(&labels, closed);
                        let verdict = decide(known(from), &observed, &[], &reviewers);
                        let after = apply(&observed, &verdict.repair);
                        let now = Known { state: verdict.state, ..known(from) };
                        assert!(after.agrees_with(now), "{from} {labels:?} {closed}");
                        assert_eq!(decide(now, &after, &[], &reviewers).repair, Repair::default());
                    }
                }
            }
        }
    }

    fn apply(observed: &Observed, repair: &Repair) -> Observed {
        let mut after = observed.clone();
        after.is_match |= repair.add_match;
        after.states.extend(repair.add);
        after.states.retain(|label| !repair.remove.contains(label));
        after.closed = repair.close.unwrap_or(after.closed);
        after
    }
}

//! Label events followed one by one: where they led, and what of them is still open.

mod closings;
mod verdicts;
mod withdrawal;

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::Life;
use crate::domain::State;
use crate::domain::decide::{Act, What, reopened_by_hand};
use crate::domain::history::{Step, Through};
use crate::engine::Connected;
use crate::engine::texts::decision_of;
use crate::gitlab::events::{LabelAction, LabelEvent, StateEvent};
use verdicts::steps_of;
use withdrawal::UntilWithdrawn;

/// GitLab's own clocks may differ by so much.
const SKEW: SignedDuration = SignedDuration::from_secs(2);

/// Follows label events: whenever exactly one state label is on, and it is another than before, that is a step.
pub(super) struct Replay<'a> {
    life: &'a Life<'a>,
    /// Who closed and reopened the issue, oldest first; asked for where the labels alone do not tell.
    closings: Option<&'a [StateEvent]>,
    needs_closings: bool,
    on: Vec<(State, LabelEvent)>,
    state: State,
    steps: Vec<Step>,
    /// Those of them, by place, with which the service followed a closing or reopening: who did that stands elsewhere.
    followed: BTreeSet<usize>,
    /// Whether the labels have shown exactly one state yet.
    has_settled: bool,
    /// Whether GitLab has forgotten, since they last did, what an event was about: its label was deleted.
    has_forgotten: bool,
    /// What people did since they last did, by the number of its event.
    acts: Vec<(u64, Act)>,
    /// Everything that people did.
    all_acts: Vec<Act>,
    /// The last event of a state label.
    last_event: u64,
    /// The moment that has just ended.
    moment: Timestamp,
    /// Whether a label of ours was moved in it: people have others too.
    touched: bool,
    match_label: MatchLabel,
    /// What was decided before it was last taken off; taken over once it is back with one label.
    before_withdrawal: Option<UntilWithdrawn>,
    /// When `job-match` was put on last that was off before.
    put_back_at: Option<Timestamp>,
    /// How it stood, oldest first, since the last label of ours: there the service saw how it stands.
    stood: Vec<Stood>,
    /// Whether the last label was ours: where people's labels show one state after it, the service has followed them.
    moved_by_us: bool,
    /// Whether the last one of an earlier moment was.
    moved_by_us_before: bool,
}

/// How the label `job-match` stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum MatchLabel {
    On,
    /// Labels may be moved freely, and count as they are once it is on again.
    Off,
    /// In this moment, after it was off.
    PutBack,
}

/// How a match stood from a moment on.
#[derive(Clone, Copy)]
struct Stood {
    state: State,
    /// After how many steps.
    steps: usize,
    since: Timestamp,
    /// When its label was the only one last: what was done before is over.
    shown_at: Timestamp,
}

/// What people did that led to a state.
struct Way {
    /// The steps that their labels were.
    led: Option<Vec<Step>>,
    /// Whether one of them put the label of that state on.
    was_put_on: bool,
    /// The closing or reopening by one who may, where that led there.
    closed: Option<Step>,
}

impl Way {
    fn is_by_nobody(&self) -> bool {
        self.led.is_none() && self.closed.is_none()
    }
}

/// Where the label events led.
pub(super) struct Replayed {
    pub(super) state: State,
    pub(super) steps: Vec<Step>,
    /// Those of them, by place, with which the service followed a closing or reopening.
    pub(super) followed: BTreeSet<usize>,
    pub(super) open_acts: Vec<Act>,
    /// Whether the labels alone do not tell everything.
    pub(super) needs_closings: bool,
}

impl<'a> Replay<'a> {
    pub(super) fn new(life: &'a Life<'a>, closings: Option<&'a [StateEvent]>) -> Self {
        let is_off = life.is_adopted && life.was_put_on;
        Self {
            life,
            closings,
            needs_closings: false,
            on: Vec::new(),
            state: State::Pending,
            steps: Vec::new(),
            followed: BTreeSet::new(),
            has_settled: false,
            has_forgotten: false,
            acts: Vec::new(),
            all_acts: Vec::new(),
            last_event: 0,
            moment: Timestamp::MIN,
            touched: false,
            match_label: if is_off { MatchLabel::Off } else { MatchLabel::On },
            before_withdrawal: None,
            put_back_at: None,
            stood: Vec::new(),
            moved_by_us: false,
            moved_by_us_before: false,
        }
    }

    pub(super) fn end(mut self) -> Replayed {
        if self.match_label == MatchLabel::Off {
            self.take_steps_until_withdrawn();
        }
        let Self { state, steps, followed, acts, needs_closings, .. } = self;
        let open_acts = acts.into_iter().map(|(_, act)| act).collect();
        Replayed { state, steps, followed, open_acts, needs_closings }
    }

    /// What somebody did with the label of an event.
    pub(super) fn note_act(&mut self, event: &LabelEvent, act: Act) {
        self.all_acts.push(act.clone());
        self.acts.push((event.id, act));
    }

    pub(super) fn label(&mut self, state: State, event: &LabelEvent) {
        self.touched = true;
        self.last_event = event.id;
        self.moved_by_us = self.life.connected.is_ours(event.user.as_ref());
        self.on.retain(|(on, _)| *on != state);
        if event.action == LabelAction::Add {
            self.on.push((state, event.clone()));
        }
    }

    /// `at` is its time, `next` what comes after it.
    pub(super) fn end_of_moment(&mut self, at: Timestamp, next: Option<(State, &LabelEvent)>) {
        self.moment = at;
        if self.match_label != MatchLabel::Off {
            self.settle(next);
        }
        if self.moved_by_us {
            // One write of ours may be several events.
            if self.on.len() <= 1 {
                self.stood.clear();
            }
            self.moved_by_us_before = true;
        }
        let is_shown = matches!(self.on.as_slice(), [(alone, _)] if *alone == self.state);
        let is_shown = std::mem::take(&mut self.touched) && is_shown;
        let put_back_at = self.put_back_at;
        match self.stood.last_mut().filter(|stood| stood.state == self.state) {
            // Of what was put back, everything that was done since is judged.
            Some(stood) if is_shown && put_back_at.is_none_or(|at| at < stood.since) => stood.shown_at = at,
            Some(_) => {}
            None => {
                let (state, steps) = (self.state, self.steps.len());
                self.stood.push(Stood { state, steps, since: at, shown_at: at });
            }
        }
        if self.match_label == MatchLabel::PutBack {
            self.match_label = MatchLabel::On;
        }
    }

    /// GitLab forgets which label an event was about once that is deleted. What we wrote just before tells; and with it
    /// we took every other state label off.
    pub(super) fn deleted_label(&mut self, event: &LabelEvent) {
        self.has_forgotten = true;
        if event.action != LabelAction::Add || !self.life.connected.is_ours(event.user.as_ref()) {
            return;
        }
        let from = self.state;
        let decided = State::ALL.into_iter().filter_map(|to| self.decision_before(event, from, to));
        if let Some(decision) = decided.max_by_key(|decision| (decision.at <= event.created_at, decision.at))
        {
            self.on.clear();
            self.label(decision.to, event);
        }
    }

    fn settle(&mut self, next: Option<(State, &LabelEvent)>) {
        let Some((state, event)) = self.shown() else { return };
        if self.match_label == MatchLabel::PutBack {
            self.take_steps_until_withdrawn();
        }
        if self.has_settled && self.is_against_the_rules(state, &event) {
            if !self.is_taken_back(state, next) {
                self.see_what_the_service_saw(state, &event, next);
            }
            return;
        }
        // What the service did it did after looking at everything.
        if self.has_settled && state == self.state && !self.moved_by_us && self.is_hidden() {
            return;
        }
        let way = self.way_to(state, &event, next);
        let is_known = self.has_settled || self.life.is_adopted;
        if is_known && way.is_by_nobody() && self.is_a_strangers(state, &event, next) {
            return;
        }
        let is_first = !std::mem::replace(&mut self.has_settled, true);
        self.has_forgotten = false;
        self.acts.retain(|(event, _)| *event > self.last_event);
        if state != self.state {
            self.go(way, state, &event, is_first);
        }
    }

    /// The one state label that is on.
    fn shown(&self) -> Option<(State, LabelEvent)> {
        match self.on.as_slice() {
            [alone] => Some(alone.clone()),
            several => self.decided_beside(several).cloned(),
        }
    }

    fn way_to(&mut self, to: State, event: &LabelEvent, next: Option<(State, &LabelEvent)>) -> Way {
        // What nobody is named for was told by the looks alone: of a label that is older than the withdrawal its own event
        // tells who put it on.
        let led = self.led_to(to).filter(|led| led.iter().all(|step| !step.by.is_empty()));
        let was_put_on = self.acts.iter().any(|(_, act)| act.what == What::Add(to));
        Way { led, was_put_on, closed: self.closed_by_one_who_may(to, event, next) }
    }

    /// To another state than before.
    fn go(&mut self, way: Way, to: State, event: &LabelEvent, is_first: bool) {
        let is_by_nobody = way.is_by_nobody();
        if self.was_made_in(to, event, is_first) || (is_by_nobody && self.was_adopted_in(event)) {
            self.begin_in(to);
            return;
        }
        let ours = self.decision_before(event, self.state, to).map(|step| vec![step]);
        let is_none = is_by_nobody && ours.is_none() && !self.state.may_become(to, true);
        if self.moved_by_us
            && is_none
            && self.is_on_and_ours_alone()
            && self.went_as_the_service_saw(to, event)
        {
            return;
        }
        let steps = self.steps_by_label(way, ours, to, event);
        let from = std::mem::replace(&mut self.state, to);
        match steps {
            Some(steps) => self.steps.extend(steps),
            None => self.follow_without_a_label(from, to, event),
        }
    }

    /// This is the state that the issue was made or adopted in; whatever led there were no steps.
    fn begin_in(&mut self, state: State) {
        self.steps.clear();
        self.followed.clear();
        self.state = state;
    }

    /// Whether the match is not withdrawn, and nobody but the service moves labels under its name.
    fn is_on_and_ours_alone(&self) -> bool {
        self.match_label == MatchLabel::On && !self.life.connected.is_a_reviewers_token()
    }

    /// The steps that this label is; `ours` is the decision that it carries out where it is ours. None where a label of
    /// ours follows something else.
    fn steps_by_label(
        &mut self,
        way: Way,
        ours: Option<Vec<Step>>,
        to: State,
        event: &LabelEvent,
    ) -> Option<Vec<Step>> {
        let Way { led, was_put_on, closed } = way;
        let by_us = self.life.connected.is_ours(event.user.as_ref());
        match (by_us, self.life.connected.is_a_reviewers_token()) {
            (false, _) => {
                // A stranger may have put the label on that we were about to.
                let ours = ours.filter(|_| self.is_of_a_stranger(event));
                led.or(closed.map(|step| vec![step])).or(ours).or_else(|| Some(self.theirs(to, event)))
            }
            (true, true) => ours.or_else(|| Some(self.theirs(to, event))),
            // Where nobody put that label on, a closing or reopening led there, at its own time.
            (true, false) => ours.or(led.filter(|led| was_put_on || led.len() > 1)),
        }
    }

    /// Whether this is the state that the issue was made or adopted in, which is no step.
    fn was_made_in(&self, state: State, event: &LabelEvent, is_first: bool) -> bool {
        if self.life.is_adopted {
            // The service had not taken it in yet when somebody moved it on who may not, or by no step.
            let is_none = self.moved_by_us && !self.state.may_become(state, true);
            return is_first || (self.steps.is_empty() && (is_none || self.is_of_a_stranger(event)));
        }
        let by_us = self.life.connected.is_ours(event.user.as_ref());
        let when_made = self.life.made_until.is_some_and(|until| event.created_at <= until);
        is_first && by_us && when_made && self.decision_before(event, self.state, state).is_none()
    }

    /// Whether our first labels on an issue made by hand left this one of a person's, by which nobody decided: whatever came
    /// before was not followed, and it was adopted so.
    fn was_adopted_in(&self, event: &LabelEvent) -> bool {
        let is_the_first = self.moved_by_us && !self.moved_by_us_before;
        self.life.is_adopted && is_the_first && !self.life.connected.is_ours(event.user.as_ref())
    }

    /// The step of whoever put a label on; and before it a reopening, where that alone opened the way.
    fn theirs(&mut self, to: State, event: &LabelEvent) -> Vec<Step> {
        let is_none = !self.state.may_become(to, true);
        self.needs_closings |= is_none;
        let reopened = self.reopened_before(event).filter(|step| is_none && step.to.may_become(to, true));
        let from = reopened.as_ref().map_or(self.state, |step| step.to);
        let by = event.user.as_ref().map(|user| user.username.clone()).unwrap_or_default();
        // A label that had been followed, and another step after it, counts again from when the match was put back.
        let is_past = self.match_label == MatchLabel::PutBack
            && self.steps.last().is_some_and(|last| last.at >= event.created_at);
        let at = self.put_back_at.filter(|_| is_past).unwrap_or(event.created_at);
        let step = Step { from, to, by, at, through: Through::Gitlab, comment: None };
        reopened.into_iter().chain([step]).collect()
    }

    /// A label of ours that nobody's label led to: it takes a step back, or follows a closing or reopening.
    fn follow_without_a_label(&mut self, from: State, to: State, event: &LabelEvent) {
        let put_back_at = self.put_back_at.filter(|_| self.match_label == MatchLabel::PutBack);
        if let Some(at) = put_back_at.filter(|at| event.created_at < *at) {
            // Ours of long ago counts again.
            let step = Step { from, to, by: String::new(), at, through: Through::Gitlab, comment: None };
            self.steps.push(step);
        } else if self.was_taken_back(from, to, event) {
            // Neither happened.
            self.steps.pop();
            self.followed.remove(&self.steps.len());
        } else if !self.was_taken_in(from, to, event) {
            self.needs_closings = true;
            let from = self.stood_before_the_label(from, to);
            let (by, at) = (String::new(), event.created_at);
            self.followed.insert(self.steps.len());
            self.steps.push(Step { from, to, by, at, through: Through::Gitlab, comment: None });
        }
    }

    /// Whether our label is that with which the service took in an issue made by hand, whatever its maker had put on.
    fn was_taken_in(&mut self, from: State, to: State, event: &LabelEvent) -> bool {
        let is_one = to == State::Pending || !from.may_become(to, true);
        if !self.life.is_adopted || !self.steps.is_empty() || !is_one {
            return false;
        }
        // Or one that was taken in as rejected was reopened since.
        self.needs_closings |= from == State::Rejected;
        let by_hand = |one: &StateEvent| {
            let ours = self.life.connected.is_ours(one.user.as_ref());
            !one.closes() && !ours && one.created_at <= event.created_at
        };
        from != State::Rejected || !self.closings.into_iter().flatten().any(by_hand)
    }

    /// Of several labels that which we have just put on to carry a decision out: the others were not seen then.
    fn decided_beside<'l>(&self, several: &'l [(State, LabelEvent)]) -> Option<&'l (State, LabelEvent)> {
        several.last().filter(|(state, event)| {
            let is_new = *state != self.state && self.moved_by_us;
            let is_ours = is_new && self.life.connected.is_ours(event.user.as_ref());
            is_ours && self.decision_before(event, self.state, *state).is_some()
        })
    }

    /// Whether a label was put on by somebody who may not decide.
    fn is_of_a_stranger(&self, event: &LabelEvent) -> bool {
        let who = event.user.as_ref().map(|user| user.username.as_str());
        !self.life.connected.is_ours(event.user.as_ref()) && !self.life.reviewers.may(who)
    }

    /// Whether somebody decided, and a stranger took the label off again so that nothing shows.
    fn is_hidden(&self) -> bool {
        let may = |(_, act): &(u64, Act)| self.life.reviewers.may(act.by.as_deref());
        let acts = self.open_acts();
        !self.acts.iter().all(may)
            && self.verdict_of(self.known(self.state, &acts), &acts, self.state).state != self.state
    }

    /// A step that is none, which people made and the service has not taken back yet: what they did since is open. Where
    /// GitLab has forgotten what came between, nobody can tell.
    fn is_against_the_rules(&mut self, to: State, event: &LabelEvent) -> bool {
        let undo_sent = self.life.sent_since.is_none_or(|since| event.created_at <= since);
        // While it is withdrawn labels may be moved freely, but for what has left.
        let is_withdrawn = self.match_label != MatchLabel::On;
        let binds = !is_withdrawn || (self.state == State::Sent && !undo_sent);
        if self.has_forgotten
            || self.moved_by_us
            || !binds
            || to == self.state
            || self.state.may_become(to, undo_sent)
        {
            return false;
        }
        if self.led_to(to).is_some() {
            return false;
        }
        let reopened = reopened_by_hand(self.state);
        let opens_a_way = self.state.may_become(reopened, undo_sent) && reopened.may_become(to, undo_sent);
        self.needs_closings |= opens_a_way;
        !(opens_a_way && self.reopened_before(event).is_some())
    }

    /// Whether the service put the label of where the match stands on again next.
    fn is_taken_back(&self, to: State, next: Option<(State, &LabelEvent)>) -> bool {
        next.is_some_and(|(next, label)| {
            next == self.state
                && self.life.connected.is_ours(label.user.as_ref())
                && self.decision_before(label, to, next).is_none()
        })
    }

    /// The steps there that people's labels were, those too which did not stand alone: beside others, or taken off again
    /// before the service came to them.
    fn led_to(&self, to: State) -> Option<Vec<Step>> {
        let acts = self.open_acts();
        let steps = steps_of(&acts, self.verdict_of(self.known(self.state, &acts), &acts, to));
        steps.last().is_some_and(|last| last.to == to).then_some(steps)
    }

    fn open_acts(&self) -> Vec<Act> {
        self.acts.iter().map(|(_, act)| act.clone()).collect()
    }

    /// The decision made through the service that this label event carried out.
    fn decision_before(&self, event: &LabelEvent, from: State, to: State) -> Option<Step> {
        // Each is carried out once, however long after its comment, unless the match went on meanwhile.
        let went_on = self.steps.last().map(|step| step.at).max(self.put_back_at);
        let is_it = |step: &Step| {
            let is_open = went_on.is_none_or(|at| at.duration_since(step.at) <= SKEW);
            step.from == from && step.to == to && is_open && !self.steps.contains(step)
        };
        let written = self.life.notes.iter();
        let written = written.filter(|note| note.created_at.duration_since(event.created_at) <= SKEW);
        let decisions: Vec<Step> = written.filter_map(decision_of).filter(is_it).collect();
        // The last one before it; GitLab's own clocks may differ a little.
        let before = decisions.iter().rfind(|step| step.at <= event.created_at);
        before.or(decisions.first()).cloned()
    }
}

/// Whether two events are of one write. Ours puts one state label on, and that first.
pub(super) fn is_one_moment(connected: &Connected, one: &LabelEvent, next: &LabelEvent) -> bool {
    let ours = connected.is_ours(next.user.as_ref());
    let begins = ours && !connected.is_a_reviewers_token() && next.action == LabelAction::Add;
    one.user == next.user && one.created_at == next.created_at && !begins
}

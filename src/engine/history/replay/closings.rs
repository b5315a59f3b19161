//! What closings and reopenings tell where the labels alone do not: who closed, what the service followed, and what it had
//! seen when it did.

use jiff::Timestamp;

use super::verdicts::steps_of;
use super::{Replay, Stood};
use crate::domain::State;
use crate::domain::decide::{Act, CLOSING_THEN_LABELS, Known, What, reopened_by_hand};
use crate::domain::history::{Step, Through};
use crate::engine::acts::state_act;
use crate::engine::texts::decision_of;
use crate::gitlab::draft_text;
use crate::gitlab::events::{LabelEvent, StateEvent};
use crate::gitlab::notes::Note;

impl Replay<'_> {
    /// The step of somebody who may and had closed or reopened the issue, where a stranger put the label of that on.
    pub(super) fn closed_by_one_who_may(
        &mut self,
        to: State,
        event: &LabelEvent,
        next: Option<(State, &LabelEvent)>,
    ) -> Option<Step> {
        if !closed_or_opened(self.state, to) || !self.is_of_a_stranger(event) {
            return None;
        }
        self.needs_closings = true;
        let until = time_of(next);
        let last = self.closings?.iter().rfind(|one| one.created_at <= until)?;
        self.step_by_hand(last, to).filter(|_| last.closes() == to.is_closed())
    }

    /// The step that somebody made by closing or reopening the issue, where they may and it came after the last one.
    fn step_by_hand(&self, one: &StateEvent, to: State) -> Option<Step> {
        let by = one.user.as_ref().map(|user| user.username.as_str());
        let is_new = self.steps.last().is_none_or(|step| step.at < one.created_at);
        let is_theirs = !self.life.connected.is_ours(one.user.as_ref()) && self.life.reviewers.may(by);
        (is_new && is_theirs).then(|| Step {
            from: self.state,
            to,
            by: by.unwrap_or_default().to_owned(),
            at: one.created_at,
            through: Through::Gitlab,
            comment: None,
        })
    }

    /// Where the match stood before a closing or reopening that the service followed. Where that leads nowhere from its
    /// last label, it came before that label, which the service took back.
    pub(super) fn stood_before_the_label(&mut self, from: State, to: State) -> State {
        let last = self.steps.last().filter(|last| last.through == Through::Gitlab);
        let is_none = |from: State| !from.may_become(to, true);
        match last.map(|last| last.from).filter(|before| is_none(from) && !is_none(*before)) {
            Some(before) => {
                self.steps.pop();
                self.followed.remove(&self.steps.len());
                before
            }
            None => from,
        }
    }

    /// Whether our label undoes the last step, rather than that it follows somebody's closing or reopening.
    pub(super) fn was_taken_back(&self, from: State, to: State, event: &LabelEvent) -> bool {
        let last = self.steps.last().filter(|last| last.from == to && last.through == Through::Gitlab);
        let Some(last) = last else { return false };
        let Some(closings) = self.closings.filter(|_| closed_or_opened(from, to)) else {
            return !closed_or_opened(from, to);
        };
        let between = |one: &StateEvent| one.created_at >= last.at && one.created_at <= event.created_at;
        let theirs = |one: &StateEvent| !self.life.connected.is_ours(one.user.as_ref()) && between(one);
        !closings.iter().any(|one| one.closes() == to.is_closed() && theirs(one))
    }

    /// A step of somebody who may not decide that the service has not come to yet: that is open.
    pub(super) fn is_a_strangers(
        &mut self,
        to: State,
        event: &LabelEvent,
        next: Option<(State, &LabelEvent)>,
    ) -> bool {
        if to == self.state || self.moved_by_us {
            return false;
        }
        let life = self.life;
        if life.reviewers.may(event.user.as_ref().map(|user| user.username.as_str())) {
            return false;
        }
        // A label of while it was withdrawn counts from when it was put back.
        let since = self.put_back_at.map_or(event.created_at, |at| at.max(event.created_at));
        // Reviewers change. Of what was followed when it was done, the service went on.
        let went_on = |note: &Note| {
            let is_about_it = decision_of(note).is_some_and(|decision| decision.from == to)
                || draft_text::read_attempt(note).is_some()
                || draft_text::is_draft(&note.body).is_some();
            note.created_at > since && is_about_it
        };
        let closes_or_opens = to.is_closed() != self.state.is_closed();
        self.needs_closings |= closes_or_opens;
        // What is closed or reopened after the next label says nothing of this one; one write of ours may do it a little later.
        let is_ours = next.is_some_and(|(_, label)| life.connected.is_ours(label.user.as_ref()));
        let until = time_of(next);
        let before_next = |one: &&StateEvent| {
            let after = one.created_at.duration_since(until);
            after.is_negative() || (is_ours && after <= CLOSING_THEN_LABELS)
        };
        if life.awake_at.is_some_and(|awake| since < awake) || life.notes.iter().any(went_on) {
            // It would have closed or reopened the issue too, where nobody had.
            let is_as_wanted = |closings: &[StateEvent]| {
                closings.iter().rfind(before_next).is_some_and(StateEvent::closes) == to.is_closed()
            };
            return closes_or_opens && self.closings.is_some_and(|closings| !is_as_wanted(closings));
        }
        let followed = |closing: &StateEvent| {
            let ours = life.connected.is_ours(closing.user.as_ref());
            ours && closing.closes() == to.is_closed() && closing.created_at > since
        };
        !self.closings.into_iter().flatten().filter(before_next).any(followed)
    }

    /// A step that is none, and the service did not take it back: it had seen the match stand otherwise. What came between
    /// its looks shows in the labels, but where it saw them it closes and reopens.
    pub(super) fn see_what_the_service_saw(
        &mut self,
        to: State,
        event: &LabelEvent,
        next: Option<(State, &LabelEvent)>,
    ) {
        self.needs_closings = true;
        let Some(closings) = self.closings else { return };
        let is_an_answer = |one: &StateEvent| {
            let before_next = next.is_none_or(|(_, label)| {
                // One write of ours closes before it labels.
                let pause = label.created_at.duration_since(one.created_at);
                pause > CLOSING_THEN_LABELS
                    || (!pause.is_negative() && !self.life.connected.is_ours(label.user.as_ref()))
            });
            one.closes() == to.is_closed() && one.created_at >= event.created_at && before_next
        };
        let mut ours = closings.iter().filter(|one| self.life.connected.is_ours(one.user.as_ref()));
        let is_answered = ours.any(is_an_answer);
        let acted = self.acted_before(event.created_at);
        // It went on from how it stood when it acted, or when it looked: whatever was done before is judged.
        let looked = self.looked_before(event.created_at).filter(|_| !is_answered);
        let since = acted.max(looked);
        let stood_so = self.stood_since(since).iter().rfind(|stood| stood.state == to).copied();
        if let Some(stood) = stood_so.filter(|_| !is_answered) {
            // It saw none of it, and for it nothing happened.
            return self.go_back_to(stood);
        }
        // It went there by what had been done since; or will.
        let went = self.go_as_allowed(since, to, event.created_at);
        if went || !is_answered {
            return;
        }
        if let Some(stood) = stood_so {
            // It stood so before, and of all that came between only the closing or reopening was to be set right.
            self.go_back_to(stood);
        } else if self.life.is_adopted && !self.moved_by_us_before {
            // No step led there, and no label of ours came before: it had not heard of the issue, and took it in so.
            self.begin_in(to);
            self.acts.retain(|(event, _)| *event > self.last_event);
        }
    }

    /// A label of a person's that ours left alone, by a step that is none: the service had seen the match stand otherwise
    /// then. Says whether it could have.
    pub(super) fn went_as_the_service_saw(&mut self, to: State, event: &LabelEvent) -> bool {
        self.needs_closings = true;
        let acted = self.acted_before(event.created_at);
        self.closings.is_some()
            && (self.go_as_allowed(acted, to, event.created_at) || self.go_as_allowed(acted, to, self.moment))
    }

    /// When the service last did something that shows that it had looked: a closing or reopening, an attempt to send.
    fn acted_before(&self, until: Timestamp) -> Option<Timestamp> {
        let ours = |one: &&StateEvent| self.life.connected.is_ours(one.user.as_ref());
        let closings = self.closings.into_iter().flatten().filter(ours).map(|one| one.created_at);
        let attempts = self.life.notes.iter().filter(|note| draft_text::read_attempt(note).is_some());
        closings.chain(attempts.map(|note| note.created_at)).filter(|acted| *acted < until).max()
    }

    /// When people last left the labels alone for so long that the service has looked.
    fn looked_before(&self, until: Timestamp) -> Option<Timestamp> {
        let mut next = until;
        for act in self.all_acts.iter().rev().filter(|act| act.at < until) {
            if next.duration_since(act.at) > self.life.looks_within {
                return Some(act.at);
            }
            next = act.at;
        }
        None
    }

    /// How the match stood at a moment, and what came after that.
    fn stood_since(&self, moment: Option<Timestamp>) -> &[Stood] {
        let then = self.stood.iter().rposition(|stood| moment.is_some_and(|moment| stood.since <= moment));
        &self.stood[then.unwrap_or(0)..]
    }

    /// Goes to a state by the steps that what people did since then amounts to, from wherever it stood from which they are
    /// allowed; says whether there is such.
    fn go_as_allowed(&mut self, since: Option<Timestamp>, to: State, until: Timestamp) -> bool {
        let led = self.stood_since(since).iter().find_map(|from| {
            let steps = self.steps_since(*from, since, to, until)?;
            Some((*from, steps))
        });
        let Some((from, steps)) = led else { return false };
        self.go_back_to(from);
        self.steps.extend(steps);
        self.state = to;
        true
    }

    fn go_back_to(&mut self, stood: Stood) {
        self.state = stood.state;
        self.stood.retain(|one| one.since <= stood.since);
        self.steps.truncate(stood.steps);
        self.followed.retain(|place| *place < stood.steps);
        self.acts.retain(|(event, _)| *event > self.last_event);
    }

    /// The steps that everything amounts to that people did from when a match stood so, and the service had acted, until
    /// then.
    fn steps_since(
        &self,
        from: Stood,
        acted: Option<Timestamp>,
        to: State,
        until: Timestamp,
    ) -> Option<Vec<Step>> {
        let since = acted.map_or(from.shown_at, |acted| acted.max(from.shown_at));
        let closings = self.closings.into_iter().flatten();
        let closings = closings.filter_map(|one| state_act(self.life.connected, one));
        let acts = self.all_acts.iter().cloned().chain(closings);
        let mut acts: Vec<Act> = acts.filter(|act| act.at > since && act.at <= until).collect();
        acts.sort_by_key(|act| act.at);
        let moves_it = |act: &&Act| act.at <= since && matches!(act.what, What::Withdraw | What::PutBack);
        let withdrawn = self.all_acts.iter().rfind(moves_it).is_some_and(|last| last.what == What::Withdraw);
        if withdrawn && acts.iter().all(|act| act.what != What::PutBack) {
            return None;
        }
        let known = Known { withdrawn, ..self.known(from.state, &acts) };
        // Where one label is left, it saw that, or took the others off that they had left.
        let verdicts = [self.verdict_of(known, &acts, to), self.verdict_of_all(known, &acts)];
        let mut led = verdicts.into_iter().map(|verdict| steps_of(&acts, verdict));
        led.find(|steps| steps.last().is_some_and(|last| last.to == to))
    }

    /// The step of somebody who may and had reopened the issue by then, in an act of its own, which left no label where the
    /// next one was put on before the service came to it.
    pub(super) fn reopened_before(&self, event: &LabelEvent) -> Option<Step> {
        let last = self.closings?.iter().rfind(|closing| closing.created_at < event.created_at)?;
        let pause = event.created_at.duration_since(last.created_at);
        let is_one_act = event.user == last.user && pause <= CLOSING_THEN_LABELS;
        let counts = !last.closes() && !is_one_act;
        self.step_by_hand(last, reopened_by_hand(self.state)).filter(|_| counts)
    }
}

/// When the next label was moved; at the end of time where none was.
fn time_of(next: Option<(State, &LabelEvent)>) -> Timestamp {
    next.map_or(Timestamp::MAX, |(_, label)| label.created_at)
}

/// Whether closing or reopening by hand leads from one state to the other.
fn closed_or_opened(from: State, to: State) -> bool {
    matches!(
        (from, to),
        (_, State::Rejected) | (State::Rejected, State::Pending) | (State::Sent, State::Approved)
    )
}

//! The steps of a match read back from GitLab: label events, and our own comments for decisions made through us.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::texts::decision_of;
use super::tracker::application_of;
use super::{Connected, Engine, EngineError};
use crate::domain::decide::{Act, CLOSING_THEN_LABELS, Known, Observed, Reviewers, decide, reopened_by_hand};
use crate::domain::history::{Step, Through};
use crate::domain::sending::Sending;
use crate::domain::{Application, State};
use crate::gitlab::Issue;
use crate::gitlab::events::{LabelAction, LabelEvent, StateEvent};
use crate::gitlab::labels::LabelKind;
use crate::gitlab::notes::Note;

/// A decision's comment is written just before its label.
const COMMENT_BEFORE_LABEL: SignedDuration = SignedDuration::from_mins(10);
/// An issue gets its first labels while it is made.
const MADE_WITHIN: SignedDuration = SignedDuration::from_secs(5);

/// What GitLab knows of a match's life.
pub(super) struct History {
    /// The steps.
    pub(super) steps: Vec<Step>,
    /// Where they led.
    pub(super) state: State,
    /// What people did since the labels last showed exactly one state.
    pub(super) open_acts: Vec<Act>,
    /// The last decision made through the service, if its label was never put on: a kill came between.
    pub(super) open_decision: Option<Step>,
    /// The last label event.
    pub(super) label_event: u64,
    /// What the tracker's comment says.
    pub(super) application: Application,
    /// How draft and sending stand.
    pub(super) sending: Sending,
}

/// Reads the history of an issue of ours.
pub(super) async fn read(
    engine: &Engine,
    connected: &Connected,
    issue: &Issue,
) -> Result<History, EngineError> {
    let events = connected.project.label_events(issue.iid).await?;
    if engine.lags_behind(issue, &engine.observed(issue), &events) {
        engine.refuse_a_lagging_copy(issue)?;
    }
    let mut notes = Vec::new();
    if issue.user_notes_count > 0 {
        notes = connected.project.notes(issue.iid).await?;
        notes.retain(|note| connected.is_us(note.author.id));
    }
    let names = engine.names();
    let kind = |event: &LabelEvent| event.label.as_ref().and_then(|label| names.kind_of_id(label.id));
    let application = application_of(connected, &notes).application;
    let sending = engine.sending_of(issue.iid, &notes)?;
    let follow = |closings: Option<Vec<StateEvent>>| {
        let mut replay = Replay::new(connected, &notes, issue);
        replay.sent_since = sending.attempt.as_ref().map(|attempt| attempt.since);
        replay.reviewers = engine.reviewers(connected);
        let puts_it_on =
            |event: &LabelEvent| event.action == LabelAction::Add && kind(event) == Some(LabelKind::Match);
        replay.withdrawn = replay.is_adopted && events.iter().any(puts_it_on);
        replay.closings = closings;
        for moment in events.chunk_by(|a, b| is_one_moment(connected, a, b)) {
            for event in moment {
                replay.acts.extend(engine.label_act(connected, event).map(|act| (event.id, act)));
                match kind(event) {
                    Some(LabelKind::State(state)) => replay.label(state, event),
                    Some(LabelKind::Match) => replay.match_label(event),
                    None if event.label.is_none() => replay.deleted_label(event),
                    _ => {}
                }
            }
            replay.end_of_moment();
        }
        replay
    };
    let mut replay = follow(None);
    if replay.needs_closings {
        replay = follow(Some(connected.project.state_events(issue.iid).await?));
        replay.name_closers();
    }
    let label_event = events.iter().map(|event| event.id).max().unwrap_or(0);
    // Its label was never put on where nobody touched a state label since.
    let touched = events.iter().filter(|event| matches!(kind(event), Some(LabelKind::State(_))));
    let touched_at = touched.map(|event| event.created_at).max();
    let open_decision = notes.iter().filter_map(decision_of).next_back().filter(|decision| {
        decision.from == replay.state && touched_at.is_none_or(|touched_at| decision.at > touched_at)
    });
    Ok(History {
        state: replay.state,
        steps: replay.steps,
        open_acts: replay.acts.into_iter().map(|(_, act)| act).collect(),
        open_decision,
        label_event,
        application,
        sending,
    })
}

/// Follows label events: whenever exactly one state label is on, and it is another than before, that is a step.
struct Replay<'a> {
    connected: &'a Connected,
    notes: &'a [Note],
    on: Vec<(State, LabelEvent)>,
    state: State,
    steps: Vec<Step>,
    /// Whether the labels have shown exactly one state yet.
    has_settled: bool,
    /// What people did since they last did, by the number of its event.
    acts: Vec<(u64, Act)>,
    /// The last event of a state label.
    last_event: u64,
    /// Whether `job-match` is off: then labels may be moved freely, and count as they are once it is on again.
    withdrawn: bool,
    /// Whether it is put on again at this moment.
    put_back: bool,
    /// Whether the last label was ours: where people's labels show one state after it, the service has followed them.
    moved_by_us: bool,
    /// Who closed and reopened the issue, oldest first; asked for where the labels alone do not tell.
    closings: Option<Vec<StateEvent>>,
    needs_closings: bool,
    /// Whose reopening counts.
    reviewers: Reviewers,
    /// Whether people made it by hand: it is a match from when `job-match` is on, in the state that it has then.
    is_adopted: bool,
    /// Our issue's own labels were put on by then.
    made_until: Option<Timestamp>,
    /// From when on no label leads back from sent: the service itself has sent, or may have.
    sent_since: Option<Timestamp>,
}

impl<'a> Replay<'a> {
    fn new(connected: &'a Connected, notes: &'a [Note], issue: &Issue) -> Self {
        let ours = connected.is_us(issue.author.id);
        let made_until = issue.created_at.checked_add(MADE_WITHIN).ok().filter(|_| ours);
        Self {
            connected,
            notes,
            on: Vec::new(),
            state: State::Pending,
            steps: Vec::new(),
            has_settled: false,
            acts: Vec::new(),
            last_event: 0,
            withdrawn: false,
            put_back: false,
            moved_by_us: false,
            closings: None,
            needs_closings: false,
            reviewers: Reviewers::default(),
            is_adopted: !ours,
            made_until,
            sent_since: None,
        }
    }

    fn label(&mut self, state: State, event: &LabelEvent) {
        self.last_event = event.id;
        self.moved_by_us = event.user.as_ref().is_some_and(|user| self.connected.is_us(user.id));
        self.on.retain(|(on, _)| *on != state);
        if event.action == LabelAction::Add {
            self.on.push((state, event.clone()));
        }
    }

    fn match_label(&mut self, event: &LabelEvent) {
        let who = event.user.as_ref().map(|user| user.username.as_str());
        // Of anybody else it is taken back, and the match was never withdrawn.
        self.withdrawn |= event.action == LabelAction::Remove && self.reviewers.may(who);
        self.put_back = event.action == LabelAction::Add && self.withdrawn;
    }

    fn end_of_moment(&mut self) {
        if !self.withdrawn || self.put_back {
            self.settle();
        }
        if self.put_back {
            (self.withdrawn, self.put_back) = (false, false);
        }
    }

    /// GitLab forgets which label an event was about once that is deleted. What we wrote just before tells.
    fn deleted_label(&mut self, event: &LabelEvent) {
        let ours = event.user.as_ref().is_some_and(|user| self.connected.is_us(user.id));
        if event.action == LabelAction::Add && ours {
            let decision = self.notes.iter().rev().find_map(|note| near(note, event));
            if let Some(decision) = decision.filter(|decision| decision.from == self.state) {
                self.label(decision.to, event);
            }
        }
    }

    fn settle(&mut self) {
        let [(state, event)] = self.on.as_slice() else {
            return;
        };
        let (state, event) = (*state, event.clone());
        let is_first = !self.has_settled;
        if !is_first && self.is_against_the_rules(state, &event) {
            return;
        }
        let led = self.led_to(state);
        self.has_settled = true;
        self.acts.retain(|(event, _)| *event > self.last_event);
        if state == self.state {
            return;
        }
        let by_us = event.user.as_ref().is_some_and(|user| self.connected.is_us(user.id));
        let when_made = self.made_until.is_some_and(|until| event.created_at <= until);
        let no_decision = || self.decision_before(&event, self.state, state).is_none();
        if is_first && (self.is_adopted || (by_us && when_made && no_decision())) {
            // The state that it was made or adopted in is no step.
            self.state = state;
            return;
        }
        let from = self.state;
        let theirs = || {
            let by = event.user.as_ref().map(|user| user.username.clone()).unwrap_or_default();
            Step { from, to: state, by, at: event.created_at, through: Through::Gitlab, comment: None }
        };
        let ours = || self.decision_before(&event, from, state).map(|step| vec![step]);
        let steps = match (by_us, self.connected.is_a_reviewers_token()) {
            (false, _) => led.or_else(|| Some(vec![theirs()])),
            (true, true) => ours().or_else(|| Some(vec![theirs()])),
            (true, false) => ours().or(led),
        };
        self.state = state;
        match steps {
            Some(steps) => self.steps.extend(steps),
            // The service took somebody's step back: neither happened.
            None if self.was_taken_back(from, state, &event) => {
                self.steps.pop();
            }
            // The service followed a closing or reopening; who did that stands elsewhere.
            None => {
                self.needs_closings = true;
                let at = event.created_at;
                self.steps.push(Step {
                    from,
                    to: state,
                    by: String::new(),
                    at,
                    through: Through::Gitlab,
                    comment: None,
                });
            }
        }
    }

    /// Whether our label undoes the last step, rather than that it follows somebody's closing or reopening.
    fn was_taken_back(&self, from: State, to: State, event: &LabelEvent) -> bool {
        let last = self.steps.last().filter(|last| last.from == to && last.through == Through::Gitlab);
        let Some(last) = last else { return false };
        let Some(closings) = self.closings.as_deref().filter(|_| closed_or_opened(from, to)) else {
            return !closed_or_opened(from, to);
        };
        let wanted = if to.is_closed() { "closed" } else { "reopened" };
        let somebody =
            |closing: &StateEvent| closing.user.as_ref().is_none_or(|user| !self.connected.is_us(user.id));
        let between =
            |closing: &StateEvent| closing.created_at >= last.at && closing.created_at <= event.created_at;
        !closings.iter().any(|one| one.state == wanted && somebody(one) && between(one))
    }

    /// A step that is none, which people made and the service has not taken back yet: what they did since is open.
    fn is_against_the_rules(&mut self, to: State, event: &LabelEvent) -> bool {
        let undo_sent = self.sent_since.is_none_or(|since| event.created_at <= since);
        // While it is withdrawn labels may be moved freely, but for what has left.
        let binds = !self.withdrawn || (self.state == State::Sent && !undo_sent);
        if self.moved_by_us || !binds || to == self.state || self.state.may_become(to, undo_sent) {
            return false;
        }
        if self.led_to(to).is_some() {
            return false;
        }
        let reopened = reopened_by_hand(self.state);
        let opens_a_way = self.state.may_become(reopened, undo_sent) && reopened.may_become(to, undo_sent);
        self.needs_closings |= opens_a_way;
        !(opens_a_way && self.was_reopened_before(event))
    }

    /// The steps there that people's labels were, those too which did not stand alone: beside others, or taken off again
    /// before the service came to them.
    fn led_to(&self, to: State) -> Option<Vec<Step>> {
        let last = &self.acts.last()?.1;
        let undo_sent = self.sent_since.is_none_or(|since| last.at <= since);
        let known = Known { state: self.state, withdrawn: false, undo_sent };
        let shown = Observed { is_match: true, states: BTreeSet::from([to]), closed: to.is_closed() };
        let acts: Vec<Act> = self.acts.iter().map(|(_, act)| act.clone()).collect();
        let verdict = decide(known, &shown, &acts, &self.reviewers);
        let steps = verdict.steps.into_iter().map(|step| Step {
            from: step.from,
            to: step.to,
            by: step.by.unwrap_or_default(),
            at: step.at.unwrap_or(last.at),
            through: Through::Gitlab,
            comment: None,
        });
        let steps: Vec<Step> = steps.collect();
        steps.last().is_some_and(|last| last.to == to).then_some(steps)
    }

    /// Whether somebody who may had reopened the issue by then, in an act of its own: that was a step, which left no
    /// label where the next one was taken before the service came to it.
    fn was_reopened_before(&self, event: &LabelEvent) -> bool {
        let mut closings = self.closings.iter().flatten();
        let last = closings.rfind(|closing| closing.created_at < event.created_at);
        last.is_some_and(|last| {
            let who = last.user.as_ref().map(|user| user.username.as_str());
            let same = event.user == last.user;
            let is_one_act = same && event.created_at.duration_since(last.created_at) <= CLOSING_THEN_LABELS;
            last.state == "reopened" && !is_one_act && self.reviewers.may(who)
        })
    }

    /// The decision made through the service that this label event carried out.
    fn decision_before(&self, event: &LabelEvent, from: State, to: State) -> Option<Step> {
        // Each is carried out once.
        let is_it = |step: &Step| step.from == from && step.to == to && !self.steps.contains(step);
        let decisions: Vec<Step> =
            self.notes.iter().filter_map(|note| near(note, event)).filter(is_it).collect();
        // The last one before it; GitLab's own clocks may differ a little.
        let before = decisions.iter().rfind(|step| step.at <= event.created_at);
        before.or(decisions.first()).cloned()
    }

    fn name_closers(&mut self) {
        let closings = self.closings.as_deref().unwrap_or_default();
        for step in self.steps.iter_mut().filter(|step| step.by.is_empty()) {
            let wanted = if step.to.is_closed() { "closed" } else { "reopened" };
            let ours =
                |event: &StateEvent| event.user.as_ref().is_some_and(|user| self.connected.is_us(user.id));
            let mut before =
                closings.iter().filter(|event| event.created_at <= step.at && event.state == wanted);
            if let Some(event) = before.rfind(|event| !ours(event)) {
                step.by = event.user.as_ref().map(|user| user.username.clone()).unwrap_or_default();
                step.at = event.created_at;
            }
        }
    }
}

/// Whether two events are of one write. Ours puts one state label on, and that first.
fn is_one_moment(connected: &Connected, one: &LabelEvent, next: &LabelEvent) -> bool {
    let ours = next.user.as_ref().is_some_and(|user| connected.is_us(user.id));
    let begins = ours && !connected.is_a_reviewers_token() && next.action == LabelAction::Add;
    one.user == next.user && one.created_at == next.created_at && !begins
}

/// The decision that a comment of ours writes down, where the label event may be its own.
fn near(note: &Note, event: &LabelEvent) -> Option<Step> {
    let age = event.created_at.duration_since(note.created_at);
    let near = age <= COMMENT_BEFORE_LABEL && age >= SignedDuration::from_secs(-2);
    decision_of(note).filter(|_| near)
}

/// Whether closing or reopening by hand leads from one state to the other.
fn closed_or_opened(from: State, to: State) -> bool {
    matches!(
        (from, to),
        (_, State::Rejected) | (State::Rejected, State::Pending) | (State::Sent, State::Approved)
    )
}

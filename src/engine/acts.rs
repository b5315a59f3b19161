//! What people did to an issue since we last looked: label events, closings and reopenings.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::reconcile::{is_newer_than_the_step, is_older};
use super::{Connected, Engine, EngineError};
use crate::domain::State;
use crate::domain::decide::{Act, Observed, What, put_on_at};
use crate::domain::history::Step;
use crate::gitlab::Issue;
use crate::gitlab::events::{LabelAction, LabelEvent, StateEvent};
use crate::gitlab::labels::LabelKind;
use crate::mirror::{Record, Standing};

/// An issue's own time is at most so much later than that of its last label where nothing else was done to it.
const ONE_WRITE: SignedDuration = SignedDuration::from_millis(500);

/// What label events tell.
struct Moved {
    /// What people did.
    acts: Vec<Act>,
    /// From when on somebody may have closed and reopened the issue too, of which it shows nothing.
    closed_since: Option<Timestamp>,
    /// The decision that was written down, where its label was not put on.
    written: Option<Step>,
    /// Who left the label of where the match stands as the only one.
    settled: Settled,
}

/// Whether those who may decide left the label of where a match stands as the only one last: what they had closed or
/// reopened before is over.
#[derive(Clone, Copy)]
enum Settled {
    /// They did, at this time.
    At(Timestamp),
    /// We did, or somebody who may not.
    ByOthers,
    /// The label events need not be read, or were not yet.
    Unasked,
}

impl Settled {
    /// Whether what was closed or reopened then is not over.
    fn leaves(self, at: Timestamp) -> bool {
        !matches!(self, Self::At(settled) if at < settled)
    }
}

impl Engine {
    /// What people did to the issue since we last looked, in the order of its times; and the decision that was written
    /// down, unless its label was put on and only GitLab's answer was lost: then it is a step, and what people did is
    /// what they did after it.
    pub(super) async fn acts(
        &self,
        connected: &Connected,
        issue: &Issue,
        observed: &mut Observed,
        record: &mut Record,
        written: Option<Step>,
    ) -> Result<(Vec<Act>, Option<Step>), EngineError> {
        // That `job-match` is on again is such a difference, whatever else is.
        let labels_differ = record.standing == Standing::Withdrawn
            || !observed.is_match
            || observed.states.len() != 1
            || !observed.states.contains(&record.state);
        let may_hide = !labels_differ && self.may_hide_acts(connected, issue, record);
        let moved = if labels_differ || written.is_some() || may_hide {
            self.label_acts(connected, issue, observed, record, written, may_hide).await?
        } else {
            Moved { acts: Vec::new(), closed_since: None, written, settled: Settled::Unasked }
        };
        let Moved { mut acts, closed_since, written, settled } = moved;
        if observed.closed != record.state.is_closed() {
            acts.extend(self.closings(connected, issue, observed, record, settled).await?);
        } else if let Some(since) = closed_since.filter(|_| record.standing == Standing::Live) {
            let events = connected.project.state_events(issue.iid).await?;
            let since = events.iter().filter(|event| event.created_at >= since);
            acts.extend(since.filter_map(|event| state_act(connected, event)));
        }
        if let Some(decided_at) = record.decided_at.filter(|_| record.standing == Standing::Live) {
            // What came before the last step was followed, or refused, with it, but for a label that came between our look
            // and our own decision.
            let new = observed.states.iter().filter(|state| **state != record.state);
            let put_on =
                new.filter_map(|state| acts.iter().rfind(|act| act.what == What::Add(*state)).cloned());
            let put_on: Vec<Act> = put_on.collect();
            acts.retain(|act| act.at >= decided_at || put_on.contains(act));
        }
        acts.sort_by_key(|act| act.at);
        Ok((acts, written))
    }

    /// What people did with labels since we last looked; `may_hide` says that the issue looks as if nobody had done anything.
    async fn label_acts(
        &self,
        connected: &Connected,
        issue: &Issue,
        observed: &Observed,
        record: &mut Record,
        mut written: Option<Step>,
        may_hide: bool,
    ) -> Result<Moved, EngineError> {
        let mut events = connected.project.label_events(issue.iid).await?;
        if may_hide {
            // What came after the read shows in the next one.
            events.retain(|event| !is_older(issue, event.created_at));
        }
        if let Some(step) = written.take_if(|step| self.was_carried_out(connected, &events, step)) {
            tracing::info!(iid = record.iid, to = %step.to, "a decision was carried out, and GitLab's answer lost");
            self.take_step(record, &step)?;
        }
        self.refuse_lagging_labels(issue, observed, record, &events)?;
        if written.is_none()
            && let Some(state) = self.followed_elsewhere(connected, &events, observed, record)
        {
            tracing::info!(iid = record.iid, %state, "another process followed what people did");
            // Boxed: the future would be large, and its frames deep.
            written = Box::pin(self.take_over(connected, issue, record, state)).await?;
        }
        let all: Vec<Act> = events.iter().filter_map(|event| self.label_act(connected, event)).collect();
        let by_hand = !connected.is_us(issue.author.id);
        record.put_on_at = put_on_at(&all, by_hand).max(record.put_on_at);
        let since = self.label_events_since(&events, record, may_hide);
        let mut acts: Vec<Act> = since.iter().filter_map(|event| self.label_act(connected, event)).collect();
        let has_forgotten = self.has_forgotten_its_label(&events, record);
        if has_forgotten {
            acts.retain(|act| still_shows(act, observed));
        }
        if record.standing == Standing::Withdrawn {
            acts.splice(..0, self.who_moved_it_before(connected, &events, observed, record));
        }
        let closed_since = if may_hide {
            // A closing and a reopening leave the labels alone.
            record.updated_at.checked_add(SignedDuration::from_nanos(1)).ok()
        } else {
            closed_since(issue, since).filter(|_| !has_forgotten)
        };
        let settled = self.settled(connected, &events[..events.len() - since.len()]);
        self.note_seen(&events, observed, record);
        Ok(Moved { acts, closed_since, written, settled })
    }

    /// Refuses labels that a copy shows which lags behind its events, or whose events lag behind it.
    fn refuse_lagging_labels(
        &self,
        issue: &Issue,
        observed: &Observed,
        record: &Record,
        events: &[LabelEvent],
    ) -> Result<(), EngineError> {
        if self.lags_behind(issue, observed, events) {
            self.refuse_a_lagging_copy(issue)?;
        }
        // After a deletion of the label its events do not say any more that they were about it.
        let of_match = events.iter().rfind(|event| self.kind_of(event) == Some(LabelKind::Match));
        let is_off_by_nobody = !observed.is_match
            && record.standing == Standing::Live
            && of_match.is_some_and(|last| last.action == LabelAction::Add);
        if is_off_by_nobody || self.has_no_event_yet(observed, Some(record.state), events) {
            self.refuse_lagging_events(issue)?;
        }
        Ok(())
    }

    /// The label events that may hold something new.
    fn label_events_since<'a>(
        &self,
        events: &'a [LabelEvent],
        record: &Record,
        may_hide: bool,
    ) -> &'a [LabelEvent] {
        if record.standing == Standing::Withdrawn || may_hide {
            // Nothing of it counted, whatever its labels showed; or not all of it did.
            let seen = events.iter().rposition(|event| event.id <= record.label_event);
            &events[seen.map_or(0, |last| last + 1)..]
        } else {
            self.since_settled(events, record.state)
        }
    }

    /// Whether the label of where a match stands was deleted: GitLab does not say any more which events were about it, and
    /// everything since the match was made looks as if it had never been followed.
    fn has_forgotten_its_label(&self, events: &[LabelEvent], record: &Record) -> bool {
        let of_its_state = |event: &LabelEvent| self.kind_of(event) == Some(LabelKind::State(record.state));
        record.standing == Standing::Live
            && events.iter().any(|event| event.label.is_none())
            && !events.iter().any(of_its_state)
    }

    /// Where a match stands by a label that another process of ours put on after everything that people did: it has judged
    /// that, by what it had seen, and to judge it once more by what was seen here would go on for ever.
    fn followed_elsewhere(
        &self,
        connected: &Connected,
        events: &[LabelEvent],
        observed: &Observed,
        record: &Record,
    ) -> Option<State> {
        let state = observed.states.first().copied().filter(|_| observed.states.len() == 1)?;
        let is_news = record.standing == Standing::Live && record.history_known && state != record.state;
        let is_settled = observed.is_match && observed.closed == state.is_closed();
        let counts =
            |event: &&LabelEvent| matches!(self.kind_of(event), Some(LabelKind::State(_) | LabelKind::Match));
        let puts_it_on = |event: &&LabelEvent| {
            event.action == LabelAction::Add && self.kind_of(event) == Some(LabelKind::State(state))
        };
        let ours = |event: &LabelEvent| connected.is_ours(event.user.as_ref());
        let is_ours = events.iter().rfind(counts).is_some_and(ours)
            && events.iter().rfind(puts_it_on).is_some_and(ours);
        (is_news && is_settled && is_ours && !connected.is_a_reviewers_token()).then_some(state)
    }

    /// Who put on the state label that a withdrawn match shows, where that was before it was seen withdrawn.
    fn who_moved_it_before(
        &self,
        connected: &Connected,
        events: &[LabelEvent],
        observed: &Observed,
        record: &Record,
    ) -> Option<Act> {
        let shows_now = |event: &&LabelEvent| match self.kind_of(event) {
            Some(LabelKind::State(state)) => {
                event.action == LabelAction::Add && state != record.state && observed.states.contains(&state)
            }
            _ => false,
        };
        let event = events.iter().rfind(shows_now).filter(|event| event.id <= record.label_event)?;
        let mut act = self.label_act(connected, event)?;
        if record.decided_at.is_some_and(|last| last >= act.at) {
            // It had been followed, and another step after it: that it counts again is news.
            let puts_back = |event: &&LabelEvent| {
                event.action == LabelAction::Add && self.kind_of(event) == Some(LabelKind::Match)
            };
            act.at = events.iter().rfind(puts_back)?.created_at;
        }
        Some(act)
    }

    /// Notes up to which label event everything was seen. What is done while `job-match` is off is asked about once it is
    /// on again.
    fn note_seen(&self, events: &[LabelEvent], observed: &Observed, record: &mut Record) {
        let counts = |event: &&LabelEvent| {
            let took_it_off = event.action == LabelAction::Remove;
            observed.is_match || took_it_off && self.kind_of(event) == Some(LabelKind::Match)
        };
        let seen = events.iter().filter(counts).map(|event| event.id).max();
        record.label_event = seen.unwrap_or(0).max(record.label_event);
    }

    /// Who closed or reopened an issue that is not as its state wants it. Where that came before the last step, it is
    /// `observed` as it should be.
    async fn closings(
        &self,
        connected: &Connected,
        issue: &Issue,
        observed: &mut Observed,
        record: &Record,
        settled: Settled,
    ) -> Result<Vec<Act>, EngineError> {
        let events = connected.project.state_events(issue.iid).await?;
        let settled = match settled {
            Settled::Unasked => self.settled_after(connected, issue, record, events.last()).await?,
            known => known,
        };
        let is_as_known = |event: &StateEvent| event.closes() == record.state.is_closed();
        let since = events.iter().rposition(is_as_known).map_or(0, |last| last + 1);
        let ours = |event: &StateEvent| connected.is_ours(event.user.as_ref());
        let followed = events.last().filter(|last| since == events.len() && ours(last));
        if followed.is_some_and(|last| issue.updated_at <= last.created_at) {
            // Our own closing or reopening came last, and the issue does not show it: the copy that was read lags behind.
            self.refuse_a_lagging_copy(issue)?;
        }
        let mut acts = Vec::new();
        let counts = |event: &StateEvent| settled.leaves(event.created_at);
        if events.last().is_some_and(|last| !is_newer_than_the_step(last, record) || !counts(last)) {
            // It was closed or reopened before the last step, and we did not come to setting that right.
            observed.closed = record.state.is_closed();
        } else {
            let is_untold = since == events.len() && (!observed.closed || issue.closed_by.is_none());
            if is_untold && self.reviewers(connected).enforced {
                self.refuse_lagging_events(issue)?;
            }
            let since = events[since..].iter().filter(|event| counts(event));
            acts.extend(since.filter_map(|event| state_act(connected, event)));
        }
        if since == events.len() && observed.closed {
            // A GitLab that does not tell who closed and reopened says at least who closed it last.
            acts.extend(closed_by(connected, issue));
        }
        Ok(acts)
    }

    /// Whether the label was moved, and back, after the issue was `last` closed or reopened: asked where something was done to
    /// it since.
    async fn settled_after(
        &self,
        connected: &Connected,
        issue: &Issue,
        record: &Record,
        last: Option<&StateEvent>,
    ) -> Result<Settled, EngineError> {
        let is_the_last = |last: &StateEvent| issue.updated_at.duration_since(last.created_at) <= ONE_WRITE;
        if last.is_none_or(is_the_last) {
            return Ok(Settled::Unasked);
        }
        let events = connected.project.label_events(issue.iid).await?;
        let since = self.since_settled(&events, record.state);
        Ok(self.settled(connected, &events[..events.len() - since.len()]))
    }

    /// Who brought the labels of a match where they were after these events.
    fn settled(&self, connected: &Connected, events: &[LabelEvent]) -> Settled {
        let counts =
            |event: &&LabelEvent| matches!(self.kind_of(event), Some(LabelKind::State(_) | LabelKind::Match));
        let last = events.iter().rfind(counts).filter(|event| !connected.is_ours(event.user.as_ref()));
        let may = |event: &&LabelEvent| {
            self.reviewers(connected).may(event.user.as_ref().map(|user| user.username.as_str()))
        };
        last.filter(may).map_or(Settled::ByOthers, |event| Settled::At(event.created_at))
    }

    /// Whether we put a decision's label on after we had written it down.
    fn was_carried_out(&self, connected: &Connected, events: &[LabelEvent], step: &Step) -> bool {
        events.iter().any(|event| {
            event.action == LabelAction::Add
                && self.kind_of(event) == Some(LabelKind::State(step.to))
                && connected.is_ours(event.user.as_ref())
                && event.created_at >= step.at
        })
    }

    /// The label events since the issue last was a match that showed this state and no other: what came before was
    /// followed, or taken back, by whomever.
    fn since_settled<'a>(&self, events: &'a [LabelEvent], state: State) -> &'a [LabelEvent] {
        let mut on = BTreeSet::new();
        let mut withdrawn = false;
        let mut settled = 0;
        let mut seen = 0;
        for moment in events.chunk_by(|a, b| a.user == b.user && a.created_at == b.created_at) {
            for event in moment {
                match (self.kind_of(event), event.action) {
                    (Some(LabelKind::State(state)), LabelAction::Add) => drop(on.insert(state)),
                    (Some(LabelKind::State(state)), LabelAction::Remove) => drop(on.remove(&state)),
                    (Some(LabelKind::Match), action) => withdrawn = action == LabelAction::Remove,
                    _ => {}
                }
            }
            seen += moment.len();
            if !withdrawn && on.len() == 1 && on.contains(&state) {
                settled = seen;
            }
        }
        &events[settled..]
    }

    /// Which of our labels an event is about.
    pub(super) fn kind_of(&self, event: &LabelEvent) -> Option<LabelKind> {
        self.names().kind_of_id(event.label.as_ref()?.id)
    }

    pub(super) fn label_act(&self, connected: &Connected, event: &LabelEvent) -> Option<Act> {
        let ours = connected.is_ours(event.user.as_ref());
        if ours && !connected.is_a_reviewers_token() {
            return None;
        }
        let what = match (self.kind_of(event)?, event.action) {
            (LabelKind::State(state), LabelAction::Add) => What::Add(state),
            (LabelKind::State(state), LabelAction::Remove) => What::Remove(state),
            (LabelKind::Match, LabelAction::Remove) => What::Withdraw,
            (LabelKind::Match, LabelAction::Add) => What::PutBack,
            _ => return None,
        };
        Some(Act { at: event.created_at, by: event.user.as_ref().map(|user| user.username.clone()), what })
    }
}

/// Since when somebody may have closed or reopened an issue whose labels were moved: it went on after the last of those.
fn closed_since(issue: &Issue, moves: &[LabelEvent]) -> Option<Timestamp> {
    let (first, last) = (moves.first()?, moves.last()?);
    let went_on = issue.updated_at.duration_since(last.created_at) > ONE_WRITE;
    went_on.then_some(first.created_at)
}

/// Whether what somebody did with a label can be seen on the issue.
fn still_shows(act: &Act, observed: &Observed) -> bool {
    match act.what {
        What::Add(state) => observed.states.contains(&state),
        What::Withdraw => !observed.is_match,
        What::Remove(_) | What::PutBack | What::Close | What::Reopen => false,
    }
}

/// Who closed an issue, as the issue itself says.
fn closed_by(connected: &Connected, issue: &Issue) -> Option<Act> {
    let who = issue.closed_by.as_ref()?;
    let ours = connected.is_us(who.id) && !connected.is_a_reviewers_token();
    let at = issue.closed_at.unwrap_or(issue.updated_at);
    (!ours).then(|| Act { at, by: Some(who.username.clone()), what: What::Close })
}

/// What somebody did who closed or reopened an issue; none where it was the service.
pub(super) fn state_act(connected: &Connected, event: &StateEvent) -> Option<Act> {
    let ours = connected.is_ours(event.user.as_ref());
    if ours && !connected.is_a_reviewers_token() {
        return None;
    }
    let what = match event.state.as_str() {
        "closed" => What::Close,
        "reopened" => What::Reopen,
        _ => return None,
    };
    Some(Act { at: event.created_at, by: event.user.as_ref().map(|user| user.username.clone()), what })
}

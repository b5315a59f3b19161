//! Issues that people made by hand and labelled `job-match`.

use super::reconcile::has_a_strangers_act;
use super::stage::new_record;
use super::{Connected, Engine, EngineError};
use crate::domain::decide::{Act, Observed, Refusal, Repair, put_on_at};
use crate::domain::{JobMatch, State};
use crate::gitlab::Issue;
use crate::gitlab::events::{LabelAction, LabelEvent};
use crate::gitlab::labels::LabelKind;
use crate::gitlab::people::User;
use crate::mirror::Standing;

impl Engine {
    /// An issue that a person made by hand.
    pub(super) async fn adopt(
        &self,
        connected: &Connected,
        issue: Issue,
        observed: &Observed,
        ours: bool,
    ) -> Result<(), EngineError> {
        let events = connected.project.label_events(issue.iid).await?;
        let mut record = new_record(&issue, JobMatch::titled(issue.title.clone()), None, State::Pending);
        record.label_event = events.iter().map(|event| event.id).max().unwrap_or(0);
        let acts: Vec<Act> = events.iter().filter_map(|event| self.label_act(connected, event)).collect();
        record.put_on_at = put_on_at(&acts, !ours);
        if self.was_followed(connected, &issue, observed, &events).await? {
            // Before the disk was lost: what was decided since stands in its history. Who may adopt now was not asked then.
            return self.take_in(connected, &issue, observed, &mut record).await;
        }
        if !self.was_put_on_by_somebody_who_may(connected, &issue, &events, ours).await? {
            record.standing = Standing::Ignored;
            return Ok(self.inner.mirror.put(&record, None)?);
        }
        let reviewers = self.reviewers(connected);
        if reviewers.enforced && self.has_no_event_yet(observed, None, &events) {
            self.refuse_lagging_events(&issue)?;
        }
        let put_on = record.put_on_at.map_or(0, |put_on| acts.partition_point(|act| act.at <= put_on));
        if has_a_strangers_act(&acts[put_on..], &reviewers) {
            // It is taken back, as if we had heard of the issue at once.
            return self.take_in(connected, &issue, observed, &mut record).await;
        }
        let mut labels = observed.states.iter();
        record.state = match (labels.next(), labels.next()) {
            (Some(only), None) => *only,
            (None, _) if observed.closed => State::Rejected,
            _ => State::Pending,
        };
        let decider = self.decider(connected, &issue, &events, record.state).await?;
        let decider = decider.map(|user| user.username);
        if record.state != State::Pending && !reviewers.may(decider.as_deref()) {
            record.state = State::Pending;
            let refusal = Refusal::NoReviewer { who: decider };
            self.may_follow()?;
            self.may_write()?;
            self.explain(connected, &issue, &record, &refusal).await?;
        }
        // What we keep in comments is read with the history.
        record.history_known = issue.user_notes_count == 0;
        let repair = Repair::towards(record.state, observed);
        let after = self.repair(connected, issue, &repair).await?;
        record.updated_at = after.updated_at;
        tracing::info!(iid = record.iid, state = %record.state, "issue {} is adopted", record.iid);
        self.tell_of_adoption(connected, record, &events).await
    }

    /// Whether `job-match` was put on by somebody who may adopt an issue.
    async fn was_put_on_by_somebody_who_may(
        &self,
        connected: &Connected,
        issue: &Issue,
        events: &[LabelEvent],
        ours: bool,
    ) -> Result<bool, EngineError> {
        let is_it = |event: &&LabelEvent| {
            event.action == LabelAction::Add && self.kind_of(event) == Some(LabelKind::Match)
        };
        let Some(put_on) = events.iter().rfind(is_it) else {
            let may = self.may_put_it_on(connected, issue.author.id, ours).await?;
            if !may {
                // The event may only be late; an issue that is ignored is not looked at again.
                self.refuse_lagging_events(issue)?;
            }
            return Ok(may);
        };
        match &put_on.user {
            Some(user) => self.may_put_it_on(connected, user.id, ours).await,
            None => Ok(false),
        }
    }

    /// Whether this user may put `job-match` on an issue that was made by hand. We put it on ours, and again on what was a
    /// match; where the token is a reviewer's own, they do.
    async fn may_put_it_on(&self, connected: &Connected, user: u64, ours: bool) -> Result<bool, EngineError> {
        if connected.is_us(user) {
            return Ok(ours || connected.is_a_reviewers_token());
        }
        self.may_adopt(&connected.project, user).await
    }

    /// Whether we have put a label of ours on an issue ourselves, or closed or reopened it by one that it had.
    async fn was_followed(
        &self,
        connected: &Connected,
        issue: &Issue,
        observed: &Observed,
        events: &[LabelEvent],
    ) -> Result<bool, EngineError> {
        if connected.is_a_reviewers_token() {
            return Ok(false);
        }
        let ours = |event: &LabelEvent| connected.is_ours(event.user.as_ref());
        let is_its =
            |event: &LabelEvent| matches!(self.kind_of(event), Some(LabelKind::State(_) | LabelKind::Match));
        if events.iter().any(|event| ours(event) && is_its(event)) {
            return Ok(true);
        }
        // One label that fits says everything, unless people moved it on.
        let was_moved = |event: &LabelEvent| event.action == LabelAction::Remove && is_its(event);
        let says_all = observed.states.len() == 1
            && !events.iter().any(was_moved)
            && observed.states.iter().all(|state| state.is_closed() == observed.closed);
        if says_all {
            return Ok(false);
        }
        let closings = connected.project.state_events(issue.iid).await?;
        Ok(closings.iter().any(|event| connected.is_ours(event.user.as_ref())))
    }

    /// Who brought an issue into this state: by its label, else by closing it.
    pub(super) async fn decider(
        &self,
        connected: &Connected,
        issue: &Issue,
        events: &[LabelEvent],
        state: State,
    ) -> Result<Option<User>, EngineError> {
        let is_it = |event: &&LabelEvent| {
            event.action == LabelAction::Add && self.kind_of(event) == Some(LabelKind::State(state))
        };
        if let Some(event) = events.iter().rev().find(is_it) {
            return Ok(event.user.clone());
        }
        // No such label: it was closed by hand.
        let events = connected.project.state_events(issue.iid).await?;
        let last = events.last().and_then(|event| event.user.as_ref()).or(issue.closed_by.as_ref());
        Ok(last.cloned())
    }
}

//! What is news to this disk, and which events follow from it.

use jiff::Timestamp;

use super::history::History;
use super::{Connected, Engine, EngineError};
use crate::domain::State;
use crate::domain::history::{Step, Through};
use crate::gitlab::events::{LabelAction, LabelEvent};
use crate::gitlab::labels::LabelKind;
use crate::mirror::{Fact, Raise, Record};

impl Engine {
    /// Which events follow from a match that was read with its whole history. One that was made since this disk follows
    /// the project is news; of any other, only an approval that waits for a draft is told again.
    pub(super) fn raises(&self, record: &Record, steps: &[Step]) -> Result<Raise, EngineError> {
        if self.is_fresh(record, record.created_at)? {
            // Ours that was made in another state was taken over from a file: nobody waits to hear of it.
            let is_taken_over = record.nonce.is_some() && steps.is_empty() && record.state != State::Pending;
            return Ok(if is_taken_over { Raise::Nothing } else { Raise::All });
        }
        if let Some(put_on) = self.match_again_since(record)? {
            return Ok(Raise::Again(put_on));
        }
        let policy = self.policy();
        let last = steps.last();
        // Nothing leaves before the actor is checked.
        let by_somebody_who_may = last.is_some_and(|step| {
            let names = &policy.reviewers.usernames;
            step.through != Through::Gitlab
                || !policy.reviewers.enforced
                || names.iter().any(|name| name.eq_ignore_ascii_case(&step.by))
        });
        Ok(if by_somebody_who_may { Raise::Approval } else { Raise::Nothing })
    }

    /// Puts an adopted issue in. Where it was labelled since this disk follows the project, that is news; in any case an
    /// approval waits for a draft.
    pub(super) async fn tell_of_adoption(
        &self,
        connected: &Connected,
        mut record: Record,
        events: &[LabelEvent],
    ) -> Result<(), EngineError> {
        if record.comments > 0 {
            let notes = connected.our_notes(record.iid).await?;
            record.sending = self.sending_of(record.iid, &notes)?;
        }
        let approval = self.approval_in(events).filter(|_| record.state == State::Approved);
        let raise = self.raises(&record, approval.as_slice())?;
        Ok(self.inner.mirror.put_adopted(&record, approval.as_ref(), raise)?)
    }

    /// Puts a match in with what GitLab tells of its life, and raises what is news of it.
    pub(super) fn put_history(&self, record: &Record, history: &History) -> Result<(), EngineError> {
        let made_approved = history.made_approved.as_ref().filter(|_| record.state == State::Approved);
        let raise = self.raises(record, made_approved.map_or(&history.steps, std::slice::from_ref))?;
        Ok(self.inner.mirror.put_whole(record, &history.steps, made_approved, raise)?)
    }

    /// The step to approved of an issue that was made so, by whoever put that label on last.
    pub(super) fn approval_in(&self, events: &[LabelEvent]) -> Option<Step> {
        let approved = LabelKind::State(State::Approved);
        let puts_it_on =
            |event: &&LabelEvent| event.action == LabelAction::Add && self.kind_of(event) == Some(approved);
        let event = events.iter().rfind(puts_it_on)?;
        Some(Step {
            from: State::Pending,
            to: State::Approved,
            by: event.user.as_ref().map(|user| user.username.clone()).unwrap_or_default(),
            at: event.created_at,
            through: Through::Gitlab,
            comment: None,
        })
    }

    /// Since when something made by hand, before this disk followed the project, is a match, or one again: where it became
    /// that since.
    pub(super) fn match_again_since(&self, record: &Record) -> Result<Option<Timestamp>, EngineError> {
        match record.put_on_at.filter(|_| record.nonce.is_none()) {
            Some(put_on) => Ok(self.is_fresh(record, put_on)?.then_some(put_on)),
            None => Ok(None),
        }
    }

    /// Whether something that happened at `at` is younger than this disk's first read of the project.
    pub(super) fn is_fresh(&self, record: &Record, at: Timestamp) -> Result<bool, EngineError> {
        let born =
            self.inner.mirror.fact(Fact::FollowsSince)?.and_then(|text| text.parse::<Timestamp>().ok());
        let Some(born) = born else { return Ok(false) };
        if at > born {
            return Ok(true);
        }
        match record.fingerprint() {
            Some(fingerprint) => Ok(self.inner.mirror.unclear_since(fingerprint.as_str())?.is_some()),
            None => Ok(false),
        }
    }
}

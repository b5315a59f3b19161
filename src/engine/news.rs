//! What is news to this disk, and which events follow from it.

use jiff::Timestamp;

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
        let names = self.names();
        let added = |kind: LabelKind| {
            events.iter().rev().find(|event| {
                let of = event.label.as_ref().and_then(|label| names.kind_of_id(label.id));
                event.action == LabelAction::Add && of == Some(kind)
            })
        };
        let labelled = added(LabelKind::Match).map_or(record.created_at, |event| event.created_at);
        if self.is_fresh(&record, labelled)? {
            self.inner.mirror.put_new(&record)?;
        } else {
            self.inner.mirror.put(&record, None)?;
        }
        let Some(event) = added(LabelKind::State(record.state)).filter(|_| record.state == State::Approved)
        else {
            return Ok(());
        };
        let step = Step {
            from: State::Pending,
            to: State::Approved,
            by: event.user.as_ref().map(|user| user.username.clone()).unwrap_or_default(),
            at: event.created_at,
            through: Through::Gitlab,
            comment: None,
        };
        let raise = match self.raises(&record, std::slice::from_ref(&step))? {
            Raise::All => Raise::Approval,
            other => other,
        };
        Ok(self.inner.mirror.raise(&record, &[step], raise)?)
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

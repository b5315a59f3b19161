//! GitLab is told what became of an attempt: on this disk first, then in its comment; then the label, then the archive.
//! Whatever a kill or an outage leaves undone is done later.

use super::{Outgoing, OutgoingError};
use crate::domain::State;
use crate::domain::masked::masked;
use crate::domain::sending::{Attempt, AttemptOutcome, Sending};
use crate::engine::{EngineError, Looked, sent_step};
use crate::gitlab::draft_text::{self, DraftIs};
use crate::mirror::Standing;

impl Outgoing {
    /// Notes what became of an attempt, and tells GitLab. Where one of the two cannot be told now, the other remembers.
    pub(super) async fn resolve(
        &self,
        looked: &mut Looked,
        mut attempt: Attempt,
        outcome: AttemptOutcome,
        reason: Option<String>,
    ) -> Result<(), OutgoingError> {
        let iid = looked.record.iid;
        // Where that cannot be read now, what became of the mail is written down all the same.
        if self.is_erased(iid).unwrap_or(false) {
            return Ok(());
        }
        attempt.outcome = outcome;
        attempt.at = Some(self.now());
        attempt.reason = reason;
        if outcome == AttemptOutcome::Retried {
            // GitLab first: where it is not told, nothing is repeated.
            self.publish(looked, &attempt).await?;
            return Ok(self.engine().mirror().forget_attempt(&attempt).map_err(EngineError::from)?);
        }
        let kept = self.keep(looked, &attempt);
        let told = self.publish(looked, &attempt).await;
        match (kept, told) {
            (Ok(()), Ok(())) => {
                if let Err(error) = self.engine().mirror().forget_attempt(&attempt) {
                    tracing::warn!(iid, %error, "this disk goes on remembering what GitLab knows of an attempt");
                }
                Ok(())
            }
            (Ok(()), Err(error)) => {
                tracing::warn!(iid, error = %masked(&error.to_string()), "an attempt's comment could not be brought up to date yet");
                Ok(())
            }
            (Err(error), Ok(())) => {
                tracing::error!(iid, %error, "what became of an attempt is in its comment alone");
                Ok(())
            }
            // Nothing remembers that it left, or may have.
            (Err(error), Err(_)) if matches!(outcome, AttemptOutcome::Sent | AttemptOutcome::Unknown) => {
                let what = if outcome == AttemptOutcome::Sent { "it left" } else { "it may have left" };
                Err(OutgoingError::InDoubt(format!(
                    "{what}, and neither GitLab nor this disk could be told: {error}"
                )))
            }
            (Err(error), Err(_)) => Err(error.into()),
        }
    }

    /// Takes a comment back that came after a command beside this process had removed the match's data.
    pub(super) async fn take_back_if_erased(&self, looked: &Looked, note: u64) -> Result<(), OutgoingError> {
        let iid = looked.record.iid;
        if !self.is_erased(iid)? {
            return Ok(());
        }
        looked.connected.project.delete_comment(iid, note).await?;
        Err(OutgoingError::Unknown(iid))
    }

    /// Whether a command beside this process removed the match's data meanwhile: nothing is written down of it any more.
    pub(super) fn is_erased(&self, iid: u64) -> Result<bool, OutgoingError> {
        Ok(self.engine().mirror().record(iid)?.is_some_and(|record| record.standing == Standing::Erased))
    }

    /// Keeps on this disk what became of an attempt, until GitLab knows.
    fn keep(&self, looked: &mut Looked, attempt: &Attempt) -> Result<(), EngineError> {
        let outcome = attempt.outcome;
        let counts =
            matches!(outcome, AttemptOutcome::Sent | AttemptOutcome::Unknown | AttemptOutcome::Resolved);
        let sending = Sending {
            attempt: counts.then(|| attempt.clone()),
            archived: looked.record.sending.archived && outcome != AttemptOutcome::Sent,
            ..looked.record.sending.clone()
        };
        let kept = self.engine().mirror().keep_attempt(looked.record.iid, attempt);
        self.engine().keep_sending(&mut looked.record, sending)?;
        Ok(kept?)
    }

    /// Writes into an attempt's comment what became of it.
    async fn publish(&self, looked: &mut Looked, attempt: &Attempt) -> Result<(), OutgoingError> {
        let text = self.attempt_text(attempt)?;
        self.rewrite(looked, attempt.note, &text).await
    }

    /// Replaces the text of a comment. An earlier bot's may not be edited: the new text is written beside it, and counts
    /// from then on.
    async fn rewrite(&self, looked: &mut Looked, note: u64, text: &str) -> Result<(), OutgoingError> {
        let (connected, iid) = (&looked.connected, looked.record.iid);
        if looked.notes.iter().any(|one| one.id == note && !connected.may_edit(one)) {
            connected.project.comment(iid, text).await?;
            return Ok(self.engine().read_notes(looked).await?);
        }
        match connected.project.edit_comment(iid, note, text).await {
            // A single answer may be of a moment without rights, or a proxy's: the list says the same of one that somebody
            // deleted. Then GitLab cannot be told.
            Err(error) if error.is_gone() => {
                let notes = connected.project.notes(iid).await?;
                if notes.iter().any(|one| one.id == note) { Err(error.into()) } else { Ok(()) }
            }
            other => other.map(drop).map_err(Into::into),
        }
    }

    pub(super) fn attempt_text(&self, attempt: &Attempt) -> Result<String, EngineError> {
        let engine = self.engine();
        let sent = attempt.outcome == AttemptOutcome::Sent;
        let decision = if sent { Some(engine.sent_decision(attempt)?) } else { None };
        draft_text::attempt(engine.templates(), engine.policy().language, attempt, decision.as_deref())
            .map_err(|error| EngineError::Text(error.to_string()))
    }

    /// Brings GitLab up to date with what is known of a match's sending.
    pub(super) async fn finish(&self, looked: &mut Looked) -> Result<(), OutgoingError> {
        let mirror = self.engine().mirror();
        let iid = looked.record.iid;
        if self.is_erased(iid)? {
            return Ok(());
        }
        // Of a doubt that a person has resolved, or had repeated, GitLab knows more than this disk.
        let written = draft_text::attempts(&looked.notes);
        let is_over = |kept: &Attempt| {
            let is_it = |one: &Attempt| one.nonce == kept.nonce && !one.outcome.is_unresolved();
            kept.outcome.is_unresolved() && written.iter().any(is_it)
        };
        for attempt in mirror.kept_attempts(iid)? {
            if !is_over(&attempt) {
                self.publish(looked, &attempt).await?;
            }
            mirror.forget_attempt(&attempt)?;
        }
        if let Some(doubt) = looked.record.sending.doubt().cloned() {
            return self.settle_doubt(looked, doubt).await;
        }
        let Some(sent) = looked.record.sending.sent().cloned() else { return Ok(()) };
        if looked.record.state == State::Approved {
            let step = sent_step(&sent, &looked.notes);
            self.engine().label_sent(looked, step).await?;
        }
        self.archive(looked, &sent).await
    }

    /// An attempt that is not resolved: one whose maker is dead is in doubt, and a match that a person set to sent is
    /// resolved by them.
    async fn settle_doubt(&self, looked: &mut Looked, mut doubt: Attempt) -> Result<(), OutgoingError> {
        if self.is_under_way(&doubt).is_some() {
            return Ok(());
        }
        let interrupted = || "the service was interrupted while it sent".to_owned();
        if looked.record.state == State::Sent {
            doubt.resolved_by.clone_from(&looked.record.decided_by);
            let reason = doubt.reason.clone().or_else(|| Some(interrupted()));
            return self.resolve(looked, doubt, AttemptOutcome::Resolved, reason).await;
        }
        if doubt.outcome == AttemptOutcome::Open {
            return self.resolve(looked, doubt, AttemptOutcome::Unknown, Some(interrupted())).await;
        }
        Ok(())
    }

    /// The draft's comment becomes the archive of exactly what was sent.
    async fn archive(&self, looked: &mut Looked, sent: &Attempt) -> Result<(), OutgoingError> {
        let engine = self.engine();
        let note = super::draft::draft_note(looked).filter(|_| !looked.record.sending.archived);
        if let Some((note, content)) =
            note.and_then(|note| Some((note.id, draft_text::read_draft(&note.body).ok()?)))
        {
            let text = draft_text::draft(
                engine.templates(),
                engine.policy().language,
                &content,
                DraftIs::Sent(sent),
            )
            .map_err(|error| EngineError::Text(error.to_string()))?;
            self.rewrite(looked, note, &text).await?;
        }
        let sending = Sending { archived: true, ..looked.record.sending.clone() };
        Ok(engine.keep_sending(&mut looked.record, sending)?)
    }

    /// Does what sending has left to be said, of every match; says whether nothing of it failed.
    pub(super) async fn finish_sends(&self) -> bool {
        if !self.engine().may_tell() {
            return true;
        }
        let iids = match self.engine().mirror().unfinished_sends() {
            Ok(iids) => iids,
            Err(error) => {
                let error = masked(&error.to_string());
                tracing::warn!(%error, "the mirror could not be asked for unfinished sends");
                return false;
            }
        };
        let mut all_said = true;
        for iid in iids {
            if let Err(error) = self.finish_one(iid).await {
                let error = masked(&error.to_string());
                tracing::warn!(iid, %error, "GitLab could not be told yet what became of sending; it is tried again");
                all_said = false;
            }
        }
        all_said
    }

    async fn finish_one(&self, iid: u64) -> Result<(), OutgoingError> {
        let known = self.engine().mirror().record(iid)?;
        let doubt = known.as_ref().and_then(|record| record.sending.doubt());
        if doubt.is_some_and(|doubt| self.is_under_way(doubt).is_some()) {
            // Another instance sends: what becomes of it is its own to say.
            return Ok(());
        }
        let mut looked = self.engine().look_closely(iid).await?;
        self.finish(&mut looked).await
    }
}

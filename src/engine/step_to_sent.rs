//! What drafting and sending need of the sequencer: an issue looked at closely under its lock, and the step to sent.

use std::sync::Arc;

use super::locks::Held;
use super::texts::hidden_decision;
use super::{Connected, Decision, DecisionError, Engine, EngineError};
use crate::domain::State;
use crate::domain::history::Step;
use crate::domain::sending::{Attempt, AttemptOutcome, Sending};
use crate::gitlab::draft_text;
use crate::gitlab::notes::Note;
use crate::mirror::{Record, Standing};

/// The attempt that sent the mail of a match that is not sent yet.
pub(super) fn left_without_step(record: &Record) -> Option<&Attempt> {
    record.sending.sent().filter(|_| record.state == State::Approved && record.history_known)
}

/// The step that a successful attempt is: at the moment of its comment, which is the decision.
pub fn sent_step(sent: &Attempt, notes: &[Note]) -> Step {
    let note = notes.iter().find(|note| note.id == sent.note);
    Step {
        from: State::Approved,
        to: State::Sent,
        by: sent.by.clone(),
        at: note.map_or(sent.since, |note| note.created_at),
        through: sent.through,
        comment: sent.override_reason.clone(),
    }
}

/// A match as GitLab has it now, with our own comments. Nobody else touches it while this lives.
pub struct Looked {
    /// GitLab.
    pub connected: Arc<Connected>,
    /// The match.
    pub record: Record,
    /// Our comments, oldest first.
    pub notes: Vec<Note>,
    _one_at_a_time: Held<u64>,
}

impl Engine {
    /// Reads an issue and our comments on it afresh, follows what people did, and holds it.
    ///
    /// # Errors
    ///
    /// Where there is no such match, or GitLab or the mirror did not do its part.
    pub async fn look_closely(&self, iid: u64) -> Result<Looked, DecisionError> {
        let connected = self.connected().await?;
        self.may_write()?;
        self.rest_no_more(iid);
        let (_one_at_a_time, record) =
            self.hold_match(&connected, iid).await?.ok_or(DecisionError::Unknown(iid))?;
        let mut looked = Looked { connected, record, notes: Vec::new(), _one_at_a_time };
        self.read_notes(&mut looked).await?;
        Ok(looked)
    }

    /// Reads our comments on the match again.
    ///
    /// # Errors
    ///
    /// Where GitLab or the mirror did not do its part.
    pub async fn read_notes(&self, looked: &mut Looked) -> Result<(), EngineError> {
        let iid = looked.record.iid;
        looked.notes = looked.connected.our_notes(iid).await?;
        let sending = self.sending_of(iid, &looked.notes)?;
        self.keep_sending(&mut looked.record, sending)
    }

    /// Whether GitLab shows the match in this state right now.
    ///
    /// # Errors
    ///
    /// Where GitLab did not do its part.
    pub async fn stands_in(&self, looked: &Looked, state: State) -> Result<bool, EngineError> {
        let Some(issue) = self.read(&looked.connected, looked.record.iid, None).await? else {
            return Ok(false);
        };
        let observed = self.observe(&looked.connected.project, &issue).await?;
        Ok(observed.is_match && observed.closed == state.is_closed() && observed.states == [state].into())
    }

    /// Which of these issues GitLab shows in a state right now, among others or alone.
    ///
    /// # Errors
    ///
    /// Where GitLab did not do its part.
    pub async fn shown_as(
        &self,
        looked: &Looked,
        iids: &[u64],
        state: State,
    ) -> Result<Vec<u64>, EngineError> {
        if iids.is_empty() {
            return Ok(Vec::new());
        }
        let issues = looked.connected.project.issues_by_iid(iids).await?.into_iter();
        let shown = issues.filter(|issue| self.observed(issue).states.contains(&state));
        Ok(shown.map(|issue| issue.iid).collect())
    }

    /// Puts the label `sent` on a match whose mail has left; its attempt's comment is the decision.
    ///
    /// # Errors
    ///
    /// Where GitLab or the mirror did not do its part; the next look completes it.
    pub async fn label_sent(&self, looked: &mut Looked, step: Step) -> Result<(), EngineError> {
        looked.record = self.carry_out(&looked.connected, looked.record.clone(), step).await?;
        self.inner.news.notify_waiters();
        Ok(())
    }

    /// The step to sent of a match whose mail has left, where it has not been taken yet.
    pub(super) async fn step_of_what_left(
        &self,
        connected: &Connected,
        record: &Record,
    ) -> Result<Option<Step>, EngineError> {
        let Some(sent) = left_without_step(record) else { return Ok(None) };
        Ok(Some(sent_step(sent, &connected.project.notes(record.iid).await?)))
    }

    /// Notes the step to sent of a match whose mail has left and that people have moved since. Where it left before the disk
    /// was lost, an earlier one may have told of it, and nothing is said.
    pub(super) fn note_what_left(&self, record: &mut Record, step: &Step) -> Result<(), EngineError> {
        if self.is_fresh(record, step.at)? {
            return self.take_step(record, step);
        }
        record.follow(step);
        Ok(self.inner.mirror.put_quietly(record, step)?)
    }

    /// The hidden part that makes the comment of a successful attempt the decision to sent.
    ///
    /// # Errors
    ///
    /// Never in practice: its values can always be written as JSON.
    pub fn sent_decision(&self, attempt: &Attempt) -> Result<String, EngineError> {
        let decision = Decision {
            from: None,
            to: State::Sent,
            by: attempt.by.clone(),
            through: attempt.through,
            comment: attempt.override_reason.clone(),
        };
        hidden_decision(State::Approved, &decision, attempt.nonce)
    }

    /// Notes how sending stands.
    ///
    /// # Errors
    ///
    /// Where the mirror's disk fails.
    pub fn keep_sending(&self, record: &mut Record, sending: Sending) -> Result<(), EngineError> {
        if record.sending != sending {
            record.sending = sending;
            let now = self.inner.mirror.record(record.iid)?;
            // A command beside this process may have removed its data since it was read.
            if now.is_none_or(|now| now.standing != Standing::Erased) {
                self.inner.mirror.put(record, None)?;
            }
        }
        Ok(())
    }

    /// Rings where somebody has to look at an attempt: one without an end may be of a service that died, and one in doubt
    /// is resolved once the match is sent.
    pub(super) fn ring_for_sends(&self, record: &Record) {
        let open = |attempt: &Attempt| attempt.outcome == AttemptOutcome::Open;
        if record.sending.doubt().is_some_and(|attempt| open(attempt) || record.state == State::Sent) {
            self.inner.sends.notify_one();
        }
    }

    /// What our comments on a match say of its sending, with what only this disk knows.
    pub(super) fn sending_of(&self, iid: u64, notes: &[Note]) -> Result<Sending, EngineError> {
        Ok(draft_text::sending(notes, &self.inner.mirror.kept_attempts(iid)?))
    }
}

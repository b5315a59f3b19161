//! Decisions made through the service: a comment that says who decided, then the label.

use jiff::Timestamp;
use uuid::Uuid;

use super::locks::Held;
use super::texts::decision_of;
use super::tracker::application_of;
use super::{Connected, Engine, EngineError, history};
use crate::domain::State;
use crate::domain::decide::Repair;
use crate::domain::history::{Step, Through};
use crate::gitlab::Issue;
use crate::gitlab::labels::LabelKind;
use crate::mirror::{Raise, Record, Standing};

/// A decision that somebody makes through the service.
#[derive(Clone, Debug)]
pub struct Decision {
    /// The only state from which it is meant, for who decides without having looked; none where any will do.
    pub from: Option<State>,
    /// Where the match shall go.
    pub to: State,
    /// Who decides, as history shows it.
    pub by: String,
    /// Through what.
    pub through: Through,
    /// What they say about it.
    pub comment: Option<String>,
}

/// Why a decision was not made.
#[derive(Debug, thiserror::Error)]
pub enum DecisionError {
    /// There is no such match.
    #[error("there is no match {0}")]
    Unknown(u64),
    /// The table has no such step.
    #[error("a match that is {from} cannot become {to}")]
    NotAllowed {
        /// Where it is.
        from: State,
        /// Where it was to go.
        to: State,
        /// Where it may go.
        allowed: Vec<State>,
    },
    /// Something did not do its part.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl Engine {
    /// Makes a decision: reads the issue afresh, writes who decided, then the label. Repeating the present state
    /// changes nothing.
    ///
    /// # Errors
    ///
    /// [`DecisionError`]; where GitLab failed between the two writes, the next look at the issue completes it.
    pub fn decide(
        &self,
        iid: u64,
        decision: Decision,
    ) -> impl Future<Output = Result<Record, DecisionError>> + Send + use<> {
        let engine = self.clone();
        self.uncancelled("the decision", async move { engine.decide_once(iid, decision, None).await })
    }

    /// [`Engine::decide`] for who decides by how things stood at a moment: a decision since then of which nobody told us
    /// counts, even where it was taken back.
    ///
    /// # Errors
    ///
    /// As there; [`DecisionError::NotAllowed`] where somebody has decided since.
    pub fn decide_as_of(
        &self,
        iid: u64,
        decision: Decision,
        moment: Timestamp,
    ) -> impl Future<Output = Result<Record, DecisionError>> + Send + use<> {
        let engine = self.clone();
        self.uncancelled("the decision", async move { engine.decide_once(iid, decision, Some(moment)).await })
    }

    async fn decide_once(
        &self,
        iid: u64,
        decision: Decision,
        as_of: Option<Timestamp>,
    ) -> Result<Record, DecisionError> {
        let connected = self.connected().await?;
        self.may_write()?;
        if decision.through != Through::Service {
            self.rest_no_more(iid);
        }
        let (_one_at_a_time, mut record) =
            self.hold_match(&connected, iid).await?.ok_or(DecisionError::Unknown(iid))?;
        if let Some(moment) = as_of.filter(|moment| record.updated_at > *moment) {
            // Of a decision that was taken back the issue shows nothing, only its history does.
            let issue = self.read(&connected, iid, None).await?.ok_or(DecisionError::Unknown(iid))?;
            self.catch_up(&connected, &issue, &mut record).await?;
            let was_decided = record.decided_at.is_some_and(|decided| decided > moment);
            if was_decided && record.state != decision.to {
                let allowed = record.state.allowed(record.undo_sent());
                return Err(DecisionError::NotAllowed { from: record.state, to: decision.to, allowed });
            }
        }
        if record.state == decision.to {
            return Ok(record);
        }
        let is_meant = decision.from.is_none_or(|from| from == record.state);
        if !is_meant || !record.state.may_become(decision.to, record.undo_sent()) {
            let allowed = record.state.allowed(record.undo_sent());
            return Err(DecisionError::NotAllowed { from: record.state, to: decision.to, allowed });
        }
        let step = self.announce(&connected, &mut record, decision).await?;
        let carried_out = self.carry_out(&connected, record, step).await;
        if carried_out.is_err() {
            self.hint(iid, super::Hint::default());
        }
        self.inner.news.notify_waiters();
        Ok(carried_out?)
    }

    /// Holds a match's issue, read afresh and with what people did followed; none where there is no such match.
    pub(super) async fn hold_match(
        &self,
        connected: &Connected,
        iid: u64,
    ) -> Result<Option<(Held<u64>, Record)>, EngineError> {
        let held = self.inner.issues.hold(iid).await;
        let Some(issue) = self.read(connected, iid, None).await? else {
            return if self.is_there_all_the_same(connected, iid).await? {
                Err(EngineError::Stale)
            } else {
                Ok(None)
            };
        };
        self.settle(connected, issue).await?;
        if self.live(iid)?.is_some_and(|record| !record.history_known) {
            // After a lost disk: what was written down before may be the very decision that is asked for, and what the
            // labels show may be nobody's who may decide.
            let Some(issue) = self.read(connected, iid, None).await? else { return Ok(None) };
            let history = history::read(self, connected, &issue).await?;
            self.take_history(connected, &issue, history).await?;
            let Some(issue) = self.read(connected, iid, None).await? else { return Ok(None) };
            self.settle(connected, issue).await?;
        }
        match self.live(iid)? {
            // It was touched at this very moment.
            Some(record) if !record.history_known => Err(EngineError::Stale),
            record => Ok(record.map(|record| (held, record))),
        }
    }

    /// Whether a match that GitLab says is not there is: a copy of GitLab may not know of it yet, and a single answer may be of a
    /// moment without rights, or a proxy's.
    async fn is_there_all_the_same(&self, connected: &Connected, iid: u64) -> Result<bool, EngineError> {
        Ok(self.live(iid)?.is_some()
            && (self.may_not_be_copied_yet(iid)?
                || !connected.project.issues_by_iid(&[iid]).await?.is_empty()))
    }

    fn live(&self, iid: u64) -> Result<Option<Record>, EngineError> {
        Ok(self.inner.mirror.record(iid)?.filter(|record| record.standing == Standing::Live))
    }

    /// Writes who decided. An answer that got lost is looked for before it is written again.
    async fn announce(
        &self,
        connected: &Connected,
        record: &mut Record,
        decision: Decision,
    ) -> Result<Step, EngineError> {
        let nonce = Uuid::new_v4();
        let text = self.decision_text(record.state, &decision, nonce)?;
        // Until its label is on, the comment is to be read again, however many people delete meanwhile.
        self.inner.mirror.put(&Record { comments: 0, ..record.clone() }, None)?;
        let note = connected.comment_marked(record.iid, &text, &nonce.to_string()).await?;
        record.comments += 1;
        Ok(Step {
            from: record.state,
            to: decision.to,
            by: decision.by,
            at: note.created_at,
            through: decision.through,
            comment: decision.comment,
        })
    }

    /// Puts the label on that a decision's comment announced.
    pub(super) async fn carry_out(
        &self,
        connected: &Connected,
        mut record: Record,
        step: Step,
    ) -> Result<Record, EngineError> {
        self.may_follow()?;
        self.may_write()?;
        self.fresh_names(&connected.project).await?;
        let before = crate::domain::decide::Observed {
            is_match: true,
            states: [step.from].into(),
            closed: step.from.is_closed(),
        };
        let change = self.change_for(&Repair::towards(step.to, &before));
        if self.rests(record.iid, &change) {
            return Err(EngineError::NotTaken);
        }
        let result = connected.project.change_issue(record.iid, &change).await;
        let issue: Issue = self.note(result.map_err(EngineError::from))?;
        let is_taken = self.was_taken(&issue, &change);
        if !is_taken && !issue.labels.contains(&self.label_name(LabelKind::State(step.to))) {
            return Err(EngineError::NotTaken);
        }
        tracing::info!(iid = record.iid, from = %step.from, to = %step.to, through = ?step.through, "match {} is {} now", record.iid, step.to);
        record.follow(&step);
        record.updated_at = issue.updated_at;
        // What another process wrote since the issue was read is not read yet.
        record.comments = record.comments.min(issue.user_notes_count);
        self.inner.mirror.put(&record, Some(&step))?;
        self.ring_for_sends(&record);
        Ok(record)
    }

    /// New or edited comments on a match: the tracker's fields are taken over. Tells the last decision of ours that is
    /// newer than what is known: from the known state it is one whose label was never put on, and is to be completed,
    /// unless people acted since.
    pub(super) async fn read_comments(
        &self,
        connected: &Connected,
        issue: &Issue,
        record: &mut Record,
    ) -> Result<Option<Step>, EngineError> {
        let notes = connected.our_notes(issue.iid).await?;
        self.keep_sending(record, self.sending_of(issue.iid, &notes)?)?;
        self.ring_for_sends(record);
        let read = application_of(connected, &notes);
        let before = record.clone();
        record.note_application(read.as_ref().map(|read| read.application.clone()));
        if record.application != before.application {
            tracing::info!(iid = record.iid, "the application of match {} was edited in GitLab", record.iid);
        }
        if *record != before {
            self.inner.mirror.put(record, None)?;
        }
        if let Some(read) = read
            && let Err(error) = self.answer_edits(connected, record.iid, &notes, read).await
        {
            // What nobody may write, or GitLab does not take now, holds nothing up.
            tracing::warn!(iid = record.iid, %error, "what people wrote into the application's table could not be answered");
        }
        // Not kept before what they say is done: a decision that is not completed now is to be found again.
        record.comments = issue.user_notes_count;
        let last = notes.iter().filter_map(decision_of).next_back();
        // What was withdrawn meanwhile was staged anew.
        let since = record.decided_at.max(record.put_on_at);
        Ok(last.filter(|step| since.is_none_or(|since| step.at > since)))
    }

    /// Another process decided about a match that stood otherwise than it is known here: people had moved it, which was
    /// not heard of. Takes those steps as GitLab's history tells them; tells a decision that is still to be carried out.
    pub(super) async fn catch_up(
        &self,
        connected: &Connected,
        issue: &Issue,
        record: &mut Record,
    ) -> Result<Option<Step>, EngineError> {
        let history = history::read(self, connected, issue).await?;
        self.take_new_steps(record, &history)?;
        Ok(history.open_decision.filter(|decision| decision.from == record.state))
    }

    /// Goes where another process put a match, as GitLab's history tells it. Where what is known here is no part of that, it
    /// was seen otherwise there, and that counts; nothing is told of it once more.
    pub(super) async fn take_over(
        &self,
        connected: &Connected,
        issue: &Issue,
        record: &mut Record,
        state: State,
    ) -> Result<Option<Step>, EngineError> {
        let history = history::read(self, connected, issue).await?;
        if self.steps_after_the_known(record, &history)?.is_some() {
            self.take_new_steps(record, &history)?;
        }
        if record.state != state {
            record.state = state;
            if let Some(last) = history.steps.last() {
                record.note_decision(last);
            }
            self.inner.mirror.put_whole(record, &history.steps, None, Raise::Nothing)?;
        }
        Ok(history.open_decision.filter(|decision| decision.from == record.state))
    }

    /// Takes the steps of a history that are not known yet.
    fn take_new_steps(&self, record: &mut Record, history: &history::History) -> Result<(), EngineError> {
        record.put_on_at = history.put_on_at.max(record.put_on_at);
        let known_until = record.decided_at;
        let later = || history.steps.iter().filter(|step| known_until.is_none_or(|known| step.at > known));
        let new = self.steps_after_the_known(record, history)?;
        for step in new.map_or_else(|| later().collect(), |new| new.iter().collect::<Vec<_>>()) {
            if step.from == record.state {
                self.take_step(record, step)?;
            }
        }
        Ok(())
    }

    /// The steps of a history after those that are known, however close in time; none where it begins otherwise.
    fn steps_after_the_known<'h>(
        &self,
        record: &Record,
        history: &'h history::History,
    ) -> Result<Option<&'h [Step]>, EngineError> {
        let known = self.inner.mirror.steps(record.iid)?;
        let Some((begin, new)) = history.steps.split_at_checked(known.len()) else { return Ok(None) };
        let is_same = begin.iter().zip(&known).all(|(one, other)| one.is_same_as(other));
        Ok(is_same.then_some(new))
    }
}

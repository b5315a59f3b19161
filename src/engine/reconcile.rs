//! The one path from "look at issue N" to its consequences: read afresh, decide, write once, mirror.

use std::sync::PoisonError;

use jiff::{SignedDuration, Timestamp};

use super::step_to_sent::left_without_step;
use super::{Connected, Engine, EngineError, Hint};
use crate::domain::State;
use crate::domain::decide::{Act, Known, Refusal, Repair, Reviewers, Verdict, decide};
use crate::domain::history::{Step, Through};
use crate::gitlab::Issue;
use crate::gitlab::events::StateEvent;
use crate::gitlab::issues::IssueChange;
use crate::gitlab::notes::Note;
use crate::mirror::{Record, Standing};

/// An issue may be missing from copies of GitLab for so long after it was made.
pub(super) const NOT_COPIED_YET: SignedDuration = SignedDuration::from_secs(10);
/// How long the same wrong act is not explained again.
const EXPLAINED_FOR: SignedDuration = SignedDuration::from_mins(10);

impl Engine {
    /// Looks at an issue: reads it afresh and follows what people did.
    ///
    /// # Errors
    ///
    /// Where GitLab or the mirror did not do its part, or the read is older than the notice.
    pub(super) async fn reconcile(&self, iid: u64, hint: Hint) -> Result<(), EngineError> {
        let connected = self.connected().await?;
        let _one_at_a_time = self.inner.issues.hold(iid).await;
        let notice = hint.updated_at;
        if hint.by == Some(connected.us.id) && !connected.is_a_reviewers_token() && notice.is_some() {
            // The echo of our own write: its answer told us everything already.
            let seen = self.inner.mirror.record(iid)?.map(|record| record.updated_at);
            if seen == notice {
                return Ok(());
            }
        }
        match self.read(&connected, iid, notice).await? {
            Some(issue) => self.settle(&connected, issue).await?,
            // A copy of GitLab may not know of it yet.
            None if self.may_not_be_copied_yet(iid)? => return Err(EngineError::Stale),
            // A single answer may be of a moment without rights, or a proxy's: the list says the same of one that is gone.
            None if connected.project.issues_by_iid(&[iid]).await?.is_empty() => self.note_gone(iid, None)?,
            None => return Err(EngineError::Stale),
        }
        // Whatever it turned out to be.
        self.unmet().remove(&iid);
        Ok(())
    }

    /// Reads an issue afresh; none where it is gone. An answer older than GitLab's own notice, or than what it has told
    /// us already, comes from a copy that lags behind: acting on it would undo what people did. Where it stays so for
    /// minutes GitLab was set back, and what it told before is forgotten.
    pub(super) async fn read(
        &self,
        connected: &Connected,
        iid: u64,
        notice: Option<Timestamp>,
    ) -> Result<Option<Issue>, EngineError> {
        let issue = match self.note(connected.project.issue(iid).await.map_err(EngineError::from)) {
            Ok(issue) => issue,
            Err(EngineError::Gitlab(error)) if error.is_gone() => return Ok(None),
            Err(error) => return Err(error),
        };
        let known = self.inner.mirror.record(iid)?.filter(|record| record.issue_id == issue.id);
        let newest = notice.max(known.as_ref().map(|record| record.updated_at));
        if newest.is_some_and(|newest| is_older(&issue, newest)) {
            self.refuse_a_lagging_copy(&issue)?;
            if let Some(mut record) = known.filter(|record| is_older(&issue, record.updated_at)) {
                record.updated_at = issue.updated_at;
                self.inner.mirror.put(&record, None)?;
            }
        }
        Ok(Some(issue))
    }

    /// Follows what an issue says. The caller holds the issue's lock.
    pub(super) async fn settle(&self, connected: &Connected, issue: Issue) -> Result<(), EngineError> {
        if let Some(fingerprint) = self.left_of(connected, &issue) {
            return self.note_erased(&issue, fingerprint);
        }
        if issue.moved_to_id.is_some() {
            return self.note_gone(issue.iid, Some(issue.updated_at));
        }
        if self.is_about_settings(connected, &issue) {
            self.read_settings(connected, None).await?;
        }
        let known = self.inner.mirror.record(issue.iid)?;
        let live = |record: &Record| matches!(record.standing, Standing::Live | Standing::Withdrawn);
        match known.filter(|record| live(record) && record.issue_id == issue.id) {
            // A command beside this process wrote since the issue was read: our locks do not reach into it.
            Some(record) if is_older(&issue, record.updated_at) => Err(EngineError::Stale),
            Some(record) if self.first_of(&record)?.is_some_and(|first| first.iid != record.iid) => {
                self.meet(connected, issue).await
            }
            // What it was taken in with may be nobody's who may decide, or of a copy that lagged: nothing is judged from there.
            Some(mut record) if self.has_changed_unread(&issue, &record) => {
                let observed = self.observe(&connected.project, &issue).await?;
                self.read_in(connected, &issue, &observed, &mut record).await
            }
            Some(record) => self.follow(connected, issue, record).await,
            None => self.meet(connected, issue).await,
        }
    }

    /// Whether an issue that was taken in without its history has changed since, or is shown otherwise than then.
    fn has_changed_unread(&self, issue: &Issue, record: &Record) -> bool {
        let is_as_then =
            record.updated_at == issue.updated_at && self.observed(issue).agrees_with(known(record));
        !record.history_known && !is_as_then
    }

    pub(super) fn may_not_be_copied_yet(&self, iid: u64) -> Result<bool, EngineError> {
        let made = self.inner.mirror.record(iid)?.map(|record| record.created_at);
        Ok(made.is_some_and(|made| self.inner.clock.now().duration_since(made).abs() < NOT_COPIED_YET))
    }

    /// Of an erased match it stays known that it was, wherever its issue is: it is not staged again. `moved_at` is when an
    /// issue was last touched that was moved: a copy that lags shows it as it was before.
    fn note_gone(&self, iid: u64, moved_at: Option<Timestamp>) -> Result<(), EngineError> {
        let is_news = |record: &Record| !matches!(record.standing, Standing::Gone | Standing::Erased);
        if let Some(mut record) = self.inner.mirror.record(iid)?.filter(is_news) {
            tracing::info!(iid, "issue {iid} was deleted, moved or hidden from us");
            self.inner.untaken.forget_all(iid);
            record.standing = Standing::Gone;
            record.updated_at = moved_at.unwrap_or(record.updated_at);
            self.inner.mirror.put(&record, None)?;
        }
        Ok(())
    }

    /// A match that the mirror knows.
    pub(super) async fn follow(
        &self,
        connected: &Connected,
        issue: Issue,
        mut record: Record,
    ) -> Result<(), EngineError> {
        let read = record.clone();
        let written = self.read_new_comments(connected, &issue, &mut record).await?;
        let shown = self.observe(&connected.project, &issue).await?;
        let mut observed = shown.clone();
        // Nobody decides before that step is taken.
        let is_behind = left_without_step(&record).is_some();
        if written.is_none()
            && !is_behind
            && observed.agrees_with(known(&record))
            && !self.may_hide_acts(connected, &issue, &record)
        {
            let issue = match record.state {
                State::Pending => self.repair_if_just_made(connected, issue).await,
                _ => issue,
            };
            return self.refresh(&issue, &read, record);
        }
        let (acts, written) = self.acts(connected, &issue, &mut observed, &mut record, written).await?;
        let mail_that_left = self.step_of_what_left(connected, &record).await?;
        let is_all_of_it = |step: &&Step| acts.iter().all(|act| act.is_part_of(step.to));
        if let Some(step) = mail_that_left.as_ref().or(written.as_ref()).filter(is_all_of_it) {
            tracing::info!(iid = record.iid, to = %step.to, "a decision that was written down is completed");
            let step = step.clone();
            return self.carry_out(connected, record, step).await.map(drop);
        }
        if let Some(step) = &mail_that_left {
            // No act takes a mail back: what people did meanwhile is judged as if the label had been on already.
            tracing::info!(iid = record.iid, "the application of match {} has left", record.iid);
            self.note_what_left(&mut record, step)?;
        }
        let put_off = written.filter(|_| mail_that_left.is_none());
        let reviewers = self.reviewers(connected);
        if shown.agrees_with(known(&record)) && !has_a_strangers_act(&acts, &reviewers) {
            return match put_off {
                // What people did they undid themselves.
                Some(step) => self.carry_out(connected, record, step).await.map(drop),
                None => self.refresh(&issue, &read, record),
            };
        }
        let iid = issue.iid;
        let verdict = decide(known(&record), &observed, &acts, &reviewers).repairing(&shown);
        // What people did since is undone, and it is still the state that the decision started from.
        let is_owed = put_off.is_some() && verdict.steps.is_empty() && !verdict.withdrawn;
        self.carry_out_verdict(connected, issue, record, verdict, is_owed).await?;
        match put_off {
            Some(step) => self.complete_or_void(connected, iid, step, is_owed).await,
            None => Ok(()),
        }
    }

    /// Reads our comments where there may be new or edited ones, and takes over what they say. Tells the decision whose label
    /// was never put on.
    async fn read_new_comments(
        &self,
        connected: &Connected,
        issue: &Issue,
        record: &mut Record,
    ) -> Result<Option<Step>, EngineError> {
        // Comments of ours that a person edits leave no other trace than the issue's time. A mirror of an earlier version
        // does not tell of a tracker whose fields are all empty.
        let has_tracker = record.has_tracker || !record.application.is_empty();
        let may_be_edited =
            (has_tracker && issue.updated_at != record.updated_at) || record.sending.doubt().is_some();
        // After a lost disk it is not known yet who sent it: what we have sent ourselves nobody takes back.
        let is_unread = !record.history_known && record.state == State::Sent && issue.user_notes_count > 0;
        let written = if issue.user_notes_count > record.comments || may_be_edited || is_unread {
            self.read_comments(connected, issue, record).await?
        } else {
            None
        };
        // Which of old decisions is open is told by the history alone. What is withdrawn nobody decides about.
        let mut written = written.filter(|_| record.history_known && record.standing == Standing::Live);
        if written.take_if(|step| step.from != record.state).is_some() {
            written = self.catch_up(connected, issue, record).await?;
        }
        Ok(written)
    }

    /// A decision that was written down, after people acted: where what they did is undone and it is still the state that the
    /// decision started from, it is completed; else it was about another state of things.
    async fn complete_or_void(
        &self,
        connected: &Connected,
        iid: u64,
        step: Step,
        is_owed: bool,
    ) -> Result<(), EngineError> {
        let now = self.inner.mirror.record(iid)?;
        let Some(record) = now.filter(|record| is_owed && record.state == step.from) else {
            tracing::info!(iid, to = %step.to, "a decision that was written down is void: people acted since");
            return Ok(());
        };
        tracing::info!(iid, to = %step.to, "a decision that was written down is completed");
        self.carry_out(connected, record, step).await.map(drop)
    }

    /// Whether an issue that looks as it should may have been decided about, and a stranger have hidden that.
    pub(super) fn may_hide_acts(&self, connected: &Connected, issue: &Issue, record: &Record) -> bool {
        let counts = matches!(record.standing, Standing::Live | Standing::Withdrawn);
        let is_touched = issue.updated_at != record.updated_at && counts;
        is_touched && record.history_known && self.reviewers(connected).enforced
    }

    /// Whose decisions count. Where the token is a reviewer's own, the service's acts look like theirs, and nobody's can
    /// be taken back.
    pub(super) fn reviewers(&self, connected: &Connected) -> Reviewers {
        let policy = self.policy();
        let enforced = policy.reviewers.enforced && !connected.is_a_reviewers_token();
        Reviewers { enforced, usernames: policy.reviewers.usernames.clone() }
    }

    /// Nothing happened that concerns the state: takes over what else may have changed since it was `read` from the mirror.
    fn refresh(&self, issue: &Issue, read: &Record, mut record: Record) -> Result<(), EngineError> {
        self.inner.lagging.forget(issue.iid);
        self.inner.untaken.forget_labels(issue.iid);
        record.updated_at = issue.updated_at;
        record.comments = issue.user_notes_count;
        record.web_url.clone_from(&issue.web_url);
        if record.nonce.is_none() {
            record.job.title.clone_from(&issue.title);
        }
        // Where nothing changed nothing is written: a command beside this process may have removed its data meanwhile.
        if record != *read {
            self.inner.mirror.put(&record, None)?;
        }
        Ok(())
    }

    /// Carries a verdict out: one write, the mirror, and where something was undone one sentence why. Where a decision that
    /// was written down `is_owed`, its comment is read again until its label is on.
    pub(super) async fn carry_out_verdict(
        &self,
        connected: &Connected,
        issue: Issue,
        mut record: Record,
        verdict: Verdict,
        is_owed: bool,
    ) -> Result<(), EngineError> {
        let iid = issue.iid;
        if verdict.refusal.is_some() || !verdict.repair.is_empty() {
            self.may_follow()?;
            self.may_write()?;
        }
        // Before our own write closes it.
        let is_news = |at: &Timestamp| record.decided_at.is_none_or(|last| *at > last);
        let closed_at = issue.closed_at.filter(is_news);
        let closed_by = issue.closed_by.clone().filter(|user| !connected.is_us(user.id));
        let closed_by = closed_by.filter(|_| issue.closed_at.is_none() || closed_at.is_some());
        // What another process writes after this read is not read yet.
        let mut comments = issue.user_notes_count;
        let writing = async {
            if let Some(refusal) = &verdict.refusal {
                // It says where the match stays, which may be where an act before it led.
                let stays = Record { state: verdict.state, ..record.clone() };
                comments += u64::from(self.explain(connected, &issue, &stays, refusal).await?);
            }
            self.repair(connected, issue, &verdict.repair).await
        };
        let decides_nothing = verdict.steps.is_empty() && !verdict.repair.is_empty();
        let issue = if verdict.refusal.is_some() || decides_nothing {
            connected.keeping_todo(iid, writing).await?
        } else {
            writing.await?
        };
        let steps = verdict.steps.into_iter().map(|decided| {
            let closed_by = closed_by.as_ref().filter(|_| decided.to.is_closed());
            let closed_at = closed_at.filter(|_| closed_by.is_some());
            Step {
                from: decided.from,
                to: decided.to,
                by: decided.by.or_else(|| closed_by.map(|user| user.username.clone())).unwrap_or_default(),
                at: decided.at.or(closed_at).unwrap_or(issue.updated_at),
                through: Through::Gitlab,
                comment: None,
            }
        });
        let mut steps: Vec<Step> = steps.collect();
        // That it counts no more comes after them.
        let last = if verdict.withdrawn { None } else { steps.pop() };
        if !verdict.withdrawn && !steps.is_empty() {
            // That it is there again comes before what happened to it since.
            record.standing = Standing::Live;
        }
        for step in &steps {
            self.take_step(&mut record, step)?;
        }
        if let Some(step) = &last {
            tracing::info!(iid, from = %step.from, to = %step.to, "match {iid} is {} now", step.to);
            record.note_decision(step);
        }
        if record.standing == Standing::Live && verdict.withdrawn {
            tracing::info!(iid, "match {iid} is withdrawn");
        }
        record.state = verdict.state;
        record.standing = if verdict.withdrawn { Standing::Withdrawn } else { Standing::Live };
        record.updated_at = issue.updated_at;
        record.comments = if is_owed { 0 } else { comments.min(issue.user_notes_count) };
        self.inner.mirror.put(&record, last.as_ref())?;
        self.ring_for_sends(&record);
        Ok(())
    }

    /// Writes a repair. A label that was renamed meanwhile must not be made a second time under its old name.
    pub(super) async fn repair(
        &self,
        connected: &Connected,
        issue: Issue,
        repair: &Repair,
    ) -> Result<Issue, EngineError> {
        if repair.add_match || repair.add.is_some() {
            self.fresh_names(&connected.project).await?;
        }
        self.write(connected, issue, &self.change_for(repair)).await
    }

    /// Writes a change and checks that GitLab did it.
    pub(super) async fn write(
        &self,
        connected: &Connected,
        issue: Issue,
        change: &IssueChange,
    ) -> Result<Issue, EngineError> {
        if change.is_empty() {
            return Ok(issue);
        }
        self.may_follow()?;
        self.may_write()?;
        if self.rests(issue.iid, change) {
            return Ok(issue);
        }
        let issue =
            self.note(connected.project.change_issue(issue.iid, change).await.map_err(EngineError::from))?;
        self.was_taken(&issue, change);
        Ok(issue)
    }

    /// Tells people in one sentence why their act is undone; the same act again within ten minutes is not explained. Before
    /// the labels go back: afterwards nothing would tell that a sentence is missing. Says whether it wrote a comment, which
    /// GitLab may refuse.
    pub(super) async fn explain(
        &self,
        connected: &Connected,
        issue: &Issue,
        record: &Record,
        refusal: &Refusal,
    ) -> Result<bool, EngineError> {
        let now = self.inner.clock.now();
        let key = (record.iid, refusal.clone());
        let explained = || self.inner.explained.lock().unwrap_or_else(PoisonError::into_inner);
        explained().retain(|_, at| now.duration_since(*at).abs() < EXPLAINED_FOR);
        if explained().contains_key(&key) {
            return Ok(false);
        }
        tracing::info!(iid = record.iid, ?refusal, "an act on match {} is undone", record.iid);
        let text = self.refusal_text(refusal, record)?;
        // Before the last start, or by another instance.
        if self.has_said(connected, issue, &text, now.checked_sub(EXPLAINED_FOR).ok()).await? {
            explained().insert(key, now);
            return Ok(false);
        }
        // Where it is unclear whether it stands there, the next look finds it or writes it; the labels wait for it.
        // On the heap: the look at an issue is deep as it is.
        let writing = connected.comment_if_taken(record.iid, &text);
        let written = Box::pin(connected.keeping_todo(record.iid, writing)).await?;
        explained().insert(key, now);
        Ok(written)
    }

    /// Notes a step that GitLab knows of already.
    pub(super) fn take_step(&self, record: &mut Record, step: &Step) -> Result<(), EngineError> {
        record.follow(step);
        Ok(self.inner.mirror.put(record, Some(step))?)
    }

    /// Whether we have said this on the issue already, at or after a moment.
    pub(super) async fn has_said(
        &self,
        connected: &Connected,
        issue: &Issue,
        text: &str,
        since: Option<Timestamp>,
    ) -> Result<bool, EngineError> {
        if issue.user_notes_count == 0 {
            return Ok(false);
        }
        let is_it = |note: &Note| {
            note.body.trim() == text.trim() && since.is_none_or(|since| note.created_at >= since)
        };
        Ok(connected.our_notes(issue.iid).await?.iter().any(is_it))
    }
}

/// Whether an issue was read before GitLab told us of a change at that moment. GitLab prints milliseconds and keeps
/// microseconds, so the same change may seem a millisecond older.
pub(super) fn is_older(issue: &Issue, known: Timestamp) -> bool {
    is_newer(known, issue.updated_at)
}

pub(super) fn is_newer(notice: Timestamp, shown: Timestamp) -> bool {
    notice.duration_since(shown) > SignedDuration::from_millis(1)
}

pub(super) fn known(record: &Record) -> Known {
    Known {
        state: record.state,
        withdrawn: record.standing == Standing::Withdrawn,
        undo_sent: record.undo_sent(),
    }
}

/// Whether somebody closed or reopened a match after the last step: whatever was last counts.
pub(super) fn is_newer_than_the_step(event: &StateEvent, record: &Record) -> bool {
    record.decided_at.is_none_or(|at| event.created_at > at)
}

/// Whether somebody who may not decide is among those who acted.
pub(super) fn has_a_strangers_act(acts: &[Act], reviewers: &Reviewers) -> bool {
    acts.iter().any(|act| !reviewers.may(act.by.as_deref()))
}

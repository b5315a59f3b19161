//! An issue that the mirror does not know: one of ours after a lost disk is taken in; a second one of a match and one made
//! by hand go their own ways (second_issues.rs, adoption.rs).

use std::collections::BTreeMap;
use std::sync::{MutexGuard, PoisonError};

use super::acts::state_act;
use super::reconcile::{is_newer_than_the_step, known};
use super::stage::new_record;
use super::{Connected, Engine, EngineError, Hint, history};
use crate::domain::decide::{Act, Observed, Reviewers, What, decide};
use crate::domain::identity::{Fingerprint, Role};
use crate::domain::{JobMatch, State};
use crate::gitlab::Issue;
use crate::gitlab::events::StateEvent;
use crate::gitlab::issue_text::{self, Staged};
use crate::mirror::{Record, Standing};

/// What an issue of ours is for that is met only once everything has been read.
pub(super) struct Unmet {
    fingerprint: Fingerprint,
    job: JobMatch,
}

impl Engine {
    /// An issue that the mirror does not know, or knows as gone, ignored or a duplicate.
    pub(super) async fn meet(&self, connected: &Connected, issue: Issue) -> Result<(), EngineError> {
        if self.note_if_by_an_earlier_bot(connected, &issue).await? {
            return Ok(());
        }
        let observed = self.observe(&connected.project, &issue).await?;
        let ours = connected.is_us(issue.author.id);
        match self.staged_as(connected, &issue) {
            Some((staged, fingerprint)) => {
                self.remember_user(&issue.author)?;
                let first = self.inner.mirror.record_of(&fingerprint)?.filter(|first| first.iid != issue.iid);
                let mut record = new_record(&issue, staged.job, Some(staged.nonce), State::Pending);
                match self.unless_edited(connected, &mut record, first).await? {
                    Some(first) if first.iid < issue.iid => {
                        self.retire(connected, issue, &observed, record, &first).await
                    }
                    Some(later) => {
                        // The later one was met first: it gives way to this one.
                        self.take_in(connected, &issue, &observed, &mut record).await?;
                        if record.standing != Standing::Duplicate {
                            self.hint(later.iid, Hint::default());
                            let later = Record { standing: Standing::Duplicate, ..later };
                            self.inner.mirror.put(&later, None)?;
                        }
                        Ok(())
                    }
                    None => self.take_in(connected, &issue, &observed, &mut record).await,
                }
            }
            // The settings issue is no match, whatever people put on it.
            None if ours && self.is_about_settings(connected, &issue) => Ok(()),
            None if observed.is_match => self.adopt(connected, issue, &observed, ours).await,
            None => self.note_no_match(issue.iid),
        }
    }

    /// The other issue of a match, unless somebody has edited the text of one of the two: what it says there of the match is
    /// not known to be ours any more, and neither gives way. The one that was edited has no identity from now on.
    async fn unless_edited(
        &self,
        connected: &Connected,
        record: &mut Record,
        other: Option<Record>,
    ) -> Result<Option<Record>, EngineError> {
        let Some(other) = other else { return Ok(None) };
        let edited = async |iid| {
            let editor = connected.project.last_editor(iid).await?;
            Ok::<_, EngineError>(editor.is_some_and(|editor| !connected.is_us(editor.id)))
        };
        if edited(record.iid).await? {
            warn_of_edited(record.iid, other.iid);
            record.nonce = None;
            return Ok(None);
        }
        // What was made while this disk follows the project is known from then.
        let is_old = !self.is_fresh(&other, other.created_at)?;
        if is_old && edited(other.iid).await? && self.says_as_known(connected, &other).await? {
            warn_of_edited(other.iid, record.iid);
            // As it is by now: it was not held meanwhile.
            if let Some(mut other) = self.inner.mirror.record(other.iid)? {
                other.nonce = None;
                self.inner.mirror.put(&other, None)?;
            }
            return Ok(None);
        }
        Ok(Some(other))
    }

    /// Whether the mirror knows of a match just what its issue's text says now: then it may have it from there.
    async fn says_as_known(&self, connected: &Connected, record: &Record) -> Result<bool, EngineError> {
        let Some(issue) = self.read(connected, record.iid, None).await? else { return Ok(false) };
        Ok(self.staged_as(connected, &issue).is_some_and(|(staged, _)| staged.job == record.job))
    }

    /// What an issue of ours was made for.
    pub(super) fn staged_as(&self, connected: &Connected, issue: &Issue) -> Option<(Staged, Fingerprint)> {
        let ours = connected.is_us(issue.author.id);
        let staged = issue_text::read_back(&issue.description).filter(|_| ours)?;
        let fingerprint = Fingerprint::of(&staged.job, staged.nonce);
        Some((staged, fingerprint))
    }

    /// Of an issue that is met only once everything has been read: which match it is, so that nobody stages that once
    /// more before.
    pub(super) fn meet_later(&self, connected: &Connected, issue: &Issue) {
        if let Some((staged, fingerprint)) = self.staged_as(connected, issue) {
            self.unmet().insert(issue.iid, Unmet { fingerprint, job: staged.job });
        }
        self.hint(issue.iid, Hint::default());
    }

    /// Meets the issue of a match that is not in the mirror yet, if there is one.
    pub(super) async fn meet_now(&self, fingerprint: &Fingerprint) -> Result<(), EngineError> {
        let unmet =
            self.unmet().iter().find(|(_, unmet)| unmet.fingerprint == *fingerprint).map(|(iid, _)| *iid);
        match unmet {
            Some(iid) => self.reconcile(iid, Hint::default()).await,
            None => Ok(()),
        }
    }

    /// Meets all that were to be met later, for a process that only reads: whoever follows the project takes what was read
    /// for everything, and has not heard of them.
    pub(super) async fn meet_all(&self) -> Result<(), EngineError> {
        let iids: Vec<u64> = self.unmet().keys().copied().collect();
        for iid in iids {
            if let Err(error) = self.reconcile(iid, Hint::default()).await {
                self.looks_again(iid, error)?;
            }
        }
        Ok(())
    }

    /// The issues of the same role through another agency of which it is not known yet how they stand.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn unread_of_the_same_role(&self, job: &JobMatch, but: u64) -> Result<Vec<u64>, EngineError> {
        let is_unread = |record: &Record| record.standing != Standing::Gone && !record.history_is_read();
        let alike = self.inner.mirror.of_the_same_role(job, Some(but))?;
        let mut unread: Vec<u64> =
            alike.iter().filter(|record| is_unread(record)).map(|record| record.iid).collect();
        if let Some(role) = Role::of(job) {
            let is_alike =
                |job: &JobMatch| Role::of(job).is_some_and(|other| role.is_possible_duplicate_of(&other));
            let unmet = self.unmet();
            unread.extend(unmet.iter().filter(|(_, unmet)| is_alike(&unmet.job)).map(|(iid, _)| *iid));
        }
        Ok(unread)
    }

    /// Reads what is not known yet of the possible duplicates of a match, as far as GitLab tells it now.
    ///
    /// # Errors
    ///
    /// Where the disk fails, or GitLab answers nobody.
    pub async fn read_those_of_the_same_role(&self, iid: u64) -> Result<(), EngineError> {
        let Some(record) = self.inner.mirror.record(iid)? else { return Ok(()) };
        for other in self.unread_of_the_same_role(&record.job, iid)? {
            let connected = self.connected().await?;
            let read = match self.inner.mirror.record(other)? {
                Some(known) if !known.history_is_read() => self.read_history(&connected, other).await,
                _ => self.reconcile(other, Hint::default()).await,
            };
            if let Err(error) = read {
                self.looks_again(other, error)?;
            }
        }
        Ok(())
    }

    /// Issues of ours that are still to be met, by their numbers.
    pub(super) fn unmet(&self) -> MutexGuard<'_, BTreeMap<u64, Unmet>> {
        self.inner.unmet.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Labels that somebody had put on who may not are off again.
    fn note_no_match(&self, iid: u64) -> Result<(), EngineError> {
        let ignored = self.inner.mirror.record(iid)?.filter(|record| record.standing == Standing::Ignored);
        if let Some(mut record) = ignored {
            record.standing = Standing::Gone;
            self.inner.mirror.put(&record, None)?;
        }
        Ok(())
    }

    /// Takes in an issue of ours that the mirror does not know: after a lost disk, or from another instance.
    pub(super) async fn take_in(
        &self,
        connected: &Connected,
        issue: &Issue,
        observed: &Observed,
        record: &mut Record,
    ) -> Result<(), EngineError> {
        let mut labels = observed.states.iter();
        let settled = match (labels.next(), labels.next()) {
            (Some(only), None) if only.is_closed() == observed.closed => Some(*only),
            _ => None,
        };
        // An issue that nobody touched since it was made has no history to be read.
        let untouched = settled == Some(State::Pending)
            && issue.updated_at == issue.created_at
            && issue.user_notes_count == 0;
        record.history_known = untouched;
        let is_news = self.is_fresh(record, record.created_at)? || self.match_again_since(record)?.is_some();
        // Of news every step is told in its turn; what is old may have its history read later.
        if let Some(state) = settled.filter(|_| observed.is_match && (untouched || !is_news)) {
            record.state = state;
            if untouched && self.may_lack_something(connected, issue) {
                // At the first read nothing is written; looking at it again compares.
                self.hint(record.iid, Hint::default());
            }
            if is_news {
                self.inner.mirror.put_new(record)?;
            } else {
                self.inner.mirror.put(record, None)?;
            }
            return Ok(());
        }
        self.read_in(connected, issue, observed, record).await
    }

    /// Takes in an issue with its whole history: who moved it there, and what follows.
    pub(super) async fn read_in(
        &self,
        connected: &Connected,
        issue: &Issue,
        observed: &Observed,
        record: &mut Record,
    ) -> Result<(), EngineError> {
        let history = history::read(self, connected, issue).await?;
        if history.gave_way && !observed.is_match {
            // Whatever became of the first one since: nobody withdrew this one.
            (record.standing, record.history_known) = (Standing::Duplicate, true);
            return Ok(self.inner.mirror.put(record, None)?);
        }
        record.state = history.state;
        record.note_application(history.application.clone());
        record.put_on_at = history.put_on_at;
        record.label_event = history.label_event;
        record.updated_at = issue.updated_at;
        record.standing = Standing::Live;
        (record.history_known, record.verdict_owed) = (true, false);
        record.sending = history.sending.clone();
        if let Some(last) = history.steps.last() {
            record.note_decision(last);
        }
        let reviewers = self.reviewers(connected);
        if !observed.is_match && !is_off_by_strangers(&history.open_acts, &reviewers) {
            record.standing = Standing::Withdrawn;
        }
        let is_owed = history.open_decision.is_some() && record.standing == Standing::Live;
        if is_owed {
            // Until its label is on, the comment of a decision is to be read again.
            record.comments = 0;
            self.put_history(record, &history)?;
            return Box::pin(self.follow(connected, issue.clone(), record.clone())).await;
        }
        let (mut observed, mut acts) = (observed.clone(), history.open_acts.clone());
        if record.state.is_closed() != observed.closed {
            // Closed or reopened by somebody, or did the service not come to it after the label was moved? Both look
            // the same now; whatever was last counts.
            let events = connected.project.state_events(issue.iid).await?;
            let shows = |event: &StateEvent| event.closes() == observed.closed;
            let by_hand = |last: &StateEvent| shows(last) && is_newer_than_the_step(last, record);
            if events.last().is_some_and(by_hand) {
                let since = events.iter().rposition(|event| !shows(event)).map_or(0, |last| last + 1);
                acts.extend(events[since..].iter().filter_map(|event| state_act(connected, event)));
                acts.sort_by_key(|act| act.at);
            } else if observed.states.len() == 1 {
                observed.closed = record.state.is_closed();
            }
        }
        let verdict = decide(known(record), &observed, &acts, &reviewers).repairing(&self.observed(issue));
        let verdict_owed = verdict.state != record.state;
        let kept = Record { history_known: !verdict_owed, verdict_owed, ..record.clone() };
        self.put_history(&kept, &history)?;
        self.carry_out_verdict(connected, issue.clone(), record.clone(), verdict, false).await
    }
}

/// Whether `job-match` is off only because strangers took it off: of those who may, the last one to touch it put it on, or
/// none did. A stranger's own putting back is not counted: had the service seen the match on, it would have undone their
/// taking it off.
fn is_off_by_strangers(acts: &[Act], reviewers: &Reviewers) -> bool {
    let mut taken_off = acts.iter().filter(|act| act.what == What::Withdraw);
    let mut of_who_may = acts.iter().filter(|act| reviewers.may(act.by.as_deref()));
    let last = of_who_may.rfind(|act| matches!(act.what, What::Withdraw | What::PutBack));
    taken_off.next().is_some() && last.is_none_or(|act| act.what == What::PutBack)
}

fn warn_of_edited(iid: u64, other: u64) {
    tracing::warn!(iid, "issue {iid} says that it is match {other}, in a text that somebody has edited");
}

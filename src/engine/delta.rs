//! The delta read: what changed in GitLab since we last looked, so that a lost webhook is only a later one.

use std::sync::atomic::{AtomicU64, Ordering};

use jiff::{SignedDuration, Timestamp};
use reqwest::StatusCode;

use super::reconcile::known;
use super::{Connected, Engine, EngineError, Hint};
use crate::gitlab::{GitlabError, Issue};
use crate::mirror::{Fact, Record, Standing};

/// Read again at each delta: a change may become visible after a later one.
const OVERLAP: SignedDuration = SignedDuration::from_secs(60);
/// Issues asked for by number in one call: GitLab's largest page.
const AT_ONCE: usize = 100;
/// Open issues that are asked for at each delta read: twenty calls.
const OPEN_AT_ONCE: usize = 2_000;

/// What became of an issue in a list.
enum Seen {
    /// What it says was known, or is followed.
    Followed,
    /// It is looked at later, once everything has been read, or by whoever follows the project, or once an earlier bot has been
    /// listed: the next read begins no later than with it, for a process that ends before that leaves no trace of it.
    LookedAtLater,
}

impl Engine {
    /// Reads what changed since the last delta read and looks after issues that may have vanished.
    ///
    /// # Errors
    ///
    /// Where GitLab or the mirror did not do its part; what was read until then is kept.
    pub async fn delta(&self) -> Result<(), EngineError> {
        let _one_at_a_time = self.inner.delta.lock().await;
        let result = self.delta_once().await;
        self.note_writing(result.as_ref());
        self.note(result)
    }

    async fn delta_once(&self) -> Result<(), EngineError> {
        let connected = self.connected().await?;
        self.check_fitness(&connected).await?;
        // What a kill kept from being done.
        if let Err(error) = self.inner.mirror.wipe() {
            tracing::warn!(%error, "what was erased may stand in free pages of the mirror's file; they are wiped at the next read");
        }
        self.read_labels(&connected.project).await?;
        let mut settings = Vec::new();
        let read_everything = self.read_changes(&connected, &mut settings).await?;
        self.find_without_match_label(&connected).await?;
        match self.read_settings(&connected, read_everything.then_some(settings)).await {
            // The last good ones rule, and the issue is looked at again.
            Err(EngineError::Stale) => {
                if let Some(iid) = self.known_settings_issue() {
                    self.hint(iid, Hint::default());
                }
            }
            other => other?,
        }
        {
            let mut status = self.status_mut();
            if !std::mem::replace(&mut status.caught_up, true) {
                self.inner.sends.notify_one();
                // Nothing was looked at before.
                self.inner.queue.ring();
            }
            status.last_delta = Some(self.inner.clock.now());
        }
        self.inner.news.notify_waiters();
        self.check_token_once_a_day().await;
        if !read_everything {
            self.check_issues(&connected).await?;
        }
        self.read_histories(&connected).await
    }

    /// Says whether it read every issue, not only the changed ones. Issues about settings are laid aside.
    async fn read_changes(
        &self,
        connected: &Connected,
        settings: &mut Vec<Issue>,
    ) -> Result<bool, EngineError> {
        let filling = self.inner.mirror.fact(Fact::Filling)?;
        let saved = self.inner.mirror.fact(Fact::Cursor)?.and_then(|text| text.parse::<Timestamp>().ok());
        let mut newest = saved;
        // The oldest change that could not be followed: the next read begins there again.
        let mut not_followed: Option<Timestamp> = None;
        let mut since = saved.map(|at| at.checked_sub(OVERLAP).unwrap_or(at));
        let (mut but, mut page) = (Vec::new(), 1);
        let mut last_iid = 0;
        loop {
            let (issues, more) = connected.project.issues_updated_since(since, &but, page).await?;
            let last = issues.iter().map(|issue| issue.updated_at).max();
            let lasts = issues.iter().filter(|issue| Some(issue.updated_at) == last).map(|issue| issue.iid);
            let lasts: Vec<u64> = lasts.collect();
            for issue in issues {
                if self.is_about_settings(connected, &issue)
                    && settings.iter().all(|other| other.iid != issue.iid)
                {
                    settings.push(issue.clone());
                }
                let (iid, changed) = (issue.iid, issue.updated_at);
                last_iid = last_iid.max(iid);
                let followed = match self.see(connected, issue).await {
                    Ok(Seen::Followed) => true,
                    Ok(Seen::LookedAtLater) => false,
                    Err(error) => {
                        self.looks_again(iid, error)?;
                        false
                    }
                };
                if !followed {
                    not_followed = Some(not_followed.map_or(changed, |oldest| oldest.min(changed)));
                }
            }
            newest = newest.max(last);
            if !more {
                break;
            }
            // From the last time on rather than by page number: an issue that changes meanwhile moves to the end, and
            // one that has not been read yet would slip onto a page that has. Those of that time that have been read are
            // left out, or every page would begin with them.
            match last.filter(|last| since.is_none_or(|since| *last > since)) {
                Some(last) => (since, but, page) = (Some(last), lasts, 1),
                None => page += 1,
            }
        }
        if saved.is_none() && self.may_follow().is_err() {
            self.meet_all().await?;
        }
        // An empty project has been read too.
        let newest = newest.unwrap_or(Timestamp::UNIX_EPOCH);
        // What was left out of the last page may have changed just then: the next read begins before it.
        let cursor = if but.is_empty() { newest } else { since.max(saved).unwrap_or(newest) };
        let cursor = not_followed.map_or(cursor, |oldest| cursor.min(oldest));
        let mut facts = Vec::new();
        if saved.is_none() {
            facts.push((Fact::FollowsSince, newest.to_string()));
            facts.push((Fact::Backlog, last_iid.to_string()));
        }
        // Last: after a kill before it everything is read, and this is noted, once more.
        if Some(cursor) != saved {
            facts.push((Fact::Cursor, cursor.to_string()));
        }
        if !self.inner.mirror.remember_read(filling.as_deref(), &facts)? {
            // `mirror rebuild` emptied it meanwhile: what was read before that is not there any more.
            return Err(EngineError::NotReady);
        }
        Ok(saved.is_none())
    }

    /// One issue that cannot be followed must not keep the others from being read; a GitLab that answers nobody is another
    /// matter.
    pub(super) fn looks_again(&self, iid: u64, error: EngineError) -> Result<(), EngineError> {
        let is_about_this_issue = match &error {
            // Whoever follows the project does it.
            EngineError::LooksOnly => return Ok(()),
            EngineError::Gitlab(GitlabError::Shape(_)) => true,
            EngineError::Gitlab(error) => error.status().is_some_and(|status| {
                status != StatusCode::UNAUTHORIZED
                    && status != StatusCode::TOO_MANY_REQUESTS
                    && status != StatusCode::BAD_GATEWAY
                    && status != StatusCode::SERVICE_UNAVAILABLE
            }),
            EngineError::Text(_) | EngineError::TooLarge(_) | EngineError::NotTaken | EngineError::Stale => {
                true
            }
            _ => false,
        };
        if !is_about_this_issue {
            return Err(error);
        }
        tracing::warn!(iid, %error, "issue {iid} could not be followed; it is looked at again");
        self.hint(iid, Hint::default());
        Ok(())
    }

    /// An issue in a list: one that says nothing new is done with, any other is looked at afresh.
    async fn see(&self, connected: &Connected, issue: Issue) -> Result<Seen, EngineError> {
        let _one_at_a_time = self.inner.issues.hold(issue.iid).await;
        match self.inner.mirror.record(issue.iid)? {
            Some(record) if self.is_as_known(connected, &issue, &record) => {}
            Some(record) if matches!(record.standing, Standing::Live | Standing::Withdrawn) => {
                self.hint(issue.iid, Hint::default());
                return Ok(Seen::LookedAtLater);
            }
            // Of what was erased nothing is left to be followed.
            Some(record) if record.updated_at > issue.updated_at && record.standing == Standing::Erased => {}
            // A list that lags says nothing of what became of the issue since; or all of GitLab was set back.
            Some(record) if record.updated_at > issue.updated_at => {
                self.hint(issue.iid, Hint::default());
                return Ok(Seen::LookedAtLater);
            }
            // The next read begins no later than with it, so that it is met once its bot is listed.
            _ if self.note_if_by_an_earlier_bot(connected, &issue).await? => return Ok(Seen::LookedAtLater),
            _ if self.status().caught_up || self.says_nothing_to_do(connected, &issue)? => {
                // What cannot be followed now is there all the same.
                self.settle(connected, issue.clone())
                    .await
                    .inspect_err(|_| self.meet_later(connected, &issue))?;
            }
            // The first read writes nothing: an earlier bot's issues may stand on a later page.
            _ => {
                self.meet_later(connected, &issue);
                return Ok(Seen::LookedAtLater);
            }
        }
        Ok(Seen::Followed)
    }

    /// Whether taking in an issue would write nothing: one of ours that is in order, or no concern of ours. What was
    /// erased is known before anything is staged.
    fn says_nothing_to_do(&self, connected: &Connected, issue: &Issue) -> Result<bool, EngineError> {
        if self.left_of(connected, issue).is_some() {
            return Ok(true);
        }
        let observed = self.observed(issue);
        if !connected.is_us(issue.author.id) {
            return Ok(!observed.is_match);
        }
        if let Some((_, fingerprint)) = self.staged_as(connected, issue)
            && self.inner.mirror.record_of(&fingerprint)?.is_some_and(|other| other.iid != issue.iid)
        {
            // One of the two has to give way.
            return Ok(false);
        }
        let closed = observed.states.iter().next().is_some_and(|state| state.is_closed());
        Ok(observed.is_match && observed.states.len() == 1 && closed == observed.closed)
    }

    fn is_as_known(&self, connected: &Connected, issue: &Issue, record: &Record) -> bool {
        let observed = self.observed(issue);
        let shows_it = match record.standing {
            Standing::Live | Standing::Withdrawn => observed.agrees_with(known(record)),
            // It may not have been taken back yet.
            Standing::Duplicate => !observed.is_match && observed.states.is_empty(),
            // Its author may have been listed since as one of ours.
            Standing::Ignored => self.staged_as(connected, issue).is_none(),
            _ => true,
        };
        // One that was hidden from us for a while is not gone.
        record.standing != Standing::Gone
            && issue.updated_at == record.updated_at
            && issue.user_notes_count <= record.comments
            && issue.id == record.issue_id
            && issue.moved_to_id.is_none()
            && shows_it
    }

    async fn check_token_once_a_day(&self) {
        let day = self.inner.clock.now().as_second() / 86_400;
        if self.inner.token_checked.swap(day, Ordering::Relaxed) != day {
            self.check_token().await;
        }
    }

    fn is_known_to_be_gone(&self, iid: u64) -> Result<bool, EngineError> {
        Ok(self.inner.mirror.record(iid)?.is_some_and(|record| record.standing == Standing::Gone))
    }

    /// A deleted issue leaves no trace, nor does the deletion of a label, nor one that is shown to us again: open issues
    /// are asked for by number, the next two thousand, and of all others the next hundred.
    async fn check_issues(&self, connected: &Connected) -> Result<(), EngineError> {
        let next = |from: &AtomicU64, iids: &[u64], most: usize| {
            let next = iids.last().filter(|_| iids.len() == most).map_or(0, |last| last + 1);
            from.store(next, Ordering::Relaxed);
        };
        let (next_open, next_other) = (&self.inner.next_open, &self.inner.next_other);
        let open = self.inner.mirror.open_iids_from(next_open.load(Ordering::Relaxed), OPEN_AT_ONCE)?;
        next(next_open, &open, OPEN_AT_ONCE);
        let others = self.inner.mirror.other_iids_from(next_other.load(Ordering::Relaxed), AT_ONCE)?;
        next(next_other, &others, AT_ONCE);
        for iids in open.chunks(AT_ONCE).chain(others.chunks(AT_ONCE)) {
            let issues = connected.project.issues_by_iid(iids).await?;
            for iid in iids {
                match issues.iter().find(|issue| issue.iid == *iid) {
                    Some(issue) => {
                        if let Err(error) = self.see(connected, issue.clone()).await {
                            self.looks_again(*iid, error)?;
                        }
                    }
                    None if self.is_known_to_be_gone(*iid)? => {}
                    None => self.hint(*iid, Hint::default()),
                }
            }
        }
        Ok(())
    }
}

//! A posted match becomes an issue, once.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::{Connected, Engine, EngineError, Hint};
use crate::domain::JobMatch;
use crate::domain::State;
use crate::domain::decide::Repair;
use crate::domain::identity::{Fingerprint, Role};
use crate::domain::sending::Sending;
use crate::gitlab::Issue;
use crate::gitlab::issue_text::{self, BodyContext, Staged, TextError};
use crate::gitlab::issues::{IssueChange, NewIssue};
use crate::gitlab::labels::LabelKind;
use crate::mirror::{Fact, Raise, Record, Standing};

/// How often an issue is created anew after an answer that left it unclear whether it was.
const TRIES: usize = 3;
/// How far GitLab's clock may be behind ours.
const CLOCK_MARGIN: SignedDuration = SignedDuration::from_mins(5);

/// How staging ended.
#[derive(Clone, Debug)]
pub struct Staging {
    /// The match.
    pub record: Record,
    /// Whether this call made its issue.
    pub created: bool,
}

/// Why a match was not staged.
#[derive(Debug, thiserror::Error)]
pub enum StagingError {
    /// Its score is below the least that is staged.
    #[error("the score {score} is below the minimum of {minimum}")]
    BelowMinimum {
        /// Its score, in percent.
        score: f64,
        /// The least that is staged.
        minimum: f64,
    },
    /// Its data was removed at a person's wish.
    #[error("the data of this match was removed at a person's wish; it is not staged again")]
    Erased,
    /// Something did not do its part.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl StagingError {
    /// How long GitLab asks us to wait, where that is all that is wrong: nothing was done then.
    pub fn asks_to_wait(&self) -> Option<Duration> {
        match self {
            Self::Engine(error) => error.asks_to_wait(),
            _ => None,
        }
    }
}

/// Whoever made an issue longer ago has compared what came of it.
const JUST_MADE: SignedDuration = SignedDuration::from_mins(10);

impl Engine {
    /// Stages a match: makes its issue, or finds the one that it has.
    ///
    /// # Errors
    ///
    /// [`StagingError`] says why; nothing was accepted then that only this machine knows.
    pub async fn stage(&self, job: JobMatch) -> Result<Staging, StagingError> {
        self.stage_known_as(job, Uuid::new_v4()).await
    }

    /// Stages a match for somebody who may repeat that: `nonce` stands for the identity of a match that has no other.
    ///
    /// # Errors
    ///
    /// As [`Engine::stage`].
    pub async fn stage_known_as(&self, job: JobMatch, nonce: Uuid) -> Result<Staging, StagingError> {
        let minimum = self.policy().min_score;
        let score = job.score.map_or(0.0, crate::domain::job_match::Score::percent);
        if score < minimum {
            return Err(StagingError::BelowMinimum { score, minimum });
        }
        self.stage_in(job, nonce, State::Pending).await
    }

    /// Stages a match in a state, whatever its score: what a freelancer's own list says has happened already. `nonce`
    /// stands for the identity of a match that has no other.
    ///
    /// # Errors
    ///
    /// As [`Engine::stage`].
    pub async fn stage_in(&self, job: JobMatch, nonce: Uuid, state: State) -> Result<Staging, StagingError> {
        let engine = self.clone();
        let staged = Staged { job, nonce };
        let staging = async move { engine.stage_once(staged, state).await };
        let staged: Result<_, EngineError> = self.uncancelled("staging", staging).await;
        // What was there is found without writing.
        if !matches!(&staged, Ok(None | Some(Staging { created: false, .. }))) {
            self.note_writing(staged.as_ref());
        }
        staged?.ok_or(StagingError::Erased)
    }

    /// None where the match's data was removed.
    async fn stage_once(&self, staged: Staged, state: State) -> Result<Option<Staging>, EngineError> {
        let connected = self.connected().await?;
        if !self.has_read_everything()? {
            return Err(EngineError::NotReady);
        }
        self.may_write()?;
        let fingerprint = Fingerprint::of(&staged.job, staged.nonce);
        let _one_at_a_time = self.inner.stagings.hold(fingerprint.as_str().to_owned()).await;
        if self.inner.mirror.erased_iid(&fingerprint)?.is_some() {
            return Ok(None);
        }
        if let Some(record) = self.inner.mirror.record_of(&fingerprint)? {
            return Ok(Some(Staging { record, created: false }));
        }
        let met = self.meet_now(&fingerprint).await;
        if let Some(record) = self.inner.mirror.record_of(&fingerprint)? {
            return Ok(Some(Staging { record, created: false }));
        }
        met?;
        let unrecorded = || self.inner.unrecorded.lock().unwrap_or_else(PoisonError::into_inner);
        let known_here = unrecorded().get(fingerprint.as_str()).copied();
        let mut unclear = self.inner.mirror.unclear_since(fingerprint.as_str())?.or(known_here);
        let mut tries = 0;
        loop {
            if let Some(since) = unclear
                && let Some(record) = self.find_created(&connected, &fingerprint, since).await?
            {
                self.inner.mirror.set_unclear(fingerprint.as_str(), None)?;
                unrecorded().remove(fingerprint.as_str());
                return Ok(Some(Staging { record, created: tries > 0 }));
            }
            let started = self.inner.clock.now();
            tries += 1;
            match self.create(&connected, &staged, state).await {
                Ok(staging) => {
                    if unclear.is_some() {
                        self.inner.mirror.set_unclear(fingerprint.as_str(), None)?;
                        unrecorded().remove(fingerprint.as_str());
                    }
                    return Ok(Some(staging));
                }
                Err(EngineError::Gitlab(error)) if error.is_unclear() => {
                    tracing::warn!(%error, tries, "it is unclear whether an issue was created; GitLab is read before another try");
                    let since = *unclear.get_or_insert(started);
                    // The disk may be full: then only this process remembers it, until there is room.
                    unrecorded().insert(fingerprint.as_str().to_owned(), since);
                    self.inner.mirror.set_unclear(fingerprint.as_str(), Some(since))?;
                    if tries == TRIES {
                        return Err(error.into());
                    }
                }
                Err(error @ EngineError::Mirror(_)) => {
                    // The same, with an issue that is certainly there.
                    unrecorded().insert(fingerprint.as_str().to_owned(), unclear.unwrap_or(started));
                    return Err(error);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The issue that an unclear answer may have left behind: one read of what was created since, never a search.
    async fn find_created(
        &self,
        connected: &Connected,
        fingerprint: &Fingerprint,
        since: Timestamp,
    ) -> Result<Option<Record>, EngineError> {
        let since = since.checked_sub(CLOCK_MARGIN).unwrap_or(Timestamp::MIN);
        // Our clock may be far ahead of GitLab's, which has read all that came before.
        let read = self.inner.mirror.fact(Fact::Cursor)?.and_then(|text| text.parse::<Timestamp>().ok());
        let since = read.map_or(since, |read| read.min(since));
        let read = connected.project.issues_created_since(since).await;
        for issue in self.note(read.map_err(EngineError::from))? {
            if self.staged_as(connected, &issue).is_some_and(|(_, found)| found == *fingerprint) {
                let _one_at_a_time = self.inner.issues.hold(issue.iid).await;
                self.settle(connected, issue).await?;
            }
        }
        Ok(self.inner.mirror.record_of(fingerprint)?)
    }

    async fn create(
        &self,
        connected: &Arc<Connected>,
        staged: &Staged,
        state: State,
    ) -> Result<Staging, EngineError> {
        let role = Role::of(&staged.job).map(|role| role.key);
        let _one_at_a_time = match role {
            Some(role) => Some(self.inner.stagings.hold(role).await),
            None => None,
        };
        let policy = self.policy();
        let names = self.recent_names(connected).await?;
        let (first, others) = match connected.reviewers.split_first() {
            // What was decided long ago asks nobody.
            Some((first, others)) if policy.assign && state == State::Pending => (Some(first), others),
            _ => (None, &[][..]),
        };
        let context = BodyContext {
            language: policy.language,
            mentions: others.iter().map(|reviewer| reviewer.username.clone()).collect(),
            possible_duplicates: self.inner.mirror.possible_duplicates(&staged.job, None)?,
            gitlab_host: connected.host.clone(),
        };
        let body =
            issue_text::body(&self.inner.templates, staged, &context).map_err(|error| match error {
                TextError::TooLarge => EngineError::TooLarge(error.to_string()),
                other => EngineError::Text(other.to_string()),
            })?;
        let new = NewIssue {
            title: issue_text::title(&staged.job),
            description: body,
            labels: [LabelKind::Match, LabelKind::State(state)]
                .map(|kind| names.name(kind).to_owned())
                .into(),
            assignee: first.map(|reviewer| reviewer.id),
            due_date: staged.job.deadline,
        };
        let created = connected.project.create_issue(&new).await;
        let issue = self.note(created.map_err(EngineError::from))?;
        let _issue = self.inner.issues.hold(issue.iid).await;
        self.remember_user(&connected.us)?;
        // A delivery may have been faster than the answer: then people's acts since are in the mirror already.
        let met = self.inner.mirror.record(issue.iid)?.filter(|record| record.issue_id == issue.id);
        if let Some(record) = met {
            self.repair_creation(connected, issue, new.assignee, None).await;
            if state == State::Pending {
                self.inner.mirror.raise(&record, &[], Raise::All)?;
            }
            return self.staging_of(record);
        }
        let issue = self.repair_creation(connected, issue, new.assignee, Some(state)).await;
        let record = new_record(&issue, staged.job.clone(), Some(staged.nonce), state);
        if state == State::Pending {
            self.inner.mirror.put_new(&record)?;
        } else {
            // Taken over from a file: nobody waits to hear of it.
            self.inner.mirror.put(&record, None)?;
        }
        let staging = self.staging_of(record);
        self.inner.news.notify_waiters();
        staging
    }

    /// How making an issue ended: another process on this mirror may have been faster, and whoever follows the project
    /// takes the second issue back then.
    fn staging_of(&self, record: Record) -> Result<Staging, EngineError> {
        if let Some(first) = self.first_of(&record)?.filter(|first| first.iid != record.iid) {
            return Ok(Staging { record: first, created: false });
        }
        tracing::info!(iid = record.iid, "match {} is staged", record.iid);
        Ok(Staging { record, created: true })
    }

    /// Compares what GitLab returned with what was sent. A difference is an error to be logged and mended; where that
    /// fails the next look at the issue mends it, for the issue is there. Labels that people may have moved since are left
    /// to that look: there is no `state` then.
    async fn repair_creation(
        &self,
        connected: &Connected,
        issue: Issue,
        assignee: Option<u64>,
        state: Option<State>,
    ) -> Issue {
        let repair = state.map(|state| Repair::towards(state, &self.observed(&issue))).unwrap_or_default();
        let mut change = self.change_for(&repair);
        change.assignee = assignee.filter(|id| !issue.assignees.iter().any(|assignee| assignee.id == *id));
        change.confidential = issue.confidential.then_some(false);
        if change.is_empty() {
            return issue;
        }
        if self.rests(issue.iid, &change) {
            return issue;
        }
        // GitLab makes every issue open; that is no mistake of its own.
        let closes = IssueChange { close: Some(true), ..IssueChange::default() };
        if change != closes {
            tracing::error!(
                iid = issue.iid,
                ?change,
                "GitLab made another issue than was asked for; it is set right"
            );
        }
        match connected.project.change_issue(issue.iid, &change).await {
            Ok(mended) => {
                self.was_taken(&mended, &change);
                mended
            }
            Err(error) => {
                tracing::error!(iid = issue.iid, %error, "the new issue could not be set right yet");
                self.hint(issue.iid, Hint::default());
                issue
            }
        }
    }

    /// Whether GitLab may have left something out of a new issue that whoever made it did not come to comparing.
    pub(super) fn may_lack_something(&self, connected: &Connected, issue: &Issue) -> bool {
        let age = self.inner.clock.now().duration_since(issue.created_at);
        let wants_assignee = self.policy().assign && !connected.reviewers.is_empty();
        age <= JUST_MADE && (issue.confidential || (issue.assignees.is_empty() && wants_assignee))
    }

    /// The same of an issue that nobody touched since it was made: whoever made it may not have come to comparing.
    pub(super) async fn repair_if_just_made(&self, connected: &Connected, issue: Issue) -> Issue {
        let is_untouched = issue.updated_at == issue.created_at && issue.user_notes_count == 0;
        let is_ours = connected.is_us(issue.author.id);
        let may = self.may_mend();
        if !self.may_lack_something(connected, &issue) || !is_untouched || !is_ours || !may {
            return issue;
        }
        let first = connected.reviewers.first();
        let first = first.filter(|_| self.policy().assign && issue.assignees.is_empty());
        self.repair_creation(connected, issue, first.map(|reviewer| reviewer.id), None).await
    }

    /// A repair in the labels' names as we know them.
    pub(super) fn change_for(&self, repair: &Repair) -> IssueChange {
        let names = self.names();
        let name = |state: &State| names.name(LabelKind::State(*state)).to_owned();
        let add = repair.add_match.then(|| names.name(LabelKind::Match).to_owned());
        IssueChange {
            add_labels: add.into_iter().chain(repair.add.as_ref().map(name)).collect(),
            remove_labels: repair.remove.iter().map(name).collect(),
            close: repair.close,
            ..IssueChange::default()
        }
    }
}

/// What the mirror holds of an issue that it has not seen before.
pub(super) fn new_record(issue: &Issue, job: JobMatch, nonce: Option<Uuid>, state: State) -> Record {
    Record {
        iid: issue.iid,
        issue_id: issue.id,
        state,
        standing: Standing::Live,
        job,
        nonce,
        web_url: issue.web_url.clone(),
        created_at: issue.created_at,
        put_on_at: None,
        updated_at: issue.updated_at,
        decided_by: None,
        decided_at: None,
        comments: issue.user_notes_count,
        label_event: 0,
        history_known: true,
        verdict_owed: false,
        erased: None,
        application: crate::domain::Application::default(),
        has_tracker: false,
        sending: Sending::default(),
    }
}

//! A person's data is removed: from the issue, from our comments, from the mirror. What is left in the issue is the
//! match's fingerprint, so that the same match is not staged again, on this disk or on a new one.

use std::collections::BTreeSet;
use std::time::Duration;

use super::stage::new_record;
use super::{Connected, Engine, EngineError};
use crate::domain::identity::Fingerprint;
use crate::domain::{Channel, JobMatch, State};
use crate::gitlab::draft_text::read_attempt;
use crate::gitlab::issues::IssueChange;
use crate::gitlab::{GitlabError, Issue, issue_text};
use crate::mirror::{DeliveryOutcome, Record, Removal, Standing};

/// What was removed, and what is known of what is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erasure {
    /// The issue.
    pub iid: u64,
    /// Its page.
    pub web_url: String,
    /// Whether a later post of the same match is recognised.
    pub is_recognised: bool,
    /// How many comments of ours were replaced.
    pub comments: usize,
    /// How many comments of an earlier bot this token may not change.
    pub comments_of_earlier_bots: usize,
    /// Who else commented, as usernames.
    pub others_who_commented: Vec<String>,
    /// Other matches with the same contact.
    pub same_contact: Vec<u64>,
    /// Channels that a message about it was sent on.
    pub told: Vec<Channel>,
    /// The spreadsheets that had a row of it when they were synced last; the next sync blanks it.
    pub sheets: Vec<String>,
    /// What became of earlier mirrors on this disk.
    pub earlier_mirrors: Removal,
    /// Second issues of the same match, from which the data was removed too.
    pub second_issues: Vec<u64>,
}

/// Why nothing was removed, or not all of it.
#[derive(Debug, thiserror::Error)]
pub enum ErasureError {
    /// There is no such match.
    #[error("there is no match {0}")]
    Unknown(u64),
    /// What a send writes down at its end would come after the removal.
    #[error("its application is being sent at this moment; try again in {} s", .0.as_secs().max(1))]
    BeingSent(Duration),
    /// Something did not do its part; trying again goes on where this ended.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl Engine {
    /// Removes a person's data from a match: title and text of the issue, our comments, the mirror. Its labels come off
    /// and it is closed. May be repeated.
    ///
    /// # Errors
    ///
    /// [`ErasureError`]; a repetition goes on where it ended.
    pub async fn erase(&self, iid: u64) -> Result<Erasure, ErasureError> {
        let engine = self.clone();
        self.uncancelled("the removal", async move { engine.erase_once(iid).await }).await
    }

    async fn erase_once(&self, iid: u64) -> Result<Erasure, ErasureError> {
        let connected = self.connected().await?;
        self.may_write()?;
        let iid = self.first_one(iid)?;
        // First, for what is left of the match tells no more which they are.
        let mut before = Vec::new();
        for second in self.second_issues(iid)? {
            match self.erase_issue(&connected, second).await {
                // It is not there any more.
                Err(ErasureError::Unknown(_)) => {}
                other => before.push(other?),
            }
        }
        let mut erasure = self.erase_issue(&connected, iid).await?;
        for second in before {
            erasure.comments += second.comments;
            erasure.comments_of_earlier_bots += second.comments_of_earlier_bots;
            erasure.others_who_commented.extend(second.others_who_commented);
            erasure.second_issues.push(second.iid);
        }
        erasure.others_who_commented.sort();
        erasure.others_who_commented.dedup();
        erasure.earlier_mirrors = self.inner.mirror.remove_earlier();
        tracing::info!(iid, "the data of match {iid} is removed");
        Ok(erasure)
    }

    /// The issue itself, or where that is a second one of a match, the first.
    fn first_one(&self, iid: u64) -> Result<u64, EngineError> {
        let second = self.record_to_erase(iid)?.filter(|record| record.standing == Standing::Duplicate);
        let Some(fingerprint) = second.and_then(|record| record.fingerprint()) else { return Ok(iid) };
        Ok(self.inner.mirror.record_of(&fingerprint)?.map_or(iid, |first| first.iid))
    }

    /// The second issues of the same match, made by two instances at once.
    fn second_issues(&self, iid: u64) -> Result<Vec<u64>, EngineError> {
        let fingerprint = self.record_to_erase(iid)?.and_then(|record| record.fingerprint());
        match fingerprint {
            Some(fingerprint) => Ok(self.inner.mirror.second_issues(&fingerprint, iid)?),
            None => Ok(Vec::new()),
        }
    }

    /// Removes the data from one issue.
    async fn erase_issue(&self, connected: &Connected, iid: u64) -> Result<Erasure, ErasureError> {
        let _one_at_a_time = self.inner.issues.hold(iid).await;
        let issue = self.read(connected, iid, None).await?.ok_or(ErasureError::Unknown(iid))?;
        self.settle(connected, issue).await?;
        let record = self.record_to_erase(iid)?.ok_or(ErasureError::Unknown(iid))?;
        let issue = self.read(connected, iid, None).await?.ok_or(ErasureError::Unknown(iid))?;
        // What another process is just writing into the tracker is there then, to be removed with the rest.
        let _turn = self.tracker_turn(iid).await;
        let notes = connected.our_notes(iid).await.map_err(EngineError::from)?;
        let now = self.inner.clock.now();
        if let Some(left) = notes.iter().filter_map(read_attempt).find_map(|attempt| attempt.may_take(now)) {
            return Err(ErasureError::BeingSent(left));
        }
        let mut erasure = self.known_before(&record)?;
        let issue = self.erase_text(connected, issue, &record).await?;
        self.erase_comments(connected, iid, &mut erasure).await?;
        self.mirror_erased(connected, &issue, record)?;
        Ok(erasure)
    }

    fn record_to_erase(&self, iid: u64) -> Result<Option<Record>, EngineError> {
        let record = self.inner.mirror.record(iid)?;
        Ok(record.filter(|record| !matches!(record.standing, Standing::Gone | Standing::Ignored)))
    }

    /// What can only be said while the data is still there.
    fn known_before(&self, record: &Record) -> Result<Erasure, EngineError> {
        let mirror = &self.inner.mirror;
        let deliveries = mirror.deliveries(record.iid)?.into_iter();
        let told: BTreeSet<Channel> = deliveries
            .filter(|one| one.outcome == DeliveryOutcome::Sent && one.channel != Channel::Todo)
            .map(|one| one.channel)
            .collect();
        let same_contact = match &record.job.contact {
            Some(contact) => mirror.with_contact(contact, record.iid)?,
            None => Vec::new(),
        };
        let posted = record.nonce.is_some() && Fingerprint::is_found_again(&record.job);
        Ok(Erasure {
            iid: record.iid,
            web_url: record.web_url.clone(),
            is_recognised: posted || record.erased.is_some(),
            comments: 0,
            comments_of_earlier_bots: 0,
            others_who_commented: Vec::new(),
            same_contact,
            told: told.into_iter().collect(),
            sheets: mirror.sheets_with(record.iid)?,
            earlier_mirrors: Removal::default(),
            second_issues: Vec::new(),
        })
    }

    /// Title, text and labels in one write; the fingerprint stays.
    async fn erase_text(
        &self,
        connected: &Connected,
        issue: Issue,
        record: &Record,
    ) -> Result<Issue, EngineError> {
        let language = self.policy().language;
        let fingerprint = record.fingerprint();
        let text = issue_text::erased_text(&self.inner.templates, language, fingerprint.as_ref());
        let (title, body) = text.map_err(|error| EngineError::Text(error.to_string()))?;
        let names = self.names();
        let is_open = issue.state == crate::gitlab::issues::OpenOrClosed::Opened;
        let change = IssueChange {
            remove_labels: issue
                .labels
                .iter()
                .filter(|name| names.kind_of_name(name).is_some())
                .cloned()
                .collect(),
            close: is_open.then_some(true),
            text: (issue.title != title || issue.description.trim() != body).then_some((title.clone(), body)),
            ..IssueChange::default()
        };
        let after = self.write(connected, issue, &change).await?;
        if after.title != title || issue_text::read_erased(&after.description) != fingerprint {
            return Err(EngineError::Unfit(
                "GitLab did not take the new text; may the token's user edit this issue?".to_owned(),
            ));
        }
        Ok(after)
    }

    async fn erase_comments(
        &self,
        connected: &Connected,
        iid: u64,
        erasure: &mut Erasure,
    ) -> Result<(), EngineError> {
        let language = self.policy().language;
        let text = issue_text::erased_comment(&self.inner.templates, language)
            .map_err(|error| EngineError::Text(error.to_string()))?;
        for note in connected.project.notes(iid).await? {
            if !connected.is_us(note.author.id) {
                erasure.others_who_commented.push(note.author.username);
                continue;
            }
            if note.body.trim() == text {
                continue;
            }
            match connected.project.edit_comment(iid, note.id, &text).await {
                Ok(_) => erasure.comments += 1,
                Err(GitlabError::Refused { .. }) if note.author.id != connected.us.id => {
                    erasure.comments_of_earlier_bots += 1;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn mirror_erased(&self, connected: &Connected, issue: &Issue, record: Record) -> Result<(), EngineError> {
        match self.left_of(connected, issue) {
            Some(fingerprint) => self.note_erased(issue, fingerprint)?,
            // An issue that a person made: without its label it is one like any other.
            None => {
                let mut bare = new_record(issue, JobMatch::titled(issue.title.clone()), None, record.state);
                bare.standing = Standing::Withdrawn;
                self.inner.mirror.put_erased(&bare)?;
            }
        }
        // The last time it may have been known already, and the disk not have had room for this.
        Ok(self.inner.mirror.wipe()?)
    }

    /// What is left of the identity of a match of ours whose data was removed; none where it was not. From anybody else
    /// such a text is plain text.
    pub(super) fn left_of(&self, connected: &Connected, issue: &Issue) -> Option<Fingerprint> {
        issue_text::read_erased(&issue.description).filter(|_| connected.is_us(issue.author.id))
    }

    /// Keeps of a match whose data was removed what the issue still says.
    pub(super) fn note_erased(&self, issue: &Issue, fingerprint: Fingerprint) -> Result<(), EngineError> {
        let before = self.inner.mirror.record(issue.iid)?;
        let mut record = new_record(issue, JobMatch::titled(issue.title.clone()), None, State::Rejected);
        record.standing = Standing::Erased;
        record.erased = Some(fingerprint);
        if before.as_ref() == Some(&record) {
            return Ok(());
        }
        match before.filter(|before| before.standing == Standing::Erased) {
            Some(_) => Ok(self.inner.mirror.put(&record, None)?),
            None => Ok(self.inner.mirror.put_erased(&record)?),
        }
    }
}

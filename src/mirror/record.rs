//! A match as the mirror holds it.

use jiff::Timestamp;
use rusqlite::Row;
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization as _;
use uuid::Uuid;

use super::json::from_json;
use crate::domain::history::Step;
use crate::domain::identity::Fingerprint;
use crate::domain::sending::Sending;
use crate::domain::{Application, JobMatch, State};

/// A match as the mirror holds it: what the issue said when it was read last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The issue's number in the project.
    pub iid: u64,
    /// The issue's number in the instance.
    pub issue_id: u64,
    /// Where the match stands.
    pub state: State,
    /// Whether it counts.
    pub standing: Standing,
    /// The match.
    pub job: JobMatch,
    /// Stands for the identity of a match that has no other; none for an adopted issue.
    pub nonce: Option<Uuid>,
    /// The issue's page.
    pub web_url: String,
    /// When the issue was made.
    pub created_at: Timestamp,
    /// When `job-match` was put on an issue that people made by hand, or on one again that was withdrawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub put_on_at: Option<Timestamp>,
    /// When the issue last changed, by GitLab's clock.
    pub updated_at: Timestamp,
    /// Who took the last step.
    pub decided_by: Option<String>,
    /// When.
    pub decided_at: Option<Timestamp>,
    /// How many comments there were; more of them may hold a decision.
    pub comments: u64,
    /// The last label event that was looked at.
    pub label_event: u64,
    /// Whether the steps in the mirror are all there were, and what follows from them is carried out.
    pub history_known: bool,
    /// The steps are all there were. What follows from them is not carried out yet; to see to that they are read again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub verdict_owed: bool,
    /// What is left of the identity of a match whose data was removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erased: Option<Fingerprint>,
    /// The tracker's fields, as our comment says them.
    #[serde(default, skip_serializing_if = "Application::is_empty")]
    pub application: Application,
    /// Whether that comment is there; none of its fields need say anything.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_tracker: bool,
    /// How its draft and its sending stand.
    #[serde(default)]
    pub sending: Sending,
}

impl Record {
    /// The fingerprint; an adopted issue has none.
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        self.erased.clone().or_else(|| self.nonce.map(|nonce| Fingerprint::of(&self.job, nonce)))
    }

    /// Follows a step: where it led, and who decided that when.
    pub fn follow(&mut self, step: &Step) {
        self.state = step.to;
        self.note_decision(step);
    }

    /// Notes what the tracker's comment says; none where there is none.
    pub fn note_application(&mut self, application: Option<Application>) {
        self.has_tracker = application.is_some();
        self.application = application.unwrap_or_default();
    }

    /// Notes who decided last, and when.
    pub fn note_decision(&mut self, step: &Step) {
        (self.decided_by, self.decided_at) = (Some(step.by.clone()), Some(step.at));
    }

    /// Since when it counts as a match.
    pub fn counts_since(&self) -> Timestamp {
        self.put_on_at.map_or(self.created_at, |put_on| put_on.max(self.created_at))
    }

    /// Since when it has stood where it stands, as far as its history is known: one that was put back begins anew.
    pub fn stands_since(&self) -> Timestamp {
        self.decided_at.map_or(self.counts_since(), |decided| decided.max(self.counts_since()))
    }

    /// Whether its steps are known, and with them what was done about it.
    pub const fn history_is_read(&self) -> bool {
        self.history_known || self.verdict_owed
    }

    /// Whether the step back from sent is open: the service itself has sent nothing, and no send is in doubt.
    pub const fn undo_sent(&self) -> bool {
        self.sending.attempt.is_none()
    }

    /// What `q` looks into: what people would search for.
    pub(super) fn words(&self) -> String {
        let job = &self.job;
        let fields = [&job.company, &job.agency, &job.end_client, &job.location, &job.source, &job.summary];
        let skills = job.skills.matched.iter().chain(&job.skills.missing);
        let texts = std::iter::once(&job.title).chain(fields.into_iter().flatten()).chain(skills);
        texts.map(|text| searchable(text)).collect::<Vec<_>>().join("\n")
    }
}

/// A text as it is searched, so that what is written alike is found: an umlaut may be one character or two.
pub(super) fn searchable(text: &str) -> String {
    text.nfkc().flat_map(char::to_lowercase).collect()
}

/// Whether a match counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// It does.
    Live,
    /// Its `job-match` label was taken off.
    Withdrawn,
    /// The issue is deleted, moved, or no longer for us to see.
    Gone,
    /// A second issue of another match: the lower iid counts.
    Duplicate,
    /// The labels were put on by somebody who may not.
    Ignored,
    /// A person's data was removed, and the match with it.
    Erased,
}

impl Standing {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Withdrawn => "withdrawn",
            Self::Gone => "gone",
            Self::Duplicate => "duplicate",
            Self::Ignored => "ignored",
            Self::Erased => "erased",
        }
    }
}

/// The match of a row whose first column is `record`.
pub(super) fn record(row: &Row<'_>) -> rusqlite::Result<Record> {
    from_json(row, 0)
}

//! A draft, and how sending it stands. The truth of both stands in the service's own comments.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::hex;
use super::history::Through;

/// How long an attempt may be under way: until its mail begins to leave, the leaving, and a margin for clocks that differ
/// and for writing down what became of it.
pub const UNDER_WAY: SignedDuration = SignedDuration::from_secs(150);

/// What is to be sent to an employer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DraftContent {
    /// The recipient's address; none where the match's contact is meant.
    pub to: Option<String>,
    /// One line.
    pub subject: String,
    /// Markdown.
    pub body: String,
    /// Paths in the project's repository.
    pub attachments: Vec<String>,
}

impl DraftContent {
    /// Stands for exactly this content.
    pub fn etag(&self) -> String {
        let json = serde_json::to_vec(self).unwrap_or_default();
        hex(&Sha256::digest(json)[..16])
    }
}

/// What a match's comments say of its draft and of sending it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sending {
    /// The comment that holds the draft.
    #[serde(default)]
    pub draft: Option<u64>,
    /// Whether nothing is left to be said in the draft's comment about its sending.
    #[serde(default)]
    pub archived: bool,
    /// The attempt that counts: the one that succeeded, else the first that is not resolved, else one that a person
    /// resolved.
    #[serde(default)]
    pub attempt: Option<Attempt>,
}

impl Sending {
    /// What the comments amount to; `draft` is the draft's comment and whether it says that it was sent.
    pub fn of(draft: Option<(u64, bool)>, attempts: Vec<Attempt>) -> Self {
        let sent = attempts.iter().find(|one| one.outcome == AttemptOutcome::Sent);
        let unresolved = attempts.iter().find(|one| one.outcome.is_unresolved());
        let resolved = attempts.iter().find(|one| one.outcome == AttemptOutcome::Resolved);
        let attempt = sent.or(unresolved).or(resolved).cloned();
        Self { draft: draft.map(|(note, _)| note), archived: draft.is_none_or(|(_, said)| said), attempt }
    }

    /// The attempt of which nobody knows yet whether the mail left: it is under way, or in doubt.
    pub fn doubt(&self) -> Option<&Attempt> {
        self.attempt.as_ref().filter(|attempt| attempt.outcome.is_unresolved())
    }

    /// The attempt that sent the mail.
    pub fn sent(&self) -> Option<&Attempt> {
        self.attempt.as_ref().filter(|attempt| attempt.outcome == AttemptOutcome::Sent)
    }
}

/// One attempt to send, as its comment holds it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// Its comment; 0 until that is written.
    #[serde(default)]
    pub note: u64,
    /// Tells it from every other attempt.
    pub nonce: Uuid,
    /// The service's disk that made it: two instances have two.
    pub instance: Uuid,
    /// When it was begun.
    pub since: Timestamp,
    /// The hash of the draft that it is about.
    pub draft: String,
    /// The recipient.
    pub to: String,
    /// The mail's id, with angle brackets.
    pub message_id: String,
    /// Who asked for it.
    pub by: String,
    /// Through what.
    pub through: Through,
    /// Why it was sent although somebody else seems to have offered the same role already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub override_reason: Option<String>,
    /// What became of it.
    pub outcome: AttemptOutcome,
    /// When that was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// Why it did not succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who set the match to sent while nobody knew whether the mail had left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_by: Option<String>,
}

/// What became of an attempt to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AttemptOutcome {
    /// It is under way, or was when the service died.
    Open,
    /// The other side may have the mail.
    Unknown,
    /// It has.
    Sent,
    /// It certainly has not.
    Failed,
    /// Another attempt was first, or something had changed; nothing left.
    Withdrawn,
    /// A person had it tried again.
    Retried,
    /// Nobody knew whether the mail had left; then a person set the match to sent.
    Resolved,
}

impl Attempt {
    /// How long it may still be under way; none where it has ended, or its maker is dead.
    pub fn may_take(&self, now: Timestamp) -> Option<Duration> {
        let left = UNDER_WAY - now.duration_since(self.since);
        let left = Duration::try_from(left).ok().filter(|left| !left.is_zero());
        left.filter(|_| self.outcome == AttemptOutcome::Open)
    }
}

impl AttemptOutcome {
    /// Whether nobody knows yet whether the mail left.
    pub const fn is_unresolved(self) -> bool {
        matches!(self, Self::Open | Self::Unknown)
    }

    /// The word in comments.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Unknown => "unknown",
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Withdrawn => "withdrawn",
            Self::Retried => "retried",
            Self::Resolved => "resolved",
        }
    }
}

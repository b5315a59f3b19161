//! What a message says, before a channel gives it its form.

use jiff::SignedDuration;

use crate::domain::{JobMatch, Language};

/// What a reviewer is told; every channel renders the same notice in its own form.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// What it is about.
    pub kind: NoticeKind,
    /// In which language.
    pub language: Language,
    /// The matches that it tells of, the best first. Empty for a quiet pipeline and for a test.
    pub matches: Vec<NoticeMatch>,
    /// Where all pending matches are listed in GitLab.
    pub list_url: String,
    /// The service's own inbox page, where people reach it.
    pub inbox_url: Option<String>,
}

/// What a notice is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoticeKind {
    /// One new match.
    Match,
    /// Several new matches in one message.
    Digest,
    /// Matches that have waited long.
    Reminder,
    /// No match was staged for so long.
    Quiet {
        /// For how long.
        since: SignedDuration,
    },
    /// Somebody pressed the test button.
    Test,
}

/// A match that a notice tells of.
#[derive(Clone, Debug, PartialEq)]
pub struct NoticeMatch {
    /// The number.
    pub iid: u64,
    /// The page.
    pub web_url: String,
    /// The match. Foreign text: each channel makes it inert in its own way.
    pub job: JobMatch,
    /// Matches of the same role through another agency.
    pub possible_duplicates: Vec<u64>,
    /// How long it has been pending.
    pub waiting: SignedDuration,
    /// A page that asks whether to approve; only where the channel may carry such links.
    pub approve_url: Option<String>,
    /// A page that asks whether to reject; only where the channel may carry such links.
    pub reject_url: Option<String>,
}

//! GitLab: the only place that names the gitlab crate.
//!
//! `client` is the transport; the files beside it hold endpoints and answers, one topic each.

pub mod application_text;
pub mod boards;
pub mod client;
pub mod draft_text;
pub mod error;
pub mod events;
pub mod files;
pub mod hidden;
pub mod hooks;
pub mod issue_text;
pub mod issues;
pub mod labels;
pub mod notes;
pub mod people;
mod rate_limit;
pub mod reactions;
pub mod todos;
pub mod webhook;

pub use client::{CallReport, Connection, Gitlab, Patience};
pub use error::GitlabError;
pub use issues::Issue;

/// One project of a GitLab.
#[derive(Clone)]
pub struct Project {
    gitlab: Gitlab,
    /// Its number.
    pub id: u64,
}

impl Project {
    /// The GitLab that it is in.
    pub fn gitlab(&self) -> &Gitlab {
        &self.gitlab
    }
}

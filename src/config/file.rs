//! The settings file. Plain structs only: the YAML reader guesses types inside tagged and flattened ones.

use std::path::Path;

use serde::Deserialize;

use super::DEFAULT_FILE;
use crate::domain::Language;

/// What a settings file says; the same keys stand in the settings issue.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Lowest score that is staged, in percent.
    pub min_score: Option<f64>,
    /// The language of what people read.
    pub language: Option<Language>,
    /// Who decides.
    pub reviewers: Option<Vec<String>>,
    /// Whether a decision by anybody else is taken back.
    pub enforce_reviewers: Option<bool>,
    /// Whether a project is used that strangers can read.
    pub allow_public_project: Option<bool>,
    /// How often GitLab is read.
    pub sync_interval: Option<String>,
    /// When a pending match is reminded of.
    pub remind_after: Option<String>,
    /// When an undecided match is rejected.
    pub expire_after: Option<String>,
    /// When a pipeline that stages nothing is reported.
    pub quiet_alarm_after: Option<String>,
    /// One by one or in digests.
    pub batch: Option<Batch>,
    /// When nothing is sent.
    pub quiet_hours: Option<QuietHours>,
    /// What is different for a channel.
    pub channels: Option<Channels>,
}

/// One by one or in digests.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// `immediate` or `digest`.
    pub mode: Option<BatchMode>,
    /// At which times of day.
    pub at: Option<Vec<String>>,
    /// How often.
    pub every: Option<String>,
    /// Most matches in one digest.
    pub max: Option<u32>,
}

/// One by one or in digests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BatchMode {
    /// One by one.
    Immediate,
    /// Several in one message.
    Digest,
}

/// When nothing is sent.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuietHours {
    /// From when, as a time of day.
    pub from: Option<String>,
    /// Until when; before `from` it is on the next day.
    pub to: Option<String>,
    /// In which time zone.
    pub timezone: Option<String>,
    /// On which days they begin.
    pub days: Option<Vec<String>>,
    /// From which score on a match is sent all the same.
    pub urgent_score: Option<f64>,
}

/// What is different for a channel.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Channels {
    /// E-mail.
    pub email: Option<Channel>,
    /// Slack.
    pub slack: Option<Channel>,
    /// WhatsApp.
    pub whatsapp: Option<Channel>,
    /// The assignment at creation, which makes a ToDo.
    pub todo: Option<Todo>,
}

/// What is different for a channel.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Channel {
    /// Whether it is on.
    pub enabled: Option<bool>,
    /// One by one or in digests.
    pub batch: Option<Batch>,
    /// When nothing is sent.
    pub quiet_hours: Option<QuietHours>,
    /// How long a match must have been pending.
    pub delay: Option<String>,
    /// Whether messages hold links that decide.
    pub action_links: Option<bool>,
}

/// The assignment at creation: always at once.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Todo {
    /// Whether issues are assigned.
    pub enabled: Option<bool>,
}

impl File {
    /// Reads the named file, or the default one where there is one.
    ///
    /// # Errors
    ///
    /// In words, with file and line.
    pub fn read(named: Option<&Path>) -> Result<Self, String> {
        let path = named.unwrap_or(Path::new(DEFAULT_FILE));
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            Err(error) => return Err(format!("{}: cannot be read: {error}", path.display())),
        };
        Self::parse(&text).map_err(|(line, error)| format!("{}:{line}: {error}", path.display()))
    }

    /// Reads settings from YAML.
    ///
    /// # Errors
    ///
    /// The line, from 1, and what is wrong with it.
    pub fn parse(yaml: &str) -> Result<Self, (u64, String)> {
        // A file of comments alone is no document, and says nothing.
        if yaml.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
            return Ok(Self::default());
        }
        // The neighbouring lines stay out of the message: they may hold what does not belong into a log.
        let options = serde_saphyr::options! { with_snippet: false };
        serde_saphyr::from_str_with_options(yaml, options).map_err(|error| {
            let line = error.location().map_or(1, |location| location.line());
            (line, error.to_string().lines().next().unwrap_or_default().to_owned())
        })
    }
}

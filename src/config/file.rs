//! The settings file. Plain structs only: the YAML reader guesses types inside tagged and flattened ones.

use std::path::Path;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::yaml_position::key_at;
use super::{DEFAULT_FILE, nearest};
use crate::domain::Language;

/// What a settings file says; the same keys stand in the settings issue.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Lowest score that is staged, in percent.
    #[serde(default, deserialize_with = "finite", skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 100)]
    pub min_score: Option<f64>,
    /// The language of what people read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<Language>,
    /// Who decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reviewers: Option<Vec<String>>,
    /// Whether a decision by anybody else is taken back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enforce_reviewers: Option<bool>,
    /// Whether a project is used that strangers can read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_public_project: Option<bool>,
    /// How often GitLab is read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sync_interval: Option<String>,
    /// When a pending match is reminded of.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^([1-9][0-9]{0,3}[smhd]|off)$")]
    pub remind_after: Option<String>,
    /// When an undecided match is rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^([1-9][0-9]{0,3}[smhd]|off)$")]
    pub expire_after: Option<String>,
    /// When a pipeline that stages nothing is reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^([1-9][0-9]{0,3}[smhd]|off)$")]
    pub quiet_alarm_after: Option<String>,
    /// One by one or in digests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<Batch>,
    /// When nothing is sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quiet_hours: Option<QuietHours>,
    /// What is different for a channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels: Option<Channels>,
}

/// One by one or in digests.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// `immediate` or `digest`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<BatchMode>,
    /// At which times of day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Vec<String>>,
    /// How often.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^[1-9][0-9]{0,3}[smhd]$")]
    pub every: Option<String>,
    /// Most matches in one digest.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 100)]
    pub max: Option<u32>,
}

/// One by one or in digests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum BatchMode {
    /// One by one.
    Immediate,
    /// Several in one message.
    Digest,
}

/// When nothing is sent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct QuietHours {
    /// From when, as a time of day.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^([01]?[0-9]|2[0-3]):[0-5][0-9]$")]
    pub from: Option<String>,
    /// Until when; before `from` it is on the next day.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^([01]?[0-9]|2[0-3]):[0-5][0-9]$")]
    pub to: Option<String>,
    /// In which time zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// On which days they begin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub days: Option<Vec<String>>,
    /// From which score on a match is sent all the same.
    #[serde(default, deserialize_with = "finite", skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 100)]
    pub urgent_score: Option<f64>,
}

/// What is different for a channel.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Channels {
    /// E-mail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<Channel>,
    /// Slack.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slack: Option<Channel>,
    /// WhatsApp.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub whatsapp: Option<Channel>,
    /// The assignment at creation, which makes a ToDo.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub todo: Option<Todo>,
}

/// What is different for a channel.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ChannelSettings)]
pub struct Channel {
    /// Whether it is on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// One by one or in digests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<Batch>,
    /// When nothing is sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quiet_hours: Option<QuietHours>,
    /// How long a match must have been pending.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^[1-9][0-9]{0,3}[smhd]$")]
    pub delay: Option<String>,
    /// Whether messages hold links that decide.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action_links: Option<bool>,
}

/// The assignment at creation: always at once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Todo {
    /// Whether issues are assigned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

/// YAML knows numbers that JSON does not: written into a layer they would read as if nothing was said.
fn finite<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    let number = Option::<f64>::deserialize(deserializer)?;
    match number.is_none_or(f64::is_finite) {
        true => Ok(number),
        false => Err(D::Error::custom("must be a number")),
    }
}

/// The nearest key, where the words are about one that is not known.
fn did_you_mean(words: &str) -> String {
    let Some((_, rest)) = words.split_once("unknown field `") else { return String::new() };
    let Some((key, expected)) = rest.split_once("`, expected one of ") else { return String::new() };
    let known: Vec<&str> = expected.split(", ").map(|word| word.trim_matches('`')).collect();
    nearest(key, &known).map(|near| format!("; did you mean {near}?")).unwrap_or_default()
}

impl File {
    /// Reads the named file, or the default one where there is one: its name, its text, and what it says.
    ///
    /// # Errors
    ///
    /// In words, with file and line.
    pub fn read(named: Option<&Path>) -> Result<(String, String, Self), String> {
        let path = named.unwrap_or(Path::new(DEFAULT_FILE));
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(format!("{}: cannot be read: {error}", path.display())),
        };
        let file =
            Self::parse(&text).map_err(|error| format!("{}:{}: {error}", path.display(), error.line))?;
        Ok((path.display().to_string(), text, file))
    }

    /// Reads settings from YAML.
    ///
    /// # Errors
    ///
    /// Where it is not what settings may be.
    pub fn parse(yaml: &str) -> Result<Self, FileError> {
        // A file of comments alone is no document, and one that is only begun is empty: it says nothing.
        let says_nothing = |line: &str| line.is_empty() || line.starts_with('#') || line == "---";
        if yaml.lines().all(|line| says_nothing(line.trim())) {
            return Ok(Self::default());
        }
        // The neighbouring lines stay out of the message: they may hold what does not belong into a log.
        let options = serde_saphyr::options! { with_snippet: false };
        serde_saphyr::from_str_with_options(yaml, options).map_err(|error| {
            let (line, column) =
                error.location().map_or((1, 1), |location| (location.line(), location.column()));
            let words = error.to_string();
            let words = words.lines().next().unwrap_or_default();
            // The line is said in front of it.
            let words = words.split(" at line ").next().unwrap_or(words);
            let mut key = key_at(yaml, line, column);
            if let Some(unknown) = unknown_field(words) {
                // A key that is not known stands where the error is, and has not been read over.
                key = [key.as_str(), unknown]
                    .into_iter()
                    .filter(|part| !part.is_empty())
                    .collect::<Vec<_>>()
                    .join(".");
            }
            FileError { line, message: in_words(&key, words), key }
        })
    }
}

/// What is wrong with settings, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", if .key.is_empty() { String::new() } else { format!("{key}: ") })]
pub struct FileError {
    /// The line, from 1.
    pub line: u64,
    /// The key, with points between its parts; empty where it is about none.
    pub key: String,
    /// What is wrong with it and what is allowed.
    pub message: String,
}

fn unknown_field(words: &str) -> Option<&str> {
    words.split_once("unknown field `")?.1.split_once('`').map(|(key, _)| key)
}

/// What the single value of a key must be.
pub fn must_be(key: &str) -> &'static str {
    match key.rsplit('.').next().unwrap_or_default() {
        "min_score" | "urgent_score" => "must be a number",
        "max" => "must be a whole number",
        "enforce_reviewers" | "allow_public_project" | "enabled" | "action_links" => "must be true or false",
        _ => "must be a single text",
    }
}

/// The reader's words in ours, where they are about its own business.
fn in_words(key: &str, words: &str) -> String {
    if key.starts_with("channels.todo.") && unknown_field(words).is_some() {
        return format!(
            "{words}; a ToDo always goes at once, with the assignment: only `enabled` can be set"
        );
    }
    // What a programmer could do about it is of no use here.
    let words = words.split(", set DuplicateKeyPolicy").next().unwrap_or(words);
    if words.starts_with("multiple YAML documents") {
        return "there are several YAML documents; take out the lines `---` between them".to_owned();
    }
    match words {
        "expected sequence start" => "must be a list, such as [one, two]".to_owned(),
        "expected mapping start" => "must hold keys, such as {key: value}, and no single value".to_owned(),
        "expected string scalar" | "externally tagged enum expected scalar or mapping" => {
            must_be(key).to_owned()
        }
        words if words.starts_with("cannot deserialize null") => must_be(key).to_owned(),
        "invalid boolean" => "must be true or false".to_owned(),
        "invalid floating point" => "must be a number".to_owned(),
        "invalid u32" => "must be a whole number".to_owned(),
        words => format!("{words}{}", did_you_mean(words)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(yaml: &str) -> String {
        let error = File::parse(yaml).unwrap_err();
        format!("{}: {error}", error.line)
    }

    #[test]
    fn a_number_that_is_none_is_refused_on_its_line() {
        for number in [".nan", ".inf", "-.inf", "1e400"] {
            let wrong = error(&format!("language: en\nmin_score: {number}\n"));
            assert_eq!(wrong, "2: min_score: must be a number", "{number}");
            let wrong = error(&format!("quiet_hours:\n  from: \"22:00\"\n  urgent_score: {number}\n"));
            assert_eq!(wrong, "3: quiet_hours.urgent_score: must be a number", "{number}");
        }
        assert_eq!(
            File::parse("min_score: null\nquiet_hours: {urgent_score: 95}\n").unwrap().min_score,
            None
        );
    }

    #[test]
    fn a_file_that_says_nothing_is_right() {
        for yaml in ["", "\n", "# later\n", "---\n", "# later\n---\n# min_score: 80\n"] {
            assert_eq!(File::parse(yaml), Ok(File::default()), "{yaml:?}");
        }
    }

    #[test]
    fn what_has_several_parts_and_must_be_one_value_is_told_which_kind() {
        for (yaml, wrong) in [
            ("min_score: {a: 1}", "min_score: must be a number"),
            ("batch: {max: [1]}", "batch.max: must be a whole number"),
            ("enforce_reviewers: {a: 1}", "enforce_reviewers: must be true or false"),
            ("remind_after: [2d]", "remind_after: must be a single text"),
            ("language: [de]", "language: must be a single text"),
            ("reviewers: [null]", "reviewers: must be a single text"),
        ] {
            assert_eq!(error(yaml), format!("1: {wrong}"));
        }
    }
}

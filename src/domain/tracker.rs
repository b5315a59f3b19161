//! What the freelancer keeps track of once they have applied: the tracker's own fields of a match.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

/// How far an application has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Nothing was written yet.
    #[default]
    None,
    /// The letter is written, not sent.
    Drafted,
    /// Sent.
    Applied,
    /// They said that it arrived.
    Acknowledged,
    /// They want to talk, or have talked.
    Interview,
    /// They made an offer.
    Offer,
    /// The offer was accepted.
    Accepted,
    /// They said no.
    Declined,
    /// We said no.
    Withdrawn,
}

impl Stage {
    /// Every stage, in the order in which an application goes through them.
    pub const ALL: [Self; 9] = [
        Self::None,
        Self::Drafted,
        Self::Applied,
        Self::Acknowledged,
        Self::Interview,
        Self::Offer,
        Self::Accepted,
        Self::Declined,
        Self::Withdrawn,
    ];

    /// The word used in the API and in files, in either language.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Drafted => "drafted",
            Self::Applied => "applied",
            Self::Acknowledged => "acknowledged",
            Self::Interview => "interview",
            Self::Offer => "offer",
            Self::Accepted => "accepted",
            Self::Declined => "declined",
            Self::Withdrawn => "withdrawn",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A word that names no stage.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no stage; use none, drafted, applied, acknowledged, interview, offer, accepted, declined or withdrawn"
)]
pub struct UnknownStage(pub String);

impl FromStr for Stage {
    type Err = UnknownStage;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|stage| stage.as_str() == word)
            .ok_or_else(|| UnknownStage(word.to_owned()))
    }
}

/// Whether an agency was given the right to represent, and since when. In JSON `"yes"`, `"no"` or `"2026-02-07"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Rtr {
    /// It was given.
    Yes,
    /// It was not.
    No,
    /// It was given on this day.
    On(Date),
}

impl fmt::Display for Rtr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Yes => f.pad("yes"),
            Self::No => f.pad("no"),
            Self::On(date) => f.pad(&date.to_string()),
        }
    }
}

/// A text that is neither yes nor no nor a date.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no right to represent; use yes, no or a date such as 2026-02-07")]
pub struct UnknownRtr(pub String);

impl FromStr for Rtr {
    type Err = UnknownRtr;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "yes" => Ok(Self::Yes),
            "no" => Ok(Self::No),
            // The parser of dates also takes times and zones and drops them; a right has a day, no hour.
            _ if word.len() == 10 => word.parse().map(Self::On).map_err(|_| UnknownRtr(word.to_owned())),
            _ => Err(UnknownRtr(word.to_owned())),
        }
    }
}

impl TryFrom<String> for Rtr {
    type Error = UnknownRtr;

    fn try_from(word: String) -> Result<Self, Self::Error> {
        word.parse()
    }
}

impl From<Rtr> for String {
    fn from(rtr: Rtr) -> Self {
        rtr.to_string()
    }
}

/// The tracker's own fields of a match: what GitLab has no place for but a comment of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Application {
    /// How far it has come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<Stage>,
    /// When the application was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied_on: Option<Date>,
    /// When they answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_on: Option<Date>,
    /// When they talk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interview_on: Option<Date>,
    /// What to do next, in one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_step: Option<String>,
    /// When to ask again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follow_up_on: Option<Date>,
    /// Whom to talk to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact_name: Option<String>,
    /// Their e-mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact_email: Option<String>,
    /// Their telephone number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact_phone: Option<String>,
    /// Whether an agency may represent us.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtr: Option<Rtr>,
    /// Whatever else, in several lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
}

impl Application {
    /// Whether nothing is known. The stage `none` says nothing either.
    pub fn is_empty(&self) -> bool {
        *self == Self { stage: self.stage.filter(|stage| *stage == Stage::None), ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_reads_back_and_an_unknown_one_names_the_others() {
        for stage in Stage::ALL {
            assert_eq!(stage.to_string().parse(), Ok(stage));
        }
        let error = "hired".parse::<Stage>().unwrap_err().to_string();
        assert!(Stage::ALL.iter().all(|stage| error.contains(stage.as_str())), "{error}");
    }

    #[test]
    fn the_right_to_represent_is_a_word_or_a_day() {
        for word in ["yes", "no", "2026-02-07"] {
            let rtr: Rtr = serde_json::from_value(word.into()).unwrap();
            assert_eq!(serde_json::to_value(rtr).unwrap(), word);
        }
        for word in ["", "maybe", "2026-02-30", "2026-02-07T10:00", "07.02.2026"] {
            assert!(word.parse::<Rtr>().is_err(), "{word}");
        }
    }

    #[test]
    fn what_is_not_known_is_not_written() {
        assert_eq!(serde_json::to_string(&Application::default()).unwrap(), "{}");
        assert!(Application::default().is_empty());
        assert!(Application { stage: Some(Stage::None), ..Application::default() }.is_empty());
        assert!(!Application { stage: Some(Stage::Offer), ..Application::default() }.is_empty());
        assert!(serde_json::from_str::<Application>(r#"{"phase": "offer"}"#).is_err());
    }
}

//! What the freelancer keeps track of once they have applied: the tracker's own fields of a match.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::posted_match::{FieldError, clean_line, clean_text};

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

    /// Its fields, in the words of the API; what is not known is not there.
    pub fn fields(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(fields)) => fields,
            _ => Map::new(),
        }
    }

    /// What a field says, in the words of the API; empty where it is not known. The stage `none` says nothing either.
    pub fn field(&self, name: &str) -> String {
        let said = self.fields().get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        if name == "stage" && said == Stage::None.as_str() { String::new() } else { said }
    }

    /// The application with some fields changed: each a text, or null to clear it.
    ///
    /// # Errors
    ///
    /// Every field that is unknown or wrong.
    pub fn changed(&self, changes: &Map<String, Value>) -> Result<Self, Vec<FieldError>> {
        let mut fields = self.fields();
        let mut errors = Vec::new();
        for (name, value) in changes {
            match field(name, value) {
                Ok(Some(value)) => {
                    fields.insert(name.clone(), value);
                }
                Ok(None) => {
                    fields.remove(name);
                }
                Err(message) => errors.push(FieldError { field: name.clone(), message }),
            }
        }
        if errors.is_empty() {
            serde_json::from_value(Value::Object(fields))
                .map_err(|error| vec![FieldError { field: String::new(), message: error.to_string() }])
        } else {
            Err(errors)
        }
    }
}

/// Every field, in the order in which people read them: its name in the API, in German and in English.
pub const FIELDS: [(&str, &str, &str); 11] = [
    ("stage", "Phase", "Stage"),
    ("applied_on", "Beworben am", "Applied on"),
    ("answer_on", "Antwort am", "Answer on"),
    ("interview_on", "Gespräch am", "Interview on"),
    ("next_step", "Nächster Schritt", "Next step"),
    ("follow_up_on", "Wiedervorlage am", "Follow up on"),
    ("contact_name", "Ansprechpartner", "Contact"),
    ("contact_email", "E-Mail", "E-mail"),
    ("contact_phone", "Telefon", "Phone"),
    ("rtr", "RTR", "RTR"),
    ("notes", "Notizen", "Notes"),
];

/// Longest line, in characters.
const LINE_LIMIT: usize = 1_000;
/// Longest notes, in characters.
pub const NOTES_LIMIT: usize = 50_000;

/// A field's value, cleaned and checked; none clears it.
fn field(name: &str, value: &Value) -> Result<Option<Value>, String> {
    if !FIELDS.iter().any(|(known, ..)| *known == name) {
        let all: Vec<&str> = FIELDS.iter().map(|(known, ..)| *known).collect();
        return Err(format!("is no field of the tracker; use {}", all.join(", ")));
    }
    let text = match value {
        Value::Null => return Ok(None),
        Value::String(text) => text,
        _ => return Err("must be a text, or null to clear it".to_owned()),
    };
    let is_notes = name == "notes";
    let text = if is_notes { clean_text(text).trim().to_owned() } else { clean_line(text).trim().to_owned() };
    if text.is_empty() {
        return Ok(None);
    }
    let limit = if is_notes { NOTES_LIMIT } else { LINE_LIMIT };
    if text.chars().count() > limit {
        return Err(format!("at most {limit} characters are allowed"));
    }
    match name {
        "stage" => text.parse::<Stage>().map(|_| ()).map_err(|error| error.to_string())?,
        "rtr" => text.parse::<Rtr>().map(|_| ()).map_err(|error| error.to_string())?,
        _ if name.ends_with("_on") => {
            let day = Some(&text).filter(|text| text.len() == 10).and_then(|text| text.parse::<Date>().ok());
            day.ok_or_else(|| format!("`{text}` is no day such as 2026-02-07"))?;
        }
        _ => {}
    }
    Ok(Some(Value::String(text)))
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
    fn fields_are_changed_one_by_one_and_every_wrong_one_is_named() {
        let changes = |value: Value| value.as_object().unwrap().clone();
        let first = Application::default()
            .changed(&changes(
                serde_json::json!({"stage": "applied", "applied_on": "2026-02-07", "notes": " a\r\nb "}),
            ))
            .unwrap();
        assert_eq!(first.notes.as_deref(), Some("a\nb"));
        let second = first.changed(&changes(serde_json::json!({"notes": null, "rtr": "yes"}))).unwrap();
        assert_eq!((second.stage, second.notes, second.rtr), (Some(Stage::Applied), None, Some(Rtr::Yes)));
        let wrong = serde_json::json!({"stage": "hired", "applied_on": "7.2.", "phase": "x", "next_step": 3});
        let errors = first.changed(&changes(wrong)).unwrap_err();
        let named: Vec<&str> = errors.iter().map(|error| error.field.as_str()).collect();
        assert_eq!(named, ["applied_on", "next_step", "phase", "stage"]);
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

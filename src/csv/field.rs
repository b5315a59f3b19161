//! The fields that a row may have, and a row's values.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::dates::DateStyle;
use crate::domain::posted_match::{clean_line, clean_text};
use crate::domain::tracker::Stage;

/// What a column is about. The order is the order of the columns of a new file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// The number in its project.
    Iid,
    /// The match's state.
    State,
    /// What the job is called.
    Title,
    /// Who advertises it.
    Company,
    /// The agency it goes through.
    Agency,
    /// For whom the work is.
    EndClient,
    /// How well it fits, in percent.
    Score,
    /// Where the work is.
    Location,
    /// How much of it is remote.
    Remote,
    /// What it pays.
    Rate,
    /// When it starts.
    Start,
    /// How long it lasts.
    Duration,
    /// Which portal it came from.
    Source,
    /// Where the advertisement stands.
    Url,
    /// The day on which it was found.
    Created,
    /// The day on which it was decided.
    Decided,
    /// How far the application has come.
    Stage,
    /// When the application was sent.
    AppliedOn,
    /// When they answered.
    AnswerOn,
    /// When they talk.
    InterviewOn,
    /// What to do next.
    NextStep,
    /// When to ask again.
    FollowUpOn,
    /// Whom to talk to.
    ContactName,
    /// Their e-mail address.
    ContactEmail,
    /// Their telephone number.
    ContactPhone,
    /// The right to represent.
    Rtr,
    /// Whatever else.
    Notes,
    /// The portal's own id. Understood where a file has the column; a new file has none.
    ExternalId,
}

/// Who has the say over a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// What the match is: written once at its creation, never again by the service.
    Match,
    /// The state: an edit of it is a step that is asked for.
    State,
    /// The tracker's own fields: both sides may edit them.
    Tracker,
}

/// How the text of a cell is to be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A whole number above 0.
    Iid,
    /// One of the four states.
    State,
    /// One of the stages.
    Stage,
    /// A number of 0–100.
    Score,
    /// A number of percent, or words.
    Share,
    /// A number, or words.
    Rate,
    /// A day that both sides may set; a time of day behind it is passed over.
    Date,
    /// A day that the service noted; a time of day behind it is passed over.
    Moment,
    /// Yes, no or a day.
    Rtr,
    /// An http(s) address.
    Url,
    /// Words in one line.
    Line,
    /// Words in any number of lines.
    Text,
}

impl Field {
    /// How many there are.
    pub const COUNT: usize = 28;

    /// Every field, in the order of a new file's columns, and the one that a new file has no column for.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Iid,
        Self::State,
        Self::Title,
        Self::Company,
        Self::Agency,
        Self::EndClient,
        Self::Score,
        Self::Location,
        Self::Remote,
        Self::Rate,
        Self::Start,
        Self::Duration,
        Self::Source,
        Self::Url,
        Self::Created,
        Self::Decided,
        Self::Stage,
        Self::AppliedOn,
        Self::AnswerOn,
        Self::InterviewOn,
        Self::NextStep,
        Self::FollowUpOn,
        Self::ContactName,
        Self::ContactEmail,
        Self::ContactPhone,
        Self::Rtr,
        Self::Notes,
        Self::ExternalId,
    ];

    /// The columns of a new file.
    pub fn of_a_new_file() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|field| *field != Self::ExternalId)
    }

    /// Its name, which is also its English header.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Iid => "iid",
            Self::State => "state",
            Self::Title => "title",
            Self::Company => "company",
            Self::Agency => "agency",
            Self::EndClient => "end_client",
            Self::Score => "score",
            Self::Location => "location",
            Self::Remote => "remote",
            Self::Rate => "rate",
            Self::Start => "start",
            Self::Duration => "duration",
            Self::Source => "source",
            Self::Url => "url",
            Self::Created => "created",
            Self::Decided => "decided",
            Self::Stage => "stage",
            Self::AppliedOn => "applied_on",
            Self::AnswerOn => "answer_on",
            Self::InterviewOn => "interview_on",
            Self::NextStep => "next_step",
            Self::FollowUpOn => "follow_up_on",
            Self::ContactName => "contact_name",
            Self::ContactEmail => "contact_email",
            Self::ContactPhone => "contact_phone",
            Self::Rtr => "rtr",
            Self::Notes => "notes",
            Self::ExternalId => "external_id",
        }
    }

    /// Who has the say over it.
    pub const fn owner(self) -> Owner {
        match self {
            Self::State => Owner::State,
            Self::Stage
            | Self::AppliedOn
            | Self::AnswerOn
            | Self::InterviewOn
            | Self::NextStep
            | Self::FollowUpOn
            | Self::ContactName
            | Self::ContactEmail
            | Self::ContactPhone
            | Self::Rtr
            | Self::Notes => Owner::Tracker,
            _ => Owner::Match,
        }
    }

    /// How a cell of it is to be understood.
    pub const fn kind(self) -> Kind {
        match self {
            Self::Iid => Kind::Iid,
            Self::State => Kind::State,
            Self::Stage => Kind::Stage,
            Self::Score => Kind::Score,
            Self::Remote => Kind::Share,
            Self::Rate => Kind::Rate,
            Self::AppliedOn | Self::AnswerOn | Self::InterviewOn | Self::FollowUpOn => Kind::Date,
            Self::Created | Self::Decided => Kind::Moment,
            Self::Rtr => Kind::Rtr,
            Self::Url => Kind::Url,
            Self::Notes => Kind::Text,
            _ => Kind::Line,
        }
    }

    /// Whether a value of it says nothing: blank, or the stage `none`.
    pub fn says_nothing(self, value: &str) -> bool {
        let value = value.trim();
        value.is_empty() || (self == Self::Stage && value == Stage::None.as_str())
    }

    /// Whether two canonical values of it mean the same. What a posted match loses anyhow makes no difference: control
    /// characters, blanks around a text, the kind of its line ends, in one-line fields line ends as such. A start may be
    /// words or a day, which spreadsheets write in their own way.
    pub fn same(self, one: &str, other: &str) -> bool {
        if one == other || (self.says_nothing(one) && self.says_nothing(other)) {
            return true;
        }
        let meant = |text: &str| match self.kind() {
            Kind::Text => clean_text(text).trim().to_owned(),
            _ => clean_line(text).trim().to_owned(),
        };
        let (one, other) = (meant(one), meant(other));
        one == other || (self == Self::Start && is_same_day(&one, &other))
    }
}

/// Whether both are days, and the same one.
fn is_same_day(one: &str, other: &str) -> bool {
    let day = |text| DateStyle::parse(text).map(|(day, _)| day);
    day(one).is_some_and(|one| day(other) == Some(one))
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The canonical values of one match on one side: days as `2026-02-07`, numbers with a point, `yes` and `no`, states
/// and stages as their words. A field that is not set is one that this side knows nothing about (the file has no such
/// column); an empty value is an empty cell.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Row {
    values: [Option<String>; Field::COUNT],
}

impl Row {
    /// A row that knows nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// The value of a field, where this side knows it.
    pub fn get(&self, field: Field) -> Option<&str> {
        self.values[field as usize].as_deref()
    }

    /// The value of a field; unknown is empty.
    pub fn text(&self, field: Field) -> &str {
        self.get(field).unwrap_or_default()
    }

    /// Sets a field, in canonical form.
    pub fn set(&mut self, field: Field, value: impl Into<String>) {
        self.values[field as usize] = Some(value.into());
    }

    /// Forgets a field.
    pub fn forget(&mut self, field: Field) {
        self.values[field as usize] = None;
    }

    /// What is known, in the order of [`Field::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (Field, &str)> {
        Field::ALL.into_iter().filter_map(|field| Some((field, self.get(field)?)))
    }
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl FromIterator<(Field, String)> for Row {
    fn from_iter<I: IntoIterator<Item = (Field, String)>>(values: I) -> Self {
        let mut row = Self::new();
        for (field, value) in values {
            row.set(field, value);
        }
        row
    }
}

impl Serialize for Row {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Row {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let values = std::collections::BTreeMap::<Field, String>::deserialize(deserializer)?;
        Ok(values.into_iter().collect())
    }
}

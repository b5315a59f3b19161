//! The match and its parts, parsed once: what holds a [`JobMatch`] need not check it again.

use std::fmt;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use url::Url;
use utoipa::ToSchema;

/// Longest title, in characters: GitLab's own limit on an issue's title.
pub const TITLE_LIMIT: usize = 255;
/// Longest one-line text (company, location, …), in characters.
pub const LINE_LIMIT: usize = 1_000;
/// Longest summary, in characters.
pub const SUMMARY_LIMIT: usize = 20_000;
/// Longest advertisement, in characters.
pub const DESCRIPTION_LIMIT: usize = 200_000;
/// Most entries in each list of skills.
pub const SKILLS_LIMIT: usize = 200;
/// Longest skill, in characters.
pub const SKILL_LIMIT: usize = 200;
/// Deepest nesting of `extra`; JSON readers stop at 128 levels, and ours stands a few levels deep in the issue.
pub const EXTRA_DEPTH: usize = 64;
/// Largest `extra`, as bytes of JSON.
pub const EXTRA_LIMIT: usize = 100_000;

/// A job that a search pipeline found, as posted. Text is as the pipeline sent it, apart from control characters:
/// it was written by strangers and is made inert where it is used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct JobMatch {
    /// What the job is called.
    #[schema(min_length = 1, max_length = 255)]
    pub title: String,
    /// Who advertises it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub company: Option<String>,
    /// The agency it goes through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agency: Option<String>,
    /// How well it fits, 0–100 percent. Rows of an imported file and issues made by hand have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>, minimum = 0, maximum = 100)]
    pub score: Option<Score>,
    /// Where the advertisement stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = Uri)]
    pub url: Option<WebUrl>,
    /// Which portal or feed it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The portal's own id of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// For whom the work is, where an agency stands between.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_client: Option<String>,
    /// Where the work is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// How much of it is remote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<Remote>,
    /// What it pays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// When it starts, in the advertisement's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<String>,
    /// How long it lasts, in the advertisement's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<String>,
    /// Whom to write to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<Contact>,
    /// Which skills were matched and which are missing.
    #[serde(default, skip_serializing_if = "Skills::is_empty")]
    pub skills: Skills,
    /// The pipeline's own words on why it fits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// The advertisement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The last day to apply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = Date)]
    pub deadline: Option<Date>,
    /// Whatever else the pipeline wants to have back.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schema(value_type = Object)]
    pub extra: Map<String, Value>,
}

impl JobMatch {
    /// A match of which only the title is known: an adopted issue, a row of a file.
    pub fn titled(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            company: None,
            agency: None,
            score: None,
            url: None,
            source: None,
            external_id: None,
            end_client: None,
            location: None,
            remote: None,
            rate: None,
            start: None,
            duration: None,
            contact: None,
            skills: Skills::default(),
            summary: None,
            description: None,
            deadline: None,
            extra: Map::new(),
        }
    }
}

/// A score in percent, 0–100. Never between 0 and 1, where it would be a fraction mistaken for a percentage.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "Value")]
pub struct Score(f64);

impl Score {
    /// A score of `percent`.
    ///
    /// # Errors
    ///
    /// Where it is no number of 0–100, or a fraction between 0 and 1.
    pub fn new(percent: f64) -> Result<Self, ScoreError> {
        if percent > 0.0 && percent < 1.0 {
            Err(ScoreError::Fraction)
        } else if (0.0..=100.0).contains(&percent) {
            // `-0.0` is in the range and would print its sign.
            Ok(Self(percent + 0.0))
        } else {
            Err(ScoreError::OutOfRange)
        }
    }

    /// The score in percent.
    pub const fn percent(self) -> f64 {
        self.0
    }

    /// The score in whole percent, rounded down: a match never looks better than it is.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is 0–100")]
    pub const fn whole_percent(self) -> u8 {
        self.0 as u8
    }
}

/// Why a number is no score.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScoreError {
    /// A number such as 0.97.
    #[error("scale is 0–100: a score between 0 and 1 looks like a fraction, multiply it by 100")]
    Fraction,
    /// Below 0 or above 100.
    #[error("must be a number from 0 to 100")]
    OutOfRange,
}

impl TryFrom<f64> for Score {
    type Error = ScoreError;

    fn try_from(percent: f64) -> Result<Self, Self::Error> {
        Self::new(percent)
    }
}

impl From<Score> for Value {
    fn from(score: Score) -> Self {
        number(score.0)
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// An http(s) address. Keeps the text as it was posted beside what it means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WebUrl {
    text: String,
    url: Url,
}

impl WebUrl {
    /// The address as it was posted.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The address as parsed, percent-encoded as browsers do. Whoever shows it still has to escape what means something
    /// there: signs such as `&` and `;` may stand anywhere in it, even in the host.
    pub const fn url(&self) -> &Url {
        &self.url
    }
}

impl TryFrom<String> for WebUrl {
    type Error = NoWebUrl;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let url = Url::parse(text.trim()).map_err(|_| NoWebUrl)?;
        if matches!(url.scheme(), "http" | "https") && url.has_host() {
            Ok(Self { text: text.trim().to_owned(), url })
        } else {
            Err(NoWebUrl)
        }
    }
}

impl From<WebUrl> for String {
    fn from(url: WebUrl) -> Self {
        url.text
    }
}

/// Something that is no http(s) address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be an http:// or https:// address")]
pub struct NoWebUrl;

/// How much of the work is remote.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Remote {
    /// In percent, 0–100.
    Percent(Percent),
    /// In words.
    Text(String),
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percent(percent) => write!(f, "{} %", percent.0),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// A share of 0–100 percent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(into = "Value")]
#[schema(minimum = 0, maximum = 100)]
pub struct Percent(pub f64);

impl From<Percent> for Value {
    fn from(percent: Percent) -> Self {
        number(percent.0)
    }
}

/// What the work pays.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Rate {
    /// An amount of money a unit of time.
    Amount(Amount),
    /// In the advertisement's words.
    Text(String),
}

/// An amount of money a unit of time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Amount {
    /// How much.
    #[schema(value_type = f64, minimum = 0)]
    pub amount: Money,
    /// Of what: an ISO 4217 code or a sign, as posted.
    pub currency: String,
    /// For how long.
    pub per: Per,
}

/// An amount of money, not negative.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "Value")]
pub struct Money(pub f64);

impl From<Money> for Value {
    fn from(money: Money) -> Self {
        number(money.0)
    }
}

/// The unit of time of a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Per {
    /// An hour.
    Hour,
    /// A day.
    Day,
    /// A month.
    Month,
    /// A year.
    Year,
}

impl Per {
    /// Every unit.
    pub const ALL: [Self; 4] = [Self::Hour, Self::Day, Self::Month, Self::Year];

    /// The word used in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
            Self::Year => "year",
        }
    }
}

/// Whom to write to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Contact {
    /// The person's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Their e-mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Their telephone number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
}

/// Which skills were matched and which are missing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Skills {
    /// Asked for and there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub matched: Vec<String>,
    /// Asked for and not there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
}

impl Skills {
    /// Whether neither list names anything.
    pub fn is_empty(&self) -> bool {
        self.matched.is_empty() && self.missing.is_empty()
    }
}

/// A number as JSON writes it by hand: `97`, not `97.0`.
fn number(value: f64) -> Value {
    #[expect(clippy::cast_possible_truncation, reason = "only taken where nothing is cut off")]
    let whole = value as i64;
    #[expect(clippy::cast_precision_loss, reason = "compared with what it came from")]
    if whole as f64 == value { Value::from(whole) } else { Value::from(value) }
}

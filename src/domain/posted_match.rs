//! A posted JSON value becomes a [`JobMatch`], or the list of everything that is wrong with it.

use jiff::civil::Date;
use serde::Serialize;
use serde_json::{Map, Value};

use super::job_match::{
    Amount, Contact, DESCRIPTION_LIMIT, EXTRA_DEPTH, EXTRA_LIMIT, JobMatch, LINE_LIMIT, Money, Per, Percent,
    Rate, Remote, SKILL_LIMIT, SKILLS_LIMIT, SUMMARY_LIMIT, Score, Skills, TITLE_LIMIT, WebUrl,
};

/// What is wrong with one field, in words for whoever wrote the pipeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct FieldError {
    /// The field, as a path: `contact.email`, `skills.matched[2]`; empty for the value as a whole.
    pub field: String,
    /// What is wrong and what is allowed.
    pub message: String,
}

/// Every field of a posted match.
const FIELDS: [&str; 19] = [
    "title",
    "company",
    "agency",
    "score",
    "url",
    "source",
    "external_id",
    "end_client",
    "location",
    "remote",
    "rate",
    "start",
    "duration",
    "contact",
    "skills",
    "summary",
    "description",
    "deadline",
    "extra",
];

/// Reads a posted match.
///
/// Text loses its control characters, one-line text its line breaks and outer blanks; empty text counts as missing.
///
/// # Errors
///
/// Every field that is wrong, missing or unknown, all at once.
pub fn parse(value: Value) -> Result<JobMatch, Vec<FieldError>> {
    read(value, Fields::score)
}

/// Reads a match that a person entered, who need not have scored it; else as [`parse`].
///
/// # Errors
///
/// Every field that is wrong, missing or unknown, all at once.
pub fn parse_entered(value: Value) -> Result<JobMatch, Vec<FieldError>> {
    read(value, |fields| fields.number("score").and_then(|percent| fields.percent(percent)))
}

fn read(value: Value, score: impl FnOnce(&mut Fields) -> Option<Score>) -> Result<JobMatch, Vec<FieldError>> {
    let Value::Object(object) = value else {
        return Err(vec![FieldError {
            field: String::new(),
            message: format!("a match is a JSON object, not {}", kind(&value)),
        }]);
    };
    let mut fields = Fields::new(object, "");
    let job = JobMatch {
        title: fields.title(),
        company: fields.line("company"),
        agency: fields.line("agency"),
        score: score(&mut fields),
        url: fields.url(),
        source: fields.line("source"),
        external_id: fields.line("external_id"),
        end_client: fields.line("end_client"),
        location: fields.line("location"),
        remote: fields.remote(),
        rate: fields.rate(),
        start: fields.line("start"),
        duration: fields.line("duration"),
        contact: fields.contact(),
        skills: fields.skills(),
        summary: fields.text("summary", SUMMARY_LIMIT),
        description: fields.text("description", DESCRIPTION_LIMIT),
        deadline: fields.deadline(),
        extra: fields.extra(),
    };
    fields.refuse_the_rest(&FIELDS);
    if fields.errors.is_empty() { Ok(job) } else { Err(fields.errors) }
}

/// One line of text: control characters and characters that turn the reading direction are taken out, line breaks
/// and tabs become blanks.
pub fn clean_line(text: &str) -> String {
    let cleaned = |c: char| match c {
        '\n' | '\r' | '\t' | '\u{2028}' | '\u{2029}' | '\u{0085}' => Some(' '),
        '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' => None,
        c if c.is_control() => None,
        c => Some(c),
    };
    // Most are clean, and most of those are ASCII.
    let is_plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if is_plain || text.chars().all(|c| cleaned(c) == Some(c)) {
        return text.trim().to_owned();
    }
    text.chars().filter_map(cleaned).collect::<String>().trim().to_owned()
}

/// Text of several lines: every line ends in `\n`, other control characters but the tab are taken out.
pub fn clean_text(text: &str) -> String {
    text.replace("\r\n", "\n")
        .chars()
        .filter_map(|c| match c {
            '\n' | '\t' => Some(c),
            '\r' => Some('\n'),
            c if c.is_control() => None,
            c => Some(c),
        })
        .collect()
}

/// Whether a character leaves something to be seen: neither blank nor one that only joins, turns or fills.
fn is_visible(c: char) -> bool {
    let is_empty = matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{e0000}'..='\u{e0fff}');
    !is_empty && !c.is_whitespace() && !c.is_control()
}

/// The members of one object, taken out one by one; what is wrong is noted and reading goes on.
struct Fields {
    members: Map<String, Value>,
    prefix: &'static str,
    errors: Vec<FieldError>,
}

impl Fields {
    fn new(members: Map<String, Value>, prefix: &'static str) -> Self {
        Self { members, prefix, errors: Vec::new() }
    }

    fn wrong(&mut self, field: &str, message: impl Into<String>) {
        self.errors.push(FieldError { field: format!("{}{field}", self.prefix), message: message.into() });
    }

    /// Takes a member out; `null` counts as missing.
    fn take(&mut self, field: &str) -> Option<Value> {
        self.members.remove(field).filter(|value| !value.is_null())
    }

    fn string(&mut self, field: &str) -> Option<String> {
        match self.take(field)? {
            Value::String(text) => Some(text),
            other => {
                self.wrong(field, format!("must be text, not {}", kind(&other)));
                None
            }
        }
    }

    fn at_most(&mut self, field: &str, text: String, limit: usize) -> Option<String> {
        let length = text.chars().count();
        if length > limit {
            self.wrong(field, format!("has {length} characters, at most {limit} are allowed"));
            return None;
        }
        Some(text).filter(|text| !text.trim().is_empty())
    }

    fn line(&mut self, field: &str) -> Option<String> {
        let line = clean_line(&self.string(field)?);
        self.at_most(field, line, LINE_LIMIT)
    }

    fn text(&mut self, field: &str, limit: usize) -> Option<String> {
        let text = clean_text(&self.string(field)?);
        self.at_most(field, text, limit)
    }

    fn title(&mut self) -> String {
        let errors = self.errors.len();
        let title = self.string("title").and_then(|title| {
            let title = clean_line(&title);
            self.at_most("title", title, TITLE_LIMIT).filter(|title| title.chars().any(is_visible))
        });
        if title.is_none() && self.errors.len() == errors {
            self.wrong("title", format!("is required: text of 1–{TITLE_LIMIT} characters"));
        }
        title.unwrap_or_default()
    }

    fn number(&mut self, field: &str) -> Option<f64> {
        let value = self.take(field)?;
        let number = value.as_f64();
        if number.is_none() {
            self.wrong(field, format!("must be a number, not {}", kind(&value)));
        }
        number
    }

    fn score(&mut self) -> Option<Score> {
        let errors = self.errors.len();
        let Some(percent) = self.number("score") else {
            if self.errors.len() == errors {
                self.wrong("score", "is required: a number from 0 to 100");
            }
            return None;
        };
        self.percent(percent)
    }

    fn percent(&mut self, percent: f64) -> Option<Score> {
        Score::new(percent).map_err(|error| self.wrong("score", error.to_string())).ok()
    }

    fn url(&mut self) -> Option<WebUrl> {
        let text = self.line("url")?;
        WebUrl::try_from(text).map_err(|error| self.wrong("url", error.to_string())).ok()
    }

    fn remote(&mut self) -> Option<Remote> {
        match self.members.get("remote") {
            Some(Value::Number(_)) => {
                let percent = self.number("remote")?;
                if (0.0..=100.0).contains(&percent) {
                    return Some(Remote::Percent(Percent(percent)));
                }
            }
            Some(Value::Null | Value::String(_)) | None => return self.line("remote").map(Remote::Text),
            Some(_) => drop(self.take("remote")),
        }
        self.wrong("remote", "must be text or a percentage from 0 to 100");
        None
    }

    fn rate(&mut self) -> Option<Rate> {
        match self.members.get("rate") {
            Some(Value::Object(_)) => {}
            Some(Value::Null | Value::String(_)) | None => return self.line("rate").map(Rate::Text),
            Some(_) => {
                self.wrong("rate", "must be text, or an object of amount, currency and per");
                self.take("rate");
                return None;
            }
        }
        let mut inner = self.object("rate", "rate.")?;
        let amount = inner.required("amount", Self::number).filter(|amount| {
            let fine = amount.is_finite() && *amount >= 0.0;
            if !fine {
                inner.wrong("amount", "must not be negative");
            }
            fine
        });
        let currency = inner.required("currency", Self::line);
        let per = inner.required("per", Self::per);
        inner.refuse_the_rest(&["amount", "currency", "per"]);
        self.errors.append(&mut inner.errors);
        Some(Rate::Amount(Amount { amount: Money(amount?), currency: currency?, per: per? }))
    }

    fn per(&mut self, field: &str) -> Option<Per> {
        let word = self.string(field)?;
        let per = Per::ALL.into_iter().find(|per| per.as_str() == word);
        if per.is_none() {
            self.wrong(field, "must be hour, day, month or year");
        }
        per
    }

    fn contact(&mut self) -> Option<Contact> {
        let mut inner = self.object("contact", "contact.")?;
        let contact =
            Contact { name: inner.line("name"), email: inner.line("email"), phone: inner.line("phone") };
        inner.refuse_the_rest(&["name", "email", "phone"]);
        self.errors.append(&mut inner.errors);
        Some(contact).filter(|contact| *contact != Contact::default())
    }

    fn skills(&mut self) -> Skills {
        let Some(mut inner) = self.object("skills", "skills.") else {
            return Skills::default();
        };
        let skills = Skills { matched: inner.lines("matched"), missing: inner.lines("missing") };
        inner.refuse_the_rest(&["matched", "missing"]);
        self.errors.append(&mut inner.errors);
        skills
    }

    fn lines(&mut self, field: &str) -> Vec<String> {
        let entries = match self.take(field) {
            None => return Vec::new(),
            Some(Value::Array(entries)) => entries,
            Some(other) => {
                self.wrong(field, format!("must be a list of texts, not {}", kind(&other)));
                return Vec::new();
            }
        };
        if entries.len() > SKILLS_LIMIT {
            self.wrong(field, format!("has {} entries, at most {SKILLS_LIMIT} are allowed", entries.len()));
            return Vec::new();
        }
        let mut lines = Vec::with_capacity(entries.len());
        for (index, entry) in entries.into_iter().enumerate() {
            let name = format!("{field}[{index}]");
            match entry {
                Value::String(text) => {
                    let line = clean_line(&text);
                    lines.extend(self.at_most(&name, line, SKILL_LIMIT));
                }
                other => self.wrong(&name, format!("must be text, not {}", kind(&other))),
            }
        }
        lines
    }

    fn deadline(&mut self) -> Option<Date> {
        let text = self.line("deadline")?;
        // jiff reads dates with a time too; a deadline is a day and nothing else.
        let date = (text.len() == "2026-02-07".len()).then(|| text.parse().ok()).flatten();
        if date.is_none() {
            self.wrong("deadline", "must be a date such as 2026-02-07");
        }
        date
    }

    fn extra(&mut self) -> Map<String, Value> {
        let Some(inner) = self.object("extra", "extra.") else {
            return Map::new();
        };
        let size = serde_json::to_vec(&inner.members).map_or(usize::MAX, |json| json.len());
        if size > EXTRA_LIMIT {
            self.wrong("extra", format!("has {size} bytes as JSON, at most {EXTRA_LIMIT} are allowed"));
            return Map::new();
        }
        if inner.members.values().any(|value| is_deeper(value, EXTRA_DEPTH - 1)) {
            self.wrong("extra", format!("is nested too deep, at most {EXTRA_DEPTH} levels are allowed"));
            return Map::new();
        }
        inner.members
    }

    fn object(&mut self, field: &str, prefix: &'static str) -> Option<Self> {
        match self.take(field)? {
            Value::Object(members) => Some(Self::new(members, prefix)),
            other => {
                self.wrong(field, format!("must be an object, not {}", kind(&other)));
                None
            }
        }
    }

    fn required<T>(&mut self, field: &str, read: impl FnOnce(&mut Self, &str) -> Option<T>) -> Option<T> {
        let errors = self.errors.len();
        let value = read(self, field);
        if value.is_none() && self.errors.len() == errors {
            self.wrong(field, "is required");
        }
        value
    }

    /// Names every member that nobody took, whether or not it says something: a mistyped one would be missed the day it
    /// does.
    fn refuse_the_rest(&mut self, known: &[&str]) {
        for (field, _) in std::mem::take(&mut self.members) {
            self.wrong(&field, format!("is no field of a match; the fields here are {}", known.join(", ")));
        }
    }
}

/// Whether a value has more levels than so many.
fn is_deeper(value: &Value, levels: usize) -> bool {
    match value {
        Value::Array(values) => levels == 0 || values.iter().any(|value| is_deeper(value, levels - 1)),
        Value::Object(members) => levels == 0 || members.values().any(|value| is_deeper(value, levels - 1)),
        _ => false,
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn errors(value: Value) -> Vec<String> {
        parse(value)
            .unwrap_err()
            .into_iter()
            .map(|error| format!("{}: {}", error.field, error.message))
            .collect()
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let found = errors(json!({
            "score": 0.97, "url": "javascript:alert(1)", "deadline": "07.02.2026", "compny": "typo",
            "skills": {"matched": ["Rust", 7]}, "contact": {"mail": "x"}, "rate": {"amount": -1, "per": "week"},
            "remote": 140, "location": ["Vienna"],
        }));
        let expected = [
            "title: is required: text of 1–255 characters",
            "score: scale is 0–100: a score between 0 and 1 looks like a fraction, multiply it by 100",
            "url: must be an http:// or https:// address",
            "location: must be text, not a list",
            "remote: must be text or a percentage from 0 to 100",
            "rate.amount: must not be negative",
            "rate.currency: is required",
            "rate.per: must be hour, day, month or year",
            "contact.mail: is no field of a match; the fields here are name, email, phone",
            "skills.matched[1]: must be text, not a number",
            "deadline: must be a date such as 2026-02-07",
        ];
        assert_eq!(found[..expected.len()], expected);
        assert!(found[expected.len()].starts_with("compny: is no field of a match"));
    }

    #[test]
    fn what_was_posted_comes_back_as_it_was() {
        let posted = json!({
            "title": "Cloud Architect", "company": "Amoria Bond", "score": 97, "url": "https://jobs.example/1?b=2",
            "source": "portal", "external_id": "4711", "end_client": "Wiener Netze", "location": "Wien", "remote": 80,
            "rate": {"amount": 105.5, "currency": "EUR", "per": "hour"}, "start": "asap", "duration": "12 Monate",
            "contact": {"name": "Jo", "email": "jo@example.com", "phone": "+43 1 234"},
            "skills": {"matched": ["AWS"], "missing": ["Azure"]}, "summary": "Fits.", "description": "We need\n\tyou.",
            "deadline": "2026-12-01", "extra": {"a": [1, {"b": null}]},
        });
        let job = parse(posted.clone()).unwrap();
        assert_eq!(serde_json::to_value(&job).unwrap(), posted);
        assert_eq!(serde_json::from_value::<JobMatch>(posted).unwrap(), job);
    }

    #[test]
    fn empty_and_null_are_missing_and_control_characters_go() {
        let job = parse(json!({
            "title": " Dev\u{0}Ops\r\n\u{202E}Engineer ", "score": 70, "company": "  ", "agency": null,
            "description": "one\r\ntwo\rthree\u{7}", "contact": {"name": ""},
        }))
        .unwrap();
        assert_eq!(job.title, "DevOps  Engineer");
        assert_eq!((job.company, job.agency, job.contact), (None, None, None));
        assert_eq!(job.description.as_deref(), Some("one\ntwo\nthree"));
    }

    #[test]
    fn every_field_may_be_null_and_no_other_may() {
        let mut all: Map<String, Value> =
            FIELDS.iter().map(|field| ((*field).to_owned(), Value::Null)).collect();
        (all["title"], all["score"]) = ("x".into(), 90.into());
        assert!(parse(all.into()).is_ok());
        let inner = json!({
            "title": "x", "score": 90, "contact": {"name": null, "email": null, "phone": null},
            "skills": {"matched": null, "missing": null}, "extra": {"any": null},
        });
        assert!(parse(inner).is_ok());
        let found = errors(json!({
            "title": "x", "score": 90, "compny": null, "contact": {"mail": null}, "skills": {"had": null},
            "rate": {"amount": 1, "currency": "EUR", "per": "hour", "net": null},
        }));
        let named: Vec<&str> = found.iter().filter_map(|error| error.split(": is no field").next()).collect();
        assert_eq!(named, ["rate.net", "contact.mail", "skills.had", "compny"], "{found:?}");
    }

    #[test]
    fn of_what_may_be_written_in_two_ways_both_are_named() {
        let job = json!({"title": "x", "score": 80, "remote": true, "rate": 115});
        let errors: Vec<String> = parse(job)
            .unwrap_err()
            .into_iter()
            .map(|error| format!("{}: {}", error.field, error.message))
            .collect();
        assert_eq!(
            errors,
            [
                "remote: must be text or a percentage from 0 to 100",
                "rate: must be text, or an object of amount, currency and per"
            ]
        );
    }

    #[test]
    fn a_title_is_one_to_255_characters() {
        assert!(parse(json!({"title": "ü".repeat(255), "score": 70})).is_ok());
        assert_eq!(
            errors(json!({"title": "ü".repeat(256), "score": 70})),
            ["title: has 256 characters, at most 255 are allowed"]
        );
        assert_eq!(
            errors(json!({"title": " \n", "score": 70})),
            ["title: is required: text of 1–255 characters"]
        );
        assert_eq!(errors(json!([])), [": a match is a JSON object, not a list"]);
    }
}

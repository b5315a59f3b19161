//! A match as a row, and a row as a match.

use jiff::civil::Date;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::field::{Field, Kind, Owner, Row};
use super::hourly_rate;
use super::numbers::NumberStyle;
use crate::domain::job_match::{JobMatch, Remote};
use crate::domain::posted_match::{self, FieldError, clean_line, clean_text};
use crate::domain::tracker::Application;
use crate::domain::{Language, State};

/// What GitLab has of a match.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// The number.
    pub iid: u64,
    /// Where it stands.
    pub state: State,
    /// The match.
    pub job: &'a JobMatch,
    /// The tracker's own fields.
    pub application: &'a Application,
    /// The day on which it was found.
    pub created: Option<Date>,
    /// The day on which it was decided.
    pub decided: Option<Date>,
}

impl Known<'_> {
    /// The values of every field; those that are not known are empty.
    ///
    /// The contact is the tracker's, not the advertisement's: cleared in the file, it must not come back.
    pub fn row(&self) -> Row {
        let Self { job, application, .. } = self;
        // Words that are nothing but a number are read as a German file would have them.
        let style = NumberStyle::of(Language::De);
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let date = |date: Option<Date>| date.map(|date| date.to_string()).unwrap_or_default();
        let shown =
            |value: Option<&dyn std::fmt::Display>| value.map(ToString::to_string).unwrap_or_default();
        Row::from_iter([
            (Field::Iid, self.iid.to_string()),
            (Field::State, self.state.to_string()),
            (Field::Title, job.title.clone()),
            (Field::Company, text(&job.company)),
            (Field::Agency, text(&job.agency)),
            (Field::EndClient, text(&job.end_client)),
            (Field::Score, shown(job.score.as_ref().map(|score| score as _))),
            (Field::Location, text(&job.location)),
            (Field::Remote, job.remote.as_ref().map(|remote| share(remote, style)).unwrap_or_default()),
            (
                Field::Rate,
                job.rate.as_ref().map(|rate| hourly_rate::canonical(rate, style)).unwrap_or_default(),
            ),
            (Field::Start, text(&job.start)),
            (Field::Duration, text(&job.duration)),
            (Field::Source, text(&job.source)),
            (Field::Url, job.url.as_ref().map(|url| url.as_str().to_owned()).unwrap_or_default()),
            (Field::Created, date(self.created)),
            (Field::Decided, date(self.decided)),
            (Field::Stage, shown(application.stage.as_ref().map(|stage| stage as _))),
            (Field::AppliedOn, date(application.applied_on)),
            (Field::AnswerOn, date(application.answer_on)),
            (Field::InterviewOn, date(application.interview_on)),
            (Field::NextStep, text(&application.next_step)),
            (Field::FollowUpOn, date(application.follow_up_on)),
            (Field::ContactName, text(&application.contact_name)),
            (Field::ContactEmail, text(&application.contact_email)),
            (Field::ContactPhone, text(&application.contact_phone)),
            (Field::Rtr, shown(application.rtr.as_ref().map(|rtr| rtr as _))),
            (Field::Notes, text(&application.notes)),
            (Field::ExternalId, text(&job.external_id)),
        ])
    }
}

/// How much is remote, in canonical form.
fn share(remote: &Remote, style: NumberStyle) -> String {
    match remote {
        Remote::Percent(_) => remote.to_string(),
        Remote::Text(text) => super::cell::share(text, style).into_owned(),
    }
}

/// The match that a row without an iid is to become, cleaned and checked like a posted one.
///
/// # Errors
///
/// Every field that is wrong.
pub fn job_match(row: &Row) -> Result<JobMatch, Vec<FieldError>> {
    let mut members = Map::new();
    for field in [
        Field::Title,
        Field::Company,
        Field::Agency,
        Field::EndClient,
        Field::Location,
        Field::Start,
        Field::Duration,
        Field::Source,
        Field::ExternalId,
        Field::Url,
    ] {
        put_text(&mut members, field, row.text(field).into());
    }
    if let Ok(score) = row.text(Field::Score).parse::<f64>() {
        members.insert(Field::Score.as_str().to_owned(), json!(score));
    }
    let remote = row.text(Field::Remote);
    match remote.strip_suffix(" %").and_then(|percent| percent.parse::<f64>().ok()) {
        Some(percent) => put_text(&mut members, Field::Remote, json!(percent)),
        None => put_text(&mut members, Field::Remote, remote.into()),
    }
    if !row.text(Field::Rate).trim().is_empty() {
        let value = serde_json::to_value(hourly_rate::rate(row.text(Field::Rate))).unwrap_or_default();
        members.insert(Field::Rate.as_str().to_owned(), value);
    }
    posted_match::parse_entered(Value::Object(members))
}

/// Notes a member, unless it is a blank text.
fn put_text(members: &mut Map<String, Value>, field: Field, value: Value) {
    if value.as_str().is_none_or(|text| !text.trim().is_empty()) {
        members.insert(field.as_str().to_owned(), value);
    }
}

/// What stands for a match of which no portal, address or role tells whether it is the same as another: made from what
/// the row says about the match, so that a repeated import finds it again. Tracker, state, days and iid are left out,
/// since they change. `number` tells matches apart of which a file says the same, from 0.
pub fn nonce(row: &Row, number: usize) -> Uuid {
    let told =
        |field: &Field| field.owner() == Owner::Match && field.kind() != Kind::Moment && *field != Field::Iid;
    let mut hash = Sha256::new();
    for field in Field::ALL.into_iter().filter(told) {
        // A length in front of each text: no two rows run together into the same bytes.
        let text = clean_line(row.text(field));
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    }
    hash.update((number as u64).to_le_bytes());
    let mut bytes = [0; 16];
    for (byte, hashed) in bytes.iter_mut().zip(hash.finalize()) {
        *byte = hashed;
    }
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// The tracker's own fields of a row.
///
/// # Errors
///
/// Where a value is not in canonical form, which a row that was read from a table always is.
pub fn application(row: &Row) -> Result<Application, FieldError> {
    let mut application = Application::default();
    for (field, value) in row.iter() {
        put(&mut application, field, value)?;
    }
    Ok(application)
}

/// Sets one of the tracker's own fields to a canonical value; an empty one clears it. Other fields are passed over.
///
/// # Errors
///
/// Where the value is not in canonical form.
pub fn put(application: &mut Application, field: Field, value: &str) -> Result<(), FieldError> {
    let wrong = |message: String| FieldError { field: field.as_str().to_owned(), message };
    let blank = value.trim().is_empty();
    let date = || match value {
        _ if blank => Ok(None),
        day => {
            day.parse::<Date>().map(Some).map_err(|_| wrong(format!("`{day}` is no day such as 2026-02-07")))
        }
    };
    let line = || Some(clean_line(value)).filter(|text| !text.is_empty());
    match field {
        Field::Stage if blank => application.stage = None,
        Field::Stage => application.stage = Some(value.parse().map_err(|error| wrong(format!("{error}")))?),
        Field::Rtr if blank => application.rtr = None,
        Field::Rtr => application.rtr = Some(value.parse().map_err(|error| wrong(format!("{error}")))?),
        Field::AppliedOn => application.applied_on = date()?,
        Field::AnswerOn => application.answer_on = date()?,
        Field::InterviewOn => application.interview_on = date()?,
        Field::FollowUpOn => application.follow_up_on = date()?,
        Field::NextStep => application.next_step = line(),
        Field::ContactName => application.contact_name = line(),
        Field::ContactEmail => application.contact_email = line(),
        Field::ContactPhone => application.contact_phone = line(),
        Field::Notes => application.notes = Some(clean_text(value)).filter(|text| !text.trim().is_empty()),
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::dialect::Dialect;
    use super::super::merge::merge;
    use super::super::table::Table;
    use super::*;

    #[test]
    fn a_match_goes_through_a_file_and_back() {
        for (rate, remote, in_german) in [
            (json!({"amount": 105.5, "currency": "€", "per": "hour"}), json!(80), "105,5 € / Stunde"),
            (json!("1.200 €/Tag, je nach Lage"), json!("nach Absprache"), "1.200 €/Tag, je nach Lage"),
            (json!("95"), json!("80%"), "95"),
        ] {
            let posted = json!({
                "title": "Rust", "company": "=ACME", "agency": "A", "score": 97.5, "url": "https://example.com/?a=1",
                "source": "portal", "external_id": "7", "remote": remote, "rate": rate, "start": "sofort",
            });
            let job = posted_match::parse(posted).unwrap();
            let application: Application = serde_json::from_value(json!({
                "stage": "applied", "applied_on": "2026-02-07", "contact_phone": "+43 1", "rtr": "2026-02-01",
                "notes": "a\nb",
            }))
            .unwrap();
            let known = Known {
                iid: 12,
                state: State::Sent,
                job: &job,
                application: &application,
                created: Some(Date::constant(2026, 2, 1)),
                decided: None,
            };
            let mut table = Table::new(Dialect::of_a_new_file(Language::De));
            table.append(&known.row()).unwrap();
            let table = Table::read(table.to_bytes()).unwrap();
            assert_eq!(table.cell(0, table.columns().place(Field::Rate).unwrap()), in_german);
            let row = table.values(0).unwrap().unwrap();
            let plan = merge(None, &row, &known.row());
            assert!(plan.is_empty() && plan.file_only.is_empty(), "{plan:?}");
            assert_eq!(super::application(&row).unwrap(), application);
            let mut again = job_match(&row).unwrap();
            // A new file has no column for it.
            again.external_id.clone_from(&job.external_id);
            if job.remote == Some(Remote::Text("80%".to_owned())) {
                again.remote.clone_from(&job.remote);
            }
            assert_eq!(again, job);
        }
    }

    #[test]
    fn a_row_is_found_again_by_its_cells() {
        let mut row =
            Row::from_iter([(Field::Title, "Rust".to_owned()), (Field::Company, "ACME".to_owned())]);
        let first = nonce(&row, 0);
        row.set(Field::Iid, "12");
        row.set(Field::Stage, "applied");
        row.set(Field::Title, " Rust ");
        assert_eq!(nonce(&row, 0), first);
        assert_ne!(nonce(&row, 1), first);
        row.set(Field::Company, "ACM");
        row.set(Field::Agency, "E");
        assert_ne!(nonce(&row, 0), first);
    }

    #[test]
    fn an_empty_value_clears() {
        let mut application = Application { notes: Some("a".to_owned()), ..Application::default() };
        put(&mut application, Field::Notes, " ").unwrap();
        assert!(application.is_empty());
        assert!(put(&mut application, Field::AppliedOn, "07.02.2026").is_err());
    }
}

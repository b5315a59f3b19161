//! A match as pages show it: what one needs to decide, in the reader's language.

use serde::Serialize;

use super::foreign_text::Prose;
use super::sending::Stage;
use super::when::{Moment, People};
use crate::domain::posted_match::clean_line;
use crate::domain::{JobMatch, Language, State, numbers};
use crate::engine::{Engine, EngineError};
use crate::mirror::Record;

/// Most of a summary in a list, in characters.
const SUMMARY: usize = 3_000;
/// Most of an advertisement in a list, in characters; its own page shows all of it.
const ADVERTISEMENT: usize = 12_000;
/// Days before its deadline from which on a match is urgent.
const SOON: i64 = 3;

/// A match as pages show it. Every text is plain and escaped where it is put into a page, but for [`Prose`].
#[derive(Serialize)]
pub(super) struct Card {
    pub(super) iid: u64,
    pub(super) title: String,
    score: Option<Ring>,
    state: State,
    /// Where it may go.
    steps: Vec<State>,
    /// How far its application is.
    application: Option<Stage>,
    company: Option<String>,
    agency: Option<String>,
    end_client: Option<String>,
    facts: Vec<(&'static str, String)>,
    deadline: Option<Deadline>,
    contact: Option<Contact>,
    matched: Vec<String>,
    missing: Vec<String>,
    summary: Option<Prose>,
    advertisement: Option<Prose>,
    duplicates: Vec<Twin>,
    /// The advertisement's own address, and its host.
    url: Option<(String, String)>,
    /// The issue.
    web_url: String,
    created: Moment,
    decided: Option<Decided>,
}

/// A score as a ring.
#[derive(Serialize)]
struct Ring {
    percent: u8,
    tone: &'static str,
}

#[derive(Serialize)]
struct Deadline {
    text: String,
    days: i64,
    soon: bool,
}

#[derive(Serialize)]
struct Contact {
    name: Option<String>,
    email: Option<String>,
    phone: Option<String>,
}

/// Possibly the same job.
#[derive(Serialize)]
struct Twin {
    iid: u64,
    title: String,
    agency: Option<String>,
    state: State,
}

#[derive(Serialize)]
struct Decided {
    by: String,
    at: Option<Moment>,
}

/// How much of the texts is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Length {
    /// In a list of many.
    List,
    /// On its own page.
    Whole,
}

impl Card {
    /// A match as the mirror has it.
    ///
    /// # Errors
    ///
    /// Where the mirror's disk fails.
    pub(super) fn of(
        engine: &Engine,
        people: &People,
        record: &Record,
        length: Length,
    ) -> Result<Self, EngineError> {
        let job = &record.job;
        let language = people.language();
        let limit = |limit: usize| if length == Length::Whole { usize::MAX } else { limit };
        let prose = |text: &Option<String>, most: usize| {
            text.as_ref().filter(|text| !text.trim().is_empty()).map(|text| Prose::of(text, limit(most)))
        };
        Ok(Self {
            iid: record.iid,
            title: clean_line(&job.title),
            score: job.score.map(|score| ring(score.whole_percent())),
            state: record.state,
            steps: onward(record.state, record.undo_sent()),
            application: Stage::of(record),
            company: line(job.company.as_ref()),
            agency: line(job.agency.as_ref()),
            end_client: line(job.end_client.as_ref()),
            facts: facts(job, language),
            deadline: job.deadline.map(|date| {
                let days = people.days_until(date);
                Deadline { text: people.date(date), days, soon: (0..=SOON).contains(&days) }
            }),
            contact: job.contact.as_ref().map(|contact| Contact {
                name: line(contact.name.as_ref()),
                email: line(contact.email.as_ref()),
                phone: line(contact.phone.as_ref()),
            }),
            matched: job.skills.matched.iter().map(|skill| clean_line(skill)).collect(),
            missing: job.skills.missing.iter().map(|skill| clean_line(skill)).collect(),
            summary: prose(&job.summary, SUMMARY),
            advertisement: prose(&job.description, ADVERTISEMENT),
            duplicates: twins(engine, record)?,
            url: job.url.as_ref().map(|url| {
                let host = url.url().host_str().unwrap_or_default().trim_start_matches("www.");
                (url.url().as_str().to_owned(), host.to_owned())
            }),
            web_url: record.web_url.clone(),
            created: people.moment(record.created_at),
            decided: record
                .decided_by
                .as_ref()
                .map(|by| Decided { by: by.clone(), at: record.decided_at.map(|at| people.moment(at)) }),
        })
    }
}

/// Where a match may go, what leads on before what leads back; `undo_sent` as [`State::may_become`] has it.
pub(super) fn onward(state: State, undo_sent: bool) -> Vec<State> {
    let order = [State::Approved, State::Sent, State::Rejected, State::Pending];
    order.into_iter().filter(|to| state.may_become(*to, undo_sent)).collect()
}

fn line(text: Option<&String>) -> Option<String> {
    text.map(|text| clean_line(text)).filter(|text| !text.is_empty())
}

/// What is known of a match, under the names that the words have for it.
fn facts(job: &JobMatch, language: Language) -> Vec<(&'static str, String)> {
    let all = [
        ("location", job.location.clone()),
        ("remote", job.remote.as_ref().map(|remote| numbers::remote(remote, language))),
        ("rate", job.rate.as_ref().map(|rate| numbers::rate(rate, language))),
        ("start", job.start.clone()),
        ("duration", job.duration.clone()),
        ("source", job.source.clone()),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name, line(value.as_ref())?))).collect()
}

fn ring(percent: u8) -> Ring {
    let tone = match percent {
        90.. => "high",
        75..90 => "good",
        _ => "low",
    };
    Ring { percent, tone }
}

fn twins(engine: &Engine, record: &Record) -> Result<Vec<Twin>, EngineError> {
    let iids = engine.mirror().possible_duplicates(&record.job, Some(record.iid))?;
    let mut twins = Vec::with_capacity(iids.len());
    for iid in iids {
        if let Some(other) = engine.mirror().record(iid)? {
            let title = clean_line(&other.job.title);
            let agency = line(other.job.agency.as_ref().or(other.job.company.as_ref()));
            twins.push(Twin { iid, title, agency, state: other.state });
        }
    }
    Ok(twins)
}

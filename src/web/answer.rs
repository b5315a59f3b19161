//! A match as the API answers it.

use axum::http::StatusCode;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::problem::Problem;
use crate::domain::history::Step;
use crate::domain::sending::AttemptOutcome;
use crate::domain::{Application, JobMatch, State};
use crate::engine::{Engine, EngineError};
use crate::mirror::{Delivery, Record, Standing};
use crate::notify::Notifier;

/// A match, as posted and with what became of it.
#[derive(Debug, Serialize, ToSchema)]
pub struct MatchAnswer {
    iid: u64,
    web_url: String,
    state: State,
    /// Whether `job-match` was taken off its issue: then it is in no list, and nothing more is said of it, until somebody puts
    /// it back.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(default = false)]
    withdrawn: bool,
    allowed_states: Vec<State>,
    fingerprint: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
    decided_by: Option<String>,
    #[schema(value_type = Option<String>, format = DateTime)]
    decided_at: Option<Timestamp>,
    possible_duplicates: Vec<u64>,
    /// The tracker's fields; null before the first is set.
    #[schema(value_type = Option<Object>)]
    application: Option<Application>,
    /// Whether a draft of the application is there.
    draft: bool,
    /// How sending stands; none where it was never tried, or certainly failed.
    send: Option<SendAnswer>,
    #[serde(flatten)]
    job: JobMatch,
}

/// How sending the application stands.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SendAnswer {
    /// `sent`, `under_way`, `send_unknown` where nobody knows whether the mail left, or `resolved` where a person set the
    /// match to sent since.
    outcome: &'static str,
    /// When that was known.
    #[schema(value_type = Option<String>, format = DateTime)]
    at: Option<Timestamp>,
    to: String,
    message_id: String,
    /// Who had it sent.
    by: String,
    /// Why nobody knows.
    reason: Option<String>,
    /// Why it was sent although there is a possible duplicate.
    r#override: Option<String>,
    /// Who set the match to sent while nobody knew whether the mail had left.
    resolved_by: Option<String>,
}

impl SendAnswer {
    /// What the comments on a match amount to, and what a person made of a doubt.
    pub fn of(record: &Record) -> Option<Self> {
        let attempt = record.sending.attempt.clone()?;
        let left = attempt.outcome == AttemptOutcome::Sent;
        let resolved = !left && record.state == State::Sent;
        Some(Self {
            outcome: match attempt.outcome {
                AttemptOutcome::Sent => "sent",
                _ if resolved => "resolved",
                AttemptOutcome::Open => "under_way",
                _ => "send_unknown",
            },
            at: if resolved { record.decided_at } else { attempt.at },
            to: attempt.to,
            message_id: attempt.message_id,
            by: attempt.by,
            reason: attempt.reason.filter(|_| !left),
            r#override: attempt.override_reason,
            resolved_by: attempt.resolved_by.or_else(|| record.decided_by.clone()).filter(|_| resolved),
        })
    }
}

/// An answer's body.
pub(super) fn to_json(value: &impl Serialize) -> Result<String, Problem> {
    serde_json::to_string(value).map_err(|error| {
        tracing::error!(%error, "an answer could not be written as JSON");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR)
    })
}

/// A match as the API answers it, for those who receive events.
///
/// # Errors
///
/// Where the mirror's disk fails.
pub fn as_json(engine: &Engine, record: Record) -> Result<Value, EngineError> {
    let answer = MatchAnswer::of(engine, record)?;
    serde_json::to_value(answer).map_err(|error| EngineError::Text(error.to_string()))
}

/// A match in a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct ListedAnswer {
    #[serde(flatten)]
    answer: MatchAnswer,
    deliveries: Vec<Delivery>,
}

/// A match with its life.
#[derive(Debug, Serialize, ToSchema)]
pub struct WholeAnswer {
    #[serde(flatten)]
    answer: MatchAnswer,
    history: Vec<Step>,
    deliveries: Vec<Delivery>,
}

impl MatchAnswer {
    /// A match as the mirror knows it.
    ///
    /// # Errors
    ///
    /// Where the mirror's disk fails.
    pub fn of(engine: &Engine, record: Record) -> Result<Self, EngineError> {
        let possible_duplicates = engine.mirror().possible_duplicates(&record.job, Some(record.iid))?;
        let withdrawn = record.standing == Standing::Withdrawn;
        Ok(Self {
            iid: record.iid,
            withdrawn,
            allowed_states: if withdrawn { Vec::new() } else { record.state.allowed(record.undo_sent()) },
            draft: record.sending.draft.is_some(),
            send: SendAnswer::of(&record),
            fingerprint: record.fingerprint().map(|fingerprint| fingerprint.as_str().to_owned()),
            web_url: record.web_url,
            state: record.state,
            created_at: record.created_at,
            updated_at: record.updated_at,
            decided_by: record.decided_by,
            decided_at: record.decided_at,
            possible_duplicates,
            application: Some(record.application).filter(|application| !application.is_empty()),
            job: record.job,
        })
    }
}

impl ListedAnswer {
    /// Matches as the mirror knows them, with what was told of them or is held.
    ///
    /// # Errors
    ///
    /// Where the mirror's disk fails.
    pub fn all(engine: &Engine, notifier: &Notifier, records: Vec<Record>) -> Result<Vec<Self>, EngineError> {
        let deliveries = notifier.deliveries_of(&records)?;
        let both = records.into_iter().zip(deliveries);
        both.map(|(record, deliveries)| Ok(Self { answer: MatchAnswer::of(engine, record)?, deliveries }))
            .collect()
    }

    /// Whether something of it may be held, so that time alone changes it.
    pub fn waits(&self) -> bool {
        self.answer.state == State::Pending
    }
}

impl WholeAnswer {
    /// A match with its life as the mirror knows it.
    ///
    /// # Errors
    ///
    /// Where the mirror's disk fails.
    pub fn of(engine: &Engine, notifier: &Notifier, record: Record) -> Result<Self, EngineError> {
        let history = engine.mirror().steps(record.iid)?;
        let deliveries = notifier.deliveries(&record)?;
        Ok(Self { answer: MatchAnswer::of(engine, record)?, history, deliveries })
    }
}

//! The application: its draft to be read and edited, and a button that sends it after asking once more.

mod draft;
mod send;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::Response;
use axum::routing::get;
use serde::Serialize;
use serde_json::{Value, json};

use super::prose::Prose;
use super::visit::Visit;
use crate::domain::State;
use crate::domain::posted::clean_line;
use crate::domain::sending::{Attempt, DraftContent};
use crate::mirror::{Record, Standing};
use crate::outgoing::{Draft, OutgoingError};
use crate::web::Web;

/// The pages of applications.
pub(super) fn routes() -> Router<Web> {
    Router::new()
        .route("/matches/{iid}/draft", get(draft::page).post(draft::post))
        .route("/matches/{iid}/send", get(send::page).post(send::post))
}

/// How far an application is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Stage {
    /// Somebody could write one.
    Write,
    /// It can be read, edited and, once the match is approved, sent.
    Read,
    /// Nobody knows whether it left.
    Doubt,
    /// It is sent.
    Sent,
}

impl Stage {
    /// How far a match's application is; none where there is none and none is wanted.
    pub(super) fn of(record: &Record) -> Option<Self> {
        let sending = &record.sending;
        match record.state {
            _ if sending.sent().is_some() => Some(Self::Sent),
            State::Approved | State::Pending if sending.doubt().is_some() => Some(Self::Doubt),
            State::Approved | State::Pending if sending.draft.is_some() => Some(Self::Read),
            State::Approved => Some(Self::Write),
            _ => None,
        }
    }
}

/// A match with its draft, read from GitLab right now.
struct Read {
    record: Record,
    draft: Option<Draft>,
    /// Why the draft's comment cannot be read any more.
    broken: Option<String>,
}

/// Reads match and draft from GitLab.
///
/// # Errors
///
/// The page that says why it cannot be read.
async fn read(visit: &Visit, iid: &str) -> Result<Read, Response> {
    let number = iid.parse().map_err(|_| unknown(visit))?;
    let (draft, broken) = match visit.web.outgoing().draft(number).await {
        Ok(draft) => (draft, None),
        Err(OutgoingError::Invalid(wrong)) => {
            (None, Some(wrong.into_iter().map(|one| one.message).collect::<Vec<_>>().join("; ")))
        }
        Err(OutgoingError::Unknown(_)) => return Err(unknown(visit)),
        Err(OutgoingError::Engine(error)) => return Err(visit.failed(&error)),
        Err(error) => return Err(visit.say(StatusCode::CONFLICT, "refused", &error.to_string())),
    };
    let record = visit.web.engine().mirror().record(number).map_err(|error| visit.failed(&error.into()))?;
    let record = record.filter(|record| record.standing == Standing::Live).ok_or_else(|| unknown(visit))?;
    Ok(Read { record, draft, broken })
}

fn unknown(visit: &Visit) -> Response {
    visit.say(StatusCode::NOT_FOUND, "no_match", "")
}

/// What every page of an application shows of its match.
fn about(visit: &Visit, record: &Record) -> Value {
    let attempt = |attempt: &Attempt| {
        json!({
            "to": attempt.to, "by": attempt.by, "message_id": attempt.message_id, "reason": attempt.reason,
            "override": attempt.override_reason, "since": visit.people().moment(attempt.since),
            "at": attempt.at.map(|at| visit.people().moment(at)),
        })
    };
    json!({
        "iid": record.iid,
        "title": clean_line(&record.job.title),
        "state": record.state,
        "stage": Stage::of(record),
        "web_url": record.web_url,
        "contact": record.job.contact.as_ref().and_then(|contact| contact.email.as_deref()).map(clean_line),
        "attempt": record.sending.attempt.as_ref().map(attempt),
    })
}

/// A draft as it is read, not edited.
fn letter(content: &DraftContent) -> Value {
    json!({
        "to": content.to, "subject": content.subject, "attachments": content.attachments,
        "body": Prose::of(&content.body, usize::MAX),
    })
}

/// With what a page is answered that says why something was not done, the word for it, and what the other side said.
fn why(error: &OutgoingError) -> (StatusCode, &'static str, String) {
    let text = error.to_string();
    match error {
        OutgoingError::Unknown(_) | OutgoingError::NoDraft(_) => (StatusCode::NOT_FOUND, "gone", text),
        OutgoingError::WrongState { state, .. } => (StatusCode::CONFLICT, "wrong_state", state.to_string()),
        OutgoingError::Conflict(_) => (StatusCode::CONFLICT, "conflict", text),
        OutgoingError::Changed(_) | OutgoingError::NotThere | OutgoingError::SayWhich => {
            (StatusCode::CONFLICT, "changed", String::new())
        }
        OutgoingError::Duplicate(_) => (StatusCode::CONFLICT, "duplicate", String::new()),
        OutgoingError::UnderWay(_) => (StatusCode::CONFLICT, "under_way", text),
        OutgoingError::Invalid(_) => (StatusCode::UNPROCESSABLE_ENTITY, "invalid", String::new()),
        OutgoingError::InDoubt(_) => (StatusCode::BAD_GATEWAY, "in_doubt", String::new()),
        OutgoingError::Refused(reason) => (StatusCode::BAD_GATEWAY, "not_sent", reason.clone()),
        OutgoingError::NotNow { reason, .. } => (StatusCode::SERVICE_UNAVAILABLE, "not_now", reason.clone()),
        OutgoingError::NotSetUp => (StatusCode::SERVICE_UNAVAILABLE, "not_set_up", text),
        OutgoingError::Engine(error) if error.retry_after().is_some() => {
            (StatusCode::SERVICE_UNAVAILABLE, "later", text)
        }
        OutgoingError::Engine(_) => (StatusCode::BAD_GATEWAY, "refused", text),
    }
}

/// Says when trying again is worth it.
fn with_pause(mut response: Response, error: &OutgoingError) -> Response {
    let after = match error {
        OutgoingError::UnderWay(after) | OutgoingError::NotNow { after, .. } => Some(*after),
        OutgoingError::Engine(error) => error.retry_after(),
        _ => None,
    };
    if let Some(after) = after {
        response.headers_mut().insert(header::RETRY_AFTER, after.as_secs().max(1).into());
    }
    response
}

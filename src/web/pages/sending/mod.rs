//! The application: its draft to be read and edited, and a button that sends it after asking once more.

mod draft;
mod send;

use std::collections::BTreeMap;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::Response;
use axum::routing::get;
use serde::Serialize;
use serde_json::{Value, json};

use super::error_words::Complaint;
use super::foreign_text::Prose;
use super::match_page::no_match;
use super::visit::Visit;
use crate::domain::State;
use crate::domain::posted_match::{FieldError, clean_line};
use crate::domain::sending::{Attempt, AttemptOutcome, DraftContent};
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
    Drafted,
    /// It is being sent.
    UnderWay,
    /// Nobody knows whether it left.
    Doubt,
    /// It is sent.
    Sent,
}

impl Stage {
    /// How far a match's application is; none where there is none and none is wanted.
    pub(super) fn of(record: &Record) -> Option<Self> {
        let sending = &record.sending;
        let doubt = sending.doubt().map(|doubt| doubt.outcome);
        match record.state {
            _ if sending.sent().is_some() => Some(Self::Sent),
            State::Approved | State::Pending if doubt == Some(AttemptOutcome::Open) => Some(Self::UnderWay),
            State::Approved | State::Pending if doubt.is_some() => Some(Self::Doubt),
            State::Approved | State::Pending if sending.draft.is_some() => Some(Self::Drafted),
            State::Approved => Some(Self::Write),
            _ => None,
        }
    }
}

/// A match with its draft, read from GitLab right now.
struct MatchAndDraft {
    record: Record,
    draft: Option<Draft>,
    /// Why the draft's comment cannot be read any more.
    broken: Option<Vec<Complaint>>,
}

/// Reads match and draft from GitLab.
///
/// # Errors
///
/// The page that says why it cannot be read.
async fn read(visit: &Visit, iid: &str) -> Result<MatchAndDraft, Response> {
    let number = iid.parse().map_err(|_| no_match(visit, None))?;
    let (draft, broken) = match visit.web.outgoing().draft(number).await {
        Ok(draft) => (draft, None),
        Err(OutgoingError::Invalid(wrong)) => {
            (None, Some(wrong.iter().map(|one| Complaint::of(&one.message)).collect()))
        }
        Err(OutgoingError::Unknown(_)) => {
            let record = visit.web.engine().mirror().record(number).ok().flatten();
            return Err(no_match(visit, record.as_ref()));
        }
        Err(OutgoingError::Engine(error)) => return Err(visit.failed(&error)),
        Err(error) => return Err(visit.say(StatusCode::CONFLICT, "refused", &error.to_string())),
    };
    let record = visit.web.engine().mirror().record(number).map_err(|error| visit.failed(&error.into()))?;
    match record {
        Some(record) if record.standing == Standing::Live => Ok(MatchAndDraft { record, draft, broken }),
        other => Err(no_match(visit, other.as_ref())),
    }
}

/// What is wrong, by the form's field: `attachments[2]` is about `attachments`.
fn complaints(wrong: &[FieldError]) -> BTreeMap<String, Vec<Complaint>> {
    let mut complaints: BTreeMap<String, Vec<Complaint>> = BTreeMap::new();
    for one in wrong {
        let name = match one.field.split('[').next().unwrap_or_default() {
            "contact.email" => "to",
            name => name,
        };
        complaints.entry(name.to_owned()).or_default().push(Complaint::of(&one.message));
    }
    complaints
}

/// Whom the application goes to: the draft's recipient, else the match's contact.
fn recipient(record: &Record, draft: Option<&DraftContent>) -> Option<String> {
    let contact = record.job.contact.as_ref().and_then(|contact| contact.email.as_deref()).map(clean_line);
    draft.and_then(|draft| draft.to.clone()).or(contact).filter(|to| !to.is_empty())
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
        "contact": recipient(record, None),
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
        OutgoingError::Unknown(_) | OutgoingError::NoDraft(_) => {
            (StatusCode::NOT_FOUND, "gone", String::new())
        }
        OutgoingError::WrongState { state, .. } => (StatusCode::CONFLICT, "wrong_state", state.to_string()),
        OutgoingError::Conflict(_) => (StatusCode::CONFLICT, "conflict", text),
        OutgoingError::Changed(_) | OutgoingError::NotThere | OutgoingError::SayWhich => {
            (StatusCode::CONFLICT, "changed", String::new())
        }
        OutgoingError::Duplicate(_) => (StatusCode::CONFLICT, "duplicate", String::new()),
        OutgoingError::UnreadDuplicate(_) => (StatusCode::SERVICE_UNAVAILABLE, "later", text),
        OutgoingError::UnderWay(_) => (StatusCode::CONFLICT, "under_way", String::new()),
        OutgoingError::Invalid(_) => (StatusCode::UNPROCESSABLE_ENTITY, "invalid", String::new()),
        OutgoingError::InDoubt(_) => (StatusCode::BAD_GATEWAY, "in_doubt", String::new()),
        OutgoingError::Refused(reason) => (StatusCode::BAD_GATEWAY, "not_sent", reason.clone()),
        OutgoingError::NotNow { reason, .. } => (StatusCode::SERVICE_UNAVAILABLE, "not_now", reason.clone()),
        OutgoingError::NotSetUp => (StatusCode::SERVICE_UNAVAILABLE, "not_set_up", String::new()),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_stands_at_the_field_that_it_is_about() {
        let wrong = ["attachments[0]", "attachments[2]", "contact.email", "subject"];
        let wrong = wrong.map(|field| FieldError { field: field.to_owned(), message: "is odd".to_owned() });
        let complaints = complaints(&wrong);
        assert_eq!(complaints.keys().collect::<Vec<_>>(), ["attachments", "subject", "to"]);
        assert_eq!(complaints["attachments"].len(), 2);
    }
}

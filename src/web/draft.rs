//! The draft of a match, and sending it.

use std::time::Duration;

use axum::extract::{Extension, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Web;
use super::answer::SendAnswer;
use super::auth::Caller;
use super::iid::{Iid, unknown};
use super::openapi::{PROBLEM, Refusals};
use super::problem::{ApiBytes, ApiJson, Parts, Problem, optional_json};
use crate::domain::history::Through;
use crate::domain::posted_match::clean_line;
use crate::outgoing::{Draft, DraftInput, OutgoingError, SendRequest, Sent};

/// Longest reason of an override, in characters.
const REASON_LIMIT: usize = 1_000;
/// When what could not be read of possible duplicates is asked for again.
const UNREAD_AGAIN: Duration = Duration::from_secs(5);

/// A draft, as posted.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PutDraft {
    /// The recipient's address; the match's contact where it is missing.
    to: Option<String>,
    // Where one of the two is missing, that is told beside whatever else is wrong.
    /// One line.
    #[schema(value_type = String, required, min_length = 1, max_length = 250)]
    subject: Option<String>,
    /// Markdown.
    #[schema(value_type = String, required, min_length = 1, max_length = 100000)]
    body: Option<String>,
    /// Paths in the project's repository, read from the default branch.
    #[serde(default)]
    #[schema(max_items = 10)]
    attachments: Vec<String>,
}

/// A draft as GitLab has it now.
#[derive(Serialize, ToSchema)]
pub(super) struct DraftAnswer {
    iid: u64,
    /// The recipient's address; none where the match's contact is meant.
    to: Option<String>,
    subject: String,
    /// Markdown.
    body: String,
    attachments: Vec<String>,
    /// What `If-Match` has to say to replace this draft.
    etag: String,
    /// How sending it stands; none where it was never tried, or certainly failed.
    send: Option<SendAnswer>,
}

/// The draft of a match as GitLab has it now, with what people edited.
#[utoipa::path(
    get, path = "/matches/{iid}/draft", operation_id = "get_draft", tag = "matches", params(("iid" = u64, Path, description = "The issue's number")),
    responses(
        (status = 200, description = "The draft", body = DraftAnswer, headers(("ETag" = String))),
        (status = 404, description = "There is no such match, or it has no draft", body = Parts, content_type = PROBLEM),
        (status = 410, description = "Its data was removed at a person's wish", body = Parts, content_type = PROBLEM),
        (status = 502, description = "GitLab refused", body = Parts, content_type = PROBLEM),
        (status = 503, description = "GitLab does not answer; try again after Retry-After", body = Parts, content_type = PROBLEM),
        Refusals,
    ),
)]
pub(super) async fn get(State(web): State<Web>, Iid(iid): Iid) -> Result<Response, Problem> {
    let draft = web.outgoing().draft(iid).await?.ok_or(OutgoingError::NoDraft(iid))?;
    Ok(answer(StatusCode::OK, draft))
}

/// Writes the draft, or replaces it; answered after GitLab has it. The same draft again changes nothing, and what somebody
/// else wrote or edited is replaced only where If-Match shows that the caller has seen it.
#[utoipa::path(
    put, path = "/matches/{iid}/draft", operation_id = "put_draft", tag = "matches",
    params(("iid" = u64, Path, description = "The issue's number"),
           ("If-Match" = Option<String>, Header, description = "The ETag of the draft that is replaced; * replaces any. May be left out for a draft that the same token wrote and nobody has edited since")),
    request_body(content = PutDraft, example = json!({
        "to": "clara@example.com", "subject": "Cloud Architect, Vienna", "body": "Dear Clara,\n\nI bring **ten years** of AWS.",
        "attachments": [],
    })),
    responses(
        (status = 200, description = "The draft is replaced, or was the same", body = DraftAnswer, headers(("ETag" = String))),
        (status = 201, description = "The draft is written", body = DraftAnswer, headers(("ETag" = String))),
        (status = 404, description = "There is no such match", body = Parts, content_type = PROBLEM),
        (status = 410, description = "Its data was removed at a person's wish", body = Parts, content_type = PROBLEM),
        (status = 409, description = "The match is rejected or sent, or a send is in doubt", body = Parts, content_type = PROBLEM),
        (status = 412, description = "The draft has changed since", body = Parts, content_type = PROBLEM),
        (status = 413, description = "Too large", body = Parts, content_type = PROBLEM),
        (status = 415, description = "The body is not sent as JSON", body = Parts, content_type = PROBLEM),
        (status = 428, description = "There is a draft already that somebody else wrote or edited; If-Match has to say which", body = Parts, content_type = PROBLEM),
        (status = 502, description = "GitLab refused", body = Parts, content_type = PROBLEM),
        (status = 503, description = "GitLab does not answer; try again after Retry-After", body = Parts, content_type = PROBLEM),
        Refusals,
    ),
)]
pub(super) async fn put(
    State(web): State<Web>,
    Extension(caller): Extension<Caller>,
    Iid(iid): Iid,
    headers: HeaderMap,
    ApiJson(body): ApiJson<PutDraft>,
) -> Result<Response, Problem> {
    let expected = if_match(&headers);
    let input = DraftInput {
        to: body.to,
        subject: body.subject.unwrap_or_default(),
        body: body.body.unwrap_or_default(),
        attachments: body.attachments,
    };
    let put = web.outgoing().put_draft(iid, input, expected.as_deref(), &caller.0, Through::Api);
    let draft = put.await?;
    let status = if draft.created { StatusCode::CREATED } else { StatusCode::OK };
    Ok(answer(status, draft))
}

/// An order to send, as posted.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Send {
    /// Why it is sent although the same role may have been offered already through another agency.
    #[schema(max_length = 1000)]
    r#override: Option<String>,
    /// Repeats an attempt of which nobody knows whether it succeeded.
    #[serde(default)]
    retry: bool,
}

/// What was sent.
#[derive(Serialize, ToSchema)]
pub(super) struct SentAnswer {
    iid: u64,
    /// `sent`.
    outcome: &'static str,
    /// Where the match stands; for a moment still `approved` where GitLab could not be told.
    state: crate::domain::State,
    #[schema(value_type = Option<String>, format = DateTime)]
    at: Option<Timestamp>,
    /// To whom; none where a person sent it.
    to: Option<String>,
    /// The mail's id; none where a person sent it.
    message_id: Option<String>,
    by: Option<String>,
    /// Why it was sent although there is a possible duplicate.
    r#override: Option<String>,
}

/// Sends the draft by mail, once. On a sent match it answers the same and sends nothing.
#[utoipa::path(
    post, path = "/matches/{iid}/send", operation_id = "send_application", tag = "matches",
    params(("iid" = u64, Path, description = "The issue's number"),
           ("If-Match" = Option<String>, Header, description = "The ETag of the draft that is meant; another one is not sent")),
    request_body(content = Option<Send>, description = "May be left out", example = json!({})),
    responses(
        (status = 200, description = "It is sent, or was", body = SentAnswer),
        (status = 404, description = "There is no such match", body = Parts, content_type = PROBLEM),
        (status = 410, description = "Its data was removed at a person's wish", body = Parts, content_type = PROBLEM),
        (status = 409, description = "The match is not approved or has no draft, a possible duplicate was sent, somebody else \
                                     is sending, or the draft was edited meanwhile; nothing has left",
         body = Parts, content_type = PROBLEM),
        (status = 412, description = "The draft is not the one that If-Match means; nothing has left", body = Parts, content_type = PROBLEM),
        (status = 413, description = "Too large", body = Parts, content_type = PROBLEM),
        (status = 415, description = "The body is not sent as JSON", body = Parts, content_type = PROBLEM),
        (status = 502, description = "The mail server or GitLab refused; or, of type urn:vorhoelle:send_unknown, it is \
                                     uncertain whether the mail left",
         body = Parts, content_type = PROBLEM),
        (status = 503, description = "Nothing was sent; try again after Retry-After, or where there is none, set up sending first: \
                                     the detail says how",
         body = Parts, content_type = PROBLEM),
        Refusals,
    ),
)]
pub(super) async fn send(
    State(web): State<Web>,
    Extension(caller): Extension<Caller>,
    Iid(iid): Iid,
    headers: HeaderMap,
    ApiBytes(body): ApiBytes,
) -> Result<Response, Problem> {
    let order: Send = optional_json(&headers, body.trim_ascii())?;
    let reason = order.r#override.map(|reason| clean_line(&reason));
    if reason.as_ref().is_some_and(|reason| reason.is_empty() || reason.chars().count() > REASON_LIMIT) {
        return Err(Problem::field("override", format!("must be a reason of 1–{REASON_LIMIT} characters")));
    }
    let draft = if_match(&headers).filter(|draft| draft != "*");
    let request = SendRequest { draft, override_reason: reason, retry: order.retry };
    let sent = web.outgoing().send(iid, request, &caller.0, Through::Api).await;
    web.finish_inside_the_request().await;
    Ok(axum::Json(SentAnswer::of(sent?)).into_response())
}

impl SentAnswer {
    fn of(sent: Sent) -> Self {
        Self {
            iid: sent.record.iid,
            outcome: "sent",
            state: sent.record.state,
            at: sent.at,
            to: sent.to,
            message_id: sent.message_id,
            by: sent.by,
            r#override: sent.override_reason,
        }
    }
}

fn answer(status: StatusCode, draft: Draft) -> Response {
    let tag = HeaderValue::from_str(&format!("\"{}\"", draft.etag));
    let answer = DraftAnswer {
        iid: draft.record.iid,
        send: SendAnswer::of(&draft.record),
        to: draft.content.to,
        subject: draft.content.subject,
        body: draft.content.body,
        attachments: draft.content.attachments,
        etag: draft.etag,
    };
    let mut response = (status, axum::Json(answer)).into_response();
    if let Ok(tag) = tag {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// The draft that `If-Match` means; one that cannot be read means none that there is.
fn if_match(headers: &HeaderMap) -> Option<String> {
    headers.get(header::IF_MATCH).map(|value| etag_in(&String::from_utf8_lossy(value.as_bytes())))
}

/// `"abc"`, `W/"abc"` and `abc` mean the same draft.
fn etag_in(value: &str) -> String {
    value.trim().trim_start_matches("W/").trim_matches('"').to_owned()
}

impl From<OutgoingError> for Problem {
    fn from(error: OutgoingError) -> Self {
        let text = error.to_string();
        let with = |status| Self::new(status).detail(text.clone());
        match error {
            OutgoingError::Unknown(iid) => unknown(iid),
            OutgoingError::NoDraft(_) => with(StatusCode::NOT_FOUND),
            OutgoingError::WrongState { .. } | OutgoingError::Conflict(_) | OutgoingError::Duplicate(_) => {
                with(StatusCode::CONFLICT)
            }
            OutgoingError::UnreadDuplicate(_) => {
                with(StatusCode::SERVICE_UNAVAILABLE).retry_after(UNREAD_AGAIN)
            }
            OutgoingError::UnderWay(after) => with(StatusCode::CONFLICT).retry_after(after),
            OutgoingError::Changed(_) | OutgoingError::NotThere => with(StatusCode::PRECONDITION_FAILED),
            OutgoingError::SayWhich => with(StatusCode::PRECONDITION_REQUIRED),
            OutgoingError::Invalid(errors) => Self::invalid(errors),
            OutgoingError::InDoubt(_) => {
                with(StatusCode::BAD_GATEWAY).of_type("urn:vorhoelle:send_unknown", "send_unknown")
            }
            OutgoingError::Refused(_) => with(StatusCode::BAD_GATEWAY),
            OutgoingError::NotNow { after, .. } => with(StatusCode::SERVICE_UNAVAILABLE).retry_after(after),
            OutgoingError::NotSetUp => with(StatusCode::SERVICE_UNAVAILABLE),
            OutgoingError::Engine(error) => error.into(),
        }
    }
}

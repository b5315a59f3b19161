//! Sending: a page that shows exactly what would leave and asks; only its button sends.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json;

use super::super::error_words::Complaint;
use super::super::forms::{Member, Posted};
use super::super::visit::{Named, Visit};
use super::{MatchAndDraft, Stage, about, complaints, letter, read, recipient, why, with_pause};
use crate::domain::State;
use crate::domain::history::Through;
use crate::domain::masked::masked;
use crate::domain::posted_match::clean_line;
use crate::outgoing::{OutgoingError, SendRequest};

/// Longest reason to send although the same role was offered already, in characters.
const REASON_LIMIT: usize = 1_000;

/// What the question is shown with.
#[derive(Default)]
struct Shown {
    said: &'static str,
    detail: String,
    /// Matches through which the same role was offered already.
    twins: Vec<u64>,
    /// Why it is to be sent all the same.
    reason: String,
    /// What is wrong, by field.
    wrong: BTreeMap<String, Vec<Complaint>>,
}

/// Asks.
pub(super) async fn page(Member { visit }: Member, Named(iid): Named) -> Response {
    match read(&visit, &iid).await {
        Ok(read) => show(&visit, StatusCode::OK, &read, Shown::default()),
        Err(response) => response,
    }
}

fn show(visit: &Visit, status: StatusCode, read: &MatchAndDraft, shown: Shown) -> Response {
    let iid = read.record.iid;
    let askable = matches!(Stage::of(&read.record), Some(Stage::Drafted | Stage::UnderWay | Stage::Doubt));
    let Some(draft) = read.draft.as_ref().filter(|_| askable && read.record.state == State::Approved) else {
        // There is nothing to be sent, or not any more; the draft's page says what there is.
        return visit.go(&format!("/matches/{iid}/draft"));
    };
    let context = json!({
        "match": about(visit, &read.record),
        "letter": letter(&draft.content),
        "to": recipient(&read.record, Some(&draft.content)),
        "etag": draft.etag,
        "said": shown.said,
        "detail": Complaint::of(&shown.detail),
        "twins": shown.twins,
        "reason": shown.reason,
        "wrong": shown.wrong,
    });
    visit.page(status, "send", context)
}

/// Sends what was shown, and nothing else.
pub(super) async fn post(Named(iid): Named, posted: Posted) -> Response {
    let (visit, fields) = (&posted.visit, &posted.fields);
    let before = match read(visit, &iid).await {
        Ok(read) => read,
        Err(response) => return response,
    };
    let number = before.record.iid;
    let retry = fields.one("retry") == "yes";
    if retry && fields.one("looked") != "yes" {
        return show(
            visit,
            StatusCode::UNPROCESSABLE_ENTITY,
            &before,
            Shown { said: "look_first", ..Shown::default() },
        );
    }
    let reason: String = clean_line(fields.one("override")).chars().take(REASON_LIMIT).collect();
    let override_reason = (!reason.is_empty()).then(|| reason.clone());
    let draft = Some(fields.one("etag").to_owned());
    let request = SendRequest { draft, override_reason, retry };
    let sent = visit.web.outgoing().send(number, request, &posted.session.name, Through::Page).await;
    visit.web.finish_inside_the_request().await;
    let Err(error) = sent else { return visit.go(&format!("/matches/{number}/draft?said=sent")) };
    let in_log = masked(&error.to_string());
    tracing::warn!(iid = number, error = %in_log, "an application was not sent from the page");
    let (status, said, detail) = why(&error);
    let mut shown = Shown { said, detail, reason, ..Shown::default() };
    match &error {
        OutgoingError::Duplicate(twins) => shown.twins.clone_from(twins),
        OutgoingError::Invalid(wrong) => {
            shown.wrong = complaints(wrong);
        }
        _ => {}
    }
    match read(visit, &iid).await {
        Ok(read) => with_pause(show(visit, status, &read, shown), &error),
        Err(response) => response,
    }
}

//! The tracker's fields of a match as a form. What somebody changed in GitLab meanwhile is shown, not written over.

use std::collections::BTreeMap;

use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::error_words::Complaint;
use super::forms::{Fields, Posted};
use super::match_page::{self, no_match};
use super::visit::Visit;
use crate::domain::Application;
use crate::domain::tracker::{FIELDS, Stage};
use crate::engine::{ApplicationError, EngineError};

/// What the form is shown with, beside what the tracker holds.
#[derive(Default)]
pub(super) struct Shown<'a> {
    /// What somebody typed; none where the form shows what is there.
    typed: Option<&'a Fields>,
    /// What to say above it.
    said: &'static str,
    detail: String,
    /// What is wrong, by field.
    wrong: BTreeMap<String, Vec<Complaint>>,
    /// The fields that somebody else changed since the form was made.
    meanwhile: Vec<&'static str>,
}

impl Shown<'_> {
    /// As the address says after the form was sent.
    pub(super) fn after(visit: &Visit) -> Self {
        Self { said: if visit.query("said") == "noted" { "noted" } else { "" }, ..Self::default() }
    }
}

/// What the page shows of the tracker: every field with its value, and how it is typed.
pub(super) fn form(application: &Application, shown: &Shown<'_>) -> Value {
    let there = application.fields();
    let field = |name: &'static str| {
        let is = text_of(&there, name);
        let value = shown.typed.map_or_else(|| is.to_owned(), |typed| typed_of(typed, name));
        let is_meanwhile = shown.meanwhile.contains(&name);
        json!({
            "name": name, "kind": kind(name), "is": is, "value": value,
            "wrong": shown.wrong.get(name), "meanwhile": is_meanwhile.then_some(is),
        })
    };
    json!({
        "fields": FIELDS.map(|(name, ..)| field(name)),
        "stages": Stage::ALL,
        "is_empty": application.is_empty(),
        "is_open": shown.typed.is_some(),
        "said": shown.said,
        "detail": shown.detail,
    })
}

/// How a field is typed.
fn kind(name: &str) -> &'static str {
    match name {
        "stage" => "stage",
        "notes" => "notes",
        _ if name.ends_with("_on") => "date",
        _ => "line",
    }
}

fn text_of<'a>(fields: &'a Map<String, Value>, name: &str) -> &'a str {
    match fields.get(name).and_then(Value::as_str).unwrap_or_default() {
        // It says as much as nothing.
        "none" if name == "stage" => "",
        text => text,
    }
}

/// A field as it was typed; browsers end lines as mails do.
fn typed_of(fields: &Fields, name: &str) -> String {
    fields.one(name).replace("\r\n", "\n").trim().to_owned()
}

/// Writes the fields that were changed in the form into the tracker.
pub(super) async fn post(Path(iid): Path<String>, posted: Posted) -> Response {
    let (visit, fields) = (&posted.visit, &posted.fields);
    let Ok(iid) = iid.parse::<u64>() else { return no_match(visit, None) };
    let was = |name: &str| typed_of(fields, &format!("was.{name}"));
    let changed: Vec<&'static str> =
        FIELDS.iter().map(|(name, ..)| *name).filter(|name| typed_of(fields, name) != was(name)).collect();
    if changed.is_empty() {
        return visit.go(&format!("/matches/{iid}"));
    }
    let engine = visit.web.engine();
    let there = match engine.look_at(iid).await {
        Ok(Some(record)) => record.application.fields(),
        Ok(None) => return no_match(visit, None),
        Err(error) => return not_now(visit, iid, fields, &error),
    };
    let is_theirs = |name: &&&str| {
        let is = text_of(&there, name);
        is != was(name) && is != typed_of(fields, name)
    };
    let meanwhile: Vec<&'static str> = changed.iter().filter(is_theirs).copied().collect();
    if !meanwhile.is_empty() {
        let shown = Shown { typed: Some(fields), said: "meanwhile", meanwhile, ..Shown::default() };
        return visit.answer(match_page::show(visit, StatusCode::CONFLICT, iid, &shown));
    }
    let value = |name: &str| match typed_of(fields, name) {
        text if text.is_empty() => Value::Null,
        text => text.into(),
    };
    let changes = changed.iter().map(|name| ((*name).to_owned(), value(name))).collect();
    match engine.change_application(iid, changes).await {
        Ok(_) => {
            tracing::info!(iid, by = posted.session.name, fields = ?changed, "the tracker was changed on the page");
            visit.web.finish_inside_the_request().await;
            visit.go(&format!("/matches/{iid}?said=noted"))
        }
        Err(ApplicationError::Unknown(_)) => no_match(visit, None),
        Err(ApplicationError::Invalid(errors)) => {
            let mut wrong: BTreeMap<String, Vec<Complaint>> = BTreeMap::new();
            for error in errors {
                wrong.entry(error.field).or_default().push(Complaint::of(&error.message));
            }
            let shown = Shown { typed: Some(fields), said: "wrong", wrong, ..Shown::default() };
            visit.answer(match_page::show(visit, StatusCode::UNPROCESSABLE_ENTITY, iid, &shown))
        }
        Err(ApplicationError::Engine(error)) => not_now(visit, iid, fields, &error),
    }
}

/// Nothing was written; what was typed is still there.
fn not_now(visit: &Visit, iid: u64, fields: &Fields, error: &EngineError) -> Response {
    tracing::warn!(iid, %error, "the tracker could not be changed");
    let after = error.retry_after();
    let (status, said) = match after {
        Some(_) => (StatusCode::SERVICE_UNAVAILABLE, "later"),
        None => (StatusCode::BAD_GATEWAY, "refused"),
    };
    let shown = Shown { typed: Some(fields), said, detail: error.to_string(), ..Shown::default() };
    let mut response = visit.answer(match_page::show(visit, status, iid, &shown));
    if let Some(after) = after {
        response.headers_mut().insert(header::RETRY_AFTER, after.as_secs().max(1).into());
    }
    response
}

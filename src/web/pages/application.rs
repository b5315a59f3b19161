//! The tracker's fields of a match as a form. What somebody changed in GitLab meanwhile is shown, not written over.

use std::collections::BTreeMap;

use axum::http::{StatusCode, header};
use axum::response::Response;
use serde_json::{Value, json};

use super::error_words::Complaint;
use super::forms::{Fields, Posted};
use super::match_page::{self, no_match};
use super::visit::{Named, Visit};
use crate::domain::Application;
use crate::domain::tracker::{FIELDS, Stage};
use crate::engine::ApplicationError;

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
    meanwhile: Vec<String>,
}

impl Shown<'_> {
    /// As the address says after the form was sent.
    pub(super) fn after(visit: &Visit) -> Self {
        Self { said: if visit.query("said") == "noted" { "noted" } else { "" }, ..Self::default() }
    }
}

/// What the page shows of the tracker: every field with its value, and how it is typed.
pub(super) fn form(application: &Application, shown: &Shown<'_>) -> Value {
    let field = |name: &'static str| {
        let is = application.field(name);
        let is_meanwhile = shown.meanwhile.iter().any(|one| one == name);
        let sent = shown.typed.map(|fields| (typed_of(fields, name), was_of(fields, name)));
        let (value, was) = match sent {
            // It was typed over what the form showed, unless somebody is told what is there now.
            Some((typed, was)) if typed != was => (typed, if is_meanwhile { is.clone() } else { was }),
            // What nobody touched is shown as it is.
            _ => (is.clone(), is.clone()),
        };
        json!({
            "name": name, "kind": kind(name), "is": is, "was": was, "value": value,
            "wrong": shown.wrong.get(name), "meanwhile": is_meanwhile.then_some(&is),
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

/// A field as it was typed; browsers end lines as mails do.
fn typed_of(fields: &Fields, name: &str) -> String {
    fields.one(name).replace("\r\n", "\n").trim().to_owned()
}

/// A field as the form showed it.
fn was_of(fields: &Fields, name: &str) -> String {
    typed_of(fields, &format!("was.{name}"))
}

/// A field as the API takes it: the page is filled in by people.
fn value(name: &str, typed: String) -> Value {
    match typed.as_str() {
        "" => Value::Null,
        word if name == "rtr" && word.eq_ignore_ascii_case("ja") => "yes".into(),
        word if name == "rtr" && word.eq_ignore_ascii_case("nein") => "no".into(),
        _ => typed.into(),
    }
}

/// Writes the fields that were changed in the form into the tracker.
pub(super) async fn post(Named(iid): Named, posted: Posted) -> Response {
    let (visit, fields) = (&posted.visit, &posted.fields);
    let Ok(iid) = iid.parse::<u64>() else { return no_match(visit, None) };
    let names = || FIELDS.iter().map(|(name, ..)| *name);
    let changed: Vec<&str> = names().filter(|name| typed_of(fields, name) != was_of(fields, name)).collect();
    if changed.is_empty() {
        return visit.go(&format!("/matches/{iid}"));
    }
    let shown = names().map(|name| (name.to_owned(), value(name, was_of(fields, name)))).collect();
    let Ok(saw) = Application::default().changed(&shown) else {
        return visit.say(StatusCode::UNPROCESSABLE_ENTITY, "broken_form", "");
    };
    let changes =
        changed.iter().map(|name| ((*name).to_owned(), value(name, typed_of(fields, name)))).collect();
    let engine = visit.web.engine();
    let error = match engine.change_application_as_seen(iid, changes, Some(saw)).await {
        Ok(_) => {
            tracing::info!(iid, by = posted.session.name, fields = ?changed, "the tracker was changed on the page");
            visit.web.finish_inside_the_request().await;
            return visit.go(&format!("/matches/{iid}?said=noted"));
        }
        Err(error) => error,
    };
    let again = |status, shown: Shown<'_>| {
        let shown = Shown { typed: Some(fields), ..shown };
        visit.answer(match_page::show(visit, status, iid, &shown))
    };
    match error {
        // The page itself says whether it was withdrawn or erased.
        ApplicationError::Unknown(_) => again(StatusCode::NOT_FOUND, Shown::default()),
        ApplicationError::Meanwhile(meanwhile) => {
            again(StatusCode::CONFLICT, Shown { said: "meanwhile", meanwhile, ..Shown::default() })
        }
        ApplicationError::Invalid(errors) => {
            let mut wrong: BTreeMap<String, Vec<Complaint>> = BTreeMap::new();
            for error in errors {
                wrong.entry(error.field).or_default().push(Complaint::of(&error.message));
            }
            again(StatusCode::UNPROCESSABLE_ENTITY, Shown { said: "wrong", wrong, ..Shown::default() })
        }
        ApplicationError::Engine(error) => {
            tracing::warn!(iid, %error, "the tracker could not be changed");
            let after = error.retry_after();
            let (status, said) = match after {
                Some(_) => (StatusCode::SERVICE_UNAVAILABLE, "later"),
                None => (StatusCode::BAD_GATEWAY, "refused"),
            };
            let mut response = again(status, Shown { said, detail: error.to_string(), ..Shown::default() });
            if let Some(after) = after {
                response.headers_mut().insert(header::RETRY_AFTER, after.as_secs().max(1).into());
            }
            response
        }
    }
}

//! The settings: what holds and who says so; a form that writes the settings issue; a test button a channel.

use std::collections::BTreeMap;

use axum::http::{StatusCode, header};
use axum::response::Response;
use serde_json::{Value, json};

use super::error_words::Complaint;
use super::figures;
use super::forms::{Fields, Member, Posted};
use super::settings_form::{changes, groups, seen};
use super::visit::Visit;
use super::week;
use crate::config::WrongSetting;
use crate::domain::Channel;
use crate::engine::ChangeError;
use crate::notify::TestResult;

/// What the form is shown with.
#[derive(Default)]
struct Shown<'a> {
    /// The form as it was sent.
    sent: Option<&'a Fields>,
    wrong: Vec<WrongSetting>,
    meanwhile: Vec<String>,
    /// What to say above it.
    said: &'static str,
    detail: String,
    test: Option<TestResult>,
}

/// Shows the form.
pub(super) async fn page(Member { visit }: Member) -> Response {
    let said = match visit.query("saved") {
        "1" => "saved",
        "0" => "unchanged",
        _ => "",
    };
    show(&visit, StatusCode::OK, Shown { said, ..Shown::default() })
}

fn show(visit: &Visit, status: StatusCode, shown: Shown<'_>) -> Response {
    let engine = visit.web.engine();
    // What was typed was typed over what the form showed, unless somebody is told what is there now.
    let fields = seen(engine, shown.sent.filter(|_| shown.meanwhile.is_empty()));
    // What is wrong with a key that the form has no field for is said above it.
    let elsewhere = shown.wrong.iter().filter(|one| !fields.contains_key(&one.key));
    let elsewhere: Vec<Value> =
        elsewhere.map(|one| json!({ "key": one.key, "wrong": Complaint::of(&one.message) })).collect();
    let context = json!({
        "groups": groups(engine, shown.sent, &shown.wrong, &shown.meanwhile),
        "seen": serde_json::to_string(&fields).unwrap_or_default(),
        "said": shown.said,
        "detail": shown.detail,
        "elsewhere": elsewhere,
        "test": shown.test,
        "channels": figures::channels(visit),
        "weeks": week::of(visit),
        "issue": engine.known_settings_issue(),
        "fixed": visit.web.settings().variables,
    });
    visit.page(status, "settings", context)
}

/// Writes what was changed into the settings issue.
pub(super) async fn post(posted: Posted) -> Response {
    let (visit, fields) = (&posted.visit, &posted.fields);
    let engine = visit.web.engine();
    let Ok(saw) = serde_json::from_str::<BTreeMap<String, Value>>(fields.one("seen")) else {
        return visit.say(StatusCode::UNPROCESSABLE_ENTITY, "broken_form", "");
    };
    let again =
        |status, said, shown: Shown<'_>| show(visit, status, Shown { sent: Some(fields), said, ..shown });
    let changes = match changes(engine, fields, &saw) {
        Ok(changes) if changes.is_empty() => return visit.go("/settings?saved=0"),
        Ok(changes) => changes,
        Err(wrong) => {
            return again(StatusCode::UNPROCESSABLE_ENTITY, "wrong", Shown { wrong, ..Shown::default() });
        }
    };
    let error = match engine.change_settings(&changes, Some(&saw)).await {
        Ok(()) => {
            let keys: Vec<&str> = changes.iter().map(|(key, _)| key.as_str()).collect();
            tracing::info!(by = posted.session.name, ?keys, "settings were changed on the page");
            visit.web.finish_inside_the_request().await;
            return visit.go("/settings?saved=1");
        }
        Err(error) => error,
    };
    match error {
        ChangeError::Meanwhile(meanwhile) => {
            again(StatusCode::CONFLICT, "meanwhile", Shown { meanwhile, ..Shown::default() })
        }
        ChangeError::Invalid(wrong) => {
            again(StatusCode::UNPROCESSABLE_ENTITY, "wrong", Shown { wrong, ..Shown::default() })
        }
        // The field itself says by what.
        ChangeError::Fixed { .. } => again(StatusCode::CONFLICT, "fixed", Shown::default()),
        ChangeError::Engine(error) => {
            tracing::warn!(%error, "settings could not be changed");
            let after = error.retry_after();
            let status =
                if after.is_some() { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::BAD_GATEWAY };
            let detail = error.to_string();
            let mut response = again(status, "failed", Shown { detail, ..Shown::default() });
            if let Some(after) = after {
                response.headers_mut().insert(header::RETRY_AFTER, after.as_secs().max(1).into());
            }
            response
        }
    }
}

/// Sends a test message on a channel and shows its true answer; what was typed and not saved yet stays.
pub(super) async fn test(posted: Posted) -> Response {
    let (visit, fields) = (&posted.visit, &posted.fields);
    let Ok(channel) = fields.one("channel").parse::<Channel>() else {
        return visit.say(StatusCode::UNPROCESSABLE_ENTITY, "broken_form", "");
    };
    match visit.web.notifier().test(&[channel]).await {
        Ok(results) => {
            let test = results.into_iter().next();
            let sent = Some(fields)
                .filter(|fields| serde_json::from_str::<BTreeMap<String, Value>>(fields.one("seen")).is_ok());
            show(visit, StatusCode::OK, Shown { said: "tested", sent, test, ..Shown::default() })
        }
        Err(error) => visit.failed(&error),
    }
}

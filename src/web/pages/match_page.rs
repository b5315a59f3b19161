//! One match with its life.

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::application::{Shown, form};
use super::card::{Card, Length};
use super::decide::done;
use super::forms::Member;
use super::visit::{Named, Visit};
use crate::domain::Channel;
use crate::engine::EngineError;
use crate::mirror::{Record, Standing};

/// Shows a match.
pub(super) async fn page(Member { visit }: Member, Named(iid): Named) -> Response {
    visit.answer(show(&visit, StatusCode::OK, iid.parse().unwrap_or(0), &Shown::after(&visit)))
}

/// The page of a match, with the tracker's form as it stands.
pub(super) fn show(
    visit: &Visit,
    status: StatusCode,
    iid: u64,
    shown: &Shown<'_>,
) -> Result<Response, EngineError> {
    let engine = visit.web.engine();
    let record = match engine.mirror().record(iid)? {
        Some(record) if record.standing == Standing::Live => record,
        other => return Ok(no_match(visit, other.as_ref())),
    };
    let people = visit.people();
    let card = Card::of(engine, &people, &record, Length::Whole)?;
    let steps = engine.mirror().steps(iid)?;
    let step = |step: crate::domain::history::Step| {
        json!({
            "from": step.from, "to": step.to, "by": step.by, "at": people.moment(step.at),
            "through": step.through, "comment": step.comment,
        })
    };
    let history: Vec<Value> = steps.into_iter().map(step).collect();
    let told = visit.web.notifier().deliveries(&record)?;
    let delivery = |one: crate::mirror::Delivery| {
        json!({
            "channel": one.channel, "kind": one.kind, "outcome": one.outcome,
            "at": one.at.map(|at| people.moment(at)),
            "until": one.deferred_until.map(|at| people.moment(at)),
            "reason": one.reason,
        })
    };
    let deliveries: Vec<Value> = told.into_iter().map(delivery).collect();
    let channels = visit.web.notifier().active();
    let context = json!({
        "card": card,
        "history": history,
        "deliveries": deliveries,
        "has_channel": channels.iter().any(|channel| Channel::MESSAGES.contains(channel)),
        "application": form(&record.application, shown),
        "back": format!("/matches/{iid}"),
        "done": done(visit)?,
    });
    Ok(visit.page(status, "match", context))
}

/// That there is no such match, or none any more.
pub(super) fn no_match(visit: &Visit, record: Option<&Record>) -> Response {
    match record {
        Some(record) if record.standing == Standing::Erased => visit.say(StatusCode::GONE, "erased", ""),
        _ => visit.say(StatusCode::NOT_FOUND, "no_match", ""),
    }
}

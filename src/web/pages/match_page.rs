//! One match with its life.

use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::card::{Card, Length};
use super::decide::done;
use super::forms::Member;
use super::visit::Visit;
use crate::domain::Channel;
use crate::engine::EngineError;
use crate::mirror::{Record, Standing};
use crate::web::answer::MatchAnswer;

/// Shows a match.
pub(super) async fn page(Member { visit }: Member, Path(iid): Path<String>) -> Response {
    visit.answer(show(&visit, iid.parse().unwrap_or(0)))
}

fn show(visit: &Visit, iid: u64) -> Result<Response, EngineError> {
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
    let answer = json!(MatchAnswer::of(engine, record)?);
    let context = json!({
        "card": card,
        "history": history,
        "deliveries": deliveries,
        "has_channel": channels.iter().any(|channel| Channel::MESSAGES.contains(channel)),
        "application": application(&answer["application"]),
        "back": format!("/matches/{iid}"),
        "done": done(visit)?,
    });
    Ok(visit.page(StatusCode::OK, "match", context))
}

/// That there is no such match, or none any more.
pub(super) fn no_match(visit: &Visit, record: Option<&Record>) -> Response {
    match record {
        Some(record) if record.standing == Standing::Erased => visit.say(StatusCode::GONE, "erased", ""),
        _ => visit.say(StatusCode::NOT_FOUND, "no_match", ""),
    }
}

/// The tracker's fields that hold something.
fn application(fields: &Value) -> Vec<(&str, String)> {
    let fields = fields.as_object().into_iter().flatten();
    let said = fields.filter_map(|(name, value)| {
        let text = match value {
            Value::Null => return None,
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        (!text.is_empty()).then_some((name.as_str(), text))
    });
    said.collect()
}

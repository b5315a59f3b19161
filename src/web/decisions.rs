//! What was decided, for pipelines that learn from it.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Web;
use super::openapi::{PROBLEM, Refusals};
use super::problem::{Parts, Problem};
use super::query::{ApiQuery, moment};
use crate::domain;
use crate::domain::history::{Step, Through};
use crate::domain::job_match::Score;
use crate::mirror::{Record, StepPlace};

/// When to come back while history is still being read.
const HISTORY_SOON: Duration = Duration::from_secs(10);

/// What decisions may be asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct DecisionsQuery {
    /// Only those made at or after this moment, or this day in UTC (`2026-02-07`, `07.02.2026`).
    #[serde(default, deserialize_with = "moment")]
    #[param(value_type = Option<String>)]
    since: Option<Timestamp>,
    /// From where a page before this one said that the next begins.
    cursor: Option<String>,
    /// At most so many; 50 where it is not said.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
}

/// Every decision in order, oldest first.
///
/// Each stands at its own time: one that was made in GitLab and heard of late stands before others that may have been read
/// already. Whoever asks again and again begins an hour before the last one and leaves out the ids that they know.
#[utoipa::path(
    get, path = "/decisions", operation_id = "list_decisions", tag = "decisions", params(DecisionsQuery),
    responses(
        (status = 200, description = "A page of decisions", body = Decisions),
        (status = 503, description = "The history is still being read", body = Parts, content_type = PROBLEM),
        Refusals,
    ),
)]
pub(super) async fn list(
    State(web): State<Web>,
    ApiQuery(asked): ApiQuery<DecisionsQuery>,
) -> Result<Response, Problem> {
    let limit = asked.limit.unwrap_or(50);
    if !(1..=500).contains(&limit) {
        return Err(Problem::asked("limit", "must be from 1 to 500"));
    }
    history_is_read(&web)?;
    let after = asked.cursor.as_deref().filter(|cursor| !cursor.is_empty()).map(read_cursor).transpose()?;
    let mut rows = web.engine().mirror().decisions(asked.since, after, limit + 1)?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(|(place, ..)| write_cursor(*place));
    let decisions = rows.into_iter().map(|(place, step, record)| decision(place, step, record)).collect();
    Ok(Json(Decisions { decisions, next_cursor: next }).into_response())
}

/// Refuses what would be half of the truth: after a lost disk the states are known first, and how matches came to them only
/// once every issue's history was read.
pub(super) fn history_is_read(web: &Web) -> Result<(), Problem> {
    let engine = web.engine();
    if engine.has_read_everything()? && engine.mirror().unread_histories()? == 0 {
        return Ok(());
    }
    let detail = "the history is still being read from GitLab";
    Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE).detail(detail).retry_after(HISTORY_SOON))
}

/// A page of decisions.
#[derive(Serialize, ToSchema)]
pub(super) struct Decisions {
    decisions: Vec<DecisionAnswer>,
    /// Where the next page begins; missing on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// A step that a match took.
#[derive(Serialize, ToSchema)]
pub(super) struct DecisionAnswer {
    /// The same whenever it is asked for.
    id: String,
    iid: u64,
    from: domain::State,
    to: domain::State,
    /// A GitLab username, an API token's name, `link:email`, `cli`, `csv` or `service`.
    by: String,
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    through: Through,
    comment: Option<String>,
    #[schema(value_type = Option<f64>)]
    score: Option<Score>,
    source: Option<String>,
}

fn decision(place: StepPlace, step: Step, record: Record) -> DecisionAnswer {
    DecisionAnswer {
        // By what does not move where GitLab is read anew: what nobody saw then comes to stand before it.
        id: format!("{}-{}-{}", place.iid, place.at, step.to),
        iid: place.iid,
        from: step.from,
        to: step.to,
        by: step.by,
        at: step.at,
        through: step.through,
        comment: step.comment,
        score: record.job.score,
        source: record.job.source,
    }
}

fn write_cursor(place: StepPlace) -> String {
    BASE64.encode(format!("{}.{}.{}", place.at, place.iid, place.number))
}

fn read_cursor(text: &str) -> Result<StepPlace, Problem> {
    let parse = || {
        let text = String::from_utf8(BASE64.decode(text).ok()?).ok()?;
        let mut parts = text.split('.');
        let at = parts.next()?.parse().ok()?;
        // SQLite's numbers have a sign.
        let mut number = || parts.next()?.parse::<i64>().ok()?.try_into().ok();
        let place = StepPlace { at, iid: number()?, number: number()? };
        parts.next().is_none().then_some(place)
    };
    parse().ok_or_else(|| Problem::asked("cursor", "is none that this service gave out"))
}

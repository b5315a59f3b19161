//! What all matches and decisions amount to.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;
use utoipa::ToSchema;

use super::Web;
use super::decisions::history_is_read;
use super::openapi::{PROBLEM, Refusals};
use super::problem::{Parts, Problem};
use crate::mirror::Counts;

/// What all of it amounts to.
#[utoipa::path(
    get, path = "/stats", operation_id = "get_stats", tag = "decisions",
    responses(
        (status = 200, description = "The figures", body = Stats),
        (status = 503, description = "The history is still being read", body = Parts, content_type = PROBLEM),
        Refusals,
    ),
)]
pub(super) async fn show(State(web): State<Web>) -> Result<Response, Problem> {
    history_is_read(&web)?;
    let mirror = web.engine().mirror();
    let counts = mirror.counts()?;
    let (hours, made) = mirror.times()?;
    let mut weeks: BTreeMap<String, u64> = BTreeMap::new();
    for at in made {
        *weeks.entry(week(at)).or_default() += 1;
    }
    let matches_per_week = weeks.into_iter().map(|(week, matches)| Week { week, matches }).collect();
    let told = mirror.told()?;
    let deliveries = told.into_iter().map(|(channel, count)| (channel.as_str(), count)).collect();
    let answer =
        Stats { states: counts, median_hours_to_decision: median(&hours), matches_per_week, deliveries };
    Ok(Json(answer).into_response())
}

/// What all matches amount to.
#[derive(Serialize, ToSchema)]
pub(super) struct Stats {
    states: Counts,
    /// From creation to the first decision; null where nothing was decided yet.
    median_hours_to_decision: Option<f64>,
    matches_per_week: Vec<Week>,
    /// How many matches each channel was told of.
    deliveries: BTreeMap<&'static str, u64>,
}

/// How many matches a week brought.
#[derive(Serialize, ToSchema)]
pub(super) struct Week {
    /// ISO 8601, in UTC.
    #[schema(example = "2026-W48")]
    week: String,
    matches: u64,
}

/// Such as `2026-W48`, in UTC.
fn week(at: Timestamp) -> String {
    let week = at.to_zoned_datetime(TimeZone::UTC).date().iso_week_date();
    format!("{}-W{:02}", week.year(), week.week())
}

/// The middle of sorted numbers.
pub(super) fn median(sorted: &[f64]) -> Option<f64> {
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

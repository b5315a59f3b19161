//! What all matches amount to, drawn, with the numbers beside.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use axum::response::Response;
use jiff::ToSpan as _;
use jiff::civil::Date;
use serde_json::{Value, json};

use super::figures::{funnel, hours_as_span};
use super::forms::Member;
use super::visit::Visit;
use crate::engine::EngineError;
use crate::web::stats::median;

/// Weeks that are shown.
const WEEKS: i64 = 12;
/// Where a group of times to decision ends, in hours, and what it is called.
const GROUPS: [(f64, &str); 5] =
    [(1.0, "hour"), (8.0, "workday"), (24.0, "day"), (72.0, "three_days"), (f64::INFINITY, "longer")];

/// Shows the figures.
pub(super) async fn page(Member { visit }: Member) -> Response {
    visit.answer(show(&visit))
}

fn show(visit: &Visit) -> Result<Response, EngineError> {
    let mirror = visit.web.engine().mirror();
    let counts = mirror.counts()?;
    let (hours, made) = mirror.times()?;
    let people = visit.people();
    let days = made.iter().map(|at| at.to_zoned_datetime(people.zone.clone()).date());
    let today = people.now.to_zoned_datetime(people.zone.clone()).date();
    let told: BTreeMap<&str, u64> =
        mirror.told()?.into_iter().map(|(channel, count)| (channel.as_str(), count)).collect();
    let context = json!({
        "counts": counts,
        "all": counts.pending + counts.approved + counts.rejected + counts.sent,
        "funnel": funnel(&counts),
        "weeks": weeks(today, days),
        "median": median(&hours).map(hours_as_span),
        "decided": hours.len(),
        "speed": bars(&speed(&hours)),
        "told": told,
        "unread": mirror.unread_histories()?,
    });
    Ok(visit.page(StatusCode::OK, "stats", context))
}

/// How many matches each of the last weeks brought.
fn weeks(today: Date, days: impl Iterator<Item = Date>) -> Value {
    let monday = |day: Date| {
        let since = i64::from(day.weekday().to_monday_zero_offset());
        day.checked_sub(since.days()).unwrap_or(day)
    };
    let last = monday(today);
    let mut counts: Vec<(String, u64)> = Vec::new();
    let mut firsts = Vec::new();
    for back in (0..WEEKS).rev() {
        let first = last.checked_sub((back * 7).days()).unwrap_or(last);
        firsts.push(first);
        counts.push((format!("{}", first.iso_week_date().week()), 0));
    }
    for day in days {
        if let Some(place) = firsts.iter().position(|first| *first == monday(day)) {
            counts[place].1 += 1;
        }
    }
    bars(&counts)
}

fn speed(hours: &[f64]) -> Vec<(String, u64)> {
    let mut groups: Vec<(String, u64)> = GROUPS.iter().map(|(_, name)| ((*name).to_owned(), 0)).collect();
    for one in hours {
        if let Some(place) = GROUPS.iter().position(|(end, _)| one < end) {
            groups[place].1 += 1;
        }
    }
    groups
}

/// Bars, each with its height in percent of the highest.
fn bars(counts: &[(String, u64)]) -> Value {
    let highest = counts.iter().map(|(_, count)| *count).max().unwrap_or(0);
    let bar = |(name, count): &(String, u64)| {
        let height = (count * 100).checked_div(highest).unwrap_or(0);
        json!({ "name": name, "count": count, "height": height })
    };
    counts.iter().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weeks_begin_on_monday_and_empty_ones_are_shown() {
        let day = |text: &str| text.parse::<Date>().unwrap();
        let days = ["2026-11-22", "2026-11-23", "2026-11-25", "2020-01-01"].map(day);
        let weeks = weeks(day("2026-11-25"), days.into_iter());
        assert_eq!(weeks.as_array().unwrap().len(), 12);
        assert_eq!(weeks[11], json!({ "name": "48", "count": 2, "height": 100 }));
        assert_eq!(weeks[10], json!({ "name": "47", "count": 1, "height": 50 }));
        assert_eq!(weeks[0]["count"], 0);
    }

    #[test]
    fn times_fall_into_groups() {
        let groups = speed(&[0.5, 1.0, 30.0, 1000.0]);
        assert_eq!(groups.iter().map(|(_, count)| *count).collect::<Vec<_>>(), [1, 1, 0, 1, 1]);
    }
}

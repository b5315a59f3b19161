//! The coming week of each channel: when messages may go, and when digests do.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use serde::Serialize;
use serde_json::{Value, json};

use super::visit::Visit;
use crate::domain::schedule::Schedule;

/// Days that are shown.
const DAYS: i64 = 7;
/// Minutes of a day: the width of its strip.
const MINUTES: i64 = 1_440;

/// A day of a channel.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Day {
    /// From 0, Monday.
    weekday: i8,
    day: i8,
    month: i8,
    /// Quiet times as minutes from midnight: begin and length.
    quiet: Vec<(i64, i64)>,
    /// When messages may go, as times of day.
    free: Vec<(String, String)>,
    /// Digests as minutes from midnight, and as times of day.
    digests: Vec<(i64, String)>,
    /// The present moment, where it is on this day.
    now: Option<i64>,
}

/// The week of each channel that is on.
pub(super) fn of(visit: &Visit) -> Value {
    let (policy, now) = (visit.web.engine().policy(), visit.web.engine().clock().now());
    let one = |channel: crate::domain::Channel| {
        let schedule = &policy.channels.get(&channel)?.schedule;
        let urgent = schedule.quiet.as_ref().and_then(|quiet| quiet.urgent);
        Some(json!({
            "channel": channel,
            "days": days(schedule, now),
            "zone": schedule.zone.iana_name().unwrap_or("local"),
            "urgent": urgent.map(|score| score.to_string()),
            "digest": schedule.batch.digest.is_some(),
        }))
    };
    visit.web.notifier().active().into_iter().filter_map(one).collect()
}

fn days(schedule: &Schedule, now: Timestamp) -> Vec<Day> {
    let zone = schedule.quiet.as_ref().map_or(&schedule.zone, |quiet| &quiet.zone);
    let today = now.to_zoned_datetime(zone.clone()).date();
    let dates = (0..DAYS).filter_map(|ahead| today.checked_add(ahead.days()).ok());
    dates.filter_map(|date| day(schedule, zone, date, now)).collect()
}

fn day(schedule: &Schedule, zone: &TimeZone, date: Date, now: Timestamp) -> Option<Day> {
    let start = |date: Date| date.to_zoned_datetime(zone.clone()).ok().map(|at| at.timestamp());
    let (begin, end) = (start(date)?, start(date.tomorrow().ok()?)?);
    let minute = |at: Timestamp| {
        let time = at.to_zoned_datetime(zone.clone()).time();
        if at >= end { MINUTES } else { i64::from(time.hour()) * 60 + i64::from(time.minute()) }
    };
    let spans = schedule.quiet.as_ref().map(|quiet| quiet.spans(begin, end)).unwrap_or_default();
    let quiet: Vec<(i64, i64)> = spans.iter().map(|(from, to)| (minute(*from), minute(*to))).collect();
    let mut free = Vec::new();
    let mut from = 0;
    for (begin, end) in quiet.iter().chain([&(MINUTES, MINUTES)]) {
        if *begin > from {
            free.push((time_of_day(from), time_of_day(*begin)));
        }
        from = *end;
    }
    // Where the day begins in quiet hours, they hold what was due the evening before.
    let is_held = quiet.first().is_some_and(|(from, _)| *from == 0);
    let due_from = if is_held { start(date.yesterday().ok()?)? } else { begin };
    let digests = schedule.digests(due_from.max(now), end).into_iter().filter(|at| *at >= begin).map(&minute);
    Some(Day {
        weekday: date.weekday().to_monday_zero_offset(),
        day: date.day(),
        month: date.month(),
        quiet: quiet.into_iter().map(|(begin, end)| (begin, end - begin)).collect(),
        free,
        digests: digests.map(|at| (at, time_of_day(at))).collect(),
        now: (begin..end).contains(&now).then(|| minute(now)),
    })
}

fn time_of_day(minutes: i64) -> String {
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use jiff::civil::{Time, Weekday};

    use super::*;
    use crate::domain::schedule::{Batch, DigestTimes, QuietHours};

    #[test]
    fn a_day_is_quiet_and_free_and_has_its_digests() {
        let zone = TimeZone::get("Europe/Vienna").unwrap();
        let time = |hour| Time::new(hour, 0, 0, 0).unwrap();
        let schedule = Schedule {
            batch: Batch { digest: Some(DigestTimes::At(vec![time(8), time(23)])), max: 20 },
            quiet: Some(QuietHours {
                from: time(22),
                to: time(7),
                zone: zone.clone(),
                days: vec![Weekday::Monday],
                urgent: None,
            }),
            delay: SignedDuration::ZERO,
            zone,
        };
        let week = days(&schedule, "2026-11-23T09:30:00Z".parse().unwrap());
        assert_eq!(week.len(), 7);
        let text = |times: &[(&str, &str)]| -> Vec<(String, String)> {
            times.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
        };
        let monday = Day {
            weekday: 0,
            day: 23,
            month: 11,
            quiet: vec![(1320, 120)],
            free: text(&[("00:00", "22:00")]),
            digests: Vec::new(),
            now: Some(630),
        };
        assert_eq!(week[0], monday);
        // Monday's second digest waits for Tuesday's morning.
        assert_eq!(
            week[1].digests,
            [(420, "07:00".to_owned()), (480, "08:00".to_owned()), (1380, "23:00".to_owned())]
        );
        assert_eq!(
            (week[1].quiet.as_slice(), week[1].free.clone()),
            (&[(0, 420)][..], text(&[("07:00", "24:00")]))
        );
    }
}

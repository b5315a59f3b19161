//! The contract's section 6, held over a year and four zones.

use jiff::civil::time;
use proptest::prelude::*;

use super::*;

const EVERY_DAY: [Weekday; 7] = [
    Weekday::Monday,
    Weekday::Tuesday,
    Weekday::Wednesday,
    Weekday::Thursday,
    Weekday::Friday,
    Weekday::Saturday,
    Weekday::Sunday,
];
/// Half an hour of summer time, a change at midnight UTC, none at all: each another trap.
const ZONES: [&str; 4] = ["Europe/Vienna", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"];

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn score(percent: f64) -> Option<Score> {
    Some(Score::new(percent).unwrap())
}

fn waiting(iid: u64, since: &str) -> Waiting {
    Waiting { iid, since: at(since), score: score(80.0), backlog: false }
}

fn nights(zone_name: &str) -> QuietHours {
    QuietHours {
        from: time(22, 0, 0, 0),
        to: time(7, 0, 0, 0),
        zone: zone(zone_name),
        days: EVERY_DAY.to_vec(),
        urgent: score(95.0),
    }
}

fn immediate() -> Schedule {
    Schedule {
        batch: Batch { digest: None, max: 20 },
        quiet: None,
        delay: SignedDuration::ZERO,
        zone: zone("Europe/Vienna"),
    }
}

fn digests(times: &[(i8, i8)]) -> Schedule {
    let times = times.iter().map(|(hour, minute)| time(*hour, *minute, 0, 0)).collect();
    Schedule { batch: Batch { digest: Some(DigestTimes::At(times)), max: 20 }, ..immediate() }
}

#[test]
fn at_once_is_at_once_and_a_delay_is_waited_for() {
    let now = at("2026-11-23T08:00:00Z");
    let one = waiting(1, "2026-11-23T08:00:00Z");
    assert_eq!(immediate().plan(&[one], None, now), Plan::Send { iids: vec![1], digest: false });
    let later = Schedule { delay: SignedDuration::from_mins(30), ..immediate() };
    assert_eq!(later.plan(&[one], None, now), Plan::Hold(at("2026-11-23T08:30:00Z")));
    assert_eq!(later.due(&one, None).1, Reason::Delay);
    assert_eq!(immediate().plan(&[], None, now), Plan::Nothing);
}

#[test]
fn in_immediate_mode_each_match_has_its_message_and_what_is_late_goes_together() {
    let now = at("2026-11-23T08:05:00Z");
    let fresh = [waiting(1, "2026-11-23T08:04:00Z"), waiting(2, "2026-11-23T08:05:00Z")];
    assert_eq!(immediate().plan(&fresh, None, now), Plan::Send { iids: vec![1], digest: false });
    let backlog: Vec<Waiting> = (1..=50).map(|iid| waiting(iid, "2026-11-01T08:00:00Z")).collect();
    let Plan::Send { iids, digest: true } = immediate().plan(&backlog, None, now) else {
        panic!("a digest");
    };
    assert_eq!(iids.len(), 20);
    // At most one digest at first; the next one an hour after it.
    assert_eq!(immediate().plan(&backlog[20..], Some(now), now), Plan::Hold(at("2026-11-23T09:05:00Z")));
    let alone = [waiting(1, "2026-11-01T08:00:00Z")];
    assert_eq!(immediate().plan(&alone, Some(now), now), Plan::Send { iids: vec![1], digest: false });
}

#[test]
fn a_backlog_that_is_met_one_by_one_does_not_go_one_by_one() {
    let now = at("2026-11-23T08:05:00Z");
    let one = |iid| [Waiting { backlog: true, ..waiting(iid, "2026-11-01T08:00:00Z") }];
    assert_eq!(immediate().plan(&one(1), None, now), Plan::Send { iids: vec![1], digest: true });
    assert_eq!(immediate().plan(&one(2), Some(now), now), Plan::Hold(at("2026-11-23T09:05:00Z")));
}

#[test]
fn what_a_clock_that_was_ahead_says_of_the_last_digest_holds_nothing() {
    let now = at("2026-11-23T08:05:00Z");
    let waits = [1, 2].map(|iid| waiting(iid, "2026-11-23T06:00:00Z"));
    let daily = digests(&[(9, 5)]);
    for schedule in [immediate(), daily] {
        for ahead in ["2026-11-23T08:11:00Z", "2027-11-23T08:00:00Z"] {
            let plan = schedule.plan(&waits, Some(at(ahead)), now);
            assert_eq!(plan, Plan::Send { iids: vec![1, 2], digest: true });
            assert_eq!(schedule.held(&waits[0], Some(at(ahead)), now), None);
        }
        // Two clocks may differ a little.
        assert!(matches!(schedule.plan(&waits, Some(at("2026-11-23T08:08:00Z")), now), Plan::Hold(_)));
    }
    let day = SignedDuration::from_hours(24);
    assert!(
        is_recent(at("2026-11-23T08:08:00Z"), day, now) && is_recent(at("2026-11-22T08:06:00Z"), day, now)
    );
    assert!(
        !is_recent(at("2026-11-24T08:05:00Z"), day, now) && !is_recent(at("2026-11-22T08:05:00Z"), day, now)
    );
}

#[test]
fn quiet_hours_hold_everything_but_the_urgent() {
    let schedule = Schedule { quiet: Some(nights("Europe/Vienna")), ..immediate() };
    // 23:30 in Vienna.
    let now = at("2026-11-23T22:30:00Z");
    let usual = waiting(1, "2026-11-23T22:30:00Z");
    assert_eq!(schedule.plan(&[usual], None, now), Plan::Hold(at("2026-11-24T06:00:00Z")));
    assert_eq!(schedule.due(&usual, None).1, Reason::QuietHours);
    let urgent = Waiting { score: score(95.0), iid: 2, ..usual };
    assert_eq!(schedule.plan(&[usual, urgent], None, now), Plan::Send { iids: vec![2], digest: false });
    // The first moment after them is free, and what they held goes together.
    let morning = at("2026-11-24T06:00:00Z");
    let held = [usual, waiting(3, "2026-11-24T01:00:00Z")];
    assert_eq!(schedule.plan(&held, None, morning), Plan::Send { iids: vec![1, 3], digest: true });
}

#[test]
fn what_was_held_up_until_quiet_hours_waits_for_their_end() {
    let evening = waiting(1, "2026-11-23T20:55:00Z");
    let quiet = Some(nights("Europe/Vienna"));
    // Due at 21:55 in Vienna, and it is 22:30: the channel failed, or the service was down.
    let now = at("2026-11-23T21:30:00Z");
    let morning = at("2026-11-24T06:00:00Z");
    for schedule in [immediate(), digests(&[(21, 55)])] {
        let schedule = Schedule { quiet: quiet.clone(), ..schedule };
        assert_eq!(schedule.plan(&[evening], None, now), Plan::Hold(morning));
        let Plan::Send { iids, .. } = schedule.plan(&[evening], None, morning) else {
            panic!("it goes in the morning");
        };
        assert_eq!(iids, [1]);
    }
    let urgent = Waiting { score: score(95.0), ..evening };
    let schedule = Schedule { quiet, ..immediate() };
    assert_eq!(schedule.plan(&[urgent], None, now), Plan::Send { iids: vec![1], digest: false });
}

#[test]
fn quiet_hours_begin_on_their_days_only() {
    let quiet = QuietHours { days: vec![Weekday::Friday], ..nights("Europe/Vienna") };
    // Friday the 27th, 23:00, until Saturday 07:00; Saturday 23:00 is free.
    assert_eq!(quiet.end(at("2026-11-27T22:00:00Z")), Some(at("2026-11-28T06:00:00Z")));
    assert_eq!(quiet.end(at("2026-11-28T05:59:59Z")), Some(at("2026-11-28T06:00:00Z")));
    assert_eq!(quiet.end(at("2026-11-28T22:00:00Z")), None);
    let never = QuietHours { to: time(22, 0, 0, 0), ..nights("Europe/Vienna") };
    assert_eq!(never.end(at("2026-11-27T22:00:00Z")), None);
}

#[test]
fn a_digest_goes_at_its_times_the_longest_waiting_and_best_first() {
    let schedule = digests(&[(8, 0), (17, 30)]);
    let one = Waiting { score: score(71.0), ..waiting(1, "2026-11-23T08:00:00Z") };
    let better = Waiting { score: score(99.0), ..waiting(2, "2026-11-23T09:00:00Z") };
    let now = at("2026-11-23T10:00:00Z");
    assert_eq!(schedule.plan(&[one, better], None, now), Plan::Hold(at("2026-11-23T16:30:00Z")));
    let evening = at("2026-11-23T16:30:00Z");
    let sent = Plan::Send { iids: vec![2, 1], digest: true };
    assert_eq!(schedule.plan(&[one, better], None, evening), sent);
    // Down at its time: it goes as soon as it can.
    assert_eq!(schedule.plan(&[one, better], None, at("2026-11-23T20:00:00Z")), sent);
}

#[test]
fn what_has_no_room_in_a_digest_goes_with_the_next() {
    let mut schedule = digests(&[(8, 0), (17, 30)]);
    schedule.batch.max = 2;
    let all: Vec<Waiting> = (1..=3).map(|iid| waiting(iid, "2026-11-23T08:00:00Z")).collect();
    let evening = at("2026-11-23T16:30:00Z");
    assert_eq!(schedule.plan(&all, None, evening), Plan::Send { iids: vec![1, 2], digest: true });
    let sent_at = at("2026-11-23T16:30:02Z");
    assert_eq!(schedule.plan(&all[2..], Some(sent_at), sent_at), Plan::Hold(at("2026-11-24T07:00:00Z")));
}

/// However good what comes after it is.
#[test]
fn what_has_no_room_in_a_digest_comes_first_in_the_next() {
    let mut schedule = digests(&[(8, 0), (17, 30)]);
    schedule.batch.max = 1;
    let poor = Waiting { score: score(70.0), ..waiting(1, "2026-11-23T08:00:00Z") };
    let good = |iid, since| Waiting { score: score(90.0), ..waiting(iid, since) };
    let evening = at("2026-11-23T16:30:00Z");
    let first = [poor, good(2, "2026-11-23T09:00:00Z")];
    assert_eq!(schedule.plan(&first, None, evening), Plan::Send { iids: vec![2], digest: true });
    let morning = at("2026-11-24T07:00:00Z");
    let next = [poor, good(3, "2026-11-23T20:00:00Z")];
    assert_eq!(schedule.plan(&next, Some(evening), morning), Plan::Send { iids: vec![1], digest: true });
}

#[test]
fn an_urgent_digest_in_quiet_hours_takes_nobody_elses_place() {
    let mut schedule = digests(&[(6, 0), (17, 30)]);
    schedule.quiet = Some(nights("Europe/Vienna"));
    let usual = waiting(1, "2026-11-23T20:00:00Z");
    let urgent = Waiting { score: score(97.0), ..waiting(2, "2026-11-23T20:00:00Z") };
    let six = at("2026-11-24T05:00:00Z");
    assert_eq!(schedule.plan(&[usual, urgent], None, six), Plan::Send { iids: vec![2], digest: true });
    assert_eq!(schedule.plan(&[usual], Some(six), six), Plan::Hold(at("2026-11-24T06:00:00Z")));
}

#[test]
fn every_is_a_grid_that_a_restart_does_not_move() {
    let every = DigestTimes::Every(SignedDuration::from_hours(2));
    let schedule = Schedule { batch: Batch { digest: Some(every), max: 20 }, ..immediate() };
    let one = waiting(1, "2026-11-23T08:00:01Z");
    assert_eq!(schedule.due(&one, None).0, at("2026-11-23T10:00:00Z"));
    assert_eq!(schedule.due(&waiting(1, "2026-11-23T10:00:00Z"), None).0, at("2026-11-23T10:00:00Z"));
}

fn schedules() -> impl Strategy<Value = Schedule> {
    let time_of_day = (0i8..24, 0i8..60).prop_map(|(hour, minute)| time(hour, minute, 0, 0));
    let times = prop::collection::vec(time_of_day.clone(), 1..4).prop_map(DigestTimes::At);
    let every = (1i64..600).prop_map(|minutes| DigestTimes::Every(SignedDuration::from_mins(minutes)));
    let digest = prop_oneof![Just(None), times.prop_map(Some), every.prop_map(Some)];
    let days = prop::sample::subsequence(EVERY_DAY.to_vec(), 0..=7);
    let quiet = prop::option::of((time_of_day.clone(), time_of_day, days, prop::option::of(90.0f64..100.0)));
    (digest, quiet, 0i64..180, 1usize..5, prop::sample::select(ZONES.to_vec())).prop_map(
        |(digest, quiet, delay, max, name)| Schedule {
            batch: Batch { digest, max },
            quiet: quiet.map(|(from, to, days, urgent)| QuietHours {
                from,
                to,
                zone: zone(name),
                days,
                urgent: urgent.map(|urgent| Score::new(urgent).unwrap()),
            }),
            delay: SignedDuration::from_mins(delay),
            zone: zone(name),
        },
    )
}

/// Whether a moment is quiet, told from the wall clock alone.
fn is_quiet_by_the_wall_clock(quiet: &QuietHours, at: Timestamp) -> bool {
    let local = at.to_zoned_datetime(quiet.zone.clone());
    let (day, time) = (local.date(), local.time());
    let begins = |day: Date| quiet.days.contains(&day.weekday());
    if quiet.from < quiet.to {
        begins(day) && quiet.from <= time && time < quiet.to
    } else if quiet.to < quiet.from {
        (begins(day) && time >= quiet.from) || (begins(day.yesterday().unwrap()) && time < quiet.to)
    } else {
        false
    }
}

/// The two nights a year on which the wall clock jumps say nothing about what "02:30" means.
fn clock_changes_near(zone: &TimeZone, at: Timestamp) -> bool {
    let offset = |hours: i64| zone.to_offset(at + SignedDuration::from_hours(hours));
    offset(-30) != offset(30)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Over days anywhere in the year: never in quiet hours (urgent apart), never twice, and never later than the
    /// first allowed moment as long as there is room.
    #[test]
    fn every_match_goes_once_at_the_first_allowed_moment(
        schedule in schedules(),
        start in 0i64..365 * 24 * 60,
        made in prop::collection::vec((0i64..3 * 24 * 60, 70.0f64..=100.0), 1..8),
    ) {
        let begin = at("2026-01-01T00:00:00Z") + SignedDuration::from_mins(start);
        let all: Vec<Waiting> = made.iter().enumerate().map(|(index, (minute, percent))| Waiting {
            iid: index as u64,
            since: begin + SignedDuration::from_mins(*minute),
            score: score(percent.floor()),
            backlog: false,
        }).collect();
        let (mut open, mut sent) = (all.clone(), Vec::new());
        let mut last_digest = None;
        let (mut now, end) = (begin, begin + SignedDuration::from_hours(24 * 40));
        while !open.is_empty() && now < end {
            let there: Vec<Waiting> = open.iter().copied().filter(|one| one.since <= now).collect();
            match schedule.plan(&there, last_digest, now) {
                Plan::Send { iids, digest } => {
                    prop_assert!(iids.len() <= schedule.batch.max.max(1) && (digest || iids.len() == 1));
                    for iid in &iids {
                        let one = open.iter().find(|one| one.iid == *iid);
                        prop_assert!(one.is_some(), "{iid} goes twice");
                        sent.push((*one.unwrap(), now));
                    }
                    open.retain(|one| !iids.contains(&one.iid));
                    if digest { last_digest = Some(now); }
                    continue;
                }
                Plan::Hold(until) => {
                    prop_assert!(until > now);
                    let arrives = open.iter().map(|one| one.since).filter(|since| *since > now).min();
                    now = arrives.map_or(until, |since| since.min(until));
                }
                Plan::Nothing => match open.iter().map(|one| one.since).min() {
                    Some(since) => now = since.max(now),
                    None => break,
                },
            }
        }
        prop_assert!(open.is_empty(), "never sent: {open:?}");
        for (one, at) in sent {
            let (due, _) = schedule.due(&one, None);
            prop_assert!(at >= due, "{one:?} went at {at}, before {due}");
            if all.len() <= schedule.batch.max {
                prop_assert_eq!(at, due.max(one.since), "{:?}", one);
            }
            if let Some(quiet) = schedule.quiet.as_ref().filter(|quiet| !quiet.is_urgent(one.score))
                && !clock_changes_near(&quiet.zone, at)
            {
                prop_assert!(!is_quiet_by_the_wall_clock(quiet, at), "{one:?} went at {at}");
            }
        }
    }

    /// Around both changes of the clock too a quiet time ends, and after its end is none.
    #[test]
    fn a_quiet_time_ends(minute in 0i64..365 * 24 * 60, zone_name in prop::sample::select(ZONES.to_vec())) {
        let quiet = nights(zone_name);
        let moment = at("2026-01-01T00:00:00Z") + SignedDuration::from_mins(minute);
        if let Some(end) = quiet.end(moment) {
            prop_assert!(end > moment && quiet.end(end).is_none());
            let local = end.to_zoned_datetime(quiet.zone.clone());
            prop_assert_eq!((local.hour(), local.minute()), (7, 0));
        } else {
            prop_assert!(!is_quiet_by_the_wall_clock(&quiet, moment));
        }
    }
}

/// What the settings page draws says the same as what the plan does.
#[test]
fn quiet_times_and_digests_of_a_week_are_those_that_are_gone_by() {
    let zone = TimeZone::get("Europe/Vienna").unwrap();
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let quiet = QuietHours {
        from: Time::new(22, 0, 0, 0).unwrap(),
        to: Time::new(7, 0, 0, 0).unwrap(),
        zone: zone.clone(),
        days: vec![Weekday::Monday, Weekday::Tuesday],
        urgent: None,
    };
    let (from, until) = (at("2026-11-23T23:00:00Z"), at("2026-11-27T23:00:00Z"));
    let spans = quiet.spans(from, until);
    assert_eq!(
        spans,
        [(from, at("2026-11-24T06:00:00Z")), (at("2026-11-24T21:00:00Z"), at("2026-11-25T06:00:00Z"))]
    );
    for (begin, end) in &spans {
        assert_eq!(quiet.end(*begin), Some(*end));
        assert_eq!(quiet.end(*end), None);
    }
    let times = vec![Time::new(6, 0, 0, 0).unwrap(), Time::new(17, 30, 0, 0).unwrap()];
    let schedule = Schedule {
        batch: Batch { digest: Some(DigestTimes::At(times)), max: 20 },
        quiet: Some(quiet),
        delay: SignedDuration::ZERO,
        zone,
    };
    // The digest of six o'clock waits for the end of the quiet time, where there is one.
    assert_eq!(
        schedule.digests(from, at("2026-11-26T12:00:00Z")),
        [
            at("2026-11-24T06:00:00Z"),
            at("2026-11-24T16:30:00Z"),
            at("2026-11-25T06:00:00Z"),
            at("2026-11-25T16:30:00Z"),
            at("2026-11-26T05:00:00Z"),
        ]
    );
    let every = Schedule {
        batch: Batch { digest: Some(DigestTimes::Every(SignedDuration::from_secs(1))), max: 20 },
        quiet: None,
        ..schedule
    };
    assert_eq!(every.digests(from, until).len(), 100);
}

#[test]
fn what_was_there_at_the_first_read_goes_together_however_new_it_is() {
    let schedule = immediate();
    let now = at("2026-11-23T08:01:00Z");
    let backlog: Vec<Waiting> =
        (1..=21).map(|iid| Waiting { backlog: true, ..waiting(iid, "2026-11-23T08:00:00Z") }).collect();
    let first = Plan::Send { iids: (1..=20).collect(), digest: true };
    assert_eq!(schedule.plan(&backlog, None, now), first);
    // The one that is left over is not sent at once; what is staged since is.
    let left = backlog[20];
    let sent = Some(now);
    let then = at("2026-11-23T09:01:00Z");
    assert_eq!(schedule.plan(&[left], sent, at("2026-11-23T08:02:00Z")), Plan::Hold(then));
    assert_eq!(schedule.held(&left, sent, at("2026-11-23T08:02:00Z")), Some((then, Reason::Digest)));
    assert_eq!(schedule.plan(&[left], sent, then), Plan::Send { iids: vec![21], digest: true });
    assert_eq!(schedule.held(&left, sent, then), None);
    let fresh = waiting(30, "2026-11-23T08:02:00Z");
    assert_eq!(
        schedule.plan(&[left, fresh], sent, at("2026-11-23T08:02:00Z")),
        Plan::Send { iids: vec![30], digest: false }
    );
}

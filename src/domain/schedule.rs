//! When a match may be told of: delays, digests, quiet hours. A pure function of the time.

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use serde::Serialize;

use super::job_match::Score;

/// In immediate mode, what should have gone longer ago than this goes together: after quiet hours, an outage of the
/// channel, or a first start with a backlog, one message is kinder than twenty.
pub const LATE: SignedDuration = SignedDuration::from_mins(10);
/// How far a clock may be ahead of ours before its times are doubted: GitLab's of when a match was made, our own of what we
/// did last.
pub const AHEAD: SignedDuration = SignedDuration::from_mins(5);
/// The pause between digests of what is late, in immediate mode.
pub const CATCHING_UP: SignedDuration = SignedDuration::from_hours(1);
/// Days to look back and ahead for a quiet time or a digest: the longest quiet time lasts less than two.
const HORIZON: i64 = 3;
/// Quiet times that may follow each other without a gap, over a change of the clock say.
const CHAIN: usize = 16;
/// Most digests that are foretold.
const DIGESTS_SHOWN: usize = 100;

/// How one channel sends.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// One by one or in digests.
    pub batch: Batch,
    /// When nothing is sent.
    pub quiet: Option<QuietHours>,
    /// How long a match must have been pending.
    pub delay: SignedDuration,
    /// The time zone of the digests' times.
    pub zone: TimeZone,
}

/// One by one or in digests.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// When digests go; none where matches go one by one.
    pub digest: Option<DigestTimes>,
    /// Most matches in one message.
    pub max: usize,
}

/// When digests go.
#[derive(Clone, Debug, PartialEq)]
pub enum DigestTimes {
    /// At these times of every day.
    At(Vec<Time>),
    /// At every full multiple of this span since 1970, so that a restart does not move them.
    Every(SignedDuration),
}

/// When nothing is sent.
#[derive(Clone, Debug, PartialEq)]
pub struct QuietHours {
    /// From when.
    pub from: Time,
    /// Until when; where that is before `from`, on the next day. Where both are equal there is no quiet time.
    pub to: Time,
    /// In which zone.
    pub zone: TimeZone,
    /// On which days they begin.
    pub days: Vec<Weekday>,
    /// From this score on a match is told of all the same.
    pub urgent: Option<Score>,
}

/// A match that a channel has not been told of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Waiting {
    /// The number.
    pub iid: u64,
    /// Since when it could be told of.
    pub since: Timestamp,
    /// How well it fits.
    pub score: Option<Score>,
    /// Whether it was there when GitLab was read for the first time: it is caught up with, however new it is.
    pub backlog: bool,
}

/// What to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Nothing waits.
    Nothing,
    /// Something waits, and until then nothing may go.
    Hold(Timestamp),
    /// Send these in one message, in this order.
    Send {
        /// The issues' numbers.
        iids: Vec<u64>,
        /// Whether the pause until the next digest begins with it; else it tells of one match.
        digest: bool,
    },
}

/// Why a match is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It has not been pending long enough.
    Delay,
    /// It waits for the next digest.
    Digest,
    /// It is quiet time.
    QuietHours,
}

impl Schedule {
    /// What to do now about everything that waits. `last_digest` is when the last digest left.
    pub fn plan(&self, waiting: &[Waiting], last_digest: Option<Timestamp>, now: Timestamp) -> Plan {
        let last_digest = last_digest.filter(|last| !lies_ahead(*last, now));
        // What found no room in a digest comes before what is new in the next one, or it might never find any.
        let missed = |one: &Waiting| {
            let slot = last_digest.map(|_| self.due(one, None).0);
            slot.filter(|slot| last_digest.is_some_and(|last| *slot <= last)).unwrap_or(Timestamp::MAX)
        };
        let allowed = |one: &Waiting| self.allowed(one, last_digest, now).0;
        let mut all: Vec<(Timestamp, Timestamp, Waiting)> =
            waiting.iter().map(|one| (allowed(one), missed(one), *one)).collect();
        // What has waited longest first; of equals the best.
        all.sort_by(|(a_due, a_missed, a), (b_due, b_missed, b)| {
            let score = |one: &Waiting| one.score.map_or(-1.0, Score::percent);
            let order = a_due.cmp(b_due).then(a_missed.cmp(b_missed));
            order.then(score(b).total_cmp(&score(a))).then(a.iid.cmp(&b.iid))
        });
        let due: Vec<(Timestamp, Waiting)> = all.into_iter().map(|(due, _, one)| (due, one)).collect();
        let now_due = || due.iter().filter(|(due, _)| *due <= now);
        let next = || due.iter().map(|(due, _)| *due).find(|due| *due > now);
        let hold = |until: Option<Timestamp>| until.map_or(Plan::Nothing, Plan::Hold);
        let digest = |ripe: &[u64]| Plan::Send {
            iids: ripe.iter().copied().take(self.batch.max.max(1)).collect(),
            digest: true,
        };
        if self.batch.digest.is_some() {
            let ripe: Vec<u64> = now_due().map(|(_, one)| one.iid).collect();
            return if ripe.is_empty() { hold(next()) } else { digest(&ripe) };
        }
        let is_late = |(_, one): &&(Timestamp, Waiting)| self.is_late(one, now);
        let late: Vec<Waiting> = now_due().filter(is_late).map(|(_, one)| *one).collect();
        let iids: Vec<u64> = late.iter().map(|one| one.iid).collect();
        let fresh = now_due().find(|one| !is_late(one)).map(|(_, one)| one.iid);
        match (late.as_slice(), fresh) {
            (_, Some(iid)) => Plan::Send { iids: vec![iid], digest: false },
            ([], None) => hold(next()),
            ([one], None) if !one.backlog => Plan::Send { iids, digest: false },
            // One of a backlog goes as a digest too: what of it is met after that waits for the next one.
            (_, None) => match next_catching_up(last_digest).filter(|at| *at > now) {
                Some(at) => Plan::Hold(next().map_or(at, |next| next.min(at))),
                None => digest(&iids),
            },
        }
    }

    /// Until when a match is held, seen from now, and why; none where it may go.
    pub fn held(
        &self,
        one: &Waiting,
        last_digest: Option<Timestamp>,
        now: Timestamp,
    ) -> Option<(Timestamp, Reason)> {
        let last_digest = last_digest.filter(|last| !lies_ahead(*last, now));
        let allowed = self.allowed(one, last_digest, now);
        let catching_up =
            next_catching_up(last_digest).filter(|_| self.batch.digest.is_none() && self.is_late(one, now));
        let held = match catching_up.filter(|at| *at > allowed.0) {
            Some(at) => self.after_quiet(at, one, Reason::Digest),
            None => allowed,
        };
        Some(held).filter(|(until, _)| *until > now)
    }

    /// Whether a match should have gone long ago, where matches go one by one.
    fn is_late(&self, one: &Waiting, now: Timestamp) -> bool {
        let ripe = one.since.checked_add(self.delay).unwrap_or(Timestamp::MAX);
        one.backlog || now.duration_since(ripe) > LATE
    }

    /// The first moment at which a match may be told of, and what it waits for until then.
    pub fn due(&self, one: &Waiting, last_digest: Option<Timestamp>) -> (Timestamp, Reason) {
        let ripe = one.since.checked_add(self.delay).unwrap_or(Timestamp::MAX);
        let Some(times) = &self.batch.digest else {
            return self.after_quiet(ripe, one, Reason::Delay);
        };
        let slot = self.next_digest(times, ripe);
        let due = self.after_quiet(slot, one, Reason::Digest);
        match last_digest.filter(|last| due.0 <= *last) {
            None => due,
            // There was no room for it in the last digest.
            Some(last) => {
                let after = last.checked_add(1.millisecond()).unwrap_or(Timestamp::MAX);
                self.after_quiet(self.next_digest(times, after), one, Reason::Digest)
            }
        }
    }

    /// When a match may go, seen from now: what was held up beyond its moment waits for the end of a quiet time too.
    fn allowed(&self, one: &Waiting, last_digest: Option<Timestamp>, now: Timestamp) -> (Timestamp, Reason) {
        // GitLab says since when it waits, by a clock that ours may be far behind: it does not wait for ours to catch up.
        let one =
            &if lies_ahead(one.since, now) { Waiting { since: Timestamp::UNIX_EPOCH, ..*one } } else { *one };
        let (due, reason) = self.due(one, last_digest);
        match self.after_quiet(now, one, reason) {
            (end, quiet) if due <= now && end > now => (end, quiet),
            _ => (due, reason),
        }
    }

    fn after_quiet(&self, at: Timestamp, one: &Waiting, reason: Reason) -> (Timestamp, Reason) {
        let Some(quiet) = self.quiet.as_ref().filter(|quiet| !quiet.is_urgent(one.score)) else {
            return (at, reason);
        };
        match quiet.end(at) {
            Some(end) => (end, Reason::QuietHours),
            None => (at, reason),
        }
    }

    /// The next digest at or after a moment; quiet hours may put it off further.
    fn next_digest(&self, times: &DigestTimes, from: Timestamp) -> Timestamp {
        match times {
            DigestTimes::Every(span) => {
                let span = i64::try_from(span.as_millis()).unwrap_or(i64::MAX).max(1);
                let past = from.as_millisecond().rem_euclid(span);
                let exact = past == 0 && from.subsec_nanosecond() % 1_000_000 == 0;
                let until = if exact { 0 } else { span - past };
                Timestamp::from_millisecond(from.as_millisecond().saturating_add(until))
                    .unwrap_or(Timestamp::MAX)
            }
            DigestTimes::At(times) => {
                let today = from.to_zoned_datetime(self.zone.clone()).date();
                let days = days_from(today, -1, HORIZON);
                let moments =
                    days.flat_map(|day| times.iter().filter_map(move |time| self.moment(day, *time)));
                moments.filter(|moment| *moment >= from).min().unwrap_or(from)
            }
        }
    }

    /// When digests go from a moment on and before another, quiet hours counted in; the first hundred. None where matches
    /// go one by one.
    pub fn digests(&self, from: Timestamp, until: Timestamp) -> Vec<Timestamp> {
        let Some(times) = &self.batch.digest else { return Vec::new() };
        let mut found: Vec<Timestamp> = Vec::new();
        let mut at = from;
        while found.len() < DIGESTS_SHOWN {
            let slot = self.next_digest(times, at);
            let goes = self.not_before(slot);
            if goes >= until {
                break;
            }
            if found.last() != Some(&goes) {
                found.push(goes);
            }
            // What falls into the same quiet time goes together when it ends.
            match goes.checked_add(1.millisecond()) {
                Ok(next) => at = next,
                Err(_) => break,
            }
        }
        found
    }

    fn moment(&self, day: Date, time: Time) -> Option<Timestamp> {
        moment(day, time, &self.zone)
    }

    /// When the next message may leave, whatever it tells of: for reminders and alarms.
    pub fn not_before(&self, now: Timestamp) -> Timestamp {
        self.quiet.as_ref().and_then(|quiet| quiet.end(now)).unwrap_or(now)
    }
}

impl QuietHours {
    /// Whether a match of this score is told of even now.
    pub fn is_urgent(&self, score: Option<Score>) -> bool {
        self.urgent.zip(score).is_some_and(|(urgent, score)| score >= urgent)
    }

    /// When the quiet time ends that a moment lies in; none where it lies in none. The first moment after it is free.
    pub fn end(&self, at: Timestamp) -> Option<Timestamp> {
        let mut end = None;
        let mut from = at;
        for _ in 0..CHAIN {
            match self
                .spans_around(from)
                .filter(|(begin, end)| (*begin..*end).contains(&from))
                .map(|(_, end)| end)
                .max()
            {
                Some(until) => (end, from) = (Some(until), until),
                None => break,
            }
        }
        end
    }

    /// The quiet times between two moments, in order, cut off there, each from its begin to its end.
    pub fn spans(&self, from: Timestamp, until: Timestamp) -> Vec<(Timestamp, Timestamp)> {
        let day = |at: Timestamp| at.to_zoned_datetime(self.zone.clone()).date();
        let days = day(from).until(day(until)).map_or(0, |span| i64::from(span.get_days()));
        let mut spans: Vec<(Timestamp, Timestamp)> = Vec::new();
        let all = days_from(day(from), -HORIZON, days + 1).filter_map(|day| self.span(day));
        for (begin, end) in all.map(|(begin, end)| (begin.max(from), end.min(until))) {
            match spans.last_mut() {
                _ if begin >= end => {}
                Some(last) if begin <= last.1 => last.1 = last.1.max(end),
                _ => spans.push((begin, end)),
            }
        }
        spans
    }

    fn spans_around(&self, at: Timestamp) -> impl Iterator<Item = (Timestamp, Timestamp)> {
        let today = at.to_zoned_datetime(self.zone.clone()).date();
        days_from(today, -HORIZON, 1).filter_map(|day| self.span(day))
    }

    fn span(&self, day: Date) -> Option<(Timestamp, Timestamp)> {
        if self.from == self.to || !self.days.contains(&day.weekday()) {
            return None;
        }
        let last = if self.to < self.from { day.tomorrow().ok()? } else { day };
        Some((moment(day, self.from, &self.zone)?, moment(last, self.to, &self.zone)?))
    }
}

/// Whether a time lies further ahead than clocks differ: whoever wrote it had a wrong one, and waiting for that time would
/// be waiting for nothing.
pub fn lies_ahead(at: Timestamp, now: Timestamp) -> bool {
    at.duration_since(now) > AHEAD
}

/// Whether something was done less than a span ago; what a clock that was ahead says was not.
pub fn is_recent(at: Timestamp, span: SignedDuration, now: Timestamp) -> bool {
    now.duration_since(at) < span && !lies_ahead(at, now)
}

/// When what is late may go together again.
fn next_catching_up(last_digest: Option<Timestamp>) -> Option<Timestamp> {
    last_digest.and_then(|last| last.checked_add(CATCHING_UP).ok())
}

fn days_from(today: Date, first: i64, last: i64) -> impl Iterator<Item = Date> {
    (first..=last).filter_map(move |days| today.checked_add(days.days()).ok())
}

/// A time of day as a moment. In the hour that a zone leaves out it is an hour later; of an hour that comes twice it is the first.
fn moment(day: Date, time: Time, zone: &TimeZone) -> Option<Timestamp> {
    day.to_datetime(time).to_zoned_datetime(zone.clone()).ok().map(|at| at.timestamp())
}

#[cfg(test)]
mod tests;

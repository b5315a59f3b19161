//! Times as people read them: in their zone, in their language's order, and how long ago.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::config::Policy;
use crate::domain::Language;

/// How somebody reads times.
pub(super) struct People {
    language: Language,
    /// The zone of quiet hours and digests: the reviewers'.
    pub(super) zone: TimeZone,
    /// The present moment.
    pub(super) now: Timestamp,
}

/// A moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Moment {
    /// For programs.
    iso: String,
    /// Date, time and zone.
    text: String,
    /// How far away it is; the words stand in the templates.
    span: Span,
}

/// A length of time as one number and one unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Span {
    count: i64,
    /// `minute`, `hour` or `day`.
    unit: &'static str,
    /// Whether it lies ahead.
    ahead: bool,
}

impl People {
    /// In this language, where the channels send by their zone.
    pub(super) fn new(language: Language, policy: &Policy, now: Timestamp) -> Self {
        let zone = policy.channels.values().next().map(|own| own.schedule.zone.clone());
        Self { language, zone: zone.unwrap_or_else(TimeZone::system), now }
    }

    /// Their language.
    pub(super) const fn language(&self) -> Language {
        self.language
    }

    /// A moment.
    pub(super) fn moment(&self, at: Timestamp) -> Moment {
        let local = at.to_zoned_datetime(self.zone.clone());
        // With the zone: it may be the machine's, which the reader does not know.
        let form = self.language.pick("%d.%m.%Y, %H:%M %Z", "%-d %b %Y, %H:%M %Z");
        Moment {
            iso: at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            text: local.strftime(form).to_string(),
            span: span(at.duration_since(self.now)),
        }
    }

    /// A date.
    pub(super) fn date(&self, date: Date) -> String {
        date.strftime(self.language.pick("%d.%m.%Y", "%-d %b %Y")).to_string()
    }

    /// How many days a date is away; negative when it is over.
    pub(super) fn days_until(&self, date: Date) -> i64 {
        let today = self.now.to_zoned_datetime(self.zone.clone()).date();
        today.until(date).map_or(0, |span| i64::from(span.get_days()))
    }
}

/// The largest unit that fits.
pub(super) fn span(duration: SignedDuration) -> Span {
    let minutes = duration.as_mins();
    let (count, unit) = match minutes.abs() {
        0..60 => (minutes.abs(), "minute"),
        60..2_880 => (minutes.abs() / 60, "hour"),
        _ => (minutes.abs() / 1_440, "day"),
    };
    Span { count, unit, ahead: duration.is_positive() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn people(language: Language) -> People {
        let zone = TimeZone::get("Europe/Vienna").unwrap();
        People { language, zone, now: "2026-11-23T08:00:00Z".parse().unwrap() }
    }

    #[test]
    fn times_are_local_and_in_the_readers_order() {
        let at = "2026-11-23T05:30:00Z".parse().unwrap();
        assert_eq!(people(Language::De).moment(at).text, "23.11.2026, 06:30 CET");
        let english = people(Language::En).moment(at);
        assert_eq!(
            (english.text.as_str(), english.iso.as_str()),
            ("23 Nov 2026, 06:30 CET", "2026-11-23T05:30:00Z")
        );
        assert_eq!(english.span, Span { count: 2, unit: "hour", ahead: false });
        assert_eq!(people(Language::De).days_until("2026-12-01".parse().unwrap()), 8);
        assert_eq!(span(SignedDuration::from_hours(49)), Span { count: 2, unit: "day", ahead: true });
        assert_eq!(span(SignedDuration::from_secs(-30)).count, 0);
    }
}

//! What a query asks for; where it is wrong, the field is named.

use axum::extract::FromRequestParts;
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::problem::Problem;

/// A query; what is wrong with it is a [`Problem`].
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(Problem))]
pub(super) struct ApiQuery<T>(pub(super) T);

/// A moment, or the beginning of a day in UTC.
///
/// # Errors
///
/// Where it is neither.
pub(super) fn moment<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let wrong = || {
        D::Error::custom(
            "must be a moment such as 2026-02-07T08:30:00Z, or a day such as 2026-02-07 or 07.02.2026",
        )
    };
    read(text.trim()).map(Some).ok_or_else(wrong)
}

fn read(text: &str) -> Option<Timestamp> {
    // A plus that was not escaped has become a blank on its way.
    let with_plus = text.rsplit_once(' ').map(|(moment, zone)| format!("{moment}+{zone}"));
    let moment = |text: &str| text.parse::<Timestamp>().ok();
    if let Some(at) = moment(text).or_else(|| with_plus.as_deref().and_then(moment)) {
        return Some(at);
    }
    let day = Date::strptime("%d.%m.%Y", text).ok().map(DateTime::from);
    let civil = day.or_else(|| text.parse::<DateTime>().ok())?;
    TimeZone::UTC.to_timestamp(civil).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_and_days() {
        let at = |text: &str| read(text).map(|at| at.to_string());
        let midnight = Some("2026-02-07T00:00:00Z".to_owned());
        for day in
            ["2026-02-07", "07.02.2026", "7.2.2026", "2026-02-07T00:00:00", "2026-02-07T01:00:00+01:00"]
        {
            assert_eq!(at(day), midnight, "{day}");
        }
        assert_eq!(at("2026-02-07T01:00:00 01:00"), midnight, "a plus that was not escaped");
        assert_eq!(at("2026-02-07 08:30"), Some("2026-02-07T08:30:00Z".to_owned()));
        for wrong in ["", "yesterday", "2026-02-30", "30.02.2026", "02/07/2026", "1770422400"] {
            assert_eq!(at(wrong), None, "{wrong}");
        }
    }
}

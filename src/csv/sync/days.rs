//! Matches as rows, their times as days where this machine is.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::csv::field::Row;
use crate::csv::record::Known;
use crate::mirror::Record;

/// The system's zone, asked for once.
pub(super) struct Days(TimeZone);

impl Days {
    pub(super) fn of_this_machine() -> Self {
        Self(TimeZone::system())
    }

    /// The zone's name, where it has one.
    pub(super) fn name(&self) -> &str {
        self.0.iana_name().unwrap_or_default()
    }

    /// What GitLab has of a match, as a row.
    pub(super) fn row_of(&self, record: &Record) -> Row {
        Known {
            iid: record.iid,
            state: record.state,
            job: &record.job,
            application: &record.application,
            created: Some(self.day(record.created_at)),
            decided: record.decided_at.map(|at| self.day(at)),
        }
        .row()
    }

    fn day(&self, at: Timestamp) -> Date {
        self.0.to_datetime(at).date()
    }
}

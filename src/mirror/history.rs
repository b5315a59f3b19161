//! Steps of all matches in the mirror.

use jiff::Timestamp;
use rusqlite::params;
use serde::{Deserialize, Serialize};

use super::Mirror;
use super::json::from_json;
use super::record::{Record, record};
use crate::domain::history::Step;

/// A place among all steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepPlace {
    /// When, in milliseconds since 1970.
    pub at: i64,
    /// The issue.
    pub iid: u64,
    /// Which step of the match, from 1.
    pub number: u64,
}

impl Mirror {
    /// The steps of a match, oldest first.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn steps(&self, iid: u64) -> rusqlite::Result<Vec<Step>> {
        self.read(|connection| {
            let mut statement =
                connection.prepare_cached("SELECT step FROM steps WHERE iid = ?1 ORDER BY number")?;
            statement.query_map([iid], |row| from_json(row, 0))?.collect()
        })
    }

    /// Every step of every match in the order of their times, from behind a place on.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn decisions(
        &self,
        since: Option<Timestamp>,
        after: Option<StepPlace>,
        limit: usize,
    ) -> rusqlite::Result<Vec<(StepPlace, Step, Record)>> {
        let after = after.unwrap_or(StepPlace { at: i64::MIN, iid: 0, number: 0 });
        let since = since.map_or(i64::MIN, Timestamp::as_millisecond);
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT record, step, at, steps.iid, number FROM steps JOIN matches ON matches.iid = steps.iid
                 WHERE standing IN ('live', 'withdrawn') AND at >= ?1 AND (at, steps.iid, number) > (?2, ?3, ?4)
                 ORDER BY at, steps.iid, number LIMIT ?5",
            )?;
            let rows = statement.query_map(params![since, after.at, after.iid, after.number, limit], |row| {
                let place = StepPlace { at: row.get(2)?, iid: row.get(3)?, number: row.get(4)? };
                Ok((place, from_json(row, 1)?, record(row)?))
            })?;
            rows.collect()
        })
    }

    /// How many hours each decided match took from its creation to its first decision, and when every match was made.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn times(&self) -> rusqlite::Result<(Vec<f64>, Vec<Timestamp>)> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT (steps.at - created_at) / 3600000.0 FROM steps JOIN matches ON matches.iid = steps.iid
                 WHERE number = 1 AND standing = 'live' ORDER BY 1",
            )?;
            let hours = statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
            let mut statement = connection
                .prepare_cached("SELECT created_at FROM matches WHERE standing = 'live' ORDER BY 1")?;
            let made = statement.query_map([], |row| {
                let at: i64 = row.get(0)?;
                Ok(Timestamp::from_millisecond(at).unwrap_or_default())
            })?;
            Ok((hours, made.collect::<rusqlite::Result<_>>()?))
        })
    }
}

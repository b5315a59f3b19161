//! Which matches there are: a page of them, and how many in each state.

use jiff::Timestamp;
use rusqlite::types::Value as Sql;
use rusqlite::{Connection, params_from_iter};
use serde::{Deserialize, Serialize};

use super::Mirror;
use super::record::{Record, record, searchable};
use crate::domain::State;

/// Which matches to list.
#[derive(Clone, Debug)]
pub struct Query {
    /// Only those in this state.
    pub state: Option<State>,
    /// Only those with at least this score.
    pub min_score: Option<f64>,
    /// Only those that hold every one of these words.
    pub words: Vec<String>,
    /// Only those made or changed since: by what `sort` looks at, creation where it looks at the score.
    pub since: Option<Timestamp>,
    /// In which order.
    pub sort: Sort,
    /// Only those behind this place.
    pub after: Option<Cursor>,
    /// At most so many.
    pub limit: usize,
}

/// In which order matches are listed, the greatest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sort {
    /// By creation.
    #[default]
    Created,
    /// By score.
    Score,
    /// By last change.
    Updated,
}

impl Sort {
    const fn column(self) -> &'static str {
        match self {
            Self::Created => "created_at",
            Self::Score => "score",
            Self::Updated => "updated_at",
        }
    }
}

/// A place in a list: the value that the list is sorted by, and the iid.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cursor {
    /// The value that the list is sorted by.
    pub value: f64,
    /// The issue.
    pub iid: u64,
}

/// How many matches there are in each state, and how many that do not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Counts {
    /// Pending.
    pub pending: u64,
    /// Approved.
    pub approved: u64,
    /// Rejected.
    pub rejected: u64,
    /// Sent.
    pub sent: u64,
    /// Labelled by somebody who may not.
    #[serde(skip)]
    pub ignored: u64,
}

impl Mirror {
    /// A page of live matches.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn list(&self, query: &Query) -> rusqlite::Result<(Vec<Record>, Option<Cursor>)> {
        let column = query.sort.column();
        let mut conditions = vec!["standing = 'live'".to_owned()];
        let mut values: Vec<Sql> = Vec::new();
        let mut condition = |text: &str, value: Sql| {
            values.push(value);
            conditions.push(text.replace('?', &format!("?{}", values.len())));
        };
        if let Some(state) = query.state {
            condition("state = ?", Sql::Text(state.as_str().to_owned()));
        }
        if let Some(score) = query.min_score {
            condition("score >= ?", Sql::Real(score));
        }
        if let Some(since) = query.since {
            let of = if query.sort == Sort::Updated { "updated_at" } else { "created_at" };
            condition(&format!("{of} >= ?"), Sql::Integer(since.as_millisecond()));
        }
        for word in &query.words {
            condition("instr(words, ?) > 0", Sql::Text(searchable(word)));
        }
        if let Some(after) = query.after {
            let iid = i64::try_from(after.iid).unwrap_or(i64::MAX);
            values.push(Sql::Real(after.value));
            values.push(Sql::Integer(iid));
            conditions.push(format!("({column}, iid) < (?{}, ?{})", values.len() - 1, values.len()));
        }
        let sql = format!(
            "SELECT record, CAST({column} AS REAL) FROM matches WHERE {} ORDER BY {column} DESC, iid DESC LIMIT {}",
            conditions.join(" AND "),
            query.limit.saturating_add(1),
        );
        self.read(|connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            let rows =
                statement.query_map(params_from_iter(values), |row| Ok((record(row)?, row.get(1)?)))?;
            let mut rows: Vec<(Record, f64)> = rows.collect::<rusqlite::Result<_>>()?;
            let more = rows.len() > query.limit;
            rows.truncate(query.limit);
            let next =
                rows.last().filter(|_| more).map(|(last, value)| Cursor { value: *value, iid: last.iid });
            Ok((rows.into_iter().map(|(record, _)| record).collect(), next))
        })
    }

    /// How many matches there are.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn counts(&self) -> rusqlite::Result<Counts> {
        self.read(counts)
    }
}

pub(super) fn counts(connection: &Connection) -> rusqlite::Result<Counts> {
    let mut statement = connection.prepare_cached(
        "SELECT standing, state, count(*) FROM matches WHERE standing IN ('live', 'ignored') GROUP BY 1, 2",
    )?;
    let mut rows = statement.query([])?;
    let mut counts = Counts::default();
    while let Some(row) = rows.next()? {
        let (standing, state, count): (String, String, u64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        match (standing.as_str(), state.as_str()) {
            ("ignored", _) => counts.ignored += count,
            (_, "pending") => counts.pending = count,
            (_, "approved") => counts.approved = count,
            (_, "rejected") => counts.rejected = count,
            _ => counts.sent = count,
        }
    }
    Ok(counts)
}

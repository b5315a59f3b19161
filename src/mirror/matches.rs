//! Matches and their steps in the mirror.

use jiff::Timestamp;
use rusqlite::types::Value as Sql;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Mirror;
use super::events::{self, Raise};
use super::rows::{self, Presence};
use crate::domain::history::Step;
use crate::domain::identity::{Fingerprint, Role};
use crate::domain::job_match::Contact;
use crate::domain::sending::Sending;
use crate::domain::{Application, JobMatch, State};

/// A match as the mirror holds it: what the issue said when it was read last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The issue's number in the project.
    pub iid: u64,
    /// The issue's number in the instance.
    pub issue_id: u64,
    /// Where the match stands.
    pub state: State,
    /// Whether it counts.
    pub standing: Standing,
    /// The match.
    pub job: JobMatch,
    /// Stands for the identity of a match that has no other; none for an adopted issue.
    pub nonce: Option<Uuid>,
    /// The issue's page.
    pub web_url: String,
    /// When the issue was made.
    pub created_at: Timestamp,
    /// When the issue last changed, by GitLab's clock.
    pub updated_at: Timestamp,
    /// Who took the last step.
    pub decided_by: Option<String>,
    /// When.
    pub decided_at: Option<Timestamp>,
    /// How many comments there were; more of them may hold a decision.
    pub comments: u64,
    /// The last label event that was looked at.
    pub label_event: u64,
    /// The last state event that was looked at.
    pub state_event: u64,
    /// Whether the steps in the mirror are all there were.
    pub history_known: bool,
    /// What is left of the identity of a match whose data was removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erased: Option<Fingerprint>,
    /// The tracker's fields, as our comment says them.
    #[serde(default, skip_serializing_if = "Application::is_empty")]
    pub application: Application,
    /// How its draft and its sending stand.
    #[serde(default)]
    pub sending: Sending,
}

impl Record {
    /// The fingerprint; an adopted issue has none.
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        self.erased.clone().or_else(|| self.nonce.map(|nonce| Fingerprint::of(&self.job, nonce)))
    }

    /// Whether the step back from sent is open: the service itself has sent nothing, and no send is in doubt.
    pub const fn undo_sent(&self) -> bool {
        self.sending.attempt.is_none()
    }

    /// What `q` looks into: what people would search for, in lower case.
    fn words(&self) -> String {
        let job = &self.job;
        let fields = [&job.company, &job.agency, &job.end_client, &job.location, &job.source, &job.summary];
        let skills = job.skills.matched.iter().chain(&job.skills.missing);
        let texts = std::iter::once(&job.title).chain(fields.into_iter().flatten()).chain(skills);
        texts.map(|text| text.to_lowercase()).collect::<Vec<_>>().join("\n")
    }
}

/// Whether a match counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// It does.
    Live,
    /// Its `job-match` label was taken off.
    Withdrawn,
    /// The issue is deleted, moved, or no longer for us to see.
    Gone,
    /// A second issue of another match: the lower iid counts.
    Duplicate,
    /// The labels were put on by somebody who may not.
    Ignored,
    /// A person's data was removed, and the match with it.
    Erased,
}

impl Standing {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Withdrawn => "withdrawn",
            Self::Gone => "gone",
            Self::Duplicate => "duplicate",
            Self::Ignored => "ignored",
            Self::Erased => "erased",
        }
    }
}

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
    /// Puts a match in, and the step that it just took; the events that this raises wait from the same moment on.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn put(&self, record: &Record, step: Option<&Step>) -> rusqlite::Result<()> {
        let mut connection = self.write();
        let transaction = connection.transaction()?;
        events::raise_for(&transaction, record, step)?;
        self.put_in(&transaction, record)?;
        if let Some(step) = step {
            transaction
                .prepare_cached(
                    // A command and the service beside it may both see the same step through.
                    "INSERT INTO steps (iid, number, at, step)
                     SELECT ?1, 1 + (SELECT count(*) FROM steps WHERE iid = ?1), ?2, ?3
                     WHERE NOT EXISTS (SELECT 1 FROM steps WHERE iid = ?1 AND at = ?2
                                       AND json_extract(step, '$.from') = ?4 AND json_extract(step, '$.to') = ?5)",
                )?
                .execute(params![
                    record.iid,
                    step.at.as_millisecond(),
                    to_json(step)?,
                    step.from.as_str(),
                    step.to.as_str(),
                ])?;
        }
        transaction.commit()
    }

    /// Puts a new match in: whoever listens hears that it is staged.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn put_new(&self, record: &Record) -> rusqlite::Result<()> {
        let mut connection = self.write();
        let transaction = connection.transaction()?;
        self.put_in(&transaction, record)?;
        events::raise_whole(&transaction, record, &[], Raise::All)?;
        transaction.commit()
    }

    /// Puts a match in with all its steps, in place of those that were there.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn put_whole(&self, record: &Record, steps: &[Step], raise: Raise) -> rusqlite::Result<()> {
        let mut connection = self.write();
        let transaction = connection.transaction()?;
        self.put_in(&transaction, record)?;
        events::raise_whole(&transaction, record, steps, raise)?;
        transaction.execute("DELETE FROM steps WHERE iid = ?1", [record.iid])?;
        for (index, step) in steps.iter().enumerate() {
            transaction
                .prepare_cached("INSERT INTO steps (iid, number, at, step) VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![record.iid, index + 1, step.at.as_millisecond(), to_json(step)?])?;
        }
        transaction.commit()
    }

    fn put_in(&self, connection: &Connection, record: &Record) -> rusqlite::Result<()> {
        let score = record.job.score.map_or(-1.0, crate::domain::job_match::Score::percent);
        connection
            .prepare_cached(
                "INSERT OR REPLACE INTO matches
                 (iid, state, standing, score, created_at, updated_at, fingerprint, role, words, record)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            )?
            .execute(params![
                record.iid,
                record.state.as_str(),
                record.standing.as_str(),
                score,
                record.created_at.as_millisecond(),
                record.updated_at.as_millisecond(),
                record.fingerprint().map(|fingerprint| fingerprint.as_str().to_owned()),
                Role::of(&record.job).map(|role| role.key),
                record.words(),
                to_json(record)?,
            ])?;
        rows::put(connection, record, &self.shown)
    }

    /// The match of an issue, whether it counts or not.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn record(&self, iid: u64) -> rusqlite::Result<Option<Record>> {
        self.read(|connection| {
            connection
                .prepare_cached("SELECT record FROM matches WHERE iid = ?1")?
                .query_row([iid], record)
                .optional()
        })
    }

    /// The match of a fingerprint: the lowest iid that is not gone and no duplicate.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn record_of(&self, fingerprint: &Fingerprint) -> rusqlite::Result<Option<Record>> {
        self.read(|connection| {
            connection
                .prepare_cached(
                    "SELECT record FROM matches WHERE fingerprint = ?1 AND standing IN ('live', 'withdrawn')
                     ORDER BY iid LIMIT 1",
                )?
                .query_row([fingerprint.as_str()], record)
                .optional()
        })
    }

    /// The issue of a fingerprint's match whose data was removed at a person's wish, if one was.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn erased_iid(&self, fingerprint: &Fingerprint) -> rusqlite::Result<Option<u64>> {
        self.read(|connection| {
            connection
                .prepare_cached(
                    "SELECT min(iid) FROM matches WHERE fingerprint = ?1 AND standing = 'erased'",
                )?
                .query_row([fingerprint.as_str()], |row| row.get(0))
        })
    }

    /// Puts a match in whose data was removed, and overwrites on the disk what was known of it: steps, deliveries, and
    /// answers that are kept for repeats.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn put_erased(&self, record: &Record) -> rusqlite::Result<()> {
        let mut connection = self.write();
        let transaction = connection.transaction()?;
        for table in ["matches", "steps", "deliveries", "rows", "agreed", "events", "attempts"] {
            transaction.execute(&format!("DELETE FROM {table} WHERE iid = ?1"), [record.iid])?;
        }
        transaction.execute("DELETE FROM answers", [])?;
        self.put_in(&transaction, record)?;
        rows::set_presence(&transaction, record.iid, Presence::Erased)?;
        transaction.commit()?;
        // Rows that were deleted earlier lie about in free pages: the file is written anew, without any.
        connection.execute_batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE)")
    }

    /// The live matches with the same contact, by address, telephone or name, lowest iid first.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn with_contact(&self, contact: &Contact, but: u64) -> rusqlite::Result<Vec<u64>> {
        let same = |mine: &Option<String>, theirs: &Option<String>| {
            mine.as_ref().zip(theirs.as_ref()).is_some_and(|(a, b)| a.to_lowercase() == b.to_lowercase())
        };
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT record FROM matches WHERE standing IN ('live', 'withdrawn') AND iid <> ?1 ORDER BY iid",
            )?;
            let mut iids = Vec::new();
            for other in statement.query_map([but], record)? {
                let other = other?;
                let theirs = other.job.contact.as_ref();
                let is_same = theirs.is_some_and(|theirs| {
                    same(&contact.email, &theirs.email)
                        || same(&contact.phone, &theirs.phone)
                        || same(&contact.name, &theirs.name)
                });
                if is_same {
                    iids.push(other.iid);
                }
            }
            Ok(iids)
        })
    }

    /// The live matches of the same role at the same end client through another agency, lowest iid first.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn possible_duplicates(&self, job: &JobMatch, but: Option<u64>) -> rusqlite::Result<Vec<u64>> {
        let Some(role) = Role::of(job) else {
            return Ok(Vec::new());
        };
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT record FROM matches WHERE role = ?1 AND standing = 'live' ORDER BY iid",
            )?;
            let records = statement.query_map([&role.key], record)?;
            let mut iids = Vec::new();
            for other in records {
                let other = other?;
                let is_duplicate =
                    Role::of(&other.job).is_some_and(|other| role.is_possible_duplicate_of(&other));
                if is_duplicate && Some(other.iid) != but {
                    iids.push(other.iid);
                }
            }
            Ok(iids)
        })
    }

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
            condition("instr(words, ?) > 0", Sql::Text(word.to_lowercase()));
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

    /// The numbers of some open issues, from one on: labels can vanish from them without a trace when a label is deleted.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn open_iids_from(&self, from: u64, limit: usize) -> rusqlite::Result<Vec<u64>> {
        self.iids_from("standing = 'live' AND state IN ('pending', 'approved')", from, limit)
    }

    /// The numbers of some issues that are not looked after as open ones, from one on: closed, withdrawn or ignored.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn other_iids_from(&self, from: u64, limit: usize) -> rusqlite::Result<Vec<u64>> {
        let others =
            "(standing IN ('withdrawn', 'ignored') OR (standing = 'live' AND state IN ('rejected', 'sent')))";
        self.iids_from(others, from, limit)
    }

    fn iids_from(&self, condition: &'static str, from: u64, limit: usize) -> rusqlite::Result<Vec<u64>> {
        self.read(|connection| {
            let sql =
                format!("SELECT iid FROM matches WHERE iid >= ?1 AND {condition} ORDER BY iid LIMIT ?2");
            connection.prepare_cached(&sql)?.query_map(params![from, limit], |row| row.get(0))?.collect()
        })
    }

    /// The numbers of the issues that carry one of our labels, as far as we know.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn iids_labelled(&self, state: Option<State>) -> rusqlite::Result<Vec<u64>> {
        self.iids_where(match state {
            None => "standing = 'live'",
            Some(State::Pending) => "standing = 'live' AND state = 'pending'",
            Some(State::Approved) => "standing = 'live' AND state = 'approved'",
            Some(State::Rejected) => "standing = 'live' AND state = 'rejected'",
            Some(State::Sent) => "standing = 'live' AND state = 'sent'",
        })
    }

    /// The numbers of the issues whose steps have not been read yet.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn iids_without_history(&self) -> rusqlite::Result<Vec<u64>> {
        self.read(|connection| {
            // Named, or an index of all matches is taken and every record is parsed.
            let mut statement = connection.prepare_cached(
                "SELECT iid FROM matches INDEXED BY matches_without_history
                 WHERE standing IN ('live', 'withdrawn') AND json_extract(record, '$.history_known') = 0 ORDER BY iid",
            )?;
            statement.query_map([], |row| row.get(0))?.collect()
        })
    }

    pub(super) fn iids_where(&self, condition: &'static str) -> rusqlite::Result<Vec<u64>> {
        self.read(|connection| {
            let sql = format!("SELECT iid FROM matches WHERE {condition} ORDER BY iid");
            connection.prepare_cached(&sql)?.query_map([], |row| row.get(0))?.collect()
        })
    }

    /// In what this mirror differs from another, in words, a line a match.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn differences(&self, other: &Self) -> rusqlite::Result<Vec<String>> {
        let counting = "standing IN ('live', 'withdrawn')";
        let (ours, theirs) = (self.iids_where(counting)?, other.iids_where(counting)?);
        let iids: std::collections::BTreeSet<u64> = ours.into_iter().chain(theirs).collect();
        let mut differences = Vec::new();
        for iid in iids {
            let part = |mirror: &Self| -> rusqlite::Result<_> {
                let record = mirror.record(iid)?.map(|record| {
                    let decided = (record.decided_by, record.decided_at);
                    (record.state, record.standing, record.job, record.nonce, decided)
                });
                Ok((record, mirror.steps(iid)?))
            };
            let ((mine, my_steps), (fresh, fresh_steps)) = (part(self)?, part(other)?);
            match (&mine, &fresh) {
                (None, _) => differences.push(format!("#{iid} is missing in the mirror")),
                (_, None) => differences.push(format!("#{iid} is in the mirror and not in GitLab")),
                (Some(mine), Some(fresh)) if mine.0 != fresh.0 => {
                    differences.push(format!("#{iid} is {} in the mirror and {} in GitLab", mine.0, fresh.0));
                }
                (mine, fresh) if mine != fresh || my_steps != fresh_steps => {
                    differences.push(format!("#{iid} differs in its data or its history"));
                }
                _ => {}
            }
        }
        Ok(differences)
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

pub(super) fn record(row: &Row<'_>) -> rusqlite::Result<Record> {
    from_json(row, 0)
}

pub(super) fn timestamp(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    let text: String = row.get(column)?;
    text.parse().map_err(|error| wrong_content(column, Box::new(error)))
}

pub(super) fn from_json<T: for<'de> Deserialize<'de>>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let json = row.get_ref(column)?.as_str()?;
    serde_json::from_str(json).map_err(|error| wrong_content(column, Box::new(error)))
}

pub(super) fn to_json(value: &impl Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

fn wrong_content(column: usize, error: Box<dyn std::error::Error + Send + Sync>) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, error)
}

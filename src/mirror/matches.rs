//! Matches in the mirror: put in, and found by their numbers.

use std::borrow::Cow;

use rusqlite::{Connection, OptionalExtension as _, ToSql, params};

use super::Mirror;
use super::events::{self, Raise};
use super::facts::{self, Fact};
use super::json::to_json;
use super::record::{Record, Standing, record};
use super::rows::{self, Presence};
use crate::domain::State;
use crate::domain::history::Step;
use crate::domain::identity::Role;

impl Mirror {
    /// Puts a match in, and the step that it just took; the events that this raises wait from the same moment on.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn put(&self, record: &Record, step: Option<&Step>) -> rusqlite::Result<()> {
        self.put_step(record, step, true)
    }

    /// Puts a match in, and a step of which an earlier disk may have told: nothing is said of it.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn put_quietly(&self, record: &Record, step: &Step) -> rusqlite::Result<()> {
        self.put_step(record, Some(step), false)
    }

    fn put_step(&self, record: &Record, step: Option<&Step>, is_told: bool) -> rusqlite::Result<()> {
        let mut connection = self.write();
        let transaction = connection.transaction()?;
        let before = clear_for(&transaction, record)?;
        if is_told {
            events::raise_for(&transaction, before, record, step)?;
        }
        let mut record = Cow::Borrowed(record);
        if record.decided_at.is_some() && before.is_none() {
            // A rebuild beside this took its earlier steps away; they are read again.
            record.to_mut().history_known = false;
        }
        self.put_in(&transaction, &record)?;
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
        clear_for(&transaction, record)?;
        self.put_in(&transaction, record)?;
        events::raise_whole(&transaction, record, &[], None, Raise::All)?;
        transaction.commit()
    }

    /// Puts a match in that was made by hand, and raises what follows; `made_approved` is the step to approved where it was taken
    /// in so.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn put_adopted(
        &self,
        record: &Record,
        made_approved: Option<&Step>,
        raise: Raise,
    ) -> rusqlite::Result<()> {
        let mut connection = self.write();
        let transaction = connection.transaction()?;
        let before = clear_for(&transaction, record)?;
        events::raise_for(&transaction, before, record, None)?;
        self.put_in(&transaction, record)?;
        events::raise_whole(&transaction, record, &[], made_approved, raise)?;
        transaction.commit()
    }

    /// Puts a match in with all its steps, in place of those that were there, and raises what follows; `made_approved` is the
    /// step to approved of an issue that people made so, which is none of them.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn put_whole(
        &self,
        record: &Record,
        steps: &[Step],
        made_approved: Option<&Step>,
        raise: Raise,
    ) -> rusqlite::Result<()> {
        let mut connection = self.write();
        let transaction = connection.transaction()?;
        clear_for(&transaction, record)?;
        self.put_in(&transaction, record)?;
        events::raise_whole(&transaction, record, steps, made_approved, raise)?;
        transaction.execute("DELETE FROM steps WHERE iid = ?1", [record.iid])?;
        for (index, step) in steps.iter().enumerate() {
            transaction
                .prepare_cached("INSERT INTO steps (iid, number, at, step) VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![record.iid, index + 1, step.at.as_millisecond(), to_json(step)?])?;
        }
        transaction.commit()
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
        facts::write(&transaction, Fact::ToBeWiped, &uuid::Uuid::new_v4().to_string())?;
        transaction.commit()?;
        drop(connection);
        self.wipe()
    }

    /// Rows that were deleted lie about in free pages: after an erasure the file is written anew, without any. It may have
    /// been done already.
    ///
    /// # Errors
    ///
    /// Where the disk fails; it is done at the next call.
    pub fn wipe(&self) -> rusqlite::Result<()> {
        let Some(erasure) = self.fact(Fact::ToBeWiped)? else { return Ok(()) };
        let connection = self.write();
        connection.execute_batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE)")?;
        // One that another process made meanwhile has still to be wiped.
        let sql = "DELETE FROM facts WHERE name = ?1 AND value = ?2";
        connection.execute(sql, params![Fact::ToBeWiped, erasure]).map(drop)
    }

    fn put_in(&self, connection: &Connection, record: &Record) -> rusqlite::Result<()> {
        let score = record.job.score.map_or(-1.0, crate::domain::job_match::Score::percent);
        connection
            .prepare_cached(
                "INSERT OR REPLACE INTO matches
                 (iid, state, standing, score, created_at, updated_at, fingerprint, role, words, attempt, record)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
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
                record.sending.attempt.as_ref().map(|attempt| attempt.outcome.as_str()),
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
        // SQLite's numbers have a sign; no issue has such a number.
        let Ok(iid) = i64::try_from(iid) else { return Ok(None) };
        self.read(|connection| known(connection, iid))
    }

    /// The numbers of some open issues, from one on: labels can vanish from them without a trace when a label is deleted.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn open_iids_from(&self, from: u64, limit: usize) -> rusqlite::Result<Vec<u64>> {
        self.iids_from("matches", "standing = 'live' AND state IN ('pending', 'approved')", from, limit)
    }

    /// The numbers of some issues that are not looked after as open ones, from one on: closed, withdrawn,
    /// ignored, gone, or second ones of another match.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn other_iids_from(&self, from: u64, limit: usize) -> rusqlite::Result<Vec<u64>> {
        let others = "(standing IN ('withdrawn', 'ignored', 'gone', 'duplicate')
               OR (standing = 'live' AND state IN ('rejected', 'sent')))";
        // Named, or all of them are put in order for the first few.
        self.iids_from("matches INDEXED BY matches_looked_at_seldom", others, from, limit)
    }

    fn iids_from(&self, table: &str, condition: &str, from: u64, limit: usize) -> rusqlite::Result<Vec<u64>> {
        self.read(|connection| {
            let sql =
                format!("SELECT iid FROM {table} WHERE iid >= ?1 AND {condition} ORDER BY iid LIMIT ?2");
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

    /// The numbers of the issues whose steps are to be read, those first of which none are known.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn iids_without_history(&self) -> rusqlite::Result<Vec<u64>> {
        // Named, or an index of all matches is taken and every record is parsed.
        self.iids(
            "SELECT iid FROM matches INDEXED BY matches_without_history
             WHERE standing IN ('live', 'withdrawn') AND json_extract(record, '$.history_known') = 0
             ORDER BY coalesce(json_extract(record, '$.verdict_owed'), 0), iid",
        )
    }

    /// How many of the issues there are whose steps have not been read yet: those that are only to be read again, because
    /// what follows from them is not carried out, are known.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn unread_histories(&self) -> rusqlite::Result<usize> {
        self.read(|connection| {
            connection
                .prepare_cached(
                    "SELECT count(*) FROM matches INDEXED BY matches_without_history
                     WHERE standing IN ('live', 'withdrawn') AND json_extract(record, '$.history_known') = 0
                     AND json_extract(record, '$.verdict_owed') IS NULL",
                )?
                .query_row([], |row| row.get(0))
        })
    }

    fn iids_where(&self, condition: &'static str) -> rusqlite::Result<Vec<u64>> {
        self.iids(&format!("SELECT iid FROM matches WHERE {condition} ORDER BY iid"))
    }

    /// The numbers that a query finds.
    pub(super) fn iids(&self, sql: &str) -> rusqlite::Result<Vec<u64>> {
        self.read(|connection| connection.prepare_cached(sql)?.query_map([], |row| row.get(0))?.collect())
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
                    (record.state, record.standing, record.job, record.nonce, decided, record.application)
                });
                Ok((record, mirror.steps(iid)?))
            };
            let ((mine, my_steps), (fresh, fresh_steps)) = (part(self)?, part(other)?);
            match (&mine, &fresh) {
                (None, _) => differences.push(format!("#{iid} is missing in the mirror")),
                // GitLab lists what carries the label.
                (Some((_, Standing::Withdrawn, ..)), None) => {}
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
}

/// What the mirror knows of an issue.
fn known(connection: &Connection, iid: impl ToSql) -> rusqlite::Result<Option<Record>> {
    connection
        .prepare_cached("SELECT record FROM matches WHERE iid = ?1")?
        .query_row([iid], record)
        .optional()
}

/// How a match stood before it is put in. A number may come again with another issue behind it, where a project was made
/// anew or GitLab set back: what was told of the one before, and done about it, is not this one's. That the one before ended
/// is still told, and what has been tried goes on under its id.
fn clear_for(connection: &Connection, record: &Record) -> rusqlite::Result<Option<Standing>> {
    let before = known(connection, record.iid)?;
    if before.as_ref().is_none_or(|before| before.issue_id == record.issue_id) {
        return Ok(before.map(|before| before.standing));
    }
    for table in ["deliveries", "steps", "attempts", "rows", "agreed"] {
        connection.execute(&format!("DELETE FROM {table} WHERE iid = ?1"), [record.iid])?;
    }
    let sql = "DELETE FROM events WHERE iid = ?1
               AND NOT (outcome = 'waiting' AND (message IS NOT NULL OR kind = 'match.withdrawn'))";
    connection.execute(sql, [record.iid])?;
    Ok(None)
}

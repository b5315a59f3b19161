//! What became of an attempt to send, kept on the disk until GitLab has been told; and which matches have something
//! left to be said.

use rusqlite::params;

use super::json::{from_json, to_json};
use super::{Mirror, MirrorError};
use crate::domain::sending::Attempt;

// Both are asked at every round. The indexes are named, or one of all matches is taken and every record is looked into.

const UNFINISHED: &str = "
    SELECT iid FROM matches NOT INDEXED WHERE standing = 'live' AND iid IN (
        SELECT iid FROM attempts
        UNION
        SELECT iid FROM matches INDEXED BY matches_by_attempt WHERE attempt IN ('open', 'unknown', 'sent')
        AND (attempt = 'open' OR (attempt = 'unknown' AND state = 'sent')
             OR (attempt = 'sent' AND (state = 'approved' OR json_extract(record, '$.sending.archived') = 0)))
    ) ORDER BY iid";

const IN_DOUBT: &str = "
    SELECT iid FROM matches INDEXED BY matches_by_attempt
    WHERE attempt = 'unknown' AND standing = 'live' AND state != 'sent' ORDER BY iid";

impl Mirror {
    /// Keeps what became of an attempt until its comment says so.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn keep_attempt(&self, iid: u64, attempt: &Attempt) -> Result<(), MirrorError> {
        self.write()
            .prepare_cached("INSERT OR REPLACE INTO attempts (nonce, iid, attempt) VALUES (?1, ?2, ?3)")?
            .execute(params![attempt.nonce.to_string(), iid, to_json(attempt)?])
            .map(drop)
    }

    /// Forgets an attempt: its comment says what became of it.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn forget_attempt(&self, attempt: &Attempt) -> Result<(), MirrorError> {
        self.write().execute("DELETE FROM attempts WHERE nonce = ?1", [attempt.nonce.to_string()]).map(drop)
    }

    /// The attempts of a match whose comments do not say yet what became of them.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn kept_attempts(&self, iid: u64) -> Result<Vec<Attempt>, MirrorError> {
        self.read(|connection| {
            connection
                .prepare_cached("SELECT attempt FROM attempts WHERE iid = ?1")?
                .query_map([iid], |row| from_json(row, 0))?
                .collect()
        })
    }

    /// The matches of which a comment or a label does not say yet what this disk knows of their sending, or what a person
    /// made of a doubt.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn unfinished_sends(&self) -> Result<Vec<u64>, MirrorError> {
        self.iids(UNFINISHED)
    }

    /// The matches of which nobody knows whether their mail left.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn sends_in_doubt(&self) -> Result<Vec<u64>, MirrorError> {
        self.iids(IN_DOUBT)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{Care, Mirror, Record, Shown};
    use super::*;
    use crate::domain::State;
    use crate::domain::sending::{AttemptOutcome, Sending};

    fn record(iid: u64, outcome: Option<AttemptOutcome>) -> Record {
        let at = "2026-02-07T10:00:00Z";
        let mut record: Record = serde_json::from_value(json!({
            "iid": iid, "issue_id": iid, "state": "approved", "standing": "live", "job": {"title": "Rust"},
            "nonce": null, "web_url": "", "created_at": at, "updated_at": at, "decided_by": null,
            "decided_at": null, "comments": 0, "label_event": 0, "history_known": true,
        }))
        .unwrap();
        let attempt = outcome.map(|outcome| {
            let attempt: Attempt = serde_json::from_value(json!({
                "nonce": uuid::Uuid::from_u128(iid.into()), "instance": uuid::Uuid::nil(), "since": at, "draft": "",
                "to": "", "message_id": "", "by": "anna", "through": "api", "outcome": outcome,
            }))
            .unwrap();
            attempt
        });
        record.sending = Sending { draft: None, archived: true, attempt };
        record
    }

    #[test]
    fn what_is_left_to_be_said_and_what_is_in_doubt_is_found_without_looking_into_every_record() {
        let folder = tempfile::tempdir().unwrap();
        let shown = Shown { form: 1, cells: |_| String::new() };
        let (mirror, _) =
            Mirror::open(&folder.path().join("mirror.sqlite"), "me", shown, Care::Whole).unwrap();
        let outcomes = [
            None,
            Some(AttemptOutcome::Open),
            Some(AttemptOutcome::Unknown),
            Some(AttemptOutcome::Sent),
            Some(AttemptOutcome::Sent),
            Some(AttemptOutcome::Sent),
            Some(AttemptOutcome::Failed),
        ];
        for (iid, outcome) in (1..).zip(outcomes) {
            let mut record = record(iid, outcome);
            // The fourth lacks its label, the fifth its archive, the sixth nothing.
            if iid > 4 {
                record.state = State::Sent;
            }
            record.sending.archived = iid != 5;
            mirror.put(&record, None).unwrap();
        }
        mirror
            .keep_attempt(1, record(1, Some(AttemptOutcome::Sent)).sending.attempt.as_ref().unwrap())
            .unwrap();
        assert_eq!(mirror.unfinished_sends().unwrap(), [1, 2, 4, 5]);
        assert_eq!(mirror.sends_in_doubt().unwrap(), [3]);
        for sql in [UNFINISHED, IN_DOUBT] {
            let plan: Vec<String> = mirror
                .read(|connection| {
                    let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
                    plan.query_map([], |row| row.get("detail"))?.collect()
                })
                .unwrap();
            let looks_at = plan.iter().filter(|step| step.contains(" matches"));
            assert!(
                looks_at.clone().count() > 0 && looks_at.clone().all(|step| step.contains("SEARCH")),
                "{plan:?}"
            );
        }
    }
}

//! What became of an attempt to send, kept on the disk until GitLab has been told; and which matches have something
//! left to be said.

use rusqlite::params;

use super::matches::{from_json, to_json};
use super::{Mirror, MirrorError};
use crate::domain::sending::Attempt;

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
        self.iids_where(
            "standing = 'live' AND (iid IN (SELECT iid FROM attempts)
             OR json_extract(record, '$.sending.attempt.outcome') = 'open'
             OR (json_extract(record, '$.sending.attempt.outcome') = 'unknown' AND state = 'sent')
             OR (json_extract(record, '$.sending.attempt.outcome') = 'sent'
                 AND (state = 'approved' OR json_extract(record, '$.sending.archived') = 0)))",
        )
    }

    /// The matches of which nobody knows whether their mail left.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn sends_in_doubt(&self) -> Result<Vec<u64>, MirrorError> {
        self.iids_where(
            "standing = 'live' AND state != 'sent'
             AND json_extract(record, '$.sending.attempt.outcome') = 'unknown'",
        )
    }
}

//! What a spreadsheet and GitLab agreed on at the last sync: the base of the next merge. Lost with the disk, two
//! different values are a reported conflict.

use std::collections::{BTreeMap, HashMap};

use rusqlite::{OptionalExtension as _, params};
use sha2::{Digest as _, Sha256};

use super::Mirror;

/// Stands for a text: equal texts have equal ones, and others do not, for all anybody knows.
pub type Digest = [u8; 16];

/// What a file and GitLab agree on about a match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// The issue.
    pub iid: u64,
    /// The row.
    pub row: String,
    /// Of both sides as they were then, where nothing was left to do: while they are the same, nothing is.
    pub both_sides: Option<Digest>,
}

/// The first half of a SHA-256.
pub fn digest(hasher: Sha256) -> Digest {
    let mut half = Digest::default();
    half.copy_from_slice(&hasher.finalize()[..16]);
    half
}

impl Mirror {
    /// The row that a file and GitLab agreed on.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn agreed(&self, file: &str, iid: u64) -> rusqlite::Result<Option<String>> {
        self.read(|connection| {
            let mut statement =
                connection.prepare_cached("SELECT row FROM agreed WHERE file = ?1 AND iid = ?2")?;
            statement.query_row(params![file, iid], |row| row.get(0)).optional()
        })
    }

    /// The matches of a file about which nothing was left to do, with a digest of both sides as they were then.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn settled(&self, file: &str) -> rusqlite::Result<HashMap<u64, Digest>> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT iid, both_sides FROM agreed WHERE file = ?1 AND both_sides IS NOT NULL",
            )?;
            statement.query_map([file], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        })
    }

    /// Every match that counts, with a digest of all that is known of it.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn live_digests(&self) -> rusqlite::Result<BTreeMap<u64, Digest>> {
        self.read(|connection| {
            let mut statement = connection
                .prepare_cached("SELECT iid, record FROM matches WHERE standing = 'live' ORDER BY iid")?;
            let of_text = |row: &rusqlite::Row<'_>| {
                Ok((row.get(0)?, digest(Sha256::new().chain_update(row.get_ref(1)?.as_bytes()?))))
            };
            statement.query_map([], of_text)?.collect()
        })
    }

    /// Notes what a file and GitLab agree on.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn agree(&self, file: &str, rows: &[Agreed]) -> rusqlite::Result<()> {
        let mut connection = self.write();
        let transaction = connection.transaction()?;
        for Agreed { iid, row, both_sides } in rows {
            transaction
                .prepare_cached(
                    "INSERT OR REPLACE INTO agreed (file, iid, row, both_sides) VALUES (?1, ?2, ?3, ?4)",
                )?
                .execute(params![file, iid, row, both_sides])?;
        }
        transaction.commit()
    }
}

//! What a spreadsheet and GitLab agreed on at the last sync: the base of the next merge. Lost with the disk, two
//! different values are a reported conflict.

use std::collections::BTreeMap;

use rusqlite::params;

use super::Mirror;

impl Mirror {
    /// The rows that a file and GitLab agreed on, by their issues.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn agreed(&self, file: &str) -> rusqlite::Result<BTreeMap<u64, String>> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached("SELECT iid, row FROM agreed WHERE file = ?1")?;
            statement.query_map([file], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        })
    }

    /// Notes what a file and GitLab agree on.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn agree(&self, file: &str, rows: &[(u64, String)]) -> rusqlite::Result<()> {
        let mut connection = self.write();
        let transaction = connection.transaction()?;
        for (iid, row) in rows {
            transaction
                .prepare_cached("INSERT OR REPLACE INTO agreed (file, iid, row) VALUES (?1, ?2, ?3)")?
                .execute(params![file, iid, row])?;
        }
        transaction.commit()
    }
}

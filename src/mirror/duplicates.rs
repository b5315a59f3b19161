//! Matches that are the same, or alike: by fingerprint, contact and role.

use rusqlite::{OptionalExtension as _, params};

use super::Mirror;
use super::record::{Record, Standing, record};
use crate::domain::JobMatch;
use crate::domain::identity::{Fingerprint, Role};
use crate::domain::job_match::Contact;

impl Mirror {
    /// The match of a fingerprint: the lowest iid that is live or withdrawn.
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

    /// The issues of a fingerprint that count as a match, the lowest iid first: there should be one.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn records_of(&self, fingerprint: &Fingerprint) -> rusqlite::Result<Vec<Record>> {
        self.read(|connection| {
            connection
                .prepare_cached(
                    "SELECT record FROM matches WHERE fingerprint = ?1 AND standing IN ('live', 'withdrawn')
                     ORDER BY iid",
                )?
                .query_map([fingerprint.as_str()], record)?
                .collect()
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

    /// The matches, live or withdrawn, with the same contact, by address, telephone or name, lowest iid first.
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
        let live = self.of_the_same_role(job, but)?.into_iter();
        Ok(live.filter(|other| other.standing == Standing::Live).map(|other| other.iid).collect())
    }

    /// The second issues of the same match as an issue, which give way to it.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn second_issues(&self, fingerprint: &Fingerprint, but: u64) -> rusqlite::Result<Vec<u64>> {
        self.read(|connection| {
            connection
                .prepare_cached(
                    "SELECT iid FROM matches WHERE fingerprint = ?1 AND iid > ?2
                     AND standing NOT IN ('gone', 'ignored', 'erased') ORDER BY iid",
                )?
                .query_map(params![fingerprint.as_str(), but], |row| row.get(0))?
                .collect()
        })
    }

    /// The same role at the same end client through another agency; also of what is withdrawn, or was moved away or deleted:
    /// an application for it may have left.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn of_the_same_role(&self, job: &JobMatch, but: Option<u64>) -> rusqlite::Result<Vec<Record>> {
        let Some(role) = Role::of(job) else {
            return Ok(Vec::new());
        };
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT record FROM matches WHERE role = ?1 AND standing IN ('live', 'withdrawn', 'gone') ORDER BY iid",
            )?;
            let records = statement.query_map([&role.key], record)?;
            let mut alike = Vec::new();
            for other in records {
                let other = other?;
                let is_duplicate =
                    Role::of(&other.job).is_some_and(|other| role.is_possible_duplicate_of(&other));
                if is_duplicate && Some(other.iid) != but {
                    alike.push(other);
                }
            }
            Ok(alike)
        })
    }
}

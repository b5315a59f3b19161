//! What each spreadsheet and GitLab agreed on at their last sync: the base of the next merge.
//!
//! Where that is what is shown of a match (`rows.rs`), only the fields are noted that it is about. Lost with the disk, two
//! different values are a reported conflict.

mod chunks;

use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};

use super::rows::Presence;
use super::{Mirror, MirrorError};
use chunks::{Chunk, read_chunks, runs};

/// How many chunks wait for the next thread.
const AHEAD: usize = 2;
/// From how many rows on one statement for all of them is cheaper than one for each.
const RUN: usize = 8;

/// A match, and what a file and GitLab agreed on about it.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// The issue.
    pub iid: u64,
    /// How the match stands.
    pub presence: Presence,
    /// What is shown of it.
    pub cells: &'a str,
    /// What was agreed on, if anything was.
    pub agreed: Option<&'a Agreed>,
}

/// What a file and GitLab agree on about a match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// The issue.
    pub iid: u64,
    /// Which of the cells it is about, a bit each.
    pub fields: u32,
    /// The cells; none where they are those that are shown.
    pub cells: Option<String>,
}

/// Matches that a file gets a row for. While they are looked at nothing is agreed on about them, for the file may never be
/// written; what it would get is remembered all the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewRows {
    /// Which cells the rows have, a bit each.
    pub fields: u32,
    /// The issues, lowest first.
    pub iids: Vec<u64>,
}

impl Mirror {
    /// Another number once cells of a match changed, whichever process caused it; not where a match only comes or goes.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn rows_revision(&self) -> Result<i64, MirrorError> {
        self.read(|connection| {
            connection
                .prepare_cached("SELECT ifnull(max(revision), 0) FROM rows")?
                .query_row([], |row| row.get(0))
        })
    }

    /// The zone in which a file's days were counted when it was written last.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn zone_of(&self, file: &str) -> Result<Option<String>, MirrorError> {
        self.read(|connection| {
            connection
                .prepare_cached("SELECT zone FROM sheets WHERE file = ?1")?
                .query_row([file], |row| row.get(0))
                .optional()
        })
    }

    /// The files that had a row of a match when they were synced last.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn sheets_with(&self, iid: u64) -> Result<Vec<String>, MirrorError> {
        self.read(|connection| {
            connection
                .prepare_cached(
                    "SELECT file FROM sheets JOIN agreed ON sheet = number WHERE iid = ?1 ORDER BY file",
                )?
                .query_map([iid], |row| row.get(0))?
                .collect()
        })
    }

    /// Shows every match, lowest iid first, all as they were at one moment, and notes what the file and GitLab agree on
    /// about each. Without a `zone` nothing is noted: whoever only asks what would be done leaves the mirror as it is.
    ///
    /// # Errors
    ///
    /// What `each` says, or that the disk fails.
    pub fn look_through<E: From<MirrorError>>(
        &self,
        file: &str,
        zone: Option<&str>,
        mut each: impl FnMut(Seen<'_>) -> Result<Option<Agreed>, E>,
    ) -> Result<(), E> {
        let sheet = zone.map(|zone| self.sheet(file, zone)).transpose()?;
        // While some rows are looked at, the next ones are read and the last ones noted.
        thread::scope(|scope| {
            let (read, rows) = sync_channel(AHEAD);
            let (looked_at, to_note) = sync_channel(AHEAD);
            let reading = scope.spawn(move || self.read(|connection| read_chunks(connection, file, &read)));
            let noting = scope.spawn(move || self.note_all(sheet, to_note));
            let looked = rows.iter().try_for_each(|chunk: Chunk| {
                let agreed: Result<Vec<Agreed>, E> =
                    chunk.rows().filter_map(|seen| each(seen).transpose()).collect();
                // Where the other end is gone, it says itself why.
                let _ = looked_at.send((chunk, agreed?));
                Ok(())
            });
            drop((rows, looked_at));
            joined(reading)?;
            joined(noting)?;
            looked
        })
    }

    /// Notes what a file and GitLab agree on before the file is written.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn agree(&self, file: &str, zone: &str, rows: &[Agreed]) -> Result<(), MirrorError> {
        let sheet = self.sheet(file, zone)?;
        let mut connection = self.write();
        let transaction = connection.transaction()?;
        note(&transaction, sheet, rows)?;
        forget_erased(&transaction, sheet)?;
        transaction.commit()
    }

    /// Notes what a file and GitLab agree on once the file is written: its days are those of this zone from now on, and it
    /// has its new rows, as GitLab had those matches when they were looked at.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn agree_on_written(
        &self,
        file: &str,
        zone: &str,
        rows: &[Agreed],
        new: &NewRows,
    ) -> Result<(), MirrorError> {
        let sheet = self.sheet(file, zone)?;
        let mut connection = self.write();
        let transaction = connection.transaction()?;
        transaction
            .execute("UPDATE sheets SET zone = ?2 WHERE number = ?1 AND zone <> ?2", params![sheet, zone])?;
        note(&transaction, sheet, rows)?;
        for run in new.iids.chunk_by(|one, next| one + 1 == *next) {
            transaction
                .prepare_cached("UPDATE agreed SET fields = ?2 WHERE sheet = ?1 AND iid BETWEEN ?3 AND ?4")?
                .execute(params![sheet, new.fields, run.first(), run.last()])?;
        }
        forget_erased(&transaction, sheet)?;
        transaction.commit()
    }

    /// The number of a file. The zone is for one that was never synced: in another one the days were counted in the zone
    /// that is known, until it is written.
    fn sheet(&self, file: &str, zone: &str) -> Result<i64, MirrorError> {
        let connection = self.write();
        let known = "SELECT number FROM sheets WHERE file = ?1";
        if let Some(number) = connection.query_row(known, [file], |row| row.get(0)).optional()? {
            return Ok(number);
        }
        connection.query_row(
            "INSERT INTO sheets (file, zone) VALUES (?1, ?2)
             ON CONFLICT (file) DO UPDATE SET zone = zone RETURNING number",
            [file, zone],
            |row| row.get(0),
        )
    }

    /// Notes what comes in. What another process shows otherwise by now is noted as it was seen.
    fn note_all(
        &self,
        sheet: Option<i64>,
        chunks: Receiver<(Chunk, Vec<Agreed>)>,
    ) -> Result<(), MirrorError> {
        let Some(sheet) = sheet else { return Ok(()) };
        for (chunk, mut agreed) in chunks {
            if agreed.is_empty() {
                continue;
            }
            let mut connection = self.write();
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let changed: BTreeSet<u64> = transaction
                .prepare_cached("SELECT iid FROM rows WHERE revision > ?1")?
                .query_map([chunk.revision], |row| row.get(0))?
                .collect::<Result<_, _>>()?;
            for row in agreed.iter_mut().filter(|row| row.cells.is_none() && changed.contains(&row.iid)) {
                let seen = chunk.rows().find(|seen| seen.iid == row.iid);
                row.cells = seen.map(|seen| seen.cells.to_owned());
            }
            note_chunk(&transaction, sheet, &chunk, &agreed)?;
            transaction.commit()?;
        }
        Ok(())
    }
}

/// What a thread returns; its panic goes on.
fn joined<T>(thread: thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Notes what a file and GitLab agree on about a chunk, but for matches that were erased meanwhile. Mostly that is what
/// is shown, row after row: of such a run SQLite takes the numbers from the rows themselves, which costs far less than an
/// insert for each.
fn note_chunk(
    connection: &Connection,
    sheet: i64,
    chunk: &Chunk,
    agreed: &[Agreed],
) -> Result<(), MirrorError> {
    let mut run = connection.prepare_cached(
        // What is newer than the chunk was not seen in it, or is told with its cells.
        "INSERT OR REPLACE INTO agreed (sheet, iid, fields, cells)
         SELECT ?1, iid, ?2, NULL FROM rows WHERE iid BETWEEN ?3 AND ?4 AND revision <= ?5",
    )?;
    for rows in runs(chunk, agreed) {
        match rows {
            [first, .., last] if rows.len() >= RUN => {
                run.execute(params![sheet, first.fields, first.iid, last.iid, chunk.revision])?;
            }
            few => note(connection, sheet, few)?,
        }
    }
    forget_erased(connection, sheet)
}

/// Notes what a file and GitLab agree on.
fn note(connection: &Connection, sheet: i64, rows: &[Agreed]) -> Result<(), MirrorError> {
    let mut statement = connection.prepare_cached(
        "INSERT OR REPLACE INTO agreed (sheet, iid, fields, cells) VALUES (?1, ?2, ?3, ?4)",
    )?;
    for Agreed { iid, fields, cells } in rows {
        statement.execute(params![sheet, iid, fields, cells])?;
    }
    Ok(())
}

/// With a match that was erased goes what a file and GitLab agreed on about it.
fn forget_erased(connection: &Connection, sheet: i64) -> Result<(), MirrorError> {
    connection
        .prepare_cached(
            "DELETE FROM agreed WHERE sheet = ?1 AND iid IN
             (SELECT iid FROM rows INDEXED BY rows_erased WHERE presence = 2)",
        )?
        .execute([sheet])
        .map(drop)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{Care, Record, Shown, Standing};
    use super::*;

    /// Shows the title alone.
    const TITLES: Shown = Shown { form: 1, cells: |record| record.job.title.clone() };

    fn mirror(folder: &tempfile::TempDir) -> Mirror {
        Mirror::open(&folder.path().join("mirror.sqlite"), "owner", TITLES, Care::Whole).unwrap().0
    }

    fn titled(title: &str) -> Record {
        let at = "2026-02-07T10:00:00Z";
        serde_json::from_value(json!({
            "iid": 1, "issue_id": 1, "state": "pending", "standing": "live", "job": {"title": title}, "nonce": null,
            "web_url": "", "created_at": at, "updated_at": at, "decided_by": null, "decided_at": null,
            "comments": 0, "label_event": 0, "history_known": true,
        }))
        .unwrap()
    }

    /// What was agreed on, as cells.
    fn base(mirror: &Mirror) -> Option<String> {
        let mut base = None;
        let each = |seen: Seen<'_>| -> Result<Option<Agreed>, MirrorError> {
            base = seen.agreed.map(|agreed| agreed.cells.clone().unwrap_or_else(|| seen.cells.to_owned()));
            Ok(None)
        };
        mirror.look_through("file", None, each).unwrap();
        base
    }

    #[test]
    fn what_was_agreed_on_outlives_what_is_shown_and_a_mirror_that_is_read_anew() {
        let folder = tempfile::tempdir().unwrap();
        let mirror = mirror(&folder);
        mirror.put(&titled("old"), None).unwrap();
        assert_eq!(base(&mirror), None);
        mirror.agree("file", "UTC", &[Agreed { iid: 1, fields: 1, cells: None }]).unwrap();
        for title in ["new", "newer"] {
            mirror.put(&titled(title), None).unwrap();
            assert_eq!(base(&mirror).as_deref(), Some("old"));
        }
        mirror.agree("file", "UTC", &[Agreed { iid: 1, fields: 1, cells: None }]).unwrap();
        mirror.clear().unwrap();
        mirror.put(&titled("newest"), None).unwrap();
        assert_eq!(base(&mirror).as_deref(), Some("newer"));
    }

    #[test]
    fn a_new_row_and_a_zone_count_once_the_file_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let (mirror, other) = (mirror(&folder), mirror(&folder));
        for iid in [1, 2, 4] {
            mirror.put(&Record { iid, ..titled("old") }, None).unwrap();
        }
        let noted = || {
            let mut noted = Vec::new();
            let each = |seen: Seen<'_>| -> Result<Option<Agreed>, MirrorError> {
                noted.extend(seen.agreed.map(|agreed| (agreed.iid, agreed.fields, agreed.cells.clone())));
                Ok(None)
            };
            mirror.look_through("file", None, each).unwrap();
            (noted, mirror.zone_of("file").unwrap().unwrap())
        };
        mirror.agree("file", "UTC", &[Agreed { iid: 2, fields: 1, cells: None }]).unwrap();
        let look = |zone: &str| {
            let each =
                |seen: Seen<'_>| Ok::<_, MirrorError>(Some(Agreed { iid: seen.iid, fields: 0, cells: None }));
            mirror.look_through("file", Some(zone), each).unwrap();
        };
        look("Europe/Vienna");
        let nothing = [1, 2, 4].map(|iid| (iid, 0, None));
        assert_eq!(noted(), (nothing.to_vec(), "UTC".to_owned()));
        // The file gets what was seen, and the row of what was erased meanwhile counts for nothing.
        other.put(&Record { iid: 1, ..titled("new") }, None).unwrap();
        other.put(&Record { iid: 4, standing: Standing::Erased, ..titled("removed") }, None).unwrap();
        let new = NewRows { fields: 3, iids: vec![1, 2, 4] };
        mirror.agree_on_written("file", "Europe/Vienna", &[], &new).unwrap();
        let expected = vec![(1, 3, Some("old".to_owned())), (2, 3, None)];
        assert_eq!(noted(), (expected, "Europe/Vienna".to_owned()));
    }

    /// As while a mirror is read anew: what stands in comments is read last.
    #[test]
    fn a_match_that_is_half_read_is_shown_as_before_until_all_of_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let mirror = mirror(&folder);
        let shown = |mirror: &Mirror| {
            let mut shown = None;
            let each = |seen: Seen<'_>| -> Result<Option<Agreed>, MirrorError> {
                shown = Some((seen.presence, seen.cells.to_owned()));
                Ok(None)
            };
            mirror.look_through("file", None, each).unwrap();
            shown.unwrap()
        };
        mirror.put(&Record { history_known: false, ..titled("half") }, None).unwrap();
        assert_eq!(shown(&mirror), (Presence::Live, "half".to_owned()), "nothing else was shown before");
        mirror.put(&titled("whole"), None).unwrap();
        mirror.clear().unwrap();
        assert_eq!(shown(&mirror), (Presence::Away, "whole".to_owned()));
        mirror.put(&Record { history_known: false, ..titled("half") }, None).unwrap();
        assert_eq!(shown(&mirror), (Presence::Live, "whole".to_owned()));
        mirror.put(&titled("new"), None).unwrap();
        assert_eq!(shown(&mirror), (Presence::Live, "new".to_owned()));
    }

    #[test]
    fn what_is_shown_of_a_vanished_issue_goes_once_everything_was_read() {
        let folder = tempfile::tempdir().unwrap();
        let mirror = mirror(&folder);
        let iids = |mirror: &Mirror| {
            let mut iids = Vec::new();
            let each = |seen: Seen<'_>| -> Result<Option<Agreed>, MirrorError> {
                iids.push((seen.iid, seen.agreed.is_some()));
                Ok(None)
            };
            mirror.look_through("file", None, each).unwrap();
            iids
        };
        for iid in 1..=2 {
            mirror.put(&Record { iid, ..titled("old") }, None).unwrap();
            mirror.agree("file", "UTC", &[Agreed { iid, fields: 1, cells: None }]).unwrap();
        }
        mirror.clear().unwrap();
        mirror.put(&Record { iid: 2, ..titled("old") }, None).unwrap();
        assert_eq!(iids(&mirror), [(1, true), (2, true)]);
        mirror.forget_vanished().unwrap();
        assert_eq!(iids(&mirror), [(2, true)]);
    }

    #[test]
    fn what_changes_while_a_file_is_looked_through_is_not_what_was_agreed_on() {
        let folder = tempfile::tempdir().unwrap();
        let (mirror, other) = (mirror(&folder), mirror(&folder));
        mirror.put(&titled("old"), None).unwrap();
        let each = |seen: Seen<'_>| {
            other.put(&titled("new"), None)?;
            Ok::<_, MirrorError>(Some(Agreed { iid: seen.iid, fields: 1, cells: None }))
        };
        mirror.look_through("file", Some("UTC"), each).unwrap();
        assert_eq!(base(&mirror).as_deref(), Some("old"));
    }

    #[test]
    fn what_is_erased_while_a_file_is_looked_through_is_not_noted_again() {
        let folder = tempfile::tempdir().unwrap();
        let (mirror, other) = (mirror(&folder), mirror(&folder));
        mirror.put(&titled("old"), None).unwrap();
        let each = |seen: Seen<'_>| {
            other.put(&Record { standing: Standing::Erased, ..titled("removed") }, None)?;
            Ok::<_, MirrorError>(Some(Agreed { iid: seen.iid, fields: 1, cells: None }))
        };
        mirror.look_through("file", Some("UTC"), each).unwrap();
        assert_eq!(base(&mirror), None);
        mirror.agree("file", "UTC", &[Agreed { iid: 1, fields: 1, cells: Some("old".to_owned()) }]).unwrap();
        assert_eq!(base(&mirror), None);
    }

    #[test]
    fn of_many_matches_exactly_what_was_agreed_on_is_noted() {
        let folder = tempfile::tempdir().unwrap();
        let (mirror, other) = (mirror(&folder), mirror(&folder));
        for iid in 1..=40 {
            mirror.put(&Record { iid, ..titled("old") }, None).unwrap();
        }
        // Nothing about 20, about 30 more; 10 changes and 12 is erased meanwhile, 41 is new.
        let each = |seen: Seen<'_>| {
            let iid = seen.iid;
            match iid {
                10 => other.put(&Record { iid, ..titled("new") }, None)?,
                12 => other.put(&Record { iid, standing: Standing::Erased, ..titled("removed") }, None)?,
                40 => other.put(&Record { iid: 41, ..titled("new") }, None)?,
                _ => {}
            }
            let fields = if iid == 30 { 3 } else { 1 };
            Ok::<_, MirrorError>((iid != 20).then_some(Agreed { iid, fields, cells: None }))
        };
        mirror.look_through("file", Some("UTC"), each).unwrap();
        let mut noted = Vec::new();
        let each = |seen: Seen<'_>| -> Result<Option<Agreed>, MirrorError> {
            noted.extend(seen.agreed.cloned());
            Ok(None)
        };
        mirror.look_through("file", None, each).unwrap();
        let expected = (1..=40).filter(|iid| ![12, 20].contains(iid)).map(|iid| Agreed {
            iid,
            fields: if iid == 30 { 3 } else { 1 },
            cells: (iid == 10).then(|| "old".to_owned()),
        });
        assert_eq!(noted, expected.collect::<Vec<_>>());
    }

    #[test]
    fn a_version_that_shows_matches_otherwise_shows_all_of_them_so() {
        let folder = tempfile::tempdir().unwrap();
        mirror(&folder).put(&titled("old"), None).unwrap();
        let loud = Shown { form: 2, cells: |record| record.job.title.to_uppercase() };
        let path = folder.path().join("mirror.sqlite");
        let (mirror, _) = Mirror::open(&path, "owner", loud, Care::Soon).unwrap();
        mirror.agree("file", "UTC", &[Agreed { iid: 1, fields: 1, cells: None }]).unwrap();
        assert_eq!(base(&mirror).as_deref(), Some("OLD"));
    }
}

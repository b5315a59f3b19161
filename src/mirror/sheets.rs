//! What each spreadsheet and GitLab agreed on at their last sync: the base of the next merge.
//!
//! Where that is what is shown of a match (`rows.rs`), only the fields are noted that it is about. Lost with the disk, two
//! different values are a reported conflict.

use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};

use super::rows::Presence;
use super::{Mirror, MirrorError};

/// How many rows are read, looked at and noted at once.
const CHUNK: usize = 2_000;
/// How many such chunks wait for the next thread.
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

    /// The zone in which a file's days were counted when it was synced last.
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

    /// Notes what a file and GitLab agree on.
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

    /// The number of a file, and the zone in which its days are counted from now on.
    fn sheet(&self, file: &str, zone: &str) -> Result<i64, MirrorError> {
        let connection = self.write();
        let known = "SELECT number FROM sheets WHERE file = ?1 AND zone = ?2";
        if let Some(number) = connection.query_row(known, [file, zone], |row| row.get(0)).optional()? {
            return Ok(number);
        }
        connection.query_row(
            "INSERT INTO sheets (file, zone) VALUES (?1, ?2)
             ON CONFLICT (file) DO UPDATE SET zone = ?2 RETURNING number",
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

/// Some rows, as they were read.
struct Chunk {
    /// The newest revision at that moment.
    revision: i64,
    /// Their cells, one after the other.
    cells: String,
    rows: Vec<ChunkRow>,
}

/// A row of a chunk.
struct ChunkRow {
    iid: u64,
    presence: Presence,
    /// Where its cells end.
    end: usize,
    agreed: Option<Agreed>,
}

impl Chunk {
    const fn new(revision: i64) -> Self {
        Self { revision, cells: String::new(), rows: Vec::new() }
    }

    fn rows(&self) -> impl Iterator<Item = Seen<'_>> {
        let mut start = 0;
        self.rows.iter().map(move |ChunkRow { iid, presence, end, agreed }| {
            let cells = self.cells.get(start..*end).unwrap_or_default();
            start = *end;
            Seen { iid: *iid, presence: *presence, cells, agreed: agreed.as_ref() }
        })
    }
}

/// Reads what is shown of every match, lowest iid first, all as they were at one moment, until nobody listens.
fn read_chunks(connection: &Connection, file: &str, chunks: &SyncSender<Chunk>) -> Result<(), MirrorError> {
    let snapshot = connection.unchecked_transaction()?;
    let revision = snapshot.query_row("SELECT ifnull(max(revision), 0) FROM rows", [], |row| row.get(0))?;
    let mut agreed = snapshot.prepare_cached(
        "SELECT iid, fields, cells FROM agreed WHERE sheet = (SELECT number FROM sheets WHERE file = ?1) ORDER BY iid",
    )?;
    let mut agreed = agreed
        .query_map([file], |row| Ok(Agreed { iid: row.get(0)?, fields: row.get(1)?, cells: row.get(2)? }))?
        .peekable();
    let mut rows = snapshot.prepare_cached("SELECT iid, presence, cells FROM rows ORDER BY iid")?;
    let mut rows = rows.query([])?;
    let mut chunk = Chunk::new(revision);
    while let Some(row) = rows.next()? {
        let iid = row.get(0)?;
        while agreed.next_if(|agreed| agreed.as_ref().is_ok_and(|agreed| agreed.iid < iid)).is_some() {}
        let here = agreed.next_if(|agreed| agreed.as_ref().map_or(true, |agreed| agreed.iid == iid));
        chunk.cells.push_str(row.get_ref(2)?.as_str()?);
        let (presence, end, agreed) = (row.get(1)?, chunk.cells.len(), here.transpose()?);
        chunk.rows.push(ChunkRow { iid, presence, end, agreed });
        if chunk.rows.len() >= CHUNK
            && chunks.send(std::mem::replace(&mut chunk, Chunk::new(revision))).is_err()
        {
            return Ok(());
        }
    }
    // Where nobody listens any more, they say why.
    let _ = chunks.send(chunk);
    Ok(())
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

/// What was agreed on in runs: the same fields of what is shown, and no row of the chunk between the first and the last
/// of which nothing was. Anything else is a run of its own.
fn runs<'a>(chunk: &'a Chunk, agreed: &'a [Agreed]) -> impl Iterator<Item = &'a [Agreed]> {
    let mut iids = chunk.rows.iter().map(|row| row.iid).peekable();
    agreed.chunk_by(move |one, next| {
        while iids.next_if(|iid| *iid <= one.iid).is_some() {}
        let as_shown = one.cells.is_none() && next.cells.is_none();
        as_shown && one.fields == next.fields && iids.peek() == Some(&next.iid)
    })
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

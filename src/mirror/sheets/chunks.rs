//! Rows in chunks, so that some are looked at while the next ones are read and the last ones noted.

use std::sync::mpsc::SyncSender;

use rusqlite::Connection;

use super::{Agreed, Seen};
use crate::mirror::{MirrorError, Presence};

/// How many rows are read, looked at and noted at once.
const CHUNK: usize = 2_000;

/// Some rows, as they were read.
pub(super) struct Chunk {
    /// The newest revision at that moment.
    pub revision: i64,
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

    pub fn rows(&self) -> impl Iterator<Item = Seen<'_>> {
        let mut start = 0;
        self.rows.iter().map(move |ChunkRow { iid, presence, end, agreed }| {
            let cells = self.cells.get(start..*end).unwrap_or_default();
            start = *end;
            Seen { iid: *iid, presence: *presence, cells, agreed: agreed.as_ref() }
        })
    }
}

/// Reads what is shown of every match, lowest iid first, all as they were at one moment, until nobody listens.
pub(super) fn read_chunks(
    connection: &Connection,
    file: &str,
    chunks: &SyncSender<Chunk>,
) -> Result<(), MirrorError> {
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

/// What was agreed on in runs: the same fields of what is shown, and no row of the chunk between the first and the last
/// of which nothing was. Anything else is a run of its own.
pub(super) fn runs<'a>(chunk: &'a Chunk, agreed: &'a [Agreed]) -> impl Iterator<Item = &'a [Agreed]> {
    let mut iids = chunk.rows.iter().map(|row| row.iid).peekable();
    agreed.chunk_by(move |one, next| {
        while iids.next_if(|iid| *iid <= one.iid).is_some() {}
        let as_shown = one.cells.is_none() && next.cells.is_none();
        as_shown && one.fields == next.fields && iids.peek() == Some(&next.iid)
    })
}

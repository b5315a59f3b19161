//! What a spreadsheet shows of every match, ready beside its record.
//!
//! Both sides mostly agree on what is shown of a match, so that is not kept a second time: only when a match comes to be
//! shown otherwise, what was agreed on (`sheets.rs`) is copied first.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension as _, ToSql, params};

use super::record::{Record, Standing, record};
use super::{Fact, MirrorError, facts};

/// How matches are shown in spreadsheets. The mirror keeps it ready; what it says is the spreadsheets' own affair.
#[derive(Clone, Copy, Debug)]
pub struct Shown {
    /// Another number once the same match is shown otherwise.
    pub form: u32,
    /// What is shown of a match.
    pub cells: fn(&Record) -> String,
}

/// How a match stands for spreadsheets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It does not count, or is gone.
    Away,
    /// It counts.
    Live,
    /// A person's data was removed, and the match with it: no row may hold it any longer.
    Erased,
}

impl Presence {
    /// An issue that a person made says nothing of its erasure: it stays erased until it counts again.
    fn of(standing: Standing, before: Option<Self>) -> Self {
        match (standing, before) {
            (Standing::Live, _) => Self::Live,
            (Standing::Erased, _) | (_, Some(Self::Erased)) => Self::Erased,
            _ => Self::Away,
        }
    }
}

impl ToSql for Presence {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(match self {
            Self::Away => 0,
            Self::Live => 1,
            Self::Erased => 2,
        }))
    }
}

impl FromSql for Presence {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value.as_i64()? {
            0 => Ok(Self::Away),
            1 => Ok(Self::Live),
            2 => Ok(Self::Erased),
            other => Err(FromSqlError::OutOfRange(other)),
        }
    }
}

/// Shows a match as it is from now on. One that is read anew is shown as before until its comments have been read too: the
/// tracker's fields, which stand there, are not known to be empty.
pub(super) fn put(connection: &Connection, record: &Record, shown: &Shown) -> Result<(), MirrorError> {
    let is_half_read = !record.history_known && record.standing == Standing::Live;
    show(connection, record, shown, is_half_read)
}

fn show(
    connection: &Connection,
    record: &Record,
    shown: &Shown,
    keeps_cells: bool,
) -> Result<(), MirrorError> {
    let cells = (shown.cells)(record);
    let before: Option<(Presence, String)> = connection
        .prepare_cached("SELECT presence, cells FROM rows WHERE iid = ?1")?
        .query_row([record.iid], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let presence = Presence::of(record.standing, before.as_ref().map(|(presence, _)| *presence));
    match before {
        Some((was, before)) if keeps_cells || before == cells => {
            return if was == presence { Ok(()) } else { set_presence(connection, record.iid, presence) };
        }
        Some((_, before)) => {
            connection
                .prepare_cached(
                    "UPDATE agreed SET cells = ?2
                     WHERE sheet IN (SELECT number FROM sheets) AND iid = ?1 AND cells IS NULL",
                )?
                .execute(params![record.iid, before])?;
        }
        None => {}
    }
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO rows (iid, presence, revision, cells)
             VALUES (?1, ?2, 1 + (SELECT ifnull(max(revision), 0) FROM rows), ?3)",
        )?
        .execute(params![record.iid, presence, cells])
        .map(drop)
}

/// Notes how a match stands, whatever its record says.
pub(super) fn set_presence(connection: &Connection, iid: u64, presence: Presence) -> Result<(), MirrorError> {
    connection
        .prepare_cached("UPDATE rows SET presence = ?2 WHERE iid = ?1")?
        .execute(params![iid, presence])
        .map(drop)
}

/// Another number once matches are searched otherwise.
const SEARCHED: u32 = 2;

/// Shows every match anew where a version shows them otherwise than the one that wrote the file, or searches them so.
pub(super) fn refresh(connection: &mut Connection, shown: &Shown) -> Result<(), MirrorError> {
    let form = format!("{}.{SEARCHED}", shown.form);
    let written = facts::read(connection, Fact::Form)?;
    if written.as_ref() == Some(&form) {
        return Ok(());
    }
    let transaction = connection.transaction()?;
    {
        let mut statement = transaction.prepare("SELECT record FROM matches")?;
        for record in statement.query_map([], record)? {
            let record = record?;
            show(&transaction, &record, shown, false)?;
            transaction
                .prepare_cached("UPDATE matches SET words = ?2 WHERE iid = ?1")?
                .execute(params![record.iid, record.words()])?;
        }
    }
    facts::write(&transaction, Fact::Form, &form)?;
    transaction.commit()
}

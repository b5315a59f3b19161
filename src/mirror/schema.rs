//! The tables, and what makes a file one of ours.

use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use super::rows::{self, Shown};
use super::{Fact, facts};

/// Each entry takes the file from the version of its index to the next.
const MIGRATIONS: [&str; 8] = [
    "
    CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE matches (
        iid INTEGER PRIMARY KEY,
        state TEXT NOT NULL,
        standing TEXT NOT NULL,
        score REAL NOT NULL,
        created_at INTEGER NOT NULL,
        updated_at INTEGER NOT NULL,
        fingerprint TEXT,
        role TEXT,
        words TEXT NOT NULL,
        record TEXT NOT NULL
    );
    CREATE INDEX matches_by_creation ON matches (standing, created_at DESC, iid DESC);
    CREATE INDEX matches_by_state ON matches (standing, state, created_at DESC, iid DESC);
    CREATE INDEX matches_by_fingerprint ON matches (fingerprint) WHERE fingerprint IS NOT NULL;
    CREATE INDEX matches_by_role ON matches (role) WHERE role IS NOT NULL;
    CREATE TABLE steps (
        iid INTEGER NOT NULL,
        number INTEGER NOT NULL,
        at INTEGER NOT NULL,
        step TEXT NOT NULL,
        PRIMARY KEY (iid, number)
    ) WITHOUT ROWID;
    CREATE INDEX steps_by_time ON steps (at, iid, number);
    CREATE TABLE answers (
        key TEXT PRIMARY KEY, at INTEGER NOT NULL, body BLOB NOT NULL, status INTEGER NOT NULL, answer TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE unclear (fingerprint TEXT PRIMARY KEY, since TEXT NOT NULL) WITHOUT ROWID;
",
    "
    CREATE TABLE deliveries (
        iid INTEGER NOT NULL,
        channel TEXT NOT NULL,
        kind TEXT NOT NULL,
        outcome TEXT NOT NULL,
        at INTEGER,
        reason TEXT,
        PRIMARY KEY (iid, channel, kind)
    ) WITHOUT ROWID;
",
    "ALTER TABLE deliveries ADD COLUMN message_ids TEXT;",
    "
    CREATE TABLE agreed (
        file TEXT NOT NULL,
        iid INTEGER NOT NULL,
        row TEXT NOT NULL,
        both_sides BLOB,
        PRIMARY KEY (file, iid)
    ) WITHOUT ROWID;
",
    "
    CREATE TABLE events (
        number INTEGER PRIMARY KEY,
        iid INTEGER NOT NULL,
        kind TEXT NOT NULL,
        at INTEGER NOT NULL,
        raised TEXT NOT NULL,
        outcome TEXT NOT NULL DEFAULT 'waiting',
        message TEXT,
        failures INTEGER NOT NULL DEFAULT 0,
        since INTEGER,
        due INTEGER NOT NULL DEFAULT 0,
        error TEXT,
        UNIQUE (iid, kind, at)
    );
    CREATE INDEX events_waiting ON events (iid, number) WHERE outcome = 'waiting';
    CREATE TABLE attempts (nonce TEXT PRIMARY KEY, iid INTEGER NOT NULL, attempt TEXT NOT NULL) WITHOUT ROWID;
",
    "
    DROP TABLE agreed;
    CREATE TABLE rows (
        iid INTEGER PRIMARY KEY, live INTEGER NOT NULL, revision INTEGER NOT NULL, cells TEXT NOT NULL
    );
    CREATE UNIQUE INDEX rows_by_revision ON rows (revision);
    CREATE TABLE sheets (number INTEGER PRIMARY KEY, file TEXT NOT NULL UNIQUE, zone TEXT NOT NULL);
    CREATE TABLE agreed (
        sheet INTEGER NOT NULL,
        iid INTEGER NOT NULL,
        fields INTEGER NOT NULL,
        cells TEXT,
        PRIMARY KEY (sheet, iid)
    ) WITHOUT ROWID;
    CREATE INDEX matches_without_history ON matches (iid) WHERE json_extract(record, '$.history_known') = 0;
",
    "
    ALTER TABLE rows RENAME COLUMN live TO presence;
    UPDATE rows SET presence = 2 WHERE iid IN (SELECT iid FROM matches WHERE standing = 'erased');
    CREATE INDEX rows_erased ON rows (iid) WHERE presence = 2;
    ALTER TABLE matches ADD COLUMN attempt TEXT;
    UPDATE matches SET attempt = json_extract(record, '$.sending.attempt.outcome');
    CREATE INDEX matches_not_open ON matches (iid)
        WHERE (standing IN ('withdrawn', 'ignored') OR (standing = 'live' AND state IN ('rejected', 'sent')));
    CREATE INDEX matches_by_attempt ON matches (attempt) WHERE attempt IS NOT NULL;
",
    // An older program that still runs asks by the index `matches_not_open`: it stays.
    "
    CREATE INDEX matches_looked_at_seldom ON matches (iid)
        WHERE (standing IN ('withdrawn', 'ignored', 'gone', 'duplicate')
               OR (standing = 'live' AND state IN ('rejected', 'sent')));
    CREATE INDEX events_given_up ON events (number) WHERE outcome = 'given_up';
",
];

/// The largest file that is read as a whole whoever opens it: 64 MiB.
const SOON_READ: u64 = 64 << 20;

/// A connection keeps so many statements prepared: all that staging and following need. Of fewer the one that is needed next
/// would often be the one that was just let go.
const STATEMENTS: usize = 64;

/// How closely a mirror is looked at before it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Care {
    /// It is read as a whole, however long that takes: whoever runs for long starts with a sound one.
    Whole,
    /// A large one is not: a command would take longer over that than over its work.
    Soon,
}

/// Why a file cannot be the mirror.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    /// What is in it is of no use; a new one can take its place.
    #[error("{0}")]
    Content(String),
    /// It is the mirror of another project.
    #[error("it mirrors another project ({0})")]
    Foreign(String),
    /// It is a database, and none of ours.
    #[error("is another program's database; VORHOELLE_DATABASE must name a file of its own")]
    OfAnother,
    /// A newer program wrote it.
    #[error("a newer Vorhölle wrote it (version {0})")]
    Newer(usize),
    /// It cannot be read or written at all.
    #[error("{0}")]
    Io(rusqlite::Error),
}

impl From<rusqlite::Error> for Unusable {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::Content("it is damaged".to_owned())
            }
            Some(
                ErrorCode::CannotOpen
                | ErrorCode::ReadOnly
                | ErrorCode::PermissionDenied
                | ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure
                | ErrorCode::DatabaseBusy
                | ErrorCode::FileLockingProtocolFailed
                | ErrorCode::OutOfMemory
                | ErrorCode::DatabaseLocked,
            ) => Self::Io(error),
            _ => Self::Content(format!("its tables are not ours ({error})")),
        }
    }
}

/// Opens the file, brings it to our version and checks whose it is.
pub(super) fn open(path: &Path, owner: &str, shown: &Shown, care: Care) -> Result<Connection, Unusable> {
    make_for_its_owner_alone(path);
    let mut connection = Connection::open(path)?;
    tune(&connection)?;
    // Before anything is written: a typing error in a setting must not cost another program its data.
    if is_of_another(&connection)? {
        return Err(Unusable::OfAnother);
    }
    // One that reads first and writes then would fail at once, not wait, where a command beside us wrote in between.
    connection.set_transaction_behavior(TransactionBehavior::Immediate);
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // Folding the log in is done off the path of requests; rarely is twice as fast as SQLite's default.
    connection.pragma_update(None, "wal_autocheckpoint", 8000)?;
    let version: usize = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version > MIGRATIONS.len() {
        return Err(Unusable::Newer(version));
    }
    migrate(&mut connection, version)?;
    // Reads the whole file: a few milliseconds for ten thousand matches, and a damaged page is found now.
    if care == Care::Whole || std::fs::metadata(path).is_ok_and(|file| file.len() <= SOON_READ) {
        let check: String = connection.pragma_query_value(None, "quick_check", |row| row.get(0))?;
        if check != "ok" {
            return Err(Unusable::Content(format!("it is damaged ({check})")));
        }
    }
    connection.execute("INSERT OR IGNORE INTO facts (name, value) VALUES (?1, ?2)", (Fact::Owner, owner))?;
    if let Some(found) = another_owner(&connection, owner)? {
        return Err(Unusable::Foreign(found));
    }
    rows::refresh(&mut connection, shown)?;
    if care == Care::Whole {
        keep_for_its_owner_alone(path);
    }
    Ok(connection)
}

/// Names and numbers of people stand in it. SQLite gives the files beside it the same mode, and says what is wrong where no
/// file can be made.
fn make_for_its_owner_alone(path: &Path) {
    use std::os::unix::fs::OpenOptionsExt as _;
    let _ = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
}

/// An earlier version made them as everybody's.
fn keep_for_its_owner_alone(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    for suffix in ["", "-wal", "-shm"] {
        let file = super::with_suffix(path, suffix);
        let _ = std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600));
    }
}

/// Whether another program made the file: every version of ours has the table of facts, and a new file has none at all.
pub(super) fn is_of_another(connection: &Connection) -> rusqlite::Result<bool> {
    let sql = "SELECT count(*) > 0 AND NOT coalesce(max(name = 'facts'), 0) FROM sqlite_master WHERE type = 'table'";
    connection.query_row(sql, [], |row| row.get(0))
}

/// Whose mirror it is, where it is somebody else's. A project has several names: its number, its path, and whatever it was
/// called when the mirror was made.
pub(super) fn another_owner(connection: &Connection, owner: &str) -> rusqlite::Result<Option<String>> {
    let found = facts::read(connection, Fact::Owner)?.unwrap_or_default();
    let names = facts::read(connection, Fact::OwnerNames)?.unwrap_or_default();
    let is_owner = found == owner || names.lines().any(|name| name.eq_ignore_ascii_case(owner));
    Ok((!is_owner).then_some(found))
}

/// One more connection to a file that is open already.
pub(super) fn reader(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    tune(&connection)?;
    Ok(connection)
}

fn tune(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // Else a question that puts in order or takes the first is planned anew each time it is asked, for what is bound to it
    // might make another plan better (SQLite's documentation of the query planner stability guarantee). Here it never does.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
}

/// Brings a file to our version, or leaves it as it was.
fn migrate(connection: &mut Connection, from: usize) -> rusqlite::Result<()> {
    if from == MIGRATIONS.len() {
        return Ok(());
    }
    let transaction = connection.transaction()?;
    // Another process may have opened the file at the same time, and been first.
    let from: usize = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    for (index, sql) in MIGRATIONS.iter().enumerate().skip(from) {
        transaction.execute_batch(sql)?;
        transaction.pragma_update(None, "user_version", index + 1)?;
    }
    transaction.commit()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both have seen the older version before either got its turn.
    #[test]
    fn two_processes_that_bring_a_file_up_to_date_at_once_do_it_once() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("mirror.sqlite");
        let (mut one, mut other) = (Connection::open(&path).unwrap(), Connection::open(&path).unwrap());
        migrate(&mut one, 0).unwrap();
        migrate(&mut other, 0).unwrap();
        let version: usize = other.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
        assert_eq!(version, MIGRATIONS.len());
    }

    #[test]
    fn what_is_asked_again_of_another_match_is_not_planned_again() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("mirror.sqlite");
        migrate(&mut Connection::open(&path).unwrap(), 0).unwrap();
        let reader = reader(&path).unwrap();
        let sql = "SELECT iid FROM matches WHERE fingerprint = ?1 ORDER BY iid LIMIT 1";
        for fingerprint in ["one", "another"] {
            assert!(!reader.prepare_cached(sql).unwrap().exists([fingerprint]).unwrap());
        }
        let statement = reader.prepare_cached(sql).unwrap();
        assert_eq!(statement.get_status(rusqlite::StatementStatus::RePrepare), 0);
    }
}

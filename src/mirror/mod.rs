//! The mirror: what GitLab said last, for quick answers. The only place that names SQLite.
//!
//! It is a cache: deleting it loses nothing. What lives here alone only helps: with trying again (timers, idempotency
//! keys, unclear creations, the message on its way, what became of a mail while GitLab cannot be told), and with merging a
//! spreadsheet (what both sides last agreed on).

mod attempts;
mod claim;
mod deliveries;
mod duplicates;
mod events;
mod facts;
mod history;
mod json;
mod list;
mod matches;
mod record;
mod rows;
mod schema;
mod sheets;
mod siblings;
mod tracker_turn;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use claim::Claim;
use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};
use siblings::{beside, laid_aside, with_suffix};

/// What the mirror fails with.
pub use rusqlite::Error as MirrorError;

pub use deliveries::{Delivery, DeliveryKind, DeliveryOutcome, ToldBefore};
pub use events::{EventKind, EventMessage, EventQueue, QueuedEvent, Raise, Raised};
pub use facts::Fact;
pub use history::StepPlace;
pub use list::{Counts, Cursor, Query, Sort};
pub use record::{Record, Standing};
pub use rows::{Presence, Shown};
pub use schema::Care;
pub use sheets::{Agreed, NewRows, Seen};
pub use tracker_turn::TrackerTurn;

/// How a mirror was found when it was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// As we left it.
    Kept,
    /// Not there: this is a first start or a lost disk.
    New,
    /// There, and of no use; it was moved aside.
    Replaced {
        /// Why.
        why: String,
    },
    /// There, and of another project or a newer program; it stays, and this is one of our own beside it.
    Beside {
        /// Why.
        why: String,
    },
    /// There, and of no use; it stays for the service to replace, and this is one of our own beside it.
    BesideOneOfNoUse {
        /// Why.
        why: String,
    },
}

/// The mirror's file.
pub struct Mirror {
    path: PathBuf,
    /// The file that was asked for; another where this one is a command's own beside it.
    database: PathBuf,
    shown: Shown,
    writer: Mutex<Connection>,
    readers: Mutex<Vec<Connection>>,
    /// Only ever asks whether others have written.
    watcher: Mutex<Option<Connection>>,
    /// Held by the one service that works on this file, until it ends however it ends.
    claim: Claim,
}

/// What became of the files of earlier mirrors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removal {
    /// Whether there were any, and they are gone.
    pub has_removed: bool,
    /// Those that could not be removed.
    pub left: Vec<PathBuf>,
    /// The mirror that was asked for, where it could not be used and one beside it is open.
    pub unread: Option<PathBuf>,
}

/// A request that was answered before, by its `Idempotency-Key`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// SHA-256 of the body that came with the key.
    pub body: Vec<u8>,
    /// The status that was answered.
    pub status: u16,
    /// The answer.
    pub answer: String,
}

impl Mirror {
    /// Opens the mirror of a project; `owner` names instance and project. A file that is corrupt, of a newer version or
    /// of another project is moved aside, and a new one started: GitLab knows everything that was in it. A command moves
    /// none aside, for the service may have it open, and be right: it keeps one beside it.
    ///
    /// # Errors
    ///
    /// Where the folder cannot be made or the file cannot be written, or another program made it.
    pub fn open(path: &Path, owner: &str, shown: Shown, care: Care) -> anyhow::Result<(Self, Found)> {
        use anyhow::Context as _;
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("cannot make the folder {} of the mirror", folder.display()))?;
        }
        let there = path.exists();
        let (writer, found) = match schema::open(path, owner, &shown, care) {
            Ok(connection) => (connection, if there { Found::Kept } else { Found::New }),
            Err(error @ schema::Unusable::OfAnother) => anyhow::bail!("{} {error}", path.display()),
            Err(error @ schema::Unusable::Io(_)) => {
                return Err(anyhow::anyhow!("{error}").context(format!(
                    "the mirror {} cannot be used; is the folder writable and on a local disk?",
                    path.display()
                )));
            }
            Err(error) if care == Care::Soon => {
                let (mut mirror, _) = Self::open(&beside(path, owner), owner, shown, Care::Whole)?;
                if !matches!(error, schema::Unusable::Foreign(_)) {
                    path.clone_into(&mut mirror.database);
                }
                let why = error.to_string();
                let found = match error {
                    schema::Unusable::Content(_) => Found::BesideOneOfNoUse { why },
                    _ => Found::Beside { why },
                };
                return Ok((mirror, found));
            }
            Err(error) => {
                let why = error.to_string();
                let aside = laid_aside(path);
                for suffix in ["-wal", "-shm"] {
                    let _ = std::fs::remove_file(with_suffix(path, suffix));
                }
                std::fs::rename(path, &aside)
                    .with_context(|| format!("cannot move {} aside ({why})", path.display()))?;
                let connection =
                    schema::open(path, owner, &shown, care).map_err(|error| anyhow::anyhow!("{error}"))?;
                (connection, Found::Replaced { why })
            }
        };
        let (writer, readers, watcher) = (Mutex::new(writer), Mutex::default(), Mutex::default());
        let claim = if care == Care::Whole { Claim::ask(path) } else { Claim::Unasked };
        let (path, database) = (path.to_owned(), path.to_owned());
        Ok((Self { path, database, shown, writer, readers, watcher, claim }, found))
    }

    /// Whether another service works on this file, as in a rolling deploy on one volume.
    pub const fn is_of_another_service(&self) -> bool {
        self.claim.is_taken()
    }

    /// Whether a file is another program's database. It is left as it is.
    pub fn is_of_another(path: &Path) -> bool {
        // One that may only read leaves files of its own beside another program's.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags);
        connection.and_then(|connection| schema::is_of_another(&connection)).unwrap_or_default()
    }

    /// Looks at a mirror's file and leaves it as it is.
    ///
    /// # Errors
    ///
    /// Why it cannot be used, in words.
    pub fn inspect(path: &Path, owner: &str) -> Result<Counts, String> {
        let words = |error: rusqlite::Error| format!("it cannot be read: {error}");
        let connection = schema::reader(path).map_err(words)?;
        if let Some(found) = schema::another_owner(&connection, owner).map_err(words)? {
            return Err(format!("it mirrors another project ({found})"));
        }
        list::counts(&connection).map_err(words)
    }

    /// What a mirror's file remembers beside its matches; none where it is no mirror of this project. The file is left as
    /// it is.
    pub fn peek(path: &Path, owner: &str, fact: Fact) -> Option<String> {
        let connection = schema::reader(path).ok()?;
        let is_ours = schema::another_owner(&connection, owner).ok()?.is_none();
        facts::read(&connection, fact).ok()?.filter(|_| is_ours)
    }

    /// Notes what else the project of this mirror is called: settings may name it by its number or its path.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn note_names(&self, projects: &[&str]) -> Result<(), MirrorError> {
        let owner = self.fact(Fact::Owner)?.unwrap_or_default();
        let instance = owner.rsplit_once(' ').map_or("", |(instance, _)| instance);
        let names: Vec<String> = projects.iter().map(|project| format!("{instance} {project}")).collect();
        let names = names.join("\n");
        if self.fact(Fact::OwnerNames)?.as_deref() == Some(&names) {
            return Ok(());
        }
        self.remember(Fact::OwnerNames, &names)
    }

    /// Forgets every match and where the last read ended, so that the next one begins at the beginning.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn clear(&self) -> Result<(), MirrorError> {
        let mut connection = self.write();
        let transaction = connection.transaction()?;
        transaction.execute_batch(
            // What is shown of the matches stays: spreadsheets have agreed on it. So does what was erased: of an issue
            // that a person made, GitLab does not tell.
            "DELETE FROM matches; DELETE FROM steps; DELETE FROM deliveries;
             UPDATE rows SET presence = 0 WHERE presence = 1;",
        )?;
        transaction.execute("DELETE FROM facts WHERE name NOT IN (?1, ?2, ?3, ?4, ?5, ?6)", Fact::KEPT)?;
        // What reads beside this begins anew too.
        facts::write(&transaction, Fact::Filling, &uuid::Uuid::new_v4().to_string())?;
        transaction.commit()
    }

    /// Forgets what [`Mirror::clear`] left of issues that GitLab no longer has: what spreadsheets showed of them, and
    /// what was to be told. To be called once everything was read.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn forget_vanished(&self) -> Result<(), MirrorError> {
        self.write().execute_batch(
            "BEGIN; DELETE FROM rows WHERE presence = 0 AND iid NOT IN (SELECT iid FROM matches);
             DELETE FROM agreed WHERE iid NOT IN (SELECT iid FROM rows);
             DELETE FROM events WHERE iid NOT IN (SELECT iid FROM matches);
             DELETE FROM attempts WHERE iid NOT IN (SELECT iid FROM matches); COMMIT; VACUUM;",
        )
    }

    fn write(&self) -> MutexGuard<'_, Connection> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a query on a connection of its own, so that readers wait for nobody.
    fn read<T>(&self, query: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        let idle = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = idle.map_or_else(|| schema::reader(&self.path), Ok)?;
        let result = query(&connection);
        self.readers.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        result
    }

    /// A number that is another one after each write, whichever process it came from.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn version(&self) -> rusqlite::Result<i64> {
        let mut watcher = self.watcher.lock().unwrap_or_else(PoisonError::into_inner);
        let connection = match &mut *watcher {
            Some(connection) => connection,
            empty => empty.insert(schema::reader(&self.path)?),
        };
        // SQLite changes it for every commit of another connection than this one, which never writes.
        connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))
    }

    /// The answer that was given under an idempotency key since `since`.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn answered(&self, key: &str, since: Timestamp) -> rusqlite::Result<Option<Answered>> {
        self.read(|connection| {
            connection
                .prepare_cached("SELECT body, status, answer FROM answers WHERE key = ?1 AND at >= ?2")?
                .query_row(params![key, since.as_millisecond()], |row| {
                    Ok(Answered { body: row.get(0)?, status: row.get(1)?, answer: row.get(2)? })
                })
                .optional()
        })
    }

    /// Remembers an answer under an idempotency key, and forgets those from before `since`.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn remember_answer(
        &self,
        key: &str,
        answered: &Answered,
        now: Timestamp,
        since: Timestamp,
    ) -> rusqlite::Result<()> {
        let connection = self.write();
        connection.execute("DELETE FROM answers WHERE at < ?1", [since.as_millisecond()])?;
        connection
            .prepare_cached(
                "INSERT OR REPLACE INTO answers (key, at, body, status, answer) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![key, now.as_millisecond(), answered.body, answered.status, answered.answer])
            .map(drop)
    }

    /// Since when it is unclear whether an issue of this fingerprint was created; none where it is clear.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn unclear_since(&self, fingerprint: &str) -> rusqlite::Result<Option<Timestamp>> {
        self.read(|connection| {
            connection
                .prepare_cached("SELECT since FROM unclear WHERE fingerprint = ?1")?
                .query_row([fingerprint], |row| json::timestamp(row, 0))
                .optional()
        })
    }

    /// Remembers that it is unclear whether an issue was created, or that it is clear now.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn set_unclear(&self, fingerprint: &str, since: Option<Timestamp>) -> rusqlite::Result<()> {
        let connection = self.write();
        match since {
            Some(since) => connection.execute(
                "INSERT OR IGNORE INTO unclear (fingerprint, since) VALUES (?1, ?2)",
                params![fingerprint, since.to_string()],
            ),
            None => connection.execute("DELETE FROM unclear WHERE fingerprint = ?1", [fingerprint]),
        }
        .map(drop)
    }

    /// Removes the files of earlier mirrors of this project: what was moved aside, and what commands made for themselves. They
    /// are caches, and may know of somebody who wants to be forgotten.
    pub fn remove_earlier(&self) -> Removal {
        let facts =
            [Fact::Owner, Fact::OwnerNames].map(|fact| self.fact(fact).ok().flatten().unwrap_or_default());
        let ours: Vec<&str> = facts.iter().flat_map(|names| names.lines()).collect();
        let (removed, left): (Vec<PathBuf>, Vec<PathBuf>) =
            siblings::earlier(&self.database, &self.path, &ours)
                .into_iter()
                .partition(|file| std::fs::remove_file(file).is_ok());
        let unread = Some(&self.database).filter(|database| **database != self.path && database.exists());
        let left = left.into_iter().filter(|file| file.exists()).collect();
        Removal { has_removed: !removed.is_empty(), left, unread: unread.cloned() }
    }

    /// Writes what is still in the log into the file, so that a copy of the file alone is whole.
    pub fn checkpoint(&self) {
        if let Err(error) = self.write().execute_batch("PRAGMA wal_checkpoint(TRUNCATE)") {
            tracing::warn!(%error, "the mirror's log could not be folded in; it will be at the next start");
        }
    }

    /// Writes what is in the log by now into the file without waiting for anybody, so that [`Mirror::checkpoint`] has less
    /// to do. Where that fails, it says so then.
    pub fn checkpoint_early(&self) {
        let _ = self.write().execute_batch("PRAGMA wal_checkpoint(PASSIVE)");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::Channel;

    fn record(iid: u64) -> Record {
        serde_json::from_value(json!({
            "iid": iid, "issue_id": 1000 + iid, "state": "pending", "standing": "live",
            "job": {"title": "Cloud Architect", "score": 97}, "nonce": null, "web_url": "https://gitlab.example/1",
            "created_at": "2026-11-23T08:00:00Z", "updated_at": "2026-11-23T08:00:00Z", "decided_by": null,
            "decided_at": null, "comments": 0, "label_event": 0, "history_known": true,
        }))
        .unwrap()
    }

    /// A mirror on a disk of its own.
    fn mirror(folder: &tempfile::TempDir) -> Mirror {
        let shown = Shown { form: 1, cells: |record| record.job.title.clone() };
        Mirror::open(&folder.path().join("mirror.sqlite"), "me", shown, Care::Whole).unwrap().0
    }

    #[test]
    fn a_command_beside_the_service_waits_for_its_turn() {
        let folder = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for process in 0..2 {
                let mirror = mirror(&folder);
                scope.spawn(move || {
                    for number in 0..300 {
                        mirror.put_whole(&record(2 * number + process), &[], None, Raise::All).unwrap();
                    }
                });
            }
        });
        assert_eq!(mirror(&folder).counts().unwrap().pending, 600);
    }

    #[test]
    fn another_issue_of_the_same_number_has_nothing_of_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let mirror = mirror(&folder);
        let told = Delivery {
            channel: Channel::Email,
            kind: DeliveryKind::Match,
            outcome: DeliveryOutcome::Sent,
            at: None,
            deferred_until: None,
            reason: None,
        };
        let at = "2026-11-23T09:00:00Z";
        let step = serde_json::from_value(json!({
            "from": "pending", "to": "approved", "by": "anna", "at": at, "through": "gitlab",
        }));
        let attempt = serde_json::from_value(json!({
            "nonce": uuid::Uuid::from_u128(1), "instance": uuid::Uuid::nil(), "since": at, "draft": "", "to": "",
            "message_id": "", "by": "anna", "through": "api", "outcome": "unknown",
        }));
        let step: crate::domain::history::Step = step.unwrap();
        for iid in [1, 2] {
            mirror.put(&record(iid), Some(&step)).unwrap();
        }
        mirror.note_deliveries(&[1, 2], &told).unwrap();
        mirror.keep_attempt(1, &attempt.unwrap()).unwrap();
        let what_is_left = |iid| {
            let kept = mirror.kept_attempts(iid).unwrap().len();
            (mirror.deliveries(iid).unwrap().len(), mirror.steps(iid).unwrap().len(), kept)
        };
        mirror.put(&record(1), None).unwrap();
        assert_eq!(what_is_left(1), (1, 1, 1), "the same issue");
        assert_eq!(mirror.event_queue().unwrap().waiting, 2);
        mirror.put(&Record { issue_id: 2001, ..record(1) }, None).unwrap();
        assert_eq!((what_is_left(1), what_is_left(2)), ((0, 0, 0), (1, 1, 0)));
        assert_eq!(mirror.event_queue().unwrap().waiting, 1);
        let untold: Vec<u64> = mirror.untold(Channel::Email).unwrap().iter().map(|one| one.iid).collect();
        assert_eq!(untold, [1]);
    }

    /// One that was told late is not reminded of at once; one that was told nothing has nothing to be reminded of.
    #[test]
    fn a_reminder_is_owed_by_the_channels_that_told_of_it_long_enough_ago() {
        let folder = tempfile::tempdir().unwrap();
        let mirror = mirror(&folder);
        mirror.put(&record(1), None).unwrap();
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let told = |channel, when: &str| Delivery {
            channel,
            kind: DeliveryKind::Match,
            outcome: DeliveryOutcome::Sent,
            at: Some(at(when)),
            deferred_until: None,
            reason: None,
        };
        mirror.note_deliveries(&[1], &told(Channel::Email, "2026-11-23T09:00:00Z")).unwrap();
        mirror.note_deliveries(&[1], &told(Channel::Slack, "2026-11-25T09:00:00Z")).unwrap();
        let before = ToldBefore { moment: at("2026-11-24T09:00:00Z"), ahead: at("2026-11-27T09:00:00Z") };
        let channels = [Channel::Slack, Channel::Whatsapp];
        assert!(mirror.unreminded(before, &channels).unwrap().is_empty());
        assert_eq!(mirror.unreminded(before, &Channel::MESSAGES).unwrap(), [1]);
        mirror.owe_reminders(&[1], &Channel::MESSAGES, before).unwrap();
        let owed = Channel::MESSAGES.map(|channel| (channel, mirror.reminders(channel).unwrap().len()));
        assert_eq!(owed.iter().filter(|(_, owed)| *owed > 0).count(), 1, "{owed:?}");
        assert_eq!(mirror.reminders(Channel::Email).unwrap(), [1]);
    }

    #[test]
    fn what_was_put_on_later_than_it_was_made_waits_from_then() {
        let folder = tempfile::tempdir().unwrap();
        let mirror = mirror(&folder);
        let (made, later): (Timestamp, Timestamp) =
            ("2026-11-23T08:00:00Z".parse().unwrap(), "2026-12-24T08:00:00.123Z".parse().unwrap());
        mirror.put(&record(1), None).unwrap();
        let put_on = Record { put_on_at: Some(later), ..record(2) };
        mirror.put(&put_on, None).unwrap();
        let since: Vec<Timestamp> =
            mirror.untold(Channel::Email).unwrap().iter().map(|one| one.since).collect();
        assert_eq!(since, [made, later]);
        assert_eq!((record(1).counts_since(), put_on.counts_since()), (made, later));
    }

    #[test]
    fn every_write_makes_another_version_whoever_wrote() {
        let folder = tempfile::tempdir().unwrap();
        let (ours, theirs) = (mirror(&folder), mirror(&folder));
        let before = ours.version().unwrap();
        assert_eq!(ours.version().unwrap(), before);
        ours.put(&record(1), None).unwrap();
        let own = ours.version().unwrap();
        assert_ne!(own, before);
        theirs.put(&record(2), None).unwrap();
        assert_ne!(ours.version().unwrap(), own);
    }
}

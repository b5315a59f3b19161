//! What the mirror remembers beside matches: one text a name.

use std::borrow::Cow;

use rusqlite::types::{ToSql, ToSqlOutput};
use rusqlite::{Connection, OptionalExtension as _};

use super::{Mirror, MirrorError};
use crate::domain::Channel;

/// Something that the mirror remembers beside matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact {
    /// Which instance and project the mirror is of.
    Owner,
    /// What else the project is called, a line a name.
    OwnerNames,
    /// In which form spreadsheets are shown the matches.
    Form,
    /// What this disk is called.
    Instance,
    /// Which filling of this mirror it is; another one after each rebuild.
    Filling,
    /// Up to where GitLab was read.
    Cursor,
    /// The newest change that this disk's first read saw.
    FollowsSince,
    /// The last issue that was there at the first read.
    Backlog,
    /// The ids of our labels.
    Labels,
    /// The label `job-match` was deleted, and the matches did not get it back yet.
    WithoutMatchLabel,
    /// Which users made issues with this disk.
    Users,
    /// The number of the settings issue.
    SettingsIssue,
    /// The last good text of the settings issue.
    GoodSettings,
    /// Data was removed, and may lie about in free pages of the file.
    ToBeWiped,
    /// That this disk holds every receipt, those of decided matches too.
    ReceiptsRead,
    /// When the last digests, reminder and quiet alarms left.
    LastTimes,
    /// Since when this disk has waited for a first match.
    WaitsSince,
    /// The message under way on a channel.
    InFlight(Channel),
    /// Messages of a channel that others go past: some of its recipients have them, or they are halves of a refused one.
    LaidAside(Channel),
    /// Until when a channel's other side asked to wait.
    PauseAskedFor(Channel),
    /// When people were last told in a comment that a channel is given up.
    ComplainedOf(Channel),
}

impl Fact {
    /// What outlives a rebuild: it is about this disk and this project, not about what was read there.
    pub(super) const KEPT: [Self; 6] =
        [Self::Owner, Self::OwnerNames, Self::Form, Self::Instance, Self::Labels, Self::ToBeWiped];

    /// The name under which it is kept.
    fn name(self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Owner => "owner",
            Self::OwnerNames => "owner_names",
            Self::Form => "form",
            Self::Instance => "instance",
            Self::Filling => "filling",
            Self::Cursor => "cursor",
            Self::FollowsSince => "follows_since",
            Self::Backlog => "backlog",
            Self::Labels => "labels",
            Self::WithoutMatchLabel => "without match label",
            Self::Users => "users",
            Self::SettingsIssue => "settings issue",
            Self::GoodSettings => "settings",
            Self::ToBeWiped => "to be wiped",
            Self::ReceiptsRead => "receipts",
            Self::LastTimes => "told",
            Self::WaitsSince => "waits since",
            Self::InFlight(channel) => return Cow::Owned(format!("flight {channel}")),
            Self::LaidAside(channel) => return Cow::Owned(format!("flight laid aside {channel}")),
            Self::PauseAskedFor(channel) => return Cow::Owned(format!("pause asked for {channel}")),
            Self::ComplainedOf(channel) => return Cow::Owned(format!("complained {channel}")),
        })
    }
}

impl ToSql for Fact {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self.name() {
            Cow::Borrowed(name) => ToSqlOutput::from(name),
            Cow::Owned(name) => ToSqlOutput::from(name),
        })
    }
}

impl Mirror {
    /// A remembered fact.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn fact(&self, fact: Fact) -> Result<Option<String>, MirrorError> {
        self.read(|connection| read(connection, fact))
    }

    /// Remembers a fact.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn remember(&self, fact: Fact, value: &str) -> Result<(), MirrorError> {
        write(&self.write(), fact, value)
    }

    /// Remembers what was read, unless the mirror was emptied since it was [filled](Fact::Filling) so; tells whether it was
    /// remembered.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn remember_read(
        &self,
        filling: Option<&str>,
        facts: &[(Fact, String)],
    ) -> Result<bool, MirrorError> {
        let mut connection = self.write();
        let transaction = connection.transaction()?;
        if read(&transaction, Fact::Filling)?.as_deref() != filling {
            return Ok(false);
        }
        for (fact, value) in facts {
            write(&transaction, *fact, value)?;
        }
        transaction.commit()?;
        Ok(true)
    }

    /// Forgets a fact.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn forget(&self, fact: Fact) -> Result<(), MirrorError> {
        self.write().execute("DELETE FROM facts WHERE name = ?1", [fact]).map(drop)
    }
}

/// A fact, read on a connection of the caller's.
pub(super) fn read(connection: &Connection, fact: Fact) -> Result<Option<String>, MirrorError> {
    connection
        .prepare_cached("SELECT value FROM facts WHERE name = ?1")?
        .query_row([fact], |row| row.get(0))
        .optional()
}

/// Remembers a fact on a connection of the caller's.
pub(super) fn write(connection: &Connection, fact: Fact, value: &str) -> Result<(), MirrorError> {
    connection
        .prepare_cached(
            "INSERT INTO facts (name, value) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = ?2",
        )?
        .execute((fact, value))
        .map(drop)
}

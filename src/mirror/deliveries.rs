//! What was told on which channel. GitLab holds the receipts as our reactions; here is what they say, and what has
//! gone wrong since.

use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, Row, params};
use serde::{Deserialize, Serialize};

use super::json::{from_json, to_json};
use super::{Fact, Mirror};
use crate::domain::Channel;
use crate::domain::job_match::Score;
use crate::domain::schedule::Waiting;

/// A message about a match on a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Delivery {
    /// The channel.
    pub channel: Channel,
    /// What the message was about.
    pub kind: DeliveryKind,
    /// What became of it.
    pub outcome: DeliveryOutcome,
    /// When; none where only GitLab's receipt tells of it.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub at: Option<Timestamp>,
    /// Until when it is held.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub deferred_until: Option<Timestamp>,
    /// Why it is held or was not sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What a message about a match was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryKind {
    /// That it is new, alone or in a digest.
    Match,
    /// That it still waits.
    Reminder,
}

impl DeliveryKind {
    /// The word in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Match => "match",
            Self::Reminder => "reminder",
        }
    }
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryOutcome {
    /// The channel has it.
    Sent,
    /// It is held: quiet hours, a digest, a delay; or a reminder that has not gone yet.
    Deferred,
    /// The channel failed and is tried again.
    Failed,
    /// The channel will not take it before a person has done something.
    GivenUp,
}

/// That a match was told of before a moment. One that was told of after `ahead`, as a clock that was wrong says, may have
/// been told of at any time.
#[derive(Clone, Copy, Debug)]
pub struct ToldBefore {
    /// The moment.
    pub moment: Timestamp,
    /// What no right clock says yet.
    pub ahead: Timestamp,
}

impl DeliveryOutcome {
    /// The word in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Deferred => "deferred",
            Self::Failed => "failed",
            Self::GivenUp => "given_up",
        }
    }
}

impl Mirror {
    /// The pending matches that a channel has not been told of, oldest first.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn untold(&self, channel: Channel) -> rusqlite::Result<Vec<Waiting>> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                // Few records say when their issue became a match: only those are looked into.
                "SELECT iid, created_at, score,
                        iid <= coalesce((SELECT CAST(value AS INTEGER) FROM facts WHERE name = ?2), 0),
                        CASE WHEN instr(record, 'put_on_at') THEN json_extract(record, '$.put_on_at') END
                 FROM matches WHERE standing = 'live' AND state = 'pending'
                 AND NOT EXISTS (SELECT 1 FROM deliveries WHERE deliveries.iid = matches.iid AND channel = ?1
                                 AND kind = 'match' AND outcome = 'sent')
                 ORDER BY iid",
            )?;
            statement.query_map(params![channel.as_str(), Fact::Backlog], waiting)?.collect()
        })
    }

    /// Whether an issue was there when GitLab was read for the first time.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn is_backlog(&self, iid: u64) -> rusqlite::Result<bool> {
        let last = self.fact(Fact::Backlog)?.and_then(|text| text.parse::<u64>().ok());
        Ok(last.is_some_and(|last| iid <= last))
    }

    /// The first moment after `moment` from which on a match counts as having waited since it was told of: made and
    /// told by then, and not reminded of.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn next_unreminded(&self, moment: Timestamp) -> rusqlite::Result<Option<Timestamp>> {
        self.first_after(
            "SELECT min(since) FROM (
                 SELECT max(created_at, (SELECT min(coalesce(at, 0)) FROM deliveries WHERE deliveries.iid = matches.iid
                                         AND kind = 'match' AND outcome = 'sent')) AS since
                 FROM matches WHERE standing = 'live' AND state = 'pending'
                 AND NOT EXISTS (SELECT 1 FROM deliveries WHERE deliveries.iid = matches.iid AND kind = 'reminder'))
             WHERE since > ?1",
            moment,
        )
    }

    /// When the first of the pending matches was made that were made after `moment`.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn next_undecided(&self, moment: Timestamp) -> rusqlite::Result<Option<Timestamp>> {
        self.first_after(
            "SELECT min(created_at) FROM matches WHERE standing = 'live' AND state = 'pending' AND created_at > ?1",
            moment,
        )
    }

    fn first_after(&self, sql: &str, moment: Timestamp) -> rusqlite::Result<Option<Timestamp>> {
        self.read(|connection| {
            let first: Option<i64> =
                connection.prepare_cached(sql)?.query_row([moment.as_millisecond()], |row| row.get(0))?;
            Ok(first.and_then(|at| Timestamp::from_millisecond(at).ok()))
        })
    }

    /// The pending matches that one of these channels told of before a moment and nobody was reminded of.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn unreminded(&self, told: ToldBefore, channels: &[Channel]) -> rusqlite::Result<Vec<u64>> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT iid FROM matches WHERE standing = 'live' AND state = 'pending' AND created_at <= ?1
                 AND EXISTS (SELECT 1 FROM deliveries WHERE deliveries.iid = matches.iid AND kind = 'match'
                             AND outcome = 'sent' AND (at IS NULL OR at <= ?1 OR at > ?2)
                             AND channel IN (SELECT value FROM json_each(?3)))
                 AND NOT EXISTS (SELECT 1 FROM deliveries WHERE deliveries.iid = matches.iid AND kind = 'reminder')
                 ORDER BY iid",
            )?;
            let (before, ahead) = (told.moment.as_millisecond(), told.ahead.as_millisecond());
            statement.query_map(params![before, ahead, to_json(&channels)?], |row| row.get(0))?.collect()
        })
    }

    /// Notes that these matches are to be reminded of, on each of the channels that told of them before a moment: on all at
    /// once, for a match of which one channel knows that is not asked for again.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn owe_reminders(
        &self,
        iids: &[u64],
        channels: &[Channel],
        told: ToldBefore,
    ) -> rusqlite::Result<()> {
        let mut connection = self.write();
        let transaction = connection.transaction()?;
        for iid in iids {
            transaction
                .prepare_cached(
                    "INSERT OR IGNORE INTO deliveries (iid, channel, kind, outcome)
                     SELECT iid, channel, 'reminder', 'deferred' FROM deliveries WHERE iid = ?3 AND kind = 'match'
                     AND outcome = 'sent' AND (at IS NULL OR at <= ?1 OR at > ?2)
                     AND channel IN (SELECT value FROM json_each(?4))",
                )?
                .execute(params![
                    told.moment.as_millisecond(),
                    told.ahead.as_millisecond(),
                    iid,
                    to_json(&channels)?
                ])?;
        }
        transaction.commit()
    }

    /// The matches that a channel is to be reminded of and has not been, those that are still pending.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn reminders(&self, channel: Channel) -> rusqlite::Result<Vec<u64>> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT matches.iid FROM matches JOIN deliveries ON deliveries.iid = matches.iid
                 WHERE standing = 'live' AND state = 'pending' AND channel = ?1 AND kind = 'reminder'
                 AND outcome != 'sent' ORDER BY matches.iid",
            )?;
            statement.query_map([channel.as_str()], |row| row.get(0))?.collect()
        })
    }

    /// The pending matches made before a moment: nobody decided about them.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn undecided(&self, made_before: Timestamp) -> rusqlite::Result<Vec<u64>> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT iid FROM matches WHERE standing = 'live' AND state = 'pending' AND created_at <= ?1 ORDER BY iid",
            )?;
            statement.query_map([made_before.as_millisecond()], |row| row.get(0))?.collect()
        })
    }

    /// When the last match was staged by the service, whatever became of it.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn last_match_staged(&self) -> rusqlite::Result<Option<Timestamp>> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT created_at FROM matches WHERE json_extract(record, '$.nonce') IS NOT NULL
                 ORDER BY iid DESC LIMIT 1",
            )?;
            let last: Option<i64> = statement.query_row([], |row| row.get(0)).optional()?;
            Ok(last.and_then(|at| Timestamp::from_millisecond(at).ok()))
        })
    }

    /// When the last match was made: one that was withdrawn, erased or is a second issue has come all the same.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn last_match_of_any_kind(&self) -> rusqlite::Result<Option<Timestamp>> {
        self.read(|connection| {
            let at: Option<i64> = connection
                .prepare_cached(
                    // One look into the index for each: of all together it would be read from end to end.
                    "SELECT max(made) FROM (
                         SELECT (SELECT max(created_at) FROM matches WHERE standing = column1) AS made
                         FROM (VALUES ('live'), ('withdrawn'), ('duplicate'), ('erased')))",
                )?
                .query_row([], |row| row.get(0))?;
            Ok(at.and_then(|at| Timestamp::from_millisecond(at).ok()))
        })
    }

    /// Notes what became of messages about matches.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn note_deliveries(&self, iids: &[u64], delivery: &Delivery) -> rusqlite::Result<()> {
        let mut connection = self.write();
        let transaction = connection.transaction()?;
        for iid in iids {
            transaction
                .prepare_cached(
                    "INSERT OR REPLACE INTO deliveries (iid, channel, kind, outcome, at, reason)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                )?
                .execute(params![
                    iid,
                    delivery.channel.as_str(),
                    delivery.kind.as_str(),
                    delivery.outcome.as_str(),
                    delivery.at.map(Timestamp::as_millisecond),
                    delivery.reason,
                ])?;
        }
        transaction.commit()
    }

    /// Notes receipts that GitLab tells of; what is known of them already stays. That of a reminder stands for every
    /// channel, so that it says nothing of one that is known to owe it.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn note_receipts(&self, iids: &[u64], channel: Channel, kind: DeliveryKind) -> rusqlite::Result<()> {
        let mut connection = self.write();
        let transaction = connection.transaction()?;
        for iid in iids {
            transaction
                .prepare_cached(
                    "INSERT INTO deliveries (iid, channel, kind, outcome) VALUES (?1, ?2, ?3, 'sent')
                     ON CONFLICT DO UPDATE SET outcome = 'sent', reason = NULL WHERE outcome != 'sent' AND kind = 'match'",
                )?
                .execute(params![iid, channel.as_str(), kind.as_str()])?;
        }
        transaction.commit()
    }

    /// Notes what the mails about matches are called. It is lost with the disk: then the reminder stands
    /// beside them in people's mailboxes and not below.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn note_message_ids(&self, iids: &[u64], channel: Channel, ids: &str) -> rusqlite::Result<()> {
        let mut connection = self.write();
        let transaction = connection.transaction()?;
        for iid in iids {
            transaction
                .prepare_cached(
                    "UPDATE deliveries SET message_ids = ?3 WHERE iid = ?1 AND channel = ?2 AND kind = 'match'",
                )?
                .execute(params![iid, channel.as_str(), ids])?;
        }
        transaction.commit()
    }

    /// What the mails that told of a match are called, with blanks between: whole where the other side gave the name,
    /// without the sender's domain where we did. None where nobody remembers.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn message_ids(&self, iid: u64, channel: Channel) -> rusqlite::Result<Option<String>> {
        self.read(|connection| {
            connection
                .prepare_cached(
                    "SELECT message_ids FROM deliveries WHERE iid = ?1 AND channel = ?2 AND kind = 'match'",
                )?
                .query_row(params![iid, channel.as_str()], |row| row.get(0))
                .optional()
                .map(Option::flatten)
        })
    }

    /// What was told of a match.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn deliveries(&self, iid: u64) -> rusqlite::Result<Vec<Delivery>> {
        Ok(self.deliveries_of(&[iid])?.pop().unwrap_or_default())
    }

    /// What was told of each of these matches, in their order.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn deliveries_of(&self, iids: &[u64]) -> rusqlite::Result<Vec<Vec<Delivery>>> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT json_quote(channel), json_quote(kind), json_quote(outcome), at, reason FROM deliveries
                 WHERE iid = ?1 ORDER BY kind, channel",
            )?;
            let mut of = |iid: &u64| {
                let rows = statement.query_map([iid], |row| {
                    Ok(Delivery {
                        channel: from_json(row, 0)?,
                        kind: from_json(row, 1)?,
                        outcome: from_json(row, 2)?,
                        at: row.get::<_, Option<i64>>(3)?.and_then(|at| Timestamp::from_millisecond(at).ok()),
                        deferred_until: None,
                        reason: row.get(4)?,
                    })
                })?;
                rows.collect()
            };
            iids.iter().map(&mut of).collect()
        })
    }

    /// How many matches each channel was told of.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn told(&self) -> rusqlite::Result<Vec<(Channel, u64)>> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT json_quote(channel), count(*) FROM deliveries WHERE kind = 'match' AND outcome = 'sent'
                 GROUP BY channel ORDER BY channel",
            )?;
            statement.query_map([], |row| Ok((from_json(row, 0)?, row.get(1)?)))?.collect()
        })
    }
}

fn waiting(row: &Row<'_>) -> rusqlite::Result<Waiting> {
    let (made, score): (i64, f64) = (row.get(1)?, row.get(2)?);
    let made = Timestamp::from_millisecond(made).unwrap_or_default();
    let put_on = row.get::<_, Option<String>>(4)?.and_then(|at| at.parse().ok());
    Ok(Waiting {
        iid: row.get(0)?,
        since: put_on.map_or(made, |put_on: Timestamp| put_on.max(made)),
        score: Score::new(score).ok(),
        backlog: row.get(3)?,
    })
}

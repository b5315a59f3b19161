//! The queue of outgoing events. An event is raised in the transaction that notes its cause; it stays known by match,
//! kind and time once it has left, so that nothing is raised twice from one disk.

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};

use super::json::{from_json, to_json};
use super::record::{Record, Standing};
use super::{Mirror, MirrorError};
use crate::domain::State;
use crate::domain::history::Step;

/// Events that are read at once.
const AT_ONCE: u32 = 100;
/// No event is delayed for longer: a day, and what the clock went on by during a try.
const LONGEST_DELAY: SignedDuration = SignedDuration::from_hours(25);

/// What happened to a match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventKind {
    /// It is staged, for the first time or again.
    #[serde(rename = "match.staged")]
    Staged,
    /// It is approved.
    #[serde(rename = "match.approved")]
    Approved,
    /// It is rejected.
    #[serde(rename = "match.rejected")]
    Rejected,
    /// A decision was undone.
    #[serde(rename = "match.pending")]
    Pending,
    /// The application has left the house.
    #[serde(rename = "match.sent")]
    Sent,
    /// It does not count any more.
    #[serde(rename = "match.withdrawn")]
    Withdrawn,
}

impl EventKind {
    /// The event's type on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Staged => "match.staged",
            Self::Approved => "match.approved",
            Self::Rejected => "match.rejected",
            Self::Pending => "match.pending",
            Self::Sent => "match.sent",
            Self::Withdrawn => "match.withdrawn",
        }
    }

    const fn of(state: State) -> Self {
        match state {
            State::Pending => Self::Pending,
            State::Approved => Self::Approved,
            State::Rejected => Self::Rejected,
            State::Sent => Self::Sent,
        }
    }
}

/// Which events follow from a match that was read with all its steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Raise {
    /// None.
    Nothing,
    /// Those of its whole life: it was made since this disk follows the project.
    All,
    /// That it counts again, and what was done since: `job-match` was put on it then, since this disk follows the project.
    Again(Timestamp),
    /// After a lost disk: its approval, where it is approved and nobody has written a draft.
    Approval,
}

/// An event as it was raised.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Raised {
    /// What happened.
    pub kind: EventKind,
    /// When, by GitLab's clock.
    pub at: Timestamp,
    /// The match as it was then.
    pub record: Record,
    /// The step that it took, where it took one.
    pub step: Option<Step>,
}

/// An event as it goes out: made once, the same on every try.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventMessage {
    /// Its id.
    pub id: String,
    /// Its body.
    pub body: String,
}

/// An event that waits.
#[derive(Clone, Debug)]
pub struct QueuedEvent {
    /// Its place in the queue.
    pub number: u64,
    /// The event.
    pub raised: Raised,
    /// What goes out, once that was made.
    pub message: Option<EventMessage>,
    /// Failed tries.
    pub failures: u32,
    /// When it was tried first.
    pub since: Option<Timestamp>,
}

/// How the queue fares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventQueue {
    /// Events that wait.
    pub waiting: u64,
    /// Events that were given up.
    pub given_up: u64,
    /// What went wrong with the event that has waited longest.
    pub error: Option<String>,
    /// When the next one is due.
    pub next_try: Option<Timestamp>,
}

/// Raises what follows from a step, or from a match that counts no more or again; `before` is how it stood.
pub(super) fn raise_for(
    connection: &Connection,
    before: Option<Standing>,
    record: &Record,
    step: Option<&Step>,
) -> Result<(), MirrorError> {
    if record.standing == Standing::Gone && before != Some(Standing::Gone) {
        // Nobody is told any more what led a match there that is gone. What has been tried goes on under its id.
        connection.execute(
            "DELETE FROM events WHERE iid = ?1 AND outcome = 'waiting' AND message IS NULL AND kind <> ?2",
            params![record.iid, EventKind::Withdrawn.as_str()],
        )?;
    }
    match (before, record.standing) {
        (Some(Standing::Live), Standing::Withdrawn | Standing::Gone) => {
            let at = free_moment(connection, EventKind::Withdrawn, record)?;
            raise(connection, EventKind::Withdrawn, at, record, None)?;
        }
        (Some(Standing::Gone), Standing::Live) => raise_return(connection, record)?,
        (Some(Standing::Withdrawn), Standing::Live) => {
            let at = free_moment(connection, EventKind::Staged, record)?;
            raise(connection, EventKind::Staged, at, record, None)?;
            if step.is_none() {
                // Where the disk was lost while it did not count, its approval was never told by this one.
                raise_waiting_approval(connection, record, last_step(connection, record.iid)?.as_ref())?;
            }
        }
        (_, Standing::Duplicate) => {
            connection.execute("DELETE FROM events WHERE iid = ?1 AND outcome = 'waiting'", [record.iid])?;
        }
        _ => {}
    }
    step.map_or(Ok(()), |step| raise(connection, EventKind::of(step.to), step.at, record, Some(step)))
}

/// Raises what follows from a match that was read from GitLab as a whole. `made_approved` is the step to approved of an issue
/// that people made so, which is none of its `steps`.
pub(super) fn raise_whole(
    connection: &Connection,
    record: &Record,
    steps: &[Step],
    made_approved: Option<&Step>,
    which: Raise,
) -> Result<(), MirrorError> {
    if record.standing != Standing::Live {
        return Ok(());
    }
    match which {
        Raise::Nothing => return raise_return(connection, record),
        Raise::Again(put_on) => raise_again(connection, record, put_on, steps)?,
        Raise::All => {
            raise_return(connection, record)?;
            let mut then = record.clone();
            if let Some(first) = steps.first() {
                then.state = first.from;
                (then.decided_by, then.decided_at) = (None, None);
            }
            raise(connection, EventKind::Staged, record.created_at, &then, None)?;
            for step in steps {
                then.follow(step);
                raise(connection, EventKind::of(step.to), step.at, &then, Some(step))?;
            }
        }
        Raise::Approval => {
            raise_return(connection, record)?;
            raise_waiting_approval(connection, record, steps.last())?;
        }
    }
    raise_waiting_approval(connection, record, made_approved)
}

/// Raises that a match counts again from when `job-match` was put on, where that was not told, and what was done since.
fn raise_again(
    connection: &Connection,
    record: &Record,
    put_on: Timestamp,
    steps: &[Step],
) -> Result<(), MirrorError> {
    let was_told: bool = connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM events WHERE iid = ?1 AND kind = ?2 AND at >= ?3)")?
        .query_row(params![record.iid, EventKind::Staged.as_str(), put_on.as_millisecond()], |row| {
            row.get(0)
        })?;
    let since = steps.iter().position(|step| step.at > put_on).unwrap_or(steps.len());
    let mut then = record.clone();
    if let Some(first) = steps.get(since) {
        then.state = first.from;
        (then.decided_by, then.decided_at) = (None, None);
    }
    if was_told {
        raise_return(connection, &then)?;
    } else {
        raise(connection, EventKind::Staged, put_on, &then, None)?;
    }
    for step in &steps[since..] {
        then.follow(step);
        raise(connection, EventKind::of(step.to), step.at, &then, Some(step))?;
    }
    raise_waiting_approval(connection, record, steps.last())
}

/// Raises an approval for which nobody has written a draft.
fn raise_waiting_approval(
    connection: &Connection,
    record: &Record,
    last: Option<&Step>,
) -> Result<(), MirrorError> {
    let nobody_wrote = record.sending.draft.is_none() && record.sending.attempt.is_none();
    let last = last.filter(|step| step.to == State::Approved);
    match last.filter(|_| record.state == State::Approved && nobody_wrote) {
        Some(step) => raise(connection, EventKind::Approved, step.at, record, Some(step)),
        None => Ok(()),
    }
}

/// How a match came to where it is.
fn last_step(connection: &Connection, iid: u64) -> Result<Option<Step>, MirrorError> {
    connection
        .prepare_cached("SELECT step FROM steps WHERE iid = ?1 ORDER BY number DESC LIMIT 1")?
        .query_row([iid], |row| from_json(row, 0))
        .optional()
}

/// Raises that a match is there again of which the last that was told is that it counts no more: its issue was hidden from
/// us for a while.
fn raise_return(connection: &Connection, record: &Record) -> Result<(), MirrorError> {
    let last: Option<String> = connection
        .prepare_cached(
            // What waits may be of another issue that had this number before.
            "SELECT kind FROM events WHERE iid = ?1 AND coalesce(json_extract(raised, '$.record.issue_id'), ?2) = ?2
             ORDER BY number DESC LIMIT 1",
        )?
        .query_row([record.iid, record.issue_id], |row| row.get(0))
        .optional()?;
    if last.as_deref() != Some(EventKind::Withdrawn.as_str()) {
        return Ok(());
    }
    let at = free_moment(connection, EventKind::Staged, record)?;
    raise(connection, EventKind::Staged, at, record, None)
}

/// The time of an event: the issue's own, or a millisecond after the last event of that kind, for two at one time would
/// count as one.
fn free_moment(connection: &Connection, kind: EventKind, record: &Record) -> Result<Timestamp, MirrorError> {
    let at = record.updated_at;
    let last: Option<i64> = connection
        .prepare_cached("SELECT max(at) FROM events WHERE iid = ?1 AND kind = ?2 AND at >= ?3")?
        .query_row(params![record.iid, kind.as_str(), at.as_millisecond()], |row| row.get(0))?;
    let after = last.and_then(|last| Timestamp::from_millisecond(last + 1).ok());
    Ok(after.unwrap_or(at))
}

fn raise(
    connection: &Connection,
    kind: EventKind,
    at: Timestamp,
    record: &Record,
    step: Option<&Step>,
) -> Result<(), MirrorError> {
    let raised = Raised { kind, at, record: record.clone(), step: step.cloned() };
    connection
        .prepare_cached("INSERT OR IGNORE INTO events (iid, kind, at, raised) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![record.iid, kind.as_str(), at.as_millisecond(), to_json(&raised)?])
        .map(drop)
}

impl Mirror {
    /// Raises what follows from a match and its steps.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn raise(&self, record: &Record, steps: &[Step], which: Raise) -> Result<(), MirrorError> {
        let mut connection = self.write();
        let transaction = connection.transaction()?;
        raise_whole(&transaction, record, steps, None, which)?;
        transaction.commit()
    }

    /// Some of the events that are due by a moment, in the order in which they were raised: of each match only the first
    /// that waits. One that is to wait for longer than any is, was delayed by a clock that was wrong: it is due too.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn due_events(&self, by: Timestamp) -> Result<Vec<QueuedEvent>, MirrorError> {
        let latest = by.saturating_add(LONGEST_DELAY).unwrap_or(Timestamp::MAX);
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT raised, number, message, failures, since FROM events WHERE number IN
                 (SELECT min(number) FROM events WHERE outcome = 'waiting' GROUP BY iid)
                 AND (due <= ?1 OR due > ?2) ORDER BY number LIMIT ?3",
            )?;
            let moments = (by.as_millisecond(), latest.as_millisecond());
            statement.query_map(params![moments.0, moments.1, AT_ONCE], waiting)?.collect()
        })
    }

    /// When the next event is due.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn next_event_due(&self) -> Result<Option<Timestamp>, MirrorError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT min(due) FROM events WHERE number IN
                 (SELECT min(number) FROM events WHERE outcome = 'waiting' GROUP BY iid)",
            )?;
            let due = statement.query_row([], |row| row.get::<_, Option<i64>>(0))?;
            Ok(due.map(moment))
        })
    }

    /// Keeps what goes out for an event, so that every try brings the same.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn keep_message(&self, number: u64, message: &EventMessage) -> Result<(), MirrorError> {
        self.write()
            .prepare_cached("UPDATE events SET message = ?2 WHERE number = ?1")?
            .execute(params![number, to_json(message)?])
            .map(drop)
    }

    /// Notes that an event has arrived, or that nobody will try it any more.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn end_event(&self, number: u64, given_up: Option<&str>) -> Result<(), MirrorError> {
        let outcome = if given_up.is_some() { "given_up" } else { "delivered" };
        self.write()
            .prepare_cached(
                "UPDATE events SET outcome = ?2, error = ?3, message = NULL, raised = '{}' WHERE number = ?1",
            )?
            .execute(params![number, outcome, given_up])
            .map(drop)
    }

    /// Notes that an event did not arrive; `since` is when it was tried first, none where it could not be tried yet.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn delay_event(
        &self,
        number: u64,
        since: Option<Timestamp>,
        due: Timestamp,
        error: &str,
    ) -> Result<(), MirrorError> {
        self.write()
            .prepare_cached(
                "UPDATE events SET failures = failures + 1, since = ?2, due = ?3, error = ?4 WHERE number = ?1",
            )?
            .execute(params![number, since.map(Timestamp::as_millisecond), due.as_millisecond(), error])
            .map(drop)
    }

    /// Forgets every event that waits: nobody listens.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn drop_events(&self) -> Result<(), MirrorError> {
        self.write().execute("DELETE FROM events WHERE outcome = 'waiting'", []).map(drop)
    }

    /// How the queue fares.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn event_queue(&self) -> Result<EventQueue, MirrorError> {
        self.read(|connection| {
            // Each is counted by an index of its own; those that have arrived, which are most, are not looked at.
            let (waiting, next) = connection
                .prepare_cached("SELECT count(*), min(due) FROM events WHERE outcome = 'waiting'")?
                .query_row([], |row| Ok((row.get(0)?, row.get::<_, Option<i64>>(1)?)))?;
            let given_up = connection
                .prepare_cached("SELECT count(*) FROM events WHERE outcome = 'given_up'")?
                .query_row([], |row| row.get(0))?;
            let error = connection
                .prepare_cached(
                    "SELECT error FROM events WHERE outcome = 'waiting' AND error IS NOT NULL ORDER BY number LIMIT 1",
                )?
                .query_row([], |row| row.get(0))
                .optional()?;
            let next_try = next.filter(|due| *due > 0).and_then(|due| Timestamp::from_millisecond(due).ok());
            Ok(EventQueue { waiting, given_up, error, next_try })
        })
    }
}

fn moment(milliseconds: i64) -> Timestamp {
    Timestamp::from_millisecond(milliseconds).unwrap_or_default()
}

fn waiting(row: &Row<'_>) -> Result<QueuedEvent, MirrorError> {
    let is_made = row.get_ref(2)?.as_str_or_null().map_err(|_| MirrorError::InvalidQuery)?.is_some();
    let message = if is_made { Some(from_json(row, 2)?) } else { None };
    Ok(QueuedEvent {
        raised: from_json(row, 0)?,
        number: row.get(1)?,
        message,
        failures: row.get(3)?,
        since: row.get::<_, Option<i64>>(4)?.map(moment),
    })
}

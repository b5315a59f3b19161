//! The tracker's fields of a match: one comment of ours on its issue, edited in place by us and by people.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{Connected, Engine, EngineError};
use crate::clock::Clock;
use crate::domain::Application;
use crate::domain::inert::GitlabLine;
use crate::domain::posted_match::FieldError;
use crate::domain::tracker::FIELDS;
use crate::gitlab::application_text::{self, Read};
use crate::gitlab::notes::{Note, that_counts};
use crate::mirror::{Record, Standing, TrackerTurn};

/// How often, and how far apart, a turn is asked for that another process has: a minute in all.
const TURN_TRIES: u32 = 1_200;
const BETWEEN_TURN_TRIES: Duration = Duration::from_millis(50);

/// Why the tracker's fields were not changed.
#[derive(Debug, thiserror::Error)]
pub enum ApplicationError {
    /// There is no such match.
    #[error("there is no match {0}")]
    Unknown(u64),
    /// Somebody changed the same fields meanwhile.
    #[error("somebody changed the same fields meanwhile: {}", .0.join(", "))]
    Meanwhile(Vec<String>),
    /// Fields are unknown or wrong.
    #[error("some fields of the tracker are wrong")]
    Invalid(Vec<FieldError>),
    /// Something did not do its part.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// The tracker's comment among those on an issue.
fn comment_of<'a>(connected: &Connected, notes: &'a [Note]) -> Option<&'a Note> {
    let is_one = |note: &&Note| connected.is_us(note.author.id) && application_text::is_one(&note.body);
    that_counts(notes.iter().filter(is_one))
}

/// Whether a match may have one: while a decision waits to be completed it is not said how many comments there are.
fn may_have_tracker(record: &Record) -> bool {
    record.comments > 0 || record.has_tracker
}

/// What it says; none where there is none.
pub(super) fn application_of(connected: &Connected, notes: &[Note]) -> Option<Read> {
    application_text::read_back(&comment_of(connected, notes)?.body)
}

/// The fields that would be changed and say something else than somebody saw, who does not want just that.
fn changed_meanwhile(saw: &Application, present: &Application, wanted: &Application) -> Vec<String> {
    let is_it = |name: &&str| {
        let (saw, present, wanted) = (saw.field(name), present.field(name), wanted.field(name));
        wanted != present && present != saw
    };
    FIELDS.iter().map(|(name, ..)| *name).filter(is_it).map(str::to_owned).collect()
}

impl Engine {
    /// Changes fields of the tracker: each a text, or null to clear it. The comment is read first, so that what people
    /// edited in GitLab stays.
    ///
    /// # Errors
    ///
    /// [`ApplicationError`]; nothing was changed then, or GitLab left it unclear.
    pub fn change_application(
        &self,
        iid: u64,
        changes: Map<String, Value>,
    ) -> impl Future<Output = Result<Record, ApplicationError>> + Send + use<> {
        self.change_application_as_seen(iid, changes, None)
    }

    /// [`Engine::change_application`] by somebody who `saw` the fields: where one of those that they change says something
    /// else by now, nothing is changed.
    ///
    /// # Errors
    ///
    /// [`ApplicationError`]; nothing was changed then, or GitLab left it unclear.
    pub fn change_application_as_seen(
        &self,
        iid: u64,
        changes: Map<String, Value>,
        saw: Option<Application>,
    ) -> impl Future<Output = Result<Record, ApplicationError>> + Send + use<> {
        let engine = self.clone();
        self.uncancelled("the change", async move {
            match engine.change_application_once(iid, &changes, saw.as_ref()).await {
                // Another process wrote the first comment at this very moment: once more, into that one.
                Err(ApplicationError::Engine(EngineError::Stale)) => {
                    engine.change_application_once(iid, &changes, saw.as_ref()).await
                }
                changed => changed,
            }
        })
    }

    async fn change_application_once(
        &self,
        iid: u64,
        changes: &Map<String, Value>,
        saw: Option<&Application>,
    ) -> Result<Record, ApplicationError> {
        // What is wrong in itself is said before GitLab is asked.
        Application::default().changed(changes).map_err(ApplicationError::Invalid)?;
        let connected = self.connected().await?;
        self.may_write()?;
        self.rest_no_more(iid);
        let (_one_at_a_time, record) =
            self.hold_match(&connected, iid).await?.ok_or(ApplicationError::Unknown(iid))?;
        let _turn = self.tracker_turn(iid).await;
        let record = self.as_noted(record)?;
        if record.standing != Standing::Live {
            return Err(ApplicationError::Unknown(iid));
        }
        let mut notes = Vec::new();
        if may_have_tracker(&record) {
            notes = connected.project.notes(iid).await.map_err(EngineError::from)?;
        }
        let present = application_of(&connected, &notes).map(|read| read.application);
        let is_there = present.is_some();
        let present = present.unwrap_or_default();
        let wanted = present.changed(changes).map_err(ApplicationError::Invalid)?;
        let meanwhile = saw.map(|saw| changed_meanwhile(saw, &present, &wanted)).unwrap_or_default();
        if !meanwhile.is_empty() {
            // Whoever is told so is shown what stands there now.
            self.note_tracker(record, is_there.then_some(present), false)?;
            return Err(ApplicationError::Meanwhile(meanwhile));
        }
        let is_changed = wanted != present;
        let mut is_new = false;
        if is_changed {
            // An earlier bot's may not be edited: ours is written beside it, and counts from then on.
            let ours = comment_of(&connected, &notes).filter(|note| connected.may_edit(note));
            connected.keeping_todo(iid, self.write_application(&connected, iid, ours, &wanted)).await?;
            is_new = ours.is_none();
            tracing::info!(iid, "the application of match {iid} is changed");
        }
        Ok(self.note_tracker(record, (is_there || is_changed).then_some(wanted), is_new)?)
    }

    /// Waits until no other process edits the tracker's comment of a match; not for ever, for one may have been suspended. To
    /// be taken under the issue's own lock, never before it: nobody who has the turn waits for that one.
    pub(super) async fn tracker_turn(&self, iid: u64) -> TrackerTurn {
        for _ in 0..TURN_TRIES {
            if let Some(turn) = self.inner.mirror.tracker_turn(iid) {
                return turn;
            }
            // The other process knows nothing of the clock that this service may be given.
            Clock::System.sleep(BETWEEN_TURN_TRIES).await;
        }
        tracing::warn!(
            iid,
            "another process is at the tracker of match {iid} for a minute; it is waited for no longer"
        );
        TrackerTurn::default()
    }

    /// The match as it is noted by now: another process may have followed a step since it was read, or erased it.
    fn as_noted(&self, record: Record) -> Result<Record, EngineError> {
        // Where the mirror is read anew beside this, it is not known there at the moment.
        Ok(self.inner.mirror.record(record.iid)?.unwrap_or(record))
    }

    /// Notes what the tracker's comment says, and that it is a new one.
    fn note_tracker(
        &self,
        record: Record,
        says: Option<Application>,
        is_new: bool,
    ) -> Result<Record, EngineError> {
        let comments = record.comments;
        let mut record = self.as_noted(record)?;
        record.note_application(says);
        // Of what does not count any more by now nothing is noted.
        if record.standing == Standing::Live {
            // What another process counted meanwhile may have the new one in it: too few are only read once more.
            record.comments += u64::from(is_new && record.comments == comments);
            self.inner.mirror.put(&record, None)?;
        }
        Ok(record)
    }

    /// A match as GitLab has it now, with what people did followed; none where there is no such match.
    ///
    /// # Errors
    ///
    /// Where GitLab or the mirror did not do its part.
    pub async fn look_at(&self, iid: u64) -> Result<Option<Record>, EngineError> {
        let connected = self.connected().await?;
        let Some((_one_at_a_time, mut record)) = self.hold_match(&connected, iid).await? else {
            return Ok(None);
        };
        // An edit of a comment need not show in the issue.
        if may_have_tracker(&record) {
            let notes = connected.project.notes(iid).await?;
            record.note_application(application_of(&connected, &notes).map(|read| read.application));
        }
        Ok(Some(record))
    }

    /// Lets the tracker's comment remember what people wrote into its table, and says what nobody can read there. The table
    /// itself stays as they left it.
    pub(super) async fn answer_edits(
        &self,
        connected: &Connected,
        iid: u64,
        notes: &[Note],
        read: Read,
    ) -> Result<(), EngineError> {
        if self.may_follow().and_then(|()| self.may_write()).is_err() {
            return Ok(());
        }
        if !read.unreadable.is_empty() {
            self.say_what_is_unreadable(connected, iid, notes, &read).await?;
        }
        let ours = comment_of(connected, notes).filter(|note| connected.may_edit(note));
        let (Some(note), Some(text)) = (ours, &read.caught_up) else { return Ok(()) };
        // What they, or another process, wrote since the notes were read must not be written over.
        let _turn = self.tracker_turn(iid).await;
        let now = connected.project.notes(iid).await?;
        if now.iter().any(|other| other.id == note.id && other.body == note.body) {
            connected.project.edit_comment(iid, note.id, text).await?;
        }
        Ok(())
    }

    async fn say_what_is_unreadable(
        &self,
        connected: &Connected,
        iid: u64,
        notes: &[Note],
        read: &Read,
    ) -> Result<(), EngineError> {
        let cells: Vec<Value> = read
            .unreadable
            .iter()
            .map(|(label, text)| json!({ "label": label, "text": GitlabLine::new(text) }))
            .collect();
        let text = self.comment_text("unreadable", json!({ "cells": cells }), Vec::new())?;
        if notes.iter().all(|note| note.body.trim() != text.trim()) {
            tracing::info!(iid, "the table of match {iid}'s application has cells that nobody can read");
            // On the heap: the look at an issue is deep as it is.
            Box::pin(connected.keeping_todo(iid, connected.project.comment(iid, &text))).await?;
        }
        Ok(())
    }

    async fn write_application(
        &self,
        connected: &Connected,
        iid: u64,
        comment: Option<&Note>,
        application: &Application,
    ) -> Result<(), EngineError> {
        // What people wrote beside the cells stays, where it can.
        let kept = comment.and_then(|note| application_text::rewritten(&note.body, application));
        if comment.is_some() && kept.is_none() {
            tracing::warn!(
                iid,
                "the tracker's comment on issue {iid} is written anew, without what people wrote beside its fields"
            );
        }
        let context = application_text::context(application, self.policy().language);
        let anew = || self.comment_text("application", context, Vec::new());
        let text = kept.map_or_else(anew, Ok)?;
        match comment {
            Some(note) => Ok(connected.project.edit_comment(iid, note.id, &text).await.map(drop)?),
            None => self.write_first(connected, iid, &text).await,
        }
    }

    /// Writes a comment where ours was not there yet. Where another process was first, whose locks are not ours, that one's
    /// counts and this one goes.
    async fn write_first(&self, connected: &Connected, iid: u64, text: &str) -> Result<(), EngineError> {
        let written = match connected.project.comment(iid, text).await {
            // It may be there all the same; what is read next tells.
            Err(error) if error.is_unclear() => Err(error),
            other => Ok(other?.id),
        };
        let notes = connected.project.notes(iid).await?;
        let is_it = |note: &&Note| connected.may_edit(note) && note.body.trim() == text.trim();
        let ours = match (written, notes.iter().rfind(is_it)) {
            (Ok(ours), _) => ours,
            (Err(_), Some(found)) => found.id,
            (Err(error), None) => return Err(error.into()),
        };
        match comment_of(connected, &notes) {
            Some(first) if first.id != ours && connected.may_edit(first) => {
                connected.project.delete_comment(iid, ours).await?;
                Err(EngineError::Stale)
            }
            _ => Ok(()),
        }
    }
}

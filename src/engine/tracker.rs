//! The tracker's fields of a match: one comment of ours on its issue, edited in place by us and by people.

use serde_json::{Map, Value, json};

use super::{Connected, Engine, EngineError};
use crate::domain::Application;
use crate::domain::inert::GitlabLine;
use crate::domain::posted_match::FieldError;
use crate::gitlab::application_text::{self, Read};
use crate::gitlab::notes::Note;
use crate::mirror::Record;

/// Why the tracker's fields were not changed.
#[derive(Debug, thiserror::Error)]
pub enum ApplicationError {
    /// There is no such match.
    #[error("there is no match {0}")]
    Unknown(u64),
    /// Fields are unknown or wrong.
    #[error("some fields of the tracker are wrong")]
    Invalid(Vec<FieldError>),
    /// Something did not do its part.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// The tracker's comment among those on an issue, the first where there are two.
pub(super) fn comment_of<'a>(connected: &Connected, notes: &'a [Note]) -> Option<&'a Note> {
    notes.iter().find(|note| connected.is_us(note.author.id) && application_text::is_one(&note.body))
}

/// What it says; empty where there is none.
pub(super) fn application_of(connected: &Connected, notes: &[Note]) -> Read {
    let comment = comment_of(connected, notes);
    comment.and_then(|note| application_text::read_back(&note.body)).unwrap_or_default()
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
        let engine = self.clone();
        self.to_the_end("the change", async move { engine.change_application_once(iid, &changes).await })
    }

    async fn change_application_once(
        &self,
        iid: u64,
        changes: &Map<String, Value>,
    ) -> Result<Record, ApplicationError> {
        // What is wrong in itself is said before GitLab is asked.
        Application::default().changed(changes).map_err(ApplicationError::Invalid)?;
        let connected = self.connected().await?;
        self.may_write()?;
        let (_one_at_a_time, mut record) =
            self.hold_match(&connected, iid).await?.ok_or(ApplicationError::Unknown(iid))?;
        let mut notes = Vec::new();
        if record.comments > 0 {
            notes = connected.project.notes(iid).await.map_err(EngineError::from)?;
        }
        let present = application_of(&connected, &notes).application;
        let wanted = present.changed(changes).map_err(ApplicationError::Invalid)?;
        if wanted != present {
            let comment = comment_of(&connected, &notes).map(|note| note.id);
            self.write_application(&connected, iid, comment, &wanted).await?;
            record.comments += u64::from(comment.is_none());
            tracing::info!(iid, "the application of match {iid} is changed");
        }
        record.application = wanted;
        self.inner.mirror.put(&record, None).map_err(EngineError::from)?;
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
        if record.comments > 0 {
            let notes = connected.project.notes(iid).await?;
            record.application = application_of(&connected, &notes).application;
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
        let ours = |note: &&Note| note.author.id == connected.us.id;
        let (Some(note), Some(text)) = (comment_of(connected, notes).filter(ours), &read.caught_up) else {
            return Ok(());
        };
        // What they wrote since the notes were read must not be written over.
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
            connected.project.comment(iid, &text).await?;
        }
        Ok(())
    }

    async fn write_application(
        &self,
        connected: &Connected,
        iid: u64,
        comment: Option<u64>,
        application: &Application,
    ) -> Result<(), EngineError> {
        let context = application_text::context(application, self.policy().language);
        let text = self.comment_text("application", context, Vec::new())?;
        let Some(note) = comment else {
            return match connected.project.comment(iid, &text).await {
                // It may be there; a second one would be read by nobody.
                Err(error) if error.is_unclear() => {
                    let notes = connected.project.notes(iid).await?;
                    comment_of(connected, &notes).map(|_| ()).ok_or_else(|| error.into())
                }
                other => Ok(other.map(|_| ())?),
            };
        };
        connected.project.edit_comment(iid, note, &text).await?;
        Ok(())
    }
}

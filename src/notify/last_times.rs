//! What has no match to hang on: when the last digest, quiet alarm and reminder left. It stands in one comment of ours
//! on the settings issue, so that a lost disk repeats none of them.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::rounds::REMIND_EVERY;
use crate::domain::Channel;
use crate::domain::schedule::is_recent;
use crate::engine::{Connected, Engine, EngineError};
use crate::gitlab::hidden::Hidden;
use crate::gitlab::notes::Note;
use crate::mirror::Fact;

/// How soon GitLab is told again what it could not be told.
const PUBLISH_AGAIN: SignedDuration = SignedDuration::from_mins(10);

/// When what was last sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Memory {
    /// The last digest of each channel.
    #[serde(default)]
    pub last_digest: BTreeMap<Channel, Timestamp>,
    /// The last quiet alarm of each channel.
    #[serde(default)]
    pub last_quiet_alarm: BTreeMap<Channel, Timestamp>,
    /// The last reminder, on all channels together.
    #[serde(default)]
    pub last_reminder: Option<Timestamp>,
    /// The last reminder of each channel.
    #[serde(default)]
    pub last_reminder_of: BTreeMap<Channel, Timestamp>,
    /// When it was last tried to tell GitLab all this, where that did not work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unpublished_at: Option<Timestamp>,
}

impl Memory {
    /// Until when a channel sends no further reminder; none where it may.
    pub(super) fn reminded_until(&self, channel: Channel, now: Timestamp) -> Option<Timestamp> {
        let last = self.last_reminder_of.get(&channel).filter(|last| is_recent(**last, REMIND_EVERY, now))?;
        last.checked_add(REMIND_EVERY).ok()
    }

    /// Whether GitLab is to be told by now what it could not be told before.
    pub(super) fn is_to_be_published(&self, now: Timestamp) -> bool {
        self.unpublished_at.is_some_and(|at| !is_recent(at, PUBLISH_AGAIN, now))
    }

    /// What is remembered: in the mirror, else in GitLab.
    pub(super) async fn load(engine: &Engine) -> Result<Self, EngineError> {
        if let Some(text) = engine.mirror().fact(Fact::LastTimes)? {
            return Ok(serde_json::from_str(&text).unwrap_or_default());
        }
        let memory = match engine.known_settings_issue() {
            Some(iid) => {
                let connected = engine.connected().await?;
                Self::comment(&connected, iid).await?.map(|(_, memory)| memory).unwrap_or_default()
            }
            None => Self::default(),
        };
        memory.keep(engine)?;
        Ok(memory)
    }

    /// What this disk remembers.
    pub(super) fn on_this_disk(engine: &Engine) -> Result<Self, EngineError> {
        let text = engine.mirror().fact(Fact::LastTimes)?;
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
    }

    /// Remembers on this disk.
    pub(super) fn keep(&self, engine: &Engine) -> Result<(), EngineError> {
        let text = serde_json::to_string(self).map_err(|error| EngineError::Text(error.to_string()))?;
        Ok(engine.mirror().remember(Fact::LastTimes, &text)?)
    }

    /// Remembers in GitLab, and on this disk whether that could be done.
    pub(super) async fn publish(&mut self, engine: &Engine) -> Result<(), EngineError> {
        self.unpublished_at = Some(engine.clock().now());
        self.keep(engine)?;
        if let Err(error) = self.write_comment(engine).await {
            tracing::warn!(%error, "GitLab could not be told when the last messages left; this disk remembers it");
            return Ok(());
        }
        self.unpublished_at = None;
        self.keep(engine)
    }

    async fn write_comment(&self, engine: &Engine) -> Result<(), EngineError> {
        let iid = engine.settings_issue().await?;
        let connected = engine.connected().await?;
        let value = serde_json::to_value(Self { unpublished_at: None, ..self.clone() });
        let value = value.map_err(|error| EngineError::Text(error.to_string()))?;
        let text = engine.comment_text("told", json!({ "hidden": Hidden::Told.of(&value) }), Vec::new())?;
        match Self::comment(&connected, iid).await? {
            Some((note, _)) if connected.may_edit(&note) => {
                connected.project.edit_comment(iid, note.id, &text).await?
            }
            // An earlier bot's may not be edited; the last one counts.
            _ => connected.project.comment(iid, &text).await?,
        };
        Ok(())
    }

    /// The newest comment that says so.
    async fn comment(connected: &Connected, iid: u64) -> Result<Option<(Note, Self)>, EngineError> {
        let ours = connected.our_notes(iid).await?.into_iter();
        let mut told = ours.filter_map(|note| {
            let memory = Hidden::Told.read(&note.body)?;
            Some((note, memory))
        });
        Ok(told.next_back())
    }
}

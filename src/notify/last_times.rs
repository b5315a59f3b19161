//! What has no match to hang on: when the last digest, quiet alarm and reminder left. It stands in one comment of ours
//! on the settings issue, so that a lost disk repeats none of them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::domain::Channel;
use crate::engine::{Engine, EngineError};
use crate::gitlab::hidden::Hidden;
use crate::mirror::Fact;

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
}

impl Memory {
    /// What is remembered: in the mirror, else in GitLab.
    pub(super) async fn load(engine: &Engine) -> Result<Self, EngineError> {
        if let Some(text) = engine.mirror().fact(Fact::LastTimes)? {
            return Ok(serde_json::from_str(&text).unwrap_or_default());
        }
        let memory = match engine.known_settings_issue() {
            Some(iid) => Self::comment(engine, iid).await?.map(|(_, memory)| memory).unwrap_or_default(),
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

    /// Remembers in GitLab.
    pub(super) async fn publish(&self, engine: &Engine) -> Result<(), EngineError> {
        let iid = engine.settings_issue().await?;
        let connected = engine.connected().await?;
        let value = serde_json::to_value(self).map_err(|error| EngineError::Text(error.to_string()))?;
        let text = engine.comment_text("told", json!({ "hidden": Hidden::Told.of(&value) }), Vec::new())?;
        match Self::comment(engine, iid).await? {
            Some((note, _)) => connected.project.edit_comment(iid, note, &text).await?,
            None => connected.project.comment(iid, &text).await?,
        };
        Ok(())
    }

    async fn comment(engine: &Engine, iid: u64) -> Result<Option<(u64, Self)>, EngineError> {
        let connected = engine.connected().await?;
        let ours = connected.our_notes(iid).await?.into_iter();
        Ok(ours.filter_map(|note| Some((note.id, Hidden::Told.read(&note.body)?))).next_back())
    }
}

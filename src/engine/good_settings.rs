//! The last settings of the settings issue that could be used. The mirror keeps them: they rule where an edit cannot be
//! used, or a copy of GitLab shows an older text than GitLab did before.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::reconcile::is_older;
use super::{Engine, EngineError};
use crate::gitlab::Issue;
use crate::mirror::Fact;

/// The last good settings of an issue.
#[derive(Serialize, Deserialize)]
pub(super) struct Good {
    iid: u64,
    /// What stands in its block.
    pub(super) yaml: String,
    /// The issue's time when it was read last.
    #[serde(default)]
    updated_at: Option<Timestamp>,
}

impl Engine {
    /// The last good settings of an issue, where there were any.
    pub(super) fn last_good(&self, issue: &Issue) -> Result<Option<Good>, EngineError> {
        let good = self.inner.mirror.fact(Fact::GoodSettings)?;
        let good = good.and_then(|text| serde_json::from_str::<Good>(&text).ok());
        Ok(good.filter(|good| good.iid == issue.iid))
    }

    /// Remembers what an issue says as good, and how new that is.
    pub(super) fn remember_good(&self, issue: &Issue, yaml: &str) -> Result<(), EngineError> {
        let good = Good { iid: issue.iid, yaml: yaml.to_owned(), updated_at: Some(issue.updated_at) };
        let good = serde_json::to_string(&good).map_err(|error| EngineError::Text(error.to_string()))?;
        Ok(self.inner.mirror.remember(Fact::GoodSettings, &good)?)
    }

    /// Refuses an issue that was read from a copy older than the settings that count.
    pub(super) fn refuse_older_settings(&self, issue: &Issue, good: &Good) -> Result<(), EngineError> {
        if good.updated_at.is_some_and(|known| is_older(issue, known)) {
            self.refuse_a_lagging_copy(issue)?;
        } else {
            self.inner.lagging.forget(issue.iid);
        }
        Ok(())
    }
}

impl Good {
    /// Whether they were read from the issue as it is now.
    pub(super) fn is_as_new_as(&self, issue: &Issue) -> bool {
        self.updated_at == Some(issue.updated_at)
    }
}

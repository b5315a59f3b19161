//! Who put labels on and took them off, who closed and reopened.

use gitlab::api::projects::issues::IssueResourceLabelEvents;
use http::Method;
use jiff::Timestamp;
use serde::Deserialize;

use super::issues::built;
use super::people::User;
use super::{GitlabError, Project};

/// One label put on or taken off.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct LabelEvent {
    /// Grows with time.
    pub id: u64,
    /// Who did it; none for a deleted user.
    pub user: Option<User>,
    /// When.
    pub created_at: Timestamp,
    /// Which label; none once it is deleted.
    pub label: Option<EventLabel>,
    /// Put on or taken off.
    pub action: LabelAction,
}

/// A label in an event, as it is called now.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct EventLabel {
    /// Its number.
    pub id: u64,
}

/// Put on or taken off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LabelAction {
    /// Put on.
    Add,
    /// Taken off.
    Remove,
}

/// One closing or reopening.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct StateEvent {
    /// Grows with time.
    pub id: u64,
    /// Who did it; none for a deleted user.
    pub user: Option<User>,
    /// When.
    pub created_at: Timestamp,
    /// `closed` or `reopened`.
    pub state: String,
}

impl StateEvent {
    /// Whether it left the issue closed; else open.
    pub fn closes(&self) -> bool {
        self.state == "closed"
    }
}

impl Project {
    /// Every label event of an issue, oldest first; GitLab promises no order.
    ///
    /// # Errors
    ///
    /// As any call.
    pub async fn label_events(&self, iid: u64) -> Result<Vec<LabelEvent>, GitlabError> {
        let endpoint = built(IssueResourceLabelEvents::builder().project(self.id).issue(iid).build())?;
        let mut events: Vec<LabelEvent> = self.gitlab.all(&endpoint).await?;
        events.sort_by_key(|event| (event.created_at, event.id));
        Ok(events)
    }

    /// Every closing and reopening of an issue, oldest first; none where this GitLab does not tell them.
    ///
    /// # Errors
    ///
    /// As any call.
    pub async fn state_events(&self, iid: u64) -> Result<Vec<StateEvent>, GitlabError> {
        let endpoint = self.plain(Method::GET, &format!("issues/{iid}/resource_state_events"));
        let mut events: Vec<StateEvent> = match self.gitlab.all(&endpoint).await {
            Err(error) if error.is_gone() => Vec::new(),
            other => other?,
        };
        events.sort_by_key(|event| (event.created_at, event.id));
        Ok(events)
    }
}

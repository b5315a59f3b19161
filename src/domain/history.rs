//! Steps of a match: who moved it, when, and through what.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::State;

/// One step from a state to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Step {
    /// Where it was.
    pub from: State,
    /// Where it went.
    pub to: State,
    /// Who: a GitLab username, an API token's name, `link:email`, `cli`, `csv` or `service`; empty where GitLab does
    /// not say.
    pub by: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Through what.
    pub through: Through,
    /// What they said about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

impl Step {
    /// Whether both are one step of a match; whoever made it may be called otherwise by now.
    pub fn is_same_as(&self, other: &Self) -> bool {
        (self.from, self.to, self.at) == (other.from, other.to, other.at)
    }
}

/// Through what a decision was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Through {
    /// A label, a board, closing or reopening.
    Gitlab,
    /// `PATCH /api/v1/matches/{iid}`.
    Api,
    /// An action link of a message.
    Link,
    /// An edited file.
    Csv,
    /// `vorhoelle decide`.
    Cli,
    /// The inbox page.
    Page,
    /// The service itself.
    Service,
}

//! The ways on which reviewers are told.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A way on which reviewers are told of a match.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    /// E-mail, by SMTP, as a file or through Gmail.
    Email,
    /// Slack's incoming webhook.
    Slack,
    /// WhatsApp through Twilio.
    Whatsapp,
    /// GitLab's ToDo, made by the assignment at creation.
    Todo,
}

impl Channel {
    /// Every channel.
    pub const ALL: [Self; 4] = [Self::Email, Self::Slack, Self::Whatsapp, Self::Todo];
    /// The channels that carry messages; the ToDo comes with the issue.
    pub const MESSAGES: [Self; 3] = [Self::Email, Self::Slack, Self::Whatsapp];

    /// The word used in settings and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Slack => "slack",
            Self::Whatsapp => "whatsapp",
            Self::Todo => "todo",
        }
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A word that names no channel.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no channel; use email, slack, whatsapp or todo")]
pub struct UnknownChannel(pub String);

impl FromStr for Channel {
    type Err = UnknownChannel;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|channel| channel.as_str() == word)
            .ok_or_else(|| UnknownChannel(word.to_owned()))
    }
}

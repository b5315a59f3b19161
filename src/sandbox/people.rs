//! Who there is: users, their tokens, and what each role may do.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

/// A user of the instance.
#[derive(Clone, Debug)]
pub struct User {
    /// Global id.
    pub id: u64,
    /// Login name, also what a mention names.
    pub username: String,
    /// Name for people.
    pub name: String,
    /// The e-mail address that the user shows to everybody; empty for none.
    pub public_email: String,
    /// Whether GitLab calls the account a bot.
    pub bot: bool,
    /// When the account was made.
    pub created_at: Timestamp,
}

/// A member's access level in the project.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Level 10.
    Guest,
    /// Level 15.
    Planner,
    /// Level 20.
    Reporter,
    /// Level 30.
    Developer,
    /// Level 40.
    Maintainer,
    /// Level 50.
    Owner,
}

impl Role {
    /// GitLab's number for the role.
    pub fn level(self) -> u64 {
        match self {
            Self::Guest => 10,
            Self::Planner => 15,
            Self::Reporter => 20,
            Self::Developer => 30,
            Self::Maintainer => 40,
            Self::Owner => 50,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Who may see the project without being a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Visibility {
    /// Members only.
    Private,
    /// Everybody who is signed in.
    Internal,
    /// Everybody.
    Public,
}

impl Visibility {
    /// The word that the API uses.
    pub fn word(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Internal => "internal",
            Self::Public => "public",
        }
    }

    /// The number that webhooks use.
    pub fn level(self) -> u64 {
        match self {
            Self::Private => 0,
            Self::Internal => 10,
            Self::Public => 20,
        }
    }
}

/// Something that a role allows or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ability {
    /// See the project and its open issues.
    Read,
    /// See everybody's confidential issues and internal notes.
    ReadConfidential,
    /// Create issues, comment and react.
    Participate,
    /// Give labels and assignees to an issue at its creation.
    SetMetadataAtCreation,
    /// Change, label, assign, close and reopen any issue.
    UpdateIssue,
    /// Create, change and delete labels, boards and lists.
    AdminLabel,
    /// Delete issues.
    DeleteIssue,
    /// Edit and delete the comments of others.
    AdminNote,
    /// Read the repository of a private project.
    ReadCode,
    /// Everything about webhooks.
    AdminHook,
    /// Choose the number or the creation date of an issue.
    SetIid,
}

impl Ability {
    /// Whether a member of that role has the ability.
    pub fn of(self, role: Role) -> bool {
        match self {
            Self::Read | Self::Participate | Self::SetMetadataAtCreation => true,
            Self::ReadConfidential | Self::UpdateIssue | Self::AdminLabel => role >= Role::Planner,
            // Planners stand outside of the repository.
            Self::ReadCode => role >= Role::Reporter,
            // Planners may delete issues although Reporters and Developers, who stand above them, may not.
            Self::DeleteIssue => role == Role::Planner || role >= Role::Owner,
            Self::AdminNote | Self::AdminHook => role >= Role::Maintainer,
            Self::SetIid => role >= Role::Owner,
        }
    }
}

/// A personal, project or service account token.
#[derive(Clone, Debug)]
pub struct Token {
    /// Id of the token itself.
    pub id: u64,
    /// The secret that a call carries.
    pub value: String,
    /// Whose it is.
    pub user: u64,
    /// `api`, `read_api`, …
    pub scopes: Vec<String>,
    /// The first day on which it does not work any more.
    pub expires_at: Option<Date>,
    /// Whether somebody revoked it.
    pub revoked: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last used.
    pub last_used_at: Option<Timestamp>,
}

impl Token {
    /// Whether the token works at that moment.
    pub fn is_active(&self, now: Timestamp) -> bool {
        !self.revoked
            && self.expires_at.is_none_or(|day| now.to_zoned_datetime(jiff::tz::TimeZone::UTC).date() < day)
    }

    /// Whether the token may write (or only read).
    pub fn can(&self, write: bool) -> bool {
        self.scopes.iter().any(|scope| scope == "api" || (!write && scope == "read_api"))
    }
}

//! The rows of the world's tables.

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

/// The project in which everything happens.
#[derive(Clone, Debug)]
pub struct Project {
    /// Numeric id.
    pub id: u64,
    /// Path with namespace, e.g. `acme/job-matches`.
    pub path: String,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Whether an issue is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// `opened`, number 1.
    Opened,
    /// `closed`, number 2.
    Closed,
}

impl State {
    /// The word that the API uses.
    pub fn word(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Closed => "closed",
        }
    }
}

/// What kind of work item an issue is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IssueType {
    /// The usual.
    Issue,
    /// A task; webhooks call it a work item.
    Task,
    /// An incident; webhooks call it a work item.
    Incident,
}

impl IssueType {
    /// The name of `issue_type`, if there is such a type.
    pub fn named(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "issue" => Some(Self::Issue),
            "task" => Some(Self::Task),
            "incident" => Some(Self::Incident),
            _ => None,
        }
    }

    /// The word of `issue_type`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Issue => "issue",
            Self::Task => "task",
            Self::Incident => "incident",
        }
    }

    /// The word of webhooks' `type`.
    pub fn title(self) -> &'static str {
        match self {
            Self::Issue => "Issue",
            Self::Task => "Task",
            Self::Incident => "Incident",
        }
    }
}

/// An issue.
#[derive(Clone, Debug)]
pub struct Issue {
    /// Global id.
    pub id: u64,
    /// Number within the project.
    pub iid: u64,
    /// One line.
    pub title: String,
    /// Markdown, quick actions already taken out.
    pub description: Option<String>,
    /// Open or closed.
    pub state: State,
    /// Ids of its labels, in the order in which they came.
    pub labels: Vec<u64>,
    /// Ids of its assignees.
    pub assignees: Vec<u64>,
    /// Who created it.
    pub author: u64,
    /// Hidden from guests.
    pub confidential: bool,
    /// Due date.
    pub due_date: Option<Date>,
    /// Start date.
    pub start_date: Option<Date>,
    /// Issue, task or incident.
    pub issue_type: IssueType,
    /// Whether only members may comment.
    pub discussion_locked: Option<bool>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When anything about it last changed.
    pub updated_at: Timestamp,
    /// When it was closed, if it is.
    pub closed_at: Option<Timestamp>,
    /// Who closed it, if it is closed.
    pub closed_by: Option<u64>,
    /// When title or description were last edited.
    pub last_edited_at: Option<Timestamp>,
    /// Who last edited title or description.
    pub last_edited_by: Option<u64>,
    /// Who last updated anything.
    pub updated_by: Option<u64>,
    /// Global id of the issue that took its place in another project.
    pub moved_to: Option<u64>,
    /// Global id of the issue that it repeats.
    pub duplicated_to: Option<u64>,
}

/// A comment or a system note.
#[derive(Clone, Debug)]
pub struct Note {
    /// Id.
    pub id: u64,
    /// Number of the issue that it hangs on.
    pub iid: u64,
    /// Who wrote it.
    pub author: u64,
    /// Markdown.
    pub body: String,
    /// Whether GitLab wrote it.
    pub system: bool,
    /// Hidden from guests.
    pub internal: bool,
    /// When it was written.
    pub created_at: Timestamp,
    /// When it was last edited.
    pub updated_at: Timestamp,
}

/// A label of the project.
#[derive(Clone, Debug)]
pub struct Label {
    /// Id, kept by a rename.
    pub id: u64,
    /// Title.
    pub name: String,
    /// `#RRGGBB`.
    pub color: String,
    /// Description.
    pub description: Option<String>,
    /// Priority.
    pub priority: Option<u64>,
    /// Whether closing an issue takes the label off.
    pub remove_on_close: bool,
    /// Archived labels are hidden from quick actions.
    pub archived: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// Who put which label on or took it off.
#[derive(Clone, Debug)]
pub struct LabelEvent {
    /// Id.
    pub id: u64,
    /// Number of the issue.
    pub iid: u64,
    /// Who did it.
    pub user: u64,
    /// When.
    pub created_at: Timestamp,
    /// The label, `None` once it is deleted.
    pub label: Option<u64>,
    /// Put on, or taken off.
    pub added: bool,
}

/// Who closed or reopened an issue.
#[derive(Clone, Debug)]
pub struct StateEvent {
    /// Id.
    pub id: u64,
    /// Number of the issue.
    pub iid: u64,
    /// Who did it.
    pub user: u64,
    /// When.
    pub created_at: Timestamp,
    /// Closed, or reopened.
    pub closed: bool,
}

/// Why somebody has a to-do item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TodoAction {
    /// Assigned to the issue.
    Assigned,
    /// Mentioned in a text.
    Mentioned,
    /// Mentioned at the beginning of a text.
    DirectlyAddressed,
    /// Put there by the user.
    Marked,
}

impl TodoAction {
    /// The word that the API uses.
    pub fn word(self) -> &'static str {
        match self {
            Self::Assigned => "assigned",
            Self::Mentioned => "mentioned",
            Self::DirectlyAddressed => "directly_addressed",
            Self::Marked => "marked",
        }
    }
}

/// An entry of somebody's to-do list.
#[derive(Clone, Debug)]
pub struct Todo {
    /// Id.
    pub id: u64,
    /// Whose list it is on.
    pub user: u64,
    /// Who caused it.
    pub author: u64,
    /// Why it is there.
    pub action: TodoAction,
    /// Number of the issue.
    pub iid: u64,
    /// The comment that caused it, if one did.
    pub note: Option<u64>,
    /// What the list shows: the comment or the issue's title.
    pub body: String,
    /// Whether it is still to be done.
    pub pending: bool,
    /// When it came.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// An emoji reaction on an issue.
#[derive(Clone, Debug)]
pub struct Reaction {
    /// Id.
    pub id: u64,
    /// Number of the issue.
    pub iid: u64,
    /// Whose it is.
    pub user: u64,
    /// Canonical name of the emoji.
    pub name: String,
    /// When.
    pub created_at: Timestamp,
}

/// A board: Open, one list a label, Closed.
#[derive(Clone, Debug)]
pub struct Board {
    /// Id.
    pub id: u64,
    /// Name.
    pub name: String,
    /// The lists between Open and Closed, in order.
    pub lists: Vec<BoardList>,
}

/// A list of a board.
#[derive(Clone, Copy, Debug)]
pub struct BoardList {
    /// Id.
    pub id: u64,
    /// The label whose issues it shows.
    pub label: u64,
}

/// A quick action that GitLab recognised in a text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FiredQuickAction {
    /// Number of the issue; 0 where the issue was only about to be created.
    pub iid: u64,
    /// With whose permissions it ran.
    pub user: String,
    /// Name in lower case and arguments, as in `label ~"a b"`.
    pub command: String,
}

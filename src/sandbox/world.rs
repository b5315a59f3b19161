//! Everything that the instance knows, as plain state.
//!
//! What may be done with it, and what follows from it, stands in `rules`, one topic a file.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::hooks::{Delivery, Hook};
use super::people::{Ability, Role, Token, User};
use super::{Now, Options};

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

/// Everything that the instance knows.
pub struct World {
    /// How the instance is set up; may be changed while it runs.
    pub options: Options,
    /// Address of the instance without a slash at the end.
    pub base: String,
    /// The project.
    pub project: Project,
    /// All users.
    pub users: Vec<User>,
    /// All tokens.
    pub tokens: Vec<Token>,
    /// Roles by user id.
    pub members: BTreeMap<u64, Role>,
    /// Issues by number.
    pub issues: BTreeMap<u64, Issue>,
    /// Comments and system notes, oldest first.
    pub notes: Vec<Note>,
    /// Labels, oldest first.
    pub labels: Vec<Label>,
    /// Label events, oldest first.
    pub label_events: Vec<LabelEvent>,
    /// State events, oldest first.
    pub state_events: Vec<StateEvent>,
    /// To-do items, oldest first.
    pub todos: Vec<Todo>,
    /// Reactions, oldest first.
    pub reactions: Vec<Reaction>,
    /// Boards, oldest first.
    pub boards: Vec<Board>,
    /// Webhooks of the project, oldest first.
    pub hooks: Vec<Hook>,
    /// The delivery log, oldest first.
    pub deliveries: Vec<super::hooks::DeliveryLog>,
    /// Every quick action that was recognised, whether its user could run it or not.
    pub fired_quick_actions: Vec<FiredQuickAction>,
    /// Files of the default branch by path.
    pub files: BTreeMap<String, Vec<u8>>,
    pub(super) now: Now,
    /// Webhooks that were caused and not yet handed to the network.
    pub(super) outbox: Vec<Delivery>,
    /// `X-Gitlab-Event-UUID` of the request that is being answered.
    pub(super) event_uuid: Option<String>,
    /// Which hook fired under which event UUID, and when: GitLab's brake on recursion.
    pub(super) fired_under: BTreeMap<(String, u64), Timestamp>,
    /// Issues as they were before their last change; `None` where that was their creation.
    pub(super) previous: BTreeMap<u64, Option<Issue>>,
    /// The issue that changed last.
    pub(super) last_changed: Option<u64>,
    /// Whether the request that is being answered sees a lagging replica.
    pub(super) stale: bool,
    next_id: BTreeMap<&'static str, u64>,
    next_iid: u64,
}

impl World {
    pub(super) fn new(options: Options, base: String) -> Self {
        let now = options.now.clone();
        let created_at = now();
        let mut world = Self {
            project: Project {
                id: options.project_id,
                path: options.project.clone(),
                created_at,
            },
            options,
            base,
            users: Vec::new(),
            tokens: Vec::new(),
            members: BTreeMap::new(),
            issues: BTreeMap::new(),
            notes: Vec::new(),
            labels: Vec::new(),
            label_events: Vec::new(),
            state_events: Vec::new(),
            todos: Vec::new(),
            reactions: Vec::new(),
            boards: Vec::new(),
            hooks: Vec::new(),
            deliveries: Vec::new(),
            fired_quick_actions: Vec::new(),
            files: BTreeMap::new(),
            now,
            outbox: Vec::new(),
            event_uuid: None,
            fired_under: BTreeMap::new(),
            previous: BTreeMap::new(),
            last_changed: None,
            stale: false,
            next_id: BTreeMap::new(),
            next_iid: 1,
        };
        for (username, role) in [
            ("owner", Some(Role::Owner)),
            ("reviewer", Some(Role::Maintainer)),
            ("colleague", Some(Role::Reporter)),
            ("bot", Some(Role::Reporter)),
            ("developer", Some(Role::Developer)),
            ("guest", Some(Role::Guest)),
            ("stranger", None),
        ] {
            world.add_user(username, role);
        }
        world
    }

    /// Adds a user, a member of the project if there is a role, with an `api` token
    /// `sandbox-<username>-token`. A user named `bot` or `…_bot…` is one to GitLab, too.
    pub fn add_user(&mut self, username: &str, role: Option<Role>) -> u64 {
        let created_at = self.now();
        let id = self.id("user", 51);
        let mut name = username.to_owned();
        name[..1].make_ascii_uppercase();
        let bot = username == "bot" || username.contains("_bot");
        self.users.push(User {
            id,
            username: username.to_owned(),
            name,
            bot,
            created_at,
        });
        if let Some(role) = role {
            self.members.insert(id, role);
        }
        let token = Token {
            id: self.id("token", 801),
            value: format!("sandbox-{username}-token"),
            user: id,
            scopes: vec!["api".to_owned()],
            expires_at: None,
            revoked: false,
            created_at,
            last_used_at: None,
        };
        self.tokens.push(token);
        id
    }

    /// The present moment as the database keeps it: to the microsecond.
    pub fn now(&self) -> Timestamp {
        let now = (self.now)();
        Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
    }

    /// The next id of a table whose first row has the id `first`.
    pub(super) fn id(&mut self, table: &'static str, first: u64) -> u64 {
        let next = self.next_id.entry(table).or_insert(first);
        let id = *next;
        *next += 1;
        id
    }

    /// The next number of an issue; numbers of deleted issues do not come again.
    pub(super) fn take_iid(&mut self, wanted: Option<u64>) -> u64 {
        let iid = wanted.unwrap_or(self.next_iid);
        self.next_iid = self.next_iid.max(iid + 1);
        iid
    }

    /// The major number of the instance's version.
    pub(super) fn major_version(&self) -> u32 {
        self.options
            .version
            .split('.')
            .next()
            .and_then(|major| major.parse().ok())
            .unwrap_or(0)
    }

    /// Finds a user by name.
    pub fn user_named(&self, username: &str) -> Option<&User> {
        self.users
            .iter()
            .find(|user| user.username.eq_ignore_ascii_case(username))
    }

    /// Finds a user by id.
    pub fn user(&self, id: u64) -> Option<&User> {
        self.users.iter().find(|user| user.id == id)
    }

    /// The username behind an id, empty for nobody.
    pub fn username(&self, id: u64) -> &str {
        self.user(id).map_or("", |user| &user.username)
    }

    /// Finds a label by its exact title.
    pub fn label_named(&self, name: &str) -> Option<&Label> {
        self.labels.iter().find(|label| label.name == name)
    }

    /// Finds a label by id.
    pub fn label(&self, id: u64) -> Option<&Label> {
        self.labels.iter().find(|label| label.id == id)
    }

    /// Finds an issue by number.
    pub fn issue(&self, iid: u64) -> Option<&Issue> {
        self.issues.get(&iid)
    }

    /// The titles of an issue's labels, sorted; empty for no issue.
    pub fn labels_of(&self, iid: u64) -> Vec<String> {
        self.issue(iid)
            .map(|issue| self.label_names(issue))
            .unwrap_or_default()
    }

    pub(super) fn label_names(&self, issue: &Issue) -> Vec<String> {
        let mut names: Vec<_> = issue
            .labels
            .iter()
            .filter_map(|id| self.label(*id))
            .map(|label| label.name.clone())
            .collect();
        names.sort();
        names
    }

    /// The comments of an issue that people wrote, oldest first.
    pub fn comments_of(&self, iid: u64) -> Vec<&Note> {
        self.notes
            .iter()
            .filter(|note| note.iid == iid && !note.system)
            .collect()
    }

    /// Whether the user may do that in the project. `None` is somebody without an account.
    pub fn can(&self, user: Option<u64>, ability: Ability) -> bool {
        use super::people::Visibility::{Internal, Public};
        match user.and_then(|id| self.members.get(&id)) {
            Some(role) => ability.of(*role),
            None => match ability {
                Ability::Read => {
                    self.options.visibility == Public
                        || (self.options.visibility == Internal && user.is_some())
                }
                Ability::Participate => {
                    user.is_some() && matches!(self.options.visibility, Public | Internal)
                }
                _ => false,
            },
        }
    }

    /// Whether the user may see that issue.
    pub fn can_see(&self, user: Option<u64>, issue: &Issue) -> bool {
        self.can(user, Ability::Read)
            && (!issue.confidential
                || self.can(user, Ability::ReadConfidential)
                || user.is_some_and(|id| issue.author == id || issue.assignees.contains(&id)))
    }

    /// Keeps the issue as it is, for the reads that lag behind.
    pub(super) fn remember(&mut self, iid: u64) {
        self.previous.insert(iid, self.issues.get(&iid).cloned());
        self.last_changed = Some(iid);
    }

    /// Address of an issue's page.
    pub(super) fn issue_url(&self, iid: u64) -> String {
        format!("{}/{}/-/issues/{iid}", self.base, self.project.path)
    }

    /// Gives the user another role, or none.
    pub fn set_role(&mut self, username: &str, role: Option<Role>) {
        let Some(id) = self.user_named(username).map(|user| user.id) else {
            return;
        };
        match role {
            Some(role) => self.members.insert(id, role),
            None => self.members.remove(&id),
        };
    }

    /// The user's token, to be revoked, narrowed or let expire.
    pub fn token_of(&mut self, username: &str) -> Option<&mut Token> {
        let id = self.user_named(username)?.id;
        self.tokens.iter_mut().find(|token| token.user == id)
    }
}

/// A moment as the API prints it: milliseconds, UTC.
pub(super) fn stamp(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

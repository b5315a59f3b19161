//! Everything that the instance knows, as plain state.
//!
//! What may be done with it, and what follows from it, stands in `rules`, one topic a file.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::chats::Chats;
use super::hooks::{Delivery, Hook};
use super::people::{Ability, Role, Token, User};
use super::records::{
    Board, FiredQuickAction, Issue, Label, LabelEvent, Note, Project, Reaction, StateEvent, Todo,
};
use super::{Now, Options};

/// How long a copy of the database may lag before GitLab asks it no more.
const LAGS_AT_MOST: SignedDuration = SignedDuration::from_mins(2);

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
    /// What Slack and WhatsApp were told.
    pub chats: Chats,
    pub(super) now: Now,
    /// Webhooks that were caused and not yet handed to the network.
    pub(super) outbox: Vec<Delivery>,
    /// `X-Gitlab-Event-UUID` of the request that is being answered.
    pub(super) event_uuid: Option<String>,
    /// Which hook fired under which event UUID, and when: GitLab's brake on recursion.
    pub(super) fired_under: BTreeMap<(String, u64), Timestamp>,
    /// Issues as they were before their last change, and when that was; `None` where it was their creation.
    previous: BTreeMap<u64, (Timestamp, Option<Issue>)>,
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
            project: Project { id: options.project_id, path: options.project.clone(), created_at },
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
            chats: Chats::default(),
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
        if let Some(first) = name.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        let bot = username == "bot" || username.contains("_bot");
        self.users.push(User {
            id,
            username: username.to_owned(),
            name,
            public_email: String::new(),
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
        self.options.version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0)
    }

    /// Finds a user by name.
    pub fn user_named(&self, username: &str) -> Option<&User> {
        self.users.iter().find(|user| user.username.eq_ignore_ascii_case(username))
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
        self.issue(iid).map(|issue| self.label_names(issue)).unwrap_or_default()
    }

    pub(super) fn label_names(&self, issue: &Issue) -> Vec<String> {
        let mut names: Vec<_> =
            issue.labels.iter().filter_map(|id| self.label(*id)).map(|label| label.name.clone()).collect();
        names.sort();
        names
    }

    /// The comments of an issue that people wrote, oldest first.
    pub fn comments_of(&self, iid: u64) -> Vec<&Note> {
        self.notes.iter().filter(|note| note.iid == iid && !note.system).collect()
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
        self.previous.insert(iid, (self.now(), self.issues.get(&iid).cloned()));
        self.last_changed = Some(iid);
    }

    /// What a copy that lags behind knows of an issue, where the request that is being answered sees one and it still
    /// lags: GitLab asks none that does for longer (`ReplicaMaxLag`, looked at every half minute).
    pub(super) fn lagging(&self, iid: u64) -> Option<Option<&Issue>> {
        let (changed, before) = self.previous.get(&iid).filter(|_| self.stale)?;
        (self.now().duration_since(*changed) < LAGS_AT_MOST).then_some(before.as_ref())
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

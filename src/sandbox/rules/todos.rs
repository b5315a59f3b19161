//! To-do items: who gets one for what, and what takes it off the list again.

use super::super::markdown::rendered_effects;
use super::super::people::Ability;
use super::super::records::{Todo, TodoAction};
use super::super::refusal::Refusal;
use super::super::world::World;

impl World {
    /// Puts an item on a user's list, unless one of that kind waits there already. Mentions may wait several times.
    pub(super) fn add_todo(
        &mut self,
        user: u64,
        author: u64,
        action: TodoAction,
        iid: u64,
        note: Option<u64>,
    ) -> Option<u64> {
        let issue = self.issues.get(&iid)?;
        if !self.can_see(Some(user), issue) {
            return None;
        }
        let several = matches!(action, TodoAction::Mentioned | TodoAction::DirectlyAddressed);
        let waits =
            |todo: &Todo| todo.pending && todo.user == user && todo.iid == iid && todo.action == action;
        if !several && self.todos.iter().any(waits) {
            return None;
        }
        let body = match note.and_then(|id| self.notes.iter().find(|note| note.id == id)) {
            Some(note) => note.body.clone(),
            None => issue.title.clone(),
        };
        let now = self.now();
        let id = self.id("todo", 1001);
        self.todos.push(Todo {
            id,
            user,
            author,
            action,
            iid,
            note,
            body,
            pending: true,
            created_at: now,
            updated_at: now,
        });
        Some(id)
    }

    /// Takes the acting user's own items for the issue off the list; nobody else's.
    pub(super) fn resolve_todos(&mut self, user: u64, iid: u64) {
        let now = self.now();
        for todo in self.todos.iter_mut().filter(|todo| todo.pending && todo.user == user && todo.iid == iid)
        {
            todo.pending = false;
            todo.updated_at = now;
        }
    }

    /// The users whom a text mentions, `@all` among them where the instance allows it.
    pub(super) fn mentioned(&self, text: &str) -> Vec<u64> {
        let mut users = Vec::new();
        for name in rendered_effects(text).mentions {
            if name.eq_ignore_ascii_case("all") && !self.options.disable_all_mention {
                users.extend(self.members.keys().copied());
            } else if let Some(user) = self.user_named(&name) {
                users.push(user.id);
            }
        }
        let mut seen = std::collections::BTreeSet::new();
        users.retain(|user| seen.insert(*user));
        users
    }

    /// Gives an item to everybody whom the text mentions and who is not in `skip`.
    pub(super) fn mention_todos(
        &mut self,
        author: u64,
        iid: u64,
        note: Option<u64>,
        text: &str,
        skip: &[u64],
    ) {
        let addressed = self.directly_addressed(text);
        for user in self.mentioned(text) {
            if skip.contains(&user) {
                continue;
            }
            let action =
                if addressed.contains(&user) { TodoAction::DirectlyAddressed } else { TodoAction::Mentioned };
            self.add_todo(user, author, action, iid, note);
        }
    }

    /// The users whom a text names before it says anything else.
    fn directly_addressed(&self, text: &str) -> Vec<u64> {
        let mut rest = text.trim_start();
        let mut users = Vec::new();
        while let Some(after) = rest.strip_prefix('@') {
            let end = after
                .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')))
                .unwrap_or(after.len());
            let name = after[..end].trim_end_matches('.');
            let Some(user) = self.user_named(name) else {
                break;
            };
            users.push(user.id);
            rest = after[end..].trim_start_matches([' ', ',', '\n']);
        }
        users
    }

    /// Puts the issue on the caller's own list.
    ///
    /// # Errors
    ///
    /// 304 where it waits there already.
    pub fn mark_todo(&mut self, actor: u64, iid: u64) -> Result<u64, Refusal> {
        self.visible_issue(Some(actor), iid)?;
        self.add_todo(actor, actor, TodoAction::Marked, iid, None).ok_or_else(Refusal::not_modified)
    }

    /// Takes one item off the caller's list.
    ///
    /// # Errors
    ///
    /// 404 where it is not the caller's.
    pub fn mark_as_done(&mut self, actor: u64, id: u64) -> Result<(), Refusal> {
        let now = self.now();
        let todo = self
            .todos
            .iter_mut()
            .find(|todo| todo.id == id && todo.user == actor)
            .ok_or_else(|| Refusal::not_found("Todo"))?;
        todo.pending = false;
        todo.updated_at = now;
        Ok(())
    }

    /// The pending items of a user, oldest first.
    pub fn pending_todos(&self, username: &str) -> Vec<&Todo> {
        let id = self.user_named(username).map(|user| user.id);
        self.todos.iter().filter(|todo| todo.pending && Some(todo.user) == id).collect()
    }

    /// Checks that somebody may do that, 404 for the project where they may not even see it.
    pub(in super::super) fn allow(&self, user: Option<u64>, ability: Ability) -> Result<(), Refusal> {
        if !self.can(user, Ability::Read) {
            return Err(Refusal::not_found("Project"));
        }
        if self.can(user, ability) { Ok(()) } else { Err(Refusal::forbidden()) }
    }
}

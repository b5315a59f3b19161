//! Comments and system notes.

use serde_json::{Value, json};

use super::super::people::Ability;
use super::super::quick_actions::{QuickAction, extract};
use super::super::records::Note;
use super::super::refusal::Refusal;
use super::super::world::World;

/// What became of a comment.
#[derive(Clone, Debug, PartialEq)]
pub enum Commented {
    /// It was stored under this id; what its quick actions changed.
    Stored(u64, Value),
    /// It held nothing but quick actions, and no note was stored.
    OnlyCommands {
        /// What the quick actions changed.
        changes: Value,
        /// What GitLab tells the user about them.
        summary: Vec<String>,
    },
}

impl World {
    /// Writes a note in GitLab's own name.
    pub(super) fn system_note(&mut self, actor: u64, iid: u64, body: &str) {
        self.insert_note(actor, iid, body, true, false);
    }

    fn insert_note(&mut self, author: u64, iid: u64, body: &str, system: bool, internal: bool) -> u64 {
        let now = self.now();
        let id = self.id("note", 5001);
        let body = body.to_owned();
        self.notes.push(Note { id, iid, author, body, system, internal, created_at: now, updated_at: now });
        id
    }

    /// Comments on an issue. Quick actions in the text are executed.
    ///
    /// # Errors
    ///
    /// As GitLab: not seen, not allowed, empty, too long, only commands that do nothing, too many in this minute.
    pub fn comment(
        &mut self,
        actor: u64,
        iid: u64,
        text: &str,
        internal: bool,
    ) -> Result<Commented, Refusal> {
        let issue = self.visible_issue(Some(actor), iid)?.clone();
        self.allow(Some(actor), Ability::Participate)?;
        if issue.discussion_locked == Some(true) && !self.members.contains_key(&actor) {
            return Err(Refusal::forbidden());
        }
        if internal && !self.can(Some(actor), Ability::ReadConfidential) {
            return Err(Refusal::forbidden());
        }
        let now = self.now();
        let recent = self.notes.iter().filter(|note| {
            note.author == actor && !note.system && note.created_at.as_second() / 60 == now.as_second() / 60
        });
        if self.options.notes_per_minute.is_some_and(|limit| recent.count() >= limit) {
            return Err(Refusal::too_many_requests());
        }
        check_text(text)?;
        let (stored, actions) = extract(text);
        if stored.trim().is_empty() {
            return self.only_commands(actor, iid, &actions);
        }
        let id = self.insert_note(actor, iid, &stored, false, internal);
        self.touch(iid);
        self.resolve_todos(actor, iid);
        self.mention_todos(actor, iid, Some(id), &stored, &[]);
        self.cross_reference(actor, iid, &stored);
        self.fire_note(actor, id, "create");
        let changes = self.run_commands(actor, iid, &actions)?.0;
        Ok(Commented::Stored(id, changes))
    }

    fn only_commands(&mut self, actor: u64, iid: u64, actions: &[QuickAction]) -> Result<Commented, Refusal> {
        if actions.is_empty() {
            return Err(Refusal::bad_request("Note {:note=>[\"can't be blank\"]}"));
        }
        let (changes, summary) = self.run_commands(actor, iid, actions)?;
        if summary.is_empty() {
            return Err(Refusal::bad_request("Note {:commands=>[\"Failed to apply commands.\"]}"));
        }
        Ok(Commented::OnlyCommands { changes, summary })
    }

    fn run_commands(
        &mut self,
        actor: u64,
        iid: u64,
        actions: &[QuickAction],
    ) -> Result<(Value, Vec<String>), Refusal> {
        if actions.is_empty() {
            return Ok((json!({}), Vec::new()));
        }
        let issue = self.visible_issue(Some(actor), iid)?.clone();
        let outcome = self.interpret(actor, Some(&issue), actions);
        let changes = outcome.told();
        if outcome.updates {
            self.update_issue(actor, iid, outcome.change)?;
        }
        self.after_commands(actor, iid, outcome.after);
        Ok((changes, outcome.summary))
    }

    /// A note that the user may see.
    ///
    /// # Errors
    ///
    /// 404, whether it does not exist or may not be seen.
    pub(in super::super) fn visible_note(
        &self,
        user: Option<u64>,
        iid: u64,
        id: u64,
    ) -> Result<&Note, Refusal> {
        self.visible_issue(user, iid)?;
        let inside = self.can(user, Ability::ReadConfidential);
        self.notes
            .iter()
            .find(|note| note.iid == iid && note.id == id && (!note.internal || inside))
            .ok_or_else(Refusal::no_row)
    }

    fn own_note(&self, actor: u64, iid: u64, id: u64) -> Result<&Note, Refusal> {
        let note = self.visible_note(Some(actor), iid, id)?;
        let may = !note.system && (note.author == actor || self.can(Some(actor), Ability::AdminNote));
        if may { Ok(note) } else { Err(Refusal::forbidden()) }
    }

    /// Edits a comment. New quick actions in it are executed, too.
    ///
    /// # Errors
    ///
    /// 404 where it is not seen, 403 for all but its author and Maintainers, 400 where the text is not valid.
    pub fn edit_comment(&mut self, actor: u64, iid: u64, id: u64, text: &str) -> Result<Value, Refusal> {
        let old = self.own_note(actor, iid, id)?.body.clone();
        check_text(text)?;
        let (stored, actions) = extract(text);
        let known = self.mentioned(&old);
        let now = self.now();
        let gone = stored.trim().is_empty();
        if gone && actions.is_empty() {
            return Err(Refusal::bad_request("Note {:note=>[\"can't be blank\"]}"));
        }
        if let Some(at) = self.notes.iter().position(|note| note.id == id) {
            if gone {
                // Edited down to commands alone, a comment is deleted.
                self.notes.remove(at);
            } else {
                self.notes[at].body.clone_from(&stored);
                self.notes[at].updated_at = now;
            }
        }
        self.touch(iid);
        if !gone {
            self.mention_todos(actor, iid, Some(id), &stored, &known);
            self.cross_reference(actor, iid, &stored);
            self.fire_note(actor, id, "update");
        }
        Ok(self.run_commands(actor, iid, &actions)?.0)
    }

    /// Deletes a comment.
    ///
    /// # Errors
    ///
    /// 404 where it is not seen, 403 for all but its author and Maintainers.
    pub fn delete_comment(&mut self, actor: u64, iid: u64, id: u64) -> Result<(), Refusal> {
        self.own_note(actor, iid, id)?;
        self.notes.retain(|note| note.id != id);
        self.todos.retain(|todo| todo.note != Some(id));
        Ok(())
    }

    fn touch(&mut self, iid: u64) {
        self.remember(iid);
        let now = self.now();
        if let Some(issue) = self.issues.get_mut(&iid) {
            issue.updated_at = now;
        }
    }

    fn fire_note(&mut self, actor: u64, id: u64, action: &str) {
        if self.hooks.is_empty() {
            return;
        }
        let Some(note) = self.notes.iter().find(|note| note.id == id) else {
            return;
        };
        let Some(issue) = self.issues.get(&note.iid) else {
            return;
        };
        let (trigger, body) = self.note_payload(actor, note, issue, action);
        self.fire(trigger, &body);
    }
}

fn check_text(text: &str) -> Result<(), Refusal> {
    if text.trim().is_empty() {
        return Err(Refusal::bad_request("Note {:note=>[\"can't be blank\"]}"));
    }
    match super::too_long(text) {
        Some(reason) => Err(Refusal::bad_request(&format!("Note {{:note=>[\"{reason}\"]}}"))),
        None => Ok(()),
    }
}

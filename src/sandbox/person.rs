//! Acts of people, as if through GitLab's own pages: with their permissions, firing webhooks as they do.

use super::Sandbox;
use super::records::{IssueType, State, Todo};
use super::refusal::Refusal;
use super::rules::{Column, Commented, IssueChange, LabelChange, NewIssue};
use super::world::World;

type Done = Result<(), Refusal>;

/// Somebody who does something.
#[derive(Clone)]
pub struct Person {
    pub(super) sandbox: Sandbox,
    pub(super) id: u64,
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

impl Person {
    /// Does something and sends the webhooks that it caused.
    fn act<T>(&self, act: impl FnOnce(&mut World, u64) -> T) -> T {
        let outcome = act(&mut self.sandbox.world(), self.id);
        self.sandbox.dispatch();
        outcome
    }

    fn update(&self, iid: u64, change: IssueChange) -> Done {
        self.act(|world, id| world.update_issue(id, iid, change))
    }

    /// The user's id.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Creates an issue and tells its number.
    ///
    /// # Errors
    ///
    /// As GitLab refuses it.
    pub fn create_issue(&self, title: &str, description: &str, labels: &[&str]) -> Result<u64, Refusal> {
        let rest = IssueChange {
            description: Some(description.to_owned()),
            labels: Some(owned(labels)),
            ..IssueChange::default()
        };
        let new = NewIssue { title: title.to_owned(), rest, iid: None, created_at: None };
        self.act(|world, id| world.create_issue(id, new))
    }

    /// Puts labels on an issue and takes others off, in one update.
    ///
    /// # Errors
    ///
    /// As GitLab refuses it.
    pub fn relabel(&self, iid: u64, add: &[&str], remove: &[&str]) -> Done {
        self.update(
            iid,
            IssueChange { add_labels: owned(add), remove_labels: owned(remove), ..IssueChange::default() },
        )
    }

    /// Drags a card on the first board; a column is `Open`, `Closed` or the title of a label with a list.
    ///
    /// # Errors
    ///
    /// As GitLab refuses it.
    pub fn drag(&self, iid: u64, from: &str, to: &str) -> Done {
        self.act(|world, id| {
            let board =
                world.boards.first().map(|board| board.id).ok_or_else(|| Refusal::not_found("Board"))?;
            world.drag(id, board, iid, &Column::named(from), &Column::named(to))
        })
    }

    /// Closes an issue.
    ///
    /// # Errors
    ///
    /// As GitLab refuses it.
    pub fn close(&self, iid: u64) -> Done {
        self.update(iid, IssueChange { state: Some(State::Closed), ..IssueChange::default() })
    }

    /// Reopens an issue.
    ///
    /// # Errors
    ///
    /// As GitLab refuses it.
    pub fn reopen(&self, iid: u64) -> Done {
        self.update(iid, IssueChange { state: Some(State::Opened), ..IssueChange::default() })
    }

    /// Comments on an issue.
    ///
    /// # Errors
    ///
    /// As GitLab refuses it.
    pub fn comment(&self, iid: u64, text: &str) -> Result<Commented, Refusal> {
        self.act(|world, id| world.comment(id, iid, text, false))
    }

    /// Edits a comment.
    ///
    /// # Errors
    ///
    /// As GitLab refuses it.
    pub fn edit_comment(&self, iid: u64, note: u64, text: &str) -> Done {
        self.act(|world, id| world.edit_comment(id, iid, note, text).map(drop))
    }

    /// Deletes a comment.
    ///
    /// # Errors
    ///
    /// As GitLab refuses it.
    pub fn delete_comment(&self, iid: u64, note: u64) -> Done {
        self.act(|world, id| world.delete_comment(id, iid, note))
    }

    /// Edits an issue's title.
    ///
    /// # Errors
    ///
    /// As GitLab refuses it.
    pub fn edit_title(&self, iid: u64, title: &str) -> Done {
        self.update(iid, IssueChange { title: Some(title.to_owned()), ..IssueChange::default() })
    }

    /// Edits an issue's description.
    ///
    /// # Errors
    ///
    /// As GitLab refuses it.
    pub fn edit_description(&self, iid: u64, text: &str) -> Done {
        self.update(iid, IssueChange { description: Some(text.to_owned()), ..IssueChange::default() })
    }

    /// Assigns an issue to these users and nobody else.
    ///
    /// # Errors
    ///
    /// As GitLab refuses it; 404 for an unknown user.
    pub fn assign(&self, iid: u64, usernames: &[&str]) -> Done {
        let ids: Option<Vec<u64>> = {
            let world = self.sandbox.world();
            usernames.iter().map(|name| world.user_named(name).map(|user| user.id)).collect()
        };
        let ids = ids.ok_or_else(|| Refusal::not_found("User"))?;
        self.update(iid, IssueChange { assignees: Some(ids), ..IssueChange::default() })
    }

    /// Hides an issue from guests, or shows it again.
    ///
    /// # Errors
    ///
    /// As GitLab refuses it.
    pub fn set_confidential(&self, iid: u64, confidential: bool) -> Done {
        self.update(iid, IssueChange { confidential: Some(confidential), ..IssueChange::default() })
    }

    /// Changes an issue's type.
    ///
    /// # Errors
    ///
    /// As GitLab refuses it.
    pub fn set_type(&self, iid: u64, issue_type: IssueType) -> Done {
        self.update(iid, IssueChange { issue_type: Some(issue_type), ..IssueChange::default() })
    }

    /// Deletes an issue.
    ///
    /// # Errors
    ///
    /// As GitLab refuses it.
    pub fn delete_issue(&self, iid: u64) -> Done {
        self.act(|world, id| world.delete_issue(id, iid))
    }

    /// Moves an issue to a project elsewhere.
    ///
    /// # Errors
    ///
    /// As GitLab refuses it.
    pub fn move_issue(&self, iid: u64) -> Done {
        self.act(|world, id| world.move_issue(id, iid))
    }

    /// Makes a label.
    ///
    /// # Errors
    ///
    /// As GitLab refuses it.
    pub fn create_label(&self, name: &str, color: &str) -> Result<u64, Refusal> {
        self.act(|world, id| world.create_label(id, name, color, None))
    }

    /// Gives a label another title.
    ///
    /// # Errors
    ///
    /// As GitLab refuses it.
    pub fn rename_label(&self, name: &str, new_name: &str) -> Done {
        let change = LabelChange { name: Some(new_name.to_owned()), ..LabelChange::default() };
        self.act(|world, id| world.update_label(id, name, change).map(drop))
    }

    /// Deletes a label.
    ///
    /// # Errors
    ///
    /// As GitLab refuses it.
    pub fn delete_label(&self, name: &str) -> Done {
        self.act(|world, id| world.delete_label(id, name))
    }

    /// Makes a board with a list for each of these labels and tells its id.
    ///
    /// # Errors
    ///
    /// As GitLab refuses it; 404 for an unknown label.
    pub fn create_board(&self, name: &str, labels: &[&str]) -> Result<u64, Refusal> {
        self.act(|world, id| {
            let board = world.create_board(id, name)?;
            for label in labels {
                let label = world
                    .label_named(label)
                    .map(|label| label.id)
                    .ok_or_else(|| Refusal::not_found("Label"))?;
                world.create_list(id, board, label)?;
            }
            Ok(board)
        })
    }

    /// Reacts to an issue.
    ///
    /// # Errors
    ///
    /// As GitLab refuses it.
    pub fn react(&self, iid: u64, emoji: &str) -> Result<u64, Refusal> {
        self.act(|world, id| world.react(id, iid, emoji))
    }

    /// Takes a reaction back.
    ///
    /// # Errors
    ///
    /// As GitLab refuses it.
    pub fn unreact(&self, iid: u64, reaction: u64) -> Done {
        self.act(|world, id| world.unreact(id, iid, reaction))
    }

    /// The user's pending to-do items, oldest first.
    pub fn todos(&self) -> Vec<Todo> {
        let world = self.sandbox.world();
        world.todos.iter().filter(|todo| todo.pending && todo.user == self.id).cloned().collect()
    }
}

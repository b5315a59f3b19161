//! Comments on issues.

use http::Method;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;

use super::issues::or_default;
use super::people::User;
use super::{GitlabError, Project};

/// A comment, or a line that GitLab wrote about an act.
#[derive(Clone, Debug, Deserialize)]
pub struct Note {
    /// Its number.
    pub id: u64,
    /// Its text.
    #[serde(default, deserialize_with = "or_default")]
    pub body: String,
    /// Who wrote it; nobody where GitLab names none.
    #[serde(default, deserialize_with = "or_default")]
    pub author: User,
    /// When it was written.
    pub created_at: Timestamp,
    /// Whether GitLab wrote it about an act.
    #[serde(default, deserialize_with = "or_default")]
    pub system: bool,
}

/// How GitLab's lines about a change of a text begin. Where the change ticks a box of a list, whatever else it does, GitLab
/// writes a line about the box alone, which older versions call a task.
const EDITS: [&str; 3] = ["changed the description", "marked the checklist item ", "marked the task "];

/// Which of several comments counts where there was to be one, oldest first: the first of whoever wrote last. Of two that
/// one user wrote at once the second goes; a new bot may not edit what an earlier one wrote, and writes its own.
pub fn that_counts<'a>(notes: impl DoubleEndedIterator<Item = &'a Note>) -> Option<&'a Note> {
    let mut newest_first = notes.rev().peekable();
    let last = newest_first.peek()?.author.id;
    newest_first.take_while(|note| note.author.id == last).last()
}

impl Project {
    /// Every comment on an issue, oldest first, without GitLab's own lines.
    ///
    /// # Errors
    ///
    /// As any call.
    pub async fn notes(&self, iid: u64) -> Result<Vec<Note>, GitlabError> {
        let endpoint = self
            .plain(Method::GET, &format!("issues/{iid}/notes"))
            .query("activity_filter", "only_comments")
            .query("order_by", "created_at")
            .query("sort", "asc");
        let mut notes: Vec<Note> = self.gitlab.all(&endpoint).await?;
        notes.retain(|note| !note.system);
        notes.sort_by_key(|note| (note.created_at, note.id));
        Ok(notes)
    }

    /// Who last changed an issue's text, by GitLab's own line about it; none where nobody did since it was made.
    ///
    /// # Errors
    ///
    /// As any call.
    pub async fn last_editor(&self, iid: u64) -> Result<Option<User>, GitlabError> {
        Ok(self.last_edit(iid).await?.map(|line| line.author))
    }

    /// GitLab's own line about the last change of an issue's text; none where nobody changed it since it was made.
    ///
    /// # Errors
    ///
    /// As any call.
    pub async fn last_edit(&self, iid: u64) -> Result<Option<Note>, GitlabError> {
        let endpoint = self
            .plain(Method::GET, &format!("issues/{iid}/notes"))
            .query("activity_filter", "only_activity")
            .query("order_by", "created_at")
            .query("sort", "asc");
        let notes: Vec<Note> = self.gitlab.all(&endpoint).await?;
        let is_edit = |note: &Note| note.system && EDITS.iter().any(|begin| note.body.starts_with(begin));
        // An owner may date a change back, and its line with it; the numbers go on.
        Ok(notes.into_iter().filter(is_edit).max_by_key(|note| note.id))
    }

    /// Writes a comment, below GitLab's limit on comments.
    ///
    /// # Errors
    ///
    /// Where [`GitlabError::is_unclear`], the comment may be there all the same.
    pub async fn comment(&self, iid: u64, body: &str) -> Result<Note, GitlabError> {
        self.gitlab.room_for_a_comment().await?;
        let endpoint = self.plain(Method::POST, &format!("issues/{iid}/notes"));
        self.gitlab.get(&endpoint.json(json!({ "body": body }))).await
    }

    /// Deletes one of our comments, unless it is gone already: an answer that got lost makes the call be repeated.
    ///
    /// # Errors
    ///
    /// As any call.
    pub async fn delete_comment(&self, iid: u64, note: u64) -> Result<(), GitlabError> {
        let endpoint = self.plain(Method::DELETE, &format!("issues/{iid}/notes/{note}"));
        match self.gitlab.call(&endpoint).await {
            Err(error) if error.is_gone() => Ok(()),
            other => other.map(drop),
        }
    }

    /// Replaces the text of one of our comments.
    ///
    /// # Errors
    ///
    /// As any call.
    pub async fn edit_comment(&self, iid: u64, note: u64, body: &str) -> Result<Note, GitlabError> {
        let endpoint = self.plain(Method::PUT, &format!("issues/{iid}/notes/{note}"));
        self.gitlab.get(&endpoint.json(json!({ "body": body }))).await
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn of_several_the_first_of_whoever_wrote_last_counts() {
        for (authors, counts) in [
            (&[][..], None),
            (&[1], Some(0)),
            (&[1, 1], Some(0)),
            (&[1, 2, 2], Some(1)),
            (&[1, 2, 1], Some(2)),
        ] {
            let note = |(id, author): (usize, &u64)| -> Note {
                let user = json!({ "id": author, "username": "bot" });
                let at = "2026-02-07T10:00:00Z";
                let note = json!({ "id": id, "body": "", "author": user, "created_at": at, "system": false });
                serde_json::from_value(note).unwrap()
            };
            let notes: Vec<Note> = authors.iter().enumerate().map(note).collect();
            assert_eq!(that_counts(notes.iter()).map(|note| note.id), counts, "{authors:?}");
        }
    }
}

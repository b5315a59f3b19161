//! How an update is told: in system notes, and in the `changes` of a webhook.

use serde_json::{Value, json};

use super::super::records::Issue;
use super::super::world::World;

impl World {
    /// The system notes of an update.
    pub(super) fn change_notes(&self, before: &Issue, after: &Issue) -> Vec<String> {
        let mut notes = Vec::new();
        if after.title != before.title {
            notes.push(format!("changed title from **{}** to **{}**", before.title, after.title));
        }
        if after.description != before.description {
            notes.push("changed the description".to_owned());
        }
        let names = |ids: Vec<&u64>| {
            ids.into_iter().map(|id| format!("@{}", self.username(*id))).collect::<Vec<_>>().join(" and ")
        };
        let added: Vec<_> = after.assignees.iter().filter(|id| !before.assignees.contains(id)).collect();
        let removed: Vec<_> = before.assignees.iter().filter(|id| !after.assignees.contains(id)).collect();
        match (added.is_empty(), removed.is_empty()) {
            (false, false) => {
                notes.push(format!("assigned to {} and unassigned {}", names(added), names(removed)))
            }
            (false, true) => notes.push(format!("assigned to {}", names(added))),
            (true, false) => notes.push(format!("unassigned {}", names(removed))),
            (true, true) => {}
        }
        if after.confidential != before.confidential {
            let what = if after.confidential { "confidential" } else { "visible to everyone" };
            notes.push(format!("made the issue {what}"));
        }
        if after.due_date != before.due_date {
            notes.push(match after.due_date {
                Some(day) => format!("changed due date to {}", day.strftime("%B %-d, %Y")),
                None => "removed due date".to_owned(),
            });
        }
        if after.issue_type != before.issue_type {
            notes.push(format!(
                "changed type from {} to {}",
                before.issue_type.word(),
                after.issue_type.word()
            ));
        }
        if after.discussion_locked != before.discussion_locked {
            let what = if after.discussion_locked == Some(true) { "locked" } else { "unlocked" };
            notes.push(format!("{what} the discussion in this issue"));
        }
        notes
    }

    /// What an update changed, as a webhook tells it: fields with their values before and after.
    pub(super) fn hook_changes(&self, before: &Issue, iid: u64) -> Value {
        let Some(after) = self.issues.get(&iid) else {
            return json!({});
        };
        let (old, new) = (self.hook_issue(before), self.hook_issue(after));
        let mut changes = serde_json::Map::new();
        for field in [
            "title",
            "description",
            "state_id",
            "confidential",
            "due_date",
            "start_date",
            "type",
            "discussion_locked",
            "closed_at",
            "last_edited_at",
            "last_edited_by_id",
            "updated_by_id",
            "updated_at",
            "moved_to_id",
            "duplicated_to_id",
            "labels",
        ] {
            if old[field] != new[field] {
                changes.insert(field.to_owned(), json!({"previous": old[field], "current": new[field]}));
            }
        }
        if before.assignees != after.assignees {
            let people = |ids: &[u64]| ids.iter().map(|id| self.hook_user(*id)).collect::<Vec<_>>();
            changes.insert(
                "assignees".to_owned(),
                json!({"previous": people(&before.assignees), "current": people(&after.assignees)}),
            );
        }
        Value::Object(changes)
    }
}

//! How an update is told: in system notes, and in the `changes` of a webhook.

use pulldown_cmark::{Event, Options, Parser};
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
            let text = |issue: &Issue| issue.description.clone().unwrap_or_default();
            let ticked = ticked(&text(before), &text(after));
            // GitLab tells of boxes alone, whatever else of the text changed with them.
            if ticked.is_empty() {
                notes.push("changed the description".to_owned());
            }
            notes.extend(ticked);
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

/// What is said of the boxes that changed: the n-th box of a text is the n-th of the other where both say the same.
fn ticked(before: &str, after: &str) -> Vec<String> {
    let both = boxes(before).into_iter().zip(boxes(after));
    let changed = both.filter(|((was, was_done), (is, is_done))| was == is && was_done != is_done);
    changed
        .map(|(_, (item, done))| {
            let word = if done { "completed" } else { "incomplete" };
            format!("marked the checklist item **{item}** as {word}")
        })
        .collect()
}

/// The boxes in a text's lists, with whether they are ticked.
fn boxes(text: &str) -> Vec<(&str, bool)> {
    let events = Parser::new_ext(text, Options::ENABLE_TASKLISTS).into_offset_iter();
    let markers = events.filter_map(|(event, range)| match event {
        Event::TaskListMarker(done) => Some((range.end, done)),
        _ => None,
    });
    markers.map(|(end, done)| (text[end..].lines().next().unwrap_or_default().trim(), done)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_is_told_of_where_it_says_the_same_in_the_same_place() {
        let before = "- [ ] a\n- [x] b\n1. [ ] c\n\n```\n- [ ] no box\n```\n";
        let told = |after: &str| ticked(before, after);
        assert_eq!(told(&before.replace("[ ] a", "[x] a")), ["marked the checklist item **a** as completed"]);
        assert_eq!(
            told(&before.replace("[x] b", "[ ] b")),
            ["marked the checklist item **b** as incomplete"]
        );
        assert_eq!(told(&before.replace("[ ]", "[x]")).len(), 2);
        for other in ["- [x] d\n- [x] b\n", "text", "- [ ] a\n"] {
            assert_eq!(told(other), [""; 0], "{other}");
        }
    }
}

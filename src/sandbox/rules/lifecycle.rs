//! Closing, reopening, moving and deleting issues.

use serde_json::json;

use super::super::people::Ability;
use super::super::records::{State, StateEvent};
use super::super::refusal::Refusal;
use super::super::world::{World, stamp};

impl World {
    /// Closes an open issue, with a webhook of its own.
    pub(super) fn close_issue(&mut self, actor: u64, iid: u64) {
        let Some(before) = self.issues.get(&iid).filter(|issue| issue.state == State::Opened).cloned() else {
            return;
        };
        let now = self.now();
        if let Some(issue) = self.issues.get_mut(&iid) {
            issue.state = State::Closed;
            issue.closed_at = Some(now);
            issue.closed_by = Some(actor);
            issue.updated_at = now;
        }
        self.record_state_event(actor, iid, true);
        self.resolve_todos(actor, iid);
        let changes = json!({
            "closed_at": {"previous": null, "current": stamp(now)},
            "state_id": {"previous": 1, "current": 2},
            "updated_at": {"previous": stamp(before.updated_at), "current": stamp(now)},
        });
        self.fire_issue(actor, iid, Some("close"), &changes);
        let kept: Vec<u64> = before
            .labels
            .iter()
            .copied()
            .filter(|id| self.label(*id).is_none_or(|label| !label.remove_on_close))
            .collect();
        if kept.len() != before.labels.len() {
            self.record_label_events(actor, iid, &before.labels, &kept);
            if let Some(issue) = self.issues.get_mut(&iid) {
                issue.labels = kept;
            }
        }
    }

    /// Reopens a closed issue, with a webhook of its own.
    pub(super) fn reopen_issue(&mut self, actor: u64, iid: u64) {
        let Some(before) = self.issues.get(&iid).filter(|issue| issue.state == State::Closed).cloned() else {
            return;
        };
        let now = self.now();
        if let Some(issue) = self.issues.get_mut(&iid) {
            issue.state = State::Opened;
            issue.closed_at = None;
            issue.closed_by = None;
            issue.updated_at = now;
        }
        self.record_state_event(actor, iid, false);
        let changes = json!({
            "closed_at": {"previous": before.closed_at.map(stamp), "current": null},
            "state_id": {"previous": 2, "current": 1},
            "updated_at": {"previous": stamp(before.updated_at), "current": stamp(now)},
        });
        self.fire_issue(actor, iid, Some("reopen"), &changes);
    }

    fn record_state_event(&mut self, actor: u64, iid: u64, closed: bool) {
        let created_at = self.now();
        let id = self.id("state_event", 4001);
        self.state_events.push(StateEvent { id, iid, user: actor, created_at, closed });
        self.system_note(actor, iid, if closed { "closed" } else { "reopened" });
    }

    /// Closes an issue that repeats another.
    pub(super) fn mark_duplicate(&mut self, actor: u64, iid: u64, of: u64) {
        let Some(original) = self.issues.get(&of).map(|issue| issue.id) else {
            return;
        };
        if let Some(issue) = self.issues.get_mut(&iid) {
            issue.duplicated_to = Some(original);
        }
        self.system_note(actor, iid, &format!("marked this issue as a duplicate of #{of}"));
        self.system_note(actor, of, &format!("marked #{iid} as a duplicate of this issue"));
        self.close_issue(actor, iid);
    }

    /// Moves an issue to a project elsewhere: a new issue takes its place there, the old one is closed.
    ///
    /// # Errors
    ///
    /// 404 where it is not seen, 403 where it may not be updated.
    pub fn move_issue(&mut self, actor: u64, iid: u64) -> Result<(), Refusal> {
        let issue = self.visible_issue(Some(actor), iid)?.clone();
        if !self.can(Some(actor), Ability::UpdateIssue) || issue.moved_to.is_some() {
            return Err(Refusal::forbidden());
        }
        self.remember(iid);
        let target = self.id("issue", 9001);
        if let Some(issue) = self.issues.get_mut(&iid) {
            issue.moved_to = Some(target);
        }
        let namespace = self.project.path.split('/').next().unwrap_or_default().to_owned();
        self.system_note(actor, iid, &format!("moved to {namespace}/elsewhere#1"));
        self.close_issue(actor, iid);
        Ok(())
    }

    /// Deletes an issue and all that hangs on it. No webhook tells of it.
    ///
    /// # Errors
    ///
    /// 404 where it is not seen, 403 for all but Planners and Owners.
    pub fn delete_issue(&mut self, actor: u64, iid: u64) -> Result<(), Refusal> {
        self.visible_issue(Some(actor), iid)?;
        self.allow(Some(actor), Ability::DeleteIssue)?;
        self.remember(iid);
        self.issues.remove(&iid);
        self.notes.retain(|note| note.iid != iid);
        self.label_events.retain(|event| event.iid != iid);
        self.state_events.retain(|event| event.iid != iid);
        self.todos.retain(|todo| todo.iid != iid);
        self.reactions.retain(|reaction| reaction.iid != iid);
        Ok(())
    }
}

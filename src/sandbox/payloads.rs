//! The bodies of webhooks.

use serde_json::{Value, json};

use super::hooks::Trigger;
use super::records::{Issue, IssueType, Note, State};
use super::world::{World, stamp};

impl World {
    /// The user who acted, or an assignee.
    pub(super) fn hook_user(&self, id: u64) -> Value {
        match self.user(id) {
            Some(user) => json!({
                "id": user.id,
                "name": user.name,
                "username": user.username,
                "avatar_url": self.avatar_url(user.id),
                "email": "[REDACTED]",
            }),
            None => Value::Null,
        }
    }

    /// The address of a user's picture.
    pub(super) fn avatar_url(&self, id: u64) -> String {
        format!("{}/uploads/-/system/user/avatar/{id}/avatar.png", self.base)
    }

    /// The project, as every webhook describes it.
    pub(super) fn hook_project(&self) -> Value {
        let path = &self.project.path;
        let (namespace, name) = path.rsplit_once('/').unwrap_or(("", path));
        let web = format!("{}/{path}", self.base);
        let ssh = format!("git@{}:{path}.git", self.host());
        json!({
            "id": self.project.id,
            "name": name,
            "description": null,
            "web_url": web,
            "avatar_url": null,
            "git_ssh_url": ssh,
            "git_http_url": format!("{web}.git"),
            "namespace": namespace,
            "visibility_level": self.options.visibility.level(),
            "path_with_namespace": path,
            "default_branch": "main",
            "ci_config_path": null,
            "homepage": web,
            "url": ssh,
            "ssh_url": ssh,
            "http_url": format!("{web}.git"),
        })
    }

    /// The instance's host without the port.
    pub(super) fn host(&self) -> &str {
        let rest = self.base.split_once("://").map_or(self.base.as_str(), |(_, rest)| rest);
        rest.split([':', '/']).next().unwrap_or(rest)
    }

    fn hook_labels(&self, issue: &Issue) -> Value {
        let mut labels: Vec<_> = issue.labels.iter().filter_map(|id| self.label(*id)).collect();
        labels.sort_by(|one, other| one.name.cmp(&other.name));
        labels
            .into_iter()
            .map(|label| {
                json!({
                    "id": label.id,
                    "title": label.name,
                    "color": label.color,
                    "project_id": self.project.id,
                    "created_at": stamp(label.created_at),
                    "updated_at": stamp(label.updated_at),
                    "template": false,
                    "description": label.description,
                    "type": "ProjectLabel",
                    "group_id": null,
                })
            })
            .collect()
    }

    /// An issue without an action: `object_attributes` of issue hooks, `issue` of the others.
    pub(super) fn hook_issue(&self, issue: &Issue) -> Value {
        json!({
            "id": issue.id,
            "title": issue.title,
            "assignee_ids": issue.assignees,
            "assignee_id": issue.assignees.first(),
            "author_id": issue.author,
            "project_id": self.project.id,
            "created_at": stamp(issue.created_at),
            "updated_at": stamp(issue.updated_at),
            "updated_by_id": issue.updated_by,
            "last_edited_at": issue.last_edited_at.map(stamp),
            "last_edited_by_id": issue.last_edited_by,
            "relative_position": 513 * issue.iid,
            "description": issue.description,
            "milestone_id": null,
            "state_id": if issue.state == State::Opened { 1 } else { 2 },
            "confidential": issue.confidential,
            "discussion_locked": issue.discussion_locked,
            "due_date": issue.due_date,
            "start_date": issue.start_date,
            "moved_to_id": issue.moved_to,
            "duplicated_to_id": issue.duplicated_to,
            "time_estimate": 0,
            "total_time_spent": 0,
            "time_change": 0,
            "human_total_time_spent": null,
            "human_time_estimate": null,
            "human_time_change": null,
            "type": issue.issue_type.title(),
            "iid": issue.iid,
            "url": self.issue_url(issue.iid),
            "state": issue.state.word(),
            "severity": "unknown",
            "labels": self.hook_labels(issue),
            "closed_at": issue.closed_at.map(stamp),
            "customer_relations_contacts": [],
        })
    }

    fn hook_repository(&self) -> Value {
        let project = self.hook_project();
        json!({
            "name": project["name"],
            "url": project["url"],
            "description": project["description"],
            "homepage": project["homepage"],
        })
    }

    /// The body of an issue hook and what triggers it.
    pub(super) fn issue_payload(
        &self,
        actor: u64,
        issue: &Issue,
        action: Option<&str>,
        changes: &Value,
    ) -> (Trigger, Value) {
        let kind = if issue.issue_type == IssueType::Issue { "issue" } else { "work_item" };
        let mut attributes = self.hook_issue(issue);
        if let Some(action) = action {
            attributes["action"] = action.into();
        }
        let labels = attributes["labels"].clone();
        let mut body = json!({
            "object_kind": kind,
            "event_type": if issue.confidential { format!("confidential_{kind}") } else { kind.to_owned() },
            "user": self.hook_user(actor),
            "project": self.hook_project(),
            "object_attributes": attributes,
            "repository": self.hook_repository(),
            "labels": labels,
            "changes": changes,
        });
        // Without assignees the key is absent.
        if !issue.assignees.is_empty() {
            body["assignees"] = issue.assignees.iter().map(|id| self.hook_user(*id)).collect();
        }
        (if issue.confidential { Trigger::ConfidentialIssue } else { Trigger::Issue }, body)
    }

    /// Tells the hooks about an issue.
    pub(super) fn fire_issue(&mut self, actor: u64, iid: u64, action: Option<&str>, changes: &Value) {
        if self.hooks.is_empty() {
            return;
        }
        let Some(issue) = self.issues.get(&iid) else {
            return;
        };
        let (trigger, body) = self.issue_payload(actor, issue, action, changes);
        self.fire(trigger, &body);
    }

    /// The body of a note hook and what triggers it.
    pub(super) fn note_payload(
        &self,
        actor: u64,
        note: &Note,
        issue: &Issue,
        action: &str,
    ) -> (Trigger, Value) {
        let confidential = issue.confidential || note.internal;
        let body = json!({
            "object_kind": "note",
            "event_type": if confidential { "confidential_note" } else { "note" },
            "user": self.hook_user(actor),
            "project_id": self.project.id,
            "project": self.hook_project(),
            "repository": self.hook_repository(),
            "object_attributes": {
                "id": note.id,
                "internal": note.internal,
                "note": note.body,
                "noteable_type": "Issue",
                "author_id": note.author,
                "created_at": stamp(note.created_at),
                "updated_at": stamp(note.updated_at),
                "project_id": self.project.id,
                "attachment": null,
                "line_code": null,
                "commit_id": "",
                "noteable_id": issue.id,
                "system": note.system,
                "st_diff": null,
                "action": action,
                "description": note.body,
                "url": format!("{}#note_{}", self.issue_url(issue.iid), note.id),
            },
            "issue": self.hook_issue(issue),
        });
        (if confidential { Trigger::ConfidentialNote } else { Trigger::Note }, body)
    }
}

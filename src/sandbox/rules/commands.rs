//! What quick actions do, with the permissions of whoever wrote them.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::super::people::Ability;
use super::super::quick_actions::QuickAction;
use super::super::records::{FiredQuickAction, Issue, IssueType, State};
use super::super::world::World;
use super::IssueChange;

/// What is done once the issue is there and updated.
#[derive(Clone, Debug)]
pub(super) enum After {
    /// Put it on the user's own to-do list.
    Todo,
    /// Take it off the user's own to-do list.
    Done,
    /// Add the reaction, or take it back.
    React(String),
    /// Move it elsewhere.
    Move,
}

/// What a text's quick actions come to.
#[derive(Default)]
pub(super) struct Interpreted {
    pub change: IssueChange,
    /// Whether the issue itself is updated.
    pub updates: bool,
    pub after: Vec<After>,
    /// One sentence a command that does something.
    pub summary: Vec<String>,
    told: serde_json::Map<String, Value>,
}

impl Interpreted {
    /// `commands_changes` of the API.
    pub(super) fn told(&self) -> Value {
        Value::Object(self.told.clone())
    }

    fn tell(&mut self, key: &str, value: Value, sentence: String) {
        self.told.insert(key.to_owned(), value);
        self.summary.push(sentence);
    }
}

impl World {
    /// Finds out what the actions do, and notes that they were recognised. `issue` is `None` while it is created.
    pub(super) fn interpret(
        &mut self,
        actor: u64,
        issue: Option<&Issue>,
        actions: &[QuickAction],
    ) -> Interpreted {
        let mut outcome = Interpreted::default();
        for action in actions {
            self.fired_quick_actions.push(FiredQuickAction {
                iid: issue.map_or(0, |issue| issue.iid),
                user: self.username(actor).to_owned(),
                command: action.line(),
            });
            if action.is_known() {
                self.interpret_one(actor, issue, action, &mut outcome);
            }
        }
        outcome
    }

    fn interpret_one(&self, actor: u64, issue: Option<&Issue>, action: &QuickAction, out: &mut Interpreted) {
        let metadata = self.can(
            Some(actor),
            if issue.is_some() { Ability::UpdateIssue } else { Ability::SetMetadataAtCreation },
        );
        let edits =
            metadata || issue.is_none_or(|issue| issue.author == actor || issue.assignees.contains(&actor));
        let assigned = out.change.assignees.clone().or_else(|| issue.map(|issue| issue.assignees.clone()));
        let updates_before = out.updates;
        out.updates = true;
        match action.name.as_str() {
            "close" if edits => {
                out.change.state = Some(State::Closed);
                out.tell("state_event", json!("close"), "Closed this issue.".into());
            }
            "reopen" if edits => {
                out.change.state = Some(State::Opened);
                out.tell("state_event", json!("reopen"), "Reopened this issue.".into());
            }
            "title" if edits && !action.arguments.is_empty() => {
                out.change.title = Some(action.arguments.clone());
                out.tell(
                    "title",
                    json!(action.arguments),
                    format!("Changed the title to \"{}\".", action.arguments),
                );
            }
            "label" | "labels" if metadata => {
                let names = self.named_labels(&action.arguments);
                if !names.is_empty() {
                    out.tell(
                        "add_label_ids",
                        json!(self.ids_of(&names)),
                        format!("Added {} label.", tildes(&names)),
                    );
                    out.change.add_labels.extend(names);
                }
            }
            "unlabel" | "remove_label" if metadata => {
                let names = if action.arguments.is_empty() {
                    issue.map(|issue| self.label_names(issue)).unwrap_or_default()
                } else {
                    self.named_labels(&action.arguments)
                };
                if !names.is_empty() {
                    out.tell(
                        "remove_label_ids",
                        json!(self.ids_of(&names)),
                        format!("Removed {} label.", tildes(&names)),
                    );
                    out.change.remove_labels.extend(names);
                }
            }
            "relabel" if metadata => {
                let names = self.named_labels(&action.arguments);
                if !names.is_empty() {
                    let sentence = format!("Replaced all labels with {} label.", tildes(&names));
                    out.tell("label_ids", json!(self.ids_of(&names)), sentence);
                    out.change.labels = Some(names);
                }
            }
            "assign" if metadata => {
                let mut users = assigned.unwrap_or_default();
                users.extend(self.named_users(actor, &action.arguments));
                users.dedup();
                out.tell("assignee_ids", json!(users), "Assigned.".into());
                out.change.assignees = Some(users);
            }
            "reassign" if metadata => {
                let users = self.named_users(actor, &action.arguments);
                out.tell("assignee_ids", json!(users), "Changed assignee.".into());
                out.change.assignees = Some(users);
            }
            "unassign" if metadata => {
                let named = self.named_users(actor, &action.arguments);
                let mut users = assigned.unwrap_or_default();
                users.retain(|user| !action.arguments.is_empty() && !named.contains(user));
                out.tell("assignee_ids", json!(users), "Removed assignee.".into());
                out.change.assignees = Some(users);
            }
            "confidential" if metadata => {
                out.change.confidential = Some(true);
                out.tell("confidential", json!(true), "Made this issue confidential.".into());
            }
            "due" | "in_due_date" if metadata => {
                if let Some(day) = self.day_named(&action.arguments) {
                    out.change.due_date = Some(Some(day));
                    out.tell("due_date", json!(day), format!("Set the due date to {day}."));
                }
            }
            "remove_due_date" if metadata => {
                out.change.due_date = Some(None);
                out.tell("due_date", Value::Null, "Removed the due date.".into());
            }
            "lock" | "unlock" if metadata => {
                let locks = action.name == "lock";
                out.change.discussion_locked = Some(locks);
                out.tell("discussion_locked", json!(locks), "Changed the lock of the discussion.".into());
            }
            "type" | "promote_to_incident" | "promote_to" if metadata => {
                let name =
                    if action.name == "promote_to_incident" { "incident" } else { action.arguments.as_str() };
                if let Some(issue_type) = IssueType::named(name) {
                    out.change.issue_type = Some(issue_type);
                    out.tell("issue_type", json!(issue_type.word()), "Type changed successfully.".into());
                }
            }
            "duplicate" if metadata => {
                if let Some(of) = action
                    .arguments
                    .trim_start_matches('#')
                    .parse()
                    .ok()
                    .filter(|of| self.issues.contains_key(of))
                {
                    out.change.duplicate_of = Some(of);
                    out.tell(
                        "canonical_issue_id",
                        json!(of),
                        format!("Closed this issue. Marked as duplicate of #{of}."),
                    );
                }
            }
            other => {
                out.updates = updates_before;
                let (after, told) = match other {
                    "todo" => (After::Todo, "Added a to-do item."),
                    "done" => (After::Done, "Marked to-do item as done."),
                    "award" | "react" => (After::React(action.arguments.clone()), "Toggled emoji reaction."),
                    "move" if metadata && issue.is_some() => (After::Move, "Moved this issue."),
                    _ => return,
                };
                out.tell(other, json!(true), told.into());
                out.after.push(after);
            }
        }
    }

    /// Does what is to be done after the update.
    pub(super) fn after_commands(&mut self, actor: u64, iid: u64, after: Vec<After>) {
        for what in after {
            match what {
                After::Todo => drop(self.mark_todo(actor, iid)),
                After::Done => self.resolve_todos(actor, iid),
                After::Move => drop(self.move_issue(actor, iid)),
                After::React(name) => {
                    let name = name.trim_matches(':').to_owned();
                    let own =
                        self.reactions.iter().find(|r| r.iid == iid && r.user == actor && r.name == name);
                    match own.map(|reaction| reaction.id) {
                        Some(id) => drop(self.unreact(actor, iid, id)),
                        None => drop(self.react(actor, iid, &name)),
                    }
                }
            }
        }
    }

    /// Titles of the labels that are named, with or without `~`; archived and unknown ones are not found.
    fn named_labels(&self, arguments: &str) -> Vec<String> {
        let mut names = Vec::new();
        let mut rest = arguments.trim_start();
        while !rest.is_empty() {
            rest = rest.strip_prefix('~').unwrap_or(rest);
            let (name, after) = match rest.strip_prefix('"').and_then(|quoted| quoted.split_once('"')) {
                Some((name, after)) => (name, after),
                None => rest.split_once(' ').unwrap_or((rest, "")),
            };
            if let Some(label) = self.label_named(name).filter(|label| !label.archived) {
                names.push(label.name.clone());
            }
            rest = after.trim_start();
        }
        names
    }

    fn ids_of(&self, names: &[String]) -> Vec<u64> {
        names.iter().filter_map(|name| self.label_named(name)).map(|label| label.id).collect()
    }

    fn named_users(&self, actor: u64, arguments: &str) -> Vec<u64> {
        arguments
            .split([' ', ','])
            .filter_map(|name| match name.trim_start_matches('@') {
                "me" => Some(actor),
                name => self.user_named(name).map(|user| user.id),
            })
            .collect()
    }

    fn day_named(&self, arguments: &str) -> Option<Date> {
        let today = self.now().to_zoned_datetime(TimeZone::UTC).date();
        match arguments.trim_start_matches("in ").to_ascii_lowercase().as_str() {
            "today" => Some(today),
            "tomorrow" => today.tomorrow().ok(),
            "1 week" => today.checked_add(jiff::Span::new().days(7)).ok(),
            "2 days" => today.checked_add(jiff::Span::new().days(2)).ok(),
            _ => arguments.parse().ok(),
        }
    }
}

fn tildes(names: &[String]) -> String {
    names.iter().map(|name| format!("~\"{name}\"")).collect::<Vec<_>>().join(" ")
}

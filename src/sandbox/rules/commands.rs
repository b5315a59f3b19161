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

    /// Obeys a command of those who may edit the issue; false where it is another one.
    fn obey_edit(&mut self, action: &QuickAction) -> bool {
        match action.name.as_str() {
            "close" => {
                self.change.state = Some(State::Closed);
                self.tell("state_event", json!("close"), "Closed this issue.".into());
            }
            "reopen" => {
                self.change.state = Some(State::Opened);
                self.tell("state_event", json!("reopen"), "Reopened this issue.".into());
            }
            "title" if !action.arguments.is_empty() => {
                self.change.title = Some(action.arguments.clone());
                let sentence = format!("Changed the title to \"{}\".", action.arguments);
                self.tell("title", json!(action.arguments), sentence);
            }
            _ => return false,
        }
        true
    }

    /// Puts off what is done once the issue is updated; any other command does nothing.
    fn put_off(&mut self, action: &QuickAction, may_move: bool) {
        let name = action.name.as_str();
        let (after, sentence) = match name {
            "todo" => (After::Todo, "Added a to-do item."),
            "done" => (After::Done, "Marked to-do item as done."),
            "award" | "react" => (After::React(action.arguments.clone()), "Toggled emoji reaction."),
            "move" if may_move => (After::Move, "Moved this issue."),
            _ => return,
        };
        self.tell(name, json!(true), sentence.into());
        self.after.push(after);
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
        let is_update = (edits && out.obey_edit(action))
            || (metadata
                && (self.obey_labels(issue, action, out)
                    || self.obey_assignees(actor, issue, action, out)
                    || self.obey_fields(action, out)));
        out.updates |= is_update;
        if !is_update {
            out.put_off(action, metadata && issue.is_some());
        }
    }

    /// Obeys a command about labels; false where it is another one.
    fn obey_labels(&self, issue: Option<&Issue>, action: &QuickAction, out: &mut Interpreted) -> bool {
        let named = || self.named_labels(&action.arguments);
        let (key, names, verb) = match action.name.as_str() {
            "label" | "labels" => ("add_label_ids", named(), "Added"),
            "unlabel" | "remove_label" if action.arguments.is_empty() => {
                let all = issue.map(|issue| self.label_names(issue)).unwrap_or_default();
                ("remove_label_ids", all, "Removed")
            }
            "unlabel" | "remove_label" => ("remove_label_ids", named(), "Removed"),
            "relabel" => ("label_ids", named(), "Replaced all labels with"),
            _ => return false,
        };
        if names.is_empty() {
            return true;
        }
        out.tell(key, json!(self.ids_of(&names)), format!("{verb} {} label.", tildes(&names)));
        match key {
            "add_label_ids" => out.change.add_labels.extend(names),
            "remove_label_ids" => out.change.remove_labels.extend(names),
            _ => out.change.labels = Some(names),
        }
        true
    }

    /// Obeys a command about who is assigned; false where it is another one.
    fn obey_assignees(
        &self,
        actor: u64,
        issue: Option<&Issue>,
        action: &QuickAction,
        out: &mut Interpreted,
    ) -> bool {
        let named = self.named_users(actor, &action.arguments);
        let assigned = out.change.assignees.clone().or_else(|| issue.map(|issue| issue.assignees.clone()));
        let mut users = assigned.unwrap_or_default();
        let sentence = match action.name.as_str() {
            "assign" => {
                users.extend(named);
                users.dedup();
                "Assigned."
            }
            "reassign" => {
                users = named;
                "Changed assignee."
            }
            "unassign" => {
                users.retain(|user| !action.arguments.is_empty() && !named.contains(user));
                "Removed assignee."
            }
            _ => return false,
        };
        out.tell("assignee_ids", json!(users), sentence.into());
        out.change.assignees = Some(users);
        true
    }

    /// Obeys a command about another field of an issue; false where it is another one.
    fn obey_fields(&self, action: &QuickAction, out: &mut Interpreted) -> bool {
        match action.name.as_str() {
            "confidential" => {
                out.change.confidential = Some(true);
                out.tell("confidential", json!(true), "Made this issue confidential.".into());
            }
            "due" | "in_due_date" => {
                if let Some(day) = self.day_named(&action.arguments) {
                    out.change.due_date = Some(Some(day));
                    out.tell("due_date", json!(day), format!("Set the due date to {day}."));
                }
            }
            "remove_due_date" => {
                out.change.due_date = Some(None);
                out.tell("due_date", Value::Null, "Removed the due date.".into());
            }
            "lock" | "unlock" => {
                let locks = action.name == "lock";
                out.change.discussion_locked = Some(locks);
                out.tell("discussion_locked", json!(locks), "Changed the lock of the discussion.".into());
            }
            "type" | "promote_to_incident" | "promote_to" => {
                let name =
                    if action.name == "promote_to_incident" { "incident" } else { action.arguments.as_str() };
                if let Some(issue_type) = IssueType::named(name) {
                    out.change.issue_type = Some(issue_type);
                    out.tell("issue_type", json!(issue_type.word()), "Type changed successfully.".into());
                }
            }
            "duplicate" => {
                let of = action.arguments.trim_start_matches('#').parse().ok();
                if let Some(of) = of.filter(|of| self.issues.contains_key(of)) {
                    out.change.duplicate_of = Some(of);
                    let sentence = format!("Closed this issue. Marked as duplicate of #{of}.");
                    out.tell("canonical_issue_id", json!(of), sentence);
                }
            }
            _ => return false,
        }
        true
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

//! Issues: creating, updating, closing, moving and deleting them, with all that GitLab does along the way.

use jiff::Timestamp;
use jiff::civil::Date;
use serde_json::json;

use super::super::markdown::issue_references;
use super::super::people::Ability;
use super::super::quick_actions::{QuickAction, extract};
use super::super::records::{Issue, IssueType, LabelEvent, State};
use super::super::refusal::Refusal;
use super::super::world::{World, stamp};

/// What is to change about an issue.
#[derive(Clone, Debug, Default)]
pub struct IssueChange {
    /// New title.
    pub title: Option<String>,
    /// New description; quick actions in it are executed.
    pub description: Option<String>,
    /// Titles of the labels that it shall have instead of those that it has.
    pub labels: Option<Vec<String>>,
    /// Titles of labels to be put on, after `labels`.
    pub add_labels: Vec<String>,
    /// Titles of labels to be taken off, after `add_labels`.
    pub remove_labels: Vec<String>,
    /// Close or reopen it.
    pub state: Option<State>,
    /// Ids of all its assignees.
    pub assignees: Option<Vec<u64>>,
    /// Hide it from guests, or show it again.
    pub confidential: Option<bool>,
    /// New due date, or none.
    pub due_date: Option<Option<Date>>,
    /// New start date, or none.
    pub start_date: Option<Option<Date>>,
    /// Whether only members may comment.
    pub discussion_locked: Option<bool>,
    /// Another type.
    pub issue_type: Option<IssueType>,
    /// Number of the issue that it repeats.
    pub duplicate_of: Option<u64>,
}

impl IssueChange {
    /// What of the change is left for somebody who may edit the issue but not its metadata.
    fn without_metadata(self) -> Self {
        Self { title: self.title, description: self.description, state: self.state, ..Self::default() }
    }

    /// Lays a change made by quick actions over this one.
    pub(super) fn merge(&mut self, other: Self) {
        fn over<T>(one: &mut Option<T>, other: Option<T>) {
            if other.is_some() {
                *one = other;
            }
        }
        over(&mut self.title, other.title);
        over(&mut self.labels, other.labels);
        self.add_labels.extend(other.add_labels);
        self.remove_labels.extend(other.remove_labels);
        over(&mut self.state, other.state);
        over(&mut self.assignees, other.assignees);
        over(&mut self.confidential, other.confidential);
        over(&mut self.due_date, other.due_date);
        over(&mut self.start_date, other.start_date);
        over(&mut self.discussion_locked, other.discussion_locked);
        over(&mut self.issue_type, other.issue_type);
        over(&mut self.duplicate_of, other.duplicate_of);
    }
}

/// An issue that is to be created.
#[derive(Clone, Debug, Default)]
pub struct NewIssue {
    /// Title.
    pub title: String,
    /// Everything else.
    pub rest: IssueChange,
    /// Wanted number; only an Owner's wish counts.
    pub iid: Option<u64>,
    /// Wanted date of creation; only an Owner's wish counts.
    pub created_at: Option<Timestamp>,
}

/// GitLab's limit of descriptions and notes, in bytes.
const TEXT_LIMIT: usize = 1 << 20;

/// Why a text is refused, if it is.
pub(in super::super) fn too_long(text: &str) -> Option<String> {
    let mib = text.len() as f64 / TEXT_LIMIT as f64;
    (text.len() > TEXT_LIMIT).then(|| format!("is too long ({mib:.2} MiB). The maximum size is 1 MiB."))
}

fn check_title(title: &str) -> Result<(), Refusal> {
    if title.trim().is_empty() {
        return Err(Refusal::invalid("title", "can't be blank"));
    }
    if title.chars().count() > 255 {
        return Err(Refusal::invalid("title", "is too long (maximum is 255 characters)"));
    }
    Ok(())
}

impl World {
    /// The issue, if the user may see it.
    ///
    /// # Errors
    ///
    /// 404, whether it does not exist or may not be seen.
    pub fn visible_issue(&self, user: Option<u64>, iid: u64) -> Result<&Issue, Refusal> {
        self.allow(user, Ability::Read)?;
        self.issues.get(&iid).filter(|issue| self.can_see(user, issue)).ok_or_else(Refusal::no_row)
    }

    fn may_edit(&self, actor: u64, issue: &Issue) -> bool {
        let own = issue.author == actor || issue.assignees.contains(&actor);
        self.can(Some(actor), Ability::UpdateIssue) || (own && self.can(Some(actor), Ability::Participate))
    }

    /// Creates an issue and tells its number.
    ///
    /// # Errors
    ///
    /// As GitLab: not allowed, not valid, number taken, too many in this minute.
    pub fn create_issue(&mut self, actor: u64, new: NewIssue) -> Result<u64, Refusal> {
        self.allow(Some(actor), Ability::Participate)?;
        self.allow_another_issue(actor)?;
        let chooses = self.can(Some(actor), Ability::SetIid);
        let wanted = new.iid.filter(|_| chooses);
        if wanted.is_some_and(|iid| self.issues.contains_key(&iid)) {
            return Err(Refusal::conflict("Duplicated issue"));
        }
        let mut change = new.rest;
        let text = self.text_or_template(change.description.take());
        let (description, actions) = text.as_deref().map(extract).unwrap_or_default();
        check_title(&new.title)?;
        if let Some(reason) = text.as_deref().and_then(too_long) {
            return Err(Refusal::invalid("description", &reason));
        }
        let outcome = self.interpret(actor, None, &actions);
        change.merge(outcome.change);
        if !self.can(Some(actor), Ability::SetMetadataAtCreation) {
            change = IssueChange { confidential: change.confidential, ..change.without_metadata() };
        }
        change.title = change.title.or(Some(new.title));
        change.description = Some(description);
        let (closes, duplicate_of) = (change.state == Some(State::Closed), change.duplicate_of);
        let created_at = new.created_at.filter(|_| chooses).unwrap_or_else(|| self.now());
        let issue = self.new_issue(actor, change, wanted, created_at);
        let iid = issue.iid;
        self.remember(iid);
        self.issues.insert(iid, issue.clone());
        self.tell_of_new(actor, &issue);
        self.after_commands(actor, iid, outcome.after);
        match (closes, duplicate_of) {
            (_, Some(of)) => self.mark_duplicate(actor, iid, of),
            (true, None) => self.close_issue(actor, iid),
            _ => {}
        }
        Ok(iid)
    }

    /// Refuses an issue where its author has made as many in this minute as may be.
    fn allow_another_issue(&self, actor: u64) -> Result<(), Refusal> {
        let now = self.now();
        let minute = |at: Timestamp| at.as_second() / 60;
        let recent = self
            .issues
            .values()
            .filter(|issue| issue.author == actor && minute(issue.created_at) == minute(now));
        if self.options.issues_per_minute.is_some_and(|limit| recent.count() >= limit) {
            return Err(Refusal::too_many_requests());
        }
        Ok(())
    }

    /// A new issue's text; the project's default template where there is none.
    fn text_or_template(&self, text: Option<String>) -> Option<String> {
        text.filter(|text| !text.is_empty()).or_else(|| {
            let template = self.files.get(".gitlab/issue_templates/Default.md")?;
            Some(String::from_utf8_lossy(template).into_owned())
        })
    }

    /// The issue that a change makes of nothing.
    fn new_issue(
        &mut self,
        author: u64,
        change: IssueChange,
        wanted: Option<u64>,
        created_at: Timestamp,
    ) -> Issue {
        let mut names = change.labels.unwrap_or_default();
        names.extend(change.add_labels);
        names.retain(|name| !change.remove_labels.contains(name));
        let labels = self.labels_for(author, &names, true);
        let confidential = change.confidential.unwrap_or(false);
        let assignees = change.assignees.filter(|_| !self.options.creates_unassigned).unwrap_or_default();
        let assignees = self.fit_assignees(assignees, confidential, author);
        let iid = self.take_iid(wanted);
        Issue {
            id: self.id("issue", 9001),
            iid,
            title: change.title.unwrap_or_default().trim().to_owned(),
            description: change.description.filter(|text| !text.is_empty()),
            state: State::Opened,
            labels,
            assignees,
            author,
            confidential,
            due_date: change.due_date.flatten(),
            start_date: change.start_date.flatten(),
            issue_type: change.issue_type.unwrap_or(IssueType::Issue),
            discussion_locked: change.discussion_locked,
            created_at,
            updated_at: created_at,
            closed_at: None,
            closed_by: None,
            last_edited_at: None,
            last_edited_by: None,
            updated_by: None,
            moved_to: None,
            duplicated_to: None,
        }
    }

    /// Tells everybody of an issue that was just made: its label events, to-dos, references and the webhook.
    fn tell_of_new(&mut self, actor: u64, issue: &Issue) {
        let iid = issue.iid;
        self.record_label_events(actor, iid, &[], &issue.labels);
        for assignee in &issue.assignees {
            self.add_todo(*assignee, actor, super::super::records::TodoAction::Assigned, iid, None);
        }
        self.spread_text(actor, iid, &issue.title, &[]);
        self.spread_text(actor, iid, issue.description.as_deref().unwrap_or_default(), &[]);
        self.fire_issue(
            actor,
            iid,
            Some("open"),
            &json!({
                "id": {"previous": null, "current": issue.id},
                "iid": {"previous": null, "current": iid},
                "title": {"previous": null, "current": issue.title},
                "description": {"previous": null, "current": issue.description},
                "state_id": {"previous": null, "current": 1},
                "created_at": {"previous": null, "current": stamp(issue.created_at)},
                "updated_at": {"previous": null, "current": stamp(issue.created_at)},
            }),
        );
    }

    /// Assignees who may see the issue; in the free tier only the first.
    fn fit_assignees(&self, wanted: Vec<u64>, confidential: bool, author: u64) -> Vec<u64> {
        let mut fit: Vec<u64> = Vec::new();
        for user in wanted {
            let sees = if confidential {
                self.can(Some(user), Ability::ReadConfidential) || user == author
            } else {
                self.can(Some(user), Ability::Read)
            };
            if sees && self.user(user).is_some() && !fit.contains(&user) {
                fit.push(user);
            }
        }
        if self.options.free_tier {
            fit.truncate(1);
        }
        fit
    }

    /// Updates an issue: one call, whatever it changes, and a webhook even where it changes nothing.
    ///
    /// # Errors
    ///
    /// As GitLab: not seen, not allowed, not valid. Labels have changed already when the rest is found not valid.
    pub fn update_issue(&mut self, actor: u64, iid: u64, change: IssueChange) -> Result<(), Refusal> {
        let issue = self.visible_issue(Some(actor), iid)?.clone();
        if !self.may_edit(actor, &issue) {
            return Err(Refusal::forbidden());
        }
        self.remember(iid);
        let mut change = change;
        let old_text = issue.description.clone().unwrap_or_default();
        let (description, actions) = extract(change.description.as_deref().unwrap_or(&old_text));
        let known = extract(&old_text).1;
        let fresh: Vec<QuickAction> = actions.into_iter().filter(|action| !known.contains(action)).collect();
        let outcome = self.interpret(actor, Some(&issue), &fresh);
        let too_long = change.description.as_deref().and_then(too_long);
        // Commands in the stored text are cut out by any update; blanks at its end are no reason to write it again.
        if change.description.is_some() || description != old_text.trim_end() {
            change.description = Some(description);
        }
        change.merge(outcome.change);
        if !self.can(Some(actor), Ability::UpdateIssue) {
            change = change.without_metadata();
        }
        match change.state {
            Some(State::Closed) => self.close_issue(actor, iid),
            Some(State::Opened) => self.reopen_issue(actor, iid),
            None => {}
        }
        // What closing took off (`remove_on_close`) is no change of the update that follows.
        let before = self.issues.get(&iid).cloned().unwrap_or(issue);
        self.change_labels(actor, iid, &change);
        if let Some(title) = &change.title {
            check_title(title)?;
        }
        if let Some(reason) = too_long {
            return Err(Refusal::invalid("description", &reason));
        }
        self.change_fields(actor, iid, &before, &change);
        self.settle_update(actor, iid, &before);
        self.after_commands(actor, iid, outcome.after);
        if let Some(of) = change.duplicate_of {
            self.mark_duplicate(actor, iid, of);
        }
        Ok(())
    }

    fn change_labels(&mut self, actor: u64, iid: u64, change: &IssueChange) {
        let Some(before) = self.issues.get(&iid).map(|issue| issue.labels.clone()) else {
            return;
        };
        let mut labels = match &change.labels {
            Some(names) => self.labels_for(actor, names, true),
            None => before.clone(),
        };
        for id in self.labels_for(actor, &change.add_labels, true) {
            if !labels.contains(&id) {
                labels.push(id);
            }
        }
        let gone = self.labels_for(actor, &change.remove_labels, false);
        labels.retain(|id| !gone.contains(id));
        let same = labels.len() == before.len() && labels.iter().all(|id| before.contains(id));
        if same {
            return;
        }
        let now = self.now();
        if let Some(issue) = self.issues.get_mut(&iid) {
            issue.labels.clone_from(&labels);
            issue.updated_at = now;
        }
        self.record_label_events(actor, iid, &before, &labels);
    }

    pub(super) fn record_label_events(&mut self, actor: u64, iid: u64, before: &[u64], after: &[u64]) {
        let created_at = self.now();
        let added = after.iter().filter(|id| !before.contains(id)).map(|id| (*id, true));
        let removed = before.iter().filter(|id| !after.contains(id)).map(|id| (*id, false));
        for (label, added) in added.chain(removed).collect::<Vec<_>>() {
            let id = self.id("label_event", 3001);
            self.label_events.push(LabelEvent {
                id,
                iid,
                user: actor,
                created_at,
                label: Some(label),
                added,
            });
        }
    }

    fn change_fields(&mut self, actor: u64, iid: u64, before: &Issue, change: &IssueChange) {
        let now = self.now();
        let confidential = change.confidential.unwrap_or(before.confidential);
        let assignees =
            change.assignees.clone().map(|wanted| self.fit_assignees(wanted, confidential, before.author));
        let Some(issue) = self.issues.get_mut(&iid) else {
            return;
        };
        if let Some(title) = &change.title {
            issue.title = title.trim().to_owned();
        }
        if let Some(text) = &change.description {
            issue.description = Some(text.clone()).filter(|text| !text.is_empty());
        }
        if let Some(assignees) = assignees {
            issue.assignees = assignees;
        }
        issue.confidential = confidential;
        issue.due_date = change.due_date.unwrap_or(issue.due_date);
        issue.start_date = change.start_date.unwrap_or(issue.start_date);
        issue.discussion_locked = change.discussion_locked.or(issue.discussion_locked);
        issue.issue_type = change.issue_type.unwrap_or(issue.issue_type);
        if issue.title != before.title || issue.description != before.description {
            issue.last_edited_at = Some(now);
            issue.last_edited_by = Some(actor);
        }
    }

    /// What follows from an update: who updated it, system notes, to-dos, references, the webhook.
    fn settle_update(&mut self, actor: u64, iid: u64, before: &Issue) {
        let Some(after) = self.issues.get(&iid).cloned() else {
            return;
        };
        let notes = self.change_notes(before, &after);
        let labels_changed = after.labels != before.labels;
        let text_changed = after.title != before.title || after.description != before.description;
        let assignees_changed = after.assignees != before.assignees;
        let changed = labels_changed
            || text_changed
            || assignees_changed
            || !notes.is_empty()
            || after.start_date != before.start_date;
        let now = self.now();
        if (changed || after.updated_by != Some(actor))
            && let Some(issue) = self.issues.get_mut(&iid)
        {
            issue.updated_by = Some(actor);
            issue.updated_at = now;
        }
        for note in notes {
            self.system_note(actor, iid, &note);
        }
        if labels_changed || text_changed || assignees_changed {
            self.resolve_todos(actor, iid);
        }
        for assignee in after.assignees.iter().filter(|id| !before.assignees.contains(id)) {
            self.add_todo(*assignee, actor, super::super::records::TodoAction::Assigned, iid, None);
        }
        if text_changed {
            let old = format!("{}\n\n{}", before.title, before.description.as_deref().unwrap_or_default());
            let known = self.mentioned(&old);
            self.spread_text(actor, iid, &after.title, &known);
            self.spread_text(actor, iid, after.description.as_deref().unwrap_or_default(), &known);
        }
        let changes = self.hook_changes(before, iid);
        self.fire_issue(actor, iid, Some("update"), &changes);
    }

    /// Mentions and references of a text that was just stored on the issue itself.
    fn spread_text(&mut self, actor: u64, iid: u64, text: &str, known: &[u64]) {
        self.mention_todos(actor, iid, None, text, known);
        self.cross_reference(actor, iid, text);
    }

    /// Leaves a system note on every issue that the text refers to, once.
    pub(super) fn cross_reference(&mut self, actor: u64, iid: u64, text: &str) {
        for other in issue_references(text, &self.project.path, &self.base) {
            let body = format!("mentioned in issue #{iid}");
            let there = self.notes.iter().any(|note| note.iid == other && note.system && note.body == body);
            let seen = self.issues.get(&other).is_some_and(|issue| self.can_see(Some(actor), issue));
            if other != iid && seen && !there {
                self.system_note(actor, other, &body);
                let now = self.now();
                if let Some(issue) = self.issues.get_mut(&other) {
                    issue.updated_at = now;
                }
            }
        }
    }
}

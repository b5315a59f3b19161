//! Issues.

use serde_json::{Value, json};

use super::super::records::{Issue, IssueType, Label, State};
use super::super::refusal::Refusal;
use super::super::request::{Answer, Request};
use super::super::rules::{IssueChange, NewIssue};
use super::super::world::{World, stamp};
use super::{Answered, page_of};

/// `Issue` of the API.
pub(in super::super) fn json(world: &World, issue: &Issue, user: Option<u64>, details: bool) -> Value {
    let labels: Value = if details {
        let mut labels: Vec<&Label> = issue.labels.iter().filter_map(|id| world.label(*id)).collect();
        labels.sort_by(|one, other| one.name.cmp(&other.name));
        labels.into_iter().map(Label::basic).collect()
    } else {
        json!(world.label_names(issue))
    };
    let assignees: Vec<Value> = issue.assignees.iter().map(|id| world.user_basic(*id)).collect();
    let votes = |name: &str| world.reactions.iter().filter(|r| r.iid == issue.iid && r.name == name).count();
    let notes = world.notes.iter().filter(|note| note.iid == issue.iid && !note.system).count();
    let api = format!("{}/api/v4/projects/{}", world.base, world.project.id);
    let text = issue.description.as_deref().unwrap_or_default();
    let done = text.matches("- [x]").count();
    let tasks = done + text.matches("- [ ]").count();
    json!({
        "id": issue.id,
        "iid": issue.iid,
        "project_id": world.project.id,
        "title": issue.title,
        "description": issue.description,
        "state": issue.state.word(),
        "created_at": stamp(issue.created_at),
        "updated_at": stamp(issue.updated_at),
        "closed_at": issue.closed_at.map(stamp),
        "closed_by": issue.closed_by.map(|id| world.user_basic(id)),
        "labels": labels,
        "milestone": null,
        "assignees": assignees,
        "author": world.user_basic(issue.author),
        "type": issue.issue_type.word().to_uppercase(),
        "assignee": assignees.first(),
        "user_notes_count": notes,
        "merge_requests_count": 0,
        "upvotes": votes("thumbsup"),
        "downvotes": votes("thumbsdown"),
        "start_date": issue.start_date,
        "due_date": issue.due_date,
        "confidential": issue.confidential,
        "discussion_locked": issue.discussion_locked,
        "issue_type": issue.issue_type.word(),
        "web_url": world.issue_url(issue.iid),
        "time_stats": {
            "time_estimate": 0, "total_time_spent": 0, "human_time_estimate": null, "human_total_time_spent": null,
        },
        "task_completion_status": {"count": tasks, "completed_count": done},
        "weight": null,
        "blocking_issues_count": 0,
        "has_tasks": tasks > 0,
        "task_status": format!("{done} of {tasks} checklist items completed"),
        "_links": {
            "self": format!("{api}/issues/{}", issue.iid),
            "notes": format!("{api}/issues/{}/notes", issue.iid),
            "award_emoji": format!("{api}/issues/{}/award_emoji", issue.iid),
            "project": api,
            "closed_as_duplicate_of": null,
        },
        "references": {
            "short": format!("#{}", issue.iid),
            "relative": format!("#{}", issue.iid),
            "full": format!("{}#{}", world.project.path, issue.iid),
        },
        "severity": "UNKNOWN",
        "subscribed": user == Some(issue.author) || user.is_some_and(|id| issue.assignees.contains(&id)),
        "moved_to_id": issue.moved_to,
        "imported": false,
        "imported_from": "none",
        "service_desk_reply_to": null,
    })
}

fn found(world: &World, request: &Request, iid: u64, status: u16) -> Answered {
    let issue = world.issues.get(&iid).ok_or_else(Refusal::no_row)?;
    Ok(Answer::Json(status, json(world, issue, request.user, false)))
}

pub(super) fn get(world: &World, request: &Request, iid: u64) -> Answered {
    if let Some(before) = world.lagging(iid) {
        let issue = before.filter(|issue| world.can_see(request.user, issue)).ok_or_else(Refusal::no_row)?;
        return Ok(Answer::Json(200, json(world, issue, request.user, false)));
    }
    world.visible_issue(request.user, iid)?;
    found(world, request, iid, 200)
}

fn change(request: &Request) -> Result<IssueChange, Refusal> {
    let params = &request.params;
    let assignees = match params.numbers("assignee_ids")? {
        Some(ids) => Some(ids),
        None => params.has("assignee_id").then_some(params.number("assignee_id")?.into_iter().collect()),
    };
    let issue_type = params.text("issue_type").filter(|name| !name.is_empty());
    let parsed = issue_type.and_then(IssueType::named);
    if issue_type.is_some() && parsed.is_none() {
        return Err(Refusal::parameter("issue_type does not have a valid value"));
    }
    Ok(IssueChange {
        title: params.text("title").map(str::to_owned),
        description: params.text("description").map(str::to_owned),
        labels: params.list("labels"),
        add_labels: params.list("add_labels").unwrap_or_default(),
        remove_labels: params.list("remove_labels").unwrap_or_default(),
        state: params.word("state_event", &["close", "reopen"])?.map(|event| match event {
            "close" => State::Closed,
            _ => State::Opened,
        }),
        // 0 stands for nobody.
        assignees: assignees.map(|ids: Vec<u64>| ids.into_iter().filter(|id| *id != 0).collect()),
        confidential: params.flag("confidential")?,
        due_date: params.day("due_date")?,
        start_date: params.day("start_date")?,
        discussion_locked: params.flag("discussion_locked")?,
        issue_type: parsed,
        duplicate_of: None,
    })
}

pub(super) fn create(world: &mut World, request: &Request) -> Answered {
    let title = request.params.required("title")?.to_owned();
    let rest = IssueChange { title: None, state: None, ..change(request)? };
    let new = NewIssue {
        title,
        rest,
        iid: request.params.number("iid")?,
        created_at: request.params.moment("created_at")?,
    };
    let iid = world.create_issue(request.actor()?, new)?;
    found(world, request, iid, 201)
}

/// One of these must be given in an update.
const UPDATABLE: &[&str] = &[
    "assignee_id",
    "assignee_ids",
    "confidential",
    "created_at",
    "description",
    "discussion_locked",
    "due_date",
    "start_date",
    "labels",
    "add_labels",
    "remove_labels",
    "milestone_id",
    "milestone",
    "severity",
    "state_event",
    "title",
    "issue_type",
];

pub(super) fn update(world: &mut World, request: &Request, iid: u64) -> Answered {
    if !UPDATABLE.iter().any(|field| request.params.has(field)) {
        let error = format!("{} are missing, at least one parameter must be provided", UPDATABLE.join(", "));
        return Err(Refusal::parameter(error));
    }
    let change = change(request)?;
    world.update_issue(request.actor()?, iid, change)?;
    found(world, request, iid, 200)
}

pub(super) fn delete(world: &mut World, request: &Request, iid: u64) -> Answered {
    world.delete_issue(request.actor()?, iid)?;
    Ok(Answer::Json(204, Value::Null))
}

pub(super) fn list(world: &World, request: &Request) -> Answered {
    let lagging = world.last_changed.and_then(|iid| Some((iid, world.lagging(iid)?)));
    let is_current = |issue: &&Issue| lagging.is_none_or(|(iid, _)| iid != issue.iid);
    let mut issues: Vec<&Issue> = world.issues.values().filter(is_current).collect();
    issues.extend(lagging.and_then(|(_, before)| before));
    issues.retain(|issue| world.can_see(request.user, issue));
    filter(world, request, &mut issues)?;
    sort(request, &mut issues)?;
    let details = request.params.flag("with_labels_details")?.unwrap_or(false);
    page_of(request, issues, |issue| json(world, issue, request.user, details))
}

fn sort(request: &Request, issues: &mut [&Issue]) -> Result<(), Refusal> {
    const ORDERS: &[&str] = &[
        "created_at",
        "due_date",
        "label_priority",
        "milestone_due",
        "popularity",
        "priority",
        "relative_position",
        "title",
        "updated_at",
        "weight",
    ];
    let ascending = request.params.word("sort", &["asc", "desc"])? == Some("asc");
    let order = request.params.word("order_by", ORDERS)?.unwrap_or("created_at");
    issues.sort_by(|one, other| {
        let by = match order {
            "updated_at" => one.updated_at.cmp(&other.updated_at),
            "title" => one.title.to_lowercase().cmp(&other.title.to_lowercase()),
            "due_date" => one.due_date.cmp(&other.due_date),
            "relative_position" => one.iid.cmp(&other.iid),
            _ => one.created_at.cmp(&other.created_at),
        };
        // Ties are broken by the newest id first, whichever way the rest is sorted.
        (if ascending { by } else { by.reverse() }).then(other.id.cmp(&one.id))
    });
    Ok(())
}

fn filter(world: &World, request: &Request, issues: &mut Vec<&Issue>) -> Result<(), Refusal> {
    let params = &request.params;
    match params.word("state", &["opened", "closed", "all"])? {
        Some("opened") => issues.retain(|issue| issue.state == State::Opened),
        Some("closed") => issues.retain(|issue| issue.state == State::Closed),
        _ => {}
    }
    if let Some(iids) = params.numbers("iids")? {
        issues.retain(|issue| iids.contains(&issue.iid));
    }
    if let Some(iids) = params.numbers("not[iids]")? {
        issues.retain(|issue| !iids.contains(&issue.iid));
    }
    filter_labels(world, request, issues);
    filter_people(world, request, issues)?;
    let moment = |name: &str| params.moment(name);
    let (updated_after, updated_before) = (moment("updated_after")?, moment("updated_before")?);
    let (created_after, created_before) = (moment("created_after")?, moment("created_before")?);
    issues.retain(|issue| {
        updated_after.is_none_or(|at| issue.updated_at >= at)
            && updated_before.is_none_or(|at| issue.updated_at <= at)
            && created_after.is_none_or(|at| issue.created_at >= at)
            && created_before.is_none_or(|at| issue.created_at <= at)
    });
    if let Some(confidential) = params.flag("confidential")? {
        issues.retain(|issue| issue.confidential == confidential);
    }
    if let Some(issue_type) = params.text("issue_type").filter(|name| !name.is_empty()) {
        let issue_type = IssueType::named(issue_type)
            .ok_or_else(|| Refusal::parameter("issue_type does not have a valid value"))?;
        issues.retain(|issue| issue.issue_type == issue_type);
    }
    filter_due(world, params.text("due_date"), issues);
    if params.text("milestone").is_some_and(|title| !matches!(title, "" | "None")) {
        // There are no milestones here, so that no issue has the one that was asked for.
        issues.clear();
    }
    if let Some(search) = params.text("search").filter(|text| !text.is_empty()) {
        let fields = params.list("in").unwrap_or_else(|| vec!["title".to_owned(), "description".to_owned()]);
        let words: Vec<String> = search.to_lowercase().split_whitespace().map(str::to_owned).collect();
        issues.retain(|issue| {
            let mut text = String::new();
            if fields.iter().any(|field| field == "title") {
                text.push_str(&issue.title.to_lowercase());
            }
            text.push('\n');
            if fields.iter().any(|field| field == "description") {
                text.push_str(&issue.description.as_deref().unwrap_or_default().to_lowercase());
            }
            words.iter().all(|word| text.contains(word))
        });
    }
    Ok(())
}

fn filter_labels(world: &World, request: &Request, issues: &mut Vec<&Issue>) {
    let has = |issue: &Issue, name: &str| {
        world.label_named(name).is_some_and(|label| issue.labels.contains(&label.id))
    };
    match request.params.list("labels").as_deref() {
        None | Some([]) => {}
        Some([word]) if word.eq_ignore_ascii_case("none") => issues.retain(|issue| issue.labels.is_empty()),
        Some([word]) if word.eq_ignore_ascii_case("any") => issues.retain(|issue| !issue.labels.is_empty()),
        Some(names) => issues.retain(|issue| names.iter().all(|name| has(issue, name))),
    }
    if let Some(names) = request.params.list("not[labels]") {
        issues.retain(|issue| !names.iter().any(|name| has(issue, name)));
    }
}

fn filter_people(world: &World, request: &Request, issues: &mut Vec<&Issue>) -> Result<(), Refusal> {
    let params = &request.params;
    let named = |name: &str| params.text(name).map(|name| world.user_named(name).map_or(0, |user| user.id));
    for author in [params.number("author_id")?, named("author_username")].into_iter().flatten() {
        issues.retain(|issue| issue.author == author);
    }
    for author in [params.number("not[author_id]")?, named("not[author_username]")].into_iter().flatten() {
        issues.retain(|issue| issue.author != author);
    }
    if let Some(closer) = params.number("closed_by_id")? {
        issues.retain(|issue| issue.closed_by == Some(closer));
    }
    match params.text("assignee_id").map(str::to_ascii_lowercase).as_deref() {
        None | Some("") => {}
        Some("none" | "0") => issues.retain(|issue| issue.assignees.is_empty()),
        Some("any") => issues.retain(|issue| !issue.assignees.is_empty()),
        Some(_) => {
            let id = params.number("assignee_id")?.unwrap_or_default();
            issues.retain(|issue| issue.assignees.contains(&id));
        }
    }
    for name in params.list("assignee_username").unwrap_or_default() {
        let id = world.user_named(&name).map_or(0, |user| user.id);
        issues.retain(|issue| issue.assignees.contains(&id));
    }
    for id in [params.number("not[assignee_id]")?, named("not[assignee_username]")].into_iter().flatten() {
        issues.retain(|issue| !issue.assignees.contains(&id));
    }
    match params.text("scope") {
        Some("created_by_me" | "created-by-me") => issues.retain(|issue| Some(issue.author) == request.user),
        Some("assigned_to_me" | "assigned-to-me") => {
            issues.retain(|issue| request.user.is_some_and(|id| issue.assignees.contains(&id)));
        }
        _ => {}
    }
    // Only the caller's own reactions count. The negated filter is not declared in GitLab and does nothing.
    if let Some(emoji) = params.text("my_reaction_emoji").filter(|name| !name.is_empty()) {
        let reacted = |issue: &Issue, name: Option<&str>| {
            world.reactions.iter().any(|reaction| {
                reaction.iid == issue.iid
                    && Some(reaction.user) == request.user
                    && name.is_none_or(|name| reaction.name == name)
            })
        };
        match emoji {
            "None" => issues.retain(|issue| !reacted(issue, None)),
            "Any" => issues.retain(|issue| reacted(issue, None)),
            name => issues.retain(|issue| reacted(issue, Some(name))),
        }
    }
    Ok(())
}

fn filter_due(world: &World, wanted: Option<&str>, issues: &mut Vec<&Issue>) {
    let today = world.now().to_zoned_datetime(jiff::tz::TimeZone::UTC).date();
    let within = |days: i32| today.checked_add(jiff::Span::new().days(days)).unwrap_or(today);
    match wanted {
        Some("0" | "none" | "None") => issues.retain(|issue| issue.due_date.is_none()),
        Some("any") => issues.retain(|issue| issue.due_date.is_some()),
        Some("today") => issues.retain(|issue| issue.due_date == Some(today)),
        Some("tomorrow") => issues.retain(|issue| issue.due_date == Some(within(1))),
        Some("overdue") => issues.retain(|issue| issue.due_date.is_some_and(|day| day < today)),
        Some("week") => {
            issues.retain(|issue| issue.due_date.is_some_and(|day| day >= today && day < within(7)))
        }
        Some("month") => {
            issues.retain(|issue| issue.due_date.is_some_and(|day| day >= today && day < within(30)))
        }
        _ => {}
    }
}

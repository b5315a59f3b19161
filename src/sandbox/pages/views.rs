//! What each page shows.

use jiff::Timestamp;
use serde_json::{Value, json};
use url::form_urlencoded;

use super::super::markdown::to_html;
use super::super::people::Ability;
use super::super::records::{Board, Issue, Label, State, TodoAction};
use super::super::refusal::Refusal;
use super::super::world::World;
use super::{View, Visit};

/// Finds the page of an address.
pub(super) fn view(world: &World, visit: &Visit, path: &[&str]) -> View {
    match path {
        [] => Ok(home(world, visit)),
        ["dashboard", "todos"] => Ok(todos(world, visit)),
        ["-", "chats"] => Ok(super::chats::view(world)),
        _ => {
            world.allow(Some(visit.user), Ability::Read)?;
            match within(world, path)? {
                ["issues" | "work_items"] => issues(world, visit),
                ["issues" | "work_items", iid] => issue(world, visit, number(iid)?),
                ["boards"] => board(world, world.boards.first()),
                ["boards", id] => board(world, Some(world.board(number(id)?)?)),
                ["labels"] => Ok(("labels.html", json!({ "labels": labels(world, &[]) }))),
                ["hooks"] => hooks(world, visit),
                _ => Err(Refusal::not_found("Page")),
            }
        }
    }
}

/// What follows `/-/` in an address of the project.
pub(super) fn within<'a, 'b>(world: &World, path: &'a [&'b str]) -> Result<&'a [&'b str], Refusal> {
    let own: Vec<&str> = world.project.path.split('/').collect();
    let rest = path.get(own.len()..).filter(|_| path.starts_with(&own));
    rest.and_then(|rest| rest.strip_prefix(&["-"])).ok_or_else(|| Refusal::not_found("Page"))
}

pub(super) fn number(text: &str) -> Result<u64, Refusal> {
    text.parse().map_err(|_| Refusal::not_found("Page"))
}

pub(super) fn shown(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M").to_string()
}

fn label(label: &Label) -> Value {
    json!({
        "id": label.id, "name": label.name, "color": label.color, "text_color": label.text_color(),
        "description": label.description,
    })
}

/// The labels by name, without those that are left out.
fn labels(world: &World, without: &[u64]) -> Vec<Value> {
    let mut labels: Vec<_> = world.labels.iter().filter(|label| !without.contains(&label.id)).collect();
    labels.sort_by(|one, other| one.name.cmp(&other.name));
    labels.into_iter().map(label).collect()
}

fn card(world: &World, issue: &Issue) -> Value {
    let mut own: Vec<&Label> = issue.labels.iter().filter_map(|id| world.label(*id)).collect();
    own.sort_by(|one, other| one.name.cmp(&other.name));
    json!({
        "iid": issue.iid,
        "title": issue.title,
        "state": issue.state.word(),
        "type": issue.issue_type.title(),
        "author": world.username(issue.author),
        "created_at": shown(issue.created_at),
        "confidential": issue.confidential,
        "locked": issue.discussion_locked == Some(true),
        "moved": issue.moved_to.is_some(),
        "due_date": issue.due_date,
        "labels": own.into_iter().map(label).collect::<Vec<_>>(),
        "assignees": issue.assignees.iter().map(|id| world.username(*id)).collect::<Vec<_>>(),
    })
}

fn home(world: &World, visit: &Visit) -> (&'static str, Value) {
    let count = |state| world.issues.values().filter(|issue| issue.state == state).count();
    (
        "home.html",
        json!({
            "opened": count(State::Opened), "closed": count(State::Closed), "boards": world.boards.len(),
            "pending": world.pending_todos(&visit.username).len(), "labels": world.labels.len(),
            "hooks": world.hooks.len(), "deliveries": world.deliveries.len(),
            "chats": world.chats.messages.len(),
        }),
    )
}

fn issues(world: &World, visit: &Visit) -> View {
    let query = form_urlencoded::parse(visit.query.as_bytes());
    let wanted =
        query.into_owned().find(|(name, _)| name == "state").map_or("opened".to_owned(), |(_, state)| state);
    let seen: Vec<&Issue> =
        world.issues.values().rev().filter(|issue| world.can_see(Some(visit.user), issue)).collect();
    let of = |state: &str| {
        let fits = |issue: &&Issue| state == "all" || issue.state.word() == state;
        seen.iter().copied().filter(fits).collect::<Vec<_>>()
    };
    let states: Vec<_> = [("opened", "Open"), ("closed", "Closed"), ("all", "All")]
        .into_iter()
        .map(|(name, title)| json!({"name": name, "title": title, "count": of(name).len(), "here": name == wanted}))
        .collect();
    let issues: Vec<_> = of(&wanted).into_iter().map(|issue| card(world, issue)).collect();
    Ok(("issues.html", json!({ "issues": issues, "states": states })))
}

fn issue(world: &World, visit: &Visit, iid: u64) -> View {
    let issue = world.visible_issue(Some(visit.user), iid)?;
    let mut reactions: Vec<(&str, Vec<&str>)> = Vec::new();
    for reaction in world.reactions.iter().filter(|reaction| reaction.iid == iid) {
        let user = world.username(reaction.user);
        match reactions.iter_mut().find(|(name, _)| *name == reaction.name) {
            Some((_, users)) => users.push(user),
            None => reactions.push((&reaction.name, vec![user])),
        }
    }
    let reactions: Vec<_> = reactions
        .into_iter()
        .map(|(name, users)| json!({"name": format!(":{name}:"), "users": users}))
        .collect();
    Ok((
        "issue.html",
        json!({
            "issue": card(world, issue),
            "description": to_html(issue.description.as_deref().unwrap_or_default()),
            "reactions": reactions,
            "activity": activity(world, visit, iid),
            "others": labels(world, &issue.labels),
        }),
    ))
}

/// Comments, system notes and label events in the order in which they happened.
fn activity(world: &World, visit: &Visit, iid: u64) -> Vec<Value> {
    let inside = world.can(Some(visit.user), Ability::ReadConfidential);
    let notes = world.notes.iter().filter(|note| note.iid == iid && (inside || !note.internal)).map(|note| {
        let entry = json!({
            "anchor": format!("note_{}", note.id), "user": world.username(note.author), "at": shown(note.created_at),
            "system": note.system, "internal": note.internal, "text": note.body,
            "html": if note.system { String::new() } else { to_html(&note.body) },
        });
        (note.created_at, entry)
    });
    let events = world.label_events.iter().filter(|event| event.iid == iid).map(|event| {
        let known = event.label.and_then(|id| world.label(id));
        let text = match (event.added, known.is_some()) {
            (true, true) => "added",
            (false, true) => "removed",
            (true, false) => "added a label that is deleted",
            (false, false) => "removed a label that is deleted",
        };
        let entry = json!({
            "anchor": format!("event_{}", event.id), "user": world.username(event.user),
            "at": shown(event.created_at), "system": true, "text": text, "label": known.map(label),
        });
        (event.created_at, entry)
    });
    let mut entries: Vec<_> = notes.chain(events).collect();
    entries.sort_by_key(|(at, _)| *at);
    entries.into_iter().map(|(_, entry)| entry).collect()
}

fn board(world: &World, board: Option<&Board>) -> View {
    let Some(board) = board else { return Ok(("no_board.html", json!({}))) };
    let listed: Vec<u64> = board.lists.iter().map(|list| list.label).collect();
    let opened = || world.issues.values().filter(|issue| issue.state == State::Opened);
    let cards =
        |issues: Vec<&Issue>| issues.into_iter().rev().map(|issue| card(world, issue)).collect::<Vec<_>>();
    let mut columns = vec![json!({
        "name": "Open",
        "cards": cards(opened().filter(|issue| !issue.labels.iter().any(|id| listed.contains(id))).collect()),
    })];
    for own in listed.iter().filter_map(|id| world.label(*id)) {
        let cards = cards(opened().filter(|issue| issue.labels.contains(&own.id)).collect());
        columns.push(json!({"name": own.name, "label": label(own), "cards": cards}));
    }
    let closed = world.issues.values().filter(|issue| issue.state == State::Closed).collect();
    columns.push(json!({"name": "Closed", "cards": cards(closed)}));
    for (index, column) in columns.iter_mut().enumerate() {
        column["index"] = index.into();
    }
    let boards = world.boards.iter().filter(|other| other.id != board.id);
    Ok((
        "board.html",
        json!({
            "board": {"id": board.id, "name": board.name},
            "boards": boards.map(|other| json!({"id": other.id, "name": other.name})).collect::<Vec<_>>(),
            "columns": columns,
            "others": labels(world, &listed),
        }),
    ))
}

fn todos(world: &World, visit: &Visit) -> (&'static str, Value) {
    let todos: Vec<_> = world
        .pending_todos(&visit.username)
        .into_iter()
        .rev()
        .map(|todo| {
            json!({
                "id": todo.id,
                "iid": todo.iid,
                "title": world.issue(todo.iid).map(|issue| &issue.title),
                "author": world.username(todo.author),
                "action": match todo.action {
                    TodoAction::Assigned => "assigned",
                    TodoAction::Mentioned => "mentioned",
                    TodoAction::DirectlyAddressed => "addressed",
                    TodoAction::Marked => "marked this for",
                },
                "at": shown(todo.created_at),
            })
        })
        .collect();
    ("todos.html", json!({ "todos": todos }))
}

fn hooks(world: &World, visit: &Visit) -> View {
    world.allow(Some(visit.user), Ability::AdminHook)?;
    let now = world.now();
    let hooks: Vec<_> = world
        .hooks
        .iter()
        .map(|hook| {
            json!({
                "url": hook.url, "status": hook.alert_status(now), "events": hook.events, "failures": hook.failures,
            })
        })
        .collect();
    let deliveries: Vec<_> = world
        .deliveries
        .iter()
        .rev()
        .take(100)
        .map(|entry| {
            let about = entry.delivery.held(entry.id);
            json!({
                "worked": entry.worked(),
                "status": entry.status.map_or("none".to_owned(), |status| status.to_string()),
                "event": about.event, "action": about.action, "iid": about.iid, "key": about.key,
                "at": shown(entry.created_at),
                "millis": (entry.duration * 1000.0).round(),
                "headers": entry.request_headers,
                "body": format!("{:#}", entry.delivery.body),
                "response": entry.response_body,
            })
        })
        .collect();
    Ok(("hooks.html", json!({ "hooks": hooks, "deliveries": deliveries })))
}

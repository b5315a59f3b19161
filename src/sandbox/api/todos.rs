//! To-do items.

use serde_json::{Value, json};

use super::super::records::Todo;
use super::super::refusal::Refusal;
use super::super::request::{Answer, Request};
use super::super::world::{World, stamp};
use super::{Answered, issues, page};

fn json(world: &World, todo: &Todo) -> Value {
    let project = world.project_basic();
    let anchor = todo.note.map(|id| format!("#note_{id}")).unwrap_or_default();
    json!({
        "id": todo.id,
        "project": {
            "id": project["id"],
            "description": project["description"],
            "name": project["name"],
            "name_with_namespace": project["name_with_namespace"],
            "path": project["path"],
            "path_with_namespace": project["path_with_namespace"],
            "created_at": project["created_at"],
        },
        "author": world.user_basic(todo.author),
        "action_name": todo.action.word(),
        "target_type": "Issue",
        "target": world.issues.get(&todo.iid).map(|issue| issues::json(world, issue, Some(todo.user), false)),
        "target_url": format!("{}{anchor}", world.issue_url(todo.iid)),
        "body": todo.body,
        "state": if todo.pending { "pending" } else { "done" },
        "created_at": stamp(todo.created_at),
        "updated_at": stamp(todo.updated_at),
    })
}

fn matching(world: &World, request: &Request) -> Result<Vec<u64>, Refusal> {
    let actor = request.actor()?;
    let params = &request.params;
    let state = params.word("state", &["pending", "done"])?.unwrap_or("pending");
    let action = params.text("action");
    let author = params.number("author_id")?;
    let project = params.number("project_id")?;
    let group = params.number("group_id")?;
    let kind = params.text("type");
    let mut ids: Vec<u64> = world
        .todos
        .iter()
        .filter(|todo| todo.user == actor && todo.pending == (state == "pending"))
        .filter(|todo| action.is_none_or(|action| action == todo.action.word()))
        .filter(|todo| author.is_none_or(|author| author == todo.author))
        .filter(|_| project.is_none_or(|id| id == world.project.id) && group.is_none())
        .filter(|_| kind.is_none_or(|kind| kind == "Issue" || kind == "WorkItem"))
        .map(|todo| todo.id)
        .collect();
    ids.reverse();
    Ok(ids)
}

pub(super) fn list(world: &World, request: &Request) -> Answered {
    let ids = matching(world, request)?;
    let rows = ids.iter().filter_map(|id| world.todos.iter().find(|todo| todo.id == *id));
    page(request, rows.map(|todo| json(world, todo)).collect::<Vec<_>>())
}

fn one(world: &World, id: u64) -> Answered {
    let todo = world.todos.iter().find(|todo| todo.id == id).ok_or_else(Refusal::no_row)?;
    Ok(Answer::Json(201, json(world, todo)))
}

pub(super) fn create(world: &mut World, request: &Request, iid: u64) -> Answered {
    let id = world.mark_todo(request.actor()?, iid)?;
    one(world, id)
}

pub(super) fn done(world: &mut World, request: &Request, id: u64) -> Answered {
    world.mark_as_done(request.actor()?, id).map_err(|_| Refusal::no_row())?;
    one(world, id)
}

pub(super) fn all_done(world: &mut World, request: &Request) -> Answered {
    let actor = request.actor()?;
    for id in matching(world, request)? {
        world.mark_as_done(actor, id)?;
    }
    Ok(Answer::Json(204, Value::Null))
}

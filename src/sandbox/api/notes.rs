//! Comments and system notes of an issue.

use serde_json::{Value, json};

use super::super::people::Ability;
use super::super::records::Note;
use super::super::refusal::Refusal;
use super::super::request::{Answer, Request};
use super::super::rules::Commented;
use super::super::world::{World, stamp};
use super::{Answered, page_with_gaps};

fn json(world: &World, note: &Note) -> Value {
    json!({
        "id": note.id,
        "type": null,
        "body": note.body,
        "attachment": null,
        "author": world.user_basic(note.author),
        "created_at": stamp(note.created_at),
        "updated_at": stamp(note.updated_at),
        "system": note.system,
        "noteable_id": world.issues.get(&note.iid).map(|issue| issue.id),
        "noteable_type": "Issue",
        "project_id": world.project.id,
        "commit_id": null,
        "resolvable": false,
        "confidential": note.internal,
        "internal": note.internal,
        "imported": false,
        "imported_from": "none",
        "noteable_iid": note.iid,
        "commands_changes": {},
    })
}

fn seen(world: &World, request: &Request, iid: u64) -> Result<(), Refusal> {
    world.visible_issue(request.user, iid).map(drop).map_err(|_| Refusal::not_found("Issue"))
}

pub(super) fn list(world: &World, request: &Request, iid: u64) -> Answered {
    seen(world, request, iid)?;
    let params = &request.params;
    let by_update = params.word("order_by", &["created_at", "updated_at"])? == Some("updated_at");
    let ascending = params.word("sort", &["asc", "desc"])? == Some("asc");
    let filter = params.word("activity_filter", &["all_notes", "only_comments", "only_activity"])?;
    let inside = world.can(request.user, Ability::ReadConfidential);
    let mut notes: Vec<_> = world
        .notes
        .iter()
        .filter(|note| note.iid == iid && (inside || !note.internal))
        .filter(|note| match filter {
            Some("only_comments") => !note.system,
            Some("only_activity") => note.system,
            _ => true,
        })
        .collect();
    notes.sort_by_key(|note| (if by_update { note.updated_at } else { note.created_at }, note.id));
    if !ascending {
        notes.reverse();
    }
    page_with_gaps(world, request, notes.into_iter().map(|note| json(world, note)).collect())
}

pub(super) fn get(world: &World, request: &Request, iid: u64, id: u64) -> Answered {
    seen(world, request, iid)?;
    Ok(Answer::Json(200, json(world, world.visible_note(request.user, iid, id)?)))
}

pub(super) fn create(world: &mut World, request: &Request, iid: u64) -> Answered {
    let params = &request.params;
    let body = params.required("body")?;
    let internal = params.flag("internal")?.or(params.flag("confidential")?).unwrap_or(false);
    seen(world, request, iid)?;
    let actor = request.actor()?;
    match world.comment(actor, iid, body, internal)? {
        Commented::OnlyCommands { changes, summary } => {
            Ok(Answer::Json(202, json!({"commands_changes": changes, "summary": summary})))
        }
        Commented::Stored(id, changes) => {
            let note = world.notes.iter().find(|note| note.id == id).ok_or_else(Refusal::no_row)?;
            let mut answer = json(world, note);
            answer["commands_changes"] = changes;
            Ok(Answer::Json(201, answer))
        }
    }
}

pub(super) fn update(world: &mut World, request: &Request, iid: u64, id: u64) -> Answered {
    let body = request.params.required("body")?;
    seen(world, request, iid)?;
    let actor = request.actor()?;
    let changes = world.edit_comment(actor, iid, id, body)?;
    let Some(note) = world.notes.iter().find(|note| note.id == id) else {
        return Ok(Answer::Json(200, json!({"commands_changes": changes, "summary": []})));
    };
    let mut answer = json(world, note);
    answer["commands_changes"] = changes;
    Ok(Answer::Json(200, answer))
}

pub(super) fn delete(world: &mut World, request: &Request, iid: u64, id: u64) -> Answered {
    seen(world, request, iid)?;
    world.delete_comment(request.actor()?, iid, id)?;
    Ok(Answer::Json(204, Value::Null))
}

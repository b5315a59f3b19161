//! Award emoji on issues.

use serde_json::{Value, json};

use super::super::records::Reaction;
use super::super::refusal::Refusal;
use super::super::request::{Answer, Request};
use super::super::world::{World, stamp};
use super::{Answered, page};

fn json(world: &World, reaction: &Reaction) -> Value {
    json!({
        "id": reaction.id,
        "name": reaction.name,
        "user": world.user_basic(reaction.user),
        "created_at": stamp(reaction.created_at),
        "updated_at": stamp(reaction.created_at),
        "awardable_id": world.issues.get(&reaction.iid).map(|issue| issue.id),
        "awardable_type": "Issue",
        "url": null,
    })
}

/// Here even an issue that is not seen is a missing reaction.
fn seen(world: &World, request: &Request, iid: u64) -> Result<(), Refusal> {
    world.visible_issue(request.user, iid).map(drop).map_err(|_| Refusal::not_found("Award Emoji"))
}

fn one(world: &World, iid: u64, id: u64, status: u16) -> Answered {
    let reaction = world.reactions.iter().find(|reaction| reaction.iid == iid && reaction.id == id);
    let reaction = reaction.ok_or_else(|| Refusal::not_found("Award Emoji"))?;
    Ok(Answer::Json(status, json(world, reaction)))
}

pub(super) fn list(world: &World, request: &Request, iid: u64) -> Answered {
    seen(world, request, iid)?;
    let rows =
        world.reactions.iter().filter(|reaction| reaction.iid == iid).map(|reaction| json(world, reaction));
    page(request, rows.collect::<Vec<_>>())
}

pub(super) fn get(world: &World, request: &Request, iid: u64, id: u64) -> Answered {
    seen(world, request, iid)?;
    one(world, iid, id, 200)
}

pub(super) fn create(world: &mut World, request: &Request, iid: u64) -> Answered {
    let name = request.params.required("name")?;
    let id = world.react(request.actor()?, iid, name)?;
    one(world, iid, id, 201)
}

pub(super) fn delete(world: &mut World, request: &Request, iid: u64, id: u64) -> Answered {
    seen(world, request, iid)?;
    world.unreact(request.actor()?, iid, id)?;
    Ok(Answer::Json(204, Value::Null))
}

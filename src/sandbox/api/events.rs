//! Label events and state events.

use serde_json::{Value, json};

use super::super::records::{Label, LabelEvent, StateEvent};
use super::super::refusal::Refusal;
use super::super::request::{Answer, Request};
use super::super::world::{World, stamp};
use super::{Answered, page_with_gaps};

fn label_json(world: &World, event: &LabelEvent) -> Value {
    json!({
        "id": event.id,
        "user": world.user_basic(event.user),
        "created_at": stamp(event.created_at),
        "resource_type": "Issue",
        "resource_id": world.issues.get(&event.iid).map(|issue| issue.id),
        "label": event.label.and_then(|id| world.label(id)).map(Label::basic),
        "action": if event.added { "add" } else { "remove" },
    })
}

fn state_json(world: &World, event: &StateEvent) -> Value {
    json!({
        "id": event.id,
        "user": world.user_basic(event.user),
        "created_at": stamp(event.created_at),
        "resource_type": "Issue",
        "resource_id": world.issues.get(&event.iid).map(|issue| issue.id),
        "source_commit": null,
        "source_merge_request_id": null,
        "state": if event.closed { "closed" } else { "reopened" },
    })
}

pub(super) fn labels(world: &World, request: &Request, iid: u64) -> Answered {
    world.visible_issue(request.user, iid)?;
    let rows =
        world.label_events.iter().filter(|event| event.iid == iid).map(|event| label_json(world, event));
    page_with_gaps(world, request, rows.collect())
}

pub(super) fn label(world: &World, request: &Request, iid: u64, id: u64) -> Answered {
    world.visible_issue(request.user, iid)?;
    let event = world.label_events.iter().find(|event| event.iid == iid && event.id == id);
    let event = event.ok_or_else(|| Refusal::not_found("ResourceLabelEvent"))?;
    Ok(Answer::Json(200, label_json(world, event)))
}

pub(super) fn states(world: &World, request: &Request, iid: u64) -> Answered {
    world.visible_issue(request.user, iid)?;
    let rows =
        world.state_events.iter().filter(|event| event.iid == iid).map(|event| state_json(world, event));
    page_with_gaps(world, request, rows.collect())
}

pub(super) fn state(world: &World, request: &Request, iid: u64, id: u64) -> Answered {
    world.visible_issue(request.user, iid)?;
    let event = world.state_events.iter().find(|event| event.iid == iid && event.id == id);
    let event = event.ok_or_else(|| Refusal::not_found("ResourceStateEvent"))?;
    Ok(Answer::Json(200, state_json(world, event)))
}

//! Labels.

use serde_json::{Value, json};

use super::super::records::{Label, State};
use super::super::refusal::Refusal;
use super::super::request::{Answer, Request};
use super::super::rules::LabelChange;
use super::super::world::World;
use super::{Answered, page};

impl Label {
    /// Dark on bright colours, white on dark ones.
    pub(in super::super) fn text_color(&self) -> &'static str {
        let channel =
            |at: usize| u32::from_str_radix(self.color.get(at..at + 2).unwrap_or("0"), 16).unwrap_or(0);
        let brightness = (299 * channel(1) + 587 * channel(3) + 114 * channel(5)) / 1000;
        if brightness > 140 { "#1F1E24" } else { "#FFFFFF" }
    }

    /// `LabelBasic` of the API.
    pub(in super::super) fn basic(&self) -> Value {
        json!({
            "id": self.id,
            "name": self.name,
            "description": self.description,
            "description_html": self.description.as_deref().unwrap_or_default(),
            "text_color": self.text_color(),
            "color": self.color,
            "remove_on_close": self.remove_on_close,
        })
    }
}

fn full(world: &World, label: &Label, counts: bool) -> Value {
    let mut body = label.basic();
    body["archived"] = label.archived.into();
    body["subscribed"] = false.into();
    body["priority"] = label.priority.into();
    body["is_project_label"] = true.into();
    if counts {
        let count = |state: State| {
            world
                .issues
                .values()
                .filter(|issue| issue.state == state && issue.labels.contains(&label.id))
                .count()
        };
        body["open_issues_count"] = count(State::Opened).into();
        body["closed_issues_count"] = count(State::Closed).into();
        body["open_merge_requests_count"] = 0.into();
    }
    body
}

pub(super) fn list(world: &World, request: &Request) -> Answered {
    let search = request.params.text("search").unwrap_or_default().to_lowercase();
    let archived = request.params.flag("archived")?;
    let counts = request.params.flag("with_counts")?.unwrap_or(false);
    let mut labels: Vec<_> = world
        .labels
        .iter()
        .filter(|label| {
            let text = format!("{}\n{}", label.name, label.description.as_deref().unwrap_or_default());
            text.to_lowercase().contains(&search)
        })
        .filter(|label| archived.is_none_or(|wanted| wanted == label.archived))
        .collect();
    labels.sort_by(|one, other| one.name.cmp(&other.name));
    page(request, labels.into_iter().map(|label| full(world, label, counts)).collect::<Vec<_>>())
}

pub(super) fn get(world: &World, name: &str) -> Answered {
    Ok(Answer::Json(200, full(world, world.label_at(name)?, false)))
}

fn found(world: &World, id: u64, status: u16) -> Answered {
    let label = world.label(id).ok_or_else(|| Refusal::not_found("Label"))?;
    Ok(Answer::Json(status, full(world, label, false)))
}

fn priority(request: &Request) -> Result<Option<Option<u64>>, Refusal> {
    Ok(request.params.has("priority").then_some(request.params.number("priority")?))
}

pub(super) fn create(world: &mut World, request: &Request) -> Answered {
    let params = &request.params;
    let (name, color) = (params.required("name")?, params.required("color")?);
    let priority = priority(request)?;
    let actor = request.actor()?;
    let id = world.create_label(actor, name, color, params.text("description").map(str::to_owned))?;
    if priority.is_some() {
        let change = LabelChange { priority, ..LabelChange::default() };
        world.update_label(actor, &id.to_string(), change)?;
    }
    found(world, id, 201)
}

/// The label that the parameters name.
pub(super) fn named(request: &Request) -> Result<String, Refusal> {
    let params = &request.params;
    let named = params.text("label_id").or(params.text("name")).map(str::to_owned);
    named.ok_or_else(|| {
        Refusal::parameter("label_id, name are missing, exactly one parameter must be provided")
    })
}

pub(super) fn update(world: &mut World, request: &Request, name: &str) -> Answered {
    let params = &request.params;
    if !["new_name", "color", "description", "priority", "archived"].iter().any(|field| params.has(field)) {
        return Err(Refusal::parameter(
            "new_name, color, description, priority, archived are missing, at least one parameter must be provided",
        ));
    }
    let change = LabelChange {
        name: params.text("new_name").map(str::to_owned),
        color: params.text("color").map(str::to_owned),
        description: params.text("description").map(str::to_owned),
        priority: priority(request)?,
        archived: params.flag("archived")?,
    };
    let id = world.update_label(request.actor()?, name, change)?;
    found(world, id, 200)
}

pub(super) fn delete(world: &mut World, request: &Request, name: &str) -> Answered {
    world.delete_label(request.actor()?, name)?;
    Ok(Answer::Json(204, Value::Null))
}

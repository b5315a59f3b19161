//! Webhooks of the project and their log.

use serde_json::{Value, json};

use super::super::hooks::{DeliveryLog, FLAGS, Hook};
use super::super::people::Ability;
use super::super::refusal::Refusal;
use super::super::request::{Answer, Page, Request};
use super::super::rules::HookChange;
use super::super::world::{World, stamp};
use super::{Answered, number, page};

fn json(world: &World, hook: &Hook, in_list: bool) -> Value {
    let now = world.now();
    let mut body = json!({
        "id": hook.id,
        "url": hook.url,
        "name": hook.name,
        "description": hook.description,
        "created_at": stamp(hook.created_at),
        "project_id": world.project.id,
        "enable_ssl_verification": hook.enable_ssl_verification,
        "alert_status": hook.alert_status(now),
        "disabled_until": hook.disabled_until.map(stamp),
        "push_events_branch_filter": hook.push_events_branch_filter,
        "branch_filter_strategy": "wildcard",
        "custom_webhook_template": hook.custom_webhook_template,
    });
    for flag in FLAGS {
        body[*flag] = hook.events.contains(flag).into();
    }
    if world.major_version() >= 19 {
        body["token_present"] = hook.token.is_some().into();
        body["signing_token_present"] = hook.signing_token.is_some().into();
    }
    if !in_list {
        body["url_variables"] = json!([]);
        body["custom_headers"] = hook.custom_headers.iter().map(|(key, _)| json!({"key": key})).collect();
    }
    body
}

fn log_json(entry: &DeliveryLog) -> Value {
    let headers = |pairs: &[(String, String)]| -> Value {
        pairs
            .iter()
            .map(|(name, value)| (name.clone(), Value::from(value.as_str())))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    json!({
        "id": entry.id,
        "url": entry.delivery.url,
        "trigger": entry.delivery.trigger.flag().trim_end_matches("s_events").to_owned() + "_hooks",
        "request_headers": headers(&entry.request_headers),
        "request_data": entry.delivery.body,
        "response_headers": headers(&entry.response_headers),
        "response_body": entry.response_body,
        "execution_duration": entry.duration,
        "response_status": entry.status.map_or_else(|| "internal error".to_owned(), |status| status.to_string()),
        "created_at": stamp(entry.created_at),
    })
}

fn change(request: &Request) -> Result<HookChange, Refusal> {
    let params = &request.params;
    let text = |name: &str| params.text(name).map(str::to_owned);
    let mut events = Vec::new();
    for flag in FLAGS {
        if let Some(wanted) = params.flag(flag)? {
            events.push(((*flag).to_owned(), wanted));
        }
    }
    Ok(HookChange {
        url: text("url"),
        name: text("name"),
        description: text("description"),
        token: text("token"),
        signing_token: text("signing_token"),
        events,
        enable_ssl_verification: params.flag("enable_ssl_verification")?,
        custom_headers: params.pairs("custom_headers"),
        push_events_branch_filter: text("push_events_branch_filter"),
        custom_webhook_template: text("custom_webhook_template"),
    })
}

pub(super) fn answer(world: &mut World, request: &Request, path: &[&str]) -> Answered {
    let actor = request.actor()?;
    match (request.method.as_str(), path) {
        ("POST", []) => {
            let change = change(request)?;
            world.allow(Some(actor), Ability::AdminHook)?;
            request.params.required("url")?;
            let id = world.create_hook(actor, change)?;
            Ok(Answer::Json(201, json(world, world.hook(id)?, false)))
        }
        ("PUT", [id]) => {
            let id = number(id)?;
            let change = change(request)?;
            world.update_hook(actor, id, change)?;
            Ok(Answer::Json(200, json(world, world.hook(id)?, false)))
        }
        ("DELETE", [id]) => {
            world.delete_hook(actor, number(id)?)?;
            Ok(Answer::Json(204, Value::Null))
        }
        ("POST", [id, "test", trigger]) => {
            Ok(Answer::Deliver(Box::new(world.test_delivery(actor, number(id)?, trigger)?)))
        }
        (method, path) => {
            world.allow(Some(actor), Ability::AdminHook)?;
            match (method, path) {
                ("GET", []) => {
                    let rows: Vec<_> = world.hooks.iter().map(|hook| json(world, hook, true)).collect();
                    page(request, rows)
                }
                ("GET", [id]) => Ok(Answer::Json(200, json(world, world.hook(number(id)?)?, false))),
                ("GET", [id, "events"]) => log(world, request, number(id)?),
                ("POST", [id, "events", entry, "resend"]) => resend(world, number(id)?, number(entry)?),
                _ => Err(Refusal::no_route()),
            }
        }
    }
}

fn log(world: &World, request: &Request, hook: u64) -> Answered {
    world.hook(hook)?;
    if request.params.number("per_page")?.is_some_and(|rows| rows > 20) {
        return Err(Refusal::parameter("per_page does not have a valid value"));
    }
    let wanted = request.params.list("status").unwrap_or_default();
    let fits = |entry: &&DeliveryLog| {
        wanted.is_empty()
            || wanted.iter().any(|status| match (status.as_str(), entry.status) {
                ("successful", Some(code)) => (200..300).contains(&code),
                ("client_failure", Some(code)) => (400..500).contains(&code),
                ("server_failure", Some(code)) => code >= 500,
                ("server_failure", None) => true,
                (exact, code) => code.is_some_and(|code| exact == code.to_string()),
            })
    };
    let entries = world.deliveries.iter().rev().filter(|entry| entry.delivery.hook == hook).filter(fits);
    Ok(Answer::Page(Page::cut(&request.params, 20, entries.map(Some).collect(), log_json)?))
}

fn resend(world: &World, hook: u64, entry: u64) -> Answered {
    let url = &world.hook(hook)?.url;
    let entry = world.deliveries.iter().find(|other| other.id == entry && other.delivery.hook == hook);
    let entry = entry.ok_or_else(Refusal::no_row)?;
    if entry.delivery.url != *url {
        return Err(Refusal::unprocessable("The hook URL has changed. Unable to resend."));
    }
    Ok(Answer::Deliver(Box::new(entry.delivery.clone())))
}

//! The sandbox's own switches over HTTP, for tests of a binary that cannot reach into the process.

use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use serde::Deserialize;
use serde_json::json;

use super::deliveries::HookMode;
use super::faults::{Fault, Outage};
use super::refusal::Refusal;
use super::request::{Reply, segments};
use super::{Inner, lock};

#[derive(Deserialize)]
struct Mode {
    mode: HookMode,
}

#[derive(Deserialize)]
struct Away {
    outage: Outage,
}

fn read<'a, T: Deserialize<'a>>(call: &'a http::Request<Bytes>) -> Result<T, Refusal> {
    serde_json::from_slice(call.body()).map_err(|error| Refusal::parameter(error.to_string()))
}

/// Answers a call to `/sandbox/…`.
pub(super) async fn answer(inner: &Arc<Inner>, call: &http::Request<Bytes>, path: &str) -> Reply {
    act(inner, call, path).await.unwrap_or_else(Reply::from)
}

async fn act(inner: &Arc<Inner>, call: &http::Request<Bytes>, path: &str) -> Result<Reply, Refusal> {
    let path = segments(path);
    let path: Vec<&str> = path.iter().skip(1).map(String::as_str).collect();
    let done = || Ok(Reply::json(204, &serde_json::Value::Null));
    let get = call.method() == Method::GET;
    match (call.method().as_str(), path.as_slice()) {
        ("GET", ["calls"]) => Ok(Reply::json(200, &json!(*lock(&inner.calls)))),
        ("DELETE", ["calls"]) => {
            lock(&inner.calls).clear();
            done()
        }
        ("GET", ["faults"]) => Ok(Reply::json(200, &json!(inner.faults().list))),
        ("POST", ["faults"]) => {
            let fault: Fault = read(call)?;
            inner.faults().list.push(fault);
            done()
        }
        ("DELETE", ["faults"]) => {
            inner.faults().list.clear();
            done()
        }
        ("POST", ["outage"]) => {
            inner.faults().outage = read::<Away>(call)?.outage;
            done()
        }
        ("POST", ["hooks-mode"]) => {
            lock(&inner.deliveries).mode = read::<Mode>(call)?.mode;
            done()
        }
        ("GET", ["held"]) => {
            let held: Vec<_> =
                lock(&inner.deliveries).held.iter().map(|(id, delivery)| delivery.held(*id)).collect();
            Ok(Reply::json(200, &json!(held)))
        }
        ("POST", ["held", id, "deliver"]) => {
            let id = id.parse().map_err(|_| Refusal::no_row())?;
            Ok(Reply::json(200, &json!({ "status": inner.deliver_held(id).await })))
        }
        ("POST", ["held", id, "double"]) => {
            let copy = id.parse().ok().and_then(|id| inner.double_held(id)).ok_or_else(Refusal::no_row)?;
            Ok(Reply::json(200, &json!({ "id": copy })))
        }
        ("DELETE", ["held", id]) => {
            id.parse()
                .ok()
                .and_then(|id| lock(&inner.deliveries).held.remove(&id))
                .ok_or_else(Refusal::no_row)?;
            done()
        }
        ("PUT", ["files", file]) => {
            inner.world().files.insert((*file).to_owned(), call.body().to_vec());
            done()
        }
        ("DELETE", ["files", file]) => {
            inner.world().files.remove(*file).ok_or_else(Refusal::no_row)?;
            done()
        }
        ("POST", ["settled"]) => {
            let mut under_way = inner.under_way.subscribe();
            let _ = under_way.wait_for(|count| *count == 0).await;
            done()
        }
        (_, ["users"]) if get => Ok(Reply::json(200, &users(inner))),
        (_, ["quick-actions"]) if get => Ok(Reply::json(200, &json!(inner.world().fired_quick_actions))),
        (_, ["project"]) if get => {
            let world = inner.world();
            Ok(Reply::json(
                200,
                &json!({"id": world.project.id, "path": world.project.path, "url": inner.base}),
            ))
        }
        _ => Err(Refusal::no_route()),
    }
}

fn users(inner: &Inner) -> serde_json::Value {
    let world = inner.world();
    world
        .users
        .iter()
        .map(|user| {
            let token = world.tokens.iter().find(|token| token.user == user.id);
            json!({
                "id": user.id,
                "username": user.username,
                "bot": user.bot,
                "role": world.members.get(&user.id),
                "token": token.map(|token| token.value.clone()),
            })
        })
        .collect()
}

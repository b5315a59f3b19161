//! Deciding on a page: one match or several at once, with a result for each and a way back.

use std::collections::BTreeMap;

use axum::http::{StatusCode, header};
use axum::response::Response;
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};

use super::forms::{self, Posted};
use super::visit::Visit;
use crate::domain::State;
use crate::domain::decision_comment::decision_comment;
use crate::domain::history::Through;
use crate::domain::posted_match::clean_line;
use crate::engine::{Decision, DecisionError, EngineError};
use crate::mirror::Standing;

/// Most matches in one go.
const LIMIT: usize = 100;
/// Decisions that are made at the same time.
const AT_ONCE: usize = 4;

/// A decision that did not come about.
struct Failure {
    iid: u64,
    error: DecisionError,
}

/// Decides, then shows the page that the form was on; where something failed, what.
pub(super) async fn post(posted: Posted) -> Response {
    let (visit, fields) = (&posted.visit, &posted.fields);
    let mut iids: Vec<u64> = fields.all("iid").filter_map(|iid| iid.parse().ok()).take(LIMIT).collect();
    iids.sort_unstable();
    iids.dedup();
    let back = fields.local("back");
    let Ok(to) = fields.one("state").parse::<State>() else {
        return visit.say(StatusCode::UNPROCESSABLE_ENTITY, "broken_form", "");
    };
    if iids.is_empty() {
        return visit.say(StatusCode::UNPROCESSABLE_ENTITY, "nothing_chosen", "");
    }
    let Ok(comment) = decision_comment(fields.one("comment")) else {
        return forms::comment_too_long(visit);
    };
    let seen = seen(fields.all("seen"));
    let decision = Decision {
        from: None,
        to,
        by: posted.session.name.clone(),
        through: Through::Page,
        comment: comment.clone(),
    };
    let stood: Vec<_> = iids.iter().map(|iid| (*iid, state_of(visit, *iid))).collect();
    let outcomes = stream::iter(iids.into_iter().map(|iid| {
        // Only from where the page showed it: somebody may have decided meanwhile.
        let decision = Decision { from: seen.get(&iid).copied(), ..decision.clone() };
        let decided = visit.web.engine().decide(iid, decision);
        async move { decided.await.map(drop).map_err(|error| Failure { iid, error }) }
    }));
    let outcomes: Vec<Result<(), Failure>> = outcomes.buffered(AT_ONCE).collect().await;
    visit.web.finish_inside_the_request().await;
    let failures: Vec<Failure> = outcomes.into_iter().filter_map(Result::err).collect();
    let made = made(&stood, &failures, to);
    if failures.is_empty() && made.is_empty() {
        return visit.go(back);
    }
    if failures.is_empty() {
        let joint = if back.contains('?') { '&' } else { '?' };
        return visit.go(&format!("{back}{joint}done={made}"));
    }
    let said = Said { to, comment: comment.as_deref().unwrap_or_default(), back, seen: &seen };
    visit.answer(say_what_failed(visit, &said, &made, &failures))
}

/// What was decided, as `iid.state` with the state from which each match was moved.
fn made(stood: &[(u64, Option<State>)], failures: &[Failure], to: State) -> String {
    let succeeded = stood.iter().filter(|(iid, _)| failures.iter().all(|failure| failure.iid != *iid));
    let moved = succeeded.filter_map(|(iid, from)| Some((iid, from.filter(|from| *from != to)?)));
    moved.map(|(iid, from)| format!("{iid}.{from}")).collect::<Vec<_>>().join(",")
}

/// Where the page showed each match, as `iid.state`.
fn seen<'a>(fields: impl Iterator<Item = &'a str>) -> BTreeMap<u64, State> {
    let pair = |one: &str| {
        let (iid, state) = one.split_once('.')?;
        Some((iid.parse().ok()?, state.parse().ok()?))
    };
    fields.filter_map(pair).collect()
}

fn state_of(visit: &Visit, iid: u64) -> Option<State> {
    visit.web.engine().mirror().record(iid).ok().flatten().map(|record| record.state)
}

/// What the form said.
struct Said<'a> {
    to: State,
    comment: &'a str,
    back: &'a str,
    /// Where its page showed each match.
    seen: &'a BTreeMap<u64, State>,
}

fn say_what_failed(
    visit: &Visit,
    said: &Said<'_>,
    made: &str,
    failures: &[Failure],
) -> Result<Response, EngineError> {
    let mut retry_after = None;
    let mut status = StatusCode::OK;
    let mut failed = Vec::with_capacity(failures.len());
    for Failure { iid, error } in failures {
        tracing::warn!(iid, %error, "a decision on the page failed");
        let (code, kind, detail) = match error {
            DecisionError::Unknown(_) => (StatusCode::NOT_FOUND, "unknown", String::new()),
            DecisionError::NotAllowed { from, allowed, .. } => {
                let kind = if allowed.contains(&said.to) { "meanwhile" } else { "not_allowed" };
                (StatusCode::CONFLICT, kind, from.as_str().to_owned())
            }
            DecisionError::Engine(error) => match error.retry_after() {
                Some(after) => {
                    retry_after = retry_after.max(Some(after.as_secs().max(1)));
                    (StatusCode::SERVICE_UNAVAILABLE, "later", error.to_string())
                }
                None => (StatusCode::BAD_GATEWAY, "refused", error.to_string()),
            },
        };
        status = code;
        let title = visit.web.engine().mirror().record(*iid)?.map(|record| clean_line(&record.job.title));
        // Tried again, it overrules nobody unseen either.
        let seen = match error {
            DecisionError::NotAllowed { from, .. } => Some(*from),
            _ => said.seen.get(iid).copied(),
        };
        failed.push(json!({ "iid": iid, "title": title, "kind": kind, "detail": detail, "seen": seen }));
    }
    if !made.is_empty() {
        status = StatusCode::OK;
    }
    let context = json!({
        "to": said.to, "comment": said.comment, "back": said.back, "failed": failed,
        "done": results(visit, made)?,
    });
    let mut response = visit.page(status, "failed", context);
    if let Some(after) = retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, after.into());
    }
    Ok(response)
}

/// What was just decided, as the address says: each match where it is now, and the way back.
pub(super) fn done(visit: &Visit) -> Result<Value, EngineError> {
    results(visit, visit.query("done"))
}

fn results(visit: &Visit, made: &str) -> Result<Value, EngineError> {
    let mut results = Vec::new();
    for one in made.split(',').take(LIMIT) {
        let Some((iid, from)) = one.split_once('.') else { continue };
        let (Ok(iid), Ok(from)) = (iid.parse::<u64>(), from.parse::<State>()) else { continue };
        let record = visit.web.engine().mirror().record(iid)?;
        let Some(record) = record.filter(|record| record.standing == Standing::Live) else { continue };
        let undo = record.state.may_become(from, record.undo_sent()).then_some(from);
        let title = clean_line(&record.job.title);
        results.push(json!({ "iid": iid, "title": title, "state": record.state, "undo": undo }));
    }
    Ok(results.into())
}

//! Is it alive, is it ready, how does every part fare?

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::Web;
use super::openapi::{PROBLEM, Refusals};
use super::problem::{Parts, Problem};
use crate::metrics::{CONTENT_TYPE, Part};

/// What whoever lives says.
pub(super) const ALIVE: &str = "alive\n";

/// The process runs.
#[utoipa::path(get, path = "/livez", tag = "health", security(()),
    responses((status = 200, description = "It does", body = String, content_type = "text/plain")))]
pub(super) async fn live() -> &'static str {
    ALIVE
}

/// GitLab has been read since the start, so that matches can be staged and decided.
#[utoipa::path(get, path = "/readyz", tag = "health", security(()), responses(
    (status = 200, description = "Ready", body = String, content_type = "text/plain"),
    (status = 503, description = "Not yet", body = Parts, content_type = PROBLEM)))]
pub(super) async fn ready(State(web): State<Web>) -> Response {
    if web.engine().status().caught_up {
        "ready\n".into_response()
    } else {
        let after = std::time::Duration::from_secs(2);
        Problem::new(StatusCode::SERVICE_UNAVAILABLE)
            .detail("GitLab has not been read yet")
            .retry_after(after)
            .into_response()
    }
}

/// Every part and how it fares; no secrets, so that no token is needed.
#[utoipa::path(get, path = "/health", tag = "health", security(()), responses(
    (status = 200, description = "Every part is fine", body = Object),
    (status = 503, description = "A part is not", body = Object)))]
pub(super) async fn health(State(web): State<Web>) -> Response {
    let status = web.engine().status();
    let counts = web.engine().mirror().counts();
    let gitlab_fine = status.gitlab_error.is_none() && status.caught_up;
    let mirror_error = counts.as_ref().err().map(ToString::to_string).or(status.mirror_error);
    let fine = gitlab_fine && mirror_error.is_none() && web.engine().unlisted_bots().is_empty();
    let hook = status.hook.as_ref().map_or(json!("unknown"), |hook| json!(hook));
    let unlisted_bots = web.engine().unlisted_bots();
    let doubts = web.engine().mirror().sends_in_doubt().unwrap_or_default();
    let part = |fine: bool| if fine { "ok" } else { "failing" };
    let answer = json!({
        "status": part(fine),
        "version": env!("CARGO_PKG_VERSION"),
        "gitlab": { "status": part(gitlab_fine), "error": status.gitlab_error, "last_read": status.last_delta, "token_expires_at": status.token_expires },
        "webhook": { "status": hook, "last_event": status.last_event },
        "mirror": {
            "status": part(mirror_error.is_none()),
            "error": mirror_error,
            "note": status.mirror_note,
            "matches": counts.as_ref().ok(),
        },
        "labels": {
            "made_again": status.label_made_again,
            "not_taken": web.engine().untaken(),
            "note": status.label_made_again.map(|name| format!("the label {name} was deleted; it was made again and put back on its issues")),
        },
        "channels": web.notifier().health(),
        "events": web.outgoing().event_health(),
        "send_unknown": { "count": doubts.len(), "iids": doubts },
        "settings": { "status": part(status.settings_problem.is_none()), "problem": status.settings_problem.map(|problem| problem.text) },
        "backlog": web.engine().backlog(),
        "unlisted_bots": {
            "ids": unlisted_bots,
            "advice": (!unlisted_bots.is_empty()).then_some("list them in VORHOELLE_FORMER_USERS; until then nothing is written"),
        },
        "last_event": status.last_event,
        "ignored_issues": counts.as_ref().map_or(0, |counts| counts.ignored),
    });
    let code = if fine { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(answer)).into_response()
}

/// Figures for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "health", security(()), responses(
    (status = 200, description = "OpenMetrics text", body = String, content_type = "application/openmetrics-text"),
    (status = 503, description = "The mirror cannot be read", body = Parts, content_type = PROBLEM)))]
pub(super) async fn metrics(State(web): State<Web>) -> Result<Response, Problem> {
    let (metrics, status) = (&web.inner.metrics, web.engine().status());
    let second = |at: Option<jiff::Timestamp>| at.map_or(0, jiff::Timestamp::as_second);
    let counts = web.engine().mirror().counts()?;
    metrics.set(Part::Backlog, i64::try_from(web.engine().backlog()).unwrap_or(i64::MAX));
    metrics.set(Part::GitlabUp, i64::from(status.gitlab_error.is_none() && status.caught_up));
    metrics.set(Part::LastRead, second(status.last_delta));
    metrics.set(Part::LastEvent, second(status.last_event));
    metrics.set(Part::Ignored, i64::try_from(counts.ignored).unwrap_or(i64::MAX));
    let doubts = web.engine().mirror().sends_in_doubt()?.len();
    metrics.set(Part::SendUnknown, i64::try_from(doubts).unwrap_or(i64::MAX));
    let events = web.outgoing().event_health();
    metrics.set(Part::EventsWaiting, i64::try_from(events.waiting).unwrap_or(i64::MAX));
    metrics.set(Part::EventsGivenUp, i64::try_from(events.given_up).unwrap_or(i64::MAX));
    let states = [
        ("pending", counts.pending),
        ("approved", counts.approved),
        ("rejected", counts.rejected),
        ("sent", counts.sent),
    ];
    for (state, count) in states {
        metrics.set_matches(state, count);
    }
    for one in web.notifier().health() {
        if matches!(one.status, "not_set_up" | "disabled") {
            metrics.forget_channel(one.channel.as_str());
        } else {
            metrics.set_channel(one.channel.as_str(), one.status == "ok", one.waiting);
        }
    }
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], metrics.encode()).into_response())
}

/// What is left to do.
#[derive(Serialize, ToSchema)]
pub(super) struct Ticked {
    /// Issues that wait to be looked at.
    backlog: usize,
}

/// Does what is due now: the delta read, held messages; for a scheduler on platforms that sleep.
#[utoipa::path(
    post, path = "/tick", operation_id = "tick", tag = "service",
    responses(
        (status = 200, description = "Done", body = Ticked),
        (status = 502, description = "GitLab refused", body = Parts, content_type = PROBLEM),
        (status = 503, description = "GitLab does not answer; try again after Retry-After", body = Parts, content_type = PROBLEM),
        Refusals,
    ),
)]
pub(super) async fn tick(State(web): State<Web>) -> Result<Response, Problem> {
    let worker = web.clone();
    // A scheduler that waits no longer breaks off no message in mid-step.
    let work = async move {
        // One whose caller gave up still runs: it is waited for, not queued behind.
        let Ok(_one_at_a_time) = worker.inner.ticking.try_lock() else {
            drop(worker.inner.ticking.lock().await);
            return Ok(());
        };
        let done = worker.do_what_is_due(true).await;
        if let Some(watch) = &worker.inner.watch {
            worker.engine().check_hook(watch).await;
        }
        done
    };
    web.engine().uncancelled("the tick", work).await?;
    Ok(Json(Ticked { backlog: web.engine().backlog() }).into_response())
}

//! HTTP: the API, the pages, GitLab's deliveries, health. `router` is the table of contents.

pub mod answer;
mod auth;
mod bodies;
mod config;
mod decisions;
mod draft;
mod health;
mod hooks;
mod idempotency;
mod iid;
mod lists;
mod matches;
mod notify;
mod openapi;
mod pages;
mod problem;
mod query;
pub mod server;
mod staging;
mod stats;

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, MatchedPath, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, patch, post};
use axum::{Router, http::StatusCode};
use futures_util::FutureExt as _;
use tower_http::timeout::RequestBodyDeadlineLayer;
use tracing::Instrument as _;

use crate::config::{Idle, Settings};
use crate::engine::{Engine, EngineError, HookWatch};
use crate::metrics::Metrics;
use crate::notify::Notifier;
use crate::outgoing::Outgoing;
use problem::Problem;

/// Largest body of the API: a hundred matches with long advertisements.
const API_BODY_LIMIT: usize = 32 * 1024 * 1024;
/// How long a request's body may take: long enough for 32 MiB on a slow line.
const BODY_DEADLINE: Duration = Duration::from_secs(60);
/// How long work inside a request may take: GitLab waits ten seconds for an answer.
const WORK_DEADLINE: Duration = Duration::from_secs(8);
/// Longest `X-Request-Id` that is taken over from a caller.
const REQUEST_ID_LIMIT: usize = 64;

/// What every handler may use.
#[derive(Clone)]
pub struct Web {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Engine,
    notifier: Notifier,
    outgoing: Outgoing,
    watch: Option<HookWatch>,
    metrics: Arc<Metrics>,
    settings: Settings,
    deliveries: bodies::Room,
    running: idempotency::Running,
    ticking: tokio::sync::Mutex<()>,
    lists: lists::Lists,
    pages: pages::Room,
}

impl Web {
    /// The web side of a service.
    pub fn new(
        engine: Engine,
        notifier: Notifier,
        outgoing: Outgoing,
        watch: Option<HookWatch>,
        metrics: Arc<Metrics>,
        settings: Settings,
    ) -> Self {
        let inner = Inner {
            engine,
            notifier,
            outgoing,
            watch,
            metrics,
            settings,
            deliveries: bodies::Room::of(hooks::ROOM),
            running: idempotency::Running::default(),
            ticking: tokio::sync::Mutex::default(),
            lists: lists::Lists::default(),
            pages: pages::Room::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    fn engine(&self) -> &Engine {
        &self.inner.engine
    }

    fn notifier(&self) -> &Notifier {
        &self.inner.notifier
    }

    fn outgoing(&self) -> &Outgoing {
        &self.inner.outgoing
    }

    fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// The path below which a proxy shows the service, without a slash at its end.
    fn root(&self) -> &str {
        self.settings().public_url.as_ref().map_or("", |url| url.path().trim_end_matches('/'))
    }

    /// Where the clock may stop once we have answered, what a request caused is done before.
    async fn finish_inside_the_request(&self) {
        if self.settings().idle == Idle::Request {
            let web = self.clone();
            // In a task of its own: what is not done by then goes on at the next request, and breaks off in no mid-step.
            let work = self.engine().uncancelled("what a request caused", async move {
                let read_first = !web.engine().status().caught_up;
                web.do_what_is_due(read_first).await
            });
            if let Ok(Err(error)) = tokio::time::timeout(WORK_DEADLINE, work).await {
                tracing::warn!(%error, "GitLab could not be read; it is at the next request");
            }
        }
    }

    /// Follows what waits, and tells what is due. A read that fails holds up nothing that is due by time.
    async fn do_what_is_due(&self, read_first: bool) -> Result<(), EngineError> {
        let read = if read_first { self.engine().delta().await } else { Ok(()) };
        self.engine().work_off_what_is_due_soon().await;
        // A receiver of events that keeps silent holds no message to a reviewer up.
        tokio::join!(self.outgoing().tick(), self.notifier().tick());
        read
    }
}

/// The API: every address below `/api/v1`. What each says of itself is gathered in openapi.rs once somebody asks.
fn api() -> Router<Web> {
    Router::new()
        .route("/matches", post(staging::post).get(matches::list))
        .route("/matches/{iid}", get(matches::get).patch(matches::patch))
        .route("/matches/{iid}/application", patch(matches::patch_application))
        .route("/matches/{iid}/draft", get(draft::get).put(draft::put))
        .route("/matches/{iid}/send", post(draft::send))
        .route("/decisions", get(decisions::list))
        .route("/stats", get(stats::show))
        .route("/config", get(config::get).patch(config::patch))
        .route("/notify/test", post(notify::test))
        .route("/tick", post(health::tick))
        .route("/openapi.json", get(openapi::description))
}

/// What needs no token.
fn open() -> Router<Web> {
    Router::new()
        .route("/webhooks/gitlab", post(hooks::receive))
        .route("/health", get(health::health))
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
}

/// What answers while the service is being put together: it lives, and asks to be asked again in a second.
pub fn router_at_the_start() -> Router {
    let not_yet = Problem::new(StatusCode::SERVICE_UNAVAILABLE)
        .detail("the service is starting")
        .retry_after(Duration::from_secs(1));
    Router::new()
        .route("/livez", get(health::live))
        .fallback(async move || not_yet)
        .layer(middleware::from_fn(attend))
}

/// Every address of the service.
pub fn router(web: Web) -> Router {
    let api = api()
        .layer(DefaultBodyLimit::max(API_BODY_LIMIT))
        .layer(RequestBodyDeadlineLayer::new(BODY_DEADLINE))
        .fallback(not_found)
        .method_not_allowed_fallback(not_allowed)
        .layer(middleware::from_fn_with_state(web.clone(), auth::require_token));
    Router::new()
        .nest("/api/v1", api)
        .merge(open())
        .merge(pages::routes())
        .merge(openapi::page())
        .fallback(nowhere)
        .method_not_allowed_fallback(not_allowed)
        .layer(middleware::from_fn_with_state(web.clone(), attend_and_count))
        .with_state(web)
}

async fn not_found() -> Problem {
    Problem::new(StatusCode::NOT_FOUND)
        .detail("there is no such address; GET /api/v1/openapi.json lists all of them")
}

/// An address that nothing is at: a page for people, a problem for programs.
async fn nowhere(visit: pages::Visit, headers: HeaderMap) -> Response {
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accepted.contains("text/html") {
        visit.say(StatusCode::NOT_FOUND, "not_found", "")
    } else {
        not_found().await.into_response()
    }
}

async fn not_allowed() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED)
        .detail("the address does not take this method; `Allow` names those it does")
}

/// A path as it may be logged: what decides does not stand in a log, nor does the query.
fn loggable(path: &str) -> &str {
    if path.starts_with("/a/") { "/a/…" } else { path }
}

/// An id that no other request has: the process's own and a number. Random bytes for each would cost a call of the system.
fn new_request_id() -> HeaderValue {
    static PROCESS: LazyLock<String> = LazyLock::new(|| uuid::Uuid::now_v7().simple().to_string());
    static NUMBER: AtomicU64 = AtomicU64::new(1);
    let id = format!("{}-{}", *PROCESS, NUMBER.fetch_add(1, Ordering::Relaxed));
    HeaderValue::from_str(&id).unwrap_or(HeaderValue::from_static("-"))
}

/// Gives every request an id, in the log and in the answer, and every answer the headers that keep browsers safe; where
/// a handler panics, the caller is told. One layer for all of it: each costs every request, GitLab's deliveries included.
async fn attend(request: Request, next: Next) -> Response {
    const NAME: HeaderName = HeaderName::from_static("x-request-id");
    const SAFE: [(HeaderName, HeaderValue); 3] = [
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    let given = request.headers().get(NAME).filter(|id| {
        let bytes = id.as_bytes();
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        !bytes.is_empty() && bytes.len() <= REQUEST_ID_LIMIT && bytes.iter().all(plain)
    });
    let id = given.cloned().unwrap_or_else(new_request_id);
    let span = tracing::info_span!(
        "request",
        request_id = id.to_str().unwrap_or_default(),
        method = %request.method(),
        path = loggable(request.uri().path()),
        by = tracing::field::Empty,
    );
    async move {
        let answer = AssertUnwindSafe(next.run(request)).catch_unwind().await;
        let mut response =
            answer.unwrap_or_else(|_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR).into_response());
        tracing::debug!(status = response.status().as_u16(), "answered");
        let headers = response.headers_mut();
        headers.insert(NAME, id);
        // An answer that shows nothing and leads nowhere, as GitLab's deliveries get it, has nothing to keep safe.
        if headers.contains_key(header::CONTENT_TYPE) || headers.contains_key(header::LOCATION) {
            for (name, value) in SAFE {
                headers.entry(name).or_insert(value);
            }
        }
        response
    }
    .instrument(span)
    .await
}

/// [`attend`], and the request is counted under its route's pattern.
async fn attend_and_count(
    axum::extract::State(web): axum::extract::State<Web>,
    request: Request,
    next: Next,
) -> Response {
    let started = std::time::Instant::now();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = attend(request, next).await;
    if let Some(route) = route {
        web.inner.metrics.answered(&method, route.as_str(), response.status().as_u16(), started.elapsed());
    }
    response
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use hyper::service::Service as _;
    use hyper_util::service::TowerToHyperService;

    use super::*;

    #[tokio::test]
    async fn where_a_handler_panics_the_caller_is_told_and_not_what_it_said() {
        async fn fails() -> StatusCode {
            panic!("the token is {}", "geheim-1")
        }
        let router = Router::new().route("/", get(fails)).layer(middleware::from_fn(attend));
        let request = Request::new(axum::body::Body::empty());
        let answer = TowerToHyperService::new(router).call(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/problem+json");
        assert!(answer.headers().contains_key("x-request-id"));
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let body = String::from_utf8_lossy(&body);
        assert!(body.contains("500") && !body.contains("geheim"), "{body}");
    }
}

//! HTTP: the API, GitLab's deliveries, health. `router` is the table of contents.

mod answer;
mod auth;
mod decisions;
mod health;
mod hooks;
mod idempotency;
mod matches;
mod problem;
pub mod server;

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Router, http::StatusCode};
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument as _;

use crate::config::Settings;
use crate::engine::Engine;
use problem::Problem;

/// Largest body of the API: a hundred matches with long advertisements.
const API_BODY_LIMIT: usize = 32 * 1024 * 1024;
/// Longest `X-Request-Id` that is taken over from a caller.
const REQUEST_ID_LIMIT: usize = 64;

/// What every handler may use.
#[derive(Clone)]
pub struct Web {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Engine,
    settings: Settings,
    hooks: hooks::Room,
    running: idempotency::Running,
}

impl Web {
    /// The web side of a service.
    pub fn new(engine: Engine, settings: Settings) -> Self {
        let inner = Inner {
            engine,
            settings,
            hooks: hooks::Room::default(),
            running: idempotency::Running::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    fn engine(&self) -> &Engine {
        &self.inner.engine
    }

    fn settings(&self) -> &Settings {
        &self.inner.settings
    }
}

/// Every address of the service.
pub fn router(web: Web) -> Router {
    let api = Router::new()
        .route("/matches", post(matches::post).get(matches::list))
        .route("/matches/{iid}", get(matches::get).patch(matches::patch))
        .route("/decisions", get(decisions::list))
        .route("/stats", get(decisions::stats))
        .route("/tick", post(health::tick))
        .layer(DefaultBodyLimit::max(API_BODY_LIMIT))
        .fallback(not_found)
        .method_not_allowed_fallback(not_allowed)
        .layer(middleware::from_fn_with_state(web.clone(), auth::require_token));
    Router::new()
        .nest("/api/v1", api)
        .route("/webhooks/gitlab", post(hooks::receive))
        .route("/health", get(health::health))
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready))
        .fallback(not_found)
        .method_not_allowed_fallback(not_allowed)
        .layer(CatchPanicLayer::custom(|_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR).into_response()))
        .layer(middleware::from_fn(identify))
        .with_state(web)
}

async fn not_found() -> Problem {
    Problem::new(StatusCode::NOT_FOUND)
}

async fn not_allowed() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED)
}

/// Gives every request an id, in the log and in the answer, and every answer the headers that keep browsers safe.
async fn identify(request: Request, next: Next) -> Response {
    const NAME: HeaderName = HeaderName::from_static("x-request-id");
    let given = request.headers().get(NAME).filter(|id| {
        let bytes = id.as_bytes();
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        !bytes.is_empty() && bytes.len() <= REQUEST_ID_LIMIT && bytes.iter().all(plain)
    });
    let id = given.cloned().unwrap_or_else(|| {
        HeaderValue::from_str(&uuid::Uuid::now_v7().to_string()).unwrap_or(HeaderValue::from_static("-"))
    });
    let span = tracing::info_span!(
        "request",
        request_id = id.to_str().unwrap_or_default(),
        method = %request.method(),
        // Without the query: links carry tokens.
        path = request.uri().path(),
    );
    async move {
        let mut response = next.run(request).await;
        tracing::debug!(status = response.status().as_u16(), "answered");
        let headers = response.headers_mut();
        headers.insert(NAME, id);
        let safe = [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-store"),
        ];
        for (name, value) in safe {
            headers.entry(name).or_insert(HeaderValue::from_static(value));
        }
        response
    }
    .instrument(span)
    .await
}

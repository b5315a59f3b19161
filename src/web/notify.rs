//! A message on demand.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Web;
use super::openapi::{PROBLEM, Refusals};
use super::problem::{ApiBytes, Parts, Problem, optional_json};
use crate::domain::Channel;
use crate::notify::TestResult;

/// Which channels to try; those that are on where none is named.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Test {
    #[serde(default)]
    channels: Vec<Channel>,
}

/// What came of it, channel by channel.
#[derive(Serialize, ToSchema)]
pub(super) struct Results {
    results: Vec<TestResult>,
}

/// Sends a test message and tells each channel's true answer. The body may be missing.
#[utoipa::path(
    post, path = "/notify/test", tag = "service",
    request_body(content = Option<Test>, example = json!({"channels": ["email"]})),
    responses(
        (status = 200, description = "Each channel's answer", body = Results),
        (status = 413, description = "Too large", body = Parts, content_type = PROBLEM),
        (status = 415, description = "The body says that it is no JSON", body = Parts, content_type = PROBLEM),
        (status = 502, description = "GitLab refused", body = Parts, content_type = PROBLEM),
        (status = 503, description = "GitLab does not answer; try again after Retry-After", body = Parts, content_type = PROBLEM),
        Refusals,
    ),
)]
pub(super) async fn test(
    State(web): State<Web>,
    headers: HeaderMap,
    ApiBytes(body): ApiBytes,
) -> Result<Response, Problem> {
    let asked: Test = optional_json(&headers, &body)?;
    let results = web.notifier().test(&asked.channels).await?;
    Ok(Json(Results { results }).into_response())
}

//! A message on demand.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;

use super::Web;
use super::problem::Problem;
use crate::domain::Channel;

/// Which channels to try; those that are on where none is named.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Test {
    #[serde(default)]
    channels: Vec<Channel>,
}

/// Sends a test message and tells each channel's true answer. The body may be missing.
pub(super) async fn test(State(web): State<Web>, body: Bytes) -> Result<Response, Problem> {
    let asked: Test = match body.as_ref() {
        [] => Test::default(),
        body => {
            serde_json::from_slice(body).map_err(|error| Problem::field("channels", error.to_string()))?
        }
    };
    let results = web.notifier().test(&asked.channels).await?;
    Ok(Json(json!({ "results": results })).into_response())
}

//! GitLab's deliveries: believed or not, answered at once; the work is done after.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use bytes::BytesMut;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::Web;
use super::openapi::PROBLEM;
use super::problem::{Parts, Problem};
use crate::engine::Hint;
use crate::gitlab::webhook;

/// GitLab's own limit on a delivery's body.
const BODY_LIMIT: usize = 25 * 1024 * 1024;
/// Kibibytes of bodies that are being read at the same time.
const ROOM: usize = 64 * 1024;
/// How long a body may take; GitLab itself gives up after ten seconds.
const BODY_DEADLINE: Duration = Duration::from_secs(10);

/// Room for bodies that are being read, so that their sum is bounded.
pub(super) struct Room(Semaphore);

impl Default for Room {
    fn default() -> Self {
        Self(Semaphore::new(ROOM))
    }
}

/// Takes a delivery of GitLab's and answers at once; the work is done after.
#[utoipa::path(
    post, path = "/webhooks/gitlab", operation_id = "receive_delivery", tag = "webhook", security(()),
    params(("X-Gitlab-Token" = Option<String>, Header, description = "The webhook's secret"),
           ("webhook-id" = Option<String>, Header, description = "The delivery's id, a part of what is signed"),
           ("webhook-timestamp" = Option<String>, Header, description = "Unix seconds, a part of what is signed"),
           ("webhook-signature" = Option<String>, Header, description = "GitLab's signature, from 19.0 on")),
    request_body(content = Object, description = "As GitLab sends it"),
    responses(
        (status = 202, description = "Taken, or none of ours and dropped"),
        (status = 400, description = "No JSON", body = Parts, content_type = PROBLEM),
        (status = 401, description = "Token or signature are wrong or missing", body = Parts, content_type = PROBLEM),
        (status = 408, description = "The body did not arrive in time", body = Parts, content_type = PROBLEM),
        (status = 413, description = "Over 25 MiB", body = Parts, content_type = PROBLEM),
    ),
)]
pub(super) async fn receive(State(web): State<Web>, request: Request) -> Result<StatusCode, Problem> {
    let (parts, body) = request.into_parts();
    let now = web.engine().clock().now();
    let secrets = &web.settings().webhook;
    let refuse = |unproven: webhook::Unproven| {
        tracing::warn!(%unproven, "a delivery was refused");
        Problem::new(StatusCode::UNAUTHORIZED).detail(unproven.to_string())
    };
    let believed = secrets.check_headers(&parts.headers, now).map_err(refuse)?;
    let body = read(&web, &parts.headers, body).await?;
    believed.check_body(&body).map_err(refuse)?;
    let touched = webhook::parse(&body).map_err(|error| {
        Problem::new(StatusCode::BAD_REQUEST).detail(format!("the body is no JSON: {error}"))
    })?;
    let Some(touched) = touched else {
        web.engine().heard_from_gitlab();
        return Ok(StatusCode::ACCEPTED);
    };
    if web.engine().is_our_project(touched.project) {
        web.engine().heard_from_gitlab();
        web.engine()
            .hint(touched.iid, Hint { updated_at: touched.updated_at, by: touched.user, failures: 0 });
        web.finish_inside_the_request().await;
    }
    Ok(StatusCode::ACCEPTED)
}

/// Most bodies come in one piece, which is read where it is. The pieces of others are gathered in one that grows.
fn joined(before: Bytes, piece: &[u8]) -> Bytes {
    let mut both = before.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
    both.extend_from_slice(piece);
    both.freeze()
}

/// Reads a body whole. Its room is taken as it arrives: who announces much and sends little keeps nobody waiting.
async fn read(web: &Web, headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
    let too_large = || Problem::new(StatusCode::PAYLOAD_TOO_LARGE).detail("a delivery has at most 25 MiB");
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if length.is_some_and(|length: usize| length > BODY_LIMIT) {
        return Err(too_large());
    }
    let reading = async {
        let mut body = Limited::new(body, BODY_LIMIT);
        let (mut whole, mut room) = (Bytes::new(), None::<SemaphorePermit<'_>>);
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame?.into_data() else { continue };
            // What is held, not how often something came: pieces may be of one byte.
            let held = room.as_ref().map_or(0, SemaphorePermit::num_permits);
            let wanted = (whole.len() + data.len()).div_ceil(1024).saturating_sub(held);
            if wanted > 0 {
                let kibibytes = u32::try_from(wanted).unwrap_or(u32::MAX);
                let taken = web.inner.hooks.0.acquire_many(kibibytes).await?;
                match &mut room {
                    Some(room) => room.merge(taken),
                    None => room = Some(taken),
                }
            }
            whole = if whole.is_empty() { data } else { joined(whole, &data) };
        }
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(whole)
    };
    match tokio::time::timeout(BODY_DEADLINE, reading).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(Problem::new(StatusCode::BAD_REQUEST).detail("the body did not arrive whole")),
        Err(_) => Err(Problem::new(StatusCode::REQUEST_TIMEOUT).detail("the body did not arrive in time")),
    }
}

//! GitLab's deliveries: believed or not, answered at once; the work is done after.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::StatusCode;

use super::Web;
use super::bodies::{self, Bounds, Unread};
use super::openapi::PROBLEM;
use super::problem::{Parts, Problem};
use crate::engine::Hint;
use crate::gitlab::webhook;

/// GitLab's own limit on a delivery's body.
const BODY_LIMIT: usize = 25 * 1024 * 1024;
/// Kibibytes of bodies that are being read at the same time.
pub(super) const ROOM: usize = 64 * 1024;
/// How long a body may take; GitLab itself gives up after ten seconds.
const BODY_DEADLINE: Duration = Duration::from_secs(10);

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
        (status = 503, description = "Other large deliveries are being read; try again after Retry-After", body = Parts, content_type = PROBLEM),
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
    let bounds = Bounds { limit: BODY_LIMIT, deadline: BODY_DEADLINE, room: Some(&web.inner.deliveries) };
    let body = bodies::read(&parts.headers, body, bounds).await.map_err(unread)?;
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

fn unread(why: Unread) -> Problem {
    let problem = Problem::new(why.status());
    match why {
        Unread::TooLarge => problem.detail("a delivery has at most 25 MiB"),
        Unread::TooSlow => problem.detail("the body did not arrive in time"),
        Unread::Broken => problem.detail("the body did not arrive whole"),
        Unread::NoRoom => {
            problem.detail("other large deliveries are being read").retry_after(Unread::RETRY_AFTER)
        }
    }
}

//! Logging in with an API token, and out.

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde_json::json;
use std::net::SocketAddr;

use super::forms::{self, Posted, local};
use super::{Visit, session};
use crate::web::Web;

/// The form; whoever is logged in needs none.
pub(super) async fn page(visit: Visit) -> Response {
    let next = local(visit.query("next")).to_owned();
    if visit.session.is_some() {
        return visit.go(&next);
    }
    form(&visit, StatusCode::OK, "", &next, 0)
}

/// The form once more, and why.
pub(super) fn again(visit: &Visit, status: StatusCode, why: &str, next: &str) -> Response {
    form(visit, status, why, next, 0)
}

fn form(visit: &Visit, status: StatusCode, why: &str, next: &str, minutes: u64) -> Response {
    let possible = !visit.web.settings().api_tokens.is_empty();
    let context = json!({ "why": why, "next": next, "minutes": minutes, "possible": possible });
    visit.page(status, "login", context)
}

/// Logs in.
pub(super) async fn post(State(web): State<Web>, request: Request) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0);
    let (visit, headers, fields) = match forms::read(request, &web).await {
        Ok(read) => read,
        Err(response) => return response,
    };
    if !forms::comes_from_us(&headers, &web) {
        return visit.say(StatusCode::FORBIDDEN, "foreign_form", "");
    }
    let (now, next) = (web.engine().clock().now(), fields.local("next"));
    let attempts = &web.inner.pages.attempts;
    let from = address(peer, &headers);
    if let Some(pause) = attempts.pause(&from, now) {
        let minutes = pause.as_secs().div_ceil(60);
        let mut response = form(&visit, StatusCode::TOO_MANY_REQUESTS, "too_often", next, minutes);
        response.headers_mut().insert(header::RETRY_AFTER, pause.as_secs().into());
        return response;
    }
    let Some(known) = session::token_named(web.settings(), fields.one("token")) else {
        attempts.note(&from, now);
        tracing::warn!("a login failed");
        return again(&visit, StatusCode::UNAUTHORIZED, "wrong", next);
    };
    tracing::info!(by = known.name, "{} logged in on the page", known.name);
    with_cookie(visit.go(next), &session::cookie(known, web.settings(), visit.root(), now))
}

/// Logs out.
pub(super) async fn logout(posted: Posted) -> Response {
    let visit = &posted.visit;
    with_cookie(visit.go("/login"), &session::no_cookie(visit.web.settings(), visit.root()))
}

fn with_cookie(mut response: Response, cookie: &str) -> Response {
    if let Ok(cookie) = HeaderValue::try_from(cookie) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

/// From where somebody tries: the nearest proxy's word where one stands on this machine or in its network, else the
/// connection's other end.
fn address(peer: Option<SocketAddr>, headers: &HeaderMap) -> String {
    let peer = peer.map(|peer| peer.ip());
    let near = peer.is_none_or(|ip| match ip {
        std::net::IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        std::net::IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local(),
    });
    let told = headers.get_all("x-forwarded-for").into_iter().next_back();
    let told = told.and_then(|value| value.to_str().ok()?.rsplit(',').next().map(str::trim));
    let ip = peer.map(|ip| ip.to_string()).unwrap_or_default();
    told.filter(|told| near && told.len() <= 45).map_or(ip, str::to_owned)
}

//! Logging in with an API token, and out.

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde_json::json;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::forms::{self, Fields, Posted, local};
use super::{Visit, session};
use crate::web::Web;

/// The form; whoever is logged in needs none.
pub(super) async fn page(visit: Visit) -> Response {
    let next = local(visit.query("next")).to_owned();
    if visit.session.is_some() {
        return visit.go(&next);
    }
    form(&visit, StatusCode::OK, "", &next, 0, &[])
}

/// The fields that somebody may have written a while at.
const WRITTEN: [&str; 6] = ["subject", "body", "attachments", "comment", "next_step", "notes"];

/// The form for somebody whose session ended while they filled in another one: it leads back to that one's page, and
/// what they wrote is shown so that they can take it along.
pub(super) fn ended(visit: &Visit, fields: &Fields, is_ours: bool) -> Response {
    let next = match fields.one("back") {
        "" => local(&visit.here),
        back => local(back),
    };
    // Another site shall not put its words on a page of ours.
    let written = WRITTEN.into_iter().filter(|_| is_ours).map(|name| (name, fields.one(name)));
    let written: Vec<_> = written.filter(|(_, text)| !text.trim().is_empty()).collect();
    form(visit, StatusCode::UNAUTHORIZED, "ended", next, 0, &written)
}

fn form(
    visit: &Visit,
    status: StatusCode,
    why: &str,
    next: &str,
    minutes: u64,
    written: &[(&str, &str)],
) -> Response {
    let possible = !visit.web.settings().api_tokens.is_empty();
    let context =
        json!({ "why": why, "next": next, "minutes": minutes, "possible": possible, "written": written });
    visit.page(status, "login", context)
}

/// Logs in.
pub(super) async fn post(State(web): State<Web>, request: Request) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0);
    let (visit, headers, fields) = match forms::read(request, &web, forms::SMALL).await {
        Ok(read) => read,
        Err(response) => return response,
    };
    if !forms::comes_from_us(&headers, &web) {
        return visit.say(StatusCode::FORBIDDEN, "foreign_form", "");
    }
    let (now, next) = (web.engine().clock().now(), fields.local("next"));
    let attempts = &web.inner.pages.attempts;
    let from = address(peer, &headers);
    let known = session::token_named(web.settings(), fields.one("token"));
    if let Some(pause) = attempts.pause(&from, known.is_some(), now) {
        let minutes = pause.as_secs().div_ceil(60);
        let mut response = form(&visit, StatusCode::TOO_MANY_REQUESTS, "too_often", next, minutes, &[]);
        response.headers_mut().insert(header::RETRY_AFTER, pause.as_secs().into());
        return response;
    }
    let Some(known) = known else {
        attempts.note(&from, now);
        tracing::warn!("a login failed");
        return form(&visit, StatusCode::UNAUTHORIZED, "wrong", next, 0, &[]);
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
    let peer = peer.map(|peer| peer.ip().to_canonical());
    let near = peer.is_none_or(|ip| match ip {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local(),
    });
    let told = headers.get_all("x-forwarded-for").into_iter().next_back();
    let told = told.and_then(|value| value.to_str().ok()?.rsplit(',').next().map(str::trim));
    let told = told.filter(|told| near && told.len() <= 45);
    told.map_or_else(
        || peer.map(network).unwrap_or_default(),
        |told| told.parse().map_or(told.to_owned(), network),
    )
}

/// The part of an address that one cannot change at will: in IPv6 whoever has one address has the 2⁶⁴ beside it.
fn network(ip: IpAddr) -> String {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_counted_with_its_neighbours_and_a_proxy_is_believed_where_it_is_near() {
        let of = |peer: &str, told: &str| {
            let headers = [("x-forwarded-for".parse().unwrap(), told.parse().unwrap())].into_iter().collect();
            address(Some(SocketAddr::new(peer.parse().unwrap(), 1)), &headers)
        };
        assert_eq!(of("127.0.0.1", "1.2.3.4, 192.0.2.7"), "192.0.2.7");
        assert_eq!(of("192.0.2.9", "1.2.3.4"), "192.0.2.9");
        assert_eq!(of("2001:db8:1:2::7", "1.2.3.4"), "2001:db8:1:2::");
        assert_eq!(of("::1", "2001:db8:1:2:3:4:5:6"), of("::1", "2001:db8:1:2::9"));
        assert_ne!(of("::1", "2001:db8:1:3::9"), of("::1", "2001:db8:1:2::9"));
        assert_eq!(of("::ffff:192.0.2.9", "1.2.3.4"), "192.0.2.9");
        assert_eq!(of("10.0.0.1", "unknown"), "unknown");
    }
}

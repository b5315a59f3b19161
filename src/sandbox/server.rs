//! The socket: takes calls, lets them meet their trouble, and sends what the API answers.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::faults::{Outage, Trouble, pause, take};
use super::hooks::Delivery;
use super::refusal::Refusal;
use super::request::{Answer, Params, Reply, Request, segments};
use super::{Call, Inner, api, chats, control, pages};

/// More than any call of the API may carry.
const BODY_LIMIT: usize = 32 << 20;

/// Serves until it is stopped.
pub(super) async fn serve(listener: TcpListener, inner: Arc<Inner>, stopped: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            () = stopped.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            continue;
        };
        if inner.faults().outage == Outage::Refused {
            continue;
        }
        // Answers are small and wait for nobody.
        let _ = stream.set_nodelay(true);
        let (inner, stopped) = (Arc::clone(&inner), stopped.clone());
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let inner = Arc::clone(&inner);
                async move { take_call(&inner, request).await }
            });
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            tokio::select! {
                () = stopped.cancelled() => {}
                // A connection that was cut on purpose ends with an error, which is nobody's concern.
                _ = connection => {}
            }
        });
    }
}

/// An error makes hyper close the connection without an answer.
async fn take_call(inner: &Arc<Inner>, request: http::Request<Incoming>) -> io::Result<Response<Body>> {
    let cut = || io::Error::new(io::ErrorKind::ConnectionAborted, "cut on purpose");
    let (parts, body) = request.into_parts();
    let body = to_bytes(Body::new(body), BODY_LIMIT).await.map_err(io::Error::other)?;
    let full = parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let full = full.strip_prefix(inner.prefix.as_str()).unwrap_or(&full).to_owned();
    let (path, query) = full.split_once('?').unwrap_or((&full, ""));
    let mut call = http::Request::from_parts(parts, body);
    if path.starts_with("/sandbox/") {
        return Ok(control::answer(inner, &call, path).await.into_response(inner));
    }
    if inner.faults().outage != Outage::None {
        let refused = inner.faults().outage == Outage::Refused;
        inner.log(&call, &full, if refused { 0 } else { 502 }, None);
        return if refused { Err(cut()) } else { Ok(troubled(Trouble::bad_gateway()).into_response(inner)) };
    }
    let trouble = take(&mut inner.faults().list, call.method(), &full);
    match &trouble {
        Some(Trouble::CutBefore) => {
            inner.log(&call, &full, 0, None);
            return Err(cut());
        }
        Some(Trouble::Answer { status, .. }) => {
            inner.log(&call, &full, *status, None);
            return Ok(trouble.map_or_else(|| Refusal::no_route().into(), troubled).into_response(inner));
        }
        Some(Trouble::Slow { millis }) => pause(*millis, &inner.pauses_over).await,
        _ => {}
    }
    let stale = trouble == Some(Trouble::Stale);
    let (reply, user) = if path.starts_with("/api/v4") {
        api_call(inner, &mut call, path, query, stale).await
    } else {
        let chat = chats::answer(&mut inner.world(), &call, path);
        (chat.unwrap_or_else(|| pages::answer(inner, &call, path, query)), None)
    };
    let status = reply.status;
    inner.log(&call, &full, if trouble == Some(Trouble::DropAnswer) { 0 } else { status }, user);
    match trouble {
        Some(Trouble::DropAnswer) => Err(cut()),
        Some(Trouble::CutBody) => {
            let half = reply.body.slice(..reply.body.len() / 2);
            let start = futures_util::stream::once(async move { Ok(half) });
            let end = futures_util::stream::once(async move {
                // What is there is sent while the body waits, and only then the rest fails.
                tokio::task::yield_now().await;
                Err(cut())
            });
            let body = Body::from_stream(futures_util::StreamExt::chain(start, end));
            Ok(reply.into_response(inner).map(|_| body))
        }
        Some(Trouble::SlowBody { millis }) => {
            let body = reply.body.clone();
            let are_over = inner.pauses_over.clone();
            let late = futures_util::stream::once(async move {
                pause(millis, &are_over).await;
                Ok::<_, Infallible>(body)
            });
            Ok(reply.into_response(inner).map(|_| Body::from_stream(late)))
        }
        _ => Ok(reply.into_response(inner)),
    }
}

fn troubled(trouble: Trouble) -> Reply {
    match trouble {
        Trouble::Answer { status, content_type, body, retry_after } => {
            let mut reply = Reply::of(&content_type, status, body);
            if let Some(seconds) = retry_after {
                reply.headers.push(("retry-after", seconds.to_string()));
                reply.headers.push(("ratelimit-remaining", "0".to_owned()));
            }
            reply
        }
        _ => Refusal::no_route().into(),
    }
}

/// Finds out who calls: 401 for a token that is none, 403 for one that may not write.
fn authenticate(inner: &Inner, headers: &HeaderMap, writes: bool) -> Result<Option<(u64, u64)>, Refusal> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let bearer = text("authorization").and_then(|value| value.strip_prefix("Bearer "));
    let Some(value) = text("private-token").or(bearer).filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    let mut world = inner.world();
    let now = world.now();
    let token =
        world.tokens.iter_mut().find(|token| token.value == value).ok_or_else(Refusal::unauthorized)?;
    if token.revoked {
        let description = "Token was revoked. You have to re-authorize from the user.";
        return Err(Refusal::token_unusable("invalid_token", description));
    }
    if !token.is_active(now) {
        let description = "Token is expired. You can either do re-authorization or token refresh.";
        return Err(Refusal::token_unusable("invalid_token", description));
    }
    token.last_used_at = Some(now);
    if token.can(writes) { Ok(Some((token.user, token.id))) } else { Err(Refusal::insufficient_scope()) }
}

async fn api_call(
    inner: &Arc<Inner>,
    call: &mut http::Request<Bytes>,
    path: &str,
    query: &str,
    stale: bool,
) -> (Reply, Option<u64>) {
    let writes = !matches!(*call.method(), http::Method::GET | http::Method::HEAD);
    let who = match authenticate(inner, call.headers(), writes) {
        Ok(who) => who,
        Err(refusal) => return (refusal.into(), None),
    };
    let user = who.map(|(user, _)| user);
    let content_type = call.headers().get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let params = match Params::read(query, content_type.unwrap_or_default(), call.body()) {
        Ok(params) => params,
        Err(refusal) => return (refusal.into(), user),
    };
    let request = Request {
        method: call.method().clone(),
        path: path.to_owned(),
        segments: segments(path.strip_prefix("/api/v4").unwrap_or(path)),
        query: query.to_owned(),
        params,
        user,
        token: who.map(|(_, token)| token),
    };
    let answered = {
        let mut world = inner.world();
        world.stale = stale;
        world.event_uuid = call
            .headers()
            .get("x-gitlab-event-uuid")
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        let path: Vec<&str> = request.segments.iter().map(String::as_str).collect();
        let answered = api::answer(&mut world, &request, &path);
        world.stale = false;
        world.event_uuid = None;
        answered
    };
    inner.dispatch();
    let reply = match answered {
        Err(refusal) => refusal.into(),
        Ok(Answer::Json(status, body)) => Reply::json(status, &body),
        Ok(Answer::File(bytes)) => Reply {
            status: 200,
            headers: vec![("content-type", "application/octet-stream".to_owned())],
            body: Bytes::from(bytes),
        },
        Ok(Answer::Head(headers)) => Reply { status: 200, headers, body: Bytes::new() },
        Ok(Answer::Page(page)) => {
            let address = format!("{}{}", inner.base, request.path);
            let headers = page.headers(&address, &request.query);
            let mut reply = Reply::json(200, &serde_json::Value::Array(page.rows));
            reply.headers.extend(headers);
            reply
        }
        Ok(Answer::Deliver(delivery)) => deliver_now(inner, *delivery).await,
    };
    (reply, user)
}

/// Tests and resends are made while the call waits, and its answer tells how they went.
async fn deliver_now(inner: &Arc<Inner>, delivery: Delivery) -> Reply {
    match inner.attempt(delivery).await {
        Some(status) if (200..300).contains(&status) => Reply::json(201, &json!({"message": "201 Created"})),
        Some(status) => {
            Refusal::unprocessable(format!("Hook executed successfully but returned HTTP {status}")).into()
        }
        None => Refusal::unprocessable("Hook execution failed").into(),
    }
}

impl Reply {
    /// Adds what is on every answer.
    pub(super) fn into_response(self, inner: &Inner) -> Response<Body> {
        let now = inner.world().now();
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let observed = inner.observe(now);
        let common = [
            ("date", now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()),
            ("x-request-id", Uuid::new_v4().simple().to_string()),
            ("ratelimit-limit", "7200".to_owned()),
            ("ratelimit-name", "throttle_authenticated_api".to_owned()),
            ("ratelimit-observed", observed.to_string()),
            ("ratelimit-remaining", 7200u64.saturating_sub(observed).to_string()),
            ("ratelimit-reset", ((now.as_second() / 60 + 1) * 60).to_string()),
        ];
        // Only the limit by user and address says when to come back.
        let limited = self.headers.iter().any(|(name, _)| *name == "retry-after");
        let reset = limited.then(|| ("ratelimit-resettime", common[0].1.clone()));
        for (name, value) in common.into_iter().chain(reset).chain(self.headers) {
            if let Ok(value) = http::HeaderValue::from_str(&value) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}

impl Inner {
    fn log(&self, call: &http::Request<Bytes>, path: &str, status: u16, user: Option<u64>) {
        let user = user.map(|id| self.world().username(id).to_owned());
        let call = Call {
            method: call.method().to_string(),
            path: path.to_owned(),
            route: route(path),
            status,
            user,
        };
        super::lock(&self.calls).push(call);
    }
}

/// The path without what names one thing: `/projects/:id/issues/:iid/notes`.
fn route(path: &str) -> String {
    let path = path.split('?').next().unwrap_or(path);
    let path = path.strip_prefix("/api/v4").unwrap_or(path);
    let mut previous = "";
    let mut route = String::new();
    for segment in path.split('/').filter(|segment| !segment.is_empty()) {
        let names = match previous {
            "projects" => Some(":id"),
            "issues" => Some(":iid"),
            "labels" => Some(":name"),
            _ if segment.bytes().all(|byte| byte.is_ascii_digit()) => Some(":id"),
            _ => None,
        };
        route.push('/');
        route.push_str(names.unwrap_or(segment));
        previous = segment;
    }
    route
}

//! `Idempotency-Key`: the same key brings the same answer for a day, as far as this disk remembers.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::SignedDuration;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::Web;
use super::auth::Caller;
use super::problem::Problem;
use crate::mirror::Answered;

/// How long an answer is remembered.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(24);
/// Longest key.
const KEY_LIMIT: usize = 255;

/// What came of a request.
pub(super) struct Work {
    /// The status to answer with.
    pub(super) status: StatusCode,
    /// Where the match is.
    pub(super) location: Option<String>,
    /// The answer, as JSON.
    pub(super) answer: String,
    /// Whether the same request would bring the same answer; where a part failed it may fare better next time.
    pub(super) is_final: bool,
}

/// The keys whose requests are being worked on.
#[derive(Default)]
pub(super) struct Running {
    keys: Mutex<HashSet<String>>,
}

/// What stands for the identity of posted matches that have no other. With a key it follows from key and body, so that a
/// repeat finds them in GitLab where a kill came before the answer could be kept, or the disk was lost.
pub(super) struct Nonces(Option<Sha256>);

impl Nonces {
    /// Those of a request.
    pub(super) fn of(caller: &Caller, headers: &HeaderMap, body: &[u8]) -> Self {
        let key = headers.get("idempotency-key");
        Self(key.map(|key| {
            let hash = Sha256::new().chain_update(&caller.0).chain_update(b"\n").chain_update(key.as_bytes());
            hash.chain_update(b"\n").chain_update(body)
        }))
    }

    /// That of one of its matches.
    pub(super) fn nonce(&self, index: usize) -> Uuid {
        let Some(hash) = &self.0 else { return Uuid::new_v4() };
        let hash = hash.clone().chain_update((index as u64).to_be_bytes()).finalize();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash[..16]);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }
}

/// Answers from memory, or lets `work` answer and remembers that. Without a key it only works.
pub(super) async fn once<F>(
    web: &Web,
    caller: &Caller,
    headers: &HeaderMap,
    body: &[u8],
    work: F,
) -> Result<Response, Problem>
where
    F: Future<Output = Result<Work, Problem>>,
{
    let Some(key) = headers.get("idempotency-key") else {
        let Work { status, location, answer, .. } = work.await?;
        return Ok(json(status, location, answer));
    };
    let key = key.to_str().ok().filter(|key| !key.is_empty() && key.len() <= KEY_LIMIT).ok_or_else(|| {
        Problem::new(StatusCode::BAD_REQUEST).detail("Idempotency-Key must be 1–255 visible ASCII characters")
    })?;
    let key = format!("{}\n{key}", caller.0);
    let body = Sha256::digest(body).to_vec();
    let now = web.engine().clock().now();
    let since = now.checked_sub(REMEMBERED).unwrap_or(jiff::Timestamp::MIN);
    let _running = web.inner.running.start(&key).ok_or_else(|| {
        Problem::new(StatusCode::CONFLICT)
            .detail("a request with this Idempotency-Key is still being worked on")
    })?;
    if let Some(answered) = web.engine().mirror().answered(&key, since)? {
        if answered.body != body {
            let detail = "this Idempotency-Key came with another body before";
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY).detail(detail));
        }
        let status = StatusCode::from_u16(answered.status).unwrap_or(StatusCode::OK);
        let location = location_of(web, &answered.answer);
        return Ok(json(status, location, answered.answer));
    }
    // Errors are not remembered: the same request may fare better next time.
    let Work { status, location, answer, is_final } = work.await?;
    let answered = Answered { body, status: status.as_u16(), answer: answer.clone() };
    if !is_final {
        return Ok(json(status, location, answer));
    }
    if let Err(error) = web.engine().mirror().remember_answer(&key, &answered, now, since) {
        tracing::warn!(%error, "the answer to an Idempotency-Key could not be kept; the fingerprint catches a repeat");
    }
    Ok(json(status, location, answer))
}

/// Where the match of an answer is; none where it is about several.
fn location_of(web: &Web, answer: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct One {
        iid: u64,
        #[serde(default)]
        withdrawn: bool,
    }
    let one = serde_json::from_str::<One>(answer).ok().filter(|one| !one.withdrawn);
    one.map(|one| super::staging::location(web, one.iid))
}

fn json(status: StatusCode, location: Option<String>, answer: String) -> Response {
    let mut response = (status, answer).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(location) = location.and_then(|location| HeaderValue::from_str(&location).ok()) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

impl Running {
    fn start(&self, key: &str) -> Option<Guard<'_>> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.insert(key.to_owned()).then(|| Guard { running: self, key: key.to_owned() })
    }
}

struct Guard<'a> {
    running: &'a Running,
    key: String,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.running.keys.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

//! A sample pipeline: it hears of approvals by signed events and answers each with a draft. What a real one has to do
//! stands in `deploy/pipeline.md`.

use std::net::IpAddr;
use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use reqwest::Client;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::clock::Clock;
use crate::outgoing::signing;

/// How far an event's time may be off, in seconds, as Standard Webhooks advises.
const TOLERANCE: i64 = 300;
/// Skills that a letter names.
const SKILLS: usize = 3;

/// A pipeline that can be sent events and does not answer yet.
pub(super) struct Pipeline {
    listener: TcpListener,
    key: [u8; 32],
}

/// A pipeline that runs until this is dropped.
pub(super) struct Running(JoinHandle<std::io::Result<()>>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What it needs to know.
struct Known {
    client: Client,
    service: String,
    token: &'static str,
    key: [u8; 32],
}

impl Pipeline {
    /// Takes a free port.
    pub(super) async fn bind(ip: IpAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((ip, 0)).await.context("the sample pipeline cannot listen")?;
        let mut key = [0; 32];
        let (one, other) = key.split_at_mut(16);
        one.copy_from_slice(Uuid::new_v4().as_bytes());
        other.copy_from_slice(Uuid::new_v4().as_bytes());
        Ok(Self { listener, key })
    }

    /// Where events go.
    pub(super) fn url(&self) -> anyhow::Result<String> {
        Ok(format!("http://{}/events", self.listener.local_addr()?))
    }

    /// What they are signed with.
    pub(super) fn secret(&self) -> String {
        format!("whsec_{}", BASE64.encode(self.key))
    }

    /// Begins to answer.
    pub(super) fn start(self, client: Client, service: String, token: &'static str) -> Running {
        let known = Known { client, service, token, key: self.key };
        let router = Router::new().route("/events", post(take)).with_state(Arc::new(known));
        Running(tokio::spawn(async move { axum::serve(self.listener, router).await }))
    }
}

/// Takes an event. What is not answered with 2xx is sent again, so that a draft that failed is tried again, too.
async fn take(State(known): State<Arc<Known>>, headers: HeaderMap, body: String) -> StatusCode {
    if !is_genuine(&headers, &body, &known.key, Clock::System.now().as_second()) {
        return StatusCode::UNAUTHORIZED;
    }
    let Ok(event) = serde_json::from_str::<Value>(&body) else { return StatusCode::BAD_REQUEST };
    let Some(iid) = event["data"]["iid"].as_u64().filter(|_| event["type"] == "match.approved") else {
        return StatusCode::NO_CONTENT;
    };
    match draft(&known, iid).await {
        Ok(()) => StatusCode::NO_CONTENT,
        Err(error) => {
            tracing::warn!(
                iid,
                error = format!("{error:#}"),
                "the sample pipeline could not write a draft yet"
            );
            StatusCode::SERVICE_UNAVAILABLE
        }
    }
}

/// Whether an event is from the service, and of now.
fn is_genuine(headers: &HeaderMap, body: &str, key: &[u8], now: i64) -> bool {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let Ok(at) = header("webhook-timestamp").parse::<i64>() else { return false };
    now.abs_diff(at) <= TOLERANCE.unsigned_abs()
        && signing::is_signed(key, header("webhook-id"), at, body, header("webhook-signature"))
}

/// Writes a draft where the match is still approved and has none: an event only says that something happened.
async fn draft(known: &Known, iid: u64) -> anyhow::Result<()> {
    let url = format!("{}/api/v1/matches/{iid}", known.service);
    let asked = known.client.get(&url).bearer_auth(known.token).send().await?;
    let job: Value = asked.error_for_status()?.json().await?;
    if job["state"] != "approved" || job["draft"] == true {
        return Ok(());
    }
    let request = known.client.put(format!("{url}/draft")).bearer_auth(known.token).json(&letter(&job));
    let answer = request.send().await?;
    // Somebody was faster.
    if answer.status() != StatusCode::PRECONDITION_REQUIRED {
        answer.error_for_status()?;
    }
    Ok(())
}

/// A letter of few words; a real pipeline knows the freelancer.
fn letter(job: &Value) -> Value {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (title, name) = (text(&job["title"]), text(&job["contact"]["name"]));
    let greeting = if name.is_empty() { "Guten Tag,".to_owned() } else { format!("Guten Tag {name},") };
    let skills: Vec<String> =
        job["skills"]["matched"].as_array().into_iter().flatten().take(SKILLS).map(text).collect();
    let fits = match skills.as_slice() {
        [] => "passt gut zu dem, was ich mache".to_owned(),
        skills => format!("passt gut zu dem, was ich mache: {}", skills.join(", ")),
    };
    let body = format!(
        "{greeting}\n\nIhre Ausschreibung „{title}“ {fits}.\n\nÜber Beginn, Satz und Einzelheiten spreche ich gern mit \
         Ihnen.\n\nFreundliche Grüße\n"
    );
    json!({ "to": job["contact"]["email"], "subject": title, "body": body })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8] = b"0123456789abcdef0123456789abcdef";

    fn headers(id: &str, at: i64, signature: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("webhook-id", id.parse().unwrap());
        headers.insert("webhook-timestamp", at.into());
        headers.insert("webhook-signature", signature.parse().unwrap());
        headers
    }

    #[test]
    fn only_what_is_signed_and_of_now_is_genuine() {
        let signature = signing::signature(KEY, "a", 1_000, "{}");
        let right = headers("a", 1_000, &signature);
        assert!(is_genuine(&right, "{}", KEY, 1_300));
        assert!(!is_genuine(&right, "{}", KEY, 1_301), "an old event");
        assert!(!is_genuine(&right, "{ }", KEY, 1_000), "another body");
        assert!(!is_genuine(&headers("b", 1_000, &signature), "{}", KEY, 1_000), "another id");
        assert!(!is_genuine(&HeaderMap::new(), "{}", KEY, 1_000));
    }

    #[test]
    fn a_letter_says_what_fits() {
        let job = json!({"title": "Architect", "contact": {"name": "Clara", "email": "clara@a.example"},
                         "skills": {"matched": ["AWS", "Rust", "Kafka", "Go"]}});
        let made = letter(&job);
        assert_eq!((&made["to"], &made["subject"]), (&json!("clara@a.example"), &json!("Architect")));
        let body = made["body"].as_str().unwrap();
        assert!(body.starts_with("Guten Tag Clara,\n\n") && body.contains("AWS, Rust, Kafka."), "{body}");
        assert_eq!(letter(&json!({"title": "Architect"}))["to"], json!(null));
    }
}

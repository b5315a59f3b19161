//! Webhooks: what is kept about one, how a delivery is signed and sent, and when a hook is switched off.

use std::sync::OnceLock;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use sha2::Sha256;
use uuid::Uuid;

use super::world::World;

/// The flags of a hook, in the order in which the API prints them.
pub(super) const FLAGS: &[&str] = &[
    "push_events",
    "tag_push_events",
    "merge_requests_events",
    "repository_update_events",
    "issues_events",
    "confidential_issues_events",
    "note_events",
    "confidential_note_events",
    "pipeline_events",
    "wiki_page_events",
    "deployment_events",
    "feature_flag_events",
    "job_events",
    "releases_events",
    "milestone_events",
    "emoji_events",
    "resource_access_token_events",
    "resource_deploy_token_events",
    "vulnerability_events",
];

/// What a delivery is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// An issue that all may see.
    Issue,
    /// A confidential issue.
    ConfidentialIssue,
    /// A comment that all may see.
    Note,
    /// An internal comment, or one on a confidential issue.
    ConfidentialNote,
    /// A reaction.
    Emoji,
}

impl Trigger {
    /// The flag that subscribes a hook to it.
    pub fn flag(self) -> &'static str {
        match self {
            Self::Issue => "issues_events",
            Self::ConfidentialIssue => "confidential_issues_events",
            Self::Note => "note_events",
            Self::ConfidentialNote => "confidential_note_events",
            Self::Emoji => "emoji_events",
        }
    }

    /// The value of `X-Gitlab-Event`.
    pub fn header(self) -> &'static str {
        match self {
            Self::Issue => "Issue Hook",
            Self::ConfidentialIssue => "Confidential Issue Hook",
            Self::Note => "Note Hook",
            Self::ConfidentialNote => "Confidential Note Hook",
            Self::Emoji => "Emoji Hook",
        }
    }

    pub(super) fn of_flag(flag: &str) -> Option<Self> {
        [Self::Issue, Self::ConfidentialIssue, Self::Note, Self::ConfidentialNote, Self::Emoji]
            .into_iter()
            .find(|trigger| trigger.flag() == flag)
    }
}

/// A webhook of the project.
#[derive(Clone, Debug)]
pub struct Hook {
    /// Id.
    pub id: u64,
    /// Target.
    pub url: String,
    /// Name.
    pub name: Option<String>,
    /// Description.
    pub description: Option<String>,
    /// Secret that is sent in the clear.
    pub token: Option<String>,
    /// `whsec_…`, with which deliveries are signed.
    pub signing_token: Option<String>,
    /// The events it wants, by the names of the API's flags.
    pub events: Vec<&'static str>,
    /// Whether TLS certificates are checked; told back, never weakened here.
    pub enable_ssl_verification: bool,
    /// Extra headers.
    pub custom_headers: Vec<(String, String)>,
    /// Branch filter of push events.
    pub push_events_branch_filter: Option<String>,
    /// Own template of the body; kept and told back, not applied.
    pub custom_webhook_template: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Failed deliveries since the last that worked.
    pub failures: u32,
    /// Until when it is switched off.
    pub disabled_until: Option<Timestamp>,
}

/// The 40th failure in a row switches a hook off for good.
const PERMANENT: u32 = 40;

impl Hook {
    /// `executable`, `temporarily_disabled` or `disabled`.
    pub fn alert_status(&self, now: Timestamp) -> &'static str {
        if self.failures >= PERMANENT && self.disabled_until.is_some() {
            "disabled"
        } else if self.disabled_until.is_some_and(|until| until > now) {
            "temporarily_disabled"
        } else {
            "executable"
        }
    }

    fn record(&mut self, worked: bool, auto_disable: bool, now: Timestamp) {
        if worked {
            self.failures = 0;
            self.disabled_until = None;
            return;
        }
        self.failures += 1;
        if auto_disable && self.failures > 3 {
            let minutes = 2u64.saturating_pow(self.failures - 4).min(24 * 60);
            self.disabled_until = now.checked_add(Duration::from_secs(60 * minutes)).ok();
        }
    }
}

/// Something that is to be sent to a hook.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Id of the hook.
    pub hook: u64,
    /// The hook's URL when the event happened.
    pub url: String,
    /// What it is about.
    pub trigger: Trigger,
    /// `Idempotency-Key` and `webhook-id`: the same in every attempt.
    pub key: String,
    /// `X-Gitlab-Event-UUID`.
    pub event_uuid: String,
    /// The body.
    pub body: Value,
}

/// A delivery that waits, as `held` tells of it.
#[derive(Clone, Debug, Serialize)]
pub struct Held {
    /// By which it is delivered or dropped.
    pub id: u64,
    /// Id of the hook.
    pub hook: u64,
    /// Value of `X-Gitlab-Event`.
    pub event: &'static str,
    /// `open`, `close`, `reopen`, `update`, `create`, `award`, …
    pub action: String,
    /// Number of the issue.
    pub iid: u64,
    /// `webhook-id`.
    pub key: String,
}

impl Delivery {
    pub(super) fn held(&self, id: u64) -> Held {
        let attributes = &self.body["object_attributes"];
        let iid = attributes["iid"].as_u64().or_else(|| self.body["issue"]["iid"].as_u64());
        Held {
            id,
            hook: self.hook,
            event: self.trigger.header(),
            action: attributes["action"].as_str().unwrap_or_default().to_owned(),
            iid: iid.unwrap_or_default(),
            key: self.key.clone(),
        }
    }
}

/// One attempt at a delivery and what came of it.
#[derive(Clone, Debug)]
pub struct DeliveryLog {
    /// Id of the log entry.
    pub id: u64,
    /// What was sent; a resend takes it from here.
    pub delivery: Delivery,
    /// Headers of the request, secrets masked as GitLab's log does.
    pub request_headers: Vec<(String, String)>,
    /// Status of the answer; `None` where none came.
    pub status: Option<u16>,
    /// Start of the answer's body, or why there is none.
    pub response_body: String,
    /// Headers of the answer.
    pub response_headers: Vec<(String, String)>,
    /// Seconds that it took.
    pub duration: f64,
    /// When.
    pub created_at: Timestamp,
}

impl DeliveryLog {
    /// Whether the hook counts it as a success: 2xx and 3xx.
    pub fn worked(&self) -> bool {
        self.status.is_some_and(|status| (200..400).contains(&status))
    }
}

/// The key in a signing token, if it is one: `whsec_` and the standard base64 of exactly 32 bytes.
pub(super) fn signing_key(token: &str) -> Option<Vec<u8>> {
    BASE64.decode(token.strip_prefix("whsec_")?).ok().filter(|key| key.len() == 32)
}

/// `v1,<base64>` of the HMAC-SHA256 over `id.timestamp.body`.
pub fn signature(signing_token: &str, id: &str, timestamp: &str, body: &[u8]) -> Option<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(&signing_key(signing_token)?).ok()?;
    for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
        mac.update(part);
    }
    Some(format!("v1,{}", BASE64.encode(mac.finalize().into_bytes())))
}

impl World {
    /// Puts a delivery for every hook that wants it into the outbox.
    pub(super) fn fire(&mut self, trigger: Trigger, body: &Value) {
        let now = self.now();
        let wanting: Vec<_> = self
            .hooks
            .iter()
            .filter(|hook| hook.events.contains(&trigger.flag()) && hook.alert_status(now) == "executable")
            .map(|hook| (hook.id, hook.url.clone()))
            .collect();
        for (hook, url) in wanting {
            if let Some(uuid) = &self.event_uuid {
                let seen = self.fired_under.insert((uuid.clone(), hook), now);
                if seen.is_some_and(|at| now.duration_since(at).as_secs() < 30 * 60) {
                    continue;
                }
            }
            self.outbox.push(Delivery {
                hook,
                url,
                trigger,
                key: Uuid::new_v4().to_string(),
                event_uuid: self.event_uuid.clone().unwrap_or_else(|| Uuid::new_v4().to_string()),
                body: body.clone(),
            });
        }
    }

    /// The headers of an attempt that is made now. The hook may have got other secrets since the event.
    pub(super) fn delivery_headers(&self, delivery: &Delivery, body: &[u8]) -> Vec<(String, String)> {
        let hook = self.hooks.iter().find(|hook| hook.id == delivery.hook);
        let mut headers: Vec<(String, String)> = Vec::new();
        if let Some(hook) = hook {
            headers
                .extend(hook.custom_headers.iter().map(|(key, value)| (key.to_lowercase(), value.clone())));
        }
        let mut set = |name: &str, value: String| {
            // GitLab's own headers win over custom ones.
            headers.retain(|(key, _)| !key.eq_ignore_ascii_case(name));
            headers.push((name.to_owned(), value));
        };
        set("Content-Type", "application/json".to_owned());
        set("User-Agent", format!("GitLab/{}", self.options.version));
        set("X-Gitlab-Event", delivery.trigger.header().to_owned());
        set("X-Gitlab-Webhook-UUID", Uuid::new_v4().to_string());
        set("X-Gitlab-Instance", self.base.clone());
        set("X-Gitlab-Event-UUID", delivery.event_uuid.clone());
        set("Idempotency-Key", delivery.key.clone());
        if let Some(token) = hook.and_then(|hook| hook.token.as_ref()).filter(|token| !token.is_empty()) {
            set("X-Gitlab-Token", token.replace(['\r', '\n'], ""));
        }
        if self.major_version() >= 19 {
            let timestamp = self.now().as_second().to_string();
            if let Some(signature) = hook
                .and_then(|hook| hook.signing_token.as_ref())
                .and_then(|token| signature(token, &delivery.key, &timestamp, body))
            {
                set("webhook-signature", signature);
            }
            set("webhook-id", delivery.key.clone());
            set("webhook-timestamp", timestamp);
        }
        headers
    }

    /// Writes an attempt into the log and counts it for the hook. A hook that was deleted meanwhile has no log.
    pub(super) fn record_delivery(
        &mut self,
        delivery: Delivery,
        sent: Vec<(String, String)>,
        answer: Answer,
    ) {
        let now = self.now();
        let masked = |(name, value): (String, String)| {
            let secret = name.eq_ignore_ascii_case("X-Gitlab-Token");
            (name, if secret { "[REDACTED]".to_owned() } else { value })
        };
        let entry = DeliveryLog {
            id: self.id("delivery", 1),
            request_headers: sent.into_iter().map(masked).collect(),
            status: answer.status,
            response_body: answer.body,
            response_headers: answer.headers,
            duration: answer.duration.as_secs_f64(),
            created_at: now,
            delivery,
        };
        let worked = entry.worked();
        let auto_disable = self.options.auto_disable;
        if let Some(hook) = self.hooks.iter_mut().find(|hook| hook.id == entry.delivery.hook) {
            hook.record(worked, auto_disable, now);
            self.deliveries.push(entry);
        }
    }
}

/// What came back from a hook's target.
pub(super) struct Answer {
    status: Option<u16>,
    body: String,
    headers: Vec<(String, String)>,
    duration: Duration,
}

impl Answer {
    pub(super) fn status(&self) -> Option<u16> {
        self.status
    }
}

/// Deliveries share a client: making one reads the machine's certificates, which costs milliseconds. It keeps no
/// connection, since each belongs to the runtime on which it was opened.
fn client() -> Result<reqwest::Client, reqwest::Error> {
    static CLIENT: OnceLock<reqwest::Client> = OnceLock::new();
    if let Some(client) = CLIENT.get() {
        return Ok(client.clone());
    }
    let client = reqwest::Client::builder()
        .timeout(Duration::from_secs(10))
        .redirect(reqwest::redirect::Policy::none())
        .pool_max_idle_per_host(0)
        .no_proxy()
        .build()?;
    Ok(CLIENT.get_or_init(|| client).clone())
}

/// Sends one attempt. GitLab does not try again, whatever comes back.
pub(super) async fn post(url: &str, headers: &[(String, String)], body: Bytes) -> Answer {
    let started = std::time::Instant::now();
    let outcome = async {
        let mut request = client()?.post(url).body(body);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let response = request.send().await?;
        let status = response.status().as_u16();
        let headers = response
            .headers()
            .iter()
            .take(50)
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect();
        let body = response.bytes().await?;
        let kept = String::from_utf8_lossy(&body[..body.len().min(8192)]).into_owned();
        Ok::<_, reqwest::Error>((status, headers, kept))
    }
    .await;
    let duration = started.elapsed();
    match outcome {
        Ok((status, headers, body)) => Answer { status: Some(status), body, headers, duration },
        Err(error) => {
            Answer { status: None, body: error.without_url().to_string(), headers: Vec::new(), duration }
        }
    }
}

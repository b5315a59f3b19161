//! Mail through the Gmail API: <https://developers.google.com/workspace/gmail/api/reference/rest/v1/users.messages/send>.
//!
//! It takes a whole mail and answers with its own id of it. On the way Gmail gives the mail a Message-ID of its own, so
//! that the one in the file is worth nothing for threading; the real one can be read where the scope `gmail.metadata`
//! was granted, and is left out where it was not.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use jiff::Timestamp;
use reqwest::{Client, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::Outcome;
use super::google_oauth::GoogleApp;
use super::http::{self, Answer, call, words};
use crate::clock::Clock;
use crate::config::GmailSettings;

const PEER: &str = "Gmail";
/// How long before its end an access token is no longer used: a call takes time, and clocks differ.
const MARGIN: Duration = Duration::from_secs(60);
/// The longest wait for the Message-ID of a mail that Gmail has taken: whoever hands it over waits for that too.
const LOOK: Duration = Duration::from_secs(5);

/// A Gmail account that sends.
#[derive(Debug)]
pub struct Gmail {
    http: Client,
    messages: String,
    app: GoogleApp,
    refresh_token: SecretString,
    access: Mutex<Option<Access>>,
    /// Whether reading a message was refused: then it is not tried again.
    may_not_read: AtomicBool,
    clock: Clock,
}

/// An access token and until when it is used.
#[derive(Clone, Debug)]
struct Access {
    token: SecretString,
    until: Timestamp,
}

impl Gmail {
    /// The account with these settings. The clock says when an access token ends.
    ///
    /// # Errors
    ///
    /// Where TLS cannot be set up.
    pub fn new(settings: GmailSettings, clock: Clock) -> anyhow::Result<Self> {
        let api = settings.api_url.as_str().trim_end_matches('/');
        Ok(Self {
            http: http::client(&settings.api_url)?,
            messages: format!("{api}/gmail/v1/users/me/messages"),
            app: GoogleApp::new(settings.app)?,
            refresh_token: settings.refresh_token,
            access: Mutex::new(None),
            may_not_read: AtomicBool::new(false),
            clock,
        })
    }

    /// Sends a whole mail in MIME. The id of [`Outcome::Sent`] is its Message-ID as Gmail gave it, where it can be read.
    pub async fn send(&self, mime: &[u8]) -> Outcome {
        let body = json!({ "raw": URL_SAFE.encode(mime) });
        let mut refreshed = false;
        loop {
            let access = match self.access().await {
                Ok(access) => access,
                Err(error) => return error.into(),
            };
            let request = self.http.post(format!("{}/send", self.messages)).json(&body);
            let request = request.timeout(http::deadline(mime.len() * 4 / 3));
            match call(PEER, request.bearer_auth(access.token.expose_secret())).await {
                Ok(answer) if answer.status == StatusCode::UNAUTHORIZED && !refreshed => {
                    refreshed = true;
                    self.forget(&access).await;
                }
                Ok(answer) => {
                    let answer = answer.without(&[access.token.expose_secret()]);
                    return self.outcome(&answer, &access).await;
                }
                Err(lost) => return lost.into(),
            }
        }
    }

    /// Asks Google for access and sends nothing.
    pub async fn check(&self) -> Outcome {
        self.access().await.map_or_else(Outcome::from, |_| Outcome::Sent { id: None })
    }

    /// An access token that is still good, from Google where none is there.
    async fn access(&self) -> Result<Access, super::google_oauth::TokenError> {
        // Held while Google is asked: who comes meanwhile waits for the same token.
        let mut cached = self.access.lock().await;
        let now = self.clock.now();
        if let Some(access) = cached.as_ref().filter(|access| now < access.until) {
            return Ok(access.clone());
        }
        let tokens = self.app.refresh(&self.refresh_token).await?;
        let until = now.checked_add(tokens.expires_in.saturating_sub(MARGIN)).unwrap_or(now);
        let access = Access { token: tokens.access, until };
        *cached = Some(access.clone());
        Ok(access)
    }

    /// Forgets a token that Gmail refused, unless somebody has got a new one meanwhile.
    async fn forget(&self, refused: &Access) {
        let mut cached = self.access.lock().await;
        if cached.as_ref().is_some_and(|access| access.token.expose_secret() == refused.token.expose_secret())
        {
            *cached = None;
        }
    }

    async fn outcome(&self, answer: &Answer, access: &Access) -> Outcome {
        if !answer.status.is_success() {
            return refusal(answer, self.clock.now());
        }
        match answer.json()["id"].as_str() {
            Some(id) => Outcome::Sent { id: self.message_id(id, access).await },
            None => Outcome::TryAgain {
                after: None,
                reason: "the answer was not Gmail's; does VORHOELLE_GMAIL_API_URL lead to Google?".to_owned(),
                unclear: true,
            },
        }
    }

    /// The Message-ID that Gmail gave a mail; none where it may not be read or does not come.
    async fn message_id(&self, id: &str, access: &Access) -> Option<String> {
        // The id comes from the other side and becomes a part of a path.
        if self.may_not_read.load(Ordering::Relaxed) || !id.chars().all(|c| c.is_ascii_alphanumeric()) {
            return None;
        }
        let request = self
            .http
            .get(format!("{}/{id}", self.messages))
            .query(&[("format", "metadata"), ("metadataHeaders", "Message-ID")])
            .timeout(LOOK)
            .bearer_auth(access.token.expose_secret());
        let answer = call(PEER, request).await.ok()?;
        if answer.status == StatusCode::FORBIDDEN {
            self.may_not_read.store(true, Ordering::Relaxed);
        }
        let json = answer.json();
        let headers = json["payload"]["headers"].as_array()?;
        // Gmail writes `Message-ID` or `Message-Id`.
        let header = headers.iter().find(|header| {
            header["name"].as_str().is_some_and(|name| name.eq_ignore_ascii_case("message-id"))
        })?;
        let value = header["value"].as_str()?.trim();
        let is_one = value.starts_with('<') && value.ends_with('>') && !value.contains(char::is_whitespace);
        is_one.then(|| value.to_owned())
    }
}

/// A refused mail: `{"error": {"code": 403, "message": "…", "errors": [{"reason": "rateLimitExceeded"}], "status": "…"}}`
/// (<https://developers.google.com/workspace/gmail/api/guides/handle-errors>).
fn refusal(answer: &Answer, now: Timestamp) -> Outcome {
    let error = &answer.json()["error"];
    let reasons = reasons(error);
    let is = |reason: &str| reasons.iter().any(|said| said.eq_ignore_ascii_case(reason));
    let message = words(error["message"].as_str().unwrap_or_default());
    let status = answer.status.as_u16();
    let limits =
        ["rateLimitExceeded", "userRateLimitExceeded", "dailyLimitExceeded", "quotaExceeded", "backendError"];
    if status == 429 || (status == 403 && limits.iter().any(|limit| is(limit))) {
        let after = answer.retry_after.or_else(|| until(&message, now));
        let reason = format!("Gmail asks to slow down ({status} {message})");
        return Outcome::TryAgain { after, reason, unclear: false };
    }
    if let Some(outcome) = answer.try_again(PEER) {
        return outcome;
    }
    let what = match status {
        401 => "the access token is not accepted; run `vorhoelle gmail login` for a new refresh token",
        403 if is("accessNotConfigured") || is("SERVICE_DISABLED") => {
            "the Gmail API is not switched on in the app's project; switch it on in the Google console under APIs and \
             services"
        }
        403 if is("insufficientPermissions") || is("ACCESS_TOKEN_SCOPE_INSUFFICIENT") => {
            "the refresh token does not allow sending; run `vorhoelle gmail login` and leave every box ticked"
        }
        403 if is("domainPolicy") => "the administrator of the domain does not allow it; ask them",
        400 if is("failedPrecondition") => "the account has no Gmail, or it is switched off for it",
        400 => "the mail is not what Gmail takes; look at the sender and the recipients",
        413 => "the mail is too large for Gmail; send fewer or smaller attachments",
        301..=308 | 404 => "there is nothing at this address; look whether VORHOELLE_GMAIL_API_URL is right",
        _ => "the reason is Gmail's own; the Google console may say more",
    };
    Outcome::GiveUp {
        reason: format!("Gmail refuses ({}): {what}", format!("{status} {message}").trim_end()),
    }
}

/// Google names reasons in the old way, the new way, or both.
fn reasons(error: &Value) -> Vec<&str> {
    let old = error["errors"].as_array().into_iter().flatten();
    let new = error["details"].as_array().into_iter().flatten();
    old.chain(new).filter_map(|entry| entry["reason"].as_str()).collect()
}

/// `User-rate limit exceeded.  Retry after 2026-11-23T08:15:00.000Z`: there is no header for it.
fn until(message: &str, now: Timestamp) -> Option<Duration> {
    let (_, behind) = message.split_once("Retry after ")?;
    let at: Timestamp = behind.split_whitespace().next()?.parse().ok()?;
    at.duration_since(now).try_into().ok()
}

//! What can go wrong with a call to GitLab, as callers branch on it.

use std::time::Duration;

use http::{StatusCode, header};
use jiff::Timestamp;
use serde_json::Value;

use super::client::Reply;

/// Why a call to GitLab brought no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub enum GitlabError {
    /// No connection, a connection that broke, or no answer in time.
    #[error("GitLab cannot be reached: {}", root_cause(.0))]
    Net(reqwest::Error),
    /// GitLab asks us to wait (429 with `Retry-After`).
    #[error("GitLab asks to wait {} s", .0.as_secs())]
    Wait(Duration),
    /// We wait by ourselves, before GitLab has to ask.
    #[error("as many {what} were made as GitLab takes in a minute; there is room for more in {} s", wait.as_secs())]
    NoRoom {
        /// Of what there are as many.
        what: &'static str,
        /// When there is room again.
        wait: Duration,
    },
    /// GitLab asks us to wait and does not say how long; its application limits count by the minute.
    #[error("GitLab asks to wait until the next minute, {} s", .0.as_secs())]
    WaitForTheMinute(Duration),
    /// GitLab failed (5xx).
    #[error("GitLab answered {status}")]
    Server {
        /// The status.
        status: StatusCode,
    },
    /// GitLab refused (3xx, 4xx).
    #[error("GitLab refused with {status}: {message}")]
    Refused {
        /// The status.
        status: StatusCode,
        /// GitLab's own words.
        message: String,
    },
    /// An answer that cannot be read, as a broken one or a proxy's page; GitLab may have done what was asked.
    #[error("GitLab's answer cannot be read: {0}")]
    Shape(serde_json::Error),
    /// The request was not sent.
    #[error("not sent: {0}")]
    NotSent(&'static str),
}

impl GitlabError {
    pub(super) fn of_reply(reply: &Reply, now: Timestamp) -> Self {
        let status = reply.status;
        if status == StatusCode::TOO_MANY_REQUESTS {
            let after = reply.headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
            return match after.and_then(|value| value.trim().parse().ok()) {
                Some(seconds) => Self::Wait(Duration::from_secs(seconds)),
                None => Self::WaitForTheMinute(until_the_next_minute(now)),
            };
        }
        if status.is_server_error() {
            Self::Server { status }
        } else {
            Self::Refused { status, message: words(reply) }
        }
    }

    /// Whether GitLab certainly did not run the request, so that any may be sent again.
    pub fn was_not_run(&self) -> bool {
        match self {
            Self::Net(error) => error.is_connect(),
            Self::Wait(_) | Self::WaitForTheMinute(_) | Self::NoRoom { .. } => true,
            _ => false,
        }
    }

    /// Whether the same request may fare better in a moment.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Net(_) | Self::Wait(_) | Self::WaitForTheMinute(_) | Self::NoRoom { .. } => true,
            // Proxies have numbers of their own, as 520.
            Self::Server { status } => *status != StatusCode::NOT_IMPLEMENTED,
            _ => false,
        }
    }

    /// Whether GitLab may have done what was asked although no answer says so.
    pub fn is_unclear(&self) -> bool {
        match self {
            Self::Net(error) => !error.is_connect(),
            Self::Server { .. } | Self::Shape(_) => true,
            _ => false,
        }
    }

    /// Whether what was asked for is not there, or not for us to see: GitLab answers 404 for both.
    pub fn is_gone(&self) -> bool {
        self.status() == Some(StatusCode::NOT_FOUND)
    }

    /// Whether GitLab says no to just this: 400, 403, 404 and 422.
    pub fn refuses_just_this(&self) -> bool {
        self.status().is_some_and(|status| matches!(status.as_u16(), 400 | 403 | 404 | 422))
    }

    /// Whether it is there already.
    pub fn is_conflict(&self) -> bool {
        self.status() == Some(StatusCode::CONFLICT)
    }

    /// The status of a refusal.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Refused { status, .. } | Self::Server { status } => Some(*status),
            _ => None,
        }
    }

    /// When it is worth asking again; none where the same request would fail again.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Wait(wait) | Self::WaitForTheMinute(wait) | Self::NoRoom { wait, .. } => Some(*wait),
            Self::Net(_) | Self::Server { .. } | Self::Shape(_) => Some(Duration::from_secs(15)),
            // A revoked or expired token: somebody has to act, which takes a while.
            Self::Refused { status, .. } if matches!(status.as_u16(), 401 | 403) => {
                Some(Duration::from_secs(60))
            }
            Self::Refused { .. } | Self::NotSent(_) => None,
        }
    }
}

/// GitLab's limits count by the clock's minute; a few seconds' spread keeps a herd from coming back at once.
fn until_the_next_minute(now: Timestamp) -> Duration {
    let spread = u64::from(now.subsec_nanosecond().unsigned_abs() % 5);
    Duration::from_secs(60 - now.as_second().rem_euclid(60).unsigned_abs() + spread)
}

/// What GitLab says in `message` or `error`, in one line: text, or texts by field. Of a token it says what is wrong in
/// `error_description`.
fn words(reply: &Reply) -> String {
    let body: Value = serde_json::from_slice(&reply.body).unwrap_or(Value::Null);
    let said = ["message", "error_description", "error"].iter().find_map(|name| body.get(name));
    let said = said.map(|said| said.get("error").unwrap_or(said)).cloned().unwrap_or(Value::Null);
    let elsewhere = reply.headers.get(header::LOCATION).and_then(|value| value.to_str().ok());
    match said {
        Value::Null if reply.status.is_redirection() && elsewhere.is_some() => {
            format!("what was asked for is at {}", without_secrets(elsewhere.unwrap_or_default()))
        }
        Value::String(text) => text,
        Value::Null => reply.status.canonical_reason().unwrap_or("no reason given").to_owned(),
        other => other.to_string(),
    }
    .chars()
    .filter(|c| !c.is_control())
    .take(300)
    .collect()
}

/// An address without what only a browser is to be sent on with: this is shown.
fn without_secrets(address: &str) -> &str {
    let path = address.split(['?', '#']).next().unwrap_or_default();
    if path.contains('@') { "another address" } else { path }
}

fn root_cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

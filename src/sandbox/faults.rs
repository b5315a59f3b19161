//! What goes wrong on purpose with calls; with webhooks, see `deliveries`.

use std::time::Duration;

use http::Method;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

/// A kind of trouble.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trouble {
    /// The work is done, then the connection is cut without an answer.
    DropAnswer,
    /// The work is done, the answer begins, and the connection is cut within the body.
    CutBody,
    /// The connection is cut, nothing is done.
    CutBefore,
    /// Nothing is done, and the answer is this one.
    Answer {
        /// Status.
        status: u16,
        /// Content type.
        content_type: String,
        /// Body.
        body: String,
        /// `Retry-After` in seconds.
        retry_after: Option<u64>,
    },
    /// The work is done after a while.
    Slow {
        /// Milliseconds.
        millis: u64,
    },
    /// The work is done and the answer's headers come at once, its body only after a while.
    SlowBody {
        /// Milliseconds.
        millis: u64,
    },
    /// A read sees the issues as they were before their last change, while that is no two minutes ago.
    Stale,
}

/// Trouble for some calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Only calls with this method.
    #[serde(default)]
    pub method: Option<String>,
    /// Only calls whose path, query included, contains this.
    #[serde(default)]
    pub path: String,
    /// How many calls fare well first.
    #[serde(default)]
    pub skip: u32,
    /// How many calls meet the trouble.
    #[serde(default = "once")]
    pub times: u32,
    /// The trouble.
    pub trouble: Trouble,
}

fn once() -> u32 {
    1
}

impl Fault {
    /// Trouble for the next call with that method and that piece of a path.
    pub fn new(method: Method, path: &str, trouble: Trouble) -> Self {
        Self { method: Some(method.to_string()), path: path.to_owned(), skip: 0, times: 1, trouble }
    }

    /// Trouble for the next call whatever its method.
    pub fn any(path: &str, trouble: Trouble) -> Self {
        Self { method: None, path: path.to_owned(), skip: 0, times: 1, trouble }
    }

    /// The trouble comes that often.
    pub fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }

    /// The trouble comes only after that many calls.
    pub fn after(mut self, calls: u32) -> Self {
        self.skip = calls;
        self
    }
}

impl Trouble {
    /// An error in JSON, as the API gives it.
    pub fn status(status: u16) -> Self {
        let body = match status {
            500 => r#"{"message":"500 Internal Server Error"}"#.to_owned(),
            503 => r#"{"message":"503 Service Unavailable"}"#.to_owned(),
            other => format!(r#"{{"message":"{other}"}}"#),
        };
        Self::Answer { status, content_type: "application/json".to_owned(), body, retry_after: None }
    }

    /// The 429 of the limit by user and address: plain text, and it says when to come back.
    pub fn rate_limited(retry_after: u64) -> Self {
        Self::Answer {
            status: 429,
            content_type: "text/plain".to_owned(),
            body: "Retry later\n".to_owned(),
            retry_after: Some(retry_after),
        }
    }

    /// The 429 of a limit within the application: JSON, and it does not say when to come back.
    pub fn application_limit() -> Self {
        let body =
            r#"{"message":{"error":"This endpoint has been requested too many times. Try again later."}}"#;
        Self::Answer {
            status: 429,
            content_type: "application/json".to_owned(),
            body: body.to_owned(),
            retry_after: None,
        }
    }

    /// The page of a proxy whose GitLab does not answer.
    pub fn bad_gateway() -> Self {
        let body = "<!DOCTYPE html>\n<html><head><title>GitLab is not responding (502)</title></head>\
                    <body><h1>502</h1><h3>Whoops, GitLab is taking too much time to respond.</h3></body></html>\n";
        Self::Answer {
            status: 502,
            content_type: "text/html".to_owned(),
            body: body.to_owned(),
            retry_after: None,
        }
    }

    /// A pause before the work is done.
    pub fn slow(pause: Duration) -> Self {
        Self::Slow { millis: u64::try_from(pause.as_millis()).unwrap_or(u64::MAX) }
    }

    /// A pause within the answer.
    pub fn slow_body(pause: Duration) -> Self {
        Self::SlowBody { millis: u64::try_from(pause.as_millis()).unwrap_or(u64::MAX) }
    }
}

/// Whether the whole instance is away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outage {
    /// It is there.
    #[default]
    None,
    /// Every connection is cut at once.
    Refused,
    /// A proxy answers every call with 502.
    BadGateway,
}

/// Takes the trouble that this call meets, and counts it.
pub(super) fn take(faults: &mut Vec<Fault>, method: &Method, path: &str) -> Option<Trouble> {
    let mut taken = None;
    for fault in faults.iter_mut() {
        let fits = fault.method.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(method.as_str()))
            && path.contains(&fault.path);
        if !fits {
            continue;
        }
        if fault.skip > 0 {
            fault.skip -= 1;
        } else if fault.times > 0 {
            fault.times -= 1;
            taken = Some(fault.trouble.clone());
            break;
        }
    }
    faults.retain(|fault| fault.times > 0);
    taken
}

/// Waits, unless pauses are over. The pause is real, however the instance's clock runs: it is the network that is slow.
#[expect(clippy::disallowed_methods, reason = "a fault of the network takes real time")]
pub(super) async fn pause(millis: u64, are_over: &CancellationToken) {
    tokio::select! {
        () = are_over.cancelled() => {}
        () = tokio::time::sleep(Duration::from_millis(millis)) => {}
    }
}

//! One call to a peer: what came back, or why nothing did and whether the peer may have acted all the same.

use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url, header};
use serde_json::Value;

use super::Outcome;
use crate::clock::Clock;
use crate::domain::this_machine::is_here;

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// Longest wait for a whole answer.
///
/// A peer that takes a message and answers after the deadline gets it again, so that a long one costs less.
const TOTAL: Duration = Duration::from_secs(60);
/// What each second of a longer wait must carry, in bytes: 1 Mbit/s.
const SLOWEST: u64 = 125_000;
/// Most that is read of an answer, in bytes; the rest says nothing that we look at.
const BODY_LIMIT: usize = 64 * 1024;
/// Longest wait that a peer may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(24 * 3_600);
/// Shorter ones are no secrets, and parts of other words.
const SHORTEST_SECRET: usize = 6;
/// Most characters that a peer's own words get in one of our sentences.
const WORDS_LIMIT: usize = 200;

/// A client for one peer: with deadlines, and following no redirect, for that could carry a message to somebody else.
///
/// # Errors
///
/// Where TLS cannot be set up.
pub(crate) fn client(peer: &Url) -> anyhow::Result<Client> {
    let mut builder = Client::builder()
        .connect_timeout(CONNECT)
        .timeout(TOTAL)
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("vorhoelle/", env!("CARGO_PKG_VERSION")));
    if peer.scheme() == "http" {
        // No TLS will be spoken, and a client with the system's certificates cannot be built where there are none.
        builder = builder.tls_certs_only([]);
    }
    if is_here(peer) {
        builder = builder.no_proxy();
    }
    builder.build().context("cannot set up TLS; is the package `ca-certificates` installed?")
}

/// The longest wait for the answer to a request with so large a body, in bytes.
pub(crate) fn deadline(body: usize) -> Duration {
    TOTAL + Duration::from_secs(body as u64 / SLOWEST)
}

/// Reads a peer's address. It never stands in the error: it may be a secret.
///
/// # Errors
///
/// Where it is none, in words that name the variable.
pub(crate) fn peer_url(text: &str, variable: &str) -> anyhow::Result<Url> {
    let url =
        Url::parse(text.trim()).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    url.with_context(|| format!("{variable}: must be an http:// or https:// address"))
}

/// What a peer answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub status: StatusCode,
    pub retry_after: Option<Duration>,
    pub body: String,
}

impl Answer {
    /// The answer as JSON; null where it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    /// The answer without these words: a peer may say back what it was told, and what it says is logged and shown.
    pub(crate) fn without(mut self, secrets: &[&str]) -> Self {
        let secrets = secrets.iter().copied().filter(|secret| secret.len() >= SHORTEST_SECRET);
        let secrets: Vec<&str> = secrets.collect();
        self.body = match serde_json::from_str::<Value>(&self.body) {
            // In JSON a secret may be written with escapes.
            Ok(mut json) => {
                hide_in(&mut json, &secrets);
                json.to_string()
            }
            Err(_) => hidden(&self.body, &secrets),
        };
        self
    }

    /// What any peer means by a status that asks to try again; none where it means something else.
    pub(crate) fn try_again(&self, peer: &str) -> Option<Outcome> {
        let status = self.status.as_u16();
        let (reason, unclear) = match status {
            429 => (format!("{peer} asks to slow down (429)"), false),
            408 => (format!("{peer} waited too long for the request (408)"), false),
            // The server broke off; how far it had come, it does not say.
            500.. => (format!("{peer} has trouble of its own ({status})"), true),
            _ => return None,
        };
        Some(Outcome::TryAgain { after: self.retry_after, reason, unclear })
    }
}

fn hidden(text: &str, secrets: &[&str]) -> String {
    secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
}

fn hide_in(json: &mut Value, secrets: &[&str]) {
    match json {
        Value::String(text) => *text = hidden(text, secrets),
        Value::Array(parts) => parts.iter_mut().for_each(|part| hide_in(part, secrets)),
        Value::Object(parts) => parts.values_mut().for_each(|part| hide_in(part, secrets)),
        _ => {}
    }
}

/// No whole answer.
#[derive(Debug)]
pub(crate) struct Lost {
    pub reason: String,
    pub unclear: bool,
}

impl From<Lost> for Outcome {
    fn from(lost: Lost) -> Self {
        Self::TryAgain { after: None, reason: lost.reason, unclear: lost.unclear }
    }
}

/// Makes one call.
///
/// # Errors
///
/// Where no answer came, or one of success that broke off.
pub(crate) async fn call(peer: &str, request: RequestBuilder) -> Result<Answer, Lost> {
    let (mut answer, mut response) = begin(peer, request).await?;
    let mut body = Vec::new();
    while body.len() < BODY_LIMIT {
        match response.chunk().await {
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => break,
            // A refusal is one without its words, too.
            Err(error) if answer.status.is_success() => return Err(lost(peer, error)),
            Err(_) => break,
        }
    }
    answer.body = String::from_utf8_lossy(&body).into_owned();
    Ok(answer)
}

/// Makes one call of a peer whose words nobody reads: its status is its answer, and comes before them.
///
/// # Errors
///
/// Where none came.
pub(crate) async fn tell(peer: &str, request: RequestBuilder) -> Result<Answer, Lost> {
    Ok(begin(peer, request).await?.0)
}

/// What a peer answers before its words.
async fn begin(peer: &str, request: RequestBuilder) -> Result<(Answer, Response), Lost> {
    let response = request.send().await.map_err(|error| lost(peer, error))?;
    let named = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    let retry_after = named(header::RETRY_AFTER)
        .and_then(|text| pause_asked_for(text, named(header::DATE), Clock::System.now()));
    Ok((Answer { status: response.status(), retry_after, body: String::new() }, response))
}

fn lost(peer: &str, error: reqwest::Error) -> Lost {
    let unclear = !error.is_connect() && !error.is_builder();
    let what = match (error.is_connect(), error.is_timeout()) {
        (true, _) => "cannot be reached",
        (false, true) => "did not answer in time",
        (false, false) => "broke off without an answer",
    };
    Lost { reason: format!("{peer} {what}: {}", causes(error)), unclear }
}

/// What `Retry-After` asks for: seconds, or a date, which is measured against the peer's own clock where it tells that, else
/// against ours.
fn pause_asked_for(text: &str, date: Option<&str>, now: Timestamp) -> Option<Duration> {
    let moment = |text: &str| jiff::fmt::rfc2822::parse(text).ok().map(|at| at.timestamp());
    let seconds = text.trim().parse().ok().map(Duration::from_secs);
    let pause = seconds.or_else(|| {
        let until = moment(text)?.duration_since(date.and_then(moment).unwrap_or(now));
        Some(Duration::try_from(until).unwrap_or_default())
    });
    pause.map(|pause| pause.min(LONGEST_PAUSE))
}

/// What an error is caused by, without the address: it may be a secret.
fn causes(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut deepest: &dyn std::error::Error = &error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    words(&deepest.to_string())
}

/// A peer's own words inside a sentence of ours: one line, not long.
pub(crate) fn words(text: &str) -> String {
    crate::domain::posted_match::clean_line(text).chars().take(WORDS_LIMIT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_that_does_not_come_is_not_waited_for() {
        // The backlog accepts the connection; nobody reads it.
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}/secretpart", silent.local_addr().unwrap())).unwrap();
        let request = client(&url).unwrap().post(url).timeout(Duration::from_millis(50));
        let lost = call("Slack", request).await.unwrap_err();
        assert!(lost.unclear && lost.reason.starts_with("Slack did not answer in time: "), "{}", lost.reason);
        assert!(!lost.reason.contains("secretpart"), "{}", lost.reason);
    }

    /// Its status came; whether the words after it matter, the caller knows.
    #[tokio::test]
    async fn an_answer_that_breaks_off_after_its_status_is_one_where_nobody_reads_its_words() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nab").await;
            }
        });
        let request = || client(&url).unwrap().post(url.clone());
        assert_eq!(tell("the receiver", request()).await.unwrap().status, StatusCode::OK);
        assert!(call("the receiver", request()).await.unwrap_err().unclear);
    }

    #[test]
    fn what_a_peer_was_told_it_says_back_to_nobody() {
        let of = |body: &str| {
            let body = body.to_owned();
            let answer = Answer { status: StatusCode::FORBIDDEN, retry_after: None, body };
            answer.without(&["1//refresh", "", "T0/B0/x"]).body
        };
        assert_eq!(of("<p>no such hook: /services/T0/B0/x</p>"), "<p>no such hook: /services/***</p>");
        let escaped = r#"{"error": {"message": "the token 1\/\/refresh is old", "code": 403}}"#;
        assert_eq!(of(escaped), r#"{"error":{"code":403,"message":"the token *** is old"}}"#);
    }

    #[test]
    fn a_peer_asks_for_a_pause_in_seconds_or_by_a_date() {
        let date = Some("Mon, 23 Nov 2026 08:00:00 GMT");
        let now = "2026-11-23T08:01:30Z".parse().unwrap();
        let asked = |text| pause_asked_for(text, date, now);
        assert_eq!(asked("120"), Some(Duration::from_secs(120)));
        assert_eq!(asked("Mon, 23 Nov 2026 08:02:00 GMT"), Some(Duration::from_secs(120)));
        assert_eq!(asked("Mon, 23 Nov 2026 07:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(asked("99999999"), Some(LONGEST_PAUSE));
        for no_date in [None, Some("today")] {
            let asked = pause_asked_for("Mon, 23 Nov 2026 08:02:00 GMT", no_date, now);
            assert_eq!(asked, Some(Duration::from_secs(30)), "by our own clock");
        }
        assert_eq!(asked("soon"), None);
    }

    #[test]
    fn a_large_body_gets_more_time() {
        assert_eq!(deadline(1_000), TOTAL);
        assert_eq!(deadline(25_000_000), TOTAL + Duration::from_secs(200));
    }
}

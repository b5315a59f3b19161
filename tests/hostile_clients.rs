//! The real program among clients that mean no good: thousands of connections that say nothing, heads that never end,
//! floods of headers, bodies at the limit and over it, deep JSON. Others are served, and memory stays bounded.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a story that fails, panics")]

#[path = "support/program.rs"]
mod program;

use std::time::{Duration, Instant};

use program::{Running, Setting, job};
use reqwest::{Response, StatusCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use vorhoelle::sandbox::Options;

/// Connections that say nothing; more than the program takes at the same time.
const IDLE: usize = 10_000;
/// What the program may take in memory meanwhile.
const MEBIBYTES: u64 = 250;
/// GitLab's own limit on a delivery's body.
const LARGEST_BODY: usize = 25 * 1024 * 1024;

async fn place() -> (Setting, Running) {
    // Both ends of every connection are files of somebody's.
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let mut setting = Setting::new(Options::default()).await;
    setting.variables = [("VORHOELLE_WEBHOOK_SIGNING_TOKEN", "")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    let running = setting.serve().await;
    (setting, running)
}

fn address(setting: &Setting) -> String {
    setting.url("").trim_start_matches("http://").to_owned()
}

fn resident_mebibytes(running: &Running) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

/// Somebody who means well is answered, and soon.
async fn others_are_served(setting: &Setting, number: &str) {
    let started = Instant::now();
    let lives = setting.http.get(setting.url("/livez")).send().await.unwrap();
    assert_eq!(lives.status(), StatusCode::OK);
    assert_eq!(delivery(setting, "{}").await.status(), StatusCode::ACCEPTED);
    assert_eq!(setting.post(&job(number)).await, Some(StatusCode::CREATED));
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

async fn delivery(setting: &Setting, body: impl Into<reqwest::Body>) -> Response {
    let request = setting.http.post(setting.url("/webhooks/gitlab"));
    request.header("X-Gitlab-Token", "secret-of-the-webhook").body(body).send().await.unwrap()
}

/// Says something on a connection of its own, and hears the answer's first line; empty where it is closed without one.
async fn say(setting: &Setting, text: &[u8]) -> String {
    let mut stream = TcpStream::connect(address(setting)).await.unwrap();
    let (mut reading, mut writing) = stream.split();
    let mut answer = Vec::new();
    // It may be hung up on while it still speaks.
    let _ = tokio::join!(writing.write_all(text), reading.read_to_end(&mut answer));
    String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_who_say_nothing_keep_nobody_out() {
    let (setting, running) = place().await;
    let mut open = Vec::with_capacity(IDLE);
    for number in 0..IDLE {
        let mut stream = TcpStream::connect(address(&setting)).await.unwrap();
        // Half of them begin a request and never end it.
        if number % 2 == 0 {
            stream.write_all(b"POST /webhooks/gitlab HTTP/1.1\r\nX-Slow: ").await.unwrap();
        }
        open.push(stream);
    }
    others_are_served(&setting, "1").await;
    assert!(resident_mebibytes(&running) < MEBIBYTES, "{} MiB", resident_mebibytes(&running));
    drop(open);
    others_are_served(&setting, "2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_announces_much_and_sends_little_takes_no_room_from_others() {
    let (setting, running) = place().await;
    let mut open = Vec::new();
    for _ in 0..200 {
        let mut stream = TcpStream::connect(address(&setting)).await.unwrap();
        let head = format!(
            "POST /webhooks/gitlab HTTP/1.1\r\nHost: x\r\nX-Gitlab-Token: secret-of-the-webhook\r\n\
             Content-Length: {LARGEST_BODY}\r\n\r\n{{"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        open.push(stream);
    }
    others_are_served(&setting, "1").await;
    assert!(resident_mebibytes(&running) < MEBIBYTES, "{} MiB", resident_mebibytes(&running));
}

/// More pieces than the sum of bodies being read has kibibytes.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_in_tiny_pieces_takes_no_more_room_than_it_has() {
    let (setting, _running) = place().await;
    let mut stream = TcpStream::connect(address(&setting)).await.unwrap();
    let head = "POST /webhooks/gitlab HTTP/1.1\r\nHost: x\r\nX-Gitlab-Token: secret-of-the-webhook\r\n\
                Transfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    for _ in 0..70 {
        stream.write_all("1\r\n \r\n".repeat(1_000).as_bytes()).await.unwrap();
    }
    others_are_served(&setting, "1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_and_bodies_have_limits() {
    let (setting, running) = place().await;
    let many: String = (0..1000).map(|number| format!("X-Header-{number}: value\r\n")).collect();
    let flood = format!("GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{many}\r\n");
    assert!(say(&setting, flood.as_bytes()).await.starts_with("HTTP/1.1 431"));
    let long = format!("GET /livez HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n", "x".repeat(8 * 1024 * 1024));
    let answer = say(&setting, long.as_bytes()).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    assert_eq!(delivery(&setting, " ".repeat(LARGEST_BODY - 2) + "{}").await.status(), StatusCode::ACCEPTED);
    // Said before any of it is sent: whoever writes on meets a closed connection.
    let head = "POST /webhooks/gitlab HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Gitlab-Token: secret-of-the-webhook\r\n";
    let over = format!("{head}Content-Length: {}\r\n\r\n", LARGEST_BODY + 1);
    let answer = say(&setting, over.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    // Nobody says how long it is: it is counted as it comes.
    let head = format!("{head}Transfer-Encoding: chunked\r\n\r\n");
    let chunk = format!("100000\r\n{}\r\n", " ".repeat(1024 * 1024));
    let answer = say(&setting, (head + &chunk.repeat(26)).as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    let balanced = "[".repeat(500_000) + &"]".repeat(500_000);
    for (deep, answer) in [
        ("[".repeat(1_000_000), StatusCode::BAD_REQUEST),
        ("{\"a\":".repeat(500_000), StatusCode::BAD_REQUEST),
        // JSON, and about nothing of ours.
        (balanced, StatusCode::ACCEPTED),
    ] {
        assert_eq!(delivery(&setting, deep.clone()).await.status(), answer);
        let request = setting.http.post(setting.url("/api/v1/matches")).bearer_auth("token-of-the-pipeline");
        assert_eq!(request.body(deep).send().await.unwrap().status(), StatusCode::BAD_REQUEST);
    }
    others_are_served(&setting, "1").await;
    assert!(resident_mebibytes(&running) < MEBIBYTES, "{} MiB", resident_mebibytes(&running));
}

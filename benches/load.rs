//! Ten minutes of deliveries well above GitLab.com's own limits, while people decide, one channel fails and another hangs.
//! `VORHOELLE_LOAD_MINUTES=1` makes it short.
//!
//! `cargo bench --bench load` prints figures and fails where one is not as asked for; `benches/README.md` keeps them.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measurement"
)]

mod support;

use std::process::{Child, ExitCode};
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use support::figures::{self, Asked, figure};
use support::place::{API_TOKEN, Place, client, free_port};
use support::{delivery, length_of, resident_mebibytes, until_200};

/// Deliveries a second: 30,000 a minute. GitLab.com lets 13,000 a minute through at the most.
const RATE: u32 = 500;
const CONNECTIONS: u32 = 10;
/// Issues that the deliveries are about.
const ISSUES: u64 = 2_000;
/// What is not worked off, followed or named by then never will be.
const IN_THE_END: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let minutes = std::env::var("VORHOELLE_LOAD_MINUTES").map_or(10, |text| text.parse::<u64>().unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(load(Duration::from_secs(60 * minutes)));
    figures::end()
}

struct Load {
    place: Place,
    port: u16,
    http: reqwest::Client,
    /// A mail server that takes every connection and never says a word.
    silent: std::net::TcpListener,
}

impl Load {
    async fn new() -> Self {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        Self { place: Place::new().await, port: free_port(), http: client(), silent }
    }

    /// The program; Slack refuses every connection, and mails go to the silent server.
    fn serve(&self, mirror: &str) -> Child {
        let mut command = self.place.serve(&self.place.path(mirror), self.port);
        command.env("VORHOELLE_SLACK_WEBHOOK_URL", "http://127.0.0.1:9/services/T0/B0/x");
        let server = self.silent.local_addr().unwrap();
        command.env("VORHOELLE_SMTP_URL", format!("smtp://{server}"));
        command.env("VORHOELLE_MAIL_FROM", "jobs@example.com").env("VORHOELLE_MAIL_TO", "anna@example.com");
        command.env("VORHOELLE_LOG", "error").spawn().unwrap()
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    async fn get(&self, path: &str) -> Value {
        self.http.get(self.url(path)).bearer_auth(API_TOKEN).send().await.unwrap().json().await.unwrap()
    }
}

async fn load(how_long: Duration) {
    let load = Load::new().await;
    load.place.stage_like_the_first(ISSUES).await;
    let mut child = load.serve("mirror.sqlite");
    until_200(load.port, "/readyz");
    let project = load.place.sandbox.project_id();
    let begin = Instant::now();
    let end = begin + how_long;
    let senders = (0..CONNECTIONS).map(|first| tokio::spawn(send(load.port, project, u64::from(first), end)));
    let senders: Vec<_> = senders.collect();
    // What the program has once it has settled: after a minute, or half of a shorter run.
    let settled = begin + (how_long / 2).min(Duration::from_secs(60));
    let (mut decisions, mut early, mut peak) = (0u64, None, 0.0f64);
    while Instant::now() < end {
        decide(&load, decisions).await;
        decisions += 1;
        load.place.sandbox.clear_calls();
        let memory = resident_mebibytes(child.id());
        peak = peak.max(memory);
        if Instant::now() >= settled {
            early.get_or_insert(memory);
        }
    }
    let (early, late) = (early.unwrap(), resident_mebibytes(child.id()));
    let mut times = Vec::new();
    for sender in senders {
        times.extend(sender.await.unwrap());
    }
    let drained = until_worked_off(&load).await;
    times.sort_unstable();
    let at = |share: usize| Duration::from_micros(u64::from(times[(times.len() - 1) * share / 1000]));
    println!(
        "{} deliveries in {how_long:.0?}, {:.0} a second: answered p50 {:.2?}, p99.9 {:.2?}; {decisions} decisions beside them",
        times.len(),
        times.len() as f64 / how_long.as_secs_f64(),
        at(500),
        at(999)
    );
    println!("memory: {early:.1} MiB at first, {late:.1} MiB at the end, {peak:.1} MiB at the most");
    figure("p99 of deliveries under load", Asked::AtMost(5.0), at(990).as_secs_f64() * 1000.0, "ms");
    figure("growth of memory under load", Asked::AtMost(3.0), late - early, "MiB");
    figure("the backlog gone after", Asked::AtMost(5.0), drained.as_secs_f64(), "s");
    until_followed(&load, decisions).await;
    until_named(&load, "slack").await;
    until_named(&load, "email").await;
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Deliveries at an even pace on one connection; how long each took to be answered, in microseconds.
async fn send(port: u16, project: u64, first: u64, end: Instant) -> Vec<u32> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let mut pace = tokio::time::interval(Duration::from_secs(1) * CONNECTIONS / RATE);
    let (mut times, mut answer, mut number) = (Vec::new(), vec![0; 4096], first);
    while Instant::now() < end {
        pace.tick().await;
        let request = delivery(project, 1 + number % ISSUES);
        number += u64::from(CONNECTIONS) + 1;
        let started = Instant::now();
        stream.write_all(&request).await.unwrap();
        let mut filled = 0;
        while length_of(&answer[..filled]).is_none_or(|whole| filled < whole) {
            filled += stream.read(&mut answer[filled..]).await.unwrap();
        }
        assert!(answer.starts_with(b"HTTP/1.1 202"), "{}", String::from_utf8_lossy(&answer[..filled]));
        times.push(u32::try_from(started.elapsed().as_micros()).unwrap_or(u32::MAX));
    }
    times
}

/// Twice a second somebody decides, in turn in GitLab and through the API.
async fn decide(load: &Load, number: u64) {
    let iid = decided(number);
    if number.is_multiple_of(2) {
        let reviewer = load.place.sandbox.as_user("reviewer");
        reviewer.relabel(iid, &["job-match/approved"], &["job-match/pending"]).unwrap();
    } else {
        let request = load.http.patch(load.url(&format!("/api/v1/matches/{iid}"))).bearer_auth(API_TOKEN);
        let answer = request.json(&json!({"state": "approved"})).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "#{iid}: {}", answer.text().await.unwrap_or_default());
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
}

/// Which match the decision of this number is about.
fn decided(number: u64) -> u64 {
    1 + number % ISSUES
}

/// How long it takes until nothing waits to be looked at.
async fn until_worked_off(load: &Load) -> Duration {
    let started = Instant::now();
    while load.get("/health").await["backlog"].as_u64().unwrap() > 0 && started.elapsed() < IN_THE_END {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    started.elapsed()
}

/// Every match that was decided is in its state, also the last ones in GitLab, of which no delivery told any more.
async fn until_followed(load: &Load, decisions: u64) {
    let tick = load.http.post(load.url("/api/v1/tick")).bearer_auth(API_TOKEN).send().await.unwrap();
    assert_eq!(tick.status(), StatusCode::OK);
    let started = Instant::now();
    for iid in (0..decisions).map(decided) {
        loop {
            let answer = load.get(&format!("/api/v1/matches/{iid}")).await;
            if answer["state"] == "approved" {
                break;
            }
            assert!(started.elapsed() < IN_THE_END, "#{iid} is not followed: {answer}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// `/health` says of a channel that it fails, and why.
async fn until_named(load: &Load, channel: &str) {
    let started = Instant::now();
    loop {
        let health = load.get("/health").await;
        let channels = health["channels"].as_array().unwrap();
        let one = channels.iter().find(|one| one["channel"] == channel).unwrap();
        if one["status"] == "failing" && one["error"].is_string() {
            return;
        }
        assert!(started.elapsed() < IN_THE_END, "{channel} is not named: {one}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

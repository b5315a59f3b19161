//! Ten minutes of deliveries well above GitLab.com's own limits, while people decide and a channel fails.
//! `VORHOELLE_LOAD_MINUTES=1` makes it short.
//!
//! `cargo bench --bench load` prints figures; `benches/README.md` keeps them.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measurement"
)]

mod support;

use std::process::Child;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use support::place::{API_TOKEN, Place, free_port};
use support::{delivery, length_of, resident_mebibytes, until_200};

/// Deliveries a second: 30,000 a minute. GitLab.com lets 13,000 a minute through at the most.
const RATE: u32 = 500;
const CONNECTIONS: u32 = 10;
/// Issues that the deliveries are about.
const ISSUES: u64 = 2_000;

fn main() {
    let minutes = std::env::var("VORHOELLE_LOAD_MINUTES").map_or(10, |text| text.parse::<u64>().unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(load(Duration::from_secs(60 * minutes)));
}

struct Load {
    place: Place,
    port: u16,
}

impl Load {
    async fn new() -> Self {
        Self { place: Place::new().await, port: free_port() }
    }

    /// The program; Slack refuses every connection.
    fn serve(&self, mirror: &str) -> Child {
        let mut command = self.place.serve(&self.place.path(mirror), self.port);
        command.env("VORHOELLE_SLACK_WEBHOOK_URL", "http://127.0.0.1:9/services/T0/B0/x");
        command.env("VORHOELLE_LOG", "error").spawn().unwrap()
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}

async fn load(how_long: Duration) {
    let load = Load::new().await;
    load.place.stage_like_the_first(ISSUES).await;
    let mut child = load.serve("mirror.sqlite");
    until_200(load.port, "/readyz");
    let project = load.place.sandbox.project_id();
    let end = Instant::now() + how_long;
    let senders = (0..CONNECTIONS).map(|first| tokio::spawn(send(load.port, project, u64::from(first), end)));
    let senders: Vec<_> = senders.collect();
    let (mut decisions, mut early, mut peak) = (0u64, 0.0f64, 0.0f64);
    while Instant::now() < end {
        decide(&load, decisions).await;
        decisions += 1;
        load.place.sandbox.clear_calls();
        let memory = resident_mebibytes(child.id());
        peak = peak.max(memory);
        if decisions == 120 {
            early = memory;
        }
    }
    let late = resident_mebibytes(child.id());
    let mut times = Vec::new();
    for sender in senders {
        times.extend(sender.await.unwrap());
    }
    let started = Instant::now();
    while backlog(&load).await > 0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let drained = started.elapsed();
    times.sort_unstable();
    let at = |share: usize| Duration::from_micros(u64::from(times[(times.len() - 1) * share / 1000]));
    println!(
        "{} deliveries in {how_long:.0?}, {:.0} a second: answered p50 {:.2?}, p99 {:.2?}, p99.9 {:.2?}; {decisions} decisions beside them",
        times.len(),
        times.len() as f64 / how_long.as_secs_f64(),
        at(500),
        at(990),
        at(999)
    );
    println!(
        "memory: {early:.1} MiB after a minute, {late:.1} MiB at the end, {peak:.1} MiB at the most; the backlog was gone after {drained:.2?}"
    );
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
    let iid = 1 + number % ISSUES;
    if number.is_multiple_of(2) {
        let _ = load.place.sandbox.as_user("reviewer").relabel(
            iid,
            &["job-match/approved"],
            &["job-match/pending"],
        );
    } else {
        let client = reqwest::Client::builder().tls_certs_only([]).build().unwrap();
        let request = client.patch(load.url(&format!("/api/v1/matches/{iid}"))).bearer_auth(API_TOKEN);
        let _ = request.json(&json!({"state": "approved"})).send().await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
}

async fn backlog(load: &Load) -> u64 {
    let client = reqwest::Client::builder().tls_certs_only([]).build().unwrap();
    let health: serde_json::Value =
        client.get(load.url("/health")).send().await.unwrap().json().await.unwrap();
    health["backlog"].as_u64().unwrap()
}

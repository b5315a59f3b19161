//! Staging 500 matches by 16 clients against a GitLab that answers after 50 ms, side by side with what the latency alone
//! allows; what a rebuild of the mirror costs; how the program itself fares with ten thousand matches.
//!
//! `cargo bench --bench staging` prints ratios; `benches/README.md` keeps them.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measurement"
)]

use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use vorhoelle::app::{self, Parts};
use vorhoelle::clock::Clock;
use vorhoelle::config::{Environment, Settings};
use vorhoelle::gitlab::Patience;
use vorhoelle::sandbox::{Fault, Options, Sandbox, Trouble};
use vorhoelle::web;

const MATCHES: usize = 500;
const CLIENTS: usize = 16;
const LATENCY: Duration = Duration::from_millis(50);

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(measure());
}

async fn measure() {
    let sandbox = Sandbox::start(Options::default()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let Parts { engine, router, .. } = assemble(&sandbox, &folder.path().join("mirror.sqlite"));
    engine.delta().await.unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/api/v1/matches", listener.local_addr().unwrap());
    tokio::spawn(web::server::serve(listener, router, Default::default(), Clock::System));
    let client = reqwest::Client::builder().tls_certs_only([]).build().unwrap();
    stage(&client, &url, 1_000_000, CLIENTS).await;

    sandbox.fault(Fault::any("/issues", Trouble::slow(LATENCY)).times(u32::MAX));
    let started = Instant::now();
    stage(&client, &url, 0, MATCHES).await;
    let took = started.elapsed();
    let allowed = LATENCY * u32::try_from(MATCHES.div_ceil(CLIENTS)).unwrap();
    println!(
        "staging {MATCHES} matches, {CLIENTS} clients, {LATENCY:?} a call: {took:.2?}; the latency alone allows {allowed:.2?}; ratio {:.2}",
        allowed.as_secs_f64() / took.as_secs_f64()
    );

    sandbox.clear_faults();
    for start in (2_000_000..2_009_500).step_by(500) {
        stage(&client, &url, start, 500).await;
    }
    sandbox.clear_calls();
    let fresh = assemble(&sandbox, &folder.path().join("fresh.sqlite")).engine;
    let started = Instant::now();
    fresh.delta().await.unwrap();
    let calls = sandbox.calls().iter().filter(|call| call.route == "/projects/:id/issues").count();
    let count = fresh.mirror().counts().unwrap().pending;
    println!("reading {count} matches anew: {:.2?}, {calls} list calls", started.elapsed());
    program(&sandbox, &folder.path().join("program.sqlite")).await;
}

/// The program itself with that many matches: its memory once it has read them, and how soon it lives with a warm mirror.
async fn program(sandbox: &Sandbox, mirror: &std::path::Path) {
    let client = reqwest::Client::builder().tls_certs_only([]).build().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for mirror_is in ["new", "warm"] {
        let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_vorhoelle"))
            .arg("serve")
            .env_clear()
            .env("VORHOELLE_GITLAB_URL", sandbox.url())
            .env("VORHOELLE_GITLAB_TOKEN", sandbox.token("bot"))
            .env("VORHOELLE_GITLAB_PROJECT", sandbox.project())
            .env("VORHOELLE_WEBHOOK_SECRET", "bench-secret")
            .env("VORHOELLE_DATABASE", mirror)
            .env("VORHOELLE_LISTEN", format!("127.0.0.1:{port}"))
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let started = Instant::now();
        until_200(&client, &format!("http://127.0.0.1:{port}/livez")).await;
        let lives = started.elapsed();
        until_200(&client, &format!("http://127.0.0.1:{port}/readyz")).await;
        let ready = started.elapsed();
        let memory = resident_mebibytes(child.id());
        println!(
            "the program, mirror {mirror_is}: lives after {lives:.1?}, ready after {ready:.1?}, {memory} MiB resident"
        );
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

async fn until_200(client: &reqwest::Client, url: &str) {
    while !client.get(url).send().await.is_ok_and(|answer| answer.status() == reqwest::StatusCode::OK) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn stage(client: &reqwest::Client, url: &str, first: usize, count: usize) {
    stream::iter(first..first + count)
        .for_each_concurrent(CLIENTS, |number| async move {
            let answer = client.post(url).bearer_auth("bench-token").json(&job(number)).send().await.unwrap();
            assert_eq!(answer.status(), reqwest::StatusCode::CREATED);
        })
        .await;
}

fn job(number: usize) -> Value {
    json!({
        "title": format!("Engineer {number}"), "company": "Example", "score": 80, "source": "bench",
        "external_id": number.to_string(), "location": "Wien", "description": "An advertisement.\n".repeat(20),
    })
}

fn assemble(sandbox: &Sandbox, mirror: &std::path::Path) -> Parts {
    let mut environment = Environment::default();
    environment.set("GITLAB_URL", sandbox.url());
    environment.set("GITLAB_TOKEN", sandbox.token("bot"));
    environment.set("GITLAB_PROJECT", sandbox.project());
    environment.set("WEBHOOK_SECRET", "bench-secret");
    environment.set("API_TOKENS", "bench:bench-token");
    environment.set("DATABASE", mirror.to_string_lossy());
    let settings = Settings::load(None, &environment).unwrap();
    // The throttle that keeps below GitLab.com's limit would be all that is measured.
    let patience = Patience { creations_a_minute: usize::MAX, ..Patience::default() };
    app::assemble(settings, Clock::System, patience).unwrap()
}

fn resident_mebibytes(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) / 1024
}

//! Staging 500 matches by 16 clients against a GitLab that answers after 50 ms, side by side with what the latency alone
//! allows; what a rebuild of the mirror costs; how the program itself fares with ten thousand matches.
//!
//! `cargo bench --bench staging` prints figures and fails where one is not as asked for; `benches/README.md` keeps them.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measurement"
)]

mod support;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use vorhoelle::app::Parts;
use vorhoelle::clock::Clock;
use vorhoelle::gitlab::Patience;
use vorhoelle::sandbox::{Fault, Trouble};
use vorhoelle::web;

use support::figures::{self, Asked, figure};
use support::place::{API_TOKEN, Place, free_port};
use support::{median, resident_mebibytes, until_200};

const MATCHES: usize = 500;
const ROUNDS: usize = 3;
/// How many matches there are in the end.
const MANY: usize = 10_016;
/// A page holds a hundred issues.
const LIST_CALLS: f64 = 101.0;
const CLIENTS: usize = 16;
const LATENCY: Duration = Duration::from_millis(50);

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(measure());
    figures::end()
}

async fn measure() {
    let place = Place::new().await;
    let sandbox = &place.sandbox;
    // The throttle that keeps below GitLab.com's limit would be all that is measured.
    let patience = || Patience { creations_a_minute: usize::MAX, ..Patience::default() };
    let Parts { engine, router, .. } = place.assemble(&place.path("mirror.sqlite"), patience());
    engine.delta().await.unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/api/v1/matches", listener.local_addr().unwrap());
    tokio::spawn(web::server::serve(listener, router, Default::default(), Clock::System));
    let client = reqwest::Client::builder().tls_certs_only([]).build().unwrap();
    stage(&client, &url, 1_000_000, CLIENTS).await;

    sandbox.fault(Fault::any("/issues", Trouble::slow(LATENCY)).times(u32::MAX));
    let allowed = LATENCY * u32::try_from(MATCHES.div_ceil(CLIENTS)).unwrap();
    let mut shares = Vec::new();
    for round in 0..ROUNDS {
        let started = Instant::now();
        stage(&client, &url, round * MATCHES, MATCHES).await;
        let took = started.elapsed();
        println!("  {MATCHES} matches in {took:.2?}; the latency alone allows {allowed:.2?}");
        shares.push(allowed.as_secs_f64() / took.as_secs_f64());
    }
    figure(
        &format!(
            "staging {MATCHES} matches by {CLIENTS} clients, GitLab answers after {LATENCY:?}, as a share of what the \
             latency alone allows, median of {ROUNDS}"
        ),
        Asked::AtLeast(0.9),
        median(&mut shares),
        "",
    );

    sandbox.clear_faults();
    let staged = CLIENTS + ROUNDS * MATCHES;
    for start in (staged..MANY).step_by(MATCHES) {
        stage(&client, &url, 2_000_000 + start, MATCHES.min(MANY - start)).await;
    }
    sandbox.clear_calls();
    let fresh = place.assemble(&place.path("fresh.sqlite"), patience()).engine;
    let started = Instant::now();
    fresh.delta().await.unwrap();
    let calls = sandbox.calls().iter().filter(|call| call.route == "/projects/:id/issues").count();
    let count = fresh.mirror().counts().unwrap().pending;
    println!("reading {count} matches anew: {:.2?}", started.elapsed());
    assert_eq!(usize::try_from(count).unwrap(), MANY);
    figure(&format!("list calls to read {MANY} matches anew"), Asked::AtMost(LIST_CALLS), calls as f64, "");
    program(&place);
}

/// The program itself with that many matches: its memory once it has read them, and how soon it lives with a warm mirror.
fn program(place: &Place) {
    let port = free_port();
    for mirror_is in ["new", "warm"] {
        let mut child = place.serve(&place.path("program.sqlite"), port).spawn().unwrap();
        let started = Instant::now();
        until_200(port, "/livez");
        let lives = started.elapsed();
        until_200(port, "/readyz");
        let ready = started.elapsed();
        let memory = resident_mebibytes(child.id());
        println!("the program, mirror {mirror_is}: lives after {lives:.1?}, ready after {ready:.1?}");
        let what = format!("resident memory with {MANY} matches, mirror {mirror_is}");
        figure(&what, Asked::AtMost(60.0), memory, "MiB");
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

async fn stage(client: &reqwest::Client, url: &str, first: usize, count: usize) {
    stream::iter(first..first + count)
        .for_each_concurrent(CLIENTS, |number| async move {
            let answer = client.post(url).bearer_auth(API_TOKEN).json(&job(number)).send().await.unwrap();
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

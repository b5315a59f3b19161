//! What it costs to read many issues: a first read, as after a lost disk; `mirror rebuild`; and the read every few minutes
//! that finds what a lost webhook would have told. 50,000 issues; `VORHOELLE_READING_ISSUES=10016` makes it fewer.
//!
//! `cargo bench --bench reading` prints figures and fails where one is not as asked for; `benches/README.md` keeps them.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measurement"
)]

mod support;

use std::path::Path;
use std::process::{Child, ExitCode};
use std::time::{Duration, Instant};

use serde_json::Value;

use support::figures::{self, Asked, figure};
use support::place::{API_TOKEN, Place, client, free_port};
use support::{median, peak_mebibytes, processor_seconds, resident_mebibytes, until_200};

/// One of so many was approved by a person, as GitLab's label events tell.
const DECIDED: usize = 100;
/// One of so many has a comment beside.
const DISCUSSED: usize = 1_000;
/// Label changes whose webhook got lost.
const LOST: u64 = 7;
/// One that is not followed by then never will be.
const FOLLOWED_WITHIN: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> ExitCode {
    let many = std::env::var("VORHOELLE_READING_ISSUES").map_or(50_000, |text| text.parse().unwrap());
    let place = Place::new().await;
    place.stage_like_the_first(many).await;
    decide(&place, many);
    let mirror = place.path("mirror.sqlite");
    println!("{many} issues, one of {DECIDED} decided in GitLab, one of {DISCUSSED} with a comment");
    first_read(&place, &mirror, many).await;
    rebuild(&place, &mirror, many).await;
    delta_read(&place, &mirror, many).await;
    figures::end()
}

/// What people did, before anybody read it.
fn decide(place: &Place, many: u64) {
    for iid in (1..=many).step_by(DECIDED) {
        let reviewer = place.sandbox.as_user("reviewer");
        reviewer.relabel(iid, &["job-match/approved"], &["job-match/pending"]).unwrap();
    }
    for iid in (1..=many).step_by(DISCUSSED) {
        place.sandbox.as_user("reviewer").comment(iid, "What of this one?").unwrap();
    }
}

async fn first_read(place: &Place, mirror: &Path, many: u64) {
    place.sandbox.clear_calls();
    let (started, port) = (Instant::now(), free_port());
    let mut child = serve(place, mirror, port);
    until_200(port, "/readyz");
    let ready = started.elapsed();
    // Until it has read who decided what, it does not tell of decisions.
    until_200(port, "/api/v1/decisions");
    println!(
        "first read: ready after {ready:.1?}, everything known after {:.1?}, {:.1} s of a processor; {}; {}",
        started.elapsed(),
        processor_seconds(child.id()),
        calls(place),
        memory(&child)
    );
    calls_are_few(place, "a first read", many);
    // What the read needed goes back to the system within moments.
    tokio::time::sleep(Duration::from_secs(2)).await;
    println!("  two seconds later: {}", memory(&child));
    end(&mut child);
}

async fn rebuild(place: &Place, mirror: &Path, many: u64) {
    place.sandbox.clear_calls();
    let started = Instant::now();
    let mut child = place.program(&["mirror", "rebuild"], mirror).spawn().unwrap();
    let (mut peak, mut busy) = (0.0f64, 0.0f64);
    let status = loop {
        peak = peak.max(peak_mebibytes(child.id()));
        busy = busy.max(processor_seconds(child.id()));
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert!(status.success(), "{status}");
    println!(
        "mirror rebuild: {:.1?}, {busy:.1} s of a processor; {}; {peak:.1} MiB at the most",
        started.elapsed(),
        calls(place)
    );
    calls_are_few(place, "mirror rebuild", many);
}

/// No webhook is set up: what people do is told by nobody.
async fn delta_read(place: &Place, mirror: &Path, many: u64) {
    let port = free_port();
    let mut child = serve(place, mirror, port);
    until_200(port, "/readyz");
    until_200(port, "/api/v1/decisions");
    let url = |path: &str| format!("http://127.0.0.1:{port}/api/v1/{path}");
    let (http, mut times) = (client(), Vec::new());
    for number in 0..LOST {
        // Everywhere in the project, and none that is approved already.
        let iid = 2 + number * (many - 2) / LOST / DECIDED as u64 * DECIDED as u64;
        place.sandbox.as_user("reviewer").relabel(iid, &["job-match/approved"], &[]).unwrap();
        place.sandbox.clear_calls();
        let started = Instant::now();
        let tick = http.post(url("tick")).bearer_auth(API_TOKEN).send().await.unwrap();
        assert_eq!(tick.status(), reqwest::StatusCode::OK);
        loop {
            let answer =
                http.get(url(&format!("matches/{iid}"))).bearer_auth(API_TOKEN).send().await.unwrap();
            let answer: Value = answer.json().await.unwrap();
            if answer["state"] == "approved" {
                break;
            }
            assert!(started.elapsed() < FOLLOWED_WITHIN, "#{iid} is not followed: {answer}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        times.push(started.elapsed().as_secs_f64() * 1000.0);
    }
    println!(
        "delta read: from the tick until the mirror follows a label whose webhook got lost {:.0} ms, median of {LOST}; the last: {}; {}",
        median(&mut times),
        calls(place),
        memory(&child)
    );
    end(&mut child);
}

/// The program, as quiet as it gets: no channel is set up.
fn serve(place: &Place, mirror: &Path, port: u16) -> Child {
    place.serve(mirror, port).env("VORHOELLE_LOG", "error").spawn().unwrap()
}

fn end(child: &mut Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// What GitLab was asked since the last time.
fn calls(place: &Place) -> String {
    let [lists, single, events, comments] = asked(place);
    format!(
        "{} calls: {lists} lists of issues, {single} single issues, {events} of label events, {comments} of comments",
        place.sandbox.calls().len(),
    )
}

/// How often GitLab was asked for lists of issues, for one, for label events and for comments.
fn asked(place: &Place) -> [usize; 4] {
    let calls = place.sandbox.calls();
    ["/projects/:id/issues", "/issues/:iid", "/resource_label_events", "/notes"]
        .map(|route| calls.iter().filter(|call| call.route.ends_with(route)).count())
}

/// A page holds a hundred issues; label events are read of those that were decided, comments of those that have any.
fn calls_are_few(place: &Place, reading: &str, many: u64) {
    let [lists, _, events, comments] = asked(place);
    for (what, most, found) in [
        ("list calls", many.div_ceil(100), lists),
        ("reads of label events", many.div_ceil(DECIDED as u64), events),
        ("reads of comments", many.div_ceil(DISCUSSED as u64), comments),
    ] {
        figure(
            &format!("{what} of {reading} of {many} issues"),
            Asked::AtMost(most as f64),
            found as f64,
            "",
        );
    }
}

fn memory(child: &Child) -> String {
    format!(
        "{:.1} MiB resident, {:.1} at the most",
        resident_mebibytes(child.id()),
        peak_mebibytes(child.id())
    )
}

//! A library from elsewhere, Standard Webhooks for Python, takes the program's own deliveries for genuine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a story that fails, panics")]

#[path = "support/events.rs"]
mod events;
#[path = "support/program.rs"]
mod program;
#[path = "support/python.rs"]
mod python;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use events::{Pipeline, SECRET, Say};
use program::{Setting, job};
use reqwest::StatusCode;
use serde_json::json;
use vorhoelle::sandbox::Options;

#[tokio::test(flavor = "multi_thread")]
async fn the_library_verifies_what_the_program_sends_and_refuses_what_was_changed() {
    let environment = || python::environment("standardwebhooks", "1.1.0");
    let Some(python) = tokio::task::spawn_blocking(environment).await.unwrap() else { return };
    let pipeline = Pipeline::start().await;
    let mut setting = Setting::new(Options::default()).await;
    setting.variables = pipeline
        .variables()
        .into_iter()
        .map(|(name, value)| (format!("VORHOELLE_{name}"), value.to_owned()))
        .collect();
    setting.run(&["setup"]).await;
    let _running = setting.serve().await;
    let mut hostile = job("1");
    hostile["title"] = json!("Größe \u{1F980} \"quoted\" \\ and a\u{a0}blank");
    // What is signed again on a second try is genuine, too.
    pipeline.says([Say::RetryAfter(503, "1".to_owned())]);
    assert_eq!(setting.post(&hostile).await, Some(StatusCode::CREATED));
    setting.until("the pipeline hears of the match", async || pipeline.kinds(1) == ["staged"]).await;
    setting.sandbox.as_user("reviewer").relabel(1, &["job-match/approved"], &[]).unwrap();
    setting.until("the pipeline hears of the approval", async || pipeline.taken().len() == 2).await;

    let deliveries = pipeline.all();
    let lines: String = deliveries
        .iter()
        .map(|one| {
            let headers = json!({
                "webhook-id": one.id, "webhook-timestamp": one.timestamp.to_string(),
                "webhook-signature": one.signature,
            });
            format!("{}\n", json!({"body": one.raw, "headers": headers}))
        })
        .collect();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/standard_webhooks.py");
    let mut command = Command::new(python);
    command.arg(script).arg(SECRET);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut library = command.spawn().unwrap();
    library.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = library.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said.lines().collect::<Vec<_>>(), ["match.staged", "match.staged", "match.approved"]);
}

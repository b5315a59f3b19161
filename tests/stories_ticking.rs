//! Stories: a scheduler that calls `POST /api/v1/tick`, and requests that do what they caused before they are answered.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    dead_code,
    reason = "a story that fails, panics; a part of the receivers is used"
)]

#[path = "support/receivers.rs"]
mod receivers;
#[path = "support/smtp.rs"]
mod smtp;
mod support;

use std::time::Duration;

use http::{Method, StatusCode};
use receivers::{Receiver, Reply, slow_slack};
use serde_json::json;
use smtp::MailServer;
use support::{Difference, TOKEN, World};
use vorhoelle::clock::Clock;
use vorhoelle::sandbox::{Fault, HookMode, Trouble};

const ENGLISH: &str = "language: en\nremind_after: off\nquiet_alarm_after: off\n";

async fn world_with(variables: &[(&'static str, String)]) -> World {
    let kept = |(name, value): &(&'static str, String)| (*name, &*Box::leak(value.clone().into_boxed_str()));
    let variables = variables.iter().map(kept).collect();
    World::with(Difference { variables, file: Some(ENGLISH), ..Difference::default() }).await
}

#[tokio::test]
async fn a_scheduler_that_waits_no_longer_breaks_off_no_message() {
    let (url, has_arrived, let_go) = slow_slack().await;
    let world = world_with(&[("SLACK_WEBHOOK_URL", url)]).await;
    world.stage("1").await;
    let tick = world.http.post(world.url("/api/v1/tick")).bearer_auth(TOKEN).send();
    tokio::select! {
        answer = tick => panic!("{answer:?}"),
        arrived = has_arrived => arrived.unwrap(),
    }
    // The caller is gone; the message is under way.
    let_go.send(()).unwrap();
    let acknowledged = async {
        while world.receipts(1).is_empty() {
            Clock::System.sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), acknowledged).await.expect("the message gets its receipt");
    let (status, answer) = world.call(world.http.post(world.url("/api/v1/tick"))).await;
    assert_eq!((status, answer), (StatusCode::OK, json!({ "backlog": 0 })));
    // Nobody would take it a second time.
    assert_eq!(world.get("/health").await.1["channels"][1]["status"], "ok");
    world.finish().await;
}

#[tokio::test]
async fn what_is_due_by_time_goes_out_although_a_read_failed() {
    let server = MailServer::start(false).await;
    let mail = [
        ("SMTP_URL", format!("smtp://{}", server.address)),
        ("MAIL_FROM", "jobs@example.com".to_owned()),
        ("MAIL_TO", "anna@example.com".to_owned()),
    ];
    let world = world_with(&mail).await;
    world.stage("1").await;
    world.sandbox.fault(Fault::new(Method::GET, "/issues", Trouble::status(503)).times(50));
    let (status, _) = world.call(world.http.post(world.url("/api/v1/tick"))).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    world.sandbox.clear_faults();
    assert_eq!(server.mails().len(), 0, "that it is pending still could not be asked");
    // A list that cannot be read, while single issues can.
    world.clock.advance(Duration::from_secs(120));
    world.sandbox.fault(Fault::new(Method::GET, "updated_after", Trouble::status(503)).times(50));
    let (status, _) = world.call(world.http.post(world.url("/api/v1/tick"))).await;
    assert_eq!((status, server.mails().len()), (StatusCode::SERVICE_UNAVAILABLE, 1));
    world.sandbox.clear_faults();
    world.finish().await;
}

#[tokio::test]
async fn with_idle_request_a_decision_is_told_to_the_pipeline_before_it_is_answered() {
    let receiver = Receiver::start(vec![Reply::text(200, ""); 9]).await;
    let settings = [
        ("IDLE", "request".to_owned()),
        ("EVENTS_URL", receiver.url.clone()),
        ("EVENTS_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned()),
    ];
    let mut world = world_with(&settings).await;
    world.sandbox.hook_mode(HookMode::Lose);
    world.stage("1").await;
    assert_eq!(world.patch(1, &json!({ "state": "approved" })).await.0, StatusCode::OK);
    let kinds: Vec<String> =
        receiver.arrived().iter().map(|one| one.json()["type"].as_str().unwrap().to_owned()).collect();
    assert_eq!(kinds, ["match.staged", "match.approved"]);
    world.expect_comment(1, "approved");
    world.finish().await;
}

#[tokio::test]
async fn a_channel_that_is_switched_off_neither_works_nor_fails() {
    let slack = Receiver::start(vec![Reply::text(500, "no"); 9]).await;
    let world = world_with(&[("SLACK_WEBHOOK_URL", format!("{}/services/T0/B0/x", slack.url))]).await;
    world.stage("1").await;
    world.tell().await;
    let figures = async || world.http.get(world.url("/metrics")).send().await.unwrap().text().await.unwrap();
    assert!(figures().await.contains("vorhoelle_channel_up{channel=\"slack\"} 0"));
    let off = json!({ "channels": { "slack": { "enabled": false } } });
    assert_eq!(world.call(world.http.patch(world.url("/api/v1/config")).json(&off)).await.0, StatusCode::OK);
    assert!(!figures().await.contains("channel=\"slack\"}"), "{}", figures().await);
}

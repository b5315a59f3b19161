//! Stories of Slack, WhatsApp and Gmail as a part of the service: each match once on each, receipts in GitLab, and a
//! channel that fails holds up no other.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    dead_code,
    reason = "a test; a part of the receivers is used"
)]

#[path = "support/receivers.rs"]
mod receivers;
mod support;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use mail_parser::MessageParser;
use receivers::{Receiver, Reply, slack_takes};
use serde_json::json;
use support::{Difference, Disk, World};

const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";

fn kept(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

fn slack_ok() -> Reply {
    Reply::text(200, "ok")
}

fn twilio_ok() -> Reply {
    Reply::json(201, json!({"sid": "SM0123456789abcdef0123456789abcdef", "status": "sent"}))
}

/// A world whose service writes on Slack and WhatsApp.
async fn chatting(slack: &Receiver, twilio: &Receiver) -> World {
    let variables = vec![
        ("SLACK_WEBHOOK_URL", kept(format!("{}/services/T0/B0/x", slack.url))),
        ("TWILIO_ACCOUNT_SID", ACCOUNT),
        ("TWILIO_AUTH_TOKEN", "secretpart"),
        ("TWILIO_FROM", "whatsapp:+14155238886"),
        ("TWILIO_TO", "+43 1 5550123"),
        ("TWILIO_API_URL", kept(twilio.url.clone())),
    ];
    World::with(Difference { variables, file: Some("language: en\n"), ..Difference::default() }).await
}

#[tokio::test]
async fn a_match_is_told_once_on_each_channel_and_a_lost_disk_repeats_nothing() {
    let (slack, twilio) = (Receiver::start(vec![slack_ok()]).await, Receiver::start(vec![twilio_ok()]).await);
    let mut world = chatting(&slack, &twilio).await;
    world.stage("1").await;
    world.tell().await;
    assert_eq!(world.receipts(1), ["calling", "speech_balloon"]);
    let texts = slack_takes(&slack.only().json());
    assert!(texts.iter().any(|text| text.contains("Cloud Architect 1")), "{texts:?}");
    let message = twilio.only();
    assert_eq!(message.target, format!("/2010-04-01/Accounts/{ACCOUNT}/Messages.json"));
    assert_eq!(message.form()["To"], "whatsapp:+4315550123");
    assert!(message.form()["Body"].contains("Cloud Architect 1"));
    world.restart(Disk::Wiped).await;
    world.tell_after(60).await;
    assert_eq!((slack.arrived().len(), twilio.arrived().len()), (1, 1));
    world.finish().await;
}

#[tokio::test]
async fn a_channel_that_fails_holds_up_no_other_and_loses_nothing() {
    let busy = Reply::text(429, "rate_limited").and_header("retry-after", "1800");
    let slack = Receiver::start(vec![busy, slack_ok(), slack_ok()]).await;
    let twilio = Receiver::start(vec![twilio_ok(), twilio_ok()]).await;
    let mut world = chatting(&slack, &twilio).await;
    world.stage("1").await;
    world.tell().await;
    world.stage("2").await;
    world.tell_after(1).await;
    assert_eq!((slack.arrived().len(), twilio.arrived().len()), (1, 2), "Slack asked for half an hour");
    assert_eq!((world.receipts(1), world.receipts(2)), (vec!["calling".into()], vec!["calling".into()]));
    world.tell_after(30).await;
    assert!(world.receipts(1).contains(&"speech_balloon".to_owned()));
    assert!(world.receipts(2).contains(&"speech_balloon".to_owned()));
    assert!(slack.arrived().len() <= 3);
    world.expect_comment(3, "when it last sent a digest");
    world.finish().await;
}

#[tokio::test]
async fn a_webhook_that_was_removed_is_given_up_and_said() {
    let slack = Receiver::start(vec![Reply::text(404, "no_service"); 9]).await;
    let twilio = Receiver::start(vec![twilio_ok()]).await;
    let mut world = chatting(&slack, &twilio).await;
    world.stage("1").await;
    world.tell().await;
    world.expect_comment(1, "A message by slack did not arrive");
    let (_, health) = world.get("/health").await;
    let channels = health["channels"].to_string();
    assert!(channels.contains("given_up") && channels.contains("VORHOELLE_SLACK_WEBHOOK_URL"), "{health}");
    assert_eq!(world.receipts(1), ["calling"]);
    let request = world.http.post(world.url("/api/v1/notify/test")).json(&json!({"channels": ["slack"]}));
    let (_, answer) = world.call(request).await;
    assert_eq!(answer["results"][0]["outcome"], "failed");
    assert!(answer["results"][0]["reason"].as_str().unwrap().contains("no_service"), "{answer}");
    world.finish().await;
}

#[tokio::test]
async fn a_reminder_through_gmail_stands_below_the_mail_as_gmail_called_it() {
    let token = json!({"access_token": "accesspart", "expires_in": 3599, "token_type": "Bearer"});
    let tokens = Receiver::start(vec![Reply::json(200, token); 3]).await;
    let sent = || Reply::json(200, json!({"id": "18f0c", "threadId": "18f0c"}));
    let headers = json!([{"name": "Message-Id", "value": "<CAB+1@mail.gmail.com>"}]);
    let read = || Reply::json(200, json!({"id": "18f0c", "payload": {"headers": headers}}));
    let gmail = Receiver::start(vec![sent(), read(), sent(), read()]).await;
    let variables = vec![
        ("GMAIL_CLIENT_ID", "id.apps.googleusercontent.com"),
        ("GMAIL_CLIENT_SECRET", "secretpart"),
        ("GMAIL_REFRESH_TOKEN", "refreshpart"),
        ("GMAIL_API_URL", kept(gmail.url.clone())),
        ("GMAIL_TOKEN_URL", kept(format!("{}/token", tokens.url))),
        ("MAIL_FROM", "jobs@example.com"),
        ("MAIL_TO", "anna@example.com"),
    ];
    let mut world =
        World::with(Difference { variables, file: Some("language: en\n"), ..Difference::default() }).await;
    world.stage("1").await;
    world.tell().await;
    assert_eq!(world.receipts(1), ["e-mail"]);
    world.tell_after(2 * 24 * 60).await;
    let calls = gmail.arrived();
    assert_eq!(calls.len(), 4, "{calls:#?}");
    let mail = URL_SAFE.decode(calls[2].json()["raw"].as_str().unwrap()).unwrap();
    let parsed = MessageParser::default().parse(&mail).unwrap();
    assert_eq!(parsed.in_reply_to().as_text(), Some("CAB+1@mail.gmail.com"));
    world.expect_comment(2, "when it last sent a digest");
    world.finish().await;
}

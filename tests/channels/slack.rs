use std::time::Duration;

use proptest::prelude::*;
use secrecy::SecretString;
use serde_json::json;
use vorhoelle::channels::Outcome;
use vorhoelle::channels::slack::{Slack, SlackMessage};
use vorhoelle::domain::{JobMatch, Language};
use vorhoelle::notify::{NoticeKind, render};
use vorhoelle::templates::Templates;

use crate::notices::{
    LANGUAGES, about, assert_inert, demo, each_kind, hostile, notice, with_links, without_our_links,
};
use crate::receivers::{Receiver, Reply, nobody, slack_takes};

fn templates() -> Templates {
    Templates::load(None).unwrap()
}

fn message() -> SlackMessage {
    let notice = notice(NoticeKind::Match, Language::De, demo()[..1].to_vec());
    render::slack(&templates(), &notice).unwrap()
}

fn slack(url: &str) -> Slack {
    Slack::new(SecretString::from(format!("{url}/services/T0/B0/secretpart"))).unwrap()
}

/// Sends to a receiver that answers so.
async fn sent_to(reply: Reply) -> Outcome {
    let receiver = Receiver::start([reply]).await;
    let outcome = slack(&receiver.url).send(&message()).await;
    slack_takes(&receiver.only().json());
    assert!(!format!("{outcome:?}").contains("secretpart"), "{outcome:?}");
    outcome
}

#[test]
fn what_people_read() {
    let templates = templates();
    for (language, name) in LANGUAGES {
        let mut all = String::new();
        for (kind, notice) in each_kind(language) {
            let message = json!(render::slack(&templates, &notice).unwrap());
            slack_takes(&message);
            all.push_str(&format!("## {kind}\n\n{}\n", readable(&message)));
        }
        insta::assert_snapshot!(format!("slack_{name}"), all);
    }
}

#[test]
fn a_whole_message_as_json() {
    insta::assert_json_snapshot!("slack_json", message());
}

/// One line a block: the texts with their types, buttons with their addresses.
fn readable(message: &serde_json::Value) -> String {
    let mut lines = vec![format!("fallback: {}", message["text"].as_str().unwrap())];
    for block in message["blocks"].as_array().unwrap() {
        let kind = block["type"].as_str().unwrap();
        if let Some(text) = block["text"]["text"].as_str() {
            lines.push(format!("{kind}: {text}"));
        }
        let parts = block["fields"].as_array().or_else(|| block["elements"].as_array());
        for part in parts.into_iter().flatten() {
            let text = part["text"]["text"].as_str().or_else(|| part["text"].as_str()).unwrap();
            let url = part["url"].as_str().map(|url| format!(" -> {url}")).unwrap_or_default();
            lines.push(format!("  {kind}: {}{url}", text.replace('\n', " | ")));
        }
    }
    lines.join("\n") + "\n"
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_match_breaks_a_limit_or_gets_a_word_in(notice in hostile()) {
        let message = json!(render::slack(&templates(), &notice).unwrap());
        for text in slack_takes(&message) {
            let foreign = without_our_links(&text);
            prop_assert!(!foreign.contains(['<', '>']), "{foreign}");
            assert_inert(&foreign);
        }
        let blocks = message["blocks"].to_string();
        prop_assert!(blocks.contains("gitlab.example/acme/jobs/-/issues"), "a link to GitLab");
    }
}

#[test]
fn more_than_fit_are_counted() {
    let many: Vec<_> = demo().into_iter().cycle().take(23).collect();
    let message =
        json!(render::slack(&templates(), &notice(NoticeKind::Digest, Language::En, many)).unwrap());
    assert!(message["blocks"].to_string().contains("And 3 more. <https://gitlab.example"), "{message:#}");
}

#[test]
fn long_matches_leave_room_for_a_few() {
    let long = JobMatch { company: Some("株式".repeat(40)), ..JobMatch::titled("漢".repeat(255)) };
    let many = (1..=20).map(|iid| with_links(about(long.clone(), iid))).collect();
    let message =
        json!(render::slack(&templates(), &notice(NoticeKind::Digest, Language::De, many)).unwrap());
    slack_takes(&message);
    let blocks = message["blocks"].to_string();
    let shown = blocks.matches("Annehmen …").count();
    assert!((5..20).contains(&shown), "{shown}");
    assert!(blocks.contains(&format!("Und {} weitere. ", 20 - shown)), "{blocks}");
}

#[test]
fn a_changed_template_that_slack_would_refuse_is_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("slack")).unwrap();
    let path = folder.path().join("slack/notice.en.json");
    for (template, expected) in [
        (
            r#"{"text": "x", "blocks": []}"#,
            "slack/notice.en.json makes a message that would be refused: blocks is empty",
        ),
        (
            r#"{"text": {{ kind }}, "blocks": [{"type": "header"}]}"#,
            "block 1: a text of type ``; use plain_text",
        ),
        (r#"{"text": "x", "blocks": [{"type": "image"}]}"#, "block 1: a block of type `image`"),
        (r#"{"text": "x""#, "slack/notice.en.json makes no usable JSON"),
        ("{{ nothing }}", "slack/notice.en.json line 1"),
    ] {
        std::fs::write(&path, template).unwrap();
        let templates = Templates::load(Some(folder.path())).unwrap();
        let error = render::slack(&templates, &notice(NoticeKind::Test, Language::En, vec![])).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[tokio::test]
async fn a_message_arrives_whole() {
    let receiver = Receiver::start([Reply::text(200, "ok")]).await;
    let outcome = slack(&receiver.url).send(&message()).await;
    assert_eq!(outcome, Outcome::Sent { id: None });
    let arrived = receiver.only();
    assert_eq!((arrived.method.as_str(), arrived.target.as_str()), ("POST", "/services/T0/B0/secretpart"));
    let message = arrived.json();
    assert_eq!((&message["unfurl_links"], &message["unfurl_media"]), (&json!(false), &json!(false)));
    slack_takes(&message);
}

#[tokio::test]
async fn what_passes_is_tried_again() {
    let slow_down = sent_to(Reply::text(429, "rate_limited").and_header("retry-after", "30")).await;
    let reason = "Slack asks to slow down (429)".to_owned();
    assert_eq!(slow_down, Outcome::TryAgain { after: Some(Duration::from_secs(30)), reason, unclear: false });
    for (reply, is_unclear) in [
        (Reply::text(429, ""), false),
        (Reply::text(429, "").and_header("retry-after", "soon"), false),
        (Reply::text(500, "rollup_error"), true),
        (Reply::text(503, "<html>"), true),
        (Reply::Drop, true),
        (Reply::Torn(200), true),
        (Reply::text(200, "<html>Please log in to the hotel's network</html>"), true),
    ] {
        let outcome = sent_to(reply.clone()).await;
        assert!(
            matches!(&outcome, Outcome::TryAgain { after: None, unclear, .. } if *unclear == is_unclear),
            "{reply:?} {outcome:?}"
        );
    }
    let outcome = slack(&nobody().await).send(&message()).await;
    assert!(matches!(&outcome, Outcome::TryAgain { unclear: false, .. }), "{outcome:?}");
    assert!(format!("{outcome:?}").contains("Slack cannot be reached: "), "{outcome:?}");
    assert!(!format!("{outcome:?}").contains("secretpart"), "{outcome:?}");
}

#[tokio::test]
async fn what_lasts_is_given_up_with_what_to_do() {
    for (status, body, expected) in [
        (404, "no_service", "Slack refuses (404 no_service): the webhook was removed or switched off"),
        (
            403,
            "invalid_token",
            "make a new incoming webhook in Slack and put its address into VORHOELLE_SLACK_WEBHOOK_URL",
        ),
        (404, "channel_not_found", "the channel of the webhook is gone"),
        (410, "channel_is_archived", "unarchive it, or make a new incoming webhook"),
        (400, "invalid_payload", "if templates/slack was changed, go back to the original"),
        (400, "no_text", "the message is not what Slack takes"),
        (403, "action_prohibited", "an administrator of the workspace does not let the webhook write"),
        (404, "", "Slack refuses (404): there is no such webhook any more"),
        (410, "gone", "there is no such webhook any more"),
        (403, "x", "the webhook is not allowed to write"),
        (302, "", "the address leads elsewhere"),
        (418, "a teapot\nwith \u{1b}[31m two lines", "Slack refuses (418 a teapot with [31m two lines)"),
    ] {
        let outcome = sent_to(Reply::text(status, body).and_header("location", "http://127.0.0.1:9/")).await;
        let Outcome::GiveUp { reason } = outcome else { panic!("{status} {body}: {outcome:?}") };
        assert!(reason.contains(expected), "{reason}");
    }
}

#[tokio::test]
async fn a_refusal_without_its_words_is_one_all_the_same() {
    assert!(matches!(sent_to(Reply::Torn(410)).await, Outcome::GiveUp { .. }));
}

#[test]
fn the_address_is_a_secret() {
    let slack = slack("https://hooks.slack.example");
    assert!(!format!("{slack:?}").contains("secretpart"), "{slack:?}");
    let error = Slack::new(SecretString::from("hooks.slack.example/secretpart")).unwrap_err();
    assert_eq!(format!("{error:#}"), "VORHOELLE_SLACK_WEBHOOK_URL: must be an http:// or https:// address");
}

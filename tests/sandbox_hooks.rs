//! Webhooks: headers, signatures, payloads, what fires what, modes, and hooks that are switched off.
#![allow(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

#[path = "sandbox/support.rs"]
mod support;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use support::{Client, Receiver, client, stepped};
use vorhoelle::sandbox::{HookMode, IssueType, Options, Sandbox};

const KEY: [u8; 32] = [7; 32];

fn signing_token() -> String {
    format!("whsec_{}", BASE64.encode(KEY))
}

async fn hook(maintainer: &Client, receiver: &Receiver) -> u64 {
    let body = json!({
        "url": receiver.url, "push_events": false, "issues_events": true, "confidential_issues_events": true,
        "note_events": true, "emoji_events": true, "token": "s3cret", "signing_token": signing_token(),
    });
    let (status, hook) = maintainer.post("hooks", body).await;
    assert_eq!(status, 201, "{hook}");
    hook["id"].as_u64().unwrap()
}

#[tokio::test]
async fn a_delivery_carries_gitlabs_headers_and_signature() {
    let (sandbox, _) = stepped().await;
    let mut receiver = Receiver::start().await;
    hook(&client(&sandbox, "reviewer"), &receiver).await;
    let bot = client(&sandbox, "bot");
    let iid = bot.issue(json!({"title": "t", "labels": "b,a"})).await;
    let arrived = receiver.all(&sandbox).await;
    let [open] = arrived.as_slice() else { panic!("{arrived:?}") };
    assert_eq!(open.header("content-type"), "application/json");
    assert_eq!(open.header("user-agent"), "GitLab/19.4.1");
    assert_eq!(open.header("x-gitlab-event"), "Issue Hook");
    assert_eq!(open.header("x-gitlab-instance"), sandbox.url());
    assert_eq!(open.header("x-gitlab-token"), "s3cret");
    assert_eq!(open.header("webhook-id"), open.header("idempotency-key"));
    assert_eq!(open.header("webhook-timestamp"), "1795420800");
    assert_ne!(open.header("x-gitlab-webhook-uuid"), open.header("x-gitlab-event-uuid"));
    // Computed here with other means than the sandbox's own function.
    let mut mac = Hmac::<Sha256>::new_from_slice(&KEY).unwrap();
    mac.update(format!("{}.{}.", open.header("webhook-id"), open.header("webhook-timestamp")).as_bytes());
    mac.update(&open.bytes);
    assert_eq!(
        open.header("webhook-signature"),
        format!("v1,{}", BASE64.encode(mac.finalize().into_bytes()))
    );
    assert_eq!(open.body["object_kind"], "issue");
    assert_eq!(open.body["event_type"], "issue");
    assert_eq!(open.action(), "open");
    assert_eq!(open.body["object_attributes"]["iid"], iid);
    assert_eq!(open.labels(), ["a", "b"]);
    assert_eq!(open.body["user"]["username"], "bot");
    assert_eq!(open.body.get("assignees"), None, "absent where nobody is assigned");
}

#[tokio::test]
async fn payloads_have_the_fields_of_the_samples() {
    let (sandbox, clock) = stepped().await;
    let mut receiver = Receiver::start().await;
    hook(&client(&sandbox, "reviewer"), &receiver).await;
    let bot = client(&sandbox, "bot");
    let reviewer = sandbox.world().user_named("reviewer").unwrap().id;
    let iid = bot.issue(json!({"title": "t", "labels": "a", "assignee_ids": [reviewer]})).await;
    let person = sandbox.as_user("reviewer");
    clock.advance(1);
    person.relabel(iid, &["b"], &["a"]).unwrap();
    clock.advance(1);
    person.close(iid).unwrap();
    clock.advance(1);
    person.reopen(iid).unwrap();
    person.comment(iid, "words").unwrap();
    let arrived = receiver.all(&sandbox).await;
    let find = |action: &str, kind: &str| {
        arrived
            .iter()
            .find(|one| one.action() == action && one.body["object_kind"] == kind)
            .unwrap_or_else(|| panic!("{action}"))
    };
    let changed = &find("update", "issue").body["changes"]["labels"];
    assert_eq!(changed["previous"][0]["title"], "a");
    assert_eq!(changed["current"][0]["title"], "b");
    for (sample, action, kind) in [
        ("webhooks/issue_open.derived.json", "open", "issue"),
        ("webhooks/issue_update_labels.derived.json", "update", "issue"),
        ("webhooks/issue_close.derived.json", "close", "issue"),
        ("webhooks/issue_reopen.derived.json", "reopen", "issue"),
        ("webhooks/note_on_issue_event.docs.json", "create", "note"),
    ] {
        let Some(sample) = support::shared_json(sample) else { return };
        let missing = missing(&sample, &find(action, kind).body, "");
        // Fields of the docs' old sample of a note which today's builder does not write any more.
        let old = [".issue.position", ".issue.branch_name"];
        let missing: Vec<_> = missing.into_iter().filter(|path| !old.contains(&path.as_str())).collect();
        assert_eq!(missing, Vec::<String>::new(), "{action} of {kind}");
    }
}

/// Paths that the sample has and the payload has not.
fn missing(sample: &Value, payload: &Value, path: &str) -> Vec<String> {
    match (sample, payload) {
        (Value::Object(sample), Value::Object(payload)) => sample
            .iter()
            .flat_map(|(key, value)| {
                let path = format!("{path}.{key}");
                match payload.get(key) {
                    Some(other) => missing(value, other, &path),
                    None => vec![path],
                }
            })
            .collect(),
        (Value::Array(sample), Value::Array(payload)) => match (sample.first(), payload.first()) {
            (Some(one), Some(other)) => missing(one, other, path),
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

#[tokio::test]
async fn close_and_relabel_are_two_webhooks() {
    let (sandbox, _) = stepped().await;
    let mut receiver = Receiver::start().await;
    hook(&client(&sandbox, "reviewer"), &receiver).await;
    sandbox.hook_mode(HookMode::Hold);
    let bot = client(&sandbox, "bot");
    let iid = bot.issue(json!({"title": "t", "labels": "old"})).await;
    bot.put(
        &format!("issues/{iid}"),
        json!({"state_event": "close", "add_labels": "new", "remove_labels": "old"}),
    )
    .await;
    let held = sandbox.held();
    let actions: Vec<_> = held.iter().map(|one| one.action.as_str()).collect();
    assert_eq!(actions, ["open", "close", "update"]);
    for one in &held {
        assert_eq!(sandbox.deliver_held(one.id).await, Some(200));
    }
    let arrived = receiver.all(&sandbox).await;
    assert_eq!(arrived[1].labels(), ["old"]);
    assert_eq!(arrived[2].labels(), ["new"]);
}

#[tokio::test]
async fn an_update_that_changes_nothing_is_told_as_well() {
    let (sandbox, clock) = stepped().await;
    let mut receiver = Receiver::start().await;
    hook(&client(&sandbox, "reviewer"), &receiver).await;
    let bot = client(&sandbox, "bot");
    let iid = bot.issue(json!({"title": "t"})).await;
    let path = format!("issues/{iid}");
    clock.advance(60);
    let (_, first) = bot.put(&path, json!({"title": "t"})).await;
    clock.advance(60);
    let (_, second) = bot.put(&path, json!({"title": "t"})).await;
    assert_eq!(first["updated_at"], second["updated_at"], "the same editor moves nothing");
    let (_, third) = client(&sandbox, "reviewer").put(&path, json!({"title": "t"})).await;
    assert_ne!(second["updated_at"], third["updated_at"], "another editor does");
    let arrived = receiver.all(&sandbox).await;
    assert_eq!(arrived.len(), 4);
    assert!(arrived.iter().any(|one| one.body["changes"] == json!({})));
}

#[tokio::test]
async fn kinds_of_issues_have_their_own_events_and_flags() {
    let (sandbox, _) = stepped().await;
    let mut receiver = Receiver::start().await;
    let maintainer = client(&sandbox, "reviewer");
    let id = hook(&maintainer, &receiver).await;
    let bot = sandbox.as_user("bot");
    let iid = bot.create_issue("t", "", &[]).unwrap();
    receiver.all(&sandbox).await;
    bot.set_confidential(iid, true).unwrap();
    let arrived = receiver.all(&sandbox).await;
    assert_eq!(arrived[0].header("x-gitlab-event"), "Confidential Issue Hook");
    assert_eq!(arrived[0].body["event_type"], "confidential_issue");
    maintainer.put(&format!("hooks/{id}"), json!({"confidential_issues_events": false})).await;
    bot.relabel(iid, &["x"], &[]).unwrap();
    assert!(receiver.all(&sandbox).await.is_empty());
    bot.set_confidential(iid, false).unwrap();
    bot.set_type(iid, IssueType::Task).unwrap();
    let arrived = receiver.all(&sandbox).await;
    assert!(arrived.iter().any(|one| one.body["object_kind"] == "work_item"));
    bot.react(iid, "eyes").unwrap();
    let arrived = receiver.all(&sandbox).await;
    assert_eq!(arrived[0].header("x-gitlab-event"), "Emoji Hook");
    assert_eq!(arrived[0].body["event_type"], "award");
    // A label that is renamed or deleted, and an issue that is deleted, tell nobody.
    bot.rename_label("x", "y").unwrap();
    bot.delete_label("y").unwrap();
    sandbox.as_user("owner").delete_issue(iid).unwrap();
    assert!(receiver.all(&sandbox).await.is_empty());
}

#[tokio::test]
async fn deliveries_are_held_doubled_lost() {
    let (sandbox, _) = stepped().await;
    let mut receiver = Receiver::start().await;
    hook(&client(&sandbox, "reviewer"), &receiver).await;
    let bot = sandbox.as_user("bot");
    sandbox.hook_mode(HookMode::Lose);
    bot.create_issue("lost", "", &[]).unwrap();
    assert!(receiver.all(&sandbox).await.is_empty());
    sandbox.hook_mode(HookMode::Twice);
    bot.create_issue("twice", "", &[]).unwrap();
    let arrived = receiver.all(&sandbox).await;
    assert_eq!(arrived.len(), 2);
    assert_eq!(arrived[0].header("webhook-id"), arrived[1].header("webhook-id"));
    assert_ne!(arrived[0].header("x-gitlab-webhook-uuid"), arrived[1].header("x-gitlab-webhook-uuid"));
    sandbox.hook_mode(HookMode::Hold);
    for title in ["one", "two", "three"] {
        bot.create_issue(title, "", &[]).unwrap();
    }
    let held = sandbox.held();
    assert_eq!(held.len(), 3);
    assert!(sandbox.drop_held(held[1].id));
    let copy = sandbox.double_held(held[0].id).unwrap();
    for id in [held[2].id, copy, held[0].id] {
        assert_eq!(sandbox.deliver_held(id).await, Some(200));
    }
    let titles: Vec<_> = receiver
        .all(&sandbox)
        .await
        .iter()
        .map(|one| one.body["object_attributes"]["title"].clone())
        .collect();
    assert_eq!(titles, ["three", "one", "one"]);
    assert!(sandbox.held().is_empty());
}

#[tokio::test]
async fn a_failing_hook_is_switched_off_and_revived_by_a_test() {
    let clock = support::Clock::new();
    let options = Options { now: clock.now(), auto_disable: true, ..Options::default() };
    let sandbox = Sandbox::start(options).await.unwrap();
    let mut receiver = Receiver::start().await;
    let maintainer = client(&sandbox, "reviewer");
    let id = hook(&maintainer, &receiver).await;
    let bot = sandbox.as_user("bot");
    let status = async || {
        sandbox.settled().await;
        maintainer.get(&format!("hooks/{id}")).await.1
    };
    receiver.answer(500);
    for failure in 1..=4 {
        assert_eq!(status().await["alert_status"], "executable", "before failure {failure}");
        bot.create_issue("t", "", &[]).unwrap();
    }
    let hook = status().await;
    assert_eq!(hook["alert_status"], "temporarily_disabled");
    assert_eq!(hook["disabled_until"], "2026-11-23T08:01:00.123Z");
    bot.create_issue("discarded", "", &[]).unwrap();
    assert_eq!(receiver.all(&sandbox).await.len(), 4, "while it is off, events are discarded");
    clock.advance(61);
    bot.create_issue("fifth", "", &[]).unwrap();
    assert_eq!(status().await["disabled_until"], "2026-11-23T08:03:01.123Z", "twice as long");
    receiver.answer(200);
    let (tested, _) = maintainer.post(&format!("hooks/{id}/test/issues_events"), Value::Null).await;
    assert_eq!(tested, 201);
    assert_eq!(status().await["alert_status"], "executable");
    receiver.answer(500);
    for _ in 0..40 {
        clock.advance(25 * 60 * 60);
        bot.create_issue("t", "", &[]).unwrap();
        sandbox.settled().await;
    }
    assert_eq!(status().await["alert_status"], "disabled");
}

#[tokio::test]
async fn tests_resends_and_the_log() {
    let (sandbox, _) = stepped().await;
    let mut receiver = Receiver::start().await;
    let maintainer = client(&sandbox, "reviewer");
    let id = hook(&maintainer, &receiver).await;
    let test = format!("hooks/{id}/test/issues_events");
    assert_eq!(maintainer.post(&test, Value::Null).await.0, 422, "without an issue there is no sample");
    sandbox.as_user("bot").create_issue("t", "", &["a"]).unwrap();
    receiver.all(&sandbox).await;
    assert_eq!(maintainer.post(&test, Value::Null).await.0, 201);
    let tested = receiver.all(&sandbox).await;
    assert_eq!((tested[0].action(), tested[0].labels()), ("open", vec!["a"]));
    receiver.answer(404);
    assert_eq!(maintainer.post(&test, Value::Null).await.0, 422);
    let (_, log) = maintainer.get(&format!("hooks/{id}/events")).await;
    assert_eq!(log.as_array().unwrap().len(), 3);
    assert_eq!(log[0]["response_status"], "404");
    assert_eq!(log[0]["request_headers"]["X-Gitlab-Token"], "[REDACTED]");
    assert_eq!(log[2]["request_data"]["object_attributes"]["action"], "open");
    assert_eq!(
        maintainer.get(&format!("hooks/{id}/events?status=client_failure")).await.1.as_array().unwrap().len(),
        1
    );
    assert_eq!(maintainer.get(&format!("hooks/{id}/events?per_page=50")).await.0, 400);
    receiver.all(&sandbox).await;
    receiver.answer(200);
    let resend = format!("hooks/{id}/events/{}/resend", log[2]["id"]);
    assert_eq!(maintainer.post(&resend, Value::Null).await.0, 201);
    let again = receiver.all(&sandbox).await;
    assert_eq!(
        Some(again[0].header("idempotency-key")),
        log[2]["request_headers"]["Idempotency-Key"].as_str()
    );
    maintainer.put(&format!("hooks/{id}"), json!({"url": "http://127.0.0.1:1/"})).await;
    assert_eq!(maintainer.post(&resend, Value::Null).await.0, 422);
    assert_eq!(
        maintainer.get(&format!("hooks/{id}")).await.1["token_present"],
        false,
        "another URL forgets the secret"
    );
}

#[tokio::test]
async fn a_hook_that_is_not_valid_is_refused() {
    let (sandbox, _) = stepped().await;
    let maintainer = client(&sandbox, "reviewer");
    for body in [
        json!({"url": "ftp://x"}),
        json!({"url": "http://x/", "signing_token": "whsec_short"}),
        json!({"url": "http://x/", "custom_headers": [{"key": "a b", "value": "c"}]}),
    ] {
        assert_eq!(maintainer.post("hooks", body.clone()).await.0, 422, "{body}");
    }
    assert_eq!(maintainer.post("hooks", json!({})).await.0, 400);
    let (_, hook) = maintainer.post("hooks", json!({"url": "http://x/"})).await;
    assert_eq!((&hook["push_events"], &hook["issues_events"]), (&json!(true), &json!(false)));
    assert_eq!(client(&sandbox, "bot").get("hooks").await.0, 403);
}

#[tokio::test]
async fn an_older_gitlab_signs_nothing() {
    let options = Options { version: "18.11.0".into(), ..Options::default() };
    let sandbox = Sandbox::start(options).await.unwrap();
    let mut receiver = Receiver::start().await;
    let maintainer = client(&sandbox, "reviewer");
    let body = json!({"url": receiver.url, "issues_events": true, "token": "t", "signing_token": "whatever"});
    let (status, hook) = maintainer.post("hooks", body).await;
    assert_eq!((status, hook.get("signing_token_present")), (201, None));
    sandbox.as_user("bot").create_issue("t", "", &[]).unwrap();
    let arrived = receiver.all(&sandbox).await;
    assert_eq!(arrived[0].header("x-gitlab-token"), "t");
    for absent in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        assert_eq!(arrived[0].header(absent), "");
    }
    assert_eq!(client(&sandbox, "bot").get("/version").await.1["version"], "18.11.0");
}

#[tokio::test]
async fn a_call_that_carries_an_event_uuid_fires_a_hook_once() {
    let (sandbox, _) = stepped().await;
    let mut receiver = Receiver::start().await;
    hook(&client(&sandbox, "reviewer"), &receiver).await;
    let bot = client(&sandbox, "bot");
    for _ in 0..2 {
        let request = bot.request(reqwest::Method::POST, "issues").header("X-Gitlab-Event-UUID", "u-1");
        assert_eq!(request.json(&json!({"title": "t"})).send().await.unwrap().status(), 201);
    }
    let arrived = receiver.all(&sandbox).await;
    assert_eq!(arrived.len(), 1);
    assert_eq!(arrived[0].header("x-gitlab-event-uuid"), "u-1");
}

//! Stories of the settings issue: what people change while the service runs.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

mod support;

use reqwest::StatusCode;
use serde_json::{Value, json};
use support::{Difference, Disk, World, job};

async fn change(world: &World, body: Value) -> (StatusCode, Value) {
    world.call(world.http.patch(world.url("/api/v1/config")).json(&body)).await
}

/// The value of a key, and who says so.
async fn setting(world: &World, key: &str) -> (Value, String) {
    let (_, answer) = world.get("/api/v1/config").await;
    let all = answer["settings"].as_array().unwrap();
    let one = all.iter().find(|one| one["key"] == key).unwrap_or_else(|| panic!("{key} in {answer}"));
    (one["value"].clone(), one["origin"].as_str().unwrap().to_owned())
}

fn description(world: &World, iid: u64) -> String {
    world.sandbox.world().issue(iid).unwrap().description.clone().unwrap()
}

#[tokio::test]
async fn a_change_makes_the_settings_issue_and_counts_at_once() {
    let mut world = World::new().await;
    assert_eq!(setting(&world, "min_score").await, (json!(70.0), "default".to_owned()));
    let (status, answer) =
        change(&world, json!({ "min_score": 98, "quiet_hours": {"from": "22:00", "to": "07:00"} })).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(setting(&world, "min_score").await, (json!(98.0), "settings issue #1".to_owned()));
    let text = description(&world, 1);
    assert!(text.contains("min_score: 98\n") && text.contains("# language: de"), "{text}");
    assert_eq!(world.sandbox.world().labels_of(1), ["job-match/settings"]);
    let (status, _) = world.post(&job("1")).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    // Null takes a key away.
    change(&world, json!({ "min_score": null })).await;
    assert_eq!(setting(&world, "min_score").await, (json!(70.0), "default".to_owned()));
    world.restart(Disk::Wiped).await;
    assert_eq!(setting(&world, "quiet_hours.from").await, (json!("22:00"), "settings issue #1".to_owned()));
    world.finish().await;
}

#[tokio::test]
async fn an_edit_in_gitlab_counts_at_once_and_a_wrong_one_gets_one_comment() {
    let mut world = World::new().await;
    change(&world, json!({ "min_score": 80 })).await;
    let text = description(&world, 1);
    world.reviewer().edit_description(1, &text.replace("min_score: 80", "min_score: 85")).unwrap();
    world.settle().await;
    assert_eq!(setting(&world, "min_score").await.0, json!(85.0));
    world.reviewer().edit_description(1, &text.replace("min_score: 80", "min_score: 0.8")).unwrap();
    world.settle().await;
    world.expect_comment(1, "must be a number from 0 to 100");
    assert_eq!(setting(&world, "min_score").await.0, json!(85.0));
    let (_, health) = world.get("/health").await;
    assert!(health["settings"]["problem"].as_str().unwrap().contains("min_score"), "{health}");
    world.delta().await;
    world.restart(Disk::Kept).await;
    assert_eq!(setting(&world, "min_score").await.0, json!(85.0));
    // With the disk lost nobody knows the last good ones: file and defaults rule until it is mended.
    world.restart(Disk::Wiped).await;
    assert_eq!(setting(&world, "min_score").await, (json!(70.0), "default".to_owned()));
    assert!(world.get("/health").await.1["settings"]["problem"].is_string());
    world.reviewer().edit_description(1, &text).unwrap();
    world.settle().await;
    assert_eq!(setting(&world, "min_score").await.0, json!(80.0));
    assert!(world.get("/health").await.1["settings"]["problem"].is_null());
    world.finish().await;
}

#[tokio::test]
async fn a_wrong_value_in_the_settings_issue_is_refused_though_a_variable_hides_it() {
    let mut world = World::set(&[("MIN_SCORE", "33")]).await;
    change(&world, json!({ "remind_after": "4d" })).await;
    let text = description(&world, 1);
    world
        .reviewer()
        .edit_description(1, &text.replace("remind_after: 4d", "remind_after: 5d\nmin_score: 300"))
        .unwrap();
    world.settle().await;
    world.expect_comment(1, "must be a number from 0 to 100");
    assert_eq!(setting(&world, "remind_after").await.0, json!("4d"));
    world.finish().await;
}

/// First a stranger wrote it; then a reviewer edited what stands around it.
#[tokio::test]
async fn another_reason_why_the_same_text_has_no_effect_is_said_too() {
    let mut world = World::with(Difference {
        file: Some("language: en\nenforce_reviewers: true\n"),
        ..Difference::default()
    })
    .await;
    change(&world, json!({ "min_score": 80 })).await;
    let text = description(&world, 1).replace("min_score: 80", "min_score: 300");
    world.person("owner").edit_description(1, &text).unwrap();
    world.settle().await;
    world.expect_comment(1, "owner has no effect");
    world.reviewer().edit_description(1, &format!("{text}\nAll right?\n")).unwrap();
    world.settle().await;
    world.expect_comment(1, "must be a number from 0 to 100");
    world.delta().await;
    world.finish().await;
}

/// What stands in the issue was fine beside a variable, or a file, that is gone since.
#[tokio::test]
async fn settings_that_go_no_more_with_the_others_are_told_and_the_rest_of_them_stays() {
    let mut world = World::new().await;
    let quiet = json!({"from": "22:00", "to": "07:00"});
    let (status, answer) =
        change(&world, json!({ "enforce_reviewers": true, "min_score": 80, "quiet_hours": quiet })).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    world.set_variable("REVIEWERS", "");
    world.restart(Disk::Kept).await;
    world.expect_comment(1, "do not go any more with what is set elsewhere");
    for _ in 0..2 {
        assert_eq!(setting(&world, "min_score").await, (json!(80.0), "settings issue #1".to_owned()));
        assert_eq!(setting(&world, "quiet_hours.from").await.0, json!("22:00"));
        assert_eq!(setting(&world, "enforce_reviewers").await, (json!(false), "default".to_owned()));
        let (_, health) = world.get("/health").await;
        assert!(health["settings"]["problem"].as_str().unwrap().contains("names nobody"), "{health}");
        world.delta().await;
    }
    // A change that leaves it as it is does not mend it, one that names somebody does.
    let (status, answer) = change(&world, json!({ "language": "en" })).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{answer}");
    assert_eq!(answer["errors"][0]["field"], "enforce_reviewers", "{answer}");
    let (status, answer) = change(&world, json!({ "reviewers": ["reviewer"] })).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(setting(&world, "enforce_reviewers").await.0, json!(true));
    assert!(world.get("/health").await.1["settings"]["problem"].is_null());
    world.finish().await;
}

/// The same beside an edit that cannot be used.
#[tokio::test]
async fn the_last_good_settings_stay_as_far_as_they_go_with_the_others() {
    let mut world = World::new().await;
    change(&world, json!({ "enforce_reviewers": true, "min_score": 80 })).await;
    let text = description(&world, 1);
    world.reviewer().edit_description(1, &text.replace("min_score: 80", "min_score: 0.8")).unwrap();
    world.settle().await;
    world.expect_comment(1, "must be a number from 0 to 100");
    world.set_variable("REVIEWERS", "");
    world.restart(Disk::Kept).await;
    assert_eq!(setting(&world, "min_score").await.0, json!(80.0));
    assert!(world.get("/health").await.1["settings"]["problem"].as_str().unwrap().contains("min_score"));
    world.expect_comment(1, "names nobody");
    world.finish().await;
}

#[tokio::test]
async fn a_second_issue_with_the_label_has_no_effect_and_is_told_so_once() {
    let mut world = World::new().await;
    let yaml = "```yaml\nmin_score: 99\n```";
    let forged =
        world.person("colleague").create_issue("My settings", yaml, &["job-match/settings"]).unwrap();
    world.settle().await;
    world.expect_comment(forged, "This issue has no effect");
    change(&world, json!({ "language": "en" })).await;
    world.delta().await;
    world.delta().await;
    assert_eq!(setting(&world, "min_score").await.0, json!(70.0));
    world.finish().await;
}

#[tokio::test]
async fn where_reviewers_are_enforced_nobody_else_changes_settings_and_nobody_changes_that() {
    let file = "language: en\nenforce_reviewers: true\n";
    let mut world = World::with(Difference { file: Some(file), ..Difference::default() }).await;
    change(&world, json!({ "min_score": 80 })).await;
    let text = description(&world, 1);
    world.person("owner").edit_description(1, &text.replace("80", "10")).unwrap();
    world.settle().await;
    world.expect_comment(1, "owner has no effect");
    assert_eq!(setting(&world, "min_score").await.0, json!(80.0));
    let evil =
        text.replace("min_score: 80", "min_score: 81\nenforce_reviewers: false\nreviewers: [stranger]");
    world.reviewer().edit_description(1, &evil).unwrap();
    world.settle().await;
    assert_eq!(setting(&world, "min_score").await.0, json!(81.0));
    assert_eq!(setting(&world, "enforce_reviewers").await.0, json!(true));
    assert_eq!(setting(&world, "reviewers").await.1, "VORHOELLE_REVIEWERS");
    let (status, answer) = change(&world, json!({ "enforce_reviewers": false })).await;
    assert_eq!(status, StatusCode::CONFLICT, "{answer}");
    world.finish().await;
}

#[tokio::test]
async fn what_the_environment_fixes_is_409_and_names_the_variable() {
    let world = World::new().await;
    let (status, answer) = change(&world, json!({ "reviewers": ["colleague"] })).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(answer["detail"].as_str().unwrap().contains("VORHOELLE_REVIEWERS"), "{answer}");
    world.finish().await;
}

#[tokio::test]
async fn what_is_wrong_in_a_change_is_named_and_changes_nothing() {
    let world = World::new().await;
    for (body, part) in [
        (json!({ "min_score": 0.7 }), "min_score"),
        (json!({ "min_scor": 7 }), "min_scor"),
        (json!({ "allow_public_project": true }), "cannot be changed here"),
        (json!({ "quiet_hours": {"from": "25:00", "to": "07:00"} }), "25:00"),
        (json!({ "channels": {"todo": {"delay": "30m"}} }), "delay"),
        (json!({ "batch": {"mode": "weekly"} }), "weekly"),
        (json!([]), "object"),
    ] {
        let (status, answer) = change(&world, body.clone()).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{body}: {answer}");
        assert!(answer.to_string().contains(part), "{part} in {answer}");
    }
    assert_eq!(setting(&world, "min_score").await.0, json!(70.0));
}

#[tokio::test]
async fn reviewers_may_change_while_the_service_runs() {
    let world = World::set(&[("REVIEWERS", "")]).await;
    change(&world, json!({ "reviewers": ["colleague"] })).await;
    let (_, answer) = world.post(&job("1")).await;
    let iid = answer["iid"].as_u64().unwrap();
    let colleague = world.sandbox.as_user("colleague").id();
    assert_eq!(world.sandbox.world().issue(iid).unwrap().assignees, [colleague]);
}

#[tokio::test]
async fn no_answer_shows_a_secret() {
    let world = World::set(&[
        ("SMTP_URL", "smtp://u:geheim123@127.0.0.1:9"),
        ("MAIL_FROM", "a@example.com"),
        ("MAIL_TO", "b@example.com"),
    ])
    .await;
    let (_, answer) = world.get("/api/v1/config").await;
    let text = answer.to_string();
    for secret in ["geheim123", support::TOKEN, support::HOOK_SECRET, world.sandbox.token("bot").as_str()] {
        assert!(!text.contains(secret), "{text}");
    }
    assert!(text.contains("VORHOELLE_SMTP_URL") && text.contains("***"));
}

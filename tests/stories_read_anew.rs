//! Stories of a lost disk after somebody was at what is read back: labels, texts, the token.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a story that fails, panics"
)]

mod support;

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use support::{Disk, World, job};
use vorhoelle::sandbox::{Fault, HookMode, Trouble};

/// What the API says of a match.
async fn said(world: &World, iid: u64) -> Value {
    world.settle_all().await;
    let (status, mut answer) = world.get(&format!("/api/v1/matches/{iid}")).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    answer["deliveries"] = Value::Null;
    answer
}

#[tokio::test]
async fn decisions_through_the_api_outlive_their_labels_and_the_disk() {
    let mut world = World::new().await;
    let iid = world.stage("1").await;
    for (state, comment) in [("approved", "one"), ("rejected", "two")] {
        world.clock.advance(Duration::from_secs(30));
        let body = json!({ "state": state, "comment": comment });
        assert_eq!(world.patch(iid, &body).await.0, StatusCode::OK);
    }
    let before = said(&world, iid).await["history"].clone();
    assert_eq!(before.as_array().unwrap().len(), 2);
    for state in ["approved", "rejected"] {
        world.clock.advance(Duration::from_secs(30));
        world.sandbox.as_user("owner").delete_label(&format!("job-match/{state}")).unwrap();
        world.delta().await;
        world.expect(iid, "rejected").await;
    }
    world.restart(Disk::Wiped).await;
    let after = said(&world, iid).await["history"].clone();
    let without_time = |history: &Value| {
        let mut steps = history.as_array().unwrap().clone();
        steps.iter_mut().for_each(|step| step["at"] = Value::Null);
        steps
    };
    assert_eq!(without_time(&after), without_time(&before));
}

#[tokio::test]
async fn who_rejected_by_putting_it_back_is_known_after_a_lost_disk() {
    let mut world = World::new().await;
    let iid = world.stage("1").await;
    world.reviewer().relabel(iid, &[], &["job-match", "job-match/pending"]).unwrap();
    world.settle().await;
    world.clock.advance(Duration::from_secs(30));
    world.reviewer().relabel(iid, &["job-match", "job-match/rejected"], &[]).unwrap();
    world.settle().await;
    let before = said(&world, iid).await;
    assert_eq!((&before["state"], &before["decided_by"]), (&json!("rejected"), &json!("reviewer")));
    world.restart(Disk::Wiped).await;
    let after = said(&world, iid).await;
    assert_eq!((&after["history"], &after["decided_by"]), (&before["history"], &before["decided_by"]));
    world.finish().await;
}

#[tokio::test]
async fn the_label_of_all_matches_may_be_deleted_while_the_disk_is_lost() {
    let mut world = World::new().await;
    let (first, withdrawn) = (world.stage("1").await, world.stage("2").await);
    world.reviewer().relabel(withdrawn, &[], &["job-match"]).unwrap();
    world.settle().await;
    world.kill(Disk::Wiped).await;
    world.sandbox.as_user("owner").delete_label("job-match").unwrap();
    world.start().await;
    world.engine.delta().await.unwrap();
    world.settle().await;
    world.expect(first, "pending").await;
    assert_eq!(world.get(&format!("/api/v1/matches/{withdrawn}")).await.0, StatusCode::NOT_FOUND);
    assert_eq!(world.get("/health").await.1["labels"]["made_again"], "job-match");
    world.finish().await;
}

#[tokio::test]
async fn of_a_fresh_project_no_label_is_said_to_have_been_made_again() {
    let mut world = World::new().await;
    world.stage("1").await;
    assert_eq!(world.get("/health").await.1["labels"]["made_again"], Value::Null);
    world.restart(Disk::Wiped).await;
    assert_eq!(world.get("/health").await.1["labels"]["made_again"], Value::Null);
    world.finish().await;
}

/// GitLab makes a label that a new issue names: it has neither our colour nor our mark.
#[tokio::test]
async fn a_label_that_gitlab_made_for_a_new_issue_is_ours_again() {
    let world = World::new().await;
    let first = world.stage("1").await;
    world.sandbox.as_user("owner").delete_label("job-match/pending").unwrap();
    let second = world.stage("2").await;
    world.clock.advance(Duration::from_secs(60));
    world.delta().await;
    for iid in [first, second] {
        world.expect(iid, "pending").await;
    }
    let label =
        world.sandbox.world().labels.iter().find(|label| label.name == "job-match/pending").cloned().unwrap();
    assert_eq!(label.color.to_uppercase(), "#F0AD4E");
    assert!(label.description.unwrap_or_default().contains("vorhoelle:pending"));
    assert_eq!(world.get("/health").await.1["labels"]["made_again"], "job-match/pending");
    world.finish().await;
}

/// Only our own words count: what somebody wrote into our text is theirs.
#[tokio::test]
async fn an_identity_that_somebody_wrote_into_an_issue_takes_no_other_matchs_place() {
    let mut world = World::new().await;
    let (forged, real) = (world.stage("1").await, world.stage("2").await);
    world.reviewer().relabel(real, &["job-match/approved"], &[]).unwrap();
    world.settle().await;
    let text = world.sandbox.world().issue(forged).unwrap().description.clone().unwrap();
    assert!(text.contains("\"external_id\": \"1\""), "{text}");
    let text = text.replace("\"external_id\": \"1\"", "\"external_id\": \"2\"");
    world.person("colleague").edit_description(forged, &text).unwrap();
    world.settle().await;
    world.restart(Disk::Wiped).await;
    world.expect(forged, "pending").await;
    world.expect(real, "approved").await;
    let (status, answer) = world.post(&job("2")).await;
    assert_eq!((status, answer["iid"].as_u64()), (StatusCode::OK, Some(real)), "{answer}");
    assert!(world.comments(forged).is_empty() && world.comments(real).is_empty());
    world.finish().await;
}

#[tokio::test]
async fn a_new_token_of_a_new_bot_is_said_while_the_disk_is_there_too() {
    for was_lost_before in [false, true] {
        let mut world = World::new().await;
        world.stage("1").await;
        if was_lost_before {
            world.restart(Disk::Wiped).await;
        }
        let token = world.replace_bot();
        world.kill(Disk::Kept).await;
        world.set_variable("GITLAB_TOKEN", &token);
        world.start().await;
        world.engine.delta().await.unwrap();
        let (status, problem) = world.post(&job("2")).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains("VORHOELLE_FORMER_USERS"), "{problem}");
        let ids = world.get("/health").await.1["unlisted_bots"]["ids"].as_array().unwrap().len();
        assert_eq!(ids, 1);
    }
}

/// The setting may hold the path, and GitLab leads from an old one to the project with a redirect.
#[tokio::test]
async fn a_project_that_is_renamed_is_followed_until_the_next_start_which_says_what_to_set() {
    let mut world = World::new().await;
    let iid = world.stage("1").await;
    let elsewhere = Trouble::Answer {
        status: 301,
        content_type: "text/html".to_owned(),
        body: String::new(),
        retry_after: None,
    };
    let old = world.sandbox.project();
    world.set_variable("GITLAB_PROJECT", &old);
    let path = old.replace('/', "%2F");
    assert!(path.contains("%2F"), "the setting holds a path");
    world.sandbox.fault(Fault::new(Method::GET, &path, elsewhere).times(100));
    world.sandbox.hook_mode(HookMode::Lose);
    world.reviewer().relabel(iid, &["job-match/approved"], &[]).unwrap();
    world.sandbox.world().project.path = "acme/renamed".to_owned();
    world.delta().await;
    world.expect(iid, "approved").await;
    world.kill(Disk::Kept).await;
    world.start().await;
    let error = world.engine.delta().await.unwrap_err().to_string();
    assert!(error.contains("renamed or moved, set VORHOELLE_GITLAB_PROJECT"), "{error}");
    // Either of its names leads to the mirror that is there.
    for name in ["4711", "acme/renamed"] {
        world.kill(Disk::Kept).await;
        world.set_variable("GITLAB_PROJECT", name);
        world.start().await;
        assert!(world.engine.mirror().record(iid).unwrap().is_some(), "{name}");
    }
}

/// GitLab gives the issues of a user that it deletes to another, whom it does not call a bot.
#[tokio::test]
async fn what_was_ignored_is_ours_once_its_author_is_listed() {
    let mut world = World::new().await;
    let iid = world.stage("1").await;
    world.kill(Disk::Wiped).await;
    let token = world.replace_bot();
    let ghost = world.sandbox.as_user("bot").id();
    {
        let mut gitlab = world.sandbox.world();
        gitlab.users.iter_mut().find(|user| user.id == ghost).unwrap().bot = false;
        gitlab.members.remove(&ghost);
    }
    world.set_variable("GITLAB_TOKEN", &token);
    world.start().await;
    world.delta().await;
    assert_eq!(world.get("/health").await.1["ignored_issues"], 1);
    world.kill(Disk::Kept).await;
    world.set_variable("FORMER_USERS", &ghost.to_string());
    world.start().await;
    world.look_twice().await;
    world.expect(iid, "pending").await;
    let (status, again) = world.post(&job("1")).await;
    assert_eq!((status, again["iid"].as_u64()), (StatusCode::OK, Some(iid)));
    world.finish().await;
}

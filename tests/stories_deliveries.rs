//! Stories of GitLab's deliveries: whose are believed, what one says that tells of no change, what none tells of,
//! and a webhook that is disabled.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a story that fails, panics"
)]

mod support;

use reqwest::StatusCode;
use serde_json::{Value, json};
use support::{Difference, Disk, World};
use vorhoelle::engine::HookHealth;
use vorhoelle::sandbox::{HookMode, IssueType, Options};

#[tokio::test]
async fn deliveries_are_believed_only_with_the_secret() {
    let world = World::new().await;
    let send = |token: Option<&str>, body: &'static str| {
        let mut request = world.http.post(world.url("/webhooks/gitlab")).body(body);
        if let Some(token) = token {
            request = request.header("x-gitlab-token", token);
        }
        request.send()
    };
    assert_eq!(send(None, "{}").await.unwrap().status(), StatusCode::UNAUTHORIZED);
    assert_eq!(send(Some("wrong"), "no json").await.unwrap().status(), StatusCode::UNAUTHORIZED);
    assert_eq!(send(Some(support::HOOK_SECRET), "no json").await.unwrap().status(), StatusCode::BAD_REQUEST);
    for none_of_ours in ["{}", "[]", r#"{"object_kind":"push"}"#] {
        assert_eq!(
            send(Some(support::HOOK_SECRET), none_of_ours).await.unwrap().status(),
            StatusCode::ACCEPTED
        );
    }
    let large = "x".repeat(25 * 1024 * 1024 + 1);
    let answer = world
        .http
        .post(world.url("/webhooks/gitlab"))
        .header("x-gitlab-token", support::HOOK_SECRET)
        .body(large);
    assert_eq!(answer.send().await.unwrap().status(), StatusCode::PAYLOAD_TOO_LARGE);
    world.finish().await;
}

/// GitLab samples its newest issue, and says that it was opened.
async fn test_delivery(world: &World) {
    let hook = world.sandbox.world().hooks[0].id;
    let (url, project) = (world.sandbox.url(), world.sandbox.project_id());
    let test = format!("{url}/api/v4/projects/{project}/hooks/{hook}/test/issues_events");
    let request = world.http.post(test).header("PRIVATE-TOKEN", world.sandbox.token("owner"));
    assert_eq!(request.send().await.unwrap().status(), StatusCode::CREATED);
}

#[tokio::test]
async fn a_test_delivery_and_an_update_that_changes_nothing_change_nothing() {
    for state in ["approved", "rejected"] {
        let world = World::new().await;
        let iid = world.stage("1").await;
        world.reviewer().relabel(iid, &[&format!("job-match/{state}")], &[]).unwrap();
        world.settle().await;
        let before = world.get(&format!("/api/v1/matches/{iid}")).await.1;
        for is_test in [true, false] {
            world.sandbox.clear_calls();
            if is_test {
                test_delivery(&world).await;
            } else {
                world.reviewer().relabel(iid, &[], &[]).unwrap();
            }
            world.settle().await;
            let calls = world.calls_by_bot();
            assert!(calls.iter().all(|call| call.starts_with("GET ")), "{calls:?}");
            assert!(!is_test || !calls.is_empty(), "it is looked at");
            world.expect(iid, state).await;
            let after = world.get(&format!("/api/v1/matches/{iid}")).await.1;
            assert_eq!((&after["state"], &after["history"]), (&before["state"], &before["history"]));
        }
        world.finish().await;
    }
}

/// Whoever knows the secret may name anybody; GitLab's label event says who it was.
#[tokio::test]
async fn whom_a_delivery_names_decides_nothing() {
    let mut world = World::set(&[("ENFORCE_REVIEWERS", "true"), ("REVIEWERS", "reviewer")]).await;
    let iid = world.stage("1").await;
    world.sandbox.hook_mode(HookMode::Lose);
    world.person("colleague").relabel(iid, &["job-match/approved"], &["job-match/pending"]).unwrap();
    world.sandbox.hook_mode(HookMode::Deliver);
    let label = |name: &str| {
        let gitlab = world.sandbox.world();
        let label = gitlab.label_named(name).unwrap();
        json!({ "id": label.id, "title": label.name })
    };
    let (old, new) = (label("job-match/pending"), label("job-match/approved"));
    let body = json!({
        "object_kind": "issue", "event_type": "issue",
        "user": { "id": world.sandbox.as_user("reviewer").id(), "username": "reviewer" },
        "project": { "id": world.sandbox.project_id() },
        "object_attributes": { "iid": iid, "action": "update", "state": "opened" },
        "labels": [label("job-match"), new],
        "changes": { "labels": { "previous": [old], "current": [new] } },
    });
    let request =
        world.http.post(world.url("/webhooks/gitlab")).header("x-gitlab-token", support::HOOK_SECRET);
    assert_eq!(request.json(&body).send().await.unwrap().status(), StatusCode::ACCEPTED);
    world.settle().await;
    world.expect(iid, "pending").await;
    world.expect_comment(iid, "by colleague is undone");
    let (_, answer) = world.get(&format!("/api/v1/matches/{iid}")).await;
    assert_eq!((&answer["history"], &answer["decided_by"]), (&json!([]), &Value::Null), "{answer}");
    world.finish().await;
}

#[tokio::test]
async fn a_disabled_webhook_is_revived_by_a_test_delivery() {
    let world = World::with(Difference {
        options: Options { auto_disable: true, ..Options::default() },
        ..Difference::default()
    })
    .await;
    world.stage("1").await;
    let status = |world: &World| world.engine.status().hook;
    world.check_hook("bot").await;
    assert_eq!(status(&world), Some(HookHealth::Unknown), "a Reporter may not look");
    world.check_hook("owner").await;
    assert_eq!(status(&world), Some(HookHealth::Executable));
    world.disable_hook();
    world.check_hook("owner").await;
    assert_eq!(status(&world), Some(HookHealth::Executable), "revived");
    assert_eq!(world.sandbox.world().hooks[0].disabled_until, None, "in GitLab as well");
    world.sandbox.world().hooks.clear();
    world.check_hook("owner").await;
    assert_eq!(status(&world), Some(HookHealth::Missing));
    world.finish().await;
}

/// GitLab tells of them under other names, or of none.
#[tokio::test]
async fn confidential_issues_and_other_types_are_followed_too() {
    let mut world = World::new().await;
    let confidential = world.stage("1").await;
    world.reviewer().set_confidential(confidential, true).unwrap();
    let mut iids = vec![confidential];
    for (id, issue_type) in [("2", IssueType::Task), ("3", IssueType::Incident)] {
        let iid = world.stage(id).await;
        world.reviewer().set_type(iid, issue_type).unwrap();
        iids.push(iid);
    }
    for (from, to, mode) in [
        ("pending", "approved", HookMode::Deliver),
        ("approved", "rejected", HookMode::Lose),
        ("rejected", "approved", HookMode::Lose),
    ] {
        world.sandbox.hook_mode(mode);
        for iid in &iids {
            world.reviewer().relabel(*iid, &[&format!("job-match/{to}")], &[]).unwrap();
        }
        world.settle().await;
        if mode == HookMode::Lose {
            for iid in &iids {
                assert_eq!(world.state(*iid).await, from);
            }
            world.delta().await;
        }
        for iid in &iids {
            world.expect(*iid, to).await;
        }
    }
    world.kill(Disk::Wiped).await;
    for iid in &iids {
        world.reviewer().close(*iid).unwrap();
    }
    world.restart(Disk::Wiped).await;
    world.delta().await;
    for iid in &iids {
        world.expect(*iid, "rejected").await;
        let (_, answer) = world.get(&format!("/api/v1/matches/{iid}")).await;
        assert_eq!(answer["history"].as_array().unwrap().len(), 4, "{answer}");
    }
    world.finish().await;
}

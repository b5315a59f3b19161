//! Stories: people decide in GitLab or through the API, and the service follows.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a story that fails, panics"
)]

mod support;

use reqwest::{Method, StatusCode};
use serde_json::json;
use support::{Disk, STATES, World, is_allowed};
use vorhoelle::sandbox::{Fault, Trouble};

#[tokio::test]
async fn every_cell_of_the_table_by_an_added_label() {
    let mut world = World::new().await;
    for from in STATES {
        for to in STATES.into_iter().filter(|to| *to != from) {
            let iid = world.stage_in(&format!("{from}-{to}"), from).await;
            world.reviewer().relabel(iid, &[&format!("job-match/{to}")], &[]).unwrap();
            world.settle().await;
            world.expect(iid, if is_allowed(from, to) { to } else { from }).await;
            if !is_allowed(from, to) {
                world.expect_comment(iid, "no step from");
            }
        }
    }
    world.finish().await;
}

#[tokio::test]
async fn every_cell_of_the_table_by_the_api() {
    let mut world = World::new().await;
    for from in STATES {
        for to in STATES {
            let iid = world.stage_in(&format!("{from}-{to}"), from).await;
            let (status, answer) =
                world.patch(iid, &json!({"state": to, "comment": "because @all /close"})).await;
            world.settle().await;
            if from == to {
                assert_eq!(status, StatusCode::OK);
            } else if is_allowed(from, to) {
                assert_eq!((status, &answer["state"]), (StatusCode::OK, &json!(to)));
                assert_eq!(answer["decided_by"], "pipeline");
                let step = answer["history"].as_array().unwrap().last().unwrap().clone();
                assert_eq!((&step["from"], &step["to"]), (&json!(from), &json!(to)));
                assert_eq!((&step["by"], &step["through"]), (&json!("pipeline"), &json!("api")));
                assert_eq!(step["comment"], "because @all /close");
                world.expect_comment(iid, "**pipeline**");
            } else {
                assert_eq!(status, StatusCode::CONFLICT);
                assert!(answer["allowed_states"].is_array(), "{answer}");
            }
            world.expect(iid, if is_allowed(from, to) { to } else { from }).await;
        }
    }
    world.finish().await;
}

#[tokio::test]
async fn following_a_relabel_costs_one_write_and_two_reads() {
    let world = World::new().await;
    let iid = world.stage("1").await;
    world.sandbox.clear_calls();
    world.reviewer().relabel(iid, &["job-match/approved"], &[]).unwrap();
    world.settle().await;
    let calls = world.calls_by_bot();
    let follow = [
        "GET /projects/:id/issues/:iid",
        "GET /projects/:id/issues/:iid/resource_label_events",
        "PUT /projects/:id/issues/:iid",
    ];
    assert_eq!(calls, follow, "and no more for the echo of our own write");
    world.sandbox.clear_calls();
    world.reviewer().close(iid).unwrap();
    world.settle().await;
    let reads = world.calls_by_bot().iter().filter(|call| call.starts_with("GET")).count();
    assert!(reads <= 3, "{:?}", world.calls_by_bot());
    world.expect(iid, "rejected").await;
    world.finish().await;
}

#[tokio::test]
async fn history_names_who_decided_and_when() {
    let world = World::new().await;
    let iid = world.stage("1").await;
    world.person("colleague").relabel(iid, &["job-match/approved"], &[]).unwrap();
    let at = world.clock.now();
    world.settle().await;
    let (_, answer) = world.get(&format!("/api/v1/matches/{iid}")).await;
    assert_eq!(answer["decided_by"], "colleague");
    let decided_at: jiff::Timestamp = answer["decided_at"].as_str().unwrap().parse().unwrap();
    assert_eq!(decided_at, at);
    assert_eq!(answer["history"][0]["through"], "gitlab");
    world.finish().await;
}

#[tokio::test]
async fn closing_rejects_and_reopening_makes_it_pending_again() {
    let world = World::new().await;
    let iid = world.stage("1").await;
    world.reviewer().close(iid).unwrap();
    world.settle().await;
    world.expect(iid, "rejected").await;
    world.reviewer().reopen(iid).unwrap();
    world.settle().await;
    world.expect(iid, "pending").await;
    let (_, answer) = world.get(&format!("/api/v1/matches/{iid}")).await;
    let by: Vec<_> = answer["history"].as_array().unwrap().iter().map(|step| step["by"].clone()).collect();
    assert_eq!(by, ["reviewer", "reviewer"]);
    world.finish().await;
}

#[tokio::test]
async fn two_labels_at_once_are_undone_with_one_comment_for_ten_minutes() {
    let mut world = World::new().await;
    let iid = world.stage("1").await;
    for _ in 0..3 {
        world.reviewer().relabel(iid, &["job-match/approved", "job-match/rejected"], &[]).unwrap();
        world.settle().await;
        world.expect(iid, "pending").await;
    }
    world.expect_comment(iid, "ambiguous");
    world.clock.advance(std::time::Duration::from_secs(601));
    world.reviewer().relabel(iid, &["job-match/approved", "job-match/rejected"], &[]).unwrap();
    world.settle().await;
    world.expect_comment(iid, "ambiguous");
    world.finish().await;
}

#[tokio::test]
async fn a_lost_webhook_is_only_a_later_one() {
    let world = World::new().await;
    let iid = world.stage("1").await;
    world.sandbox.hook_mode(vorhoelle::sandbox::HookMode::Lose);
    world.reviewer().relabel(iid, &["job-match/approved"], &[]).unwrap();
    world.settle().await;
    assert_eq!(world.state(iid).await, "pending");
    world.delta().await;
    world.expect(iid, "approved").await;
    world.finish().await;
}

#[tokio::test]
async fn doubled_and_reversed_webhooks_change_nothing() {
    use vorhoelle::sandbox::HookMode;
    let world = World::new().await;
    let iid = world.stage("1").await;
    world.sandbox.hook_mode(HookMode::Twice);
    world.reviewer().relabel(iid, &["job-match/approved"], &[]).unwrap();
    world.settle().await;
    world.expect(iid, "approved").await;
    world.sandbox.hook_mode(HookMode::Hold);
    world.reviewer().relabel(iid, &["job-match/pending"], &["job-match/approved"]).unwrap();
    world.reviewer().relabel(iid, &["job-match/rejected"], &[]).unwrap();
    let held: Vec<u64> = world.sandbox.held().iter().map(|held| held.id).rev().collect();
    assert!(held.len() >= 2);
    for id in held {
        world.sandbox.deliver_held(id).await;
        world.settle().await;
    }
    world.sandbox.hook_mode(HookMode::Deliver);
    world.delta().await;
    world.expect(iid, "rejected").await;
    world.finish().await;
}

#[tokio::test]
async fn what_was_decided_while_the_service_was_down_is_followed_with_the_disk_and_without() {
    for disk in [Disk::Kept, Disk::Wiped] {
        let mut world = World::new().await;
        let approved = world.stage("1").await;
        let rejected = world.stage("2").await;
        let sent = world.stage("3").await;
        let untouched = world.stage("4").await;
        world.kill(disk).await;
        world.reviewer().relabel(approved, &["job-match/approved"], &[]).unwrap();
        world.reviewer().close(rejected).unwrap();
        world.reviewer().relabel(sent, &["job-match/approved"], &["job-match/pending"]).unwrap();
        world.reviewer().relabel(sent, &["job-match/sent"], &["job-match/approved"]).unwrap();
        world.start().await;
        world.engine.delta().await.unwrap();
        world.settle().await;
        world.expect(approved, "approved").await;
        world.expect(rejected, "rejected").await;
        world.expect(sent, "sent").await;
        world.expect(untouched, "pending").await;
        let (status, _) = world.post(&support::job("4")).await;
        assert_eq!(status, StatusCode::OK, "{disk:?}: known again by its fingerprint");
        world.finish().await;
    }
}

/// The same step, again and again within a second or two.
#[tokio::test]
async fn decisions_in_quick_succession_are_the_same_ones_after_a_lost_disk() {
    let mut world = World::new().await;
    let iid = world.stage("1").await;
    for number in 0..7 {
        world.clock.advance(std::time::Duration::from_millis(90));
        let state = if number % 2 == 0 { "approved" } else { "pending" };
        let decision = json!({"state": state, "comment": format!("number {number}")});
        assert_eq!(world.patch(iid, &decision).await.0, StatusCode::OK);
        world.expect_comment(iid, &format!("number {number}"));
    }
    let (_, before) = world.get("/api/v1/decisions").await;
    world.restart(Disk::Wiped).await;
    world.settle().await;
    let (_, after) = world.get("/api/v1/decisions").await;
    assert_eq!(before, after);
    assert_eq!(after["decisions"].as_array().unwrap().len(), 7);
    world.finish().await;
}

#[tokio::test]
async fn a_wiped_disk_brings_back_every_field() {
    let mut world = World::new().await;
    let mut iids = Vec::new();
    for (index, state) in STATES.into_iter().enumerate() {
        iids.push(world.stage_in(&index.to_string(), state).await);
    }
    let by_api = world.stage("api").await;
    world.patch(by_api, &json!({"state": "approved", "comment": "yes"})).await;
    world.expect_comment(by_api, "yes");
    iids.push(by_api);
    let undone = world.stage("undone").await;
    world.reviewer().relabel(undone, &["job-match/rejected"], &[]).unwrap();
    world.settle().await;
    world.reviewer().reopen(undone).unwrap();
    world.settle().await;
    iids.push(undone);
    let mut before = Vec::new();
    for iid in &iids {
        before.push(world.get(&format!("/api/v1/matches/{iid}")).await);
    }
    world.restart(Disk::Wiped).await;
    for (iid, before) in iids.iter().zip(before) {
        let after = world.get(&format!("/api/v1/matches/{iid}")).await;
        assert_eq!(after, before, "match {iid}");
    }
    world.finish().await;
}

#[tokio::test]
async fn a_kill_between_comment_and_label_is_completed_at_the_next_start() {
    for disk in [Disk::Kept, Disk::Wiped] {
        let mut world = World::new().await;
        let iid = world.stage("1").await;
        // The comment is written; then GitLab answers nothing more, and the service dies.
        let bad = Trouble::bad_gateway();
        world.sandbox.fault(Fault::new(Method::PUT, "/issues/", bad).times(9));
        let (status, _) = world.patch(iid, &json!({"state": "approved"})).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        world.sandbox.clear_faults();
        world.restart(disk).await;
        world.expect(iid, "approved").await;
        world.expect_comment(iid, "**pipeline**");
        let (_, answer) = world.get(&format!("/api/v1/matches/{iid}")).await;
        assert_eq!(answer["decided_by"], "pipeline", "{disk:?}");
        let (status, _) = world.patch(iid, &json!({"state": "approved"})).await;
        assert_eq!(status, StatusCode::OK);
        world.finish().await;
    }
}

#[tokio::test]
async fn only_reviewers_decide_where_that_is_enforced() {
    let mut world = World::set(&[("ENFORCE_REVIEWERS", "true"), ("REVIEWERS", "reviewer")]).await;
    let iid = world.stage("1").await;
    world.person("developer").relabel(iid, &["job-match/approved"], &[]).unwrap();
    world.settle().await;
    world.expect(iid, "pending").await;
    world.expect_comment(iid, "Only the listed reviewers");
    world.person("developer").close(iid).unwrap();
    world.settle().await;
    world.expect(iid, "pending").await;
    world.reviewer().relabel(iid, &["job-match/approved"], &[]).unwrap();
    world.settle().await;
    world.expect(iid, "approved").await;
    world.finish().await;
}

#[tokio::test]
async fn what_is_put_back_with_two_labels_stands_where_it_stood_and_that_is_said() {
    let mut world = World::new().await;
    let iid = world.stage("1").await;
    world.reviewer().relabel(iid, &[], &["job-match"]).unwrap();
    world.settle().await;
    world.reviewer().relabel(iid, &["job-match/approved"], &[]).unwrap();
    world.settle().await;
    world.reviewer().relabel(iid, &["job-match"], &[]).unwrap();
    world.settle().await;
    world.expect(iid, "pending").await;
    world.expect_comment(iid, "set only one of the labels");
    world.finish().await;
}

#[tokio::test]
async fn withdrawn_put_back_deleted_and_moved() {
    let world = World::new().await;
    let iid = world.stage("1").await;
    world.reviewer().relabel(iid, &[], &["job-match"]).unwrap();
    world.settle().await;
    assert_eq!(world.state(iid).await, "none");
    world.reviewer().relabel(iid, &["job-match"], &[]).unwrap();
    world.settle().await;
    world.expect(iid, "pending").await;
    let moved = world.stage("2").await;
    world.person("owner").move_issue(moved).unwrap();
    world.settle().await;
    assert_eq!(world.state(moved).await, "none");
    let deleted = world.stage("3").await;
    world.person("owner").delete_issue(deleted).unwrap();
    world.delta().await;
    assert_eq!(world.state(deleted).await, "none");
    world.finish().await;
}

#[tokio::test]
async fn an_issue_made_by_hand_is_adopted_and_a_guests_is_ignored() {
    let world = World::new().await;
    let adopted = world.person("colleague").create_issue("By hand", "", &["job-match"]).unwrap();
    let ignored =
        world.person("guest").create_issue("By a guest", "", &["job-match", "job-match/approved"]).unwrap();
    world.settle().await;
    world.expect(adopted, "pending").await;
    assert_eq!(world.state(ignored).await, "none");
    let (_, health) = world.get("/health").await;
    assert_eq!(health["ignored_issues"], 1);
    world.finish().await;
}

#[tokio::test]
async fn a_renamed_label_is_still_ours_and_there_is_never_a_second_one() {
    for disk in [Disk::Kept, Disk::Wiped] {
        let mut world = World::new().await;
        let iid = world.stage("1").await;
        world.kill(disk).await;
        world.sandbox.as_user("owner").rename_label("job-match/approved", "Zusage").unwrap();
        world.reviewer().relabel(iid, &["Zusage"], &[]).unwrap();
        world.start().await;
        world.engine.delta().await.unwrap();
        world.settle().await;
        assert_eq!(world.state(iid).await, "approved");
        assert_eq!(world.labels(iid), ["Zusage", "job-match"]);
        assert_eq!(world.sandbox.world().labels.len(), 6);
    }
}

#[tokio::test]
async fn a_label_renamed_at_the_moment_of_a_write_ends_as_one_label() {
    let mut world = World::new().await;
    world.stage("1").await;
    // No time goes by: the service cannot have heard of it.
    world.sandbox.as_user("owner").rename_label("job-match/pending", "Offen").unwrap();
    let (_, answer) = world.post(&support::job("2")).await;
    let iid = answer["iid"].as_u64().unwrap();
    world.settle().await;
    world.delta().await;
    world.delta().await;
    assert_eq!(world.labels(iid), ["Offen", "job-match"]);
    assert_eq!(world.state(iid).await, "pending");
    assert_eq!(world.sandbox.world().labels.len(), 6);
    world.sandbox.as_user("owner").rename_label("job-match/approved", "Zusage").unwrap();
    let (status, _) = world.patch(iid, &json!({"state": "approved"})).await;
    assert_eq!(status, StatusCode::OK);
    world.settle().await;
    world.delta().await;
    assert_eq!(world.labels(iid), ["Zusage", "job-match"]);
    assert_eq!(world.sandbox.world().labels.len(), 6);
    world.expect_comment(iid, "**pipeline**");
}

#[tokio::test]
async fn an_adopted_issue_stands_where_its_label_says() {
    let world = World::new().await;
    for state in STATES {
        let label = format!("job-match/{state}");
        let iid = world.person("colleague").create_issue("By hand", "", &["job-match", &label]).unwrap();
        world.settle().await;
        world.expect(iid, state).await;
        let (_, answer) = world.get(&format!("/api/v1/matches/{iid}")).await;
        assert_eq!(answer["title"], "By hand");
        assert!(answer.get("score").is_none());
    }
    world.finish().await;
}

#[tokio::test]
async fn a_decision_that_a_kill_broke_off_is_completed_although_an_act_since_is_undone() {
    for (disk, fails_again) in
        [(Disk::Kept, false), (Disk::Kept, true), (Disk::Wiped, false), (Disk::Wiped, true)]
    {
        let mut world = World::new().await;
        let iid = world.stage("1").await;
        let put_fails = || Fault::new(Method::PUT, "/issues/", Trouble::bad_gateway());
        world.sandbox.fault(put_fails().times(9));
        let decision = json!({"state": "approved"});
        assert_eq!(world.patch(iid, &decision).await.0, StatusCode::SERVICE_UNAVAILABLE);
        world.expect_comment(iid, "**pipeline**");
        world.kill(disk).await;
        world.sandbox.clear_faults();
        world.reviewer().relabel(iid, &["job-match/sent"], &[]).unwrap();
        if fails_again {
            // What undoes the act comes through, what completes the decision does not.
            world.sandbox.fault(put_fails().after(1).times(4));
        }
        world.start().await;
        for _ in 0..4 {
            world.delta().await;
        }
        world.expect(iid, "approved").await;
        world.expect_comment(iid, "There is no step");
        let (_, answer) = world.get(&format!("/api/v1/matches/{iid}")).await;
        let steps = answer["history"].as_array().unwrap().len();
        assert_eq!((&answer["decided_by"], steps), (&json!("pipeline"), 1), "{disk:?} {fails_again}");
        world.finish().await;
    }
}

/// GitLab takes the request of somebody who may not set labels, and leaves the labels out.
#[tokio::test]
async fn a_decision_whose_label_gitlab_does_not_take_is_none() {
    let mut world = World::new().await;
    let iid = world.stage("1").await;
    world.sandbox.world().set_role("bot", Some(vorhoelle::sandbox::Role::Guest));
    let (status, answer) = world.patch(iid, &json!({"state": "approved"})).await;
    assert_eq!(status, StatusCode::BAD_GATEWAY, "{answer}");
    assert!(answer["detail"].as_str().unwrap().contains("did not take the label"), "{answer}");
    assert_eq!(world.state(iid).await, "pending");
    // GitLab tells of a write that changed nothing too; none follows on that.
    for _ in 0..5 {
        world.settle().await;
    }
    let is_write =
        |call: &vorhoelle::sandbox::Call| call.method == "PUT" && call.route.ends_with("/issues/:iid");
    let writes = || world.sandbox.calls().iter().filter(|call| is_write(call)).count();
    assert_eq!(writes(), 1);
    assert_eq!(world.get("/health").await.1["labels"]["not_taken"], json!([iid]));
    world.clock.advance(std::time::Duration::from_secs(61));
    world.settle().await;
    assert_eq!(writes(), 2, "after a minute it is tried again");
    assert_eq!(world.get("/health").await.1["labels"]["not_taken"], json!([iid]));
    // With its role back the decision, which was written down, is completed.
    world.sandbox.world().set_role("bot", Some(vorhoelle::sandbox::Role::Reporter));
    world.clock.advance(std::time::Duration::from_secs(121));
    for _ in 0..3 {
        world.delta().await;
    }
    assert_eq!(world.get("/health").await.1["labels"]["not_taken"], json!([]));
    world.expect(iid, "approved").await;
    world.expect_comment(iid, "**pipeline**");
    world.finish().await;
}

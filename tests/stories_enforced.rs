//! Stories of strangers where only reviewers decide, and of what GitLab does not say at once or after a lost disk.

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
use serde_json::json;
use support::{Disk, World};
use vorhoelle::sandbox::{Fault, HookMode, Trouble};

async fn enforced() -> World {
    World::set(&[("ENFORCE_REVIEWERS", "true"), ("REVIEWERS", "reviewer")]).await
}

/// What a stranger drags while the service is down, and its disk is lost: one act, which leaves one label.
#[tokio::test]
async fn what_a_stranger_decided_while_the_disk_was_lost_is_taken_back() {
    for (first, from, to) in [
        (None, "pending", "approved"),
        (None, "pending", "rejected"),
        (Some("approved"), "approved", "rejected"),
        (Some("approved"), "approved", "sent"),
        (Some("rejected"), "rejected", "approved"),
    ] {
        let mut world = enforced().await;
        let iid = world.stage("1").await;
        if let Some(state) = first {
            world.reviewer().relabel(iid, &[&format!("job-match/{state}")], &[]).unwrap();
            world.settle().await;
            world.expect(iid, state).await;
        }
        world.clock.advance(Duration::from_secs(60));
        world.kill(Disk::Wiped).await;
        let colleague = world.person("colleague");
        colleague.relabel(iid, &[&format!("job-match/{to}")], &[&format!("job-match/{from}")]).unwrap();
        match (from, to) {
            ("rejected", _) => colleague.reopen(iid).unwrap(),
            (_, "rejected" | "sent") => colleague.close(iid).unwrap(),
            _ => {}
        }
        world.start().await;
        world.engine.delta().await.unwrap();
        // Nobody builds on it meanwhile.
        if from == "pending" {
            let (status, _) = world.patch(iid, &json!({ "state": "sent" })).await;
            assert_eq!(status, StatusCode::CONFLICT, "{to}");
        }
        world.settle().await;
        world.expect(iid, from).await;
        world.expect_labels(iid, from);
        world.expect_comment(iid, "by colleague");
    }
}

/// Reviewers change. What the service followed stays, for it went on living afterwards.
#[tokio::test]
async fn what_an_earlier_reviewer_decided_outlives_a_lost_disk() {
    let mut world = World::set(&[("ENFORCE_REVIEWERS", "true"), ("REVIEWERS", "reviewer,colleague")]).await;
    let iid = world.stage("1").await;
    let colleague = world.person("colleague");
    colleague.relabel(iid, &["job-match/approved"], &["job-match/pending"]).unwrap();
    world.settle().await;
    world.expect(iid, "approved").await;
    world.clock.advance(Duration::from_secs(3_600));
    world.stage("2").await;
    world.set_variable("REVIEWERS", "reviewer");
    world.restart(Disk::Wiped).await;
    world.expect(iid, "approved").await;
    world.finish().await;
}

/// GitLab writes events a moment after what they tell of; a copy of it may show one without the other.
#[tokio::test]
async fn a_reviewers_label_whose_event_comes_later_is_not_taken_back() {
    let world = enforced().await;
    let iid = world.stage("1").await;
    let none = Trouble::Answer {
        status: 200,
        content_type: "application/json".to_owned(),
        body: "[]".to_owned(),
        retry_after: None,
    };
    world.sandbox.fault(Fault::new(Method::GET, "/resource_label_events", none).times(2));
    world.reviewer().relabel(iid, &["job-match/approved"], &[]).unwrap();
    world.settle().await;
    world.clock.advance(Duration::from_secs(2));
    world.settle().await;
    world.clock.advance(Duration::from_secs(2));
    world.settle().await;
    world.expect(iid, "approved").await;
    assert_eq!(world.comments(iid).len(), 0, "{:?}", world.comments(iid));
    let (_, answer) = world.get(&format!("/api/v1/matches/{iid}")).await;
    assert_eq!(answer["decided_by"], "reviewer");
    world.finish().await;
}

#[tokio::test]
async fn a_stranger_cannot_hide_what_a_reviewer_decided() {
    for drags_back in [false, true] {
        let mut world = enforced().await;
        let iid = world.stage("1").await;
        world.sandbox.hook_mode(HookMode::Lose);
        world.clock.advance(Duration::from_secs(60));
        world.reviewer().relabel(iid, &["job-match/approved"], &[]).unwrap();
        world.clock.advance(Duration::from_secs(60));
        let colleague = world.person("colleague");
        let removed: &[&str] = &["job-match/approved"];
        colleague.relabel(iid, if drags_back { &["job-match/pending"] } else { &[] }, removed).unwrap();
        world.delta().await;
        world.expect(iid, "approved").await;
        world.expect_comment(iid, "stays `job-match/approved`");
        let (_, answer) = world.get(&format!("/api/v1/matches/{iid}")).await;
        assert_eq!(
            (answer["decided_by"].as_str(), answer["history"].as_array().unwrap().len()),
            (Some("reviewer"), 1)
        );
        world.restart(Disk::Wiped).await;
        world.expect(iid, "approved").await;
        let (_, again) = world.get(&format!("/api/v1/matches/{iid}")).await;
        assert_eq!((&again["decided_by"], &again["history"]), (&answer["decided_by"], &answer["history"]));
        world.finish().await;
    }
}

/// Nothing of it was seen before the disk was lost.
#[tokio::test]
async fn nor_while_the_disk_is_lost() {
    let mut world = enforced().await;
    let iid = world.stage("1").await;
    world.kill(Disk::Wiped).await;
    world.clock.advance(Duration::from_secs(60));
    world.reviewer().relabel(iid, &["job-match/approved"], &[]).unwrap();
    world.clock.advance(Duration::from_secs(60));
    world.person("colleague").relabel(iid, &[], &["job-match/approved"]).unwrap();
    world.start().await;
    world.engine.delta().await.unwrap();
    world.settle().await;
    world.delta().await;
    world.expect(iid, "approved").await;
    world.expect_comment(iid, "stays `job-match/approved`");
    world.finish().await;
}

#[tokio::test]
async fn nor_a_closing_by_reopening() {
    let mut world = enforced().await;
    let iid = world.stage("1").await;
    // Its labels were looked at before.
    world.person("colleague").relabel(iid, &["job-match/approved"], &[]).unwrap();
    world.settle().await;
    world.expect_comment(iid, "stays `job-match/pending`");
    world.sandbox.hook_mode(HookMode::Lose);
    // The same sentence would not be said again so soon.
    world.clock.advance(Duration::from_secs(660));
    world.reviewer().close(iid).unwrap();
    world.clock.advance(Duration::from_secs(60));
    world.person("colleague").reopen(iid).unwrap();
    world.delta().await;
    world.expect(iid, "rejected").await;
    world.expect_comment(iid, "stays `job-match/rejected`");
    let (_, answer) = world.get(&format!("/api/v1/matches/{iid}")).await;
    assert_eq!(answer["decided_by"], "reviewer");
    world.finish().await;
}

#[tokio::test]
async fn a_strangers_touch_makes_no_decision_of_what_a_reviewer_took_back() {
    let world = enforced().await;
    let iid = world.stage("1").await;
    world.sandbox.hook_mode(HookMode::Lose);
    for (who, label) in [("reviewer", "job-match/approved"), ("colleague", "job-match/rejected")] {
        for (add, remove) in [(vec![label], vec![]), (vec![], vec![label])] {
            world.clock.advance(Duration::from_secs(60));
            world.person(who).relabel(iid, &add, &remove).unwrap();
        }
    }
    world.delta().await;
    world.expect(iid, "pending").await;
    assert!(world.comments(iid).is_empty(), "{:?}", world.comments(iid));
    world.finish().await;
}

#[tokio::test]
async fn who_undoes_their_own_act_is_told_nothing() {
    let world = enforced().await;
    let iid = world.stage("1").await;
    world.sandbox.hook_mode(HookMode::Lose);
    let colleague = world.person("colleague");
    colleague.relabel(iid, &["job-match/approved"], &[]).unwrap();
    world.clock.advance(Duration::from_secs(60));
    colleague.relabel(iid, &[], &["job-match/approved"]).unwrap();
    world.delta().await;
    world.expect(iid, "pending").await;
    assert!(world.comments(iid).is_empty());
    world.finish().await;
}

#[tokio::test]
async fn a_sentence_about_a_stranger_says_where_the_match_stays() {
    let mut world = enforced().await;
    let iid = world.stage("1").await;
    world.sandbox.hook_mode(HookMode::Lose);
    world.reviewer().relabel(iid, &["job-match/approved"], &[]).unwrap();
    world.clock.advance(Duration::from_secs(60));
    world.person("colleague").relabel(iid, &["job-match/rejected"], &[]).unwrap();
    world.delta().await;
    world.expect(iid, "approved").await;
    world.expect_comment(iid, "stays `job-match/approved`");
    world.finish().await;
}

#[tokio::test]
async fn a_stranger_who_takes_the_label_of_matches_off_hides_no_decision() {
    for disk in [Disk::Kept, Disk::Wiped] {
        let mut world = enforced().await;
        let iid = world.stage("1").await;
        world.sandbox.hook_mode(HookMode::Lose);
        world.reviewer().relabel(iid, &["job-match/approved"], &[]).unwrap();
        world.clock.advance(Duration::from_secs(60));
        world.person("colleague").relabel(iid, &[], &["job-match"]).unwrap();
        world.restart(disk).await;
        world.delta().await;
        world.expect(iid, "approved").await;
        world.expect_comment(iid, "stays `job-match/approved`");
        let (_, answer) = world.get(&format!("/api/v1/matches/{iid}")).await;
        assert_eq!(answer["decided_by"], "reviewer", "{disk:?}");
        world.finish().await;
    }
}

#[tokio::test]
async fn a_reviewers_closing_counts_although_the_disk_was_lost_meanwhile() {
    let mut world = enforced().await;
    let (closed, reopened) = (world.stage("1").await, world.stage("2").await);
    world.reviewer().close(reopened).unwrap();
    world.settle().await;
    world.clock.advance(Duration::from_secs(60));
    world.kill(Disk::Wiped).await;
    world.reviewer().close(closed).unwrap();
    world.reviewer().reopen(reopened).unwrap();
    world.start().await;
    world.delta().await;
    world.expect(closed, "rejected").await;
    world.expect(reopened, "pending").await;
    let (_, answer) = world.get(&format!("/api/v1/matches/{closed}")).await;
    assert_eq!(answer["decided_by"], "reviewer");
    world.finish().await;
}

/// What a reviewer moved in the same go counts once the match is back.
#[tokio::test]
async fn who_moved_a_match_before_taking_it_out_is_known_when_it_is_put_back() {
    for disk in [Disk::Kept, Disk::Wiped] {
        let mut world = enforced().await;
        let iid = world.stage("1").await;
        world.reviewer().relabel(iid, &["job-match/approved"], &["job-match/pending", "job-match"]).unwrap();
        world.settle().await;
        assert_eq!(world.state(iid).await, "none");
        world.clock.advance(Duration::from_secs(60));
        world.restart(disk).await;
        world.reviewer().relabel(iid, &["job-match"], &[]).unwrap();
        world.settle().await;
        world.expect(iid, "approved").await;
        assert_eq!(
            world.get(&format!("/api/v1/matches/{iid}")).await.1["decided_by"],
            "reviewer",
            "{disk:?}"
        );
        world.finish().await;
    }
}

/// Two issues of one match, from two instances at once; what is done to the second is told of before it is retired.
#[tokio::test]
async fn a_second_issue_is_no_way_round_the_reviewers() {
    for (who, expected) in [("colleague", "pending"), ("reviewer", "rejected")] {
        let mut world = enforced().await;
        world.stage_twice(support::job("1")).await;
        world.sandbox.hook_mode(HookMode::Lose);
        world.clock.advance(Duration::from_secs(60));
        world.person(who).close(2).unwrap();
        for _ in 0..3 {
            world.delta().await;
            world.settle_all().await;
        }
        world.expect(1, expected).await;
        assert_eq!((world.labels(2), world.is_open(2)), (Vec::new(), false));
        assert_eq!(world.comments(1).len(), usize::from(who == "reviewer"), "{:?}", world.comments(1));
    }
}

/// A stranger puts the label of a closing or reopening on that a reviewer made, beside one that is taken back: the step is the
/// reviewer's, at their time.
#[tokio::test]
async fn a_closing_is_the_reviewers_whoever_put_its_label_on() {
    for (begin, end) in [("pending", "rejected"), ("rejected", "pending")] {
        let mut world = enforced().await;
        let iid = world.stage_in("1", begin).await;
        world.kill(Disk::Kept).await;
        let labels = [begin, end].map(|state| format!("job-match/{state}"));
        let colleague = world.person("colleague");
        colleague.relabel(iid, &["job-match/sent"], &[]).unwrap();
        if end == "rejected" {
            world.reviewer().close(iid).unwrap();
        } else {
            world.reviewer().reopen(iid).unwrap();
        }
        world.clock.advance(Duration::from_secs(9));
        colleague.relabel(iid, &[&labels[1]], &[&labels[0]]).unwrap();
        world.start().await;
        world.delta().await;
        for disk in [Disk::Kept, Disk::Wiped] {
            world.restart(disk).await;
            world.look_twice().await;
            world.expect(iid, end).await;
            let (_, answer) = world.get(&format!("/api/v1/matches/{iid}")).await;
            let last = answer["history"].as_array().unwrap().last().unwrap();
            assert_eq!((&last["to"], &last["by"]), (&json!(end), &json!("reviewer")), "{disk:?}: {answer}");
        }
    }
}

/// As where a discussion is locked, or a role may label but not comment.
#[tokio::test]
async fn a_strangers_label_goes_though_gitlab_takes_no_comment() {
    let world = enforced().await;
    let iid = world.stage("1").await;
    world.sandbox.fault(Fault::new(Method::POST, "/notes", Trouble::status(403)).times(100));
    world.person("colleague").relabel(iid, &["job-match/approved"], &[]).unwrap();
    world.settle().await;
    world.expect(iid, "pending").await;
    world.sandbox.clear_faults();
    world.delta().await;
    world.expect(iid, "pending").await;
    world.finish().await;
}

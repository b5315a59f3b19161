//! Stories of issues that people made by hand, and of what else the service must know without having seen it happen.

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
use support::{Difference, Disk, World};
use vorhoelle::clock::Clock;
use vorhoelle::sandbox::{Fault, Trouble};

async fn adopted(world: &World, title: &str) -> u64 {
    let iid = world.reviewer().create_issue(title, "", &["job-match"]).unwrap();
    world.settle().await;
    world.expect(iid, "pending").await;
    iid
}

async fn history(world: &World, iid: u64) -> Value {
    world.get(&format!("/api/v1/matches/{iid}")).await.1["history"].clone()
}

#[tokio::test]
async fn what_was_decided_about_adopted_issues_is_known_after_a_lost_disk() {
    for enforced in ["true", "false"] {
        let mut world = World::set(&[("ENFORCE_REVIEWERS", enforced), ("REVIEWERS", "reviewer")]).await;
        let (by_api, closed, dragged, undone) = (
            adopted(&world, "By API").await,
            adopted(&world, "Closed").await,
            adopted(&world, "Dragged").await,
            adopted(&world, "Undone").await,
        );
        for state in ["approved", "sent"] {
            assert_eq!(world.patch(by_api, &json!({ "state": state })).await.0, StatusCode::OK);
            world.expect_comment(by_api, "**pipeline**");
        }
        world.reviewer().close(closed).unwrap();
        let pending = ["job-match/pending"];
        world.reviewer().relabel(dragged, &["job-match/approved"], &pending).unwrap();
        world.reviewer().relabel(undone, &["job-match/rejected"], &[]).unwrap();
        world.settle().await;
        world.reviewer().reopen(undone).unwrap();
        world.settle().await;
        let all = [(by_api, "sent"), (closed, "rejected"), (dragged, "approved"), (undone, "pending")];
        let mut before = Vec::new();
        for (iid, state) in all {
            world.expect(iid, state).await;
            before.push(history(&world, iid).await);
        }
        world.restart(Disk::Wiped).await;
        world.look_twice().await;
        for ((iid, state), before) in all.into_iter().zip(before) {
            world.expect(iid, state).await;
            assert_eq!(history(&world, iid).await, before, "#{iid}, enforced {enforced}");
        }
        world.finish().await;
    }
}

/// Two months lie between an issue and its `job-match`: nobody could decide about it before.
#[tokio::test]
async fn what_becomes_a_match_long_after_its_issue_was_made_has_the_whole_time_until_it_expires() {
    const DAY: u64 = 24 * 60;
    for disk in [Disk::Kept, Disk::Wiped] {
        let file = Some("language: en\nexpire_after: 3d\nquiet_alarm_after: off\n");
        let mut world = World::with(Difference { file, ..Difference::default() }).await;
        let by_hand = world.reviewer().create_issue("By hand", "", &[]).unwrap();
        let withdrawn = world.stage("1").await;
        world.reviewer().relabel(withdrawn, &[], &["job-match"]).unwrap();
        world.settle().await;
        world.tell_after(60 * DAY).await;
        for iid in [by_hand, withdrawn] {
            world.reviewer().relabel(iid, &["job-match"], &[]).unwrap();
        }
        world.settle().await;
        world.restart(disk).await;
        world.delta().await;
        world.tell_after(2 * DAY).await;
        for iid in [by_hand, withdrawn] {
            world.expect(iid, "pending").await;
        }
        world.tell_after(DAY).await;
        for iid in [by_hand, withdrawn] {
            world.expect(iid, "rejected").await;
            world.expect_comment(iid, "not decided in time");
        }
        world.finish().await;
    }
}

#[tokio::test]
async fn a_refused_step_is_no_step_after_a_lost_disk() {
    let mut world = World::set(&[("ENFORCE_REVIEWERS", "true"), ("REVIEWERS", "reviewer")]).await;
    let iid = world.stage("1").await;
    world.person("colleague").relabel(iid, &["job-match/rejected"], &["job-match/pending"]).unwrap();
    world.settle().await;
    world.expect(iid, "pending").await;
    world.expect_comment(iid, "colleague");
    world.restart(Disk::Wiped).await;
    world.look_twice().await;
    assert_eq!(history(&world, iid).await, json!([]));
    world.finish().await;
}

/// All of it came before the service had heard of the issue: what a reviewer decided counts, and what strangers did then is
/// taken back, as if it had heard of it at once.
#[tokio::test]
async fn what_reviewers_and_strangers_did_before_an_issue_was_adopted_counts_as_if_it_had_been() {
    for (made_in, by_reviewer, by_stranger, ends) in [
        ("job-match/pending", Some("job-match/rejected"), "job-match/sent", "rejected"),
        ("job-match/approved", None, "job-match/pending", "approved"),
    ] {
        let mut world = World::set(&[("ENFORCE_REVIEWERS", "true"), ("REVIEWERS", "reviewer")]).await;
        world.kill(Disk::Kept).await;
        let iid = world.reviewer().create_issue("By hand", "", &["job-match", made_in]).unwrap();
        world.clock.advance(Duration::from_secs(60));
        let mut last = made_in;
        if let Some(label) = by_reviewer {
            world.reviewer().relabel(iid, &[label], &[last]).unwrap();
            world.clock.advance(Duration::from_secs(60));
            last = label;
        }
        world.person("colleague").relabel(iid, &[by_stranger], &[last]).unwrap();
        world.start().await;
        world.delta().await;
        world.expect(iid, ends).await;
        world.expect_comment(iid, "by colleague");
        for disk in [Disk::Kept, Disk::Wiped] {
            world.restart(disk).await;
            world.look_twice().await;
            world.expect(iid, ends).await;
            let history = history(&world, iid).await;
            let steps: Vec<_> = history.as_array().unwrap().iter().map(|step| &step["by"]).collect();
            let decided: Vec<&str> = by_reviewer.map(|_| "reviewer").into_iter().collect();
            assert_eq!(steps, decided, "{made_in}, disk {disk:?}");
        }
        world.finish().await;
    }
}

/// A service whose disk is lost had closed it as sent; before the next one heard of it somebody moved it on.
#[tokio::test]
async fn what_was_closed_by_a_service_that_died_was_adopted() {
    let mut world = World::new().await;
    let iid = world.reviewer().create_issue("By hand", "", &["job-match", "job-match/sent"]).unwrap();
    world.settle().await;
    world.expect(iid, "sent").await;
    world.kill(Disk::Wiped).await;
    world.person("colleague").relabel(iid, &["job-match/rejected"], &["job-match/sent"]).unwrap();
    world.start().await;
    world.delta().await;
    world.delta().await;
    world.expect(iid, "sent").await;
    world.expect_comment(iid, "no step from `job-match/sent` to `job-match/rejected`");
    world.finish().await;
}

/// Whatever its maker had put on, who may not decide or put on two: it was taken in as pending, and that is no step.
#[tokio::test]
async fn what_an_issue_carried_before_it_was_taken_in_is_no_step() {
    for (enforced, who, labels) in [
        ("true", "colleague", vec!["job-match/approved"]),
        ("true", "colleague", vec!["job-match/rejected"]),
        ("false", "reviewer", vec!["job-match/sent", "job-match/approved"]),
    ] {
        let mut world = World::set(&[("ENFORCE_REVIEWERS", enforced), ("REVIEWERS", "reviewer")]).await;
        world.kill(Disk::Kept).await;
        let iid = world.person(who).create_issue("By hand", "", &["job-match", labels[0]]).unwrap();
        if let [_, then @ ..] = labels.as_slice() {
            world.person(who).relabel(iid, then, &[]).unwrap();
        }
        world.start().await;
        world.delta().await;
        world.expect(iid, "pending").await;
        for disk in [Disk::Kept, Disk::Wiped] {
            world.restart(disk).await;
            world.look_twice().await;
            assert_eq!(history(&world, iid).await, json!([]), "{labels:?}, disk {disk:?}");
        }
    }
}

#[tokio::test]
async fn a_sentence_whose_comment_failed_is_written_at_the_next_look() {
    for trouble in [Trouble::status(503), Trouble::DropAnswer, Trouble::CutBefore] {
        let mut world = World::new().await;
        let iid = world.stage("1").await;
        world.sandbox.fault(Fault::new(Method::POST, &format!("/issues/{iid}/notes"), trouble));
        world.reviewer().relabel(iid, &["job-match/sent"], &[]).unwrap();
        world.settle().await;
        for _ in 0..2 {
            world.tell_after(2).await;
        }
        world.expect(iid, "pending").await;
        world.expect_comment(iid, "There is no step from `job-match/pending` to `job-match/sent`");
        world.finish().await;
    }
}

#[tokio::test]
async fn a_closing_by_hand_makes_no_second_label_where_one_was_renamed() {
    let world = World::new().await;
    let iid = world.stage("1").await;
    world.clock.advance(Duration::from_secs(3600));
    world.sandbox.as_user("owner").rename_label("job-match/rejected", "Absage").unwrap();
    world.reviewer().close(iid).unwrap();
    world.settle().await;
    assert_eq!(world.state(iid).await, "rejected");
    assert_eq!(world.labels(iid), ["Absage", "job-match"]);
    assert_eq!(world.sandbox.world().labels.len(), 6);
}

#[tokio::test]
async fn a_decision_repeated_before_its_history_is_read_is_one() {
    let mut world = World::new().await;
    let iid = world.stage("1").await;
    world.sandbox.fault(Fault::new(Method::PUT, "/issues/", Trouble::bad_gateway()).times(9));
    let decision = json!({"state": "approved", "comment": "yes"});
    assert_eq!(world.patch(iid, &decision).await.0, StatusCode::SERVICE_UNAVAILABLE);
    world.expect_comment(iid, "**pipeline**");
    world.kill(Disk::Wiped).await;
    world.sandbox.clear_faults();
    let notes = format!("/issues/{iid}/notes");
    world.sandbox.fault(Fault::new(Method::GET, &notes, Trouble::status(500)).times(100));
    world.start().await;
    world.delta().await;
    world.sandbox.clear_faults();
    assert_eq!(world.get("/api/v1/decisions").await.0, StatusCode::SERVICE_UNAVAILABLE, "it is not read yet");
    assert_eq!(world.patch(iid, &decision).await.0, StatusCode::OK);
    world.expect(iid, "approved").await;
    assert_eq!(history(&world, iid).await.as_array().unwrap().len(), 1);
    world.finish().await;
}

/// The loops of the service wait for a ring: what waits for the first read is looked at when that has ended.
#[tokio::test]
async fn what_was_made_while_the_service_was_down_is_looked_at_right_after_the_first_read() {
    let mut world = World::new().await;
    world.kill(Disk::Wiped).await;
    let iid = world.reviewer().create_issue("By hand", "", &["job-match"]).unwrap();
    world.start().await;
    let engine = world.engine.clone();
    let working = tokio::spawn(async move { engine.work().await });
    tokio::task::yield_now().await;
    world.engine.delta().await.unwrap();
    let looked_at = async {
        while world.state(iid).await != "pending" {
            Clock::System.sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), looked_at).await.expect("it is looked at");
    working.abort();
}

/// Who labelled it was looked at when it was adopted; what became of them since takes nothing away.
#[tokio::test]
async fn what_was_adopted_stays_so_after_a_lost_disk_whoever_labelled_it() {
    for enforced in ["true", "false"] {
        let mut world = World::set(&[("ENFORCE_REVIEWERS", enforced), ("REVIEWERS", "reviewer")]).await;
        let by_colleague =
            world.person("colleague").create_issue("By a colleague", "", &["job-match"]).unwrap();
        let (restored, taken_off) = (adopted(&world, "Restored").await, adopted(&world, "Taken off").await);
        world.settle().await;
        world.reviewer().relabel(by_colleague, &["job-match/approved"], &[]).unwrap();
        world.settle().await;
        if enforced == "true" {
            world.person("colleague").relabel(taken_off, &[], &["job-match"]).unwrap();
            world.settle().await;
            world.expect_comment(taken_off, "by colleague");
        }
        world.sandbox.as_user("owner").delete_label("job-match").unwrap();
        world.delta().await;
        world.sandbox.world().set_role("colleague", Some(vorhoelle::sandbox::Role::Guest));
        world.restart(Disk::Wiped).await;
        world.look_twice().await;
        world.expect(by_colleague, "approved").await;
        world.expect(restored, "pending").await;
        world.expect(taken_off, "pending").await;
        assert_eq!(world.get("/health").await.1["ignored_issues"], 0);
        world.finish().await;
    }
}

#[tokio::test]
async fn with_a_reviewers_own_token_they_adopt_what_somebody_else_made() {
    let world = World::set(&[("REVIEWERS", "bot")]).await;
    let iid = world.person("colleague").create_issue("Found by a colleague", "", &[]).unwrap();
    world.person("bot").relabel(iid, &["job-match"], &[]).unwrap();
    world.settle().await;
    world.expect(iid, "pending").await;
}

/// A copy of GitLab that does not tell yet who labelled an issue: whoever made it is not asked in their stead.
#[tokio::test]
async fn a_label_whose_event_comes_later_is_looked_at_again() {
    let world = World::new().await;
    world.sandbox.world().set_role("stranger", Some(vorhoelle::sandbox::Role::Guest));
    world.sandbox.hook_mode(vorhoelle::sandbox::HookMode::Lose);
    let iid = world.person("stranger").create_issue("By a guest", "", &[]).unwrap();
    world.reviewer().relabel(iid, &["job-match"], &[]).unwrap();
    let none = Trouble::Answer {
        status: 200,
        content_type: "application/json".to_owned(),
        body: "[]".to_owned(),
        retry_after: None,
    };
    world.sandbox.fault(Fault::new(Method::GET, "/resource_label_events", none));
    world.delta().await;
    world.clock.advance(Duration::from_secs(5));
    world.settle().await;
    world.expect(iid, "pending").await;
    world.finish().await;
}

/// Nobody but its maker ever put a state label on it.
#[tokio::test]
async fn what_somebody_made_with_all_its_labels_stays_adopted_after_a_lost_disk() {
    let mut world = World::new().await;
    let iid = world.reviewer().create_issue("By hand", "", &["job-match", "job-match/pending"]).unwrap();
    world.settle().await;
    world.expect(iid, "pending").await;
    world.sandbox.as_user("owner").delete_label("job-match").unwrap();
    world.delta().await;
    world.restart(Disk::Wiped).await;
    world.look_twice().await;
    world.expect(iid, "pending").await;
    world.finish().await;
}

/// A stranger puts a state label on a moment after `job-match`, before the service has heard of the issue.
#[tokio::test]
async fn a_strangers_label_a_moment_after_job_match_is_none_of_an_adopted_issue() {
    for label in ["job-match/approved", "job-match/sent"] {
        let mut world = World::set(&[("ENFORCE_REVIEWERS", "true"), ("REVIEWERS", "reviewer")]).await;
        world.kill(Disk::Kept).await;
        let stranger = world.person("colleague");
        let iid = stranger.create_issue("By hand", "", &["job-match"]).unwrap();
        world.clock.advance(Duration::from_secs(60));
        stranger.relabel(iid, &[label], &[]).unwrap();
        world.start().await;
        world.delta().await;
        world.expect(iid, "pending").await;
        world.expect_comment(iid, "by colleague");
        world.finish().await;
    }
}

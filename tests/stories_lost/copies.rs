//! GitLab's copies lag behind, one more than the other; and all of GitLab may be set back. What was once said counts until it
//! is shown.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use vorhoelle::engine::Hint;
use vorhoelle::sandbox::{Fault, HookMode, Trouble};

use super::support::{Disk, World, job};
use super::{ENFORCED, deaf};

/// For some reads GitLab tells of no label event after this moment.
async fn tell_no_event_from_now_on(world: &World, iid: u64, reads: u32) {
    let path = format!("{}/api/v4/projects/4711/issues/{iid}/resource_label_events", world.sandbox.url());
    let events =
        world.http.get(path).header("private-token", world.sandbox.token("bot")).send().await.unwrap();
    let content_type = "application/json".to_owned();
    let body = events.error_for_status().unwrap().text().await.unwrap();
    assert!(body.contains("job-match"), "{body}");
    let before = Trouble::Answer { status: 200, content_type, body, retry_after: None };
    world.sandbox.fault(Fault::new(Method::GET, "/resource_label_events", before).times(reads));
}

/// Every look that is due within some seconds is made.
async fn some_seconds(world: &World) {
    for _ in 0..5 {
        world.clock.advance(Duration::from_secs(1));
        world.settle().await;
    }
}

/// The first list after a lost disk is of the moment before the service took a stranger's label back.
#[tokio::test]
async fn what_a_lagging_list_shows_after_a_lost_disk_is_nobodys_decision() {
    let mut world = World::set(&ENFORCED).await;
    let iid = world.stage("1").await;
    let stranger = world.person("colleague");
    stranger.relabel(iid, &["job-match/approved"], &["job-match/pending"]).unwrap();
    world.settle().await;
    world.expect(iid, "pending").await;
    world.expect_comment(iid, "by colleague");
    world.sandbox.fault(Fault::new(Method::GET, "/issues", Trouble::Stale).times(4));
    world.restart(Disk::Wiped).await;
    world.look_twice().await;
    world.expect(iid, "pending").await;
    world.finish().await;
}

#[tokio::test]
async fn a_withdrawal_whose_event_comes_later_is_not_taken_back() {
    let world = World::new().await;
    let iid = world.stage("1").await;
    tell_no_event_from_now_on(&world, iid, 2).await;
    world.reviewer().relabel(iid, &[], &["job-match"]).unwrap();
    world.settle().await;
    some_seconds(&world).await;
    assert!(world.sandbox.faults().is_empty());
    assert_eq!(
        (world.labels(iid), world.state(iid).await),
        (vec!["job-match/pending".to_owned()], "none".to_owned())
    );
    world.finish().await;
}

#[tokio::test]
async fn a_decision_whose_event_comes_later_is_theirs_who_made_it() {
    let world = World::new().await;
    let iid = world.stage("1").await;
    tell_no_event_from_now_on(&world, iid, 2).await;
    world.reviewer().relabel(iid, &["job-match/approved"], &[]).unwrap();
    let at = world.clock.now();
    world.settle().await;
    some_seconds(&world).await;
    world.expect(iid, "approved").await;
    let (_, answer) = world.get(&format!("/api/v1/matches/{iid}")).await;
    assert_eq!(
        (&answer["decided_by"], &answer["decided_at"]),
        (&"reviewer".into(), &at.to_string().into()),
        "{answer}"
    );
    world.finish().await;
}

/// By the looks alone the second would be no step.
#[tokio::test]
async fn two_steps_whose_events_come_later_are_both_followed() {
    let world = World::new().await;
    let iid = world.stage("1").await;
    tell_no_event_from_now_on(&world, iid, 2).await;
    world.sandbox.hook_mode(HookMode::Lose);
    world.reviewer().relabel(iid, &["job-match/approved"], &["job-match/pending"]).unwrap();
    world.sandbox.hook_mode(HookMode::Deliver);
    world.reviewer().relabel(iid, &["job-match/sent"], &["job-match/approved"]).unwrap();
    world.settle().await;
    some_seconds(&world).await;
    world.expect(iid, "sent").await;
    world.finish().await;
}

/// What GitLab's own delivery said is not forgotten because some reads were of before it.
#[tokio::test]
async fn an_issue_is_looked_at_until_it_shows_what_its_delivery_said() {
    let world = World::new().await;
    let iid = world.stage("1").await;
    world.sandbox.fault(Fault::new(Method::GET, &format!("/issues/{iid}"), Trouble::Stale).times(4));
    world.reviewer().relabel(iid, &["job-match/approved"], &[]).unwrap();
    world.settle().await;
    assert_eq!(world.state(iid).await, "pending");
    some_seconds(&world).await;
    assert!(world.sandbox.faults().is_empty());
    world.expect(iid, "approved").await;
    world.finish().await;
}

/// It is there once more, as it was some time before it was deleted.
#[tokio::test]
async fn a_deleted_match_that_a_backup_brings_back_is_not_staged_beside_it() {
    let (world, iid) = deaf(&[]).await;
    let backup = world.sandbox.world().issue(iid).unwrap().clone();
    world.clock.advance(Duration::from_secs(60));
    world.reviewer().comment(iid, "Looks good.").unwrap();
    world.delta().await;
    world.sandbox.as_user("owner").delete_issue(iid).unwrap();
    world.look_twice().await;
    assert_eq!(world.state(iid).await, "none");
    world.sandbox.world().issues.insert(iid, backup);
    for _ in 0..8 {
        world.delta().await;
    }
    let (status, answer) = world.post(&job("1")).await;
    assert_eq!((status, answer["iid"].as_u64()), (StatusCode::OK, Some(iid)), "{answer}");
    world.expect(iid, "pending").await;
}

/// Our clock was a day ahead when it was explained first.
#[tokio::test]
async fn a_wrong_act_is_explained_again_after_our_clock_was_set_right() {
    let mut world = World::new().await;
    let iid = world.stage("1").await;
    world.clock_jumps(86_400);
    for jump in [-86_400, 0] {
        world.reviewer().relabel(iid, &["job-match/sent"], &[]).unwrap();
        world.settle().await;
        world.expect(iid, "pending").await;
        world.expect_comment(iid, "There is no step");
        world.clock_jumps(jump);
        world.clock.advance(Duration::from_secs(11 * 60));
    }
    world.finish().await;
}

/// The label that a copy did not show yet is followed as what it is, not as the one like it of long before.
#[tokio::test]
async fn a_label_that_a_copy_lacked_is_a_step_of_its_own() {
    let (world, iid) = deaf(&[]).await;
    for label in ["job-match/approved", "job-match/rejected"] {
        world.reviewer().relabel(iid, &[label], &[]).unwrap();
        world.delta().await;
    }
    world.reviewer().reopen(iid).unwrap();
    world.clock.advance(Duration::from_secs(150));
    world.reviewer().relabel(iid, &["job-match/approved"], &[]).unwrap();
    world.sandbox.fault(Fault::new(Method::GET, &format!("/issues/{iid}"), Trouble::Stale));
    world.engine.hint(iid, Hint::default());
    world.settle().await;
    world.delta().await;
    world.expect(iid, "approved").await;
    let (_, answer) = world.get(&format!("/api/v1/matches/{iid}")).await;
    let to: Vec<_> = answer["history"].as_array().unwrap().iter().map(|step| &step["to"]).collect();
    assert_eq!(to.last().unwrap(), &"approved", "{answer}");
    world.finish().await;
}

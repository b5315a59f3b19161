//! Commands beside the service, on the same disk, and what a process takes into its grave.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::json;
use vorhoelle::domain::State;
use vorhoelle::domain::history::Through;
use vorhoelle::engine::Decision;
use vorhoelle::sandbox::{Commented, Fault, HookMode, Trouble};

use super::deaf;
use super::support::{Disk, World, job};

/// `mirror rebuild` reads histories after everything else, which takes minutes in a large project.
#[tokio::test]
async fn what_is_withdrawn_is_not_staged_again_while_a_rebuild_reads_histories() {
    let world = World::new().await;
    let (withdrawn, approved) = (world.stage("1").await, world.stage_in("2", "approved").await);
    world.reviewer().relabel(withdrawn, &[], &["job-match"]).unwrap();
    world.settle().await;
    let rebuild = world.process_beside();
    rebuild.set_follows(false);
    rebuild.connected().await.unwrap();
    rebuild.mirror().clear().unwrap();
    let history = format!("/issues/{approved}/resource_label_events");
    let slow = Trouble::slow_body(Duration::from_secs(10));
    world.sandbox.fault(Fault::new(Method::GET, &history, slow));
    let post = async {
        world.until_called(|call| call.path.contains(&history)).await;
        let answer = world.post(&job("1")).await;
        world.sandbox.end_pauses();
        answer
    };
    let (read, (status, answer)) = tokio::join!(rebuild.delta(), post);
    read.unwrap();
    assert_eq!((status, answer["iid"].as_u64()), (StatusCode::OK, Some(withdrawn)), "{answer}");
    assert_eq!(world.sandbox.world().issues.len(), 2);
    world.finish().await;
}

/// The command makes the label again that it puts on, and has no time for all the others that had it.
#[tokio::test]
async fn a_label_that_a_command_made_again_is_reported_and_put_back_by_the_service() {
    let (world, approved) = deaf(&[]).await;
    world.reviewer().relabel(approved, &["job-match/approved"], &["job-match/pending"]).unwrap();
    world.delta().await;
    let iid = world.stage("2").await;
    world.sandbox.as_user("owner").delete_label("job-match/approved").unwrap();
    let command = world.process_beside();
    command.set_follows(false);
    command.delta().await.unwrap();
    command.set_follows(true);
    let decision = Decision {
        from: None,
        to: State::Approved,
        by: "cli".to_owned(),
        through: Through::Cli,
        comment: None,
    };
    command.decide(iid, decision).await.unwrap();
    world.delta().await;
    assert_eq!(world.engine.status().label_made_again, Some("job-match/approved"));
    world.expect(approved, "approved").await;
    world.expect(iid, "approved").await;
}

/// Somebody's comment goes at the same time: there are as many as before.
#[tokio::test]
async fn a_decision_that_broke_off_is_completed_whatever_other_comments_are_deleted() {
    let (mut world, iid) = deaf(&[]).await;
    let said = world.reviewer().comment(iid, "Looks good.").unwrap();
    let Commented::Stored(note, _) = said else { panic!("{said:?}") };
    world.delta().await;
    world.sandbox.fault(Fault::new(Method::PUT, "/issues/", Trouble::status(503)).times(99));
    assert_eq!(world.patch(iid, &json!({"state": "approved"})).await.0, StatusCode::SERVICE_UNAVAILABLE);
    world.reviewer().delete_comment(iid, note).unwrap();
    world.kill(Disk::Kept).await;
    world.sandbox.clear_faults();
    world.start().await;
    world.delta().await;
    world.expect(iid, "approved").await;
    world.expect_comment(iid, "**pipeline**");
    world.finish().await;
}

/// Its look failed, and the process ended: of closed matches only the next hundred are asked for by number.
#[tokio::test]
async fn what_the_last_read_saw_and_nobody_followed_is_seen_by_the_next() {
    let mut world = World::new().await;
    world.sandbox.hook_mode(HookMode::Lose);
    for hundred in [0..100, 100..101] {
        let jobs: Vec<_> = hundred.map(|number| job(&number.to_string())).collect();
        assert_eq!(world.post(&json!(jobs)).await.0, StatusCode::OK);
    }
    for iid in 1..=101 {
        world.reviewer().close(iid).unwrap();
    }
    world.delta().await;
    world.expect(101, "rejected").await;
    world.reviewer().reopen(101).unwrap();
    // Something else goes on, up to which everything is read.
    world.clock.advance(Duration::from_secs(120));
    world.reviewer().comment(1, "Looks good.").unwrap();
    world.sandbox.fault(Fault::new(Method::GET, "/issues/101", Trouble::status(500)).times(99));
    world.clock.advance(Duration::from_secs(300));
    world.engine.delta().await.unwrap();
    world.kill(Disk::Kept).await;
    world.sandbox.clear_faults();
    world.start().await;
    world.delta().await;
    world.expect(101, "pending").await;
}

/// One issue that nobody may write to.
#[tokio::test]
async fn one_issue_that_refuses_its_label_keeps_no_other_from_getting_it_back() {
    let (mut world, refusing) = deaf(&[]).await;
    let other = world.stage("2").await;
    world.sandbox.as_user("owner").delete_label("job-match").unwrap();
    world
        .sandbox
        .fault(Fault::new(Method::PUT, &format!("/issues/{refusing}"), Trouble::status(403)).times(99));
    world.kill(Disk::Wiped).await;
    world.start().await;
    world.delta().await;
    world.expect(other, "pending").await;
    assert_eq!(world.post(&job("3")).await.0, StatusCode::CREATED);
    world.sandbox.clear_faults();
    world.look_twice().await;
    world.expect(refusing, "pending").await;
    world.finish().await;
}

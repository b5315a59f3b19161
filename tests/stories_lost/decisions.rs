//! Decisions that were written down and whose label did not follow at once.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use vorhoelle::sandbox::{Fault, Trouble};

use super::deaf;
use super::support::{Disk, World};

/// A pending match that the pipeline approved while GitLab took no labels.
async fn unlabelled() -> (World, u64) {
    let (world, iid) = deaf(&[]).await;
    let trouble = Fault::new(Method::PUT, "/issues/", Trouble::bad_gateway());
    world.sandbox.fault(trouble.times(99));
    let (status, _) = world.patch(iid, &json!({"state": "approved", "comment": "near"})).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    (world, iid)
}

async fn history(world: &World, iid: u64) -> Value {
    world.get(&format!("/api/v1/matches/{iid}")).await.1["history"].clone()
}

/// Taken out it is nobody's to decide about; put back it is staged anew, as its label says.
#[tokio::test]
async fn a_match_that_was_taken_out_since_is_not_decided_about() {
    for disk in [Disk::Kept, Disk::Wiped] {
        for is_tracked in [false, true] {
            let (mut world, iid) = unlabelled().await;
            world.kill(disk).await;
            world.sandbox.clear_faults();
            world.reviewer().relabel(iid, &[], &["job-match"]).unwrap();
            world.start().await;
            world.delta().await;
            world.reviewer().comment(iid, "Why?").unwrap();
            world.delta().await;
            assert_eq!(world.labels(iid), ["job-match/pending"], "{disk:?}");
            world.reviewer().relabel(iid, &["job-match"], &[]).unwrap();
            world.delta().await;
            if is_tracked {
                let url = world.url(&format!("/api/v1/matches/{iid}/application"));
                let (status, _) = world.call(world.http.patch(url).json(&json!({"notes": "n"}))).await;
                assert_eq!(status, StatusCode::OK);
            }
            world.reviewer().comment(iid, "Ah.").unwrap();
            world.delta().await;
            world.restart(Disk::Wiped).await;
            world.delta().await;
            world.expect(iid, "pending").await;
            assert_eq!(history(&world, iid).await, json!([]), "{disk:?}");
            world.expect_comment(iid, "**pipeline**");
            if is_tracked {
                world.expect_comment(iid, "| Notes | n |");
            }
            world.finish().await;
        }
    }
}

/// An outage lasted the night. Who decided, and when, does not go with the disk.
#[tokio::test]
async fn who_made_a_decision_whose_label_came_hours_later_is_known_after_a_lost_disk() {
    let (mut world, iid) = unlabelled().await;
    world.clock.advance(Duration::from_secs(8 * 60 * 60));
    world.sandbox.clear_faults();
    world.delta().await;
    world.expect(iid, "approved").await;
    let before = history(&world, iid).await;
    let step = &before[0];
    assert_eq!(
        (&step["by"], &step["through"], &step["comment"]),
        (&json!("pipeline"), &json!("api"), &json!("near"))
    );
    world.restart(Disk::Wiped).await;
    world.delta().await;
    assert_eq!(history(&world, iid).await, before);
    world.expect_comment(iid, "**pipeline**");
    world.finish().await;
}

/// It came to nothing, for people acted; a later act of theirs is their own, however soon it comes.
#[tokio::test]
async fn what_a_person_does_after_a_void_decision_is_not_said_to_be_that_decision() {
    let (mut world, iid) = unlabelled().await;
    world.kill(Disk::Kept).await;
    world.sandbox.clear_faults();
    let rejected = ["job-match/rejected"];
    world.reviewer().relabel(iid, &rejected, &["job-match/pending"]).unwrap();
    world.start().await;
    world.delta().await;
    world.reviewer().relabel(iid, &["job-match/pending"], &rejected).unwrap();
    world.delta().await;
    world.reviewer().relabel(iid, &["job-match/approved"], &[]).unwrap();
    world.delta().await;
    for disk in [Disk::Kept, Disk::Wiped] {
        world.restart(disk).await;
        world.delta().await;
        world.expect(iid, "approved").await;
        let steps = history(&world, iid).await;
        let by: Vec<_> = steps.as_array().unwrap().iter().map(|step| &step["by"]).collect();
        assert_eq!(by, ["reviewer"; 3], "{steps}");
    }
    world.expect_comment(iid, "**pipeline**");
    world.finish().await;
}

/// The first read of a large project is under way; what it read before is thrown away, and it does not say that it is done.
#[tokio::test]
async fn a_read_that_a_rebuild_beside_it_overtook_counts_for_nothing() {
    let mut world = World::new().await;
    let iid = world.stage("1").await;
    world.kill(Disk::Wiped).await;
    world.start().await;
    let slow = Trouble::slow_body(Duration::from_secs(10));
    world.sandbox.fault(Fault::new(Method::GET, "/issues?", slow));
    let rebuild = async {
        world.until_called(|call| call.path.contains("/issues?")).await;
        world.engine.mirror().clear().unwrap();
        world.sandbox.end_pauses();
    };
    let (read, ()) = tokio::join!(world.engine.delta(), rebuild);
    assert!(read.is_err(), "{read:?}");
    assert!(!world.engine.has_read_everything().unwrap());
    world.delta().await;
    assert!(world.engine.has_read_everything().unwrap());
    world.expect(iid, "pending").await;
    world.finish().await;
}

/// A rebuild beside the service takes the steps of a match away that is being decided about: they are read again.
#[tokio::test]
async fn what_is_decided_during_a_rebuild_hides_no_earlier_step() {
    let (mut world, iid) = deaf(&[]).await;
    world.reviewer().relabel(iid, &["job-match/approved"], &[]).unwrap();
    world.delta().await;
    let slow = Trouble::slow_body(Duration::from_secs(10));
    world.sandbox.fault(Fault::new(Method::PUT, "/issues/", slow));
    let rebuild = async {
        world.until_called(|call| call.method == "PUT").await;
        world.engine.mirror().clear().unwrap();
        world.sandbox.end_pauses();
    };
    let body = json!({"state": "pending"});
    let (answer, ()) = tokio::join!(world.patch(iid, &body), rebuild);
    assert_eq!(answer.0, StatusCode::OK);
    world.look_twice().await;
    let steps = history(&world, iid).await;
    let to: Vec<_> = steps.as_array().unwrap().iter().map(|step| &step["to"]).collect();
    assert_eq!(to, ["approved", "pending"]);
    world.expect_comment(iid, "**pipeline**");
    world.finish().await;
}

/// Both were done between two looks. What was decided before it was taken out is what the next act is about: rejected does not
/// become sent.
#[tokio::test]
async fn what_was_decided_just_before_a_match_was_taken_out_is_a_step() {
    let (mut world, iid) = deaf(&[]).await;
    world.reviewer().relabel(iid, &["job-match/approved"], &[]).unwrap();
    world.delta().await;
    world.reviewer().relabel(iid, &["job-match/rejected"], &["job-match/approved"]).unwrap();
    world.reviewer().relabel(iid, &[], &["job-match"]).unwrap();
    world.delta().await;
    assert_eq!(world.state(iid).await, "none");
    world.reviewer().relabel(iid, &["job-match/sent"], &[]).unwrap();
    world.reviewer().relabel(iid, &["job-match"], &[]).unwrap();
    world.clock.advance(Duration::from_secs(9));
    world.reviewer().relabel(iid, &[], &["job-match/rejected"]).unwrap();
    for disk in [Disk::Kept, Disk::Wiped] {
        world.restart(disk).await;
        world.delta().await;
        world.expect(iid, "rejected").await;
        let steps = history(&world, iid).await;
        let to: Vec<_> = steps.as_array().unwrap().iter().map(|step| &step["to"]).collect();
        assert_eq!(to, ["approved", "rejected"], "{disk:?}");
    }
    world.expect_comment(iid, "There is no step from `job-match/rejected` to `job-match/sent`");
    world.finish().await;
}

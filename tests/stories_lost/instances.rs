//! Two instances on one project, as in a deploy that overlaps: where a match ends up is the same.

use std::time::Duration;

use serde_json::{Value, json};
use vorhoelle::app::Parts;
use vorhoelle::sandbox::HookMode;

use crate::support::{Disk, World, job};

#[tokio::test]
async fn of_two_issues_of_one_match_that_were_both_decided_the_firsts_decision_stands() {
    let mut world = World::new().await;
    world.stage_twice(job("1")).await;
    world.sandbox.hook_mode(HookMode::Lose);
    for (iid, state) in [(2, "approved"), (1, "rejected")] {
        world.reviewer().relabel(iid, &[&format!("job-match/{state}")], &["job-match/pending"]).unwrap();
    }
    for _ in 0..3 {
        world.delta().await;
        world.settle_all().await;
    }
    world.expect(1, "rejected").await;
    assert_eq!((world.labels(2), world.is_open(2), world.state(2).await), (vec![], false, "none".to_owned()));
    let (_, answer) = world.get("/api/v1/matches/1").await;
    let steps: Vec<&Value> = answer["history"].as_array().unwrap().iter().map(|step| &step["to"]).collect();
    assert_eq!((steps, &answer["decided_by"]), (vec![&json!("rejected")], &json!("reviewer")), "{answer}");
    world.expect_comment(2, "#1");
    world.finish().await;
}

/// Both hear of everything by reading alone, and act in the same moment.
#[tokio::test]
async fn two_instances_that_follow_the_same_acts_come_to_the_same_end() {
    let mut world = World::new().await;
    let Parts { engine: other, .. } = world.another_instance().await;
    for id in ["1", "2", "3"] {
        world.stage(id).await;
    }
    other.delta().await.unwrap();
    world.sandbox.hook_mode(HookMode::Lose);
    world.reviewer().relabel(1, &["job-match/approved"], &[]).unwrap();
    world.reviewer().close(2).unwrap();
    world.reviewer().relabel(3, &["job-match/sent"], &[]).unwrap();
    for _ in 0..3 {
        world.clock.advance(std::time::Duration::from_secs(300));
        let follow = async |engine: &vorhoelle::engine::Engine| {
            engine.delta().await.unwrap();
            engine.work_off().await;
        };
        tokio::join!(follow(&world.engine), follow(&other));
    }
    for (iid, state) in [(1, "approved"), (2, "rejected"), (3, "pending")] {
        world.expect(iid, state).await;
        assert_eq!(other.mirror().record(iid).unwrap().unwrap().state.as_str(), state, "in the other");
    }
    let history = async |iid: u64| world.get(&format!("/api/v1/matches/{iid}")).await.1["history"].clone();
    for (iid, steps) in [(1, 1), (2, 1), (3, 0)] {
        assert_eq!(history(iid).await.as_array().unwrap().len(), steps, "of {iid}");
        assert_eq!(other.mirror().steps(iid).unwrap().len(), steps, "of {iid} in the other");
    }
    // Each may say why; neither says anything else.
    let said: Vec<Vec<String>> = [1, 2, 3].map(|iid| world.comments(iid)).into();
    assert!(said[0].is_empty() && said[1].is_empty(), "{said:?}");
    assert!(
        matches!(said[2].len(), 1 | 2) && said[2].iter().all(|one| one.contains("no step from")),
        "{said:?}"
    );
}

/// One of them looked in the middle of what people did, the other at its end: they judge it differently, and who judges later
/// leaves it at that.
#[tokio::test]
async fn two_instances_that_saw_different_moments_do_not_undo_each_other_for_ever() {
    let mut world = World::new().await;
    let iid = world.stage("1").await;
    let other = world.another_instance().await.engine;
    other.delta().await.unwrap();
    world.sandbox.hook_mode(HookMode::Lose);
    let all = ["job-match/pending", "job-match/approved", "job-match/sent"];
    let drag = |world: &World, from: usize, to: usize| {
        world.reviewer().relabel(iid, &[all[to]], &[all[from]]).unwrap();
    };
    drag(&world, 0, 1);
    world.delta().await;
    let the_other_looks = async |world: &World| {
        world.clock.advance(Duration::from_secs(300));
        other.delta().await.unwrap();
        other.work_off().await;
    };
    the_other_looks(&world).await;
    drag(&world, 1, 2);
    the_other_looks(&world).await;
    for (from, to) in [(2, 0), (0, 1), (1, 0), (0, 2)] {
        drag(&world, from, to);
    }
    for _ in 0..2 {
        world.delta().await;
        the_other_looks(&world).await;
    }
    let (labels, comments) = (world.labels(iid), world.comments(iid).len());
    assert!(comments <= 2, "{:?}", world.comments(iid));
    for _ in 0..4 {
        world.delta().await;
        the_other_looks(&world).await;
    }
    assert_eq!((world.labels(iid), world.comments(iid).len()), (labels, comments));
    let state = world.state(iid).await;
    world.expect_labels(iid, &state);
    assert_eq!(other.mirror().record(iid).unwrap().unwrap().state.to_string(), state);
}

/// The second one gave way to an issue that is gone by now: nobody withdrew the match, and it is staged anew.
#[tokio::test]
async fn a_second_issue_whose_first_was_deleted_stands_in_no_matches_way() {
    for (disk, is_staged_before) in [(Disk::Kept, true), (Disk::Wiped, true), (Disk::Wiped, false)] {
        let mut world = World::new().await;
        world.stage_twice(job("1")).await;
        world.look_twice().await;
        world.expect_comment(2, "#1");
        world.clock.advance(Duration::from_secs(60));
        world.sandbox.as_user("owner").delete_issue(1).unwrap();
        world.look_twice().await;
        if is_staged_before {
            assert_eq!(world.stage("1").await, 3);
        }
        world.restart(disk).await;
        world.reviewer().comment(2, "Whatever became of this?").unwrap();
        world.look_twice().await;
        let (_, answer) = world.post(&job("1")).await;
        assert_eq!(answer["iid"], 3, "{answer}");
        world.settle().await;
        world.expect(3, "pending").await;
        assert_eq!((world.labels(2), world.is_open(2)), (Vec::new(), false));
        world.finish().await;
    }
}

/// An earlier bot's issues may stand on a later page of the first read.
#[tokio::test]
async fn a_second_issue_gives_way_only_after_everything_was_read() {
    let mut world = World::new().await;
    world.sandbox.hook_mode(HookMode::Lose);
    world.stage_twice(job("1")).await;
    assert_eq!(world.labels(2), ["job-match", "job-match/pending"]);
    // Then it is read after the first.
    world.reviewer().comment(2, "Looks good.").unwrap();
    world.kill(Disk::Wiped).await;
    world.start().await;
    let before = world.sandbox.calls().len();
    world.engine.delta().await.unwrap();
    let calls = world.sandbox.calls();
    let writes: Vec<_> = calls[before..].iter().filter(|call| call.method != "GET").collect();
    assert!(writes.is_empty(), "{writes:?}");
    world.settle().await;
    world.expect_comment(2, "#1");
    assert!(world.labels(2).is_empty());
    world.finish().await;
}

//! Where the disk was lost too, GitLab alone tells what happened.

use reqwest::{Method, StatusCode};
use serde_json::json;
use vorhoelle::sandbox::{Fault, Trouble};

use crate::support::{Disk, World, job};
use crate::{ENFORCED, deaf, sent_by_hand};

#[tokio::test]
async fn a_written_decision_is_void_where_people_acted_since() {
    for disk in [Disk::Kept, Disk::Wiped] {
        let (mut world, iid) = deaf(&[]).await;
        world.sandbox.fault(Fault::new(Method::PUT, "/issues/", Trouble::bad_gateway()).times(9));
        let (status, _) = world.patch(iid, &json!({"state": "approved"})).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        world.kill(disk).await;
        world.sandbox.clear_faults();
        world.reviewer().relabel(iid, &["job-match/rejected"], &["job-match/pending"]).unwrap();
        world.start().await;
        world.delta().await;
        world.expect(iid, "rejected").await;
        world.expect_comment(iid, "**pipeline**");
        let (_, answer) = world.get("/api/v1/decisions").await;
        let steps: Vec<_> = answer["decisions"].as_array().unwrap().iter().map(|one| &one["to"]).collect();
        assert_eq!(steps, ["rejected"], "{disk:?}");
        world.finish().await;
    }
}

/// A stranger took it back before anybody looked. What the history says is carried out by writes that may fail.
#[tokio::test]
async fn a_decision_that_a_stranger_hid_counts_though_the_first_writes_after_a_lost_disk_fail() {
    let (mut world, iid) = deaf(&ENFORCED).await;
    world.kill(Disk::Wiped).await;
    let (pending, approved) = ("job-match/pending", "job-match/approved");
    for (person, on, off) in [("reviewer", approved, pending), ("colleague", pending, approved)] {
        world.person(person).relabel(iid, &[on], &[off]).unwrap();
    }
    world.start().await;
    world.sandbox.fault(Fault::new(Method::POST, "/notes", Trouble::status(500)).times(100));
    world.delta().await;
    world.sandbox.clear_faults();
    world.delta().await;
    world.expect(iid, "approved").await;
    world.expect_comment(iid, "by colleague");
    world.finish().await;
}

#[tokio::test]
async fn who_is_no_reviewer_decides_by_no_other_way_either() {
    let mut world = World::set(&ENFORCED).await;
    let withdrawn = world.stage("1").await;
    world.reviewer().relabel(withdrawn, &[], &["job-match"]).unwrap();
    world.settle().await;
    world
        .person("colleague")
        .relabel(withdrawn, &["job-match", "job-match/approved"], &["job-match/pending"])
        .unwrap();
    world.settle().await;
    world.expect(withdrawn, "pending").await;
    world.expect_comment(withdrawn, "Only the listed reviewers");
    let labels = ["job-match", "job-match/approved"];
    let adopted = world.person("colleague").create_issue("By hand", "", &labels).unwrap();
    world.settle().await;
    world.expect(adopted, "pending").await;
    world.expect_comment(adopted, "Only the listed reviewers");
    // Relabelled while the service was down, and its disk is lost.
    let relabelled = world.stage("2").await;
    world.kill(Disk::Wiped).await;
    world.person("colleague").relabel(relabelled, &["job-match/approved"], &[]).unwrap();
    world.start().await;
    world.delta().await;
    world.expect(relabelled, "pending").await;
    world.expect_comment(relabelled, "Only the listed reviewers");
    world.finish().await;
}

#[tokio::test]
async fn the_same_wrong_act_is_not_explained_again_after_a_restart() {
    let mut world = World::new().await;
    let iid = world.stage("1").await;
    for disk in [Disk::Kept, Disk::Wiped] {
        world.reviewer().relabel(iid, &["job-match/sent"], &[]).unwrap();
        world.settle().await;
        world.expect(iid, "pending").await;
        world.restart(disk).await;
    }
    world.expect_comment(iid, "There is no step from `job-match/pending` to `job-match/sent`");
    world.finish().await;
}

#[tokio::test]
async fn a_state_label_that_was_deleted_while_the_disk_was_lost_comes_back_by_what_was_decided() {
    for state in ["approved", "rejected"] {
        let mut world = World::new().await;
        let iid = world.stage("1").await;
        let (status, _) = world.patch(iid, &json!({"state": state})).await;
        assert_eq!(status, StatusCode::OK);
        world.kill(Disk::Wiped).await;
        world.sandbox.as_user("owner").delete_label(&format!("job-match/{state}")).unwrap();
        world.start().await;
        world.delta().await;
        world.expect(iid, state).await;
        world.expect_comment(iid, "**pipeline**");
        world.finish().await;
    }
}

#[tokio::test]
async fn a_comment_brings_no_old_decision_back_while_the_history_is_not_known() {
    let (mut world, iid) = deaf(&[]).await;
    world.patch(iid, &json!({"state": "approved"})).await;
    world.reviewer().relabel(iid, &["job-match/pending"], &["job-match/approved"]).unwrap();
    world.delta().await;
    world.kill(Disk::Wiped).await;
    world.start().await;
    world.sandbox.fault(Fault::new(Method::GET, "_events", Trouble::bad_gateway()).times(99));
    let _ = world.engine.delta().await;
    world.reviewer().comment(iid, "Hm.").unwrap();
    let _ = world.engine.delta().await;
    world.settle().await;
    world.sandbox.clear_faults();
    for _ in 0..4 {
        world.delta().await;
    }
    world.expect(iid, "pending").await;
    world.expect_comment(iid, "**pipeline**");
    world.finish().await;
}

#[tokio::test]
async fn after_a_lost_disk_a_decision_of_ours_stands_for_no_persons_act() {
    let (mut world, iid) = deaf(&[]).await;
    world.patch(iid, &json!({"state": "approved"})).await;
    world.reviewer().relabel(iid, &["job-match/pending"], &["job-match/approved"]).unwrap();
    world.delta().await;
    world.reviewer().relabel(iid, &["job-match/approved"], &["job-match/pending"]).unwrap();
    world.delta().await;
    world.restart(Disk::Wiped).await;
    world.delta().await;
    let (_, answer) = world.get(&format!("/api/v1/matches/{iid}")).await;
    let by: Vec<_> = answer["history"].as_array().unwrap().iter().map(|one| &one["by"]).collect();
    assert_eq!(by, ["pipeline", "reviewer", "reviewer"]);
    world.expect_comment(iid, "**pipeline**");
    world.finish().await;
}

#[tokio::test]
async fn a_step_that_is_none_is_undone_after_a_lost_disk_too() {
    let (mut world, iid) = deaf(&[]).await;
    world.kill(Disk::Wiped).await;
    world.reviewer().relabel(iid, &["job-match/sent"], &["job-match/pending"]).unwrap();
    world.start().await;
    world.look_twice().await;
    world.expect(iid, "pending").await;
    world.expect_comment(iid, "There is no step from `job-match/pending` to `job-match/sent`");
    world.finish().await;
}

#[tokio::test]
async fn after_a_lost_disk_a_label_counts_that_was_moved_after_the_issue_was_closed_or_reopened() {
    let (mut world, back) = deaf(&[]).await;
    let again = world.stage("2").await;
    for iid in [back, again] {
        world.reviewer().relabel(iid, &["job-match/rejected"], &["job-match/pending"]).unwrap();
    }
    world.delta().await;
    world.expect(back, "rejected").await;
    world.reviewer().reopen(again).unwrap();
    world.delta().await;
    world.expect(again, "pending").await;
    world.kill(Disk::Wiped).await;
    world.reviewer().relabel(back, &["job-match/pending"], &["job-match/rejected"]).unwrap();
    world.reviewer().relabel(again, &["job-match/rejected"], &["job-match/pending"]).unwrap();
    world.start().await;
    world.delta().await;
    world.expect(back, "pending").await;
    world.expect(again, "rejected").await;
    world.finish().await;
}

#[tokio::test]
async fn an_issue_that_was_not_looked_at_before_the_end_is_not_forgotten_after_a_lost_disk() {
    let mut world = World::new().await;
    let iid = world.stage("1").await;
    world.reviewer().relabel(iid, &[], &["job-match"]).unwrap();
    world.tell_after(5).await;
    world.stage("2").await;
    world.kill(Disk::Wiped).await;
    world.sandbox.fault(Fault::new(Method::GET, "_events", Trouble::bad_gateway()).times(99));
    world.start().await;
    world.delta().await;
    world.kill(Disk::Kept).await;
    world.sandbox.clear_faults();
    world.start().await;
    world.delta().await;
    let (status, answer) = world.post(&job("1")).await;
    assert_eq!((status, &answer["iid"]), (StatusCode::OK, &json!(iid)), "{answer}");
    world.finish().await;
}

#[tokio::test]
async fn after_a_lost_disk_a_reopening_counts_that_a_label_followed_before_the_service_came_to_it() {
    let (mut world, iid) = sent_by_hand().await;
    world.reviewer().reopen(iid).unwrap();
    world.tell_after(1).await;
    world.reviewer().relabel(iid, &["job-match/rejected"], &["job-match/sent"]).unwrap();
    world.delta().await;
    world.expect(iid, "rejected").await;
    world.restart(Disk::Wiped).await;
    world.look_twice().await;
    world.expect(iid, "rejected").await;
    world.finish().await;
}

#[tokio::test]
async fn after_a_lost_disk_a_drag_from_closed_to_a_list_is_one_act() {
    let (mut world, iid) = sent_by_hand().await;
    world.kill(Disk::Wiped).await;
    world.reviewer().reopen(iid).unwrap();
    world.reviewer().relabel(iid, &["job-match/rejected"], &["job-match/sent"]).unwrap();
    world.start().await;
    world.look_twice().await;
    world.expect(iid, "sent").await;
    world.expect_comment(iid, "There is no step from `job-match/sent` to `job-match/rejected`");
    world.finish().await;
}

#[tokio::test]
async fn what_is_done_after_job_match_was_put_back_is_judged_alike_with_and_without_a_disk() {
    for disk in [Disk::Kept, Disk::Wiped] {
        let (mut world, iid) = deaf(&[]).await;
        world.reviewer().relabel(iid, &[], &["job-match/pending"]).unwrap();
        world.reviewer().relabel(iid, &[], &["job-match"]).unwrap();
        world.delta().await;
        world.kill(disk).await;
        world.reviewer().relabel(iid, &["job-match"], &[]).unwrap();
        world.reviewer().relabel(iid, &["job-match/sent"], &[]).unwrap();
        world.start().await;
        world.look_twice().await;
        world.expect(iid, "pending").await;
        world.expect_comment(iid, "There is no step from `job-match/pending` to `job-match/sent`");
        world.finish().await;
    }
}

#[tokio::test]
async fn a_match_that_was_withdrawn_and_put_back_unseen_stands_where_its_label_says() {
    for disk in [Disk::Kept, Disk::Wiped] {
        let (mut world, iid) = deaf(&[]).await;
        let approved = world.stage("2").await;
        world.kill(disk).await;
        world.reviewer().relabel(iid, &[], &["job-match"]).unwrap();
        world.reviewer().relabel(iid, &["job-match/sent"], &["job-match/pending"]).unwrap();
        world.reviewer().relabel(iid, &["job-match"], &[]).unwrap();
        // A step before that counts too.
        world.reviewer().relabel(approved, &["job-match/approved"], &[]).unwrap();
        world.reviewer().relabel(approved, &[], &["job-match"]).unwrap();
        world.reviewer().relabel(approved, &["job-match"], &[]).unwrap();
        world.start().await;
        world.look_twice().await;
        world.expect(iid, "sent").await;
        world.expect(approved, "approved").await;
        world.finish().await;
    }
}

#[tokio::test]
async fn a_label_that_was_moved_after_the_closing_counts_where_the_first_try_to_reopen_failed() {
    let (mut world, iid) = deaf(&[]).await;
    world.reviewer().relabel(iid, &["job-match/rejected"], &[]).unwrap();
    world.delta().await;
    world.kill(Disk::Wiped).await;
    world.reviewer().relabel(iid, &["job-match/approved"], &["job-match/rejected"]).unwrap();
    world.sandbox.fault(Fault::new(Method::PUT, "/issues/", Trouble::bad_gateway()).times(99));
    world.start().await;
    world.delta().await;
    world.sandbox.clear_faults();
    world.delta().await;
    world.expect(iid, "approved").await;
    world.finish().await;
}

#[tokio::test]
async fn a_match_whose_issue_is_not_met_yet_after_a_lost_disk_is_not_staged_again() {
    let (mut world, iid) = deaf(&[]).await;
    world.reviewer().relabel(iid, &[], &["job-match"]).unwrap();
    world.kill(Disk::Wiped).await;
    world.start().await;
    world.engine.delta().await.unwrap();
    let (status, answer) = world.post(&job("1")).await;
    assert_eq!((status, &answer["iid"]), (StatusCode::OK, &json!(iid)), "{answer}");
    world.finish().await;
}

#[tokio::test]
async fn put_back_with_the_label_that_it_had_the_next_label_is_a_step() {
    for disk in [Disk::Kept, Disk::Wiped] {
        let (mut world, iid) = deaf(&[]).await;
        world.reviewer().relabel(iid, &[], &["job-match"]).unwrap();
        world.delta().await;
        world.kill(disk).await;
        world.reviewer().relabel(iid, &["job-match"], &[]).unwrap();
        world.reviewer().relabel(iid, &["job-match/sent"], &["job-match/pending"]).unwrap();
        world.start().await;
        world.look_twice().await;
        world.expect(iid, "pending").await;
        world.expect_comment(iid, "There is no step from `job-match/pending` to `job-match/sent`");
        world.finish().await;
    }
}

#[tokio::test]
async fn after_a_lost_disk_a_sent_label_that_was_taken_off_again_before_the_service_came_to_it_is_a_step() {
    let (mut world, iid) = sent_by_hand().await;
    world.reviewer().relabel(iid, &["job-match/approved"], &["job-match/sent"]).unwrap();
    world.tell_after(1).await;
    world.delta().await;
    world.expect(iid, "approved").await;
    world.reviewer().relabel(iid, &["job-match/sent"], &[]).unwrap();
    world.tell_after(1).await;
    // Dragged into the Closed column, which takes both off.
    world.reviewer().relabel(iid, &[], &["job-match/approved", "job-match/sent"]).unwrap();
    world.reviewer().close(iid).unwrap();
    world.delta().await;
    world.expect(iid, "sent").await;
    let path = format!("/api/v1/matches/{iid}");
    let (_, before) = world.get(&path).await;
    assert_eq!(before["history"].as_array().unwrap().len(), 4);
    world.restart(Disk::Wiped).await;
    world.look_twice().await;
    assert_eq!(world.get(&path).await.1["history"], before["history"]);
    world.finish().await;
}

/// Where a match ends up does not depend on how many acts the service hears of at once.
#[tokio::test]
async fn acts_that_pile_up_are_followed_as_if_one_by_one() {
    for disk in [Disk::Kept, Disk::Wiped] {
        let (mut world, iid) = deaf(&[]).await;
        let reviewer = world.reviewer();
        let later = async || world.clock.advance(std::time::Duration::from_secs(5));
        let states = ["pending", "approved", "sent"].map(|state| format!("job-match/{state}"));
        for step in states.windows(2) {
            later().await;
            reviewer.relabel(iid, &[&step[1]], &[&step[0]]).unwrap();
        }
        later().await;
        reviewer.close(iid).unwrap();
        later().await;
        reviewer.reopen(iid).unwrap();
        world.delta().await;
        world.expect(iid, "approved").await;
        let path = format!("/api/v1/matches/{iid}");
        let (_, before) = world.get(&path).await;
        let steps: Vec<_> = before["history"].as_array().unwrap().iter().map(|step| &step["to"]).collect();
        assert_eq!(steps, ["approved", "sent", "approved"], "{before}");
        if disk == Disk::Wiped {
            world.restart(disk).await;
            world.look_twice().await;
            assert_eq!(world.get(&path).await.1["history"], before["history"]);
        }
        world.finish().await;
    }
    let (world, iid) = deaf(&[]).await;
    world.reviewer().relabel(iid, &["job-match/approved"], &["job-match/pending"]).unwrap();
    world.clock.advance(std::time::Duration::from_secs(5));
    world.reviewer().close(iid).unwrap();
    world.delta().await;
    world.expect(iid, "rejected").await;
    world.finish().await;
}

/// Away and back by a step that is none: the service sees where it stands, not the way.
#[tokio::test]
async fn away_and_back_unseen_nothing_happened_and_a_lost_disk_changes_nothing_about_it() {
    for sees_it_sent in [false, true] {
        let (mut world, iid) = deaf(&[]).await;
        let reviewer = |world: &World, to: &str, from: &str| {
            let label = |state| format!("job-match/{state}");
            world.reviewer().relabel(iid, &[&label(to)], &[&label(from)]).unwrap();
        };
        reviewer(&world, "rejected", "pending");
        world.delta().await;
        reviewer(&world, "approved", "rejected");
        reviewer(&world, "sent", "approved");
        if sees_it_sent {
            // It is closed already: there is nothing to be done.
            world.delta().await;
        }
        reviewer(&world, "rejected", "sent");
        let stands = if sees_it_sent { "sent" } else { "rejected" };
        for disk in [Disk::Kept, Disk::Wiped] {
            world.restart(disk).await;
            world.delta().await;
            world.expect(iid, stands).await;
        }
        // Any other comment fails the story.
        if sees_it_sent {
            world.expect_comment(iid, "There is no step from `job-match/sent` to `job-match/rejected`");
        }
        world.finish().await;
    }
}

/// A copy of GitLab that lagged did not show the other label yet.
#[tokio::test]
async fn what_was_decided_beside_a_label_that_was_not_seen_is_what_the_next_act_is_about() {
    let (mut world, iid) = deaf(&[]).await;
    world.sandbox.fault(Fault::new(Method::GET, "/issues", Trouble::Stale).times(4));
    world.reviewer().relabel(iid, &["job-match/sent"], &[]).unwrap();
    let (status, answer) = world.patch(iid, &json!({"state": "approved"})).await;
    assert_eq!((status, &answer["state"]), (StatusCode::OK, &json!("approved")), "{answer}");
    world.sandbox.clear_faults();
    world.person("colleague").relabel(iid, &["job-match/sent"], &["job-match/approved"]).unwrap();
    for disk in [Disk::Kept, Disk::Wiped] {
        world.restart(disk).await;
        world.delta().await;
        world.expect(iid, "sent").await;
    }
    world.expect_comment(iid, "**pipeline** approved");
    world.finish().await;
}

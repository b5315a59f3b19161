//! Stories of what got lost: webhooks, labels, answers, whole issues for a while. Where a match ends up is the same.

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
use support::{Difference, Disk, World, job};
use vorhoelle::sandbox::{Fault, HookMode, Trouble, Visibility};

/// A world in which no webhook arrives, with one pending match.
async fn deaf(variables: &[(&'static str, &'static str)]) -> (World, u64) {
    let world = World::set(variables).await;
    let iid = world.stage("1").await;
    world.sandbox.hook_mode(HookMode::Lose);
    (world, iid)
}

/// The same, set to sent by a person.
async fn sent_by_hand() -> (World, u64) {
    let (world, iid) = deaf(&[]).await;
    for label in ["job-match/approved", "job-match/sent"] {
        world.reviewer().relabel(iid, &[label], &[]).unwrap();
        world.delta().await;
    }
    (world, iid)
}

/// Reviewers are enforced, and there is one.
const ENFORCED: [(&str, &str); 2] = [("ENFORCE_REVIEWERS", "true"), ("REVIEWERS", "reviewer")];

#[tokio::test]
async fn an_act_that_was_taken_back_is_not_followed_later() {
    let (mut world, iid) = deaf(&[]).await;
    world.reviewer().relabel(iid, &["job-match/approved"], &[]).unwrap();
    world.reviewer().relabel(iid, &[], &["job-match/approved"]).unwrap();
    world.delta().await;
    world.reviewer().relabel(iid, &["job-match/sent"], &[]).unwrap();
    world.delta().await;
    world.expect(iid, "pending").await;
    world.expect_comment(iid, "There is no step from `job-match/pending` to `job-match/sent`");
    world.finish().await;
}

#[tokio::test]
async fn a_strangers_act_that_was_taken_back_does_not_count_against_the_reviewer() {
    let (world, iid) = deaf(&ENFORCED).await;
    world.person("colleague").relabel(iid, &["job-match/approved"], &[]).unwrap();
    world.person("colleague").relabel(iid, &[], &["job-match/approved"]).unwrap();
    world.reviewer().relabel(iid, &["job-match/rejected"], &[]).unwrap();
    world.delta().await;
    world.expect(iid, "rejected").await;
    world.finish().await;
}

#[tokio::test]
async fn after_a_step_that_is_not_allowed_the_next_one_counts() {
    let (world, iid) = deaf(&[]).await;
    world.reviewer().relabel(iid, &["job-match/sent"], &[]).unwrap();
    world.reviewer().relabel(iid, &["job-match/approved"], &["job-match/pending", "job-match/sent"]).unwrap();
    world.delta().await;
    world.expect(iid, "approved").await;
    world.finish().await;
}

#[tokio::test]
async fn a_deleted_label_is_made_again_and_every_match_gets_it_back() {
    let mut world = World::new().await;
    let (pending, rejected) = (world.stage("1").await, world.stage("2").await);
    let (approved, sent) = (world.stage("3").await, world.stage("4").await);
    world.reviewer().close(rejected).unwrap();
    for iid in [approved, sent] {
        world.reviewer().relabel(iid, &["job-match/approved"], &[]).unwrap();
        world.settle().await;
    }
    world.reviewer().relabel(sent, &["job-match/sent"], &[]).unwrap();
    world.settle().await;
    // Old enough that no delta read lists them any more.
    world.delta().await;
    for name in
        ["job-match", "job-match/pending", "job-match/approved", "job-match/rejected", "job-match/sent"]
    {
        world.sandbox.as_user("owner").delete_label(name).unwrap();
        world.delta().await;
        for (iid, state) in
            [(pending, "pending"), (rejected, "rejected"), (approved, "approved"), (sent, "sent")]
        {
            world.expect(iid, state).await;
        }
        let (_, health) = world.get("/health").await;
        assert_eq!(health["labels"]["made_again"], name);
    }
    let label = world.sandbox.world().label_named("job-match/pending").unwrap().clone();
    assert_eq!(label.color.to_uppercase(), "#F0AD4E");
    // And one that was deleted while nobody looked.
    world.kill(Disk::Kept).await;
    world.sandbox.as_user("owner").delete_label("job-match/sent").unwrap();
    world.start().await;
    world.delta().await;
    world.expect(sent, "sent").await;
    world.finish().await;
}

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

#[tokio::test]
async fn what_was_decided_about_a_second_issue_is_carried_over_before_it_goes() {
    for (state, steps, said) in [("approved", 1, 0), ("sent", 2, 0), ("sent", 2, 1)] {
        let mut world = World::new().await;
        let other = world.another_instance().await;
        other.engine.delta().await.unwrap();
        let parsed = vorhoelle::domain::posted_match::parse(job("1")).unwrap();
        let (mine, theirs) = tokio::join!(world.engine.stage(parsed.clone()), other.engine.stage(parsed));
        drop((mine.unwrap(), theirs.unwrap()));
        world.sandbox.hook_mode(HookMode::Lose);
        let label = format!("job-match/{state}");
        world.reviewer().relabel(2, &[&label], &["job-match/pending"]).unwrap();
        if state == "sent" {
            world.reviewer().close(2).unwrap();
        }
        // Some tries to say so on the first issue fail.
        let fault = Fault::new(Method::POST, "/issues/1/notes", Trouble::status(500)).times(2);
        world.sandbox.fault(fault.after(said));
        for _ in 0..4 {
            world.delta().await;
            world.settle_all().await;
        }
        world.expect(1, state).await;
        assert_eq!((world.labels(2), world.is_open(2)), (Vec::new(), false));
        let (_, answer) = world.get("/api/v1/matches/1").await;
        assert_eq!(answer["history"].as_array().unwrap().len(), steps, "{answer}");
        assert_eq!(world.comments(2).len(), 1);
    }
}

#[tokio::test]
async fn one_answer_that_an_issue_is_not_there_loses_no_match() {
    let world = World::new().await;
    let iid = world.stage("1").await;
    world.sandbox.fault(Fault::new(Method::GET, &format!("/issues/{iid}"), Trouble::status(404)));
    world.reviewer().comment(iid, "What of this one?").unwrap();
    world.settle().await;
    world.expect(iid, "pending").await;
    world.clock.advance(Duration::from_secs(5));
    world.settle().await;
    world.finish().await;
}

#[tokio::test]
async fn an_issue_that_was_hidden_for_a_while_is_not_gone() {
    let world = World::new().await;
    let iid = world.stage("1").await;
    world.clock.advance(Duration::from_secs(60));
    let nothing = Trouble::Answer {
        status: 200,
        content_type: "application/json".to_owned(),
        body: "[]".to_owned(),
        retry_after: None,
    };
    world.sandbox.fault(Fault::new(Method::GET, &format!("/issues/{iid}"), Trouble::status(404)));
    world.sandbox.fault(Fault::new(Method::GET, "iids", nothing));
    world.reviewer().comment(iid, "What of this one?").unwrap();
    world.settle().await;
    assert_eq!(world.state(iid).await, "none");
    world.delta().await;
    world.expect(iid, "pending").await;
    let (status, again) = world.post(&job("1")).await;
    assert_eq!((status, again["iid"].as_u64()), (StatusCode::OK, Some(iid)));
    // And so long after that no list of changes names it any more.
    world.clock.advance(Duration::from_secs(3600));
    world.stage("2").await;
    world.delta().await;
    // Nor what a process took for a second issue, and ended before it had looked.
    for standing in ["gone", "duplicate"] {
        world.spoil_mirror(&format!(
            "UPDATE matches SET standing = '{standing}', record = json_set(record, '$.standing', '{standing}')
             WHERE iid = {iid}"
        ));
        assert_eq!(world.state(iid).await, "none");
        world.delta().await;
        world.expect(iid, "pending").await;
    }
    world.finish().await;
}

#[tokio::test]
async fn a_closed_match_that_is_deleted_is_noticed() {
    let world = World::new().await;
    let iid = world.stage("1").await;
    world.reviewer().close(iid).unwrap();
    world.settle().await;
    world.expect(iid, "rejected").await;
    world.delta().await;
    world.person("owner").delete_issue(iid).unwrap();
    world.delta().await;
    assert_eq!(world.state(iid).await, "none");
    world.finish().await;
}

#[tokio::test]
async fn one_issue_that_cannot_be_followed_keeps_no_other_from_it() {
    let (world, _) = deaf(&[]).await;
    let poison = world.person("colleague").create_issue("By hand", "", &["job-match"]).unwrap();
    let other = world.person("colleague").create_issue("By hand too", "", &["job-match"]).unwrap();
    let path = format!("/issues/{poison}");
    world.sandbox.fault(Fault::new(Method::PUT, &path, Trouble::status(422)).times(50));
    world.delta().await;
    world.expect(other, "pending").await;
    assert_eq!(world.state(poison).await, "none");
    assert_eq!(world.get("/health").await.0, StatusCode::OK);
    world.sandbox.clear_faults();
    world.delta().await;
    world.expect(poison, "pending").await;
    world.finish().await;
}

#[tokio::test]
async fn with_the_reviewers_own_token_decisions_through_the_api_are_no_acts_of_theirs() {
    let probe = World::asleep(Difference::default()).await;
    let token: &'static str = probe.sandbox.token("reviewer").leak();
    let world = World::set(&[("GITLAB_TOKEN", token), ("REVIEWERS", "reviewer")]).await;
    let iid = world.stage("1").await;
    for state in ["approved", "sent", "approved"] {
        assert_eq!(world.patch(iid, &json!({"state": state})).await.0, StatusCode::OK);
        world.settle().await;
    }
    world.reviewer().relabel(iid, &["job-match/rejected"], &[]).unwrap();
    world.settle().await;
    world.expect(iid, "rejected").await;
    let sent = world.stage("2").await;
    for state in ["approved", "sent"] {
        assert_eq!(world.patch(sent, &json!({"state": state})).await.0, StatusCode::OK);
        world.settle().await;
    }
    world.reviewer().relabel(sent, &["job-match/approved"], &[]).unwrap();
    world.settle().await;
    world.expect(sent, "approved").await;
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
async fn a_gitlab_that_does_not_tell_who_closed_is_asked_who_closed_last() {
    let (world, iid) = deaf(&ENFORCED).await;
    world.sandbox.fault(Fault::any("resource_state_events", Trouble::status(404)).times(50));
    world.reviewer().close(iid).unwrap();
    world.delta().await;
    world.expect(iid, "rejected").await;
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
async fn a_project_that_is_made_public_is_refused_from_then_on() {
    let world = World::new().await;
    world.stage("1").await;
    world.sandbox.world().options.visibility = Visibility::Public;
    world.clock.advance(std::time::Duration::from_secs(300));
    assert!(world.engine.delta().await.is_err());
    let (status, answer) = world.post(&job("2")).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{answer}");
    assert!(answer["detail"].as_str().unwrap().contains("not private"), "{answer}");
}

#[tokio::test]
async fn a_closing_whose_event_gitlab_lost_is_followed_all_the_same() {
    let mut world = World::set(&ENFORCED).await;
    let iid = world.stage("1").await;
    world.person("colleague").close(iid).unwrap();
    world.settle().await;
    world.expect(iid, "pending").await;
    world.expect_comment(iid, "Only the listed reviewers decide here");
    world.reviewer().close(iid).unwrap();
    // What GitLab tells of the issue's past ends with our own reopening.
    world.sandbox.world().state_events.pop();
    world.settle().await;
    world.expect(iid, "rejected").await;
    let (_, answer) = world.get(&format!("/api/v1/matches/{iid}")).await;
    assert_eq!(answer["history"][0]["by"], "reviewer");
    world.finish().await;
}

#[tokio::test]
async fn a_strangers_drag_while_the_service_was_down_is_undone() {
    for to in ["Closed", "job-match/approved", "job-match/rejected"] {
        let mut world = World::set(&ENFORCED).await;
        let lists = ["job-match/pending", "job-match/approved", "job-match/rejected", "job-match/sent"];
        world.sandbox.as_user("owner").create_board("Job matches", &lists).unwrap();
        let iid = world.stage("1").await;
        world.kill(Disk::Kept).await;
        world.person("colleague").drag(iid, "job-match/pending", to).unwrap();
        world.start().await;
        world.delta().await;
        world.expect(iid, "pending").await;
        world.expect_comment(iid, "the change by colleague is undone");
        world.finish().await;
    }
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
async fn a_decision_whose_answer_was_lost_is_a_step_and_what_people_did_after_it_another() {
    for (to, history) in [("pending", ["approved", "pending"]), ("rejected", ["approved", "rejected"])] {
        let (mut world, iid) = deaf(&[]).await;
        world.sandbox.fault(Fault::new(Method::PUT, "/issues/", Trouble::DropAnswer).times(9));
        world.patch(iid, &json!({"state": "approved"})).await;
        world.kill(Disk::Kept).await;
        world.sandbox.clear_faults();
        assert_eq!(world.labels(iid), ["job-match", "job-match/approved"]);
        let label = format!("job-match/{to}");
        world.reviewer().relabel(iid, &[&label], &["job-match/approved"]).unwrap();
        world.start().await;
        world.delta().await;
        world.expect(iid, to).await;
        world.expect_comment(iid, "**pipeline**");
        let (_, answer) = world.get(&format!("/api/v1/matches/{iid}")).await;
        let steps: Vec<_> = answer["history"].as_array().unwrap().iter().map(|one| &one["to"]).collect();
        assert_eq!(steps, history);
        world.finish().await;
    }
}

#[tokio::test]
async fn after_a_decision_to_sent_whose_answer_was_lost_no_label_leads_back() {
    let (mut world, iid) = deaf(&[]).await;
    world.patch(iid, &json!({"state": "approved"})).await;
    world.sandbox.fault(Fault::new(Method::PUT, "/issues/", Trouble::DropAnswer).times(9));
    world.patch(iid, &json!({"state": "sent"})).await;
    world.kill(Disk::Kept).await;
    world.sandbox.clear_faults();
    world.reviewer().relabel(iid, &["job-match/pending"], &[]).unwrap();
    world.start().await;
    world.delta().await;
    world.expect(iid, "sent").await;
    world.expect_comment(iid, "**pipeline** approved");
    world.expect_comment(iid, "**pipeline**");
    world.expect_comment(iid, "There is no step from `job-match/sent` to `job-match/pending`");
    world.finish().await;
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
    for _ in 0..2 {
        world.delta().await;
    }
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
    for _ in 0..2 {
        world.delta().await;
    }
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
    for _ in 0..2 {
        world.delta().await;
    }
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
        for _ in 0..2 {
            world.delta().await;
        }
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
        for _ in 0..2 {
            world.delta().await;
        }
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
async fn a_second_issue_that_is_put_back_after_the_first_was_withdrawn_gives_way_again() {
    let mut world = World::new().await;
    let other = world.another_instance().await;
    other.engine.delta().await.unwrap();
    let parsed = vorhoelle::domain::posted_match::parse(job("1")).unwrap();
    let (mine, theirs) = tokio::join!(world.engine.stage(parsed.clone()), other.engine.stage(parsed));
    drop((mine.unwrap(), theirs.unwrap(), other));
    world.sandbox.hook_mode(HookMode::Lose);
    world.delta().await;
    assert_eq!((world.labels(2), world.is_open(2)), (Vec::new(), false));
    world.reviewer().relabel(1, &[], &["job-match"]).unwrap();
    world.delta().await;
    world.reviewer().relabel(2, &["job-match", "job-match/sent"], &[]).unwrap();
    world.delta().await;
    assert_eq!((world.labels(2), world.is_open(2)), (Vec::new(), false));
    assert_eq!(world.engine.backlog(), 0);
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
        for _ in 0..2 {
            world.delta().await;
        }
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
    for _ in 0..2 {
        world.delta().await;
    }
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
            for _ in 0..2 {
                world.delta().await;
            }
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

#[tokio::test]
async fn a_label_moved_while_job_match_was_off_is_theirs_who_moved_it() {
    let (world, iid) = deaf(&[]).await;
    world.reviewer().relabel(iid, &[], &["job-match"]).unwrap();
    world.person("colleague").relabel(iid, &["job-match/approved"], &["job-match/pending"]).unwrap();
    world.delta().await;
    world.tell_after(1).await;
    world.reviewer().relabel(iid, &["job-match"], &[]).unwrap();
    world.delta().await;
    world.expect(iid, "approved").await;
    let (_, answer) = world.get(&format!("/api/v1/matches/{iid}")).await;
    assert_eq!(answer["decided_by"], "colleague", "{answer}");
    world.finish().await;
}

//! Stories of what got lost: webhooks, labels, answers, whole issues for a while. Where a match ends up is the same.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a story that fails, panics"
)]

#[path = "stories_lost/alike.rs"]
mod alike;
#[path = "stories_lost/copies.rs"]
mod copies;
#[path = "stories_lost/decisions.rs"]
mod decisions;
#[path = "stories_lost/disk.rs"]
mod disk;
#[path = "stories_lost/instances.rs"]
mod instances;
#[path = "stories_lost/labels.rs"]
mod labels;
#[path = "stories_lost/looks.rs"]
mod looks;
#[path = "stories_lost/processes.rs"]
mod processes;
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
async fn what_was_decided_about_a_second_issue_is_carried_over_before_it_goes() {
    for (state, steps, said) in [("approved", 1, 0), ("sent", 2, 0), ("sent", 2, 1)] {
        let mut world = World::new().await;
        world.stage_twice(job("1")).await;
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
async fn a_second_issue_that_takes_no_comment_gives_way_all_the_same() {
    let mut world = World::new().await;
    world.stage_twice(job("1")).await;
    let refuses = Fault::new(Method::POST, "/issues/2/notes", Trouble::status(403)).times(u32::MAX);
    world.sandbox.fault(refuses);
    for _ in 0..2 {
        world.delta().await;
        world.settle_all().await;
    }
    world.expect(1, "pending").await;
    assert_eq!((world.labels(2), world.is_open(2)), (Vec::new(), false));
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
async fn a_gitlab_that_does_not_tell_who_closed_is_asked_who_closed_last() {
    let (world, iid) = deaf(&ENFORCED).await;
    world.sandbox.fault(Fault::any("resource_state_events", Trouble::status(404)).times(50));
    world.reviewer().close(iid).unwrap();
    world.delta().await;
    world.expect(iid, "rejected").await;
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
        world.make_board();
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
async fn a_second_issue_that_is_put_back_after_the_first_was_withdrawn_gives_way_again() {
    let mut world = World::new().await;
    world.stage_twice(job("1")).await;
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

/// GitLab says then no more which events were about it: all that was ever done looks new.
#[tokio::test]
async fn a_deleted_label_brings_no_act_back_that_was_undone() {
    let (world, iid) = deaf(&[]).await;
    let reviewer = world.reviewer();
    reviewer.relabel(iid, &["job-match/approved"], &[]).unwrap();
    reviewer.relabel(iid, &[], &["job-match/approved"]).unwrap();
    world.delta().await;
    world.sandbox.as_user("owner").delete_label("job-match/pending").unwrap();
    world.delta().await;
    world.expect(iid, "pending").await;
    // A card that was dragged has lost its old label by hand.
    world.reviewer().relabel(iid, &["job-match/approved"], &["job-match/pending"]).unwrap();
    world.delta().await;
    world.expect(iid, "approved").await;
    world.sandbox.as_user("owner").delete_label("job-match/approved").unwrap();
    world.delta().await;
    world.expect(iid, "approved").await;
    world.finish().await;
}

#[tokio::test]
async fn a_decision_counts_although_the_label_of_matches_was_deleted_just_before() {
    let (world, iid) = deaf(&[]).await;
    world.delta().await;
    world.sandbox.as_user("owner").delete_label("job-match").unwrap();
    world.reviewer().relabel(iid, &["job-match/approved"], &[]).unwrap();
    world.delta().await;
    world.expect(iid, "approved").await;
    let (_, answer) = world.get(&format!("/api/v1/matches/{iid}")).await;
    assert_eq!(answer["decided_by"], "reviewer");
    world.finish().await;
}

/// A group's label may be called as ours is; issues tell labels by their names alone.
#[tokio::test]
async fn a_label_of_the_group_with_the_name_of_ours_moves_nothing() {
    let world = World::new().await;
    let iid = world.stage("1").await;
    world.reviewer().relabel(iid, &["job-match/approved"], &[]).unwrap();
    world.settle().await;
    let twin = {
        let gitlab = world.sandbox.world();
        let ours = gitlab.label_named("job-match/approved").unwrap();
        vorhoelle::sandbox::Label { id: 99_999, description: None, ..ours.clone() }
    };
    world.sandbox.world().labels.push(twin);
    world.sandbox.clear_calls();
    world.look_twice().await;
    world.expect(iid, "approved").await;
    let writes = world.calls_by_bot().into_iter().filter(|call| !call.starts_with("GET"));
    assert_eq!(writes.collect::<Vec<_>>(), [""; 0]);
    world.finish().await;
}

#[tokio::test]
async fn a_reviewer_who_joins_the_project_later_gets_a_todo() {
    let world = World::set(&[("REVIEWERS", "newcomer")]).await;
    world.sandbox.world().add_user("newcomer", Some(vorhoelle::sandbox::Role::Reporter));
    world.stage("1").await;
    assert_eq!(world.sandbox.as_user("newcomer").todos().len(), 0, "not known as a member yet");
    world.delta().await;
    world.stage("2").await;
    assert_eq!(world.sandbox.as_user("newcomer").todos().len(), 1);
    world.finish().await;
}

/// As Terraform or people make them, who know nothing of marks.
#[tokio::test]
async fn labels_that_were_there_before_are_ours_after_a_rename_and_a_lost_disk() {
    let mut world = World::asleep(Difference::default()).await;
    for state in ["", "/pending", "/approved", "/rejected", "/sent"] {
        world.sandbox.as_user("owner").create_label(&format!("job-match{state}"), "#112233").unwrap();
    }
    world.engine.delta().await.unwrap();
    let iid = world.stage("1").await;
    world.reviewer().relabel(iid, &["job-match/approved"], &[]).unwrap();
    world.delta().await;
    world.sandbox.as_user("owner").rename_label("job-match/approved", "Zusage").unwrap();
    world.restart(Disk::Wiped).await;
    world.delta().await;
    assert_eq!(world.state(iid).await, "approved");
    assert_eq!(world.labels(iid), ["Zusage", "job-match"]);
    assert_eq!(world.sandbox.world().labels.len(), 6);
    // Their colours are nobody's business but whoever made them.
    assert_eq!(world.sandbox.world().label_named("Zusage").unwrap().color, "#112233");
}

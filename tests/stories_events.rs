//! Stories of signed events: in their order, until they arrive, under one id, and what a lost disk makes of them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a story that fails, panics"
)]

#[path = "support/events.rs"]
mod events;
mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use events::{Pipeline, Say};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use support::{Difference, Disk, World};
use vorhoelle::engine::Hint;
use vorhoelle::sandbox::{Fault, HookMode, Outage, Role, Trouble};

async fn heard() -> (World, Pipeline) {
    let pipeline = Pipeline::start().await;
    let world = World::with(Difference { variables: pipeline.variables(), ..Difference::default() }).await;
    (world, pipeline)
}

/// Time passes, and what is due goes out.
async fn after(world: &World, seconds: u64) {
    world.settle().await;
    world.clock.advance(Duration::from_secs(seconds));
    world.outgoing.tick().await;
}

fn relabel(world: &World, iid: u64, state: &str) {
    world.reviewer().relabel(iid, &[&format!("job-match/{state}")], &[]).unwrap();
}

#[tokio::test]
async fn a_match_is_told_of_step_by_step_as_the_api_answers_it() {
    let (world, pipeline) = heard().await;
    let iid = world.stage("1").await;
    after(&world, 0).await;
    relabel(&world, iid, "rejected");
    after(&world, 0).await;
    relabel(&world, iid, "pending");
    world.settle().await;
    relabel(&world, iid, "approved");
    after(&world, 0).await;
    world.reviewer().relabel(iid, &[], &["job-match"]).unwrap();
    after(&world, 0).await;
    world.reviewer().relabel(iid, &["job-match"], &[]).unwrap();
    after(&world, 0).await;
    assert_eq!(pipeline.kinds(iid), ["staged", "rejected", "pending", "approved", "withdrawn", "staged"]);
    let all = pipeline.all();
    let mut ids: Vec<&str> = all.iter().map(|event| event.id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 6, "each has an id of its own");
    let rejected = all[1].body();
    assert_eq!(
        (&rejected["data"]["state"], &rejected["data"]["title"], &rejected["data"]["decision"]["by"]),
        (&json!("rejected"), &json!("Cloud Architect 1"), &json!("reviewer"))
    );
    assert_eq!(all[0].body()["data"]["decision"], Value::Null);
    let (status, _) = world.get(&format!("/api/v1/matches/{iid}")).await;
    assert_eq!(status, StatusCode::OK);
}

/// For the pipeline it is as if it had been taken out.
#[tokio::test]
async fn a_match_whose_issue_is_deleted_or_moved_is_withdrawn() {
    let (world, pipeline) = heard().await;
    let (deleted, moved) = (world.stage("1").await, world.stage("2").await);
    after(&world, 0).await;
    world.clock.advance(Duration::from_secs(60));
    world.sandbox.as_user("owner").delete_issue(deleted).unwrap();
    world.sandbox.as_user("owner").move_issue(moved).unwrap();
    world.look_twice().await;
    after(&world, 0).await;
    for iid in [deleted, moved] {
        assert_eq!(pipeline.kinds(iid), ["staged", "withdrawn"]);
        assert_eq!(world.state(iid).await, "none");
    }
}

/// The first rejection's label was put on together with another one, and counts only since the issue was closed: by then
/// no label event tells of it, and the next one is that of the second rejection.
#[tokio::test]
async fn two_events_never_share_an_id_even_where_a_label_was_on_before_its_step() {
    let (world, pipeline) = heard().await;
    let iid = world.stage("1").await;
    world.sandbox.hook_mode(HookMode::Lose);
    world.reviewer().relabel(iid, &["job-match/approved", "job-match/rejected"], &[]).unwrap();
    world.reviewer().close(iid).unwrap();
    world.delta().await;
    world.expect(iid, "rejected").await;
    for state in ["pending", "rejected"] {
        relabel(&world, iid, state);
        world.delta().await;
        world.expect(iid, state).await;
    }
    // Only now does anything go out.
    after(&world, 0).await;
    assert_eq!(pipeline.kinds(iid), ["staged", "rejected", "pending", "rejected"]);
    let ids: BTreeSet<String> = pipeline.all().into_iter().map(|event| event.id).collect();
    assert_eq!(ids.len(), 4, "a receiver that drops repeats would have lost one: {ids:?}");
}

#[tokio::test]
async fn a_copy_that_lags_brings_no_moved_match_back() {
    let (world, pipeline) = heard().await;
    let iid = world.stage("1").await;
    after(&world, 0).await;
    world.clock.advance(Duration::from_secs(60));
    world.sandbox.as_user("owner").move_issue(iid).unwrap();
    after(&world, 0).await;
    world.sandbox.hook_mode(HookMode::Lose);
    world.sandbox.fault(Fault::new(Method::GET, &format!("/issues/{iid}"), Trouble::Stale));
    world.engine.hint(iid, Hint::default());
    after(&world, 0).await;
    assert!(world.sandbox.faults().is_empty(), "it was read from that copy");
    assert_eq!(world.state(iid).await, "none");
    for _ in 0..3 {
        world.delta().await;
        after(&world, 60).await;
    }
    assert_eq!(pipeline.kinds(iid), ["staged", "withdrawn"]);
}

/// The bot was somebody who may not see confidential issues, for an hour.
#[tokio::test]
async fn a_match_that_was_hidden_for_a_while_is_told_of_again() {
    let (world, pipeline) = heard().await;
    let iid = world.reviewer().create_issue("By hand", "", &["job-match"]).unwrap();
    world.reviewer().set_confidential(iid, true).unwrap();
    after(&world, 0).await;
    for role in [Role::Guest, Role::Reporter, Role::Guest] {
        world.clock.advance(Duration::from_secs(60));
        world.sandbox.world().set_role("bot", Some(role));
        world.engine.hint(iid, Hint::default());
        for _ in 0..2 {
            after(&world, 60).await;
        }
    }
    assert_eq!(pipeline.kinds(iid), ["staged", "withdrawn", "staged", "withdrawn"]);
}

/// Its id is a label event's that GitLab does not tell any more: under another one it would not be known as a repeat.
#[tokio::test]
async fn what_was_not_told_yet_of_a_deleted_issue_is_not_told_any_more() {
    let (world, pipeline) = heard().await;
    let iid = world.stage("1").await;
    after(&world, 0).await;
    relabel(&world, iid, "approved");
    world.settle().await;
    world.sandbox.hook_mode(HookMode::Lose);
    world.sandbox.as_user("owner").delete_issue(iid).unwrap();
    world.outgoing.tick().await;
    assert_eq!(pipeline.kinds(iid), ["staged"]);
    for _ in 0..3 {
        after(&world, 60).await;
    }
    assert_eq!(pipeline.kinds(iid), ["staged", "withdrawn"]);
    assert_eq!(world.state(iid).await, "none");
}

#[tokio::test]
async fn what_fails_comes_again_the_same_and_the_next_of_the_match_waits() {
    let (mut world, pipeline) = heard().await;
    let (slow, other) = (world.stage("1").await, world.stage("2").await);
    pipeline.says([Say::Status(500)]);
    after(&world, 0).await;
    relabel(&world, slow, "approved");
    after(&world, 0).await;
    assert_eq!(pipeline.kinds(other), ["staged"], "another match does not wait");
    assert_eq!(pipeline.kinds(slow).len(), 0);
    // Neither does a restart change anything about what comes again.
    world.restart(Disk::Kept).await;
    pipeline.says([Say::HangUp, Say::Redirect(pipeline.url.clone()), Say::RetryAfter(503, "600".to_owned())]);
    for pause in [7, 13, 25, 599] {
        after(&world, pause).await;
    }
    let (_, health) = world.get("/health").await;
    assert_eq!((&health["events"]["status"], &health["events"]["waiting"]), (&json!("failing"), &json!(2)));
    after(&world, 1).await;
    assert_eq!(pipeline.kinds(slow), ["staged", "approved"]);
    let tries: Vec<_> = pipeline.all().into_iter().filter(|one| one.iid() == slow).collect();
    assert_eq!(tries.iter().map(|one| one.answered).collect::<Vec<_>>(), [500, 599, 307, 503, 204, 204]);
    for again in &tries[1..5] {
        assert_eq!((&again.id, &again.raw), (&tries[0].id, &tries[0].raw), "a repeat is the same");
        assert!(again.timestamp > tries[0].timestamp, "and signed anew");
    }
    let (_, health) = world.get("/health").await;
    assert_eq!((&health["events"]["status"], &health["events"]["waiting"]), (&json!("ok"), &json!(0)));
}

#[tokio::test]
async fn an_event_is_given_up_after_a_day_or_where_the_receiver_is_gone() {
    let (world, pipeline) = heard().await;
    let iid = world.stage("1").await;
    pipeline.says([Say::Status(410)]);
    after(&world, 0).await;
    relabel(&world, iid, "approved");
    after(&world, 0).await;
    assert_eq!(pipeline.kinds(iid), ["approved"], "the one that nobody wants holds up none");
    relabel(&world, iid, "rejected");
    pipeline.always(Some(500));
    for _ in 0..26 {
        after(&world, 3_600).await;
    }
    let (_, health) = world.get("/health").await;
    assert_eq!(
        (&health["events"]["given_up"], &health["events"]["waiting"]),
        (&json!(2), &json!(0)),
        "{health}"
    );
    pipeline.always(None);
    relabel(&world, iid, "approved");
    after(&world, 0).await;
    assert_eq!(pipeline.kinds(iid), ["approved", "approved"]);
}

#[tokio::test]
async fn a_receiver_that_asks_for_no_pause_gets_one_all_the_same() {
    let (world, pipeline) = heard().await;
    let iid = world.stage("1").await;
    let past = "Mon, 23 Nov 2020 07:00:00 GMT";
    pipeline.says(["0", past].map(|pause| Say::RetryAfter(503, pause.to_owned())));
    for tries in [1, 2] {
        for _ in 0..2 {
            world.outgoing.tick().await;
            assert_eq!(pipeline.all().len(), tries);
        }
        world.clock.advance(Duration::from_secs(5));
    }
    after(&world, 0).await;
    assert_eq!(pipeline.kinds(iid), ["staged"]);
}

/// Receivers take no signature that is minutes old.
#[tokio::test]
async fn an_event_is_signed_when_it_leaves_however_long_gitlab_took() {
    let (world, pipeline) = heard().await;
    let iid = world.stage("1").await;
    after(&world, 0).await;
    relabel(&world, iid, "approved");
    world.settle().await;
    let slow = Trouble::slow_body(Duration::from_millis(500));
    world.sandbox.fault(Fault::new(Method::GET, "resource_label_events", slow));
    let minutes_pass = async {
        world.until_called(|call| call.path.contains("resource_label_events")).await;
        world.clock.advance(Duration::from_secs(400));
    };
    tokio::join!(world.outgoing.tick(), minutes_pass);
    assert_eq!(pipeline.kinds(iid), ["staged", "approved"]);
    assert_eq!(pipeline.all()[1].timestamp, world.clock.now().as_second());
}

#[tokio::test]
async fn what_failed_by_a_clock_that_was_ahead_is_tried_for_a_day_once_it_is_right() {
    let (mut world, pipeline) = heard().await;
    world.clock_jumps(30 * 86_400);
    let iid = world.stage("1").await;
    pipeline.always(Some(500));
    after(&world, 0).await;
    world.clock_jumps(-30 * 86_400);
    world.restart(Disk::Kept).await;
    after(&world, 60).await;
    assert_eq!(pipeline.all().len(), 2, "it is tried at once");
    for _ in 0..23 {
        after(&world, 3_600).await;
    }
    let given_up = async |world: &World| world.get("/health").await.1["events"]["given_up"].clone();
    assert_eq!(given_up(&world).await, 0);
    for _ in 0..3 {
        after(&world, 3_600).await;
    }
    assert_eq!((given_up(&world).await, pipeline.kinds(iid).len()), (json!(1), 0));
}

/// Rows of a spreadsheet are of the past: who follows events hears of none of them, however fast GitLab's delivery is.
#[tokio::test]
async fn what_is_staged_in_another_state_raises_no_event() {
    let (world, pipeline) = heard().await;
    let stage = |id: &str| {
        let job = vorhoelle::domain::posted_match::parse(support::job(id)).unwrap();
        world.engine.stage_in(job, uuid::Uuid::new_v4(), vorhoelle::domain::State::Approved)
    };
    stage("1").await.unwrap();
    world.sandbox.fault(Fault::new(Method::POST, "/issues", Trouble::SlowBody { millis: 300 }));
    let (staged, ()) = tokio::join!(stage("2"), world.until_met(2));
    staged.unwrap();
    after(&world, 60).await;
    assert!(pipeline.all().is_empty(), "{:?}", pipeline.kinds(2));
    relabel(&world, 2, "rejected");
    after(&world, 60).await;
    assert_eq!(pipeline.kinds(2), ["rejected"]);
}

#[tokio::test]
async fn the_day_of_an_event_begins_with_its_first_try_not_while_gitlab_is_down() {
    let (world, pipeline) = heard().await;
    let iid = world.stage("1").await;
    after(&world, 0).await;
    relabel(&world, iid, "approved");
    world.settle().await;
    world.sandbox.outage(Outage::BadGateway);
    for _ in 0..26 {
        after(&world, 3_600).await;
    }
    world.sandbox.outage(Outage::None);
    pipeline.says([Say::Status(500)]);
    after(&world, 3_600).await;
    let (_, health) = world.get("/health").await;
    assert_eq!(
        (&health["events"]["given_up"], &health["events"]["waiting"]),
        (&json!(0), &json!(1)),
        "{health}"
    );
    for _ in 0..12 {
        after(&world, 3_600).await;
    }
    assert_eq!(pipeline.kinds(iid), ["staged", "approved"]);
}

/// The disk is lost while the match does not count.
#[tokio::test]
async fn an_approval_that_waits_is_told_when_the_match_is_put_back() {
    let (mut world, pipeline) = heard().await;
    let iid = world.stage("1").await;
    world.reviewer().relabel(iid, &["job-match/approved"], &["job-match", "job-match/pending"]).unwrap();
    after(&world, 0).await;
    world.restart(Disk::Wiped).await;
    world.reviewer().relabel(iid, &["job-match"], &[]).unwrap();
    after(&world, 0).await;
    assert_eq!(pipeline.kinds(iid).last().unwrap(), "approved");
    // Once: taken away and put back again it is no news.
    let heard = pipeline.taken().len();
    world.reviewer().relabel(iid, &[], &["job-match"]).unwrap();
    after(&world, 0).await;
    world.reviewer().relabel(iid, &["job-match"], &[]).unwrap();
    after(&world, 0).await;
    let kinds = pipeline.kinds(iid);
    assert_eq!(kinds[heard..], ["withdrawn", "staged"], "{kinds:?}");
}

#[tokio::test]
async fn after_a_lost_disk_only_an_approval_that_waits_for_a_draft_comes_again() {
    let (mut world, pipeline) = heard().await;
    let (waits, drafted, rejected) = (world.stage("1").await, world.stage("2").await, world.stage("3").await);
    for (iid, state) in [(waits, "approved"), (drafted, "approved"), (rejected, "rejected")] {
        relabel(&world, iid, state);
    }
    after(&world, 0).await;
    let draft = json!({"to": "clara@agency.example", "subject": "Architect", "body": "Dear Clara"});
    let put = world.http.put(world.url(&format!("/api/v1/matches/{drafted}/draft"))).json(&draft);
    assert_eq!(world.call(put).await.0, StatusCode::CREATED);
    let before = pipeline.all();
    world.restart(Disk::Wiped).await;
    after(&world, 0).await;
    let all = pipeline.all();
    let again: Vec<_> = all[before.len()..].iter().map(|event| (event.iid(), event.kind())).collect();
    assert_eq!(again, [(waits, "match.approved".to_owned())]);
    let first = before.iter().find(|one| one.iid() == waits && one.kind() == "match.approved").unwrap();
    assert_eq!(all[before.len()].id, first.id, "under the same id");
}

#[tokio::test]
async fn after_a_lost_disk_a_step_over_a_label_that_was_never_alone_is_not_told_again() {
    let (mut world, pipeline) = heard().await;
    let iid = world.stage("1").await;
    relabel(&world, iid, "rejected");
    after(&world, 0).await;
    world.sandbox.hook_mode(HookMode::Lose);
    // Approved beside rejected, then neither, then sent: the table leads there.
    relabel(&world, iid, "approved");
    world.tell_after(1).await;
    world.reviewer().relabel(iid, &[], &["job-match/rejected", "job-match/approved"]).unwrap();
    world.tell_after(1).await;
    relabel(&world, iid, "sent");
    world.delta().await;
    after(&world, 0).await;
    world.expect(iid, "sent").await;
    assert_eq!(pipeline.kinds(iid), ["staged", "rejected", "approved", "sent"]);
    let path = format!("/api/v1/matches/{iid}");
    let (_, before) = world.get(&path).await;
    world.restart(Disk::Wiped).await;
    for _ in 0..2 {
        world.delta().await;
        after(&world, 0).await;
    }
    assert_eq!(pipeline.kinds(iid), ["staged", "rejected", "approved", "sent"]);
    assert_eq!(world.get(&path).await.1["history"], before["history"]);
    world.finish().await;
}

#[tokio::test]
async fn what_a_stranger_does_raises_no_event_where_reviewers_are_enforced() {
    let pipeline = Pipeline::start().await;
    let mut variables = pipeline.variables();
    variables.extend([("ENFORCE_REVIEWERS", "true"), ("REVIEWERS", "reviewer")]);
    let mut world = World::with(Difference { variables, ..Difference::default() }).await;
    for (id, add, remove) in [
        ("1", &["job-match/approved"][..], &[][..]),
        ("2", &["job-match/rejected"], &[]),
        ("3", &["job-match/rejected"], &["job-match/pending"]),
        ("4", &[], &["job-match"]),
    ] {
        let iid = world.stage(id).await;
        world.person("colleague").relabel(iid, add, remove).unwrap();
        after(&world, 60).await;
        world.expect(iid, "pending").await;
        world.expect_comment(iid, "Only the listed reviewers");
        assert_eq!(pipeline.kinds(iid), ["staged"], "of {id}");
    }
    let closed_or_reopened = world.sandbox.world().state_events.len();
    assert_eq!(closed_or_reopened, 0, "none was ever closed");
    world.finish().await;
}

/// Neither of two instances could know of the other's issue; the later one is decided before anybody notices.
#[tokio::test]
async fn a_second_issue_of_a_match_raises_no_event_of_its_own() {
    let pipeline = Pipeline::start().await;
    let mut world =
        World::with(Difference { variables: pipeline.variables(), ..Difference::default() }).await;
    let other = world.stage_twice(support::job("1")).await;
    world.sandbox.hook_mode(HookMode::Lose);
    world.reviewer().relabel(2, &["job-match/approved"], &["job-match/pending"]).unwrap();
    for _ in 0..3 {
        world.delta().await;
        other.engine.delta().await.unwrap();
        world.settle_all().await;
        after(&world, 60).await;
        other.outgoing.tick().await;
    }
    world.expect(1, "approved").await;
    let of_second = pipeline.kinds(2);
    assert!(of_second.iter().all(|kind| kind == "staged"), "{of_second:?}");
    assert!(pipeline.kinds(1).contains(&"approved".to_owned()), "{:?}", pipeline.kinds(1));
}

/// Its first life was told by the disk that was lost; receivers take two deliveries of one id for one.
#[tokio::test]
async fn what_was_made_by_hand_and_put_back_after_a_lost_disk_is_staged_under_another_id() {
    let (mut world, pipeline) = heard().await;
    let iid = world.reviewer().create_issue("By hand", "", &["job-match"]).unwrap();
    after(&world, 0).await;
    world.reviewer().relabel(iid, &[], &["job-match"]).unwrap();
    after(&world, 0).await;
    world.restart(Disk::Wiped).await;
    world.clock.advance(Duration::from_secs(60));
    world.reviewer().relabel(iid, &["job-match"], &[]).unwrap();
    after(&world, 0).await;
    assert_eq!(pipeline.kinds(iid), ["staged", "withdrawn", "staged"]);
    let ids: BTreeSet<String> = pipeline.all().into_iter().map(|event| event.id).collect();
    assert_eq!(ids.len(), 3, "{ids:?}");
    world.delta().await;
    after(&world, 0).await;
    assert_eq!(pipeline.kinds(iid).len(), 3);
    world.finish().await;
}

/// A reviewer made it approved, and a stranger moved it before the service heard of it: its approval waits for a draft.
#[tokio::test]
async fn an_approval_that_stands_after_a_stranger_was_undone_is_told() {
    let pipeline = Pipeline::start().await;
    let mut variables = pipeline.variables();
    variables.extend([("ENFORCE_REVIEWERS", "true"), ("REVIEWERS", "reviewer")]);
    let mut world = World::with(Difference { variables, ..Difference::default() }).await;
    for disk in [Disk::Kept, Disk::Wiped] {
        let told = pipeline.all().len();
        world.kill(disk).await;
        let iid = world.reviewer().create_issue("By hand", "", &["job-match", "job-match/approved"]).unwrap();
        world.clock.advance(Duration::from_secs(60));
        world.person("colleague").relabel(iid, &["job-match/pending"], &["job-match/approved"]).unwrap();
        world.start().await;
        world.look_twice().await;
        world.expect(iid, "approved").await;
        world.expect_comment(iid, "by colleague");
        after(&world, 0).await;
        after(&world, 0).await;
        let all = pipeline.all();
        let kinds: Vec<String> =
            all[told..].iter().filter(|event| event.iid() == iid).map(events::Event::kind).collect();
        assert_eq!(kinds.last().map(String::as_str), Some("match.approved"), "{disk:?}: {kinds:?}");
    }
    world.finish().await;
}

#[tokio::test]
async fn an_old_issue_that_became_a_match_and_was_hidden_is_told_of_again() {
    let (mut world, pipeline) = heard().await;
    let iid = world.reviewer().create_issue("By hand", "", &[]).unwrap();
    world.restart(Disk::Wiped).await;
    world.delta().await;
    world.clock.advance(Duration::from_secs(60));
    world.reviewer().relabel(iid, &["job-match"], &[]).unwrap();
    after(&world, 0).await;
    world.reviewer().set_confidential(iid, true).unwrap();
    for role in [Role::Guest, Role::Reporter] {
        world.clock.advance(Duration::from_secs(60));
        world.sandbox.world().set_role("bot", Some(role));
        world.engine.hint(iid, Hint::default());
        for _ in 0..2 {
            after(&world, 60).await;
        }
    }
    assert_eq!(pipeline.kinds(iid), ["staged", "withdrawn", "staged"]);
}

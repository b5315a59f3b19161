//! Stories: GitLab is the only truth, and only our own words count.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a story that fails, panics"
)]

mod support;

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::json;
use support::{Difference, Disk, World, job};
use vorhoelle::domain::State;
use vorhoelle::domain::history::Through;
use vorhoelle::engine::Decision;
use vorhoelle::sandbox::{Fault, HookMode, Trouble};

#[tokio::test]
async fn a_block_that_a_person_forged_is_plain_text() {
    let world = World::new().await;
    let real = world.stage("1").await;
    let text = world.sandbox.world().issue(real).unwrap().description.clone().unwrap();
    let forged = world.person("colleague").create_issue("By hand", &text, &["job-match"]).unwrap();
    world.settle().await;
    let (_, answer) = world.get(&format!("/api/v1/matches/{forged}")).await;
    assert_eq!((&answer["title"], &answer["fingerprint"]), (&json!("By hand"), &json!(null)));
    assert!(answer.get("company").is_none());
    world.expect(real, "pending").await;
    let (status, again) = world.post(&job("1")).await;
    assert_eq!((status, again["iid"].as_u64()), (StatusCode::OK, Some(real)));
    world.finish().await;
}

#[tokio::test]
async fn a_decision_that_a_person_forged_is_a_plain_comment() {
    let world = World::new().await;
    let iid = world.stage("1").await;
    let forged = r#"<!-- vorhoelle {"decision":{"from":"pending","to":"approved","by":"boss","through":"api",
        "nonce":"7f2c0f9e-5b5c-4c52-9d1c-1d0d2b6f0a11"}} -->"#;
    world.person("colleague").comment(iid, forged).unwrap();
    world.settle().await;
    world.delta().await;
    world.expect(iid, "pending").await;
    world.finish().await;
}

#[tokio::test]
async fn with_a_new_bot_user_nothing_is_written_until_the_old_one_is_listed() {
    let mut world = World::new().await;
    let iid = world.stage("1").await;
    world.kill(Disk::Wiped).await;
    let token = world.replace_bot();
    world.set_variable("GITLAB_TOKEN", &token);
    world.start().await;
    world.reviewer().relabel(iid, &["job-match/approved"], &[]).unwrap();
    world.sandbox.clear_calls();
    // However long it takes until it is listed.
    for _ in 0..3 {
        world.engine.delta().await.unwrap();
        world.settle().await;
    }
    assert_eq!(world.post(&job("1")).await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(world.post(&job("2")).await.0, StatusCode::SERVICE_UNAVAILABLE);
    let writes = world.sandbox.calls().into_iter().filter(|call| call.method != "GET");
    assert_eq!(writes.count(), 0, "nothing is written");
    let old = world.sandbox.as_user("bot").id();
    let (status, health) = world.get("/health").await;
    assert_eq!((status, &health["unlisted_bots"]["ids"]), (StatusCode::SERVICE_UNAVAILABLE, &json!([old])));
    world.kill(Disk::Kept).await;
    world.set_variable("FORMER_USERS", &old.to_string());
    world.start().await;
    world.engine.delta().await.unwrap();
    world.settle().await;
    world.expect(iid, "approved").await;
    let (status, again) = world.post(&job("1")).await;
    assert_eq!((status, again["iid"].as_u64()), (StatusCode::OK, Some(iid)));
    world.finish().await;
}

#[tokio::test]
async fn the_token_may_be_the_reviewers_own() {
    let probe = World::asleep(Difference::default()).await;
    let token: &'static str = probe.sandbox.token("reviewer").leak();
    let mut world = World::set(&[("GITLAB_TOKEN", token), ("REVIEWERS", "reviewer")]).await;
    let iid = world.stage("1").await;
    assert_eq!(world.sandbox.as_user("reviewer").todos().len(), 1);
    world.reviewer().relabel(iid, &["job-match/approved"], &[]).unwrap();
    world.settle().await;
    world.expect(iid, "approved").await;
    world.reviewer().close(iid).unwrap();
    world.settle().await;
    world.expect(iid, "rejected").await;
    let (status, _) = world.patch(iid, &json!({"state": "pending"})).await;
    assert_eq!(status, StatusCode::OK);
    world.settle().await;
    world.expect(iid, "pending").await;
    world.restart(Disk::Wiped).await;
    world.expect(iid, "pending").await;
}

#[tokio::test]
async fn a_comment_of_the_service_does_not_clear_the_reviewers_own_todo() {
    let probe = World::asleep(Difference::default()).await;
    let token: &'static str = probe.sandbox.token("reviewer").leak();
    let world = World::set(&[("GITLAB_TOKEN", token), ("REVIEWERS", "reviewer")]).await;
    let iid = world.stage("1").await;
    let before = world.sandbox.as_user("reviewer").todos().len();
    // Somebody else's wrong act is explained by a comment in the reviewer's name.
    world.person("colleague").relabel(iid, &["job-match/approved", "job-match/rejected"], &[]).unwrap();
    world.settle().await;
    world.expect(iid, "pending").await;
    let todos = world.sandbox.as_user("reviewer").todos();
    assert!(before == 1 && todos.iter().any(|todo| todo.iid == iid), "{todos:?}");
}

#[tokio::test]
async fn two_instances_that_stage_the_same_match_end_with_one_issue() {
    let mut world = World::new().await;
    let other = world.stage_twice(job("1")).await;
    // The later one was decided before anybody noticed.
    world.sandbox.hook_mode(HookMode::Lose);
    world.reviewer().relabel(2, &["job-match/approved"], &["job-match/pending"]).unwrap();
    world.sandbox.hook_mode(HookMode::Deliver);
    for _ in 0..3 {
        world.delta().await;
        other.engine.delta().await.unwrap();
        other.engine.work_off().await;
        world.settle_all().await;
    }
    world.expect(1, "approved").await;
    assert_eq!(world.labels(2), Vec::<String>::new());
    assert!(!world.is_open(2));
    assert_eq!(world.state(2).await, "none");
    let said: Vec<String> = world.comments(2);
    assert!(said.iter().all(|text| text.contains("#1")) && !said.is_empty(), "{said:?}");
}

#[tokio::test]
async fn a_mirror_of_no_use_is_read_anew_and_that_is_said() {
    for (what, spoil) in [
        ("damaged", b"this is no database, this is a text".repeat(100)),
        ("damaged", Vec::from(&b"SQLite format 3\0 and then nothing"[..])),
    ] {
        let mut world = World::new().await;
        let iid = world.stage("1").await;
        world.kill(Disk::Wiped).await;
        std::fs::write(world.mirror_file(), spoil).unwrap();
        world.start().await;
        world.engine.delta().await.unwrap();
        world.settle().await;
        world.expect(iid, "pending").await;
        let (_, health) = world.get("/health").await;
        assert!(health["mirror"]["note"].as_str().unwrap().contains(what), "{health}");
        world.finish().await;
    }
}

/// As a disk leaves one that loses its blocks, or a copy that broke off.
#[tokio::test]
async fn a_real_mirror_that_lost_a_part_is_read_anew_and_that_is_said() {
    const PAGE: usize = 4096;
    for is_cut in [true, false] {
        let mut world = World::new().await;
        for id in 0..20 {
            world.stage(&id.to_string()).await;
        }
        world.kill(Disk::Kept).await;
        world.spoil_mirror("PRAGMA wal_checkpoint(TRUNCATE)");
        let mut bytes = std::fs::read(world.mirror_file()).unwrap();
        let middle = bytes.len() / PAGE / 2 * PAGE;
        if is_cut {
            bytes.truncate(middle);
        } else {
            bytes[middle..middle + PAGE].fill(0xA5);
        }
        std::fs::write(world.mirror_file(), bytes).unwrap();
        world.start().await;
        world.engine.delta().await.unwrap();
        world.settle().await;
        assert_eq!(world.engine.mirror().counts().unwrap().pending, 20);
        let (_, health) = world.get("/health").await;
        assert!(health["mirror"]["note"].as_str().unwrap().contains("damaged"), "{health}");
        world.finish().await;
    }
}

#[tokio::test]
async fn a_mirror_of_a_newer_version_or_another_project_is_read_anew() {
    for (sql, why) in [
        ("PRAGMA user_version = 99", "newer"),
        ("UPDATE facts SET value = 'https://elsewhere/ 7' WHERE name LIKE 'owner%'", "another project"),
    ] {
        let mut world = World::new().await;
        let iid = world.stage("1").await;
        world.kill(Disk::Kept).await;
        world.spoil_mirror(sql);
        world.start().await;
        world.engine.delta().await.unwrap();
        world.settle().await;
        world.expect(iid, "pending").await;
        let (_, health) = world.get("/health").await;
        assert!(health["mirror"]["note"].as_str().unwrap().contains(why), "{health}");
        world.finish().await;
    }
}

#[tokio::test]
async fn where_the_clock_stops_between_requests_work_is_done_inside_them() {
    let world = World::set(&[("IDLE", "request")]).await;
    let (_, answer) = world.post(&job("1")).await;
    let iid = answer["iid"].as_u64().unwrap();
    world.reviewer().relabel(iid, &["job-match/approved"], &[]).unwrap();
    world.sandbox.settled().await;
    world.expect(iid, "approved").await;
    // Lost while the platform slept: the scheduler's tick finds it. Twice does no harm.
    world.sandbox.hook_mode(HookMode::Lose);
    world.reviewer().close(iid).unwrap();
    for _ in 0..2 {
        let tick = world.http.post(world.url("/api/v1/tick"));
        assert_eq!(world.call(tick).await.0, StatusCode::OK);
    }
    world.expect(iid, "rejected").await;
    world.finish().await;
}

#[tokio::test]
async fn where_the_clock_stops_between_requests_a_copy_that_lags_is_read_again_inside_the_request() {
    let world = World::set(&[("IDLE", "request")]).await;
    let (_, answer) = world.post(&job("1")).await;
    let iid = answer["iid"].as_u64().unwrap();
    // A copy lags most likely just after a change, which is when a delivery comes.
    world.sandbox.fault(Fault::new(Method::GET, "/issues/", Trouble::Stale).times(2));
    world.reviewer().relabel(iid, &["job-match/approved"], &[]).unwrap();
    world.sandbox.settled().await;
    world.expect(iid, "approved").await;
    world.finish().await;
}

/// GitLab gives a delivery ten seconds; what is under way by then goes on, and breaks off in no mid-step.
#[tokio::test]
async fn where_the_clock_stops_between_requests_a_slow_gitlab_is_not_waited_for_beyond_its_own_deadline() {
    let world = World::set(&[("IDLE", "request")]).await;
    let (_, answer) = world.post(&job("1")).await;
    let iid = answer["iid"].as_u64().unwrap();
    let slow = Trouble::slow(Duration::from_millis(4_500));
    world.sandbox.fault(Fault::new(Method::GET, &format!("/issues/{iid}"), slow).times(2));
    let begun = Instant::now();
    world.reviewer().relabel(iid, &["job-match/approved"], &[]).unwrap();
    world.sandbox.settled().await;
    let waited = begun.elapsed();
    assert!(waited < Duration::from_secs(10), "{waited:?}");
    while world.state(iid).await != "approved" {
        assert!(begun.elapsed() < Duration::from_secs(60), "what was begun goes on");
        vorhoelle::clock::Clock::System.sleep(Duration::from_millis(20)).await;
    }
    world.settle().await;
    world.expect(iid, "approved").await;
    world.finish().await;
}

#[tokio::test]
async fn job_match_taken_off_while_webhooks_were_lost() {
    let world = World::new().await;
    let iid = world.stage("1").await;
    world.sandbox.hook_mode(HookMode::Lose);
    world.reviewer().relabel(iid, &[], &["job-match"]).unwrap();
    world.delta().await;
    assert_eq!(world.state(iid).await, "none");
    let (status, answer) = world.post(&job("1")).await;
    assert_eq!(
        (status, answer["iid"].as_u64()),
        (StatusCode::OK, Some(iid)),
        "it is not staged a second time"
    );
    world.finish().await;
}

#[tokio::test]
async fn a_stale_read_is_noticed_and_read_again() {
    let world = World::new().await;
    let iid = world.stage("1").await;
    world.sandbox.fault(Fault::new(Method::GET, "/issues/", Trouble::Stale));
    world.reviewer().relabel(iid, &["job-match/approved"], &[]).unwrap();
    world.settle().await;
    world.clock.advance(Duration::from_secs(1));
    world.settle().await;
    world.expect(iid, "approved").await;
    world.finish().await;
}

#[tokio::test]
async fn a_stale_read_that_nobody_warned_of_undoes_nothing() {
    let world = World::new().await;
    let iid = world.stage("1").await;
    world.reviewer().relabel(iid, &["job-match/approved"], &[]).unwrap();
    world.sandbox.settled().await;
    world.clock.advance(Duration::from_secs(1));
    world.settle().await;
    world.expect(iid, "approved").await;
    // A copy of GitLab's database lags: it still shows pending and approved, as before the service's own write.
    world.sandbox.fault(Fault::new(Method::GET, "/issues/", Trouble::Stale).times(2));
    world.engine.hint(iid, vorhoelle::engine::Hint::default());
    world.settle().await;
    let (status, _) = world.patch(iid, &json!({"state": "sent"})).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(world.state(iid).await, "approved");
    world.clock.advance(Duration::from_secs(10));
    world.delta().await;
    world.expect(iid, "approved").await;
    world.finish().await;
}

/// A copy may lag by a moment that GitLab's clock does not tell: what it shows is as old as its newest event, and no
/// older than what we know.
#[tokio::test]
async fn a_copy_that_lags_by_less_than_its_clock_shows_takes_no_label_off() {
    let mut world = World::new().await;
    let iid = world.stage("1").await;
    world.reviewer().relabel(iid, &["job-match/approved"], &[]).unwrap();
    world.settle().await;
    world.expect(iid, "approved").await;
    let times = |world: &World| {
        let gitlab = world.sandbox.world();
        (gitlab.issue(iid).unwrap().updated_at, gitlab.label_events.last().unwrap().created_at)
    };
    let (updated_at, last_event) = times(&world);
    assert_eq!(updated_at, last_event, "the service followed in the moment of the act");
    // As before the service's own write, in the same moment: pending is on, although its event says that it is off.
    world.sandbox.fault(Fault::new(Method::GET, "/issues/", Trouble::Stale));
    world.engine.hint(iid, vorhoelle::engine::Hint::default());
    world.settle().await;
    world.expect(iid, "approved").await;
    world.clock.advance(Duration::from_secs(1));
    world.settle().await;
    world.expect(iid, "approved").await;
    assert_eq!(world.engine.backlog(), 0);
    // Nor is it a step after a lost disk.
    world.restart(Disk::Wiped).await;
    let (_, answer) = world.get(&format!("/api/v1/matches/{iid}")).await;
    assert_eq!(answer["history"].as_array().unwrap().len(), 1, "{answer}");
    world.finish().await;
}

/// An import, say, or a script on GitLab's database: nothing tells of it but the label itself.
#[tokio::test]
async fn a_label_that_was_put_on_without_an_event_is_followed_once_it_is_no_copy_that_lags() {
    for enforced in [false, true] {
        let variables: &[_] =
            if enforced { &[("ENFORCE_REVIEWERS", "true"), ("REVIEWERS", "reviewer")] } else { &[] };
        let mut world = World::set(variables).await;
        let iid = world.stage("1").await;
        for state in ["approved", "pending"] {
            world.reviewer().relabel(iid, &[&format!("job-match/{state}")], &[]).unwrap();
            world.settle().await;
            world.expect(iid, state).await;
        }
        put_on_without_a_trace(&world, iid, "job-match/approved");
        // At first it looks as before the label was taken off, to everybody who asks.
        world.engine.hint(iid, vorhoelle::engine::Hint::default());
        world.settle().await;
        assert_eq!(world.patch(iid, &json!({"state": "rejected"})).await.0, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!((world.state(iid).await, world.labels(iid).len()), ("pending".to_owned(), 3));
        for _ in 0..10 {
            world.clock.advance(Duration::from_secs(60));
            world.settle().await;
        }
        assert_eq!(world.engine.backlog(), 0, "it is not looked at for ever");
        // Who put it on cannot be determined, and is no reviewer.
        if enforced {
            world.expect_comment(iid, "Only the listed reviewers");
        }
        world.expect(iid, if enforced { "pending" } else { "approved" }).await;
        world.delta().await;
        world.sandbox.clear_calls();
        world.delta().await;
        let looks = world.calls_by_bot().iter().filter(|call| call.ends_with("/issues/:iid")).count();
        assert_eq!(looks, 0, "it is at rest");
        world.finish().await;
    }
}

/// From a backup: what it says is older than what it told before, whether or not anybody touches it.
#[tokio::test]
async fn a_gitlab_that_was_set_back_is_believed_after_minutes() {
    for touched in [true, false] {
        let world = World::new().await;
        let iid = world.stage("1").await;
        let known = if touched { "pending" } else { "approved" };
        world.spoil_mirror(&format!(
            "UPDATE matches SET state = '{known}', record =
             json_set(record, '$.updated_at', '2100-01-01T00:00:00Z', '$.state', '{known}')"
        ));
        if touched {
            world.reviewer().relabel(iid, &["job-match/approved"], &[]).unwrap();
        }
        world.delta().await;
        world.settle().await;
        assert_eq!(world.patch(iid, &json!({"state": "rejected"})).await.0, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!((world.state(iid).await.as_str(), world.is_open(iid)), (known, true));
        for _ in 0..10 {
            world.clock.advance(Duration::from_secs(60));
            world.delta().await;
            world.settle().await;
        }
        world.expect(iid, if touched { "approved" } else { "pending" }).await;
        assert_eq!(world.engine.backlog(), 0);
        world.finish().await;
    }
}

/// A label that is on, and neither an event nor the issue's time tells of it.
fn put_on_without_a_trace(world: &World, iid: u64, label: &str) {
    let mut gitlab = world.sandbox.world();
    let label = gitlab.label_named(label).unwrap().id;
    gitlab.issues.get_mut(&iid).unwrap().labels.push(label);
}

#[tokio::test]
async fn a_sentence_that_could_not_be_written_is_written_later() {
    let mut world = World::new().await;
    let iid = world.stage("1").await;
    world.sandbox.fault(Fault::new(Method::POST, "/notes", Trouble::application_limit()).times(9));
    world.reviewer().relabel(iid, &["job-match/sent"], &[]).unwrap();
    world.settle().await;
    world.sandbox.clear_faults();
    world.clock.advance(Duration::from_secs(300));
    world.settle().await;
    world.expect(iid, "pending").await;
    world.expect_comment(iid, "no step from");
    world.finish().await;
}

#[tokio::test]
async fn a_revoked_token_is_said_and_recovered_from() {
    let world = World::new().await;
    let iid = world.stage("1").await;
    world.sandbox.world().token_of("bot").unwrap().revoked = true;
    assert_eq!(world.post(&job("2")).await.0, StatusCode::SERVICE_UNAVAILABLE);
    let (status, health) = world.get("/health").await;
    assert_eq!((status, &health["gitlab"]["status"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("failing")));
    assert!(health["gitlab"]["error"].as_str().unwrap().contains("401"), "{health}");
    // What needs no GitLab says nothing of how it fares.
    assert_eq!(world.post(&job("1")).await.0, StatusCode::OK);
    assert_eq!(world.get("/health").await.0, StatusCode::SERVICE_UNAVAILABLE);
    world.reviewer().relabel(iid, &["job-match/approved"], &[]).unwrap();
    world.settle().await;
    world.sandbox.world().token_of("bot").unwrap().revoked = false;
    world.clock.advance(Duration::from_secs(400));
    world.delta().await;
    world.expect(iid, "approved").await;
    assert_eq!(world.get("/health").await.0, StatusCode::OK);
    world.finish().await;
}

#[tokio::test]
async fn a_rebuild_costs_one_list_call_a_hundred_matches_and_label_events_of_touched_ones() {
    let mut world = World::new().await;
    // Two full pages: none begins with what the one before ended with.
    for chunk in (0..200).collect::<Vec<_>>().chunks(50) {
        let body: Vec<_> = chunk.iter().map(|n| job(&n.to_string())).collect();
        world.post(&json!(body)).await;
        world.clock.advance(Duration::from_secs(61));
    }
    world.settle().await;
    for iid in [3, 5] {
        world.reviewer().relabel(iid, &["job-match/approved"], &[]).unwrap();
    }
    world.settle().await;
    world.kill(Disk::Wiped).await;
    world.start().await;
    world.sandbox.clear_calls();
    world.engine.delta().await.unwrap();
    let calls = world.calls_by_bot();
    let count = |route: &str| calls.iter().filter(|call| call.ends_with(route)).count();
    assert_eq!(count("GET /projects/:id/issues"), 2, "{calls:?}");
    assert_eq!(count("/resource_label_events"), 2, "{calls:?}");
    assert_eq!(count("/notes"), 0, "{calls:?}");
    // What is left to be looked at costs nothing either.
    world.settle().await;
    let calls = world.calls_by_bot();
    let singles = calls.iter().filter(|call| call.ends_with("GET /projects/:id/issues/:iid")).count();
    assert_eq!(singles, 2, "{calls:?}");
    world.finish().await;
}

/// A command on another machine, while no webhook arrives here.
#[tokio::test]
async fn who_decided_stays_so_where_another_process_decides_about_what_was_not_heard_of_here() {
    for breaks_off in [false, true] {
        decided_elsewhere(breaks_off).await;
    }
}

/// Where it breaks off, the decision is written down and its label never put on: that is done here.
async fn decided_elsewhere(breaks_off: bool) {
    let mut world = World::new().await;
    let iid = world.stage("1").await;
    let other = world.another_instance().await;
    other.engine.delta().await.unwrap();
    world.sandbox.hook_mode(HookMode::Lose);
    world.reviewer().relabel(iid, &["job-match/approved"], &["job-match/pending"]).unwrap();
    if breaks_off {
        world.sandbox.fault(Fault::new(Method::PUT, "/issues/", Trouble::CutBefore).times(99));
    }
    let decision = Decision {
        from: None,
        to: State::Rejected,
        by: "cli".to_owned(),
        through: Through::Cli,
        comment: Some("too far".to_owned()),
    };
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(other.engine.decide(iid, decision).await.is_err(), breaks_off);
    world.sandbox.clear_faults();
    for disk in [Disk::Kept, Disk::Wiped] {
        if disk == Disk::Wiped {
            world.restart(disk).await;
        }
        world.delta().await;
        world.expect(iid, "rejected").await;
        let (_, answer) = world.get(&format!("/api/v1/matches/{iid}")).await;
        let steps = answer["history"].as_array().unwrap().iter();
        let told: Vec<_> = steps.map(|step| json!([step["to"], step["by"], step["through"]])).collect();
        let expected = json!([["approved", "reviewer", "gitlab"], ["rejected", "cli", "cli"]]);
        assert_eq!(json!(told), expected, "{disk:?}");
    }
    world.expect_comment(iid, "too far");
    world.finish().await;
}

/// A copy of GitLab that lags, or one answer of a moment without rights.
#[tokio::test]
async fn a_match_that_one_answer_says_is_not_there_is_not_unknown_to_who_decides() {
    let world = World::new().await;
    let iid = world.stage("1").await;
    for wait in [0, 60] {
        world.clock.advance(Duration::from_secs(wait));
        world.sandbox.fault(Fault::new(Method::GET, &format!("/issues/{iid}"), Trouble::status(404)));
        let (status, answer) = world.patch(iid, &json!({"state": "approved"})).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{answer}");
    }
    assert_eq!(world.patch(iid, &json!({"state": "approved"})).await.0, StatusCode::OK);
    assert_eq!(world.patch(99, &json!({"state": "approved"})).await.0, StatusCode::NOT_FOUND);
}

//! Stories of what happens to the settings issue itself: its text, its label, who touches it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

mod support;
#[path = "support/visitor.rs"]
mod visitor;

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use support::{Difference, Disk, World};
use visitor::Browser;
use vorhoelle::sandbox::{Fault, Trouble};

const ENFORCED: &str = "language: en\nenforce_reviewers: true\n";

async fn change(world: &World, body: Value) -> (StatusCode, Value) {
    world.call(world.http.patch(world.url("/api/v1/config")).json(&body)).await
}

async fn changed(world: &World, body: Value) {
    let (status, answer) = change(world, body).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
}

async fn setting(world: &World, key: &str) -> Value {
    let (_, answer) = world.get("/api/v1/config").await;
    let all = answer["settings"].as_array().unwrap();
    all.iter().find(|one| one["key"] == key).map_or(Value::Null, |one| one["value"].clone())
}

async fn problem(world: &World) -> Value {
    world.get("/health").await.1["settings"]["problem"].clone()
}

fn description(world: &World, iid: u64) -> String {
    world.sandbox.world().issue(iid).unwrap().description.clone().unwrap()
}

/// The lines of the block.
fn block(world: &World) -> Vec<String> {
    let text = description(world, 1);
    let lines = text.lines().skip_while(|line| *line != "```yaml").skip(1);
    lines.take_while(|line| *line != "```").map(str::to_owned).collect()
}

async fn enforced() -> World {
    World::with(Difference { file: Some(ENFORCED), ..Difference::default() }).await
}

#[tokio::test]
async fn the_first_change_and_the_last_removal_leave_a_block_that_reads_back() {
    let mut world = World::new().await;
    changed(&world, json!({ "channels": {"todo": {"enabled": false}} })).await;
    let text = description(&world, 1);
    assert!(text.contains("#   todo: {}\nchannels:\n  todo:\n    enabled: false\n```\n"), "{text}");
    assert!(!text.contains("---"), "{text}");
    changed(&world, json!({ "channels": {"todo": {"enabled": null}} })).await;
    let left = block(&world);
    assert!(left.iter().all(|line| line.starts_with('#')) && left.len() > 10, "{left:#?}");
    changed(&world, json!({ "remind_after": "4d" })).await;
    assert_eq!(block(&world).last().unwrap(), "remind_after: 4d");
    world.restart(Disk::Wiped).await;
    assert_eq!(setting(&world, "remind_after").await, "4d");
    // People empty the block, and it is filled again.
    world.reviewer().edit_description(1, "```yaml\n```\n").unwrap();
    world.settle().await;
    changed(&world, json!({ "quiet_hours": {"from": "20:00", "to": "07:00"} })).await;
    assert_eq!(block(&world), ["quiet_hours:", "  from: \"20:00\"", "  to: \"07:00\""]);
    world.restart(Disk::Wiped).await;
    assert_eq!(setting(&world, "quiet_hours.from").await, "20:00");
    assert!(problem(&world).await.is_null());
    world.finish().await;
}

/// A copy of GitLab's database lags: it shows the text as it was before the last edit.
#[tokio::test]
async fn a_copy_that_lags_brings_back_no_older_settings() {
    let mut world = World::new().await;
    changed(&world, json!({ "min_score": 80 })).await;
    world.clock.advance(Duration::from_secs(1));
    changed(&world, json!({ "min_score": 85 })).await;
    for piece in ["/issues/1", "labels=job-match%2Fsettings"] {
        world.sandbox.fault(Fault::new(Method::GET, piece, Trouble::Stale).times(3));
    }
    world.engine.hint(1, vorhoelle::engine::Hint::default());
    world.settle().await;
    assert_eq!(setting(&world, "min_score").await, 85.0);
    let (status, answer) = change(&world, json!({ "remind_after": "4d" })).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{answer}");
    assert!(block(&world).contains(&"min_score: 85".to_owned()), "nothing is written over");
    world.restart(Disk::Kept).await;
    assert_eq!(setting(&world, "min_score").await, 85.0, "nor is it after a restart");
    world.sandbox.clear_faults();
    world.clock.advance(Duration::from_secs(10));
    world.delta().await;
    changed(&world, json!({ "remind_after": "4d" })).await;
    assert_eq!(
        (setting(&world, "min_score").await, setting(&world, "remind_after").await),
        (json!(85.0), json!("4d"))
    );
    world.finish().await;
}

#[tokio::test]
async fn times_of_a_digest_take_each_others_place() {
    let world = World::new().await;
    for batch in ["batch", "channels.email.batch"] {
        let body = |value: Value| {
            if batch == "batch" {
                json!({ "batch": value })
            } else {
                json!({ "channels": {"email": {"batch": value}} })
            }
        };
        changed(&world, body(json!({"mode": "digest", "at": ["08:00"]}))).await;
        changed(&world, body(json!({"every": "2h"}))).await;
        assert_eq!(setting(&world, &format!("{batch}.every")).await, "2h");
        assert_eq!(setting(&world, &format!("{batch}.at")).await, Value::Null);
        changed(&world, body(json!({"at": ["09:00"]}))).await;
        assert_eq!(setting(&world, &format!("{batch}.at")).await, json!(["09:00"]));
        assert_eq!(setting(&world, &format!("{batch}.every")).await, Value::Null);
        let (status, answer) = change(&world, body(json!({"at": ["09:00"], "every": "2h"}))).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
        let answer = answer.to_string();
        assert!(
            answer.contains(&format!("{batch}.at")) && answer.contains(&format!("{batch}.every")),
            "{answer}"
        );
    }
    world.finish().await;
}

#[tokio::test]
async fn a_label_taken_off_is_put_back_and_settings_stay() {
    let mut world = World::new().await;
    changed(&world, json!({ "min_score": 80 })).await;
    world.person("colleague").relabel(1, &[], &["job-match/settings"]).unwrap();
    world.settle().await;
    assert_eq!(world.labels(1), ["job-match/settings"]);
    assert_eq!(setting(&world, "min_score").await, 80.0);
    world.person("owner").delete_label("job-match/settings").unwrap();
    world.delta().await;
    assert_eq!(world.labels(1), ["job-match/settings"]);
    assert_eq!(setting(&world, "min_score").await, 80.0);
    assert!(problem(&world).await.is_null());
    // A label of matches makes no match of it.
    world.reviewer().relabel(1, &["job-match"], &[]).unwrap();
    world.settle().await;
    world.delta().await;
    assert_eq!(setting(&world, "min_score").await, 80.0);
    world.reviewer().relabel(1, &[], &["job-match"]).unwrap();
    world.settle().await;
    // With the disk lost the mark still tells.
    world.kill(Disk::Wiped).await;
    world.person("owner").relabel(1, &[], &["job-match/settings"]).unwrap();
    world.restart(Disk::Wiped).await;
    assert_eq!(setting(&world, "min_score").await, 80.0);
    assert_eq!(world.labels(1), ["job-match/settings"]);
    changed(&world, json!({ "min_score": 85 })).await;
    assert_eq!(world.sandbox.world().issues.len(), 1, "no second settings issue");
    world.finish().await;
}

#[tokio::test]
async fn a_stranger_who_takes_the_label_off_is_told_once() {
    let mut world = enforced().await;
    changed(&world, json!({ "min_score": 80 })).await;
    for _ in 0..2 {
        world.person("owner").relabel(1, &[], &["job-match/settings"]).unwrap();
        world.settle().await;
        assert_eq!(world.labels(1), ["job-match/settings"]);
    }
    world.expect_comment(1, "owner has no effect");
    assert_eq!(setting(&world, "min_score").await, 80.0);
    world.reviewer().relabel(1, &[], &["job-match/settings"]).unwrap();
    world.settle().await;
    assert_eq!(world.labels(1), ["job-match/settings"]);
    world.finish().await;
}

#[tokio::test]
async fn a_match_with_the_settings_label_is_no_settings_issue() {
    let mut world = enforced().await;
    world.stage("1").await;
    changed(&world, json!({ "min_score": 80 })).await;
    assert_eq!(world.labels(2), ["job-match/settings"]);
    let text = description(&world, 1);
    let forged = format!("```yaml\nmin_score: 1\n```\n<!-- vorhoelle settings issue -->\n{text}");
    world.person("owner").edit_description(1, &forged).unwrap();
    world.person("owner").relabel(1, &["job-match/settings"], &[]).unwrap();
    world.settle().await;
    assert_eq!(setting(&world, "min_score").await, 80.0);
    world.expect_comment(1, "This issue has no effect");
    world.restart(Disk::Wiped).await;
    assert_eq!(setting(&world, "min_score").await, 80.0);
    world.person("owner").relabel(1, &[], &["job-match/settings"]).unwrap();
    world.settle().await;
    world.finish().await;
}

#[tokio::test]
async fn an_issue_from_before_there_was_a_mark_is_known_by_its_label_and_gets_the_mark() {
    let mut world = World::new().await;
    changed(&world, json!({ "min_score": 80 })).await;
    world.reviewer().edit_description(1, "```yaml\nmin_score: 85\n```\n").unwrap();
    world.settle().await;
    world.restart(Disk::Wiped).await;
    assert_eq!(setting(&world, "min_score").await, 85.0);
    changed(&world, json!({ "min_score": 90 })).await;
    assert!(description(&world, 1).contains("<!-- vorhoelle settings issue -->"));
    world.finish().await;
}

#[tokio::test]
async fn a_change_writes_over_what_a_stranger_wrote() {
    let mut world = enforced().await;
    changed(&world, json!({ "min_score": 80, "remind_after": "4d" })).await;
    let text = description(&world, 1);
    world.person("owner").edit_description(1, &text.replace("remind_after: 4d", "remind_after: 9d")).unwrap();
    world.settle().await;
    world.expect_comment(1, "owner has no effect");
    changed(&world, json!({ "min_score": 85 })).await;
    assert!(problem(&world).await.is_null());
    assert_eq!(description(&world, 1), text.replace("min_score: 80", "min_score: 85"));
    world.delta().await;
    assert_eq!(
        (setting(&world, "min_score").await, setting(&world, "remind_after").await),
        (json!(85.0), json!("4d"))
    );
    // The whole block away: it comes back with the next change.
    world.person("owner").edit_description(1, "nothing").unwrap();
    world.settle().await;
    world.expect_comment(1, "owner has no effect");
    changed(&world, json!({ "min_score": 90 })).await;
    world.restart(Disk::Wiped).await;
    assert_eq!(
        (setting(&world, "min_score").await, setting(&world, "remind_after").await),
        (json!(90.0), json!("4d"))
    );
    world.finish().await;
}

#[tokio::test]
async fn lines_that_end_with_cr_and_a_fence_with_blanks_are_understood() {
    let world = World::new().await;
    changed(&world, json!({ "min_score": 80 })).await;
    let text =
        description(&world, 1).replace("80", "85").replace("```yaml", "```yaml  ").replace('\n', "\r\n");
    world.reviewer().edit_description(1, &text).unwrap();
    world.settle().await;
    assert_eq!(setting(&world, "min_score").await, 85.0);
    changed(&world, json!({ "min_score": 90, "remind_after": "4d" })).await;
    assert_eq!(setting(&world, "remind_after").await, "4d");
    world.delta().await;
    assert_eq!(setting(&world, "min_score").await, 90.0);
    assert!(problem(&world).await.is_null());
    world.finish().await;
}

#[tokio::test]
async fn what_is_wrong_below_a_key_names_the_whole_key() {
    let mut world = World::new().await;
    for (body, field, part) in [
        (
            json!({ "channels": {"todo": {"batch": {"mode": "digest"}}} }),
            "channels.todo.batch",
            "always goes at once",
        ),
        (json!({ "language": "fr" }), "language", "expected one of de, en"),
        (json!({ "reviewers": "anna" }), "reviewers", "must be a list"),
        (json!({ "channels": {"email": {"batch": "digest"}} }), "channels.email.batch", "must hold keys"),
        (json!({ "channels": {"slack": {"enabled": "maybe"}} }), "channels.slack.enabled", "true or false"),
        (json!({ "batch": {"max": "many"} }), "batch.max", "whole number"),
        // What YAML would take for the kind that is wanted.
        (json!({ "min_score": "80" }), "min_score", "must be a number"),
        (json!({ "min_score": {"a": 1} }), "min_score", "must be a number"),
        (json!({ "remind_after": 5 }), "remind_after", "must be a single text"),
        (json!({ "enforce_reviewers": "true" }), "enforce_reviewers", "true or false"),
        (json!({ "batch": {"max": "20"} }), "batch.max", "whole number"),
        (json!({ "reviewers": [5] }), "reviewers[0]", "must be a single text"),
        (
            json!({ "batch": {"mode": "digest", "at": ["08:00"], "every": "2h"} }),
            "batch.at",
            "stands beside batch.every",
        ),
    ] {
        let (status, answer) = change(&world, body.clone()).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{body}: {answer}");
        assert_eq!(answer["errors"][0]["field"], field, "{answer}");
        assert!(answer["errors"][0]["message"].as_str().unwrap().contains(part), "{answer}");
    }
    changed(&world, json!({ "min_score": 80 })).await;
    let yaml = "```yaml\nmin_score: 80\nchannels:\n  todo:\n    delay: 5m\n```";
    world.reviewer().edit_description(1, yaml).unwrap();
    world.settle().await;
    world.expect_comment(1, "line 4: channels.todo.delay");
    world.finish().await;
}

fn nothing() -> Trouble {
    let (content_type, body) = ("application/json".to_owned(), "[]".to_owned());
    Trouble::Answer { status: 200, content_type, body, retry_after: None }
}

/// GitLab writes the line about who changed a text after the text.
#[tokio::test]
async fn a_strangers_edit_has_no_effect_although_gitlab_says_later_whose_it_is() {
    let mut world = enforced().await;
    changed(&world, json!({ "min_score": 80 })).await;
    world.clock.advance(Duration::from_secs(60));
    world.settle().await;
    world.sandbox.fault(Fault::new(Method::GET, "only_activity", nothing()));
    let text = description(&world, 1).replace("min_score: 80", "min_score: 10");
    world.person("owner").edit_description(1, &text).unwrap();
    world.settle().await;
    assert_eq!(setting(&world, "min_score").await, 80.0);
    world.clock.advance(Duration::from_secs(5));
    world.settle().await;
    assert_eq!(setting(&world, "min_score").await, 80.0);
    world.expect_comment(1, "owner has no effect");
    world.finish().await;
}

/// Of an edit that ticks a box, GitLab tells the box alone.
#[tokio::test]
async fn a_stranger_who_ticks_a_box_changes_no_settings_with_it() {
    let mut world = enforced().await;
    changed(&world, json!({ "min_score": 80 })).await;
    let text = format!("- [ ] ok\n\n{}", description(&world, 1));
    world.reviewer().edit_description(1, &text).unwrap();
    world.settle().await;
    world.clock.advance(Duration::from_secs(60));
    let ticked = text.replace("[ ]", "[x]").replace("min_score: 80", "min_score: 10");
    world.person("owner").edit_description(1, &ticked).unwrap();
    world.settle().await;
    world.delta().await;
    assert_eq!(setting(&world, "min_score").await, 80.0);
    world.expect_comment(1, "owner has no effect");
    // A reviewer may.
    world.reviewer().edit_description(1, &text.replace("min_score: 80", "min_score: 85")).unwrap();
    world.settle().await;
    assert_eq!(setting(&world, "min_score").await, 85.0);
    world.finish().await;
}

#[tokio::test]
async fn an_edit_of_which_gitlab_never_says_whose_it_is_has_no_effect() {
    let mut world = enforced().await;
    changed(&world, json!({ "min_score": 80 })).await;
    world.sandbox.fault(Fault::new(Method::GET, "only_activity", nothing()).times(100));
    let text = description(&world, 1).replace("min_score: 80", "min_score: 10");
    world.person("owner").edit_description(1, &text).unwrap();
    world.settle().await;
    assert_eq!(setting(&world, "min_score").await, 80.0);
    world.clock.advance(Duration::from_secs(60));
    world.delta().await;
    assert_eq!(setting(&world, "min_score").await, 80.0);
    assert!(problem(&world).await.as_str().unwrap().contains("no reviewer"));
    world.delta().await;
    world.expect_comment(1, "This change has no effect");
    // Once it does, its word counts.
    world.sandbox.clear_faults();
    world.reviewer().edit_description(1, &text.replace("min_score: 10", "min_score: 85")).unwrap();
    world.settle().await;
    assert_eq!(setting(&world, "min_score").await, 85.0);
    world.finish().await;
}

/// Anybody may make issues, and put a label on them.
#[tokio::test]
async fn other_issues_with_the_label_hold_up_nobody() {
    let mut world = World::new().await;
    changed(&world, json!({ "min_score": 80 })).await;
    world.kill(Disk::Wiped).await;
    for _ in 0..60 {
        world.sandbox.as_user("colleague").create_issue("Mine", "", &["job-match/settings"]).unwrap();
    }
    world.sandbox.fault(Fault::new(Method::POST, "/issues/2/notes", Trouble::status(403)).times(1_000));
    // What comes of them is more than the service writes in a minute.
    world.restart(Disk::Wiped).await;
    assert_eq!(setting(&world, "min_score").await, 80.0);
    let answered = |world: &World| (2..=61).filter(|iid| world.comments(*iid).len() == 1).count();
    assert!((40..59).contains(&answered(&world)), "{}", answered(&world));
    changed(&world, json!({ "min_score": 85 })).await;
    world.delta().await;
    assert_eq!(answered(&world), 59);
    for iid in 3..=61 {
        world.expect_comment(iid, "the settings are in #1");
    }
    world.finish().await;
}

/// Somebody locked its discussion, say.
#[tokio::test]
async fn a_settings_issue_that_takes_no_comment_and_no_label_holds_up_nobody() {
    let mut world = World::new().await;
    changed(&world, json!({ "min_score": 80 })).await;
    for (method, path) in [(Method::POST, "/issues/1/notes"), (Method::PUT, "/issues/1")] {
        world.sandbox.fault(Fault::new(method, path, Trouble::status(403)).times(1_000));
    }
    let text = description(&world, 1).replace("min_score: 80", "min_score: 300");
    world.reviewer().edit_description(1, &text).unwrap();
    world.reviewer().relabel(1, &[], &["job-match/settings"]).unwrap();
    world.settle().await;
    world.restart(Disk::Kept).await;
    assert_eq!(setting(&world, "min_score").await, 80.0);
    assert!(problem(&world).await.as_str().unwrap().contains("min_score"));
    world.stage("1").await;
    assert_eq!((world.comments(1).len(), world.labels(1).len()), (0, 0));
    world.sandbox.clear_faults();
    world.delta().await;
    assert_eq!(world.labels(1), ["job-match/settings"]);
    world.expect_comment(1, "must be a number");
    world.finish().await;
}

#[tokio::test]
async fn a_text_of_the_operators_that_may_not_be_written_holds_up_nobody() {
    let folder = tempfile::TempDir::new().unwrap();
    std::fs::create_dir(folder.path().join("comments")).unwrap();
    let text = "@all: {{ reason }}\n\n{{ hidden }}\n";
    std::fs::write(folder.path().join("comments/settings_refused.en.md"), text).unwrap();
    let path: &'static str = Box::leak(folder.path().to_str().unwrap().into());
    let mut world = World::set(&[("TEMPLATES", path)]).await;
    changed(&world, json!({ "min_score": 80 })).await;
    world.reviewer().edit_description(1, "```yaml\nmin_score: 300\n```\n").unwrap();
    world.settle().await;
    world.restart(Disk::Kept).await;
    assert_eq!(setting(&world, "min_score").await, 80.0);
    assert!(problem(&world).await.as_str().unwrap().contains("min_score"));
    world.finish().await;
}

#[tokio::test]
async fn of_many_mistakes_the_beginning_is_said() {
    let mut world = World::new().await;
    changed(&world, json!({ "min_score": 80 })).await;
    let names: Vec<String> = (0..3_000).map(|name| format!("\"@a{name}\"")).collect();
    let wrong = format!("```yaml\nmin_score: 80\nreviewers: [{}]\n```\n", names.join(", "));
    world.reviewer().edit_description(1, &wrong).unwrap();
    world.settle().await;
    let said = problem(&world).await.as_str().unwrap().to_owned();
    assert!(said.contains("a9`") && said.ends_with('…') && said.chars().count() == 2_001, "{said}");
    assert!(world.comments(1)[0].len() < 10_000);
    world.expect_comment(1, "leave out");
    world.finish().await;
}

#[tokio::test]
async fn a_block_too_large_to_be_read_is_refused_and_none_is_written() {
    let mut world = World::new().await;
    changed(&world, json!({ "min_score": 80 })).await;
    let large = format!("```yaml\nmin_score: 85\n{}```\n", "# and so on\n".repeat(6_000));
    world.reviewer().edit_description(1, &large).unwrap();
    world.settle().await;
    assert_eq!(setting(&world, "min_score").await, 80.0);
    world.expect_comment(1, "holds a block of more than 64 KiB");
    let (status, answer) = change(&world, json!({ "min_score": 90 })).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{answer}");
    assert!(answer.to_string().contains("more than 64 KiB"), "{answer}");
    world.reviewer().edit_description(1, "```yaml\nmin_score: 85\n```\n").unwrap();
    world.settle().await;
    let times = vec!["08:00"; 10_000];
    let (status, answer) = change(&world, json!({ "batch": {"at": times} })).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{answer}");
    assert!(answer.to_string().contains("more than 64 KiB"), "{answer}");
    assert_eq!((setting(&world, "min_score").await, problem(&world).await), (json!(85.0), Value::Null));
    world.finish().await;
}

/// A copy of GitLab that has not heard of it yet.
#[tokio::test]
async fn a_settings_issue_that_one_answer_lacks_is_not_made_twice() {
    let world = World::new().await;
    changed(&world, json!({ "min_score": 80 })).await;
    let lacking = || {
        world.sandbox.fault(Fault::new(Method::GET, "settings", nothing()));
        world.sandbox.fault(Fault::new(Method::GET, "iids", nothing()));
    };
    lacking();
    assert_eq!(change(&world, json!({ "min_score": 85 })).await.0, StatusCode::SERVICE_UNAVAILABLE);
    world.sandbox.clear_faults();
    assert_eq!(setting(&world, "min_score").await, 80.0);
    changed(&world, json!({ "min_score": 85 })).await;
    assert_eq!(world.sandbox.world().issues.len(), 1);
    world.finish().await;
}

/// What needs no token names nobody; who is logged in sees what to mend.
#[tokio::test]
async fn whom_a_wrong_edit_names_stands_on_the_page_and_in_the_comment_alone() {
    let mut world = World::new().await;
    changed(&world, json!({ "min_score": 80 })).await;
    let wrong = "```yaml\nmin_score: 80\nreviewers: [anna@example.com]\n```\n";
    world.reviewer().edit_description(1, wrong).unwrap();
    world.settle().await;
    let said = problem(&world).await.as_str().unwrap().to_owned();
    assert!(said.contains("reviewers") && said.contains("***") && !said.contains("example.com"), "{said}");
    Browser::of(&world).await.get("/").await.shows("anna@example.com");
    world.expect_comment(1, "example.com");
    world.finish().await;
}

#[tokio::test]
async fn the_label_of_the_settings_issue_is_not_put_back_again_and_again_where_gitlab_does_not_take_it() {
    let world = World::new().await;
    changed(&world, json!({ "remind_after": "4d" })).await;
    world.sandbox.world().set_role("bot", Some(vorhoelle::sandbox::Role::Guest));
    world.sandbox.clear_calls();
    world.reviewer().relabel(1, &[], &["job-match/settings"]).unwrap();
    for _ in 0..5 {
        world.settle().await;
    }
    assert_eq!(world.sandbox.calls().iter().filter(|call| call.method == "PUT").count(), 1);
    assert_eq!(setting(&world, "remind_after").await, "4d");
}

//! The tracker's comment, written by several: processes, and bots one after the other.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Map, Value, json};
use vorhoelle::csv::CsvFile;
use vorhoelle::csv::sync::{Direction, Heard, Run};
use vorhoelle::sandbox::{Fault, HookMode, Trouble};

use super::sheet::Sheet;
use super::{application, comment, patch_application};
use crate::support::{Disk, World};

/// The tracker's comments on an issue, oldest first.
fn trackers(world: &World, iid: u64) -> Vec<(u64, String)> {
    let gitlab = world.sandbox.world();
    let notes = gitlab.comments_of(iid).into_iter();
    let trackers = notes.filter(|note| note.body.contains("vorhoelle application"));
    trackers.map(|note| (note.author, note.body.clone())).collect()
}

/// The service starts again as another user of GitLab; tells both.
pub async fn bot_is_replaced(world: &mut World) -> (u64, u64) {
    let former = world.sandbox.as_user("bot").id();
    let token = world.replace_bot();
    world.kill(Disk::Kept).await;
    world.set_variable("GITLAB_TOKEN", &token);
    world.set_variable("FORMER_USERS", &former.to_string());
    world.start().await;
    world.delta().await;
    (former, world.sandbox.as_user("bot2").id())
}

/// GitLab lets nobody but a Maintainer edit what somebody else wrote.
#[tokio::test]
async fn after_the_bot_was_replaced_the_tracker_is_written_into_a_comment_of_the_new_one() {
    let mut world = World::new().await;
    world.stage("1").await;
    patch_application(&world, 1, &json!({"stage": "applied", "notes": "alt"})).await;
    world.settle().await;
    let (former, new) = bot_is_replaced(&mut world).await;
    for notes in ["neu", "neuer"] {
        let (status, answer) = patch_application(&world, 1, &json!({"notes": notes})).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        assert_eq!(answer["application"], json!({"stage": "applied", "notes": notes}));
        let authors: Vec<u64> = trackers(&world, 1).iter().map(|(author, _)| *author).collect();
        assert_eq!(authors, [former, new], "edited in place from then on");
    }
    world.settle().await;
    for disk in [Disk::Kept, Disk::Wiped] {
        world.restart(disk).await;
        world.delta().await;
        assert_eq!(application(&world, 1).await, json!({"stage": "applied", "notes": "neuer"}));
    }
    // What a Maintainer edits in the new one counts.
    let (note, body) = {
        let gitlab = world.sandbox.world();
        let note = gitlab.comments_of(1).into_iter().find(|note| note.author == new).unwrap();
        (note.id, note.body.clone())
    };
    world.person("owner").edit_comment(1, note, &body.replace("| neuer |", "| von Hand |")).unwrap();
    world.settle().await;
    assert_eq!(application(&world, 1).await["notes"], "von Hand");
    let sheet = Sheet::new("iid;Titel;Notizen\r\n1;Cloud Architect 1;\r\n");
    sheet.run(&world, Direction::Sync).await;
    assert!(sheet.text().ends_with(";von Hand\r\n"), "{}", sheet.text());
}

#[tokio::test]
async fn after_the_bot_was_replaced_a_lost_answer_is_not_taken_for_the_former_ones_comment() {
    let mut world = World::new().await;
    world.stage("1").await;
    patch_application(&world, 1, &json!({"notes": "alt"})).await;
    world.settle().await;
    bot_is_replaced(&mut world).await;
    for (trouble, comments) in [(Trouble::CutBefore, 1), (Trouble::DropAnswer, 2)] {
        world.sandbox.fault(Fault::new(Method::POST, "/notes", trouble).times(9));
        let changed = patch_application(&world, 1, &json!({"notes": "neu"})).await.0 == StatusCode::OK;
        world.sandbox.clear_faults();
        assert_eq!((changed, trackers(&world, 1).len()), (comments == 2, comments));
    }
    assert_eq!(application(&world, 1).await["notes"], "neu");
}

/// Their locks do not reach into each other.
#[tokio::test]
async fn two_processes_that_write_the_first_comment_at_once_lose_no_field() {
    let mut world = World::new().await;
    world.stage("1").await;
    let other = world.another_instance().await.engine;
    other.delta().await.unwrap();
    world.settle_all().await;
    world.clock.advance(Duration::from_secs(1));
    // Both have looked before one of the two is there.
    let slow = Trouble::Slow { millis: 300 };
    world.sandbox.fault(Fault::new(Method::POST, "/notes", slow).times(2));
    let change = |name: &str, value: &str| Map::from_iter([(name.to_owned(), Value::from(value))]);
    let (one, two) = tokio::join!(
        world.engine.change_application(1, change("stage", "applied")),
        other.change_application(1, change("notes", "b")),
    );
    one.unwrap();
    two.unwrap();
    world.settle_all().await;
    assert_eq!(trackers(&world, 1).len(), 1);
    let both = json!({"stage": "applied", "notes": "b"});
    assert_eq!(application(&world, 1).await, both);
    world.restart(Disk::Wiped).await;
    world.delta().await;
    assert_eq!(application(&world, 1).await, both);
}

/// As `csv sync` beside `serve`: each reads the comment and writes it as a whole.
#[tokio::test]
async fn two_processes_on_one_disk_that_edit_a_comment_at_once_lose_no_field() {
    let world = World::new().await;
    let iid = world.stage("1").await;
    patch_application(&world, iid, &json!({"rtr": "yes"})).await;
    world.settle().await;
    let other = world.process_beside();
    let slow = Trouble::Slow { millis: 300 };
    world.sandbox.fault(Fault::new(Method::PUT, "/notes/", slow).times(2));
    let change = |name: &str, value: &str| Map::from_iter([(name.to_owned(), Value::from(value))]);
    let (one, two) = tokio::join!(
        world.engine.change_application(iid, change("stage", "applied")),
        other.change_application(iid, change("notes", "b")),
    );
    one.unwrap();
    two.unwrap();
    let all = json!({"stage": "applied", "notes": "b", "rtr": "yes"});
    assert_eq!(application(&world, iid).await, all);
    world.delta().await;
    assert_eq!(application(&world, iid).await, all);
}

/// What is being written when somebody is forgotten stands there a moment later, where nobody looks any more.
#[tokio::test]
async fn what_another_process_writes_into_a_tracker_does_not_outlive_an_erasure() {
    let world = World::new().await;
    let iid = world.stage("1").await;
    patch_application(&world, iid, &json!({"rtr": "yes"})).await;
    world.settle().await;
    let other = world.process_beside();
    world.sandbox.fault(Fault::new(Method::PUT, "/notes/", Trouble::Slow { millis: 500 }));
    let change = Map::from_iter([("notes".to_owned(), Value::from("Kim Beispiel"))]);
    let erase = async {
        // It has read the comment, and its change is on its way.
        world.until_called(|call| call.method == "GET" && call.route.ends_with("/notes")).await;
        world.engine.erase(iid).await
    };
    let (erased, changed) = tokio::join!(erase, other.change_application(iid, change));
    erased.unwrap();
    changed.unwrap();
    let comments = world.comments(iid);
    assert!(!comments.iter().any(|text| text.contains("Kim Beispiel")), "{comments:?}");
}

#[tokio::test]
async fn a_step_that_the_service_follows_while_another_process_edits_the_tracker_stays() {
    let world = World::new().await;
    let iid = world.stage("1").await;
    patch_application(&world, iid, &json!({"rtr": "yes"})).await;
    world.settle().await;
    let other = world.process_beside();
    world.sandbox.fault(Fault::new(Method::PUT, "/notes/", Trouble::Slow { millis: 500 }));
    let change = Map::from_iter([("notes".to_owned(), Value::from("b"))]);
    let decide = async {
        // It has read the comment, and its change is on its way.
        world.until_called(|call| call.method == "GET" && call.route.ends_with("/notes")).await;
        world.patch(iid, &json!({"state": "approved"})).await
    };
    let ((status, answer), changed) = tokio::join!(decide, other.change_application(iid, change));
    assert_eq!(status, StatusCode::OK, "{answer}");
    changed.unwrap();
    let noted = world.engine.mirror().record(iid).unwrap().unwrap();
    assert_eq!((noted.state.as_str(), noted.application.notes.as_deref()), ("approved", Some("b")));
    world.delta().await;
    world.expect(iid, "approved").await;
}

#[tokio::test]
async fn what_a_maintainer_writes_into_a_tracker_without_any_field_counts() {
    let mut world = World::new().await;
    world.stage("1").await;
    patch_application(&world, 1, &json!({"stage": "applied"})).await;
    patch_application(&world, 1, &json!({"stage": null})).await;
    world.settle().await;
    for (disk, stage) in [(Disk::Kept, "offer"), (Disk::Wiped, "accepted")] {
        world.restart(disk).await;
        world.delta().await;
        assert_eq!(application(&world, 1).await, json!(null));
        let (note, body) = comment(&world, 1);
        let filled = body.replace("| Stage |  |", &format!("| Stage | {stage} |"));
        assert_ne!(filled, body);
        world.clock.advance(Duration::from_secs(60));
        world.person("owner").edit_comment(1, note, &filled).unwrap();
        world.settle().await;
        assert_eq!(application(&world, 1).await, json!({"stage": stage}));
        patch_application(&world, 1, &json!({"stage": null})).await;
        world.settle().await;
    }
}

#[tokio::test]
async fn what_people_write_beside_the_fields_stays_when_others_are_changed() {
    let world = World::new().await;
    let iid = world.stage("1").await;
    patch_application(&world, iid, &json!({"stage": "applied"})).await;
    world.settle().await;
    let (note, body) = comment(&world, iid);
    let theirs = body.replace("\n\n", "\n\nKim is away until *May*.\n\n");
    assert_ne!(theirs, body);
    world.clock.advance(Duration::from_secs(60));
    world.person("owner").edit_comment(iid, note, &theirs).unwrap();
    world.settle().await;
    let (status, answer) = patch_application(&world, iid, &json!({"stage": "offer", "notes": "neu"})).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let (_, now) = comment(&world, iid);
    let expected = ["Kim is away until *May*.", "| Stage | offer |", "| Notes | neu |"];
    assert!(expected.iter().all(|part| now.contains(part)), "{now}");
    world.settle().await;
    assert_eq!(application(&world, iid).await, json!({"stage": "offer", "notes": "neu"}));
}

/// Only a match that has a tracker is asked for it.
#[tokio::test]
async fn following_a_relabel_of_a_match_without_tracker_reads_no_comments() {
    let world = World::new().await;
    world.stage("1").await;
    world.reviewer().comment(1, "Interesting!").unwrap();
    patch_application(&world, 1, &json!({"notes": null})).await;
    world.settle().await;
    assert_eq!(trackers(&world, 1), [], "nothing to say");
    world.sandbox.clear_calls();
    world.reviewer().relabel(1, &["job-match/approved"], &[]).unwrap();
    world.settle().await;
    let calls = world.calls_by_bot();
    assert!(calls.iter().all(|call| !call.ends_with("/notes")), "{calls:?}");
    world.expect(1, "approved").await;
}

/// As `mirror rebuild` beside `csv sync --watch`: the comments are read last.
#[tokio::test]
async fn while_the_mirror_is_read_anew_no_field_of_the_tracker_vanishes_from_a_file() {
    let world = World::new().await;
    world.stage("1").await;
    patch_application(&world, 1, &json!({"stage": "applied", "notes": "da"})).await;
    world.settle().await;
    let sheet = Sheet::new("iid;Status;Titel;Phase;Notizen\r\n");
    sheet.run(&world, Direction::Sync).await;
    let written = sheet.text();
    assert!(written.contains("1;pending;Cloud Architect 1;applied;da"), "{written}");
    world.engine.mirror().clear().unwrap();
    world.sandbox.fault(Fault::new(Method::GET, "/notes", Trouble::bad_gateway()).times(1000));
    world.clock.advance(Duration::from_secs(300));
    let _ = world.engine.delta().await;
    let record = world.engine.mirror().record(1).unwrap().unwrap();
    assert!(!record.history_known && record.application.is_empty(), "{record:?}");
    let outcome = sheet.run(&world, Direction::Sync).await;
    assert!(!outcome.file_changed && outcome.plan.rows.is_empty(), "{}", outcome.plan);
    world.sandbox.clear_faults();
    world.delta().await;
    assert!(world.engine.mirror().record(1).unwrap().unwrap().history_known);
    assert!(!sheet.run(&world, Direction::Sync).await.file_changed);
    assert_eq!(sheet.text(), written);
}

/// A decision whose comment GitLab refused makes the service forget how many comments it has seen.
#[tokio::test]
async fn a_field_is_cleared_in_gitlab_too_after_a_decision_that_failed() {
    let world = World::new().await;
    let iid = world.stage("1").await;
    patch_application(&world, iid, &json!({"notes": "call back"})).await;
    let busy = Trouble::status(429);
    world.sandbox.fault(Fault::new(Method::POST, "/notes", busy).times(9));
    assert!(!world.patch(iid, &json!({"state": "rejected"})).await.0.is_success());
    world.sandbox.clear_faults();
    let (status, answer) = patch_application(&world, iid, &json!({"notes": null})).await;
    assert_eq!((status, &answer["application"]), (StatusCode::OK, &Value::Null), "{answer}");
    assert!(!super::comment(&world, iid).1.contains("call back"));
}

/// The service that is asked to wait has looked before; a person edits the same field meanwhile.
#[tokio::test]
async fn what_people_write_while_gitlab_asks_a_sync_to_wait_wins_against_the_file() {
    let world = World::new().await;
    let iid = world.stage("1").await;
    patch_application(&world, iid, &json!({"notes": "alt"})).await;
    world.settle().await;
    let sheet = Sheet::new("iid;Titel;Nächster Schritt;Notizen\r\n");
    sheet.run(&world, Direction::Sync).await;
    sheet.edit(";;alt\r\n", ";anrufen;meins\r\n");
    world.sandbox.hook_mode(HookMode::Lose);
    let (note, body) = comment(&world, iid);
    world.sandbox.fault(super::answers("PUT", "/notes/", 429, 99));
    let edit = |heard| {
        if matches!(heard, Heard::Waits(_)) {
            world.sandbox.clear_faults();
            world.person("owner").edit_comment(iid, note, &body.replace("| alt |", "| theirs |")).unwrap();
        }
    };
    let file = CsvFile::open(&sheet.path).unwrap();
    let run = Run::start(&world.engine, &file, Direction::Sync, usize::MAX).unwrap();
    let outcome = run.carry_out(world.clock.now(), edit).await.unwrap();
    drop(file);
    assert_eq!((outcome.plan.errors.len(), outcome.plan.summary().conflicts), (0, 1), "{}", outcome.plan);
    world.delta().await;
    assert_eq!(application(&world, iid).await, json!({"next_step": "anrufen", "notes": "theirs"}));
    assert!(sheet.text().ends_with(";anrufen;theirs\r\n"), "{}", sheet.text());
    let kept = std::fs::read_to_string(sheet.path.with_file_name("Bewerbungen.csv.conflicts.csv")).unwrap();
    assert!(kept.contains(";notes;meins;theirs"), "{kept}");
    assert!(!sheet.run(&world, Direction::Sync).await.file_changed);
}

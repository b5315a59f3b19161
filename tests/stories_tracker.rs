//! Stories of the applications tracker and of the spreadsheet that both sides may edit.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

#[path = "stories_tracker/columns.rs"]
mod columns;
#[path = "stories_tracker/rows.rs"]
mod rows;
#[path = "support/sheet.rs"]
mod sheet;
mod support;
#[path = "stories_tracker/writers.rs"]
mod writers;

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};
use sheet::Sheet;
use support::{Difference, Disk, World, job};
use vorhoelle::csv::sync::{Direction, Outcome, Run, SyncError};
use vorhoelle::csv::{CsvFile, Field, FileError, Table};
use vorhoelle::sandbox::{Fault, HookMode, Trouble};

async fn patch_application(world: &World, iid: u64, body: &Value) -> (StatusCode, Value) {
    world.clock.advance(std::time::Duration::from_secs(1));
    let url = world.url(&format!("/api/v1/matches/{iid}/application"));
    world.call(world.http.patch(url).json(body)).await
}

/// The tracker's comment on an issue.
fn comment(world: &World, iid: u64) -> (u64, String) {
    let gitlab = world.sandbox.world();
    let notes = gitlab.comments_of(iid);
    let note = notes.iter().find(|note| note.body.contains("vorhoelle application")).expect("a comment");
    (note.id, note.body.clone())
}

#[tokio::test]
async fn the_tracker_lives_in_one_comment_that_is_edited_in_place_and_survives_a_lost_disk() {
    let mut world = World::new().await;
    world.stage("1").await;
    let (status, answer) =
        patch_application(&world, 1, &json!({"stage": "applied", "applied_on": "2026-02-07"})).await;
    assert_eq!((status, &answer["application"]["stage"]), (StatusCode::OK, &json!("applied")), "{answer}");
    world.settle().await;
    world.expect_comment(1, "| Stage | applied |");
    let (status, answer) =
        patch_application(&world, 1, &json!({"notes": "a\n@all /close", "applied_on": null})).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(answer["application"], json!({"stage": "applied", "notes": "a\n@all /close"}));
    world.settle().await;
    assert_eq!(world.comments(1).len(), 1, "edited in place");
    world.restart(Disk::Wiped).await;
    world.delta().await;
    let (_, after) = world.get("/api/v1/matches/1").await;
    assert_eq!(after["application"], answer["application"]);
    let (status, answer) = patch_application(&world, 1, &json!({"stage": "hired", "phase": "x"})).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(answer["errors"].as_array().unwrap().len(), 2, "{answer}");
    assert_eq!(patch_application(&world, 9, &json!({})).await.0, StatusCode::NOT_FOUND);
}

/// GitLab's time of the issue does not tell that there is a comment.
#[tokio::test]
async fn what_was_tracked_in_the_moment_of_staging_survives_a_lost_disk() {
    let mut world = World::new().await;
    world.stage("1").await;
    let url = world.url("/api/v1/matches/1/application");
    let (status, _) = world.call(world.http.patch(url).json(&json!({"stage": "applied"}))).await;
    assert_eq!(status, StatusCode::OK);
    world.restart(Disk::Wiped).await;
    world.delta().await;
    assert_eq!(world.get("/api/v1/matches/1").await.1["application"]["stage"], "applied");
}

#[tokio::test]
async fn what_a_maintainer_edits_in_the_comment_counts_and_somebody_elses_comment_does_not() {
    let world = World::new().await;
    world.stage("1").await;
    patch_application(&world, 1, &json!({"stage": "applied"})).await;
    world.settle().await;
    let (note, body) = comment(&world, 1);
    world.clock.advance(Duration::from_secs(60));
    world
        .person("owner")
        .edit_comment(1, note, &body.replace("| Stage | applied |", "| Stage | interview |"))
        .unwrap();
    world.settle().await;
    let (_, answer) = world.get("/api/v1/matches/1").await;
    assert_eq!(answer["application"]["stage"], "interview");
    world
        .person("colleague")
        .comment(1, "| Stage | offer |\n<!-- vorhoelle application {\"stage\": \"offer\"} -->")
        .unwrap();
    world.delta().await;
    let (_, answer) = world.get("/api/v1/matches/1").await;
    assert_eq!(answer["application"]["stage"], "interview");
    // What we write next keeps what the maintainer wrote.
    patch_application(&world, 1, &json!({"rtr": "yes"})).await;
    assert!(comment(&world, 1).1.contains("| Stage | interview |"));
}

/// What stood in a cell before it made no sense, stays; the person is told once.
#[tokio::test]
async fn a_cell_that_nobody_can_read_keeps_what_was_written_there_before() {
    let mut world = World::new().await;
    world.stage("1").await;
    patch_application(&world, 1, &json!({"notes": "n"})).await;
    world.settle().await;
    let write = async |world: &World, from: &str, to: &str| {
        let (note, body) = comment(world, 1);
        assert!(body.contains(from), "{body}");
        world.clock.advance(Duration::from_secs(60));
        world.person("owner").edit_comment(1, note, &body.replace(from, to)).unwrap();
        world.settle().await;
    };
    write(&world, "| Stage |  |", "| Stage | interview |").await;
    write(&world, "| Follow up on |  |", "| Follow up on | 2026-03-01 |").await;
    for _ in 0..2 {
        write(&world, "| Stage | interview |", "| Stage | hired |").await;
        write(&world, "| Stage | hired |", "| Stage | interview |").await;
    }
    write(&world, "| Follow up on | 2026-03-01 |", "| Follow up on | 1. April |").await;
    for disk in [Disk::Kept, Disk::Wiped] {
        world.restart(disk).await;
        world.delta().await;
        let (_, answer) = world.get("/api/v1/matches/1").await;
        let application = &answer["application"];
        assert_eq!(
            (&application["stage"], &application["follow_up_on"], &application["notes"]),
            (&json!("interview"), &json!("2026-03-01"), &json!("n"))
        );
        assert!(comment(&world, 1).1.contains("| Follow up on | 1. April |"), "theirs stays as they left it");
    }
    for said in ["cannot be read: Stage “hired”.", "cannot be read: Follow up on “1\\. April”."] {
        let comments = world.comments(1);
        assert_eq!(comments.iter().filter(|text| text.contains(said)).count(), 1, "{comments:?}");
    }
}

/// It is read all the same, and holds nothing up.
#[tokio::test]
async fn an_earlier_bots_comment_is_none_that_ours_may_edit() {
    let mut world = World::new().await;
    world.stage("1").await;
    patch_application(&world, 1, &json!({"stage": "applied"})).await;
    world.settle().await;
    writers::bot_is_replaced(&mut world).await;
    let (note, body) = comment(&world, 1);
    world
        .person("owner")
        .edit_comment(1, note, &body.replace("| Stage | applied |", "| Stage | interview |"))
        .unwrap();
    world.reviewer().relabel(1, &["job-match/approved"], &[]).unwrap();
    world.settle().await;
    world.expect(1, "approved").await;
    assert_eq!(world.get("/api/v1/matches/1").await.1["application"]["stage"], "interview");
    assert_eq!(world.engine.backlog(), 0);
}

const GERMAN: &str = "Status;Titel;Firma;Phase;Beworben am;Notizen;Mein Feld\r\n\
    sent;Rust Engineer;ACME;interview;07.02.2026;ruft an;x\r\n\
    rejected;COBOL;Altbau AG;;;;y\r\n\
    ;Neues;Start-up;;;;z\r\n";

#[tokio::test]
async fn an_import_makes_issues_in_their_states_tells_nobody_of_the_old_ones_and_changes_nothing_again() {
    let mut world = World::with(Difference::default()).await;
    let sheet = Sheet::new(GERMAN);
    let outcome = sheet.run(&world, Direction::Import).await;
    assert_eq!(outcome.plan.errors, []);
    assert_eq!(outcome.plan.summary().staged, 3);
    let mut found = Vec::new();
    for iid in 1..=3 {
        let (_, answer) = world.get(&format!("/api/v1/matches/{iid}")).await;
        found.push((
            answer["title"].as_str().unwrap().to_owned(),
            answer["state"].as_str().unwrap().to_owned(),
        ));
        assert_eq!(answer["history"], json!([]), "{answer}");
    }
    found.sort();
    let expected = [("COBOL", "rejected"), ("Neues", "pending"), ("Rust Engineer", "sent")];
    assert_eq!(found, expected.map(|(title, state)| (title.to_owned(), state.to_owned())));
    let rust = iid_of(&sheet, "Rust Engineer");
    let (_, answer) = world.get(&format!("/api/v1/matches/{rust}")).await;
    assert_eq!(
        answer["application"],
        json!({"stage": "interview", "applied_on": "2026-02-07", "notes": "ruft an"})
    );
    assert!(!world.is_open(rust) && world.is_open(iid_of(&sheet, "Neues")));
    let todos = world.sandbox.world().todos.iter().filter(|todo| todo.iid == rust).count();
    assert_eq!(todos, 0, "nobody is asked about what is done");
    assert!(!world.sandbox.world().issue(rust).unwrap().title.starts_with('['), "no score, no percent");
    let written = sheet.text();
    assert!(written.contains(";07.02.2026;ruft an;x;"), "{written}");
    // Again, and with the disk lost: nothing changes.
    for disk in [Disk::Kept, Disk::Wiped] {
        world.restart(disk).await;
        let outcome = sheet.run(&world, Direction::Sync).await;
        assert!(!outcome.file_changed && outcome.plan.rows.is_empty(), "{}", outcome.plan);
        assert_eq!(sheet.text(), written);
    }
    let (_, answer) = world.get(&format!("/api/v1/matches/{rust}")).await;
    assert_eq!((&answer["history"], &answer["state"]), (&json!([]), &json!("sent")), "{answer}");
    assert_eq!(world.sandbox.world().issues.len(), 3);
    world.expect_comment(rust, "| Stage | interview |");
    world.finish().await;
}

fn iid_of(sheet: &Sheet, title: &str) -> u64 {
    let text = sheet.text();
    let line = text.lines().find(|line| line.contains(title)).unwrap();
    line.rsplit(';').next().unwrap().trim().parse().unwrap()
}

#[tokio::test]
async fn a_row_without_its_iid_is_found_again_and_lost_answers_make_no_second_issue() {
    let world = World::new().await;
    let sheet = Sheet::new(GERMAN);
    sheet.run(&world, Direction::Import).await;
    // As if killed before the file was written.
    std::fs::write(&sheet.path, GERMAN).unwrap();
    let outcome = sheet.run(&world, Direction::Import).await;
    assert_eq!(outcome.plan.summary().staged, 0, "{}", outcome.plan);
    assert!(iid_of(&sheet, "COBOL") > 0);
    assert_eq!(world.sandbox.world().issues.len(), 3);
}

#[tokio::test]
async fn a_run_that_is_to_name_one_new_row_writes_and_counts_every_one() {
    let world = World::new().await;
    world.stage("1").await;
    world.stage("2").await;
    let sheet = Sheet::new("iid;Status;Titel\r\n");
    let file = CsvFile::open(&sheet.path).unwrap();
    let run = Run::start(&world.engine, &file, Direction::Export, 1).unwrap();
    let Outcome { plan, .. } = run.carry_out(world.clock.now(), |_| {}).await.unwrap();
    drop(file);
    assert_eq!((plan.rows.len(), plan.summary().appended), (1, 2), "{plan}");
    assert!(sheet.text().ends_with("\r\n1;pending;Cloud Architect 1\r\n2;pending;Cloud Architect 2\r\n"));
    assert!(!sheet.run(&world, Direction::Sync).await.file_changed);
}

#[tokio::test]
async fn a_sync_brings_both_sides_together_field_by_field() {
    let mut world = World::new().await;
    world.stage("1").await;
    world.stage("2").await;
    let sheet = Sheet::new("iid;Status;Titel;Phase;Nächster Schritt;Notizen\r\n");
    let outcome = sheet.run(&world, Direction::Sync).await;
    assert_eq!(outcome.plan.summary().appended, 2);
    // The file's side, GitLab's side, both.
    sheet.edit("1;pending;Cloud Architect 1;;;", "1;approved;Cloud Architect 1;drafted;anrufen;meins");
    patch_application(&world, 1, &json!({"notes": "theirs"})).await;
    patch_application(&world, 2, &json!({"stage": "offer"})).await;
    world.settle().await;
    let outcome = sheet.run(&world, Direction::Sync).await;
    assert_eq!(outcome.plan.errors, []);
    assert_eq!(outcome.plan.summary().conflicts, 1, "{}", outcome.plan);
    let text = sheet.text();
    assert!(text.contains("1;approved;Cloud Architect 1;drafted;anrufen;theirs"), "{text}");
    assert!(text.contains("2;pending;Cloud Architect 2;offer;;"), "{text}");
    let conflicts =
        std::fs::read_to_string(sheet.path.with_file_name("Bewerbungen.csv.conflicts.csv")).unwrap();
    assert!(conflicts.contains("meins") && conflicts.contains("theirs"), "{conflicts}");
    world.expect(1, "approved").await;
    let (_, answer) = world.get("/api/v1/matches/1").await;
    assert_eq!(
        (&answer["history"][0]["through"], &answer["history"][0]["by"]),
        (&json!("csv"), &json!("csv"))
    );
    let again = sheet.run(&world, Direction::Sync).await;
    assert!(!again.file_changed && again.plan.rows.is_empty(), "{}", again.plan);
    // A step that is not allowed is said, and the file says what is true.
    sheet.edit("2;pending;Cloud Architect 2;offer;;", "2;sent;Cloud Architect 2;offer;anrufen;");
    let planned = {
        let file = CsvFile::open(&sheet.path).unwrap();
        Run::plan(&world.engine, &file, Direction::Sync).unwrap().shown()
    };
    assert_eq!((planned.summary().steps, planned.errors.len()), (0, 1), "{planned}");
    let outcome = sheet.run(&world, Direction::Sync).await;
    assert!(outcome.plan.errors[0].to_string().contains("pending cannot become sent"), "{}", outcome.plan);
    assert_eq!(outcome.plan.rows, planned.rows, "it did what was planned");
    // Once, and the rest of the row is taken over.
    assert_eq!(outcome.plan.errors.len(), 1, "{:?}", outcome.plan.errors);
    assert_eq!(application(&world, 2).await["next_step"], "anrufen");
    assert!(sheet.text().contains("2;pending;"));
    let kept = sheet.path.with_file_name("Bewerbungen.csv.conflicts.csv");
    assert!(std::fs::read_to_string(kept).unwrap().contains(";2;state;sent;pending"));
    world.expect(2, "pending").await;
    world.expect_comment(1, "| Stage | drafted |");
    world.expect_comment(1, "through the spreadsheet");
    world.expect_comment(2, "| Stage | offer |");
}

#[tokio::test]
async fn a_lost_disk_loses_no_field_and_a_wrong_row_holds_up_no_other() {
    let mut world = World::new().await;
    world.stage("1").await;
    let sheet = Sheet::new(
        "iid;Status;Titel;Phase;Beworben am;Notizen\r\n1;pending;Cloud Architect 1;;;vom Blatt\r\n\
         77;pending;Fremd;;;\r\n;pending;Neu;;bald;\r\n",
    );
    world.restart(Disk::Wiped).await;
    let outcome = sheet.run(&world, Direction::Sync).await;
    let said: Vec<String> = outcome.plan.errors.iter().map(ToString::to_string).collect();
    assert!(said.iter().any(|line| line.contains("line 3") && line.contains("no match 77")), "{said:?}");
    assert!(said.iter().any(|line| line.contains("line 4")), "{said:?}");
    let (_, answer) = world.get("/api/v1/matches/1").await;
    assert_eq!(answer["application"]["notes"], "vom Blatt");
    world.restart(Disk::Wiped).await;
    let again = sheet.run(&world, Direction::Sync).await;
    assert!(!again.file_changed, "{}", again.plan);
    let _ = job("1");
}

/// What GitLab says of a match's tracker.
async fn application(world: &World, iid: u64) -> Value {
    world.get(&format!("/api/v1/matches/{iid}")).await.1["application"].clone()
}

fn answers(method: &str, path: &str, status: u16, times: u32) -> Fault {
    let trouble = Trouble::Answer {
        status,
        content_type: "application/json".to_owned(),
        body: "{}".to_owned(),
        retry_after: (status == 429).then_some(58),
    };
    Fault { method: Some(method.to_owned()), path: path.to_owned(), skip: 0, times, trouble }
}

#[tokio::test]
async fn two_new_rows_of_one_match_do_not_overwrite_each_other() {
    let world = World::new().await;
    let sheet = Sheet::new(
        "iid;Status;Titel;Firma;Ort;Phase;Notizen\r\n;sent;Rust;ACME;Wien;declined;erste\r\n\
         ;sent;Rust;ACME;Wien;interview;zweite\r\n",
    );
    let outcome = sheet.run(&world, Direction::Import).await;
    assert_eq!(outcome.plan.summary().staged, 1, "{}", outcome.plan);
    assert!(outcome.plan.errors[0].to_string().contains("line 3: same match as line 2"), "{}", outcome.plan);
    let written = sheet.text();
    assert!(written.contains("\r\n1;sent;Rust") && written.contains("\r\n;sent;Rust"), "{written}");
    let first = application(&world, 1).await;
    assert_eq!(first, json!({"stage": "declined", "notes": "erste"}));
    let again = sheet.run(&world, Direction::Import).await;
    assert!(again.plan.errors[0].to_string().contains("line 3"), "{}", again.plan);
    assert!(again.plan.rows.is_empty() && !again.file_changed, "{}", again.plan);
    assert_eq!((application(&world, 1).await, sheet.text()), (first, written));
}

#[tokio::test]
async fn what_is_edited_during_a_run_is_newer_than_what_the_run_told_gitlab() {
    let world = World::new().await;
    world.stage("1").await;
    let sheet = Sheet::new("iid;Status;Titel;Firma;Phase;Notizen\r\n");
    sheet.run(&world, Direction::Sync).await;
    let with_notes = |notes: &str, new: &str| {
        let head = "iid;Status;Titel;Firma;Phase;Notizen\r\n";
        std::fs::write(
            &sheet.path,
            format!("{head}1;pending;Cloud Architect 1;;;{notes}\r\n;pending;Neu;N;;{new}\r\n"),
        )
        .unwrap();
    };
    with_notes("früher", "a");
    let file = CsvFile::open(&sheet.path).unwrap();
    let run = Run::start(&world.engine, &file, Direction::Sync, usize::MAX).unwrap();
    with_notes("später", "b");
    let first = match run.carry_out(world.clock.now(), |_| {}).await {
        Err(SyncError::NotWritten { done, error })
            if matches!(*error, SyncError::File(FileError::Changed { .. })) =>
        {
            done
        }
        other => panic!("{other:?}"),
    };
    drop(file);
    assert_eq!(application(&world, 1).await["notes"], "früher");
    let second = sheet.run(&world, Direction::Sync).await;
    let summary = first.then(second.plan).summary();
    assert_eq!((summary.staged, summary.conflicts, summary.errors), (1, 0, 0));
    assert_eq!(application(&world, 1).await["notes"], "später");
    assert_eq!(application(&world, 2).await["notes"], "b");
    assert!(sheet.text().contains(";später\r\n2;pending;Neu;N;;b\r\n"), "{}", sheet.text());
    assert!(!sheet.run(&world, Direction::Sync).await.file_changed);
}

/// No webhook arrives, and a row before it takes its time.
#[tokio::test]
async fn what_people_did_since_the_last_look_wins_against_the_file() {
    let mut world = World::new().await;
    world.stage("1").await;
    world.stage("2").await;
    let sheet = Sheet::new("iid;Status;Titel;Phase;Nächster Schritt;Notizen\r\n");
    sheet.run(&world, Direction::Sync).await;
    sheet.edit("1;pending;Cloud Architect 1;;;", "1;rejected;Cloud Architect 1;;anrufen;meins");
    sheet.edit("2;pending;", "2;approved;");
    world.sandbox.hook_mode(HookMode::Lose);
    let file = CsvFile::open(&sheet.path).unwrap();
    let run = Run::start(&world.engine, &file, Direction::Sync, usize::MAX).unwrap();
    world.reviewer().relabel(1, &["job-match/approved"], &["job-match/pending"]).unwrap();
    patch_application(&world, 1, &json!({"notes": "theirs"})).await;
    world.reviewer().close(2).unwrap();
    let outcome = run.carry_out(world.clock.now(), |_| {}).await.unwrap();
    drop(file);
    assert_eq!(outcome.plan.errors, []);
    assert_eq!(outcome.plan.summary().conflicts, 3, "{}", outcome.plan);
    let text = sheet.text();
    assert!(text.contains("1;approved;Cloud Architect 1;;anrufen;theirs\r\n2;rejected;"), "{text}");
    let kept = std::fs::read_to_string(sheet.path.with_file_name("Bewerbungen.csv.conflicts.csv")).unwrap();
    for gave_way in ["1;state;rejected;approved", "1;notes;meins;theirs", "2;state;approved;rejected"] {
        assert!(kept.contains(gave_way), "`{gave_way}` in\n{kept}");
    }
    world.expect(1, "approved").await;
    world.expect(2, "rejected").await;
    world.settle().await;
    assert!(!sheet.run(&world, Direction::Sync).await.file_changed);
    world.expect_comment(1, "| Notes | theirs |");
    world.finish().await;
}

#[tokio::test]
async fn of_a_file_that_cannot_be_written_no_issue_is_made() {
    let world = World::new().await;
    let sheet = Sheet::new("iid;Status;Titel\r\n;pending;Neu\r\n");
    let mut permissions = std::fs::metadata(&sheet.path).unwrap().permissions();
    permissions.set_readonly(true);
    std::fs::set_permissions(&sheet.path, permissions).unwrap();
    let file = CsvFile::open(&sheet.path).unwrap();
    let run = Run::start(&world.engine, &file, Direction::Import, usize::MAX).unwrap();
    let error = run.carry_out(world.clock.now(), |_| {}).await.unwrap_err();
    assert!(error.to_string().contains("is read-only; allow writing"), "{error}");
    assert!(world.sandbox.world().issues.is_empty());
}

#[tokio::test]
async fn the_row_of_a_withdrawn_match_is_left_as_it_is_and_that_is_said() {
    let world = World::new().await;
    world.stage("1").await;
    let sheet = Sheet::new("iid;Status;Titel;Quelle;Notizen\r\n");
    sheet.run(&world, Direction::Sync).await;
    sheet.edit("1;pending;Cloud Architect 1;", "1;approved;Cloud Architect 1;");
    world.reviewer().relabel(1, &[], &["job-match"]).unwrap();
    world.settle().await;
    let before = sheet.text();
    let outcome = sheet.run(&world, Direction::Sync).await;
    assert!(outcome.plan.errors[0].to_string().contains("match 1 is withdrawn"), "{:?}", outcome.plan.errors);
    assert_eq!(sheet.text(), before);
}

#[tokio::test]
async fn an_import_waits_as_long_as_gitlab_asks() {
    let world = World::new().await;
    world.sandbox.fault(answers("POST", "/issues", 429, 3));
    let sheet = Sheet::new(GERMAN);
    let before = world.clock.now();
    let outcome = sheet.run(&world, Direction::Import).await;
    assert_eq!((outcome.plan.summary().staged, outcome.plan.errors.len()), (3, 0), "{}", outcome.plan);
    assert!(world.clock.now().duration_since(before).as_secs() >= 58);
    assert_eq!(world.sandbox.world().issues.len(), 3);
}

#[tokio::test]
async fn the_days_of_an_old_list_stay_the_users() {
    let world = World::new().await;
    let sheet = Sheet::new(
        "iid;Status;Titel;Gefunden am;Entschieden am\r\n;sent;Rust;01.02.2025;03.02.2025\r\n\
         ;pending;Go;02.02.2025 10:00;\r\n",
    );
    let outcome = sheet.run(&world, Direction::Import).await;
    let summary = outcome.plan.summary();
    assert_eq!((summary.staged, summary.conflicts, summary.errors), (2, 0, 0), "{}", outcome.plan);
    assert!(sheet.text().contains(";Rust;01.02.2025;03.02.2025\r\n"), "{}", sheet.text());
    let written = sheet.text();
    for _ in 0..2 {
        assert!(!sheet.run(&world, Direction::Sync).await.file_changed);
        assert_eq!(sheet.text(), written);
    }
    // The day of a decision comes in the run that asked for it.
    sheet.edit(";pending;Go;", ";approved;Go;");
    sheet.run(&world, Direction::Sync).await;
    let written = sheet.text();
    assert!(written.contains(";approved;Go;02.02.2025 10:00;23.11.2026"), "{written}");
    let again = sheet.run(&world, Direction::Sync).await;
    assert!(!again.file_changed && again.plan.rows.is_empty(), "{}", again.plan);
    assert_eq!(sheet.text(), written);
    // Nor does an export change them.
    assert!(!sheet.run(&world, Direction::Export).await.file_changed);
}

#[tokio::test]
async fn a_quote_that_is_never_closed_holds_up_its_own_row() {
    let world = World::new().await;
    world.stage("1").await;
    world.stage("2").await;
    let sheet = Sheet::new(
        "iid;Status;Titel;Notizen\r\n1;pending;Cloud Architect 1;neu\r\n;pending;Go;\r\n2;pending;x;\"offen\r\n",
    );
    for _ in 0..2 {
        let outcome = sheet.run(&world, Direction::Sync).await;
        let said: Vec<String> = outcome.plan.errors.iter().map(ToString::to_string).collect();
        assert_eq!(said, ["line 4: a quote is opened and never closed"]);
        assert_eq!(application(&world, 1).await["notes"], "neu");
        assert!(sheet.text().contains("\r\n3;pending;Go;\r\n"), "{}", sheet.text());
    }
    // What was agreed on is noted: an edit is one.
    sheet.edit(";neu\r\n", ";neuer\r\n");
    let outcome = sheet.run(&world, Direction::Sync).await;
    assert_eq!(
        (outcome.plan.summary().to_gitlab, outcome.plan.summary().conflicts),
        (1, 0),
        "{}",
        outcome.plan
    );
}

#[tokio::test]
async fn an_export_keeps_edits_that_were_not_synced() {
    let world = World::new().await;
    world.stage("1").await;
    let sheet = Sheet::new("iid;Status;Titel;Notizen\r\n");
    sheet.run(&world, Direction::Sync).await;
    sheet.edit("Cloud Architect 1;", "Cloud Architect 1;meins");
    let outcome = sheet.run(&world, Direction::Export).await;
    assert_eq!(outcome.plan.summary().conflicts, 1, "{}", outcome.plan);
    assert!(!sheet.text().contains("meins"));
    let kept = std::fs::read_to_string(sheet.path.with_file_name("Bewerbungen.csv.conflicts.csv")).unwrap();
    assert!(kept.contains(";notes;meins;"), "{kept}");
}

#[tokio::test]
async fn a_new_row_gets_its_iid_although_gitlab_did_not_take_its_fields() {
    let world = World::new().await;
    world.sandbox.fault(answers("POST", "/notes", 403, 1));
    let sheet = Sheet::new("iid;Status;Titel;Notizen\r\n;pending;Neu;meins\r\n");
    let outcome = sheet.run(&world, Direction::Import).await;
    assert_eq!((outcome.plan.summary().staged, outcome.plan.errors.len()), (1, 1), "{}", outcome.plan);
    assert!(sheet.text().contains("\r\n1;pending;Neu;meins"), "{}", sheet.text());
    assert_eq!(sheet.run(&world, Direction::Import).await.plan.errors, []);
    assert_eq!(application(&world, 1).await["notes"], "meins");
}

#[tokio::test]
async fn whoever_wrote_a_file_a_sync_puts_iids_and_missing_days_in_and_changes_no_other_byte() {
    let world = World::new().await;
    let mut programs = 0;
    for file in std::fs::read_dir("tests/data/csv").unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if !["excel-", "libreoffice-", "numbers-"].iter().any(|program| name.starts_with(program)) {
            continue;
        }
        programs += 1;
        let as_it_was = |bytes: Vec<u8>| {
            let mut table = Table::read(bytes).unwrap();
            for row in 0..table.len() {
                let Some(values) = table.values(row).unwrap() else { continue };
                table.set(row, Field::Iid, "").unwrap();
                if values.text(Field::Created) == "2026-11-23" {
                    table.set(row, Field::Created, "").unwrap();
                }
            }
            table.to_bytes()
        };
        let before = as_it_was(std::fs::read(&path).unwrap());
        let sheet = Sheet::new(&before);
        let outcome = sheet.run(&world, Direction::Sync).await;
        let summary = outcome.plan.summary();
        assert_eq!((summary.errors, summary.conflicts), (0, 0), "{name}: {}", outcome.plan);
        let written = std::fs::read(&sheet.path).unwrap();
        let table = Table::read(written.clone()).unwrap();
        let rows = (0..table.len()).filter_map(|row| table.values(row).unwrap());
        assert!(
            rows.clone().count() == 3 && rows.clone().all(|row| !row.text(Field::Iid).is_empty()),
            "{name}"
        );
        let readable = |bytes: &[u8]| bytes.escape_ascii().to_string();
        assert_eq!(readable(&as_it_was(written.clone())), readable(&before), "{name}: {}", outcome.plan);
        let again = sheet.run(&world, Direction::Sync).await;
        assert!(
            !again.file_changed && std::fs::read(&sheet.path).unwrap() == written,
            "{name}: {}",
            again.plan
        );
    }
    assert_eq!((programs, world.sandbox.world().issues.len()), (10, 3), "the same three matches");
}

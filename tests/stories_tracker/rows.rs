//! Rows that are new, come back, or are of no match.

use std::sync::Mutex;

use serde_json::json;
use vorhoelle::csv::CsvFile;
use vorhoelle::csv::sync::{Direction, Run, SyncError};

use super::sheet::Sheet;
use super::{application, patch_application};
use crate::support::{World, job};

/// The last sync saw no such row, and this one has not written one.
#[tokio::test]
async fn a_row_that_comes_back_while_it_is_to_be_added_does_not_undo_what_gitlab_got_meanwhile() {
    let world = World::new().await;
    let iid = world.stage("1").await;
    patch_application(&world, iid, &json!({"notes": "alt", "next_step": "anrufen"})).await;
    world.settle().await;
    let sheet = Sheet::new("iid;Status;Titel;Nächster Schritt;Notizen\r\n");
    sheet.run(&world, Direction::Sync).await;
    let before = sheet.text();
    sheet.edit("1;pending;Cloud Architect 1;anrufen;alt\r\n", "");
    patch_application(&world, iid, &json!({"notes": "neu"})).await;
    world.reviewer().relabel(iid, &["job-match/approved"], &["job-match/pending"]).unwrap();
    world.settle().await;
    let file = CsvFile::open(&sheet.path).unwrap();
    let run = Run::start(&world.engine, &file, Direction::Sync, usize::MAX).unwrap();
    // They put it back, but for one cell.
    std::fs::write(&sheet.path, before.replace("anrufen", "")).unwrap();
    let changed = run.carry_out(world.clock.now(), |_| {}).await;
    assert!(matches!(changed, Err(SyncError::NotWritten { .. })), "{changed:?}");
    drop(file);
    let outcome = sheet.run(&world, Direction::Sync).await;
    assert_eq!(outcome.plan.errors, []);
    assert_eq!(application(&world, iid).await, json!({"next_step": "anrufen", "notes": "neu"}));
    world.expect(iid, "approved").await;
    let written = sheet.text();
    assert!(written.ends_with("\r\n1;approved;Cloud Architect 1;anrufen;neu\r\n"), "{written}");
    let kept = std::fs::read_to_string(sheet.path.with_file_name("Bewerbungen.csv.conflicts.csv")).unwrap();
    assert!(kept.contains(";notes;alt;neu"), "{kept}");
    assert!(!sheet.run(&world, Direction::Sync).await.file_changed);
    // Of a row that was added the base is what it got.
    sheet.edit(";neu\r\n", ";neuer\r\n");
    sheet.edit("1;approved;Cloud Architect 1;anrufen;neuer\r\n", "");
    sheet.run(&world, Direction::Sync).await;
    sheet.edit(";neu\r\n", ";\r\n");
    sheet.run(&world, Direction::Sync).await;
    assert_eq!(application(&world, iid).await, json!({"next_step": "anrufen"}));
}

/// Another process writes for long just then, or the disk is full.
#[tokio::test]
async fn what_gitlab_took_is_told_where_the_mirror_cannot_note_it() {
    let world = World::new().await;
    let iid = world.stage("1").await;
    let sheet = Sheet::new("iid;Status;Titel;Notizen\r\n");
    sheet.run(&world, Direction::Sync).await;
    sheet.edit("1;pending;Cloud Architect 1;", "1;approved;Cloud Architect 1;anrufen");
    let file = CsvFile::open(&sheet.path).unwrap();
    let run = Run::start(&world.engine, &file, Direction::Sync, usize::MAX).unwrap();
    let other = Mutex::new(rusqlite::Connection::open(world.mirror_file()).unwrap());
    let holds_it = |_| other.lock().unwrap().execute_batch("BEGIN IMMEDIATE").unwrap();
    let Err(SyncError::NotWritten { error, done }) = run.carry_out(world.clock.now(), holds_it).await else {
        panic!("it was noted")
    };
    assert!(error.to_string().contains("mirror"), "{error}");
    assert_eq!(done.summary().steps, 1, "{done}");
    drop((file, other));
    world.expect(iid, "approved").await;
    let outcome = sheet.run(&world, Direction::Sync).await;
    assert_eq!((outcome.plan.summary().conflicts, outcome.plan.errors), (0, Vec::new()));
    assert_eq!(application(&world, iid).await, json!({"notes": "anrufen"}));
}

/// Nothing but its place in the file tells it from the other.
#[tokio::test]
async fn a_new_row_with_the_cells_of_another_becomes_an_issue_wherever_it_stands() {
    let world = World::new().await;
    let sheet = Sheet::new("iid;Titel;Notizen\r\n;Java Entwickler;zwei\r\n");
    sheet.run(&world, Direction::Sync).await;
    sheet.edit("iid;Titel;Notizen\r\n", "iid;Titel;Notizen\r\n;Java Entwickler;eins\r\n");
    let text = sheet.text();
    std::fs::write(&sheet.path, format!("{text};Java Entwickler;drei\r\n;Java Entwickler;vier\r\n")).unwrap();
    let outcome = sheet.run(&world, Direction::Sync).await;
    assert_eq!((outcome.plan.errors.len(), outcome.plan.summary().staged), (0, 3), "{}", outcome.plan);
    let notes = async |world: &World| {
        let mut notes = Vec::new();
        for iid in 1..=4 {
            notes.push(application(world, iid).await["notes"].as_str().unwrap().to_owned());
        }
        notes
    };
    let before = notes(&world).await;
    assert_eq!(before[0], "zwei");
    let iids: Vec<String> =
        sheet.text().lines().skip(1).map(|line| line.split(';').next().unwrap().to_owned()).collect();
    assert_eq!(iids.iter().collect::<std::collections::BTreeSet<_>>().len(), 4, "{}", sheet.text());
    let again = sheet.run(&world, Direction::Sync).await;
    assert!(!again.file_changed && again.plan.rows.is_empty(), "{}", again.plan);
    // Without iids each finds one of them, and one that lost its iid its own.
    let written = sheet.text();
    sheet.edit(&format!("\n{};", iids[2]), "\n;");
    assert_eq!(sheet.run(&world, Direction::Sync).await.plan.errors, []);
    assert_eq!(sheet.text(), written);
    let without: Vec<String> =
        written.lines().map(|line| line.trim_start_matches(char::is_numeric).to_owned()).collect();
    std::fs::write(&sheet.path, without.join("\r\n") + "\r\n").unwrap();
    let outcome = sheet.run(&world, Direction::Import).await;
    assert_eq!((outcome.plan.errors.len(), outcome.plan.summary().staged), (0, 0), "{}", outcome.plan);
    assert_eq!(world.sandbox.world().issues.len(), 4);
}

#[tokio::test]
async fn of_the_row_of_a_second_issue_of_a_match_it_is_said_that_it_is_to_be_deleted() {
    let mut world = World::new().await;
    world.stage_twice(job("1")).await;
    let sheet = Sheet::new("iid;Titel\r\n2;Cloud Architect 1\r\n");
    world.look_twice().await;
    let outcome = sheet.run(&world, Direction::Sync).await;
    let said: Vec<String> = outcome.plan.errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        ["line 2: issue 2 is a second one of another match, as a comment on it says; delete this row"]
    );
    sheet.edit("2;Cloud Architect 1\r\n", "");
    assert_eq!(sheet.run(&world, Direction::Sync).await.plan.errors, []);
    assert_eq!(sheet.text(), "iid;Titel\r\n1;Cloud Architect 1\r\n");
}

/// A spreadsheet shows what looks like a day as it writes days.
#[tokio::test]
async fn a_start_that_a_spreadsheet_wrote_as_it_writes_days_is_still_that_day() {
    let world = World::new().await;
    let mut body = job("1");
    body["start"] = json!("2026-03-01");
    world.post(&body).await;
    body = job("2");
    body["start"] = json!("ab sofort");
    world.post(&body).await;
    world.settle().await;
    let sheet = Sheet::new("iid;Titel;Start\r\n");
    sheet.run(&world, Direction::Sync).await;
    for start in ["01.03.2026", "1.3.26"] {
        let written = sheet.text();
        let before = if written.contains("2026-03-01") { "2026-03-01" } else { "01.03.2026" };
        sheet.edit(before, start);
        let saved = sheet.text();
        let outcome = sheet.run(&world, Direction::Sync).await;
        assert!(!outcome.file_changed && outcome.plan.rows.is_empty(), "{start}: {}", outcome.plan);
        assert_eq!(sheet.text(), saved);
    }
    for (from, to) in [(";1.3.26", ";02.03.2026"), (";ab sofort", ";sofort")] {
        sheet.edit(from, to);
        let outcome = sheet.run(&world, Direction::Sync).await;
        assert_eq!(outcome.plan.summary().conflicts, 1, "{to}: {}", outcome.plan);
    }
    assert!(sheet.text().contains(";2026-03-01\r\n") || sheet.text().contains(";01.03.2026\r\n"));
    assert!(sheet.text().contains(";ab sofort\r\n"), "{}", sheet.text());
}

#[tokio::test]
async fn of_rows_of_one_match_it_is_said_what_makes_them_one_and_what_to_do() {
    let world = World::new().await;
    for (sheet, same, to_do) in [
        (
            "iid;Titel;URL\r\n;Rust;https://portal.example/\r\n;Go;https://portal.example/\r\n",
            "their `URL` is the same",
            "empty it in this row, or give the row a `Quelle` and its own `Externe Id`",
        ),
        (
            "iid;title;source;external_id\r\n;Rust;portal;7\r\n;Go;portal;7\r\n",
            "their `source` and `external_id` are the same",
            "give this row its own `external_id`",
        ),
        (
            "iid;Titel;Firma;Ort\r\n;Rust;ACME;Wien\r\n;Rust;ACME;Wien\r\n",
            "their `Titel`, `Firma` and `Ort` are the same",
            "give this row its own `URL`, or a title that tells it apart",
        ),
    ] {
        let sheet = Sheet::new(sheet);
        for first in ["line 3: same match as line 2", "another row, by its iid or further up"] {
            let outcome = sheet.run(&world, Direction::Import).await;
            let said = outcome.plan.errors.iter().map(ToString::to_string).collect::<String>();
            assert!([first, same, to_do].iter().all(|part| said.contains(part)), "{said}");
        }
    }
}

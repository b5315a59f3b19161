//! Files that have not every column.

use serde_json::json;
use vorhoelle::csv::CsvFile;
use vorhoelle::csv::sync::{Direction, Run, SyncError};

use super::sheet::Sheet;
use super::{application, patch_application};
use crate::support::World;

/// Its cells alone would not tell whose row it is: they say nothing of source and number there.
#[tokio::test]
async fn in_a_file_without_iids_a_row_of_ours_has_one_and_makes_no_second_issue() {
    let world = World::new().await;
    world.stage("1").await;
    let sheet = Sheet::new("Titel;Firma;Notizen\r\nAlt;ACME;von mir\r\n");
    for direction in [Direction::Sync, Direction::Sync, Direction::Export] {
        let outcome = sheet.run(&world, direction).await;
        assert_eq!(outcome.plan.errors, []);
        let written = "Titel;Firma;Notizen;iid\r\nAlt;ACME;von mir;2\r\nCloud Architect 1;Amoria Bond;;1\r\n";
        assert_eq!(sheet.text(), written);
        assert_eq!(world.sandbox.world().issues.len(), 2, "one for each row");
    }
    // By its iid it is a row like any other.
    sheet.edit("Amoria Bond;;1", "Amoria Bond;anrufen;1");
    sheet.run(&world, Direction::Sync).await;
    assert_eq!(application(&world, 1).await, json!({"notes": "anrufen"}));
}

#[tokio::test]
async fn into_a_file_without_iids_every_match_is_exported_once() {
    let world = World::new().await;
    world.stage("1").await;
    world.stage("2").await;
    let sheet = Sheet::new("Titel;Notizen\r\n");
    for _ in 0..2 {
        sheet.run(&world, Direction::Export).await;
        assert_eq!(sheet.text(), "Titel;Notizen;iid\r\nCloud Architect 1;;1\r\nCloud Architect 2;;2\r\n");
    }
}

/// The last sync had no such cell: empty, it takes what GitLab has.
#[tokio::test]
async fn a_column_that_was_taken_out_and_put_back_empty_clears_nothing() {
    let world = World::new().await;
    world.stage("1").await;
    world.stage("2").await;
    patch_application(&world, 1, &json!({"notes": "bleibt", "next_step": "anrufen"})).await;
    patch_application(&world, 2, &json!({"notes": "bleibt auch"})).await;
    world.settle().await;
    let sheet = Sheet::new("iid;Titel;Nächster Schritt;Notizen\r\n");
    sheet.run(&world, Direction::Sync).await;
    let with_notes = sheet.text();
    assert!(with_notes.contains("1;Cloud Architect 1;anrufen;bleibt\r\n"), "{with_notes}");
    // One row is only looked at, the other is told to GitLab.
    let without = "iid;Titel;Nächster Schritt\r\n1;Cloud Architect 1;schreiben\r\n2;Cloud Architect 2;\r\n";
    std::fs::write(&sheet.path, without).unwrap();
    sheet.run(&world, Direction::Sync).await;
    let back =
        "iid;Titel;Nächster Schritt;Notizen\r\n1;Cloud Architect 1;schreiben;\r\n2;Cloud Architect 2;;\r\n";
    std::fs::write(&sheet.path, back).unwrap();
    let outcome = sheet.run(&world, Direction::Sync).await;
    let summary = outcome.plan.summary();
    assert_eq!((summary.to_gitlab, summary.conflicts, summary.errors), (0, 0, 0), "{}", outcome.plan);
    assert_eq!(sheet.text(), with_notes.replace("anrufen", "schreiben"));
    assert_eq!(application(&world, 1).await, json!({"next_step": "schreiben", "notes": "bleibt"}));
    assert_eq!(application(&world, 2).await, json!({"notes": "bleibt auch"}));
}

#[tokio::test]
async fn nor_where_the_row_could_not_be_read_while_the_column_was_out() {
    let world = World::new().await;
    world.stage("1").await;
    patch_application(&world, 1, &json!({"notes": "bleibt"})).await;
    world.settle().await;
    let sheet = Sheet::new("iid;Titel;Beworben am;Notizen\r\n");
    sheet.run(&world, Direction::Sync).await;
    std::fs::write(&sheet.path, "iid;Titel;Beworben am\r\n1;Cloud Architect 1;bald\r\n").unwrap();
    assert_eq!(sheet.run(&world, Direction::Sync).await.plan.errors.len(), 1);
    std::fs::write(&sheet.path, "iid;Titel;Beworben am;Notizen\r\n1;Cloud Architect 1;;\r\n").unwrap();
    sheet.run(&world, Direction::Sync).await;
    assert_eq!(application(&world, 1).await, json!({"notes": "bleibt"}));
    assert!(sheet.text().ends_with(";bleibt\r\n"), "{}", sheet.text());
}

#[tokio::test]
async fn nor_where_the_match_did_not_count_or_had_no_row_while_the_column_was_out() {
    for is_withdrawn in [false, true] {
        let world = World::new().await;
        let iid = world.stage("1").await;
        patch_application(&world, iid, &json!({"notes": "bleibt"})).await;
        world.settle().await;
        let sheet = Sheet::new("iid;Titel;Notizen\r\n");
        sheet.run(&world, Direction::Sync).await;
        if is_withdrawn {
            world.reviewer().relabel(iid, &[], &["job-match"]).unwrap();
            world.settle().await;
            std::fs::write(&sheet.path, "iid;Titel\r\n1;Cloud Architect 1\r\n").unwrap();
            sheet.run(&world, Direction::Sync).await;
            world.reviewer().relabel(iid, &["job-match"], &[]).unwrap();
            world.settle().await;
        } else {
            std::fs::write(&sheet.path, "iid;Titel\r\n").unwrap();
            sheet.run(&world, Direction::Import).await;
        }
        std::fs::write(&sheet.path, "iid;Titel;Notizen\r\n1;Cloud Architect 1;\r\n").unwrap();
        sheet.run(&world, Direction::Sync).await;
        assert_eq!(application(&world, iid).await, json!({"notes": "bleibt"}));
        assert!(sheet.text().ends_with(";bleibt\r\n"), "{}", sheet.text());
    }
}

#[tokio::test]
async fn a_column_that_was_taken_out_and_put_back_with_another_text_gives_way_and_is_kept() {
    let world = World::new().await;
    world.stage("1").await;
    patch_application(&world, 1, &json!({"notes": "ihres"})).await;
    world.settle().await;
    let sheet = Sheet::new("iid;Titel;Notizen\r\n");
    sheet.run(&world, Direction::Sync).await;
    std::fs::write(&sheet.path, "iid;Titel\r\n1;Cloud Architect 1\r\n").unwrap();
    sheet.run(&world, Direction::Sync).await;
    std::fs::write(&sheet.path, "iid;Titel;Notizen\r\n1;Cloud Architect 1;meins\r\n").unwrap();
    let outcome = sheet.run(&world, Direction::Sync).await;
    assert_eq!(outcome.plan.summary().conflicts, 1, "{}", outcome.plan);
    assert_eq!(application(&world, 1).await, json!({"notes": "ihres"}));
    assert_eq!(sheet.text(), "iid;Titel;Notizen\r\n1;Cloud Architect 1;ihres\r\n");
    let kept = std::fs::read_to_string(sheet.path.with_file_name("Bewerbungen.csv.conflicts.csv")).unwrap();
    assert!(kept.contains(";notes;meins;ihres"), "{kept}");
}

#[tokio::test]
async fn a_run_that_is_refused_because_the_file_is_open_notes_nothing() {
    let world = World::new().await;
    world.stage("1").await;
    let sheet = Sheet::new("iid;Titel\r\n1;Cloud Architect 1\r\n");
    let lock = sheet.path.with_file_name(".~lock.Bewerbungen.csv#");
    std::fs::write(&lock, ",anna,host,07.02.2026 10:30,file:///x;").unwrap();
    let file = CsvFile::open(&sheet.path).unwrap();
    let refused = Run::start(&world.engine, &file, Direction::Sync, usize::MAX).map(drop);
    assert!(
        matches!(&refused, Err(SyncError::File(error)) if error.to_string().contains("is open in")),
        "{refused:?}"
    );
    let known = world.engine.mirror().zone_of(&file.path().to_string_lossy()).unwrap();
    assert_eq!(known, None);
}

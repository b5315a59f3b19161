//! The real LibreOffice opens a file and saves it again: every value is still what it was, and no cell has become a
//! formula. Skipped with a message where it is not installed; `tests/run --long` installs it.

use std::fs;
use std::process::{Command, Stdio};

use vorhoelle::csv::{Dialect, Field, Row, Table};
use vorhoelle::domain::Language;

use super::{SAME_ROWS, data};

/// What a person in Vienna does: opens the file as UTF-8 with semicolons, and saves it as it was.
fn opened_and_saved(bytes: &[u8]) -> Option<Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file.csv"), bytes).unwrap();
    let profile = format!("-env:UserInstallation=file://{}", folder.path().join("profile").display());
    let saved = Command::new("soffice")
        .args([&profile, "--headless", "--infilter=CSV:59,34,76,1,,1031,false,false", "--convert-to"])
        .args(["csv:Text - txt - csv (StarCalc):59,34,76,1,,1031,false,true,false", "--outdir", "saved"])
        .arg("file.csv")
        .current_dir(folder.path())
        .env("HOME", folder.path())
        .env("LC_ALL", "de_DE.UTF-8")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match saved {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("skipped: LibreOffice (libreoffice-calc-nogui) is not installed");
            None
        }
        status => {
            assert!(status.unwrap().success());
            Some(fs::read(folder.path().join("saved/file.csv")).unwrap())
        }
    }
}

fn rows(bytes: Vec<u8>) -> Vec<Row> {
    let table = Table::read(bytes).unwrap();
    (0..table.len()).filter_map(|row| table.values(row).unwrap()).collect()
}

#[test]
fn what_excel_wrote_and_libreoffice_saved_says_the_same() {
    let written = data("excel-german-utf-8.csv");
    assert!(SAME_ROWS.contains(&"excel-german-utf-8.csv"));
    let Some(saved) = opened_and_saved(&written) else { return };
    assert_eq!(rows(saved), rows(written));
}

#[test]
fn what_looks_like_a_formula_comes_back_as_it_was() {
    let texts = [
        "=1+1",
        "+43 664 1",
        "-5+1",
        "@SUM(A1)",
        "=HYPERLINK(\"https://evil.example\")",
        "'=1",
        "-5",
        "06641234567",
    ];
    let mut table = Table::new(Dialect::of_a_new_file(Language::De));
    for (iid, text) in texts.iter().enumerate() {
        let row = Row::from_iter([
            (Field::Iid, (iid + 1).to_string()),
            (Field::Title, "Rust".to_owned()),
            (Field::Notes, (*text).to_owned()),
        ]);
        table.append(&row).unwrap();
    }
    let Some(saved) = opened_and_saved(&table.to_bytes()) else { return };
    let notes: Vec<String> = rows(saved).iter().map(|row| row.text(Field::Notes).to_owned()).collect();
    assert_eq!(notes, texts);
}

//! Spreadsheets as Excel, LibreOffice and Numbers write them, and what must hold for any file.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "a test")]

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use vorhoelle::csv::dates::DateStyle;
use vorhoelle::csv::dialect::{Delimiter, Encoding, Newline, Quoting};
use vorhoelle::csv::numbers::NumberStyle;
use vorhoelle::csv::{Dialect, EditError, Field, Row, RowError, Table, TableError, formula};
use vorhoelle::domain::Language;

#[path = "csv_files/disk.rs"]
mod disk;
#[path = "csv_files/libreoffice.rs"]
mod libreoffice;
#[path = "csv_files/merging.rs"]
mod merging;

fn corpus() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/csv");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "csv" || extension == "tsv"))
        .collect();
    files.sort();
    assert!(files.len() >= 13);
    files
}

fn data(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/csv").join(name)).unwrap()
}

fn table(text: &str) -> Table {
    Table::read(text.as_bytes().to_vec()).unwrap()
}

/// What the rows say, and what is wrong with the others, one line each.
fn told(table: &Table) -> String {
    let row = |row| match table.values(row) {
        Ok(None) => format!("{}: blank", table.line(row)),
        Ok(Some(values)) => {
            let said: Vec<String> = values
                .iter()
                .filter(|(_, value)| !value.is_empty())
                .map(|(field, value)| format!("{field}={value:?}"))
                .collect();
            format!("{}: {}", table.line(row), said.join(" "))
        }
        Err(errors) => errors.iter().map(|error| format!("error: {error}")).collect::<Vec<_>>().join("\n"),
    };
    (0..table.len()).map(row).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_file_that_nobody_edits_is_written_byte_for_byte() {
    for path in corpus() {
        let bytes = std::fs::read(&path).unwrap();
        let table = Table::read(bytes.clone()).unwrap();
        assert!(table.to_bytes() == bytes, "{}", path.display());
        assert!(!table.is_changed());
    }
}

#[test]
fn setting_cells_to_what_they_say_changes_nothing() {
    for path in corpus() {
        let bytes = std::fs::read(&path).unwrap();
        let mut table = Table::read(bytes.clone()).unwrap();
        for row in 0..table.len() {
            let Ok(Some(values)) = table.values(row) else { continue };
            for (field, value) in values.iter() {
                // A quote that is never closed forbids all writing behind it.
                assert!(matches!(
                    table.set(row, field, value),
                    Ok(false) | Err(EditError::UnclosedQuote { .. })
                ));
            }
        }
        assert!(table.to_bytes() == bytes, "{}", path.display());
    }
}

/// The same three rows as several programs write them.
const SAME_ROWS: [&str; 11] = [
    "excel-german-windows-1252.csv",
    "excel-german-utf-8.csv",
    "excel-german-blank-rows.csv",
    "excel-sep-line.csv",
    "libreoffice-german.csv",
    "libreoffice-quoted-texts.csv",
    "libreoffice-english-tab.tsv",
    "numbers-german.csv",
    "numbers-english.csv",
    "english-all-quoted.csv",
    "excel-mac-cr.csv",
];

#[test]
fn every_program_says_the_same() {
    let rows = |name| {
        let table = Table::read(data(name)).unwrap();
        (0..table.len()).filter_map(|row| table.values(row).unwrap()).collect::<Vec<Row>>()
    };
    let expected = rows(SAME_ROWS[0]);
    assert_eq!(expected.len(), 3);
    for name in SAME_ROWS {
        assert_eq!(rows(name), expected, "{name}");
    }
    insta::assert_snapshot!("three_rows", told(&Table::read(data(SAME_ROWS[0])).unwrap()));
}

#[test]
fn every_dialect_is_recognised() {
    let dialects: Vec<String> = SAME_ROWS
        .into_iter()
        .map(|name| {
            let Dialect { delimiter, encoding, bom, newline, final_newline, quoting, dates, numbers, words, headers, .. } =
                Table::read(data(name)).unwrap().dialect().clone();
            let thousands = if numbers.thousands { " with thousands" } else { "" };
            format!(
                "{name}: {delimiter:?} {encoding:?} bom={bom} {newline:?} ended={final_newline} quotes={quoting:?} \
                 {dates:?} {}{thousands} {words:?} {headers:?}",
                numbers.decimal
            )
        })
        .collect();
    insta::assert_snapshot!("dialects", dialects.join("\n"));
}

#[test]
fn an_edit_is_written_in_the_files_own_style() {
    let edits = [
        (Field::State, "sent"),
        (Field::Score, "88.25"),
        (Field::Rate, "1300.5"),
        (Field::AppliedOn, "2026-03-01"),
        (Field::AnswerOn, "2026-03-04"),
        (Field::Rtr, "no"),
        (Field::ContactPhone, "+43 1 2"),
        (Field::Notes, "drei\nZeilen;\t\"so\""),
    ];
    let mut written = Vec::new();
    for name in SAME_ROWS {
        let mut table = Table::read(data(name)).unwrap();
        for (field, value) in edits {
            assert_eq!(table.set(0, field, value), Ok(true), "{name}: {field}");
            assert_eq!(table.get(0, field).unwrap().as_deref(), Some(value));
        }
        let again = Table::read(table.to_bytes()).unwrap();
        assert_eq!(again.dialect(), table.dialect(), "{name}");
        for (field, value) in edits {
            assert_eq!(again.get(0, field).unwrap().as_deref(), Some(value), "{name}: {field}");
        }
        let place = |field| again.columns().place(field).unwrap();
        let cells: Vec<String> =
            edits.iter().map(|(field, _)| format!("{:?}", again.cell(0, place(*field)))).collect();
        written.push(format!("{name}: {}", cells.join(" ")));
    }
    insta::assert_snapshot!("edited", written.join("\n"));
}

#[test]
fn wrong_rows_are_named_and_the_others_go_on() {
    let mut table = Table::read(data("rows-with-errors.csv")).unwrap();
    insta::assert_snapshot!("wrong_rows", told(&table));
    // Where rows end is in doubt behind the open quote, so that nothing is written there.
    let last = table.len() - 1;
    assert_eq!(table.set(last, Field::Notes, "x"), Err(EditError::UnclosedQuote { line: 12 }));
    assert_eq!(table.set(0, Field::Notes, "x"), Ok(true));
    assert_eq!(table.append(&Row::new()), Err(EditError::UnclosedQuote { line: 12 }));
    let errors = table.values(2).unwrap_err();
    assert_eq!(errors, [RowError::Torn { line: 4, cells: 10, columns: 8 }]);
}

/// A row that ends early may be shortened; where the next one is the rest of it, it is broken.
#[test]
fn a_row_that_a_line_break_has_broken_in_two_says_nothing() {
    let text =
        "iid;Status;Titel;Notizen;RTR\r\n1;pending;Cloud\r\nArchitect;n;ja\r\n2;sent\r\n3;sent;B;n\r\n\r\n";
    let mut table = table(text);
    assert_eq!(table.values(0).unwrap_err(), [RowError::Torn { line: 2, cells: 3, columns: 5 }]);
    assert!(table.values(1).is_err(), "its rest has no iid");
    assert_eq!(table.set(0, Field::Notes, "x"), Err(EditError::NoRow));
    for row in [2, 3] {
        assert!(table.values(row).unwrap().is_some(), "shortened, with another row behind");
        assert_eq!(table.set(row, Field::Rtr, ""), Ok(false));
    }
    assert_eq!(table.to_bytes(), text.as_bytes());
}

/// As Excel writes rows whose last cells are blank, from the seventeenth on.
#[test]
fn cells_that_are_missing_at_the_end_are_blank() {
    let text = "iid;Titel;Status;Notizen;RTR\r\n1;A;pending\r\n2;B\r\n3;C;sent;;;;\r\n4;D;sent;;;;x\r\n";
    let mut table = table(text);
    let values = table.values(1).unwrap().unwrap();
    assert_eq!((values.get(Field::State), values.get(Field::Rtr)), (Some(""), Some("")));
    assert_eq!(table.values(3).unwrap_err(), [RowError::Torn { line: 5, cells: 7, columns: 5 }]);
    for row in 0..3 {
        assert_eq!(table.set(row, Field::Rtr, ""), Ok(false));
    }
    assert_eq!(table.to_bytes(), text.as_bytes());
    table.set(0, Field::Notes, "x").unwrap();
    table.set(1, Field::Rtr, "yes").unwrap();
    table.set(1, Field::State, "sent").unwrap();
    table.set(2, Field::Rtr, "no").unwrap();
    let written = "iid;Titel;Status;Notizen;RTR\r\n1;A;pending;x\r\n2;B;sent;;ja\r\n3;C;sent;;nein;;\r\n4;D;sent;;;;x\r\n";
    assert_eq!(String::from_utf8(table.to_bytes()).unwrap(), written);
    table.add_column(Field::Company).unwrap();
    let written = "iid;Titel;Status;Notizen;RTR;Firma\r\n1;A;pending;x\r\n2;B;sent;;ja;\r\n3;C;sent;;nein;;;\r\n\
                   4;D;sent;;;;;x\r\n";
    assert_eq!(String::from_utf8(table.to_bytes()).unwrap(), written);
}

#[test]
fn a_time_behind_a_day_stays_as_it_is() {
    let text = "Titel;Gespräch am\r\nA;07.02.2026 14:00\r\n";
    let mut table = table(text);
    assert_eq!(table.get(0, Field::InterviewOn).unwrap().as_deref(), Some("2026-02-07"));
    assert_eq!(table.set(0, Field::InterviewOn, "2026-02-07"), Ok(false));
    assert_eq!(table.to_bytes(), text.as_bytes());
}

#[test]
fn somebodys_own_file_keeps_its_columns_and_gets_iids() {
    let mut table = Table::read(data("own-order-and-columns.csv")).unwrap();
    insta::assert_snapshot!("own_file", told(&table));
    table.set(0, Field::Stage, "interview").unwrap();
    assert_eq!(table.set(0, Field::Iid, "12"), Err(EditError::NoColumn(Field::Iid)));
    table.add_column(Field::Iid).unwrap();
    assert_eq!(table.add_column(Field::Iid), Err(EditError::Column(Field::Iid)));
    table.set(0, Field::Iid, "12").unwrap();
    let row =
        table.append(&Row::from_iter([(Field::Title, "Neu".into()), (Field::Iid, "13".into())])).unwrap();
    assert_eq!(table.get(row, Field::Iid).unwrap().as_deref(), Some("13"));
    insta::assert_snapshot!(
        "own_file_edited",
        format!("{:?}", String::from_utf8(table.to_bytes()).unwrap()).replace("\\n", "\\n\n")
    );
}

#[test]
fn a_new_file_is_what_a_german_excel_opens_without_questions() {
    let mut table = Table::new(Dialect::of_a_new_file(Language::De));
    let values = [
        (Field::Iid, "12"),
        (Field::State, "approved"),
        (Field::Title, "=cmd|' /C calc'!A0"),
        (Field::Score, "97.5"),
        (Field::Created, "2026-02-01"),
        (Field::ContactPhone, "+43 664 123"),
        (Field::Rtr, "yes"),
        (Field::Notes, "-5"),
    ];
    table.append(&values.into_iter().map(|(field, value)| (field, value.to_owned())).collect()).unwrap();
    let bytes = table.to_bytes();
    assert!(bytes.starts_with(b"\xef\xbb\xbfiid;Status;Titel;Firma;Agentur;"));
    let row = "12;approved;'=cmd|' /C calc'!A0;;;;97,5;;;;;;;;01.02.2026;;;;;;;;;;'+43 664 123;ja;-5\r\n";
    assert!(bytes.ends_with(row.as_bytes()), "{}", String::from_utf8_lossy(&bytes));
    let again = Table::read(bytes).unwrap();
    for (field, value) in values {
        assert_eq!(again.get(0, field).unwrap().as_deref(), Some(value));
    }
    let english = Table::new(Dialect::of_a_new_file(Language::En));
    let names: Vec<&str> = Field::of_a_new_file().map(Field::as_str).collect();
    assert_eq!(english.columns().headers(), names);
}

#[test]
fn what_windows_1252_cannot_hold_makes_the_file_utf_8() {
    let mut table = Table::read(b"Titel;Notizen\r\nM\xfcller;\r\n".to_vec()).unwrap();
    table.set(0, Field::Notes, "Zoë €").unwrap();
    assert!(!table.is_widened());
    assert_eq!(table.to_bytes(), b"Titel;Notizen\r\nM\xfcller;Zo\xeb \x80\r\n");
    table.set(0, Field::Notes, "Łódź").unwrap();
    assert!(table.is_widened());
    assert_eq!(table.to_bytes(), "\u{feff}Titel;Notizen\r\nMüller;Łódź\r\n".as_bytes());
}

#[test]
fn what_windows_1252_would_say_otherwise_makes_the_file_utf_8() {
    // These two bytes are one letter in UTF-8, and the file would be taken for that.
    let mut table = Table::read(b"Titel;Notizen\r\nM\xfcller;\r\n".to_vec()).unwrap();
    table.set(0, Field::Title, "ß€").unwrap();
    assert!(table.is_widened());
    let again = Table::read(table.to_bytes()).unwrap();
    assert_eq!(again.get(0, Field::Title).unwrap().as_deref(), Some("ß€"));
}

#[test]
fn what_is_no_table_is_said_in_words() {
    for (bytes, words) in [
        (&b""[..], "the file is empty: not even headers"),
        (b"\xef\xbb\xbf", "the file is empty: not even headers"),
        (b"\r\n\n", "the file is empty: not even headers"),
        (b"sep=;\r\n", "the file is empty: not even headers"),
        (b"\xff\xfet\0i\0", "the file is in UTF-16 (\"Unicode text\"); save it as \"CSV UTF-8\""),
        (
            b"\xef\xbb\xbfTitel\r\nGr\xc3\xb6\xc3\x9fe\r\nM\xfcller\r\n",
            "the file says that it is in UTF-8, and its line 3 is not: a part of it was written by another program; save it as \"CSV UTF-8\"",
        ),
        (b"PK\x03\x04...", "the file is a workbook and no CSV file; save it as \"CSV UTF-8\""),
        (b"Titel;\"Notizen\n", "a quote in the headers is not closed"),
        (b"Firma;Ort\n", "no column is called `Titel` or `title`; the headers are: Firma, Ort"),
        (b"\0\0\0\0", "no column is called `Titel` or `title`; the headers are: "),
    ] {
        assert_eq!(Table::read(bytes.to_vec()).unwrap_err().to_string(), words);
    }
    assert!(matches!(Table::read(b"a".to_vec()), Err(TableError::Columns(_))));
}

#[test]
fn headers_alone_are_a_table_without_rows() {
    for text in ["Titel;Notizen", "Titel;Notizen\n", "title\r\n\r\n"] {
        let mut table = table(text);
        assert!(table.is_empty());
        assert_eq!(table.to_bytes(), text.as_bytes());
        table.append(&Row::from_iter([(Field::Title, "Rust".into())])).unwrap();
        assert_eq!(table.len(), 1);
        let again = Table::read(table.to_bytes()).unwrap();
        assert_eq!(again.get(0, Field::Title).unwrap().as_deref(), Some("Rust"));
        assert_eq!(again.line(0), table.line(0));
    }
    // A file of one column has no blank rows but such in quotes.
    let mut table = table("title\nRust\n");
    table.set(0, Field::Title, "").unwrap();
    assert_eq!(table.to_bytes(), b"title\n\"\"\n");
}

/// A spreadsheet takes bare digits for a number, which has no 0 in front.
#[test]
fn digits_with_a_0_in_front_are_kept_from_spreadsheets() {
    let mut table = table("Titel;Telefon;Externe Id;Satz;Beworben am;Notizen\r\n");
    let values = [
        (Field::Title, "Rust"),
        (Field::ContactPhone, "06641234567"),
        (Field::ExternalId, "007"),
        (Field::Rate, "0"),
        (Field::AppliedOn, "2026-02-07"),
        (Field::Notes, "0664 123"),
    ];
    table.append(&values.map(|(field, value)| (field, value.to_owned())).into_iter().collect()).unwrap();
    let text = String::from_utf8(table.to_bytes()).unwrap();
    assert!(text.ends_with("\r\nRust;'06641234567;'007;0;07.02.2026;0664 123\r\n"), "{text}");
    let mut again = Table::read(text.into_bytes()).unwrap();
    for (field, value) in values {
        assert_eq!(again.get(0, field).unwrap().as_deref(), Some(value));
        assert!(!again.set(0, field, value).unwrap(), "{field}");
    }
    again.set(0, Field::ContactPhone, "0123").unwrap();
    assert!(String::from_utf8(again.to_bytes()).unwrap().contains(";'0123;"));
    // Bare ones of somebody else's say what they say, and stay.
    let mut theirs = self::table("Titel;Telefon\r\nRust;0664\r\n");
    assert_eq!(theirs.get(0, Field::ContactPhone).unwrap().as_deref(), Some("0664"));
    assert!(!theirs.set(0, Field::ContactPhone, "0664").unwrap());
}

/// Any way to write a file.
fn dialects() -> impl Strategy<Value = Dialect> {
    let language = prop_oneof![Just(Language::De), Just(Language::En)];
    let newline = prop_oneof![Just(Newline::Lf), Just(Newline::CrLf), Just(Newline::Cr)];
    let quoting =
        prop_oneof![Just(Quoting::Needed), Just(Quoting::Texts), Just(Quoting::Filled), Just(Quoting::All)];
    let encoding = prop_oneof![
        Just((Encoding::Utf8, true)),
        Just((Encoding::Utf8, false)),
        Just((Encoding::Windows1252, false))
    ];
    let dates = prop_oneof![Just(DateStyle::Iso), Just(DateStyle::German), Just(DateStyle::GermanShort)];
    let delimiter = proptest::sample::select(Delimiter::ALL.to_vec());
    (language, newline, quoting, encoding, dates, delimiter, any::<bool>()).prop_map(
        |(language, newline, quoting, (encoding, bom), dates, delimiter, thousands)| Dialect {
            delimiter,
            encoding,
            bom,
            newline,
            quoting,
            dates,
            numbers: NumberStyle { thousands, ..NumberStyle::of(language) },
            ..Dialect::of_a_new_file(language)
        },
    )
}

/// Texts with everything in them that a file could trip over.
fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~äöüß€]{0,12}",
        "['=+@\t -]{1,4}[a-z0-9,.;\"]{0,6}",
        "[a;,\t\"\n']{0,12}",
        "[' ]{0,2}0[0-9]{0,9}",
        Just("Łódź".to_owned()),
    ]
}

/// Canonical values of a whole row.
fn rows() -> impl Strategy<Value = Row> {
    let day = || {
        (1970..2200_i16, 1..=12_i8, 1..=28_i8)
            .prop_map(|(year, month, day)| format!("{year:04}-{month:02}-{day:02}"))
    };
    let number = || {
        (0..10_000_u32, 0..100_u32).prop_map(|(whole, cents)| {
            format!("{whole}.{cents:02}").trim_end_matches('0').trim_end_matches('.').to_owned()
        })
    };
    let values = (
        (texts(), texts(), texts(), 1..u64::MAX, texts()),
        (proptest::option::of(day()), proptest::option::of(day()), number(), (0..=100_u8)),
        prop_oneof![Just(String::new()), Just("yes".into()), Just("no".into()), day()],
    );
    values.prop_map(|((title, notes, phone, iid, next), (applied, created, rate, share), rtr)| {
        Row::from_iter([
            (Field::Iid, iid.to_string()),
            (Field::State, "approved".to_owned()),
            (Field::Title, title),
            (Field::Score, share.to_string()),
            (Field::Remote, format!("{share} %")),
            (Field::Rate, rate),
            (Field::Url, "https://example.com/?a=1;b,c".to_owned()),
            (Field::Created, created.unwrap_or_default()),
            (Field::Stage, "offer".to_owned()),
            (Field::AppliedOn, applied.unwrap_or_default()),
            (Field::NextStep, next),
            (Field::ContactPhone, phone),
            (Field::Rtr, rtr),
            (Field::Notes, notes),
        ])
    })
}

proptest! {
    #[test]
    fn the_guard_against_formulas_is_exact(text in any::<String>(), signs in "['=+@\t\r -]{0,4}") {
        let text = format!("{signs}{text}");
        let guarded = formula::guard(&text);
        prop_assert_eq!(formula::unguard(&guarded), text.as_str());
        let shown = guarded.trim_start();
        let number = shown.trim_start_matches('-').chars().all(|c| c.is_ascii_digit() || c == '.' || c == ',');
        prop_assert!(!shown.starts_with(['=', '+', '@']) && (!shown.starts_with('-') || number), "{:?}", guarded);
    }

    #[test]
    fn the_reader_takes_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200), header in any::<bool>()) {
        let mut all = if header { b"title;notes;applied_on\n".to_vec() } else { Vec::new() };
        all.extend(&bytes);
        if let Ok(table) = Table::read(all.clone()) {
            prop_assert_eq!(table.to_bytes(), all);
            told(&table);
        }
    }

    #[test]
    fn the_reader_takes_any_signs(text in "[a;,\t\"\n\r' =x]{0,80}", bom in any::<bool>()) {
        let all = format!("{}Titel;Notizen;Farbe\r\n{text}", if bom { "\u{feff}" } else { "" });
        let mut table = table(&all);
        prop_assert_eq!(table.to_bytes(), all.as_bytes());
        told(&table);
        // Nor does a further column change what stands there, or make a torn row whole.
        let before: Vec<_> = (0..table.len()).map(|row| table.values(row).is_ok()).collect();
        if table.add_column(Field::Iid).is_ok() {
            let again = Table::read(table.to_bytes()).unwrap();
            let after: Vec<_> = (0..again.len()).map(|row| again.values(row).is_ok()).collect();
            // The cell of an iid is empty, so that a row that was right without one still is.
            prop_assert_eq!(before, after);
        }
    }

    #[test]
    fn an_edit_changes_its_cell_and_nothing_else(
        text in "[a;\"\n\r' ]{0,80}", value in texts(), chosen in any::<prop::sample::Index>(), dialect in dialects(),
    ) {
        let delimiter = char::from(dialect.delimiter.byte());
        let all = format!("Titel;Notizen;Farbe\r\na;b;c\r\n{text}").replace(';', &delimiter.to_string());
        let mut table = table(&all);
        let row = chosen.index(table.len());
        let cells = |table: &Table| -> Vec<Vec<String>> {
            let cell = |row, place| table.cell(row, place).into_owned();
            (0..table.len()).map(|row| (0..8).map(|place| cell(row, place)).collect()).collect()
        };
        let before = cells(&table);
        match table.set(row, Field::Notes, &value) {
            Ok(true) => {
                let again = Table::read(table.to_bytes()).unwrap();
                prop_assert_eq!(again.get(row, Field::Notes).unwrap(), Some(value));
                let mut after = cells(&again);
                prop_assert_eq!(after[row][1].as_str(), table.cell(row, 1));
                after[row][1].clone_from(&before[row][1]);
                prop_assert_eq!(after, before);
            }
            Ok(false) | Err(_) => prop_assert_eq!(table.to_bytes(), all.as_bytes()),
        }
    }

    #[test]
    fn what_is_exported_is_read_back(
        dialect in dialects(), rows in proptest::collection::vec(rows(), 1..6), edited in rows(),
    ) {
        let mut table = Table::new(dialect);
        for row in &rows {
            table.append(row).unwrap();
        }
        let exported = Table::read(table.to_bytes()).unwrap();
        for row in 0..rows.len() {
            prop_assert_eq!(exported.line(row), table.line(row));
        }
        for (field, value) in edited.iter() {
            table.set(0, field, value).unwrap();
        }
        let again = Table::read(table.to_bytes()).unwrap();
        prop_assert_eq!(again.len(), rows.len());
        for (number, row) in std::iter::once(&edited).chain(&rows[1..]).enumerate() {
            for (field, value) in row.iter() {
                prop_assert_eq!(table.get(number, field).unwrap(), Some(value.to_owned()), "{} in memory", field);
 prop_assert_eq!(again.get(number, field).unwrap(), Some(value.to_owned()), "{} read back", field);
            }
        }
        prop_assert_eq!(again.to_bytes(), table.to_bytes());
    }
}

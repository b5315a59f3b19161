//! A spreadsheet of 100,000 rows of 27 columns: into the mirror and out of it, and a sync after one row in a hundred was
//! edited. Each is a whole process, beside a plain program that does nothing but read CSV, write SQLite, and back.
//!
//! `cargo bench --bench spreadsheet` prints figures and fails where one is not as asked for; `benches/README.md` keeps them.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measurement"
)]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use rusqlite::{Connection, params_from_iter};
use serde_json::json;
use vorhoelle::domain::Application;
use vorhoelle::gitlab::Patience;

use support::figures::{self, Asked, figure};
use support::peak_mebibytes;
use support::place::Place;

const ROWS: u64 = 100_000;
/// What an export has: two more than were asked for.
const COLUMNS: usize = 27;
const RUNS: usize = 5;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [_, "plain-import", file, database] => plain_import(Path::new(file), Path::new(database)),
        [_, "plain-export", database, file] => plain_export(Path::new(database), Path::new(file)),
        _ => {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
            runtime.block_on(measure());
        }
    }
    figures::end()
}

/// Every row into a table of as many columns.
fn plain_import(file: &Path, database: &Path) {
    let mut connection = Connection::open(database).unwrap();
    connection.pragma_update(None, "journal_mode", "WAL").unwrap();
    connection.pragma_update(None, "synchronous", "NORMAL").unwrap();
    let columns: Vec<String> = (0..COLUMNS).map(|column| format!("c{column} TEXT")).collect();
    connection.execute(&format!("CREATE TABLE rows ({})", columns.join(", ")), []).unwrap();
    let transaction = connection.transaction().unwrap();
    let mut reader = csv::ReaderBuilder::new().delimiter(b';').from_path(file).unwrap();
    {
        let places = vec!["?"; COLUMNS].join(", ");
        let mut insert = transaction.prepare(&format!("INSERT INTO rows VALUES ({places})")).unwrap();
        let mut record = csv::StringRecord::new();
        while reader.read_record(&mut record).unwrap() {
            insert.execute(params_from_iter(record.iter())).unwrap();
        }
    }
    transaction.commit().unwrap();
}

/// And out again.
fn plain_export(database: &Path, file: &Path) {
    let connection = Connection::open(database).unwrap();
    let mut writer = csv::WriterBuilder::new().delimiter(b';').from_path(file).unwrap();
    let mut select = connection.prepare("SELECT * FROM rows").unwrap();
    let mut rows = select.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        for column in 0..COLUMNS {
            writer.write_field(row.get_ref(column).unwrap().as_str().unwrap()).unwrap();
        }
        writer.write_record(None::<&[u8]>).unwrap();
    }
    writer.flush().unwrap();
}

async fn measure() {
    let sheets = Sheets::new().await;
    let file = sheets.place.path("Bewerbungen.csv");

    let export = sheets.timed(&["csv", "export"], &file, || {
        drop(std::fs::remove_file(&file));
        sheets.forget_bases();
    });
    println!("{} bytes of spreadsheet", std::fs::metadata(&file).unwrap().len());
    let exported = std::fs::read(&file).unwrap();
    let import = sheets.timed(&["csv", "import"], &file, || sheets.forget_bases());
    assert!(std::fs::read(&file).unwrap() == exported, "an import of what was exported changes nothing");
    let sync = sheets.timed(&["csv", "sync"], &file, || {});
    let edited = sheets.timed(&["csv", "sync", "--dry-run"], &file, || edit(&file, &exported));

    let database = sheets.place.path("plain.sqlite");
    let own = std::env::current_exe().unwrap();
    let plain_import = timed(
        || {
            Command::new(&own)
                .arg("plain-import")
                .arg(&file)
                .arg(&database)
                .stdout(Stdio::null())
                .spawn()
                .unwrap()
        },
        || drop(std::fs::remove_file(&database)),
    );
    let copy = sheets.place.path("plain.csv");
    let plain_export = timed(
        || {
            Command::new(&own)
                .arg("plain-export")
                .arg(&database)
                .arg(&copy)
                .stdout(Stdio::null())
                .spawn()
                .unwrap()
        },
        || {},
    );
    for (what, ours, plain) in [("import", import, plain_import), ("export", export, plain_export)] {
        println!("{what}: {:.2?}; csv and SQLite alone {:.2?}", ours.time, plain.time);
        let ratio = ours.time.as_secs_f64() / plain.time.as_secs_f64();
        let rows = format!("{what} of {ROWS} rows × {COLUMNS} columns");
        figure(&format!("{rows}, against csv and SQLite alone"), Asked::AtMost(1.5), ratio, "");
        figure(&format!("memory for {rows}"), Asked::AtMost(150.0), ours.mebibytes, "MiB");
    }
    println!("sync of an unchanged file: {:.2?}, {:.0} MiB", sync.time, sync.mebibytes);
    println!("sync's plan with one row in a hundred edited: {:.0} MiB", edited.mebibytes);
    let seconds = edited.time.as_secs_f64();
    figure("the plan of its sync with one row in a hundred edited", Asked::AtMost(1.0), seconds, "s");
}

/// One row in a hundred gets another next step.
fn edit(file: &Path, exported: &[u8]) {
    let text = String::from_utf8(exported.to_vec()).unwrap();
    let edited: Vec<String> = text
        .split_inclusive('\n')
        .enumerate()
        .map(
            |(number, line)| {
                if number % 100 == 50 { line.replace("call back", "write again") } else { line.to_owned() }
            },
        )
        .collect();
    std::fs::write(file, edited.concat()).unwrap();
}

#[derive(Clone, Copy)]
struct Cost {
    time: Duration,
    mebibytes: f64,
}

/// The median of several runs, each after something is made ready.
fn timed(start: impl Fn() -> std::process::Child, ready: impl Fn()) -> Cost {
    let mut costs: Vec<Cost> = (0..RUNS)
        .map(|_| {
            ready();
            let started = Instant::now();
            let mut child = start();
            let mut mebibytes = f64::NAN;
            let status = loop {
                mebibytes = mebibytes.max(peak_mebibytes(child.id()));
                if let Some(status) = child.try_wait().unwrap() {
                    break status;
                }
                std::thread::sleep(Duration::from_millis(1));
            };
            assert!(status.success());
            Cost { time: started.elapsed(), mebibytes }
        })
        .collect();
    costs.sort_by_key(|cost| cost.time);
    costs[RUNS / 2]
}

/// A spreadsheet's mirror.
struct Sheets {
    place: Place,
    mirror: PathBuf,
}

impl Sheets {
    async fn new() -> Self {
        let place = Place::new().await;
        let mirror = place.path("mirror.sqlite");
        let engine = place.assemble(&mirror, Patience::default()).engine;
        let job = json!({
            "title": "Rust Engineer", "company": "Example", "agency": "Vermittlung GmbH", "score": 81.5,
            "url": "https://jobs.example/1", "source": "bench", "external_id": "1", "end_client": "Amt",
            "location": "Wien", "remote": 60, "rate": {"amount": 98.5, "currency": "EUR", "per": "hour"},
            "start": "sofort", "duration": "6 Monate",
        });
        let application: Application = serde_json::from_value(json!({
            "stage": "applied", "applied_on": "2026-02-07", "next_step": "call back",
            "notes": "Sie rufen an, sobald; \"alles\" geklärt ist.",
        }))
        .unwrap();
        place.fill(&engine, job, ROWS, |record, _| record.application = application.clone()).await;
        Self { place, mirror }
    }

    fn forget_bases(&self) {
        Connection::open(&self.mirror).unwrap().execute("DELETE FROM agreed", []).unwrap();
    }

    fn timed(&self, arguments: &[&str], file: &Path, ready: impl Fn()) -> Cost {
        timed(|| self.place.program(arguments, &self.mirror).arg(file).spawn().unwrap(), ready)
    }
}

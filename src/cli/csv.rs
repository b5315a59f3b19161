//! `vorhoelle csv export|import|sync FILE`: the applications tracker as a spreadsheet.

mod watch;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use indicatif::ProgressBar;

use super::{Context, print, progress, say};
use crate::csv::merge::Reason;
use crate::csv::sync::{Direction, Heard, Outcome, Run, SyncError};
use crate::csv::{CsvFile, FileError, Plan, Written};
use crate::engine::Engine;

/// How often a file is read again that changes while we work.
const TRIES: usize = 3;
/// How often it is looked whether a file has changed, or is still being written.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How many new rows of the file are told one by one after a run.
const NAMED: usize = 100;

/// The applications tracker as a spreadsheet.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  vorhoelle csv sync Bewerbungen.csv")]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Write what GitLab has into a file, in the file's own way.
    #[command(after_help = "Example:\n  vorhoelle csv export Bewerbungen.csv")]
    Export(Options),
    /// Make issues of a file's rows, and take over its tracker fields. Again: nothing changes.
    #[command(after_help = "Example:\n  vorhoelle csv import Bewerbungen.csv --dry-run")]
    Import(Options),
    /// Bring file and GitLab together, field by field; where both changed, GitLab wins.
    #[command(after_help = "Example:\n  vorhoelle csv sync Bewerbungen.csv --watch")]
    Sync {
        #[command(flatten)]
        options: Options,
        /// Go on whenever one of the two changes, until Ctrl-C.
        #[arg(long)]
        watch: bool,
    },
}

#[derive(Debug, clap::Args)]
struct Options {
    /// The file. `FILE.bak` is the one before, `FILE.conflicts.csv` holds what gave way to GitLab.
    file: PathBuf,
    /// Print what would be done, and do nothing.
    #[arg(long)]
    dry_run: bool,
    /// Print it as JSON.
    #[arg(long)]
    json: bool,
}

impl Options {
    fn open(&self) -> Result<CsvFile, FileError> {
        if self.dry_run { CsvFile::look_at(&self.file) } else { CsvFile::open(&self.file) }
    }
}

pub(super) async fn run(arguments: Arguments, context: &Context) -> anyhow::Result<ExitCode> {
    let (options, direction, watch) = match arguments.command {
        Command::Export(options) => (options, Direction::Export, false),
        Command::Import(options) => (options, Direction::Import, false),
        Command::Sync { options, watch } => (options, Direction::Sync, watch),
    };
    let engine = context.engine().await?;
    let code = if watch {
        watch::keep_in_sync(&engine, &options).await?
    } else {
        once(&engine, &options.open()?, &options, direction).await?.0
    };
    engine.mirror().checkpoint();
    Ok(code)
}

/// One run, with what it did told. Says whether all went well, and what the file was once it had been written.
async fn once(
    engine: &Engine,
    file: &CsvFile,
    options: &Options,
    direction: Direction,
) -> anyhow::Result<(ExitCode, Option<Written>)> {
    let mut so_far = Plan::default();
    let outcome = match carry_out(engine, file, options, direction, &mut so_far).await {
        Ok(outcome) => outcome,
        Err(error) => {
            // What GitLab took stays done, whatever became of the file.
            if !so_far.rows.is_empty() {
                tell(&Outcome { plan: so_far, ..Outcome::default() }, file, options)?;
                say("so much has GitLab taken; the file may not have been written");
            }
            return Err(error.into());
        }
    };
    tell(&outcome, file, options)?;
    let all_well = outcome.plan.errors.is_empty();
    Ok((if all_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }, outcome.written))
}

/// Works out what is to be done and does it, again where the file was changed meanwhile. Where that ends in an error,
/// `so_far` is what GitLab took.
async fn carry_out(
    engine: &Engine,
    file: &CsvFile,
    options: &Options,
    direction: Direction,
    so_far: &mut Plan,
) -> Result<Outcome, SyncError> {
    if options.dry_run {
        return Ok(Outcome { plan: Run::plan(engine, file, direction)?.shown(), ..Outcome::default() });
    }
    let mut tries = 0;
    loop {
        tries += 1;
        let names = if options.json { usize::MAX } else { NAMED };
        let run = Run::start(engine, file, direction, names)?;
        // From here on it writes to GitLab, beside `serve` if need be.
        engine.set_follows(true);
        let bar = progress::bar(run.steps());
        let done = run.carry_out(engine.clock().now(), |heard| show(&bar, heard)).await;
        bar.finish_and_clear();
        let (error, done) = match done {
            Ok(outcome) => {
                return Ok(Outcome { plan: std::mem::take(so_far).then(outcome.plan), ..outcome });
            }
            Err(SyncError::NotWritten { error, done }) => (error, done),
            Err(error) => return Err(error),
        };
        // What GitLab took is told with the rest; what the file was to get, it did not get.
        let errors = done.errors.clone();
        *so_far = std::mem::take(so_far).then(done).then(Plan { errors, ..Plan::default() });
        if tries == TRIES || !matches!(*error, SyncError::File(FileError::Changed { .. })) {
            return Err(*error);
        }
        until_settled(engine, file).await;
    }
}

/// Waits while somebody writes the file, until it is the same at two looks: cells that are not there yet would be cleared
/// in GitLab.
async fn until_settled(engine: &Engine, file: &CsvFile) {
    let mut before = None;
    loop {
        let now = Some(Written::now(file.path()));
        if now == before {
            return;
        }
        before = now;
        engine.clock().sleep(LOOK_EVERY).await;
    }
}

fn show(bar: &ProgressBar, heard: Heard) {
    match heard {
        Heard::Row => bar.inc(1),
        Heard::Waits(long) => progress::tell_of_waiting(bar, Some(long)),
        Heard::GoesOn => progress::tell_of_waiting(bar, None),
    }
}

fn tell(outcome: &Outcome, file: &CsvFile, options: &Options) -> anyhow::Result<()> {
    if options.json {
        print(&serde_json::to_string_pretty(&outcome.plan)?);
    } else {
        print(&outcome.plan.to_string());
        for error in &outcome.plan.errors {
            say(&format!("left out: {error}"));
        }
    }
    if outcome.file_changed {
        what_gave_way(&outcome.plan, file);
        what_is_left(&outcome.plan, file);
    }
    if outcome.widened {
        say("the file is in UTF-8 now: its old encoding cannot hold everything that it got");
    }
    Ok(())
}

/// Says where the file's values are that gave way to GitLab's.
fn what_gave_way(plan: &Plan, file: &CsvFile) {
    let conflicts = plan.summary().conflicts;
    if conflicts == 0 {
        return;
    }
    let kept = file.conflicts_path();
    say(&format!(
        "{conflicts} of the file's values gave way to GitLab's; they are kept in {}",
        kept.display()
    ));
    let mut reasons = plan.rows.iter().flat_map(|row| &row.plan.conflicts).map(|conflict| conflict.reason);
    if reasons.any(|reason| reason == Reason::NoBase) {
        say(
            "what the two had agreed on before is not known here (a first sync, or a new mirror), so that nobody can tell \
             which of them was edited",
        );
    }
}

/// Says where that still stands which stood in blanked rows.
fn what_is_left(plan: &Plan, file: &CsvFile) {
    if plan.summary().blanked == 0 {
        return;
    }
    let (backup, conflicts) = (file.backup_path(), file.conflicts_path());
    let also = if conflicts.exists() {
        format!(", and some of it may be in {}", conflicts.display())
    } else {
        String::new()
    };
    say(&format!(
        "what stood in blanked rows is still in the backup {}{also}: delete it there, and in copies of your own",
        backup.display()
    ));
}

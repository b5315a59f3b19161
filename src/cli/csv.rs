//! `vorhoelle csv export|import|sync FILE`: the applications tracker as a spreadsheet.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use indicatif::{ProgressBar, ProgressStyle};

use super::{Context, asked_to_stop, print, say, say_error};
use crate::csv::merge::Reason;
use crate::csv::sync::{Direction, Heard, Outcome, Run, SyncError};
use crate::csv::{CsvFile, FileError, Plan, Written};
use crate::engine::Engine;

/// How often a file is read again that changes while we work.
const TRIES: usize = 3;
/// How often `--watch` looks whether the file has changed.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long a stop waits for what GitLab is just being told.
const LAST_WRITE: Duration = Duration::from_secs(3);
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
        keep_in_sync(&engine, &options).await?
    } else {
        once(&engine, &options.open()?, &options, direction).await?.0
    };
    engine.mirror().checkpoint();
    Ok(code)
}

/// Again whenever the file was changed, or the service beside it heard of a change in GitLab, and as often as GitLab is
/// asked for changes anyway; until Ctrl-C. While a spreadsheet has the file open, or an editor has taken it away to save
/// it, that is waited for.
async fn keep_in_sync(engine: &Engine, options: &Options) -> anyhow::Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    let mut seen = None;
    let mut was_there = written(&options.file).is_some();
    let (mut is_first, mut is_waiting) = (true, false);
    // Said once of a wait and of each save during it.
    let mut said_of = None;
    let shown = || engine.mirror().rows_revision().ok();
    let mut shows = shown();
    // One for all rounds: a signal that comes during a run is heard as well.
    let mut stop = std::pin::pin!(asked_to_stop());
    let mut until_gitlab = tokio::time::Instant::now() + engine.policy().sync_interval;
    loop {
        let due = tokio::time::Instant::now() >= until_gitlab;
        let (is_edited, is_news) = (written(&options.file) != seen, shown() != shows);
        if is_first || due || is_waiting || is_edited || is_news {
            if due {
                until_gitlab = tokio::time::Instant::now() + engine.policy().sync_interval;
            }
            // What is written while we are at work is looked at again.
            let before = written(&options.file);
            shows = shown();
            // It was read a moment ago, unless the first look had to wait.
            let knows_gitlab = (is_first && !is_waiting) || (is_news && !due && !is_edited);
            let looked = tokio::select! {
                () = &mut stop => {
                    // What GitLab is just being told comes to its end; the run breaks off like any other.
                    let _ = tokio::time::timeout(LAST_WRITE, engine.ended()).await;
                    return Ok(code);
                }
                looked = sync_again(engine, options, was_there, knows_gitlab) => looked,
            };
            match looked {
                Ok((last, ours)) => {
                    code = last;
                    seen = ours.map_or(before, |ours| Some((ours.modified?, ours.size)));
                    (is_first, is_waiting, was_there) = (false, false, true);
                }
                Err(error) => match waits_for(&error) {
                    Some(what) => {
                        if !is_waiting || said_of != before {
                            say(&what);
                        }
                        (is_waiting, said_of) = (true, before);
                    }
                    None if is_first => return Err(error),
                    None => {
                        say_error(&format!("{error:#}; it is tried again"));
                        (seen, is_waiting) = (before, false);
                    }
                },
            }
        }
        tokio::select! {
            () = &mut stop => return Ok(code),
            () = engine.clock().sleep(LOOK_EVERY) => {}
        }
    }
}

/// Syncs once, after a look at what is new in GitLab unless that has just been done. Tells what was written.
async fn sync_again(
    engine: &Engine,
    options: &Options,
    was_there: bool,
    knows_gitlab: bool,
) -> anyhow::Result<(ExitCode, Option<Written>)> {
    let mut file = options.open()?;
    if was_there {
        file = file.that_was_there();
    }
    // Before GitLab is asked, for it may take hours until the file is closed.
    file.check_closed()?;
    file.read()?;
    if !knows_gitlab {
        engine.set_follows(false);
        engine.delta().await?;
        engine.work_off().await;
    }
    once(engine, &file, options, Direction::Sync).await
}

/// What `--watch` waits for, where that is all that is wrong.
fn waits_for(error: &anyhow::Error) -> Option<String> {
    let file = match error.downcast_ref::<SyncError>() {
        Some(SyncError::File(file)) => Some(file),
        _ => error.downcast_ref::<FileError>(),
    };
    match file? {
        FileError::Open { path, program } => {
            Some(format!("{} is open in {program}; it is synced when it is closed there", path.display()))
        }
        FileError::Missing { path } => {
            Some(format!("{} is not there; it is synced when it is there again", path.display()))
        }
        _ => None,
    }
}

fn written(file: &Path) -> Option<(SystemTime, u64)> {
    let metadata = std::fs::metadata(file).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

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
                say("so much has GitLab taken; the file was not written");
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
        let bar = bar(run.steps());
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
        if tries == TRIES || !matches!(error, FileError::Changed { .. }) {
            return Err(error.into());
        }
    }
}

fn bar(rows: usize) -> ProgressBar {
    let bar = ProgressBar::new(rows as u64);
    match ProgressStyle::with_template("{wide_bar} {pos}/{len} {msg}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

fn show(bar: &ProgressBar, heard: Heard) {
    match heard {
        Heard::Row => bar.inc(1),
        Heard::Waits(long) => bar.set_message(format!("GitLab asks to wait {} s", long.as_secs())),
        Heard::GoesOn => bar.set_message(""),
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

//! `vorhoelle csv export|import|sync FILE`: the applications tracker as a spreadsheet.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use indicatif::ProgressBar;

use super::{Context, asked_to_stop, print, say, say_error};
use crate::csv::sync::{Direction, Outcome, Run, SyncError};
use crate::csv::{CsvFile, FileError};
use crate::engine::Engine;

/// How often a file is read again that changes while we work.
const TRIES: usize = 3;
/// How often `--watch` looks whether the file has changed.
const LOOK_EVERY: Duration = Duration::from_secs(2);

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

pub(super) async fn run(arguments: Arguments, context: &Context) -> anyhow::Result<ExitCode> {
    let (options, direction, watch) = match arguments.command {
        Command::Export(options) => (options, Direction::Export, false),
        Command::Import(options) => (options, Direction::Import, false),
        Command::Sync { options, watch } => (options, Direction::Sync, watch),
    };
    let engine = context.engine().await?;
    let mut code = once(&engine, &options, direction).await?;
    if watch {
        code = keep_in_sync(&engine, &options, code).await;
    }
    engine.mirror().checkpoint();
    Ok(code)
}

/// Again whenever the file was changed, and as often as GitLab is asked for changes anyway; until Ctrl-C.
async fn keep_in_sync(engine: &Engine, options: &Options, mut code: ExitCode) -> ExitCode {
    let mut seen = written(&options.file);
    let mut until_gitlab = tokio::time::Instant::now() + engine.policy().sync_interval;
    loop {
        tokio::select! {
            () = asked_to_stop() => return code,
            () = engine.clock().sleep(LOOK_EVERY) => {}
        }
        let due = tokio::time::Instant::now() >= until_gitlab;
        if written(&options.file) == seen && !due {
            continue;
        }
        if due {
            until_gitlab = tokio::time::Instant::now() + engine.policy().sync_interval;
        }
        match after_a_look_at_gitlab(engine, options).await {
            Ok(last) => code = last,
            Err(error) => say_error(&format!("{error:#}; it is tried again")),
        }
        seen = written(&options.file);
    }
}

async fn after_a_look_at_gitlab(engine: &Engine, options: &Options) -> anyhow::Result<ExitCode> {
    engine.set_follows(false);
    engine.delta().await?;
    engine.work_off().await;
    once(engine, options, Direction::Sync).await
}

fn written(file: &Path) -> Option<(SystemTime, u64)> {
    let metadata = std::fs::metadata(file).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

async fn once(engine: &Engine, options: &Options, direction: Direction) -> anyhow::Result<ExitCode> {
    let file = CsvFile::open(&options.file)?;
    let mut tries = 0;
    let outcome = loop {
        tries += 1;
        let run = Run::plan(engine, &file, direction)?;
        if options.dry_run {
            break Outcome { plan: run.shown(), ..Outcome::default() };
        }
        // From here on it writes to GitLab, beside `serve` if need be.
        engine.set_follows(true);
        let bar = ProgressBar::new(run.steps() as u64);
        let done = run.carry_out(engine.clock().now(), || bar.inc(1)).await;
        bar.finish_and_clear();
        match done {
            Err(SyncError::File(FileError::Changed { .. })) if tries < TRIES => {}
            other => break other?,
        }
    };
    tell(&outcome, &file, options)?;
    let all_well = outcome.plan.errors.is_empty();
    Ok(if all_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn tell(outcome: &Outcome, file: &CsvFile, options: &Options) -> anyhow::Result<()> {
    if options.json {
        print(&serde_json::to_string_pretty(&outcome.plan)?);
    } else {
        print(&outcome.plan.to_string());
    }
    let conflicts = outcome.plan.summary().conflicts;
    if conflicts > 0 && outcome.file_changed {
        say(&format!(
            "{conflicts} of the file's values gave way to GitLab's; they are kept in {}",
            file.conflicts_path().display()
        ));
    }
    if outcome.widened {
        say("the file is in UTF-8 now: its old encoding cannot hold everything that it got");
    }
    Ok(())
}

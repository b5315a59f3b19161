//! `csv sync FILE --watch`: again whenever one of the two sides changed.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::super::{asked_to_stop, say, say_error};
use super::{Options, once};
use crate::csv::sync::{Direction, SyncError};
use crate::csv::{FileError, Written};
use crate::engine::Engine;

/// How often it is looked whether the file has changed.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long a stop waits for what GitLab is just being told.
const LAST_WRITE: Duration = Duration::from_secs(3);

/// When a file was written and how large it is; none where it is not there.
type Stamp = Option<(SystemTime, u64)>;

/// Syncs whenever the file was changed, or the service beside this heard of a change in GitLab, and as often as GitLab is
/// asked for changes anyway; until Ctrl-C. While a spreadsheet has the file open, or an editor has taken it away to save
/// it, that is waited for.
pub(super) async fn keep_in_sync(engine: &Engine, options: &Options) -> anyhow::Result<ExitCode> {
    let mut watch = Watch::new(engine, options);
    // One for all rounds: a signal that comes during a run is heard as well.
    let mut stop = std::pin::pin!(asked_to_stop());
    loop {
        if let Some(cause) = watch.cause() {
            tokio::select! {
                () = &mut stop => {
                    // What GitLab is just being told comes to its end; the run breaks off like any other.
                    let _ = tokio::time::timeout(LAST_WRITE, engine.ended()).await;
                    break;
                }
                round = watch.round(&cause) => round?,
            }
        }
        tokio::select! {
            () = &mut stop => break,
            () = engine.clock().sleep(LOOK_EVERY) => {}
        }
    }
    Ok(watch.code)
}

/// What is known between two rounds.
struct Watch<'a> {
    engine: &'a Engine,
    options: &'a Options,
    /// How the last round that came to its end went.
    code: ExitCode,
    /// Whether there was one that did.
    has_synced: bool,
    /// Whether the file was there once: one that is away now is not made anew.
    was_there: bool,
    /// The file after the last round.
    seen: Stamp,
    /// What the mirror showed at the last round.
    shows: Option<i64>,
    /// When GitLab is asked for changes again.
    next_delta: Instant,
    /// While others have the file: how it was when that was said.
    waits: Option<Stamp>,
}

/// What makes a round necessary, beside a wait.
struct Cause {
    delta_is_due: bool,
    is_edited: bool,
    is_news: bool,
}

impl<'a> Watch<'a> {
    fn new(engine: &'a Engine, options: &'a Options) -> Self {
        Self {
            engine,
            options,
            code: ExitCode::SUCCESS,
            has_synced: false,
            was_there: stamp(&options.file).is_some(),
            seen: None,
            shows: engine.mirror().rows_revision().ok(),
            next_delta: Instant::now() + engine.policy().sync_interval,
            waits: None,
        }
    }

    /// Why there is to be a round now, if there is.
    fn cause(&self) -> Option<Cause> {
        let cause = Cause {
            delta_is_due: Instant::now() >= self.next_delta,
            is_edited: stamp(&self.options.file) != self.seen,
            is_news: self.engine.mirror().rows_revision().ok() != self.shows,
        };
        let has_changed = cause.delta_is_due || cause.is_edited || cause.is_news;
        (has_changed || !self.has_synced || self.waits.is_some()).then_some(cause)
    }

    /// Syncs, and notes what came of it.
    ///
    /// # Errors
    ///
    /// Where the first sync fails; what fails later is said and tried again.
    async fn round(&mut self, cause: &Cause) -> anyhow::Result<()> {
        if cause.delta_is_due {
            self.next_delta = Instant::now() + self.engine.policy().sync_interval;
        }
        // What is written while we are at work is looked at again.
        let before = stamp(&self.options.file);
        self.shows = self.engine.mirror().rows_revision().ok();
        match self.sync(self.knows_gitlab(cause)).await {
            Ok((code, ours)) => {
                self.code = code;
                self.seen = ours.map_or(before, |ours| Some((ours.modified?, ours.size)));
                self.waits = None;
                (self.has_synced, self.was_there) = (true, true);
                Ok(())
            }
            Err(error) => self.failed(error, before),
        }
    }

    /// Whether GitLab was asked a moment ago: by the command itself unless the first round had to wait, or by the service
    /// whose news this is.
    const fn knows_gitlab(&self, cause: &Cause) -> bool {
        let is_first = !self.has_synced && self.waits.is_none();
        is_first || (cause.is_news && !cause.delta_is_due && !cause.is_edited)
    }

    /// Syncs once. Tells what was written.
    async fn sync(&self, knows_gitlab: bool) -> anyhow::Result<(ExitCode, Option<Written>)> {
        let mut file = self.options.open()?;
        if self.was_there {
            file = file.that_was_there();
        }
        // Before GitLab is asked, for it may take hours until the file is closed.
        file.check_closed()?;
        file.read()?;
        if !knows_gitlab {
            self.engine.set_follows(false);
            self.engine.delta().await?;
            self.engine.work_off().await;
        }
        once(self.engine, &file, self.options, Direction::Sync).await
    }

    fn failed(&mut self, error: anyhow::Error, before: Stamp) -> anyhow::Result<()> {
        if let Some(what) = waits_for(&error) {
            // Said once of a wait, and of each save during it.
            if self.waits != Some(before) {
                say(&what);
            }
            self.waits = Some(before);
        } else if self.has_synced {
            say_error(&format!("{error:#}; it is tried again"));
            (self.seen, self.waits) = (before, None);
        } else {
            return Err(error);
        }
        Ok(())
    }
}

/// What is waited for, where that is all that is wrong.
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

fn stamp(file: &Path) -> Stamp {
    let metadata = std::fs::metadata(file).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

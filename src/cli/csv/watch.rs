//! `csv sync FILE --watch`: again whenever one of the two sides changed.

use std::fs::File;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use tokio::time::Instant;

use super::super::{asked_to_stop, say, say_error};
use super::{LOOK_EVERY, Options, once};
use crate::csv::sync::{Direction, SyncError};
use crate::csv::{CsvFile, FileError, Written};
use crate::engine::Engine;

/// How long a stop waits for what GitLab is just being told.
const LAST_WRITE: Duration = Duration::from_secs(3);

/// When a file was written and how large it is; none where it is not there.
type Stamp = Option<Written>;

/// Syncs whenever the file was changed, or the service beside this heard of a change in GitLab, and as often as GitLab is
/// asked for changes anyway; until Ctrl-C. While a spreadsheet has the file open, or a program is saving it or has taken it
/// away for that, that is waited for.
pub(super) async fn keep_in_sync(engine: &Engine, options: &Options) -> anyhow::Result<ExitCode> {
    let mut watch = Watch::new(engine, options);
    // One for all rounds: a signal that comes during a run is heard as well.
    let mut stop = std::pin::pin!(asked_to_stop());
    loop {
        watch.look_at_backup();
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
    /// The file at the last look, where there was one.
    looked_at: Option<Stamp>,
    /// What the last round put its file in the place of.
    replaced: Option<Replaced>,
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
            // An empty one is filled as a new one is.
            was_there: Written::now(&options.file).is_some_and(|file| file.size > 0),
            seen: None,
            looked_at: None,
            replaced: None,
            shows: engine.mirror().rows_revision().ok(),
            next_delta: Instant::now() + engine.policy().sync_interval,
            waits: None,
        }
    }

    /// Why there is to be a round now, if there is. There is none while somebody writes the file: cells that are not there
    /// yet would be cleared in GitLab.
    fn cause(&mut self) -> Option<Cause> {
        let now = Written::now(&self.options.file);
        let before = self.looked_at.replace(now);
        let is_edited = now != self.seen;
        if is_edited && before != Some(now) {
            return None;
        }
        let cause = Cause {
            delta_is_due: Instant::now() >= self.next_delta,
            is_edited,
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
        // What is written from here on is looked at again.
        let before = self.looked_at.flatten();
        self.shows = self.engine.mirror().rows_revision().ok();
        match self.sync(before, self.knows_gitlab(cause)).await {
            Ok((code, ours)) => {
                self.code = code;
                self.seen = ours.or(before);
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

    /// Syncs once what the file was at the last look. Tells what was written.
    async fn sync(
        &mut self,
        before: Stamp,
        knows_gitlab: bool,
    ) -> anyhow::Result<(ExitCode, Option<Written>)> {
        let mut file = self.options.open()?;
        if self.was_there {
            file = file.that_was_there();
        }
        if let Some(before) = before {
            file = file.as_it_was(before);
        }
        // Before GitLab is asked, for it may take hours until the file is closed.
        file.check_closed()?;
        file.read()?;
        if !knows_gitlab {
            self.engine.set_follows(false);
            self.engine.delta().await?;
            self.engine.work_off().await;
        }
        // Held open it might keep the next one from taking its place, as on a network drive.
        self.replaced = None;
        let (code, ours) = once(self.engine, &file, self.options, Direction::Sync).await?;
        if ours.is_some() {
            self.replaced = Replaced::by(&file);
        }
        Ok((code, ours))
    }

    /// Says so once where a program writes on into the file that we replaced.
    fn look_at_backup(&mut self) {
        if let Some(replaced) = self.replaced.take_if(|replaced| replaced.is_changed()) {
            say(&format!(
                "{} was changed: a program that had {} open before the last sync is writing into what is the backup \
                 now. Copy it to another name before the next sync replaces it, and put what is missing into {}",
                replaced.backup.display(),
                self.options.file.display(),
                self.options.file.display()
            ));
        }
    }

    fn failed(&mut self, error: anyhow::Error, before: Stamp) -> anyhow::Result<()> {
        if matches!(file_error(&error), Some(FileError::Changed { .. })) {
            // Somebody writes it: what it is then is synced, when it has settled.
        } else if let Some(what) = waits_for(&error) {
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

/// A file that was replaced, which is the backup now.
struct Replaced {
    backup: PathBuf,
    /// Held open: whatever the next one becomes, this one is looked at.
    file: File,
    was: Written,
}

impl Replaced {
    fn by(file: &CsvFile) -> Option<Self> {
        let backup = file.backup_path();
        let file = File::open(&backup).ok()?;
        let was = Written::from(&file.metadata().ok()?);
        Some(Self { backup, file, was })
    }

    fn is_changed(&self) -> bool {
        self.file.metadata().is_ok_and(|now| Written::from(&now) != self.was)
    }
}

/// What is wrong with the file, where that is it.
fn file_error(error: &anyhow::Error) -> Option<&FileError> {
    match error.downcast_ref::<SyncError>() {
        Some(SyncError::File(file)) => Some(file),
        _ => error.downcast_ref::<FileError>(),
    }
}

/// What is waited for, where that is all that is wrong.
fn waits_for(error: &anyhow::Error) -> Option<String> {
    match file_error(error)? {
        FileError::Open { path, program } => {
            Some(format!("{} is open in {program}; it is synced when it is closed there", path.display()))
        }
        FileError::Missing { path } => {
            Some(format!("{} is not there; it is synced when it is there again", path.display()))
        }
        _ => None,
    }
}

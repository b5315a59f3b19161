//! A run over a file: what is to be done, done, and written back.
//!
//! What both sides say alike becomes the base as they are looked at. GitLab gets everything first. What it took becomes the
//! base before the file is written, so that an edit made meanwhile is one; then the file is written, and what it got, its
//! new rows too, becomes the base. Killed in between, the next run finds issues that were staged by their fingerprints and
//! values that both sides have already.

mod apply;
mod compare;

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use jiff::Timestamp;

use apply::{Done, Gitlab, Work};
use compare::{Look, left_of_erased};

use super::canonical::Days;
use super::conflicts_file::Lost;
use super::error::{EditError, RowError};
use super::field::Field;
use super::file::{CsvFile, FileError, Fingerprint as FileFingerprint, Written};
use super::plan::{Action, Plan, PlannedRow};
use super::{Dialect, Table, TableError};
use crate::domain::Language;
use crate::engine::{Engine, EngineError};
use crate::mirror::{Agreed, MirrorError, NewRows};

/// Rows that are carried out at the same time.
const AT_ONCE: usize = 4;

/// Which way values go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// GitLab's into the file.
    Export,
    /// The file's into GitLab; issues without a row stay without one.
    Import,
    /// Both.
    Sync,
}

/// Why a run ended early. What it had done until then stays done, and the next run goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// The file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// GitLab was told, and that could not be written down, in the file or in the mirror; a file that was changed meanwhile has
    /// to be read again.
    #[error("{error}")]
    NotWritten {
        /// What failed, and why.
        error: Box<SyncError>,
        /// What GitLab took until then.
        done: Plan,
    },
    /// The file is no table.
    #[error("{path}: {error}", path = path.display())]
    Table {
        /// The file.
        path: PathBuf,
        /// Why it is none.
        error: TableError,
    },
    /// A cell cannot be written.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// GitLab or the mirror did not do its part.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl From<MirrorError> for SyncError {
    fn from(error: MirrorError) -> Self {
        EngineError::Mirror(error).into()
    }
}

/// How a run fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// GitLab has heard of a row.
    Row,
    /// GitLab asks to wait so long; a row waits.
    Waits(Duration),
    /// A row that waited goes on.
    GoesOn,
}

/// A file as it was read, and what is to be done about it.
pub struct Run<'a> {
    engine: &'a Engine,
    file: &'a CsvFile,
    read: Option<FileFingerprint>,
    table: Table,
    days: Days,
    work: Vec<Work>,
    /// Matches that got a row, the first of them.
    appended: Vec<PlannedRow>,
    /// How many of them are named, and how many more there are.
    names: usize,
    more_appended: usize,
    /// All of them, as the mirror notes them.
    new_rows: NewRows,
    errors: Vec<RowError>,
    /// Whether what both sides agree on is noted in the mirror.
    notes: bool,
}

/// What a run did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// What was done, and what was wrong.
    pub plan: Plan,
    /// Whether the file was written.
    pub file_changed: bool,
    /// What the file was once it was written: whatever it is otherwise is somebody's edit.
    pub written: Option<Written>,
    /// Whether the file became UTF-8 because its old encoding cannot hold what it got.
    pub widened: bool,
}

impl<'a> Run<'a> {
    /// Reads the file and works out what would be done, without doing any of it. A file that is not there, or empty, would
    /// be made by an export or a sync.
    ///
    /// # Errors
    ///
    /// Where the file is none or cannot be read.
    pub fn plan(engine: &'a Engine, file: &'a CsvFile, direction: Direction) -> Result<Self, SyncError> {
        Self::look(engine, file, direction, (false, usize::MAX))
    }

    /// As [`Run::plan`], to be carried out. Of the matches that get a row the plan names so many, and counts the others:
    /// nobody reads a line for each of a hundred thousand.
    ///
    /// # Errors
    ///
    /// Where the file is none, cannot be read or is open in a spreadsheet, or the mirror's disk fails.
    pub fn start(
        engine: &'a Engine,
        file: &'a CsvFile,
        direction: Direction,
        names: usize,
    ) -> Result<Self, SyncError> {
        // A run that is going to be refused notes nothing of what both sides agree on, nor how its days are counted.
        file.check_closed()?;
        Self::look(engine, file, direction, (true, names))
    }

    fn look(
        engine: &'a Engine,
        file: &'a CsvFile,
        direction: Direction,
        (notes, names): (bool, usize),
    ) -> Result<Self, SyncError> {
        let path = || file.path().to_owned();
        let (table, read) = match file.read()? {
            Some((bytes, read)) => (Table::read(bytes), Some(read)),
            None if direction == Direction::Import => return Err(FileError::Missing { path: path() }.into()),
            None => (Err(TableError::Empty), None),
        };
        let table = match table {
            // One that a watch knows was emptied by somebody who is not done, or failed: its columns are in the backup.
            Err(TableError::Empty) if direction != Direction::Import && !file.must_be_there() => {
                Table::new(Dialect::of_a_new_file(Language::De))
            }
            table => table.map_err(|error| SyncError::Table { path: path(), error })?,
        };
        let days = Days::of_this_machine();
        let (work, appended, more_appended, new_rows, errors) = Default::default();
        let mut run = Self {
            engine,
            file,
            read,
            table,
            days,
            work,
            appended,
            names,
            more_appended,
            new_rows,
            errors,
            notes,
        };
        Look::new(&mut run, direction)?.at_everything()?;
        Ok(run)
    }

    /// What is to be done.
    pub fn shown(&self) -> Plan {
        let (more_appended, errors) = (self.more_appended, self.errors.clone());
        let mut plan = Plan { more_appended, errors, ..Plan::default() };
        for work in &self.work {
            plan.push(work.shown());
        }
        plan.rows.extend_from_slice(&self.appended);
        plan
    }

    /// How many rows GitLab has to hear of.
    pub fn steps(&self) -> usize {
        self.work.iter().filter(|work| work.concerns_gitlab()).count()
    }

    fn key(&self) -> String {
        self.file.path().to_string_lossy().into_owned()
    }

    /// Does it: GitLab, then the file, then the base. `tell` is called for every row that GitLab has heard of, and where
    /// GitLab asks to wait.
    ///
    /// # Errors
    ///
    /// Where the file was changed meanwhile (read it again), or cannot be written.
    pub async fn carry_out(
        mut self,
        now: Timestamp,
        tell: impl Fn(Heard) + Sync,
    ) -> Result<Outcome, SyncError> {
        self.file.check_closed()?;
        if self.steps() > 0 {
            // GitLab is told nothing that the file could not be told.
            self.file.check_writable()?;
        }
        let mut done = self.tell_gitlab(&tell).await;
        let written = self.write_down(&mut done, now);
        let mut plan = Plan { errors: std::mem::take(&mut self.errors), ..Plan::default() };
        done.into_iter().for_each(|done| plan.push(done.shown));
        let written = match written {
            Ok(written) => written,
            Err(error) => return Err(SyncError::NotWritten { error: Box::new(error), done: plan }),
        };
        plan.rows.append(&mut self.appended);
        plan.more_appended = self.more_appended;
        Ok(Outcome { plan, file_changed: written.is_some(), written, widened: self.table.is_widened() })
    }

    /// What GitLab took becomes the base, then the file is written, then what that got becomes the base.
    fn write_down(&mut self, done: &mut [Done], now: Timestamp) -> Result<Option<Written>, SyncError> {
        let taken: Vec<Agreed> = done.iter_mut().filter_map(|done| done.before_writing.take()).collect();
        let agreed = self.write_rows(done)?;
        let (mirror, key) = (self.engine.mirror(), self.key());
        if !taken.is_empty() {
            mirror.agree(&key, self.days.name(), &taken)?;
        }
        let written = self.write_file(done, now)?;
        mirror.agree_on_written(&key, self.days.name(), &agreed, &self.new_rows)?;
        Ok(written)
    }

    /// Tells GitLab of every row, several at once.
    async fn tell_gitlab(&mut self, tell: &(dyn Fn(Heard) + Sync)) -> Vec<Done> {
        let work = std::mem::take(&mut self.work);
        let (days, table, gitlab) = (&self.days, &self.table, &Gitlab { engine: self.engine, tell });
        let each = |work: Work| async move {
            let concerns_gitlab = work.concerns_gitlab();
            let done = work.carry_out(gitlab, days, table).await;
            if concerns_gitlab {
                tell(Heard::Row);
            }
            done
        };
        stream::iter(work).map(each).buffered(AT_ONCE).collect().await
    }

    /// Writes what the rows get, and takes over what GitLab did not take of them. Tells what both sides agree on once the
    /// file is written.
    fn write_rows(&mut self, done: &mut [Done]) -> Result<Vec<Agreed>, SyncError> {
        let mut agreed = Vec::new();
        for done in done {
            self.errors.append(&mut done.problems);
            // Where the row cannot be written, what it was to get is not agreed on.
            if self.write_row(done)? {
                agreed.extend(done.afterwards.take());
            } else {
                done.shown.plan.to_file.clear();
                done.shown.plan.conflicts.clear();
            }
        }
        self.errors.sort_by_key(RowError::line);
        Ok(agreed)
    }

    /// Writes what a row gets. Says whether it could: behind a quote that is never closed nothing can be written.
    fn write_row(&mut self, done: &Done) -> Result<bool, SyncError> {
        let Some(iid) = done.shown.iid else { return Ok(true) };
        let mut cells = Vec::new();
        if done.without_iid {
            cells.push((Field::Iid, iid.to_string()));
        }
        if done.shown.action == Action::Blank {
            let fields = self.table.columns().fields().map(|(field, _)| field);
            cells.extend(fields.map(|field| (field, left_of_erased(field, iid, &done.shown.title))));
        }
        let to_file = done.shown.plan.to_file.iter().filter(|change| change.field != Field::Iid);
        cells.extend(to_file.map(|change| (change.field, change.to.clone())));
        for (field, value) in cells {
            if field == Field::Iid && self.table.columns().place(field).is_none() {
                match self.table.add_column(field) {
                    // The row is found again by its cells.
                    Err(EditError::UnclosedQuote { .. }) => continue,
                    other => other?,
                }
            }
            match self.table.set(done.row, field, &value) {
                Err(EditError::UnclosedQuote { .. }) => return Ok(false),
                other => other?,
            };
        }
        Ok(true)
    }

    fn write_file(&self, done: &[Done], now: Timestamp) -> Result<Option<Written>, FileError> {
        if !self.table.is_changed() {
            return Ok(None);
        }
        let lost: Vec<Lost<'_>> = done
            .iter()
            .flat_map(|done| {
                let PlannedRow { line, iid, plan, .. } = &done.shown;
                let (line, iid) = (line.unwrap_or_default(), *iid);
                plan.conflicts.iter().map(move |conflict| Lost { line, iid, conflict })
            })
            .collect();
        self.file.keep_conflicts(&lost, self.table.dialect(), now)?;
        // What was noted goes into the mirror's file while the disk takes the spreadsheet.
        let mirror = self.engine.mirror();
        thread::scope(|scope| {
            scope.spawn(|| mirror.checkpoint_early());
            self.file.replace(self.read.as_ref(), |writer| self.table.write_to(writer)).map(Some)
        })
    }
}

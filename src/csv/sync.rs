//! A run over a file: what is to be done, done, and written back.
//!
//! GitLab gets everything first, then the file, then the base in the mirror. Killed in between, the next run finds
//! issues that were staged by their fingerprints and values that both sides have already.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::conflicts::Lost;
use super::error::{EditError, RowError};
use super::field::{Field, Row};
use super::file::{CsvFile, FileError, Fingerprint as FileFingerprint};
use super::merge::{RowPlan, merge};
use super::plan::{Action, Plan, PlannedRow};
use super::record::{self, Known};
use super::{Dialect, Table, TableError};
use crate::domain::history::Through;
use crate::domain::identity::Fingerprint;
use crate::domain::{JobMatch, Language, State};
use crate::engine::{ApplicationError, Decision, DecisionError, Engine, EngineError, StagingError};
use crate::mirror::{MirrorError, Record};

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
    /// The file is no table.
    #[error(transparent)]
    Table(#[from] TableError),
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

/// A file as it was read, and what is to be done about it.
pub struct Run<'a> {
    engine: &'a Engine,
    file: &'a CsvFile,
    read: Option<FileFingerprint>,
    table: Table,
    work: Vec<Work>,
    errors: Vec<RowError>,
}

/// One row's part of a run.
struct Work {
    row: Option<usize>,
    line: Option<u32>,
    iid: Option<u64>,
    action: Action,
    values: Row,
    known: Row,
    base: Option<Row>,
    plan: RowPlan,
    /// What is staged.
    job: Option<(Box<JobMatch>, Uuid, State)>,
    title: String,
}

/// What a run did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// What was done, and what was wrong.
    pub plan: Plan,
    /// Whether the file was written.
    pub file_changed: bool,
    /// Whether the file became UTF-8 because its old encoding cannot hold what it got.
    pub widened: bool,
}

impl<'a> Run<'a> {
    /// Reads the file and works out what is to be done. A file that is not there is made by an export or a sync.
    ///
    /// # Errors
    ///
    /// Where the file is none or cannot be read.
    pub fn plan(engine: &'a Engine, file: &'a CsvFile, direction: Direction) -> Result<Self, SyncError> {
        let (table, read) = match file.read()? {
            Some((bytes, read)) => (Table::read(bytes)?, Some(read)),
            None if direction == Direction::Import => {
                return Err(FileError::Missing { path: file.path().to_owned() }.into());
            }
            None => (Table::new(Dialect::of_a_new_file(Language::De)), None),
        };
        let mut run = Self { engine, file, read, table, work: Vec::new(), errors: Vec::new() };
        run.look_at_rows(direction)?;
        Ok(run)
    }

    /// What is to be done.
    pub fn shown(&self) -> Plan {
        let mut plan = Plan { errors: self.errors.clone(), ..Plan::default() };
        for work in &self.work {
            plan.push(PlannedRow {
                line: work.line,
                iid: work.iid,
                title: work.title.clone(),
                action: work.action,
                plan: work.plan.clone(),
            });
        }
        plan
    }

    /// How many rows GitLab has to hear of.
    pub fn steps(&self) -> usize {
        self.work.iter().filter(|work| work.concerns_gitlab()).count()
    }

    fn look_at_rows(&mut self, direction: Direction) -> Result<(), SyncError> {
        let mirror = self.engine.mirror();
        let live: BTreeMap<u64, Record> =
            mirror.live()?.into_iter().map(|record| (record.iid, record)).collect();
        let fingerprints: HashMap<String, u64> = live
            .values()
            .filter_map(|record| Some((record.fingerprint()?.as_str().to_owned(), record.iid)))
            .collect();
        let bases = mirror.agreed(&self.key())?;
        let mut same_cells: HashMap<Uuid, usize> = HashMap::new();
        let mut seen: BTreeSet<u64> = BTreeSet::new();
        for row in 0..self.table.len() {
            let line = self.table.line(row);
            let values = match self.table.values(row) {
                Ok(Some(values)) => values,
                Ok(None) => continue,
                Err(errors) => {
                    // It is not to be added a second time, whatever else is wrong with it.
                    seen.extend(self.iid_of(row));
                    self.errors.extend(errors);
                    continue;
                }
            };
            let before = same_cells.entry(record::nonce(&values, 0)).or_default();
            let nonce = record::nonce(&values, *before);
            *before += 1;
            let given = values.text(Field::Iid).trim().parse::<u64>().ok();
            let found = match given {
                Some(iid) => Some(iid),
                None => match record::job_match(&values) {
                    Err(errors) => {
                        let what: Vec<String> = errors
                            .iter()
                            .map(|error| format!("{} {}", error.field, error.message).trim().to_owned())
                            .collect();
                        self.errors.push(RowError::Refused { line, what: what.join("; ") });
                        continue;
                    }
                    Ok(job) => {
                        let known = fingerprints.get(Fingerprint::of(&job, nonce).as_str()).copied();
                        if known.is_none() && direction != Direction::Export {
                            self.work.push(Work::stage(row, line, values.clone(), job, nonce));
                        }
                        known
                    }
                },
            };
            let Some(iid) = found else { continue };
            let Some(record) = live.get(&iid) else {
                self.errors.push(RowError::Refused {
                    line,
                    what: format!("there is no match {iid} in GitLab; the row is left as it is"),
                });
                continue;
            };
            if !seen.insert(iid) {
                self.errors.push(RowError::Refused {
                    line,
                    what: format!("match {iid} has a row further up; this one is left as it is"),
                });
                continue;
            }
            let base = bases.get(&iid).and_then(|row| from_json(row));
            self.work.push(Work::merge(row, line, values, record, base, direction));
        }
        if direction != Direction::Import {
            for record in live.values().filter(|record| !seen.contains(&record.iid)) {
                self.work.push(Work::append(record));
            }
        }
        Ok(())
    }

    fn iid_of(&self, row: usize) -> Option<u64> {
        self.table.get(row, Field::Iid).ok().flatten()?.trim().parse().ok()
    }

    fn key(&self) -> String {
        self.file.path().to_string_lossy().into_owned()
    }

    /// Does it: GitLab, then the file, then the base. `each` is called for every row that GitLab has heard of.
    ///
    /// # Errors
    ///
    /// Where the file was changed meanwhile (read it again), or cannot be written.
    pub async fn carry_out(mut self, now: Timestamp, each: impl Fn()) -> Result<Outcome, SyncError> {
        self.file.check_closed()?;
        let engine = self.engine;
        let work = std::mem::take(&mut self.work);
        let mut done: Vec<(Work, Vec<String>)> = stream::iter(work)
            .map(|work| async {
                let concerns_gitlab = work.concerns_gitlab();
                let done = work.carry_out(engine).await;
                if concerns_gitlab {
                    each();
                }
                done
            })
            .buffered(AT_ONCE)
            .collect()
            .await;
        let mut agreed = Vec::new();
        for (work, problems) in &mut done {
            for what in problems.drain(..) {
                self.errors.push(RowError::Refused { line: work.line.unwrap_or_default(), what });
            }
            self.write_row(work)?;
            if let Some(iid) = work.iid {
                let base = work.plan.agreed(work.base.as_ref(), &work.values, &work.known);
                agreed.push((iid, to_json(&base)));
            }
        }
        self.work = done.into_iter().map(|(work, _)| work).collect();
        let file_changed = self.write_file(now)?;
        engine.mirror().agree(&self.key(), &agreed)?;
        Ok(Outcome { plan: self.shown(), file_changed, widened: self.table.is_widened() })
    }

    fn write_row(&mut self, work: &Work) -> Result<(), SyncError> {
        let Some(iid) = work.iid else { return Ok(()) };
        let Some(row) = work.row else {
            self.table.append(&work.known)?;
            return Ok(());
        };
        if work.values.text(Field::Iid).trim().is_empty() {
            if self.table.columns().place(Field::Iid).is_none() {
                self.table.add_column(Field::Iid)?;
            }
            self.table.set(row, Field::Iid, &iid.to_string())?;
        }
        for change in work.plan.to_file.iter().filter(|change| change.field != Field::Iid) {
            self.table.set(row, change.field, &change.to)?;
        }
        Ok(())
    }

    fn write_file(&self, now: Timestamp) -> Result<bool, SyncError> {
        let lost: Vec<Lost<'_>> = self
            .work
            .iter()
            .flat_map(|work| {
                let line = work.line.unwrap_or_default();
                work.plan.conflicts.iter().map(move |conflict| Lost { line, iid: work.iid, conflict })
            })
            .collect();
        if !self.table.is_changed() && self.read.is_some() {
            return Ok(false);
        }
        self.file.keep_conflicts(&lost, self.table.dialect(), now)?;
        self.file.replace(self.read.as_ref(), |writer| self.table.write_to(writer))?;
        Ok(true)
    }
}

impl Work {
    fn stage(row: usize, line: u32, values: Row, job: JobMatch, nonce: Uuid) -> Self {
        let state = values.text(Field::State).parse().unwrap_or(State::Pending);
        let title = job.title.clone();
        Self {
            row: Some(row),
            line: Some(line),
            iid: None,
            action: Action::Stage,
            values,
            known: Row::new(),
            base: None,
            plan: RowPlan::default(),
            job: Some((Box::new(job), nonce, state)),
            title,
        }
    }

    fn merge(
        row: usize,
        line: u32,
        values: Row,
        record: &Record,
        base: Option<Row>,
        direction: Direction,
    ) -> Self {
        let known = row_of(record);
        let mut plan = merge(base.as_ref(), &values, &known);
        if direction == Direction::Export {
            plan = only_to_file(&plan, &values, &known);
        }
        Self {
            row: Some(row),
            line: Some(line),
            iid: Some(record.iid),
            action: Action::Merge,
            values,
            known,
            base,
            plan,
            job: None,
            title: record.job.title.clone(),
        }
    }

    fn append(record: &Record) -> Self {
        let known = row_of(record);
        Self {
            row: None,
            line: None,
            iid: Some(record.iid),
            action: Action::Append,
            values: known.clone(),
            known,
            base: None,
            plan: RowPlan::default(),
            job: None,
            title: record.job.title.clone(),
        }
    }

    const fn concerns_gitlab(&self) -> bool {
        self.job.is_some() || self.plan.step.is_some() || !self.plan.to_gitlab.is_empty()
    }

    /// Tells GitLab; what it did not take is said, and the plan holds what came of it.
    async fn carry_out(mut self, engine: &Engine) -> (Self, Vec<String>) {
        let mut problems = Vec::new();
        if let Some((job, nonce, state)) = self.job.take() {
            match engine.stage_in(*job, nonce, state).await {
                Ok(staging) => self.staged(&staging.record),
                Err(StagingError::Erased) => {
                    problems.push("the data of this match was removed at a person's wish".to_owned());
                    return (self, problems);
                }
                Err(error) => {
                    problems.push(format!("{error}; run it again"));
                    return (self, problems);
                }
            }
        }
        let Some(iid) = self.iid else { return (self, problems) };
        if !self.plan.to_gitlab.is_empty() {
            let changes: Map<String, Value> = self
                .plan
                .to_gitlab
                .iter()
                .map(|change| (change.field.as_str().to_owned(), Value::String(change.to.clone())))
                .collect();
            if let Err(error) = engine.change_application(iid, changes).await {
                // The file keeps its values; without a new base they are tried again.
                self.plan.to_gitlab.clear();
                self.values = self.known.clone();
                problems.push(match error {
                    ApplicationError::Invalid(errors) => errors
                        .iter()
                        .map(|error| format!("{} {}", error.field, error.message))
                        .collect::<Vec<_>>()
                        .join("; "),
                    other => format!("{other}; run it again"),
                });
            }
        }
        if let Some(step) = self.plan.step {
            let decision =
                Decision { to: step.to, by: "csv".to_owned(), through: Through::Csv, comment: None };
            match engine.decide(iid, decision).await {
                Ok(_) => {}
                Err(DecisionError::NotAllowed { from, to, .. }) => {
                    problems.push(format!(
                        "state: a match that is {from} cannot become {to}; the file says {from} again"
                    ));
                    self.refuse_step(from);
                }
                Err(error) => {
                    problems.push(format!("state: {error}; run it again"));
                    self.plan.step = None;
                    self.values.forget(Field::State);
                }
            }
        }
        (self, problems)
    }

    /// The issue is there: what it was made with is known, the tracker's fields of the row are still to be told.
    fn staged(&mut self, record: &Record) {
        self.iid = Some(record.iid);
        self.known = row_of(record);
        self.plan = merge(None, &self.values, &self.known);
    }

    fn refuse_step(&mut self, stayed: State) {
        let Some(step) = self.plan.step.take() else { return };
        self.plan.to_file.push(super::merge::Change {
            field: Field::State,
            from: step.to.as_str().to_owned(),
            to: stayed.as_str().to_owned(),
        });
        self.known.set(Field::State, stayed.as_str());
    }
}

/// An export asks nothing of GitLab: wherever the two differ, the file gets GitLab's value.
fn only_to_file(plan: &RowPlan, values: &Row, known: &Row) -> RowPlan {
    let mut only = RowPlan { file_only: plan.file_only.clone(), ..RowPlan::default() };
    for (field, value) in values.iter() {
        if !plan.file_only.contains(&field) && !field.same(value, known.text(field)) {
            only.to_file.push(super::merge::Change {
                field,
                from: value.to_owned(),
                to: known.text(field).to_owned(),
            });
        }
    }
    only
}

fn row_of(record: &Record) -> Row {
    let day = |at: Timestamp| -> Date { at.to_zoned_datetime(TimeZone::system()).date() };
    Known {
        iid: record.iid,
        state: record.state,
        job: &record.job,
        application: &record.application,
        created: Some(day(record.created_at)),
        decided: record.decided_at.map(day),
    }
    .row()
}

fn to_json(row: &Row) -> String {
    let values: Map<String, Value> = row
        .iter()
        .map(|(field, value)| (field.as_str().to_owned(), Value::String(value.to_owned())))
        .collect();
    Value::Object(values).to_string()
}

fn from_json(text: &str) -> Option<Row> {
    let values: HashMap<String, String> = serde_json::from_str(text).ok()?;
    let known = |field: Field| Some((field, values.get(field.as_str())?.clone()));
    Some(Field::ALL.into_iter().filter_map(known).collect())
}

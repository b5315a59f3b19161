//! One row's part of a run.

use std::time::Duration;

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::csv::field::{Field, Row};
use crate::csv::merge::{Change, Conflict, Reason, RowPlan, Step, merge};
use crate::csv::plan::{Action, PlannedRow};
use crate::domain::history::Through;
use crate::domain::{Application, State};
use crate::engine::{ApplicationError, Decision, DecisionError, Engine, EngineError, StagingError};

use super::Heard;
use super::compare::spelled_out;
use crate::csv::canonical::Days;
use crate::csv::error::RowError;
use crate::csv::record;
use crate::csv::table::Table;
use crate::mirror::Agreed;

/// How often a row is compared once more because somebody edits the same fields at the same time.
const LOOKS: u32 = 3;

/// A row of the file about which something is to be done.
pub(super) struct Work {
    pub(super) row: usize,
    line: u32,
    title: String,
    what: What,
}

enum What {
    /// The row becomes an issue; this stands for its identity. What the row says is read when its turn comes: there may
    /// be many.
    Stage(Uuid),
    /// Its issue is there.
    Merge(u64, Box<Sides>),
    /// The data of its issue was removed: so are its cells, but for these columns of the user's own.
    Blank(u64, Vec<String>),
}

/// What both sides say about a match, and what is to be done about it.
struct Sides {
    /// The file's side; where GitLab did not take something of it, what GitLab has, for that is the base then.
    values: Row,
    known: Row,
    base: Option<Row>,
    /// The tracker's fields in GitLab that the plan is made from, once it was asked for them.
    saw: Option<Application>,
    plan: RowPlan,
}

/// What came of a row.
pub(super) struct Done {
    pub(super) row: usize,
    /// The row as the plan shows it; it has the iid that was made meanwhile.
    pub(super) shown: PlannedRow,
    /// Whether the row is to get its iid.
    pub(super) without_iid: bool,
    /// What both sides agree on before the file is written.
    pub(super) before_writing: Option<Agreed>,
    /// What they agree on once it is.
    pub(super) afterwards: Option<Agreed>,
    /// What GitLab did not take.
    pub(super) problems: Vec<RowError>,
}

impl Work {
    /// A row that becomes an issue.
    pub(super) const fn stage(row: usize, line: u32, title: String, nonce: Uuid) -> Self {
        Self { row, line, title, what: What::Stage(nonce) }
    }

    /// A row whose issue is there.
    pub(super) fn merge(
        (row, line, iid): (usize, u32, u64),
        values: Row,
        known: Row,
        base: Option<Row>,
        plan: RowPlan,
    ) -> Self {
        let title = known.text(Field::Title).to_owned();
        Self {
            row,
            line,
            title,
            what: What::Merge(iid, Box::new(Sides { values, known, base, saw: None, plan })),
        }
    }

    /// A row of a match whose data was removed.
    pub(super) const fn blank(
        (row, line, iid): (usize, u32, u64),
        title: String,
        own_cells: Vec<String>,
    ) -> Self {
        Self { row, line, title, what: What::Blank(iid, own_cells) }
    }

    pub(super) fn shown(&self) -> PlannedRow {
        let (iid, action, plan, own_cells) = match &self.what {
            What::Stage(_) => (None, Action::Stage, RowPlan::default(), Vec::new()),
            What::Merge(iid, sides) => (Some(*iid), Action::Merge, sides.plan.clone(), Vec::new()),
            What::Blank(iid, own) => (Some(*iid), Action::Blank, RowPlan::default(), own.clone()),
        };
        PlannedRow { line: Some(self.line), iid, title: self.title.clone(), action, plan, own_cells }
    }

    /// Whether GitLab has to hear of it.
    pub(super) const fn concerns_gitlab(&self) -> bool {
        match &self.what {
            What::Stage(_) => true,
            What::Blank(..) => false,
            What::Merge(_, sides) => sides.plan.step.is_some() || !sides.plan.to_gitlab.is_empty(),
        }
    }

    /// Tells GitLab; what it did not take is said, and the plan holds what came of it.
    pub(super) async fn carry_out(self, to: &Gitlab<'_>, days: &Days, table: &Table) -> Done {
        let (row, line, shown) = (self.row, self.line, self.shown());
        let (before_writing, afterwards, problems) = Default::default();
        let mut done = Done { row, shown, without_iid: false, before_writing, afterwards, problems };
        let (iid, mut sides) = match self.what {
            What::Merge(iid, sides) => (iid, sides),
            What::Blank(..) => return Done { without_iid: true, ..done },
            What::Stage(nonce) => {
                let staged = stage(to, days, table, row, nonce).await;
                // Only what was made here counts as made.
                if !matches!(staged, Ok((.., true))) {
                    done.shown.action = Action::Merge;
                }
                match staged {
                    Ok((iid, sides, _)) => (iid, sides),
                    Err(what) => {
                        done.problems.push(RowError::Refused { line, what });
                        return done;
                    }
                }
            }
        };
        // What GitLab does not take changes nothing about the row's having no iid.
        done.without_iid = sides.values.text(Field::Iid).trim().is_empty();
        let refused = sides.tell(to, days, iid).await;
        done.problems.extend(refused.into_iter().map(|what| RowError::Refused { line, what }));
        let (before_writing, afterwards) = sides.bases(iid);
        (done.before_writing, done.afterwards) = (Some(before_writing), Some(afterwards));
        (done.shown.iid, done.shown.plan) = (Some(iid), sides.plan);
        done
    }
}

/// GitLab, as a run speaks to it: with patience.
pub(super) struct Gitlab<'a> {
    pub(super) engine: &'a Engine,
    /// Called where GitLab asks to wait.
    pub(super) tell: &'a (dyn Fn(Heard) + Sync),
}

impl Gitlab<'_> {
    async fn ask<T, E, F>(
        &self,
        what: impl FnMut() -> F,
        wait: impl Fn(&E) -> Option<Duration>,
    ) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        let tell = |long: Option<Duration>| (self.tell)(long.map_or(Heard::GoesOn, Heard::Waits));
        self.engine.ask_again(what, wait, tell).await
    }
}

/// Makes an issue of a row; what then remains to be told is known. Says whether the issue was made here.
async fn stage(
    to: &Gitlab<'_>,
    days: &Days,
    table: &Table,
    row: usize,
    nonce: Uuid,
) -> Result<(u64, Box<Sides>, bool), String> {
    // The file is looked at once more; it said all this before.
    let values = table.values(row).ok().flatten().unwrap_or_default();
    let job = record::job_match(&values).map_err(|_| "cannot be read any more".to_owned())?;
    let state = values.text(Field::State).parse().unwrap_or(State::Pending);
    match to.ask(|| to.engine.stage_in(job.clone(), nonce, state), StagingError::asks_to_wait).await {
        // It is known what it was made with; the tracker's fields of the row are still to be told.
        Ok(staging) => {
            let known = days.row_of(&staging.record);
            let plan = merge(None, &values, &known);
            Ok((
                staging.record.iid,
                Box::new(Sides { values, known, base: None, saw: None, plan }),
                staging.created,
            ))
        }
        Err(StagingError::Erased) => Err("the data of this match was removed at a person's wish".to_owned()),
        Err(error) => Err(format!("{error}; run it again")),
    }
}

impl Sides {
    /// What both sides agree on before the file is written, and once it is.
    fn bases(&self, iid: u64) -> (Agreed, Agreed) {
        // The mirror may show the match otherwise by now: everything is said.
        let Self { values, known, base, plan, .. } = self;
        let before_writing = plan.base_before_writing(base.as_ref(), values, known);
        let afterwards = plan.base_afterwards(base.as_ref(), values, known);
        (spelled_out(iid, &before_writing), spelled_out(iid, &afterwards))
    }

    /// Compares once more before GitLab is told anything: since all rows were looked at people may have decided and
    /// edited, and the mirror may have known of neither.
    async fn look_again(&mut self, to: &Gitlab<'_>, days: &Days, iid: u64) -> Result<(), EngineError> {
        if self.plan.step.is_none() && self.plan.to_gitlab.is_empty() {
            return Ok(());
        }
        if let Some(record) = to.ask(|| to.engine.look_at(iid), EngineError::asks_to_wait).await? {
            let had_step = self.plan.step.is_some();
            self.known = days.row_of(&record);
            self.saw = Some(record.application);
            self.plan = merge(self.base.as_ref(), &self.values, &self.known);
            if !had_step {
                // It was refused, and that is said.
                self.plan.refuse_step(record.state, Reason::NotAllowed);
            }
        }
        Ok(())
    }

    /// GitLab is told nothing of this row; the next run tries again.
    fn tell_nothing(&mut self, error: &EngineError) -> String {
        self.keep_fields();
        self.keep_state();
        format!("{error}; run it again")
    }

    /// The file keeps its values; with what GitLab has as the base they are tried again.
    fn keep_fields(&mut self) {
        for Change { field, .. } in std::mem::take(&mut self.plan.to_gitlab) {
            self.values.set(field, self.known.text(field));
        }
    }

    fn keep_state(&mut self) {
        if self.plan.step.take().is_some() {
            self.values.forget(Field::State);
        }
    }

    /// Tells GitLab what it is to get, after a look at what it has now. Says what it did not take.
    async fn tell(&mut self, to: &Gitlab<'_>, days: &Days, iid: u64) -> Vec<String> {
        if let Err(error) = self.look_again(to, days, iid).await {
            return vec![self.tell_nothing(&error)];
        }
        let fields = self.tell_fields(to, days, iid).await;
        let step = self.take_step(to, days, iid).await;
        fields.into_iter().chain(step).collect()
    }

    /// Tells GitLab the fields. Where somebody edited one of them since it was looked at, as while GitLab asked to wait,
    /// both sides are compared once more.
    async fn tell_fields(&mut self, to: &Gitlab<'_>, days: &Days, iid: u64) -> Option<String> {
        let mut looks = 0;
        let error = loop {
            if self.plan.to_gitlab.is_empty() {
                return None;
            }
            match self.change_fields(to, iid).await.err()? {
                ApplicationError::Meanwhile(_) if looks < LOOKS => looks += 1,
                error => break error,
            }
            if let Err(error) = self.look_again(to, days, iid).await {
                return Some(self.tell_nothing(&error));
            }
        };
        self.keep_fields();
        Some(match error {
            ApplicationError::Invalid(errors) => {
                let all: Vec<String> =
                    errors.iter().map(|error| format!("{} {}", error.field, error.message)).collect();
                all.join("; ")
            }
            other => format!("{other}; run it again"),
        })
    }

    async fn change_fields(&self, to: &Gitlab<'_>, iid: u64) -> Result<(), ApplicationError> {
        let changes: Map<String, Value> = self
            .plan
            .to_gitlab
            .iter()
            .map(|change| (change.field.as_str().to_owned(), Value::String(change.to.clone())))
            .collect();
        let wait = |error: &ApplicationError| match error {
            ApplicationError::Engine(error) => error.asks_to_wait(),
            _ => None,
        };
        let change = || to.engine.change_application_as_seen(iid, changes.clone(), self.saw.clone());
        to.ask(change, wait).await.map(drop)
    }

    async fn take_step(&mut self, gitlab: &Gitlab<'_>, days: &Days, iid: u64) -> Option<String> {
        let Step { from: meant, to } = self.plan.step?;
        let decision =
            Decision { from: meant, to, by: "csv".to_owned(), through: Through::Csv, comment: None };
        let wait = |error: &DecisionError| match error {
            DecisionError::Engine(error) => error.asks_to_wait(),
            _ => None,
        };
        let error = match gitlab.ask(|| gitlab.engine.decide(iid, decision.clone()), wait).await {
            Ok(record) => {
                self.note_step(record.state, &days.row_of(&record));
                return None;
            }
            Err(error) => error,
        };
        match error {
            // Somebody decided at this very moment, and GitLab wins.
            DecisionError::NotAllowed { from, .. } if meant.is_some_and(|meant| meant != from) => {
                self.refuse_step(from, Reason::BothChanged);
                None
            }
            DecisionError::NotAllowed { from, to, .. } => {
                self.refuse_step(from, Reason::NotAllowed);
                Some(step_refused(from, to))
            }
            error => {
                self.keep_state();
                Some(format!("state: {error}; run it again"))
            }
        }
    }

    /// The step brings a day with it, which the file gets in the same run.
    fn note_step(&mut self, became: State, known: &Row) {
        if self.plan.step.is_some_and(|step| step.to != became) {
            self.refuse_step(became, Reason::BothChanged);
        }
        let field = Field::Decided;
        let Some(in_file) = self.values.get(field) else { return };
        let (file, gitlab) = (Row::from_iter([(field, in_file.to_owned())]), known.text(field));
        self.known.set(field, gitlab);
        let anew = merge(self.base.as_ref(), &file, &self.known);
        let plan = &mut self.plan;
        plan.to_file.retain(|change| change.field != field);
        plan.conflicts.retain(|conflict| conflict.field != field);
        plan.file_only.retain(|other| *other != field);
        plan.to_file.extend(anew.to_file);
        plan.conflicts.extend(anew.conflicts);
        plan.file_only.extend(anew.file_only);
    }

    fn refuse_step(&mut self, stayed: State, reason: Reason) {
        self.plan.refuse_step(stayed, reason);
        self.known.set(Field::State, stayed.as_str());
    }
}

/// Why a step that the file asks for is not taken.
pub(super) fn step_refused(from: State, to: State) -> String {
    format!("state: a match that is {from} cannot become {to}; the file says {from} again")
}

/// An export asks nothing of GitLab: wherever the two differ, the file gets GitLab's value. What was edited in the file
/// since the last sync is kept beside it.
pub(super) fn only_to_file(plan: &RowPlan, base: Option<&Row>, values: &Row, known: &Row) -> RowPlan {
    let mut only = RowPlan { file_only: plan.file_only.clone(), ..RowPlan::default() };
    for (field, value) in values.iter() {
        if !plan.file_only.contains(&field) && !field.same(value, known.text(field)) {
            let (from, to) = (value.to_owned(), known.text(field).to_owned());
            let was_edited = match base.and_then(|base| base.get(field)) {
                Some(base) => !field.same(base, value),
                None => !field.says_nothing(value),
            };
            if was_edited {
                let (file, gitlab) = (from.clone(), to.clone());
                only.conflicts.push(Conflict { field, file, gitlab, reason: Reason::Exported });
            }
            only.to_file.push(Change { field, from, to });
        }
    }
    only
}

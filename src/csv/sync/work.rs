//! One row's part of a run.

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::csv::field::{Field, Row};
use crate::csv::merge::{Change, RowPlan, merge};
use crate::csv::plan::{Action, PlannedRow};
use crate::domain::State;
use crate::domain::history::Through;
use crate::engine::{ApplicationError, Decision, DecisionError, Engine, StagingError};

use super::look::spelled_out;
use crate::csv::error::RowError;
use crate::csv::record;
use crate::csv::shown::Days;
use crate::csv::table::Table;
use crate::mirror::Agreed;

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
}

/// What both sides say about a match, and what is to be done about it.
struct Sides {
    values: Row,
    known: Row,
    base: Option<Row>,
    plan: RowPlan,
}

/// What came of a row.
pub(super) struct Done {
    pub(super) row: usize,
    /// The row as the plan shows it; it has the iid that was made meanwhile.
    pub(super) shown: PlannedRow,
    /// Whether the row is to get its iid.
    pub(super) without_iid: bool,
    /// What both sides agree on once the file is written.
    pub(super) agreed: Option<Agreed>,
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
        Self { row, line, title, what: What::Merge(iid, Box::new(Sides { values, known, base, plan })) }
    }

    pub(super) fn shown(&self) -> PlannedRow {
        let (iid, action, plan) = match &self.what {
            What::Stage(_) => (None, Action::Stage, RowPlan::default()),
            What::Merge(iid, sides) => (Some(*iid), Action::Merge, sides.plan.clone()),
        };
        PlannedRow { line: Some(self.line), iid, title: self.title.clone(), action, plan }
    }

    /// Whether GitLab has to hear of it.
    pub(super) const fn concerns_gitlab(&self) -> bool {
        match &self.what {
            What::Stage(_) => true,
            What::Merge(_, sides) => sides.plan.step.is_some() || !sides.plan.to_gitlab.is_empty(),
        }
    }

    /// Tells GitLab; what it did not take is said, and the plan holds what came of it.
    pub(super) async fn carry_out(self, engine: &Engine, days: &Days, table: &Table) -> Done {
        let Self { row, line, title, what } = self;
        let mut problems = Vec::new();
        let (action, told) = match what {
            What::Merge(iid, sides) => (Action::Merge, Some((iid, sides))),
            What::Stage(nonce) => {
                let staged = stage(engine, days, table, row, nonce).await;
                (Action::Stage, staged.map_err(|problem| problems.push(problem)).ok())
            }
        };
        let (mut iid, mut plan, mut without_iid, mut agreed) = Default::default();
        if let Some((number, mut sides)) = told {
            problems.extend(sides.tell_fields(engine, number).await);
            problems.extend(sides.take_step(engine, number).await);
            without_iid = sides.values.text(Field::Iid).trim().is_empty();
            agreed = Some(sides.agreed(number));
            (iid, plan) = (Some(number), sides.plan);
        }
        let problems = problems.into_iter().map(|what| RowError::Refused { line, what }).collect();
        let shown = PlannedRow { line: Some(line), iid, title, action, plan };
        Done { row, shown, without_iid, agreed, problems }
    }
}

/// Makes an issue of a row; what then remains to be told is known.
async fn stage(
    engine: &Engine,
    days: &Days,
    table: &Table,
    row: usize,
    nonce: Uuid,
) -> Result<(u64, Box<Sides>), String> {
    // The file is looked at once more; it said all this before.
    let values = table.values(row).ok().flatten().unwrap_or_default();
    let job = record::job_match(&values).map_err(|_| "cannot be read any more".to_owned())?;
    let state = values.text(Field::State).parse().unwrap_or(State::Pending);
    match engine.stage_in(job, nonce, state).await {
        // It is known what it was made with; the tracker's fields of the row are still to be told.
        Ok(staging) => {
            let known = days.row_of(&staging.record);
            let plan = merge(None, &values, &known);
            Ok((staging.record.iid, Box::new(Sides { values, known, base: None, plan })))
        }
        Err(StagingError::Erased) => Err("the data of this match was removed at a person's wish".to_owned()),
        Err(error) => Err(format!("{error}; run it again")),
    }
}

impl Sides {
    /// What both sides agree on once it is done.
    fn agreed(&self, iid: u64) -> Agreed {
        // The mirror may show the match otherwise by now: everything is said.
        spelled_out(iid, &self.plan.agreed(self.base.as_ref(), &self.values, &self.known))
    }

    async fn tell_fields(&mut self, engine: &Engine, iid: u64) -> Option<String> {
        if self.plan.to_gitlab.is_empty() {
            return None;
        }
        let changes: Map<String, Value> = self
            .plan
            .to_gitlab
            .iter()
            .map(|change| (change.field.as_str().to_owned(), Value::String(change.to.clone())))
            .collect();
        let error = engine.change_application(iid, changes).await.err()?;
        // The file keeps its values; without a new base they are tried again.
        self.plan.to_gitlab.clear();
        self.values = self.known.clone();
        Some(match error {
            ApplicationError::Invalid(errors) => {
                let all: Vec<String> =
                    errors.iter().map(|error| format!("{} {}", error.field, error.message)).collect();
                all.join("; ")
            }
            other => format!("{other}; run it again"),
        })
    }

    async fn take_step(&mut self, engine: &Engine, iid: u64) -> Option<String> {
        let to = self.plan.step?.to;
        let decision =
            Decision { from: None, to, by: "csv".to_owned(), through: Through::Csv, comment: None };
        match engine.decide(iid, decision).await.err()? {
            DecisionError::NotAllowed { from, to, .. } => {
                self.refuse_step(from);
                Some(format!("state: a match that is {from} cannot become {to}; the file says {from} again"))
            }
            error => {
                self.plan.step = None;
                self.values.forget(Field::State);
                Some(format!("state: {error}; run it again"))
            }
        }
    }

    fn refuse_step(&mut self, stayed: State) {
        let Some(step) = self.plan.step.take() else { return };
        self.plan.to_file.push(Change {
            field: Field::State,
            from: step.to.as_str().to_owned(),
            to: stayed.as_str().to_owned(),
        });
        self.known.set(Field::State, stayed.as_str());
    }
}

/// An export asks nothing of GitLab: wherever the two differ, the file gets GitLab's value.
pub(super) fn only_to_file(plan: &RowPlan, values: &Row, known: &Row) -> RowPlan {
    let mut only = RowPlan { file_only: plan.file_only.clone(), ..RowPlan::default() };
    for (field, value) in values.iter() {
        if !plan.file_only.contains(&field) && !field.same(value, known.text(field)) {
            let (from, to) = (value.to_owned(), known.text(field).to_owned());
            only.to_file.push(Change { field, from, to });
        }
    }
    only
}

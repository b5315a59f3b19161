//! One row's part of a run.

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::csv::field::{Field, Row};
use crate::csv::merge::{Change, RowPlan, merge};
use crate::csv::plan::{Action, PlannedRow};
use crate::domain::history::Through;
use crate::domain::{JobMatch, State};
use crate::engine::{ApplicationError, Decision, DecisionError, Engine, StagingError};

use super::days::Days;

/// A row of the file about which something is to be done.
pub(super) struct Work {
    pub(super) row: usize,
    pub(super) line: u32,
    pub(super) iid: Option<u64>,
    action: Action,
    pub(super) values: Row,
    pub(super) known: Row,
    pub(super) base: Option<Row>,
    pub(super) plan: RowPlan,
    /// What is staged.
    job: Option<(Box<JobMatch>, Uuid, State)>,
    title: String,
}

impl Work {
    /// A row that becomes an issue.
    pub(super) fn stage(row: usize, line: u32, values: Row, job: JobMatch, nonce: Uuid) -> Self {
        let state = values.text(Field::State).parse().unwrap_or(State::Pending);
        let title = job.title.clone();
        Self {
            row,
            line,
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

    /// A row whose issue is there.
    pub(super) fn merge(
        (row, line, iid): (usize, u32, u64),
        values: Row,
        known: Row,
        base: Option<Row>,
        plan: RowPlan,
    ) -> Self {
        let title = known.text(Field::Title).to_owned();
        Self { row, line, iid: Some(iid), action: Action::Merge, values, known, base, plan, job: None, title }
    }

    pub(super) fn shown(&self) -> PlannedRow {
        PlannedRow {
            line: Some(self.line),
            iid: self.iid,
            title: self.title.clone(),
            action: self.action,
            plan: self.plan.clone(),
        }
    }

    /// Whether GitLab has to hear of it.
    pub(super) const fn concerns_gitlab(&self) -> bool {
        self.job.is_some() || self.plan.step.is_some() || !self.plan.to_gitlab.is_empty()
    }

    /// What both sides agree on once it is done.
    pub(super) fn agreed(&self) -> Row {
        self.plan.agreed(self.base.as_ref(), &self.values, &self.known)
    }

    /// Tells GitLab; what it did not take is said, and the plan holds what came of it.
    pub(super) async fn carry_out(mut self, engine: &Engine, days: &Days) -> (Self, Vec<String>) {
        let mut problems = Vec::new();
        if let Some((job, nonce, state)) = self.job.take() {
            match engine.stage_in(*job, nonce, state).await {
                // It is known what it was made with; the tracker's fields of the row are still to be told.
                Ok(staging) => {
                    self.iid = Some(staging.record.iid);
                    self.known = days.row_of(&staging.record);
                    self.plan = merge(None, &self.values, &self.known);
                }
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
        if let Some(iid) = self.iid {
            problems.extend(self.tell_fields(engine, iid).await);
            problems.extend(self.take_step(engine, iid).await);
        }
        (self, problems)
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

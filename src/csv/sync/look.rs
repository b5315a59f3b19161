//! Both sides are looked at, row by row: what agrees is noted, what does not becomes work.
//!
//! A row that is as it was, of a match that is as it was, costs two digests: a sheet of a hundred thousand rows is looked
//! through in a fraction of a second.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::work::{Work, only_to_file};
use super::{Direction, Run, SyncError};
use crate::csv::error::RowError;
use crate::csv::field::{Field, Row};
use crate::csv::merge::{RowPlan, merge};
use crate::csv::plan::{Action, PlannedRow};
use crate::csv::record;
use crate::csv::table::Table;
use crate::domain::identity::Fingerprint;
use crate::mirror::{Agreed, Digest, Record, digest};

/// Counts up when the same two sides could mean something else than before.
const MEANING: u8 = 1;
/// How much is noted at once.
const CHUNK: usize = 2_000;

/// What was seen so far.
pub(super) struct Look<'r, 'a> {
    run: &'r mut Run<'a>,
    direction: Direction,
    matches: BTreeMap<u64, Digest>,
    settled: HashMap<u64, Digest>,
    /// What every digest begins with: the headers, and how days are counted.
    salt: Sha256,
    seen: BTreeSet<u64>,
    /// Rows without an iid: looked at when all others are.
    new: Vec<usize>,
    agreed: Vec<Agreed>,
}

impl<'r, 'a> Look<'r, 'a> {
    pub(super) fn new(run: &'r mut Run<'a>, direction: Direction) -> Result<Self, SyncError> {
        let mirror = run.engine.mirror();
        let salt = Sha256::new()
            .chain_update([MEANING])
            .chain_update(run.days.name())
            .chain_update(format!("{:?}", run.table.columns()));
        Ok(Self {
            matches: mirror.live_digests()?,
            settled: mirror.settled(&run.key())?,
            salt,
            run,
            direction,
            seen: BTreeSet::new(),
            new: Vec::new(),
            agreed: Vec::new(),
        })
    }

    /// Looks at every row, and at the matches without one.
    pub(super) fn at_everything(mut self) -> Result<(), SyncError> {
        for row in 0..self.run.table.len() {
            self.at_row(row)?;
        }
        self.at_new_rows()?;
        if self.direction != Direction::Import {
            self.append_the_rest()?;
        }
        self.note(0)?;
        self.run.work.sort_by_key(|work| work.row);
        Ok(())
    }

    fn at_row(&mut self, row: usize) -> Result<(), SyncError> {
        let iid = iid_of(&self.run.table, row);
        if let Some(iid) = iid
            && self.settled.get(&iid).is_some_and(|settled| self.both_sides(row, iid) == Some(*settled))
            && self.seen.insert(iid)
        {
            return Ok(());
        }
        match self.run.table.values(row) {
            Ok(None) => {}
            Ok(Some(values)) => match iid {
                Some(iid) => self.at_match(row, iid, values)?,
                None => self.new.push(row),
            },
            Err(errors) => {
                // It is not to be added a second time, whatever else is wrong with it.
                self.seen.extend(iid);
                self.run.errors.extend(errors);
            }
        }
        Ok(())
    }

    fn at_match(&mut self, row: usize, iid: u64, values: Row) -> Result<(), SyncError> {
        let line = self.run.table.line(row);
        let Some(record) = self.live(iid)? else {
            let what = format!("there is no match {iid} in GitLab; the row is left as it is");
            self.run.errors.push(RowError::Refused { line, what });
            return Ok(());
        };
        if !self.seen.insert(iid) {
            let what = format!("match {iid} has a row further up; this one is left as it is");
            self.run.errors.push(RowError::Refused { line, what });
            return Ok(());
        }
        let known = self.run.days.row_of(&record);
        let base = self.run.engine.mirror().agreed(&self.run.key(), iid)?;
        let base = base.and_then(|row| from_json(&row));
        let mut plan = merge(base.as_ref(), &values, &known);
        if self.direction == Direction::Export {
            plan = only_to_file(&plan, &values, &known);
        }
        let has_iid = !values.text(Field::Iid).trim().is_empty();
        if plan.is_empty() && has_iid {
            let agreed = plan.agreed(base.as_ref(), &values, &known);
            let both_sides = self.both_sides(row, iid);
            self.agreed.push(Agreed { iid, row: to_json(&agreed), both_sides });
            return self.note(CHUNK);
        }
        self.run.work.push(Work::merge((row, line, iid), values, known, base, plan));
        Ok(())
    }

    /// Rows without an iid are known by their cells; of equal ones each counts for itself.
    fn at_new_rows(&mut self) -> Result<(), SyncError> {
        let new: BTreeSet<usize> = std::mem::take(&mut self.new).into_iter().collect();
        let Some(last) = new.last().copied() else { return Ok(()) };
        let mut same_cells: HashMap<Uuid, usize> = HashMap::new();
        for row in 0..=last {
            let Ok(Some(values)) = self.run.table.values(row) else { continue };
            let before = same_cells.entry(record::nonce(&values, 0)).or_default();
            let nonce = record::nonce(&values, *before);
            *before += 1;
            if new.contains(&row) {
                self.at_new_row(row, values, nonce)?;
            }
        }
        Ok(())
    }

    fn at_new_row(&mut self, row: usize, values: Row, nonce: Uuid) -> Result<(), SyncError> {
        let line = self.run.table.line(row);
        let job = match record::job_match(&values) {
            Ok(job) => job,
            Err(errors) => {
                let what: Vec<String> = errors
                    .iter()
                    .map(|error| format!("{} {}", error.field, error.message).trim().to_owned())
                    .collect();
                self.run.errors.push(RowError::Refused { line, what: what.join("; ") });
                return Ok(());
            }
        };
        let staged = self.run.engine.mirror().record_of(&Fingerprint::of(&job, nonce))?;
        match staged.filter(|record| self.matches.contains_key(&record.iid)) {
            Some(record) => self.at_match(row, record.iid, values)?,
            None if self.direction == Direction::Export => {}
            None => self.run.work.push(Work::stage(row, line, values, job, nonce)),
        }
        Ok(())
    }

    /// Matches without a row get one.
    fn append_the_rest(&mut self) -> Result<(), SyncError> {
        let iids: Vec<u64> = self.matches.keys().filter(|iid| !self.seen.contains(iid)).copied().collect();
        for iid in iids {
            let Some(record) = self.live(iid)? else { continue };
            let known = self.run.days.row_of(&record);
            self.run.table.append(&known)?;
            self.agreed.push(Agreed { iid, row: to_json(&known), both_sides: None });
            self.run.appended.push(PlannedRow {
                line: None,
                iid: Some(iid),
                title: record.job.title,
                action: Action::Append,
                plan: RowPlan::default(),
            });
            self.note(CHUNK)?;
        }
        Ok(())
    }

    fn live(&self, iid: u64) -> Result<Option<Record>, SyncError> {
        if !self.matches.contains_key(&iid) {
            return Ok(None);
        }
        Ok(self.run.engine.mirror().record(iid)?)
    }

    fn both_sides(&self, row: usize, iid: u64) -> Option<Digest> {
        let gitlab = self.matches.get(&iid)?;
        let file = self.run.table.text_of(row);
        Some(digest(self.salt.clone().chain_update(gitlab).chain_update(file)))
    }

    /// Notes what both sides agree on anyway, once it is more than that. Whoever only asks what would be done leaves the
    /// mirror as it is.
    fn note(&mut self, more_than: usize) -> Result<(), SyncError> {
        if self.agreed.len() > more_than {
            let agreed = std::mem::take(&mut self.agreed);
            if self.run.notes {
                self.run.engine.mirror().agree(&self.run.key(), &agreed)?;
            }
        }
        Ok(())
    }
}

fn iid_of(table: &Table, row: usize) -> Option<u64> {
    table.get(row, Field::Iid).ok().flatten()?.trim().parse().ok()
}

pub(super) fn to_json(row: &Row) -> String {
    serde_json::to_string(row).unwrap_or_default()
}

/// Fields that an older version knew and this one does not are left out.
fn from_json(text: &str) -> Option<Row> {
    let mut values: Map<String, Value> = serde_json::from_str(text).ok()?;
    let mut known = |field: Field| match values.remove(field.as_str()) {
        Some(Value::String(value)) => Some((field, value)),
        _ => None,
    };
    Some(Field::ALL.into_iter().filter_map(&mut known).collect())
}

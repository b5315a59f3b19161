//! Both sides are looked at, match by match: what agrees is noted, what does not becomes work.
//!
//! The rows are taken in the order of their iids, as the mirror shows its matches: both are walked through once, side by
//! side, and a row whose cells say what GitLab has costs no more than a comparison.

use std::collections::{HashMap, HashSet};
use std::iter::Peekable;

use uuid::Uuid;

use super::apply::{Work, only_to_file, step_refused};
use super::{Direction, Run, SyncError};
use crate::csv::canonical::{Cells, Days, Fields, packed};
use crate::csv::cell::excerpt;
use crate::csv::columns;
use crate::csv::error::{EditError, RowError};
use crate::csv::field::{Field, Row};
use crate::csv::merge::{Reason, RowPlan, merge};
use crate::csv::plan::{Action, PlannedRow};
use crate::csv::record;
use crate::csv::table::Table;
use crate::domain::identity::{Basis, Fingerprint};
use crate::domain::{JobMatch, State};
use crate::mirror::{Agreed, Presence, Seen, Standing};

/// A row that has an issue: its number, and which row of the file it is. A row without an iid may have one too, where
/// an earlier run made it and was killed before it wrote the iid into the file.
type Place = (u64, usize);

/// Looks at every row of the file and every match, and notes in the run what is to be done about them.
pub(super) struct Look<'r, 'a> {
    run: &'r mut Run<'a>,
    direction: Direction,
    /// The fields that the file has columns for.
    fields: Fields,
    /// How days were counted when the base was noted.
    days_then: Days,
    /// The lines of the rows that are to become issues, by what makes them the match that they are.
    to_stage: HashMap<Fingerprint, u32>,
}

impl<'r, 'a> Look<'r, 'a> {
    pub(super) fn new(run: &'r mut Run<'a>, direction: Direction) -> Result<Self, SyncError> {
        let zone = run.engine.mirror().zone_of(&run.key())?;
        Ok(Self {
            fields: fields_of(&run.table),
            days_then: zone.map_or_else(Days::of_this_machine, |zone| Days::of(&zone)),
            to_stage: HashMap::new(),
            run,
            direction,
        })
    }

    /// Looks at every row, and at the matches without one.
    pub(super) fn at_everything(mut self) -> Result<(), SyncError> {
        let mut places = self.places()?.into_iter().peekable();
        let (engine, key) = (self.run.engine, self.run.key());
        let zone = self.run.days.name().to_owned();
        let zone = Some(zone.as_str()).filter(|_| self.run.notes);
        engine.mirror().look_through(&key, zone, |seen| {
            while let Some(place) = places.next_if(|(iid, _)| *iid < seen.iid) {
                self.at_unknown(place);
            }
            self.at_match(seen, &mut places)
        })?;
        places.for_each(|place| self.at_unknown(place));
        self.run.work.sort_by_key(|work| work.row);
        self.run.errors.sort_by_key(RowError::line);
        Ok(())
    }

    /// Every row that has an issue, by iid; of those with the same one the upper ones first.
    fn places(&mut self) -> Result<Vec<Place>, SyncError> {
        let (mut places, mut new) = (Vec::with_capacity(self.run.table.len()), Vec::new());
        for row in 0..self.run.table.len() {
            match iid_of(&self.run.table, row) {
                Some(iid) => places.push((iid, row)),
                None => match self.run.table.values(row) {
                    Ok(None) => {}
                    Ok(Some(_)) => new.push(row),
                    Err(errors) => self.run.errors.extend(errors),
                },
            }
        }
        self.find_new_rows(&new, &mut places)?;
        places.sort_by_key(|(iid, _)| *iid);
        Ok(places)
    }

    /// Rows without an iid are known by their cells; of equal ones each counts for itself, wherever in the file the others
    /// stand. What is known of none becomes an issue.
    fn find_new_rows(&mut self, new: &[usize], places: &mut Vec<Place>) -> Result<(), SyncError> {
        let mut have_a_row: HashSet<u64> = places.iter().map(|(iid, _)| *iid).collect();
        let mut same_cells: HashMap<Uuid, usize> = HashMap::new();
        for row in new {
            let Ok(Some(values)) = self.run.table.values(*row) else { continue };
            let next = same_cells.entry(record::nonce(&values, 0)).or_default();
            if let Some(iid) = self.find_new_row(*row, &values, next, &have_a_row)? {
                have_a_row.insert(iid);
                places.push((iid, *row));
            }
        }
        Ok(())
    }

    /// The issue of a new row, if it has one. `next` is the first number that no row with the same cells was found by.
    fn find_new_row(
        &mut self,
        row: usize,
        values: &Row,
        next: &mut usize,
        have_a_row: &HashSet<u64>,
    ) -> Result<Option<u64>, SyncError> {
        let line = self.run.table.line(row);
        let job = match record::job_match(values) {
            Ok(job) => job,
            Err(errors) => {
                let what: Vec<String> = errors
                    .iter()
                    .map(|error| format!("{} {}", error.field, error.message).trim().to_owned())
                    .collect();
                self.run.errors.push(RowError::Refused { line, what: what.join("; ") });
                return Ok(None);
            }
        };
        let mirror = self.run.engine.mirror();
        let (nonce, fingerprint, staged) = loop {
            let nonce = record::nonce(values, *next);
            let fingerprint = Fingerprint::of(&job, nonce);
            let staged = mirror.record_of(&fingerprint)?.map(|record| record.iid);
            *next += 1;
            let has_row = self.to_stage.contains_key(&fingerprint)
                || staged.is_some_and(|iid| have_a_row.contains(&iid));
            // Where something else tells which match it is, there is no other one.
            if !has_row || Fingerprint::is_found_again(&job) {
                break (nonce, fingerprint, staged);
            }
        };
        if staged.is_some() {
            return Ok(staged);
        }
        if let Some(erased) = mirror.erased_iid(&fingerprint)? {
            return Ok(Some(erased));
        }
        if self.direction == Direction::Export {
            return Ok(None);
        }
        // One of two would overwrite the other's fields, and the next run again.
        if let Some(first) = self.to_stage.get(&fingerprint) {
            let why = why_same(&self.run.table, &job);
            let what = format!("same match as line {first}: {why}; this row is left as it is");
            self.run.errors.push(RowError::Refused { line, what });
            return Ok(None);
        }
        self.to_stage.insert(fingerprint, line);
        self.run.work.push(Work::stage(row, line, job.title, nonce));
        Ok(None)
    }

    /// A row of a match that the mirror does not have, or that does not count.
    fn at_unknown(&mut self, (iid, row): Place) {
        match self.run.table.values(row) {
            Ok(None) => {}
            Ok(Some(_)) => {
                let known = self.run.engine.mirror().record(iid).ok().flatten();
                let what = match known.map(|record| record.standing) {
                    Some(Standing::Withdrawn) => format!(
                        "match {iid} is withdrawn, its issue does not carry `job-match`; the row is left as it is"
                    ),
                    Some(Standing::Duplicate) => format!(
                        "issue {iid} is a second one of another match, as a comment on it says; delete this row"
                    ),
                    _ => format!("there is no match {iid} in GitLab; the row is left as it is"),
                };
                self.run.errors.push(RowError::Refused { line: self.run.table.line(row), what });
            }
            Err(errors) => self.run.errors.extend(errors),
        }
    }

    /// A row of a match whose data was removed is blanked, whatever it says: nothing of it goes back to GitLab. Its
    /// title says why, as that of the issue does.
    fn at_erased(&mut self, (iid, row): Place, title: &str) {
        let (table, line) = (&self.run.table, self.run.table.line(row));
        let has_iid = table.columns().place(Field::Iid).is_some();
        // Without an iid its title would be that of a new match.
        let why_not = table.why_not_editable(row).or_else(|| table.editable().err().filter(|_| !has_iid));
        if let Some(why) = why_not {
            let what = format!(
                "the data of match {iid} was removed at a person's wish; please blank this row by hand: {why}"
            );
            self.run.errors.push(RowError::Refused { line, what });
            return;
        }
        let mut fields = table.columns().fields().map(|(field, _)| field);
        if !has_iid
            || !fields.all(|field| table.get(row, field) == Ok(Some(left_of_erased(field, iid, title))))
        {
            self.run.work.push(Work::blank((row, line, iid), title.to_owned(), table.own_cells(row)));
        }
    }

    /// A match and its rows. What is returned is agreed on.
    fn at_match(
        &mut self,
        seen: Seen<'_>,
        places: &mut Peekable<impl Iterator<Item = Place>>,
    ) -> Result<Option<Agreed>, SyncError> {
        let gitlab = Cells::read(seen.cells, &self.run.days);
        if seen.presence != Presence::Live {
            while let Some(place) = places.next_if(|(iid, _)| *iid == seen.iid) {
                match seen.presence {
                    Presence::Erased => self.at_erased(place, gitlab.get(Field::Title)),
                    _ => self.at_unknown(place),
                }
            }
            return Ok(if seen.presence == Presence::Erased { None } else { self.still_agreed(seen) });
        }
        let Some((_, row)) = places.next_if(|(iid, _)| *iid == seen.iid) else {
            return match self.direction {
                Direction::Import => Ok(self.still_agreed(seen)),
                _ => self.append(seen, &gitlab),
            };
        };
        let agreed = self.at_row(row, seen, &gitlab);
        while let Some((iid, row)) = places.next_if(|(iid, _)| *iid == seen.iid) {
            match self.run.table.values(row) {
                Ok(None) => {}
                Ok(Some(values)) => {
                    // A row without an iid is of this match by what it says.
                    let by_its_cells = iid_of(&self.run.table, row).is_none();
                    let job = record::job_match(&values).ok().filter(|_| by_its_cells);
                    let why = job.map(|job| format!(": {}", why_same(&self.run.table, &job)));
                    let what = format!(
                        "match {iid} has another row, by its iid or further up{}; this one is left as it is",
                        why.unwrap_or_default()
                    );
                    self.run.errors.push(RowError::Refused { line: self.run.table.line(row), what });
                }
                Err(errors) => self.run.errors.extend(errors),
            }
        }
        Ok(agreed)
    }

    fn at_row(&mut self, row: usize, seen: Seen<'_>, gitlab: &Cells<'_>) -> Option<Agreed> {
        let base_fields = seen.agreed.map(|agreed| Fields(agreed.fields));
        let as_shown = seen.agreed.is_none_or(|agreed| agreed.cells.is_none());
        // Without an iid in it the row gets one, whatever else it says.
        if as_shown && self.fields.has(Field::Iid) && self.run.table.says(row, gitlab) {
            let agreed = Agreed { iid: seen.iid, fields: self.fields.0, cells: None };
            return Some(agreed).filter(|_| base_fields != Some(self.fields));
        }
        let values = match self.run.table.values(row) {
            Ok(values) => values?,
            Err(errors) => {
                self.run.errors.extend(errors);
                return self.still_agreed(seen);
            }
        };
        let known = gitlab.row();
        let base = seen.agreed.map(|agreed| {
            let cells = agreed.cells.as_deref().unwrap_or(seen.cells);
            Cells::read(cells, &self.days_then).some(Fields(agreed.fields).within(self.fields))
        });
        let mut plan = merge(base.as_ref(), &values, &known);
        if self.direction == Direction::Export {
            plan = only_to_file(&plan, base.as_ref(), &values, &known);
        }
        let line = self.run.table.line(row);
        if let Some((from, to)) = self.is_no_step(seen.iid, &plan) {
            plan.refuse_step(from, Reason::NotAllowed);
            self.run.errors.push(RowError::Refused { line, what: step_refused(from, to) });
        }
        let has_iid = !values.text(Field::Iid).trim().is_empty();
        if plan.is_empty() && has_iid {
            let agreed = in_short(seen.iid, &plan.base_afterwards(base.as_ref(), &values, &known), &known);
            return Some(agreed).filter(|agreed| seen.agreed != Some(agreed));
        }
        self.run.work.push(Work::merge((row, line, seen.iid), values, known, base, plan));
        None
    }

    /// What is left of what was agreed on about a match that is left as it is; none where that is all of it. Of a column
    /// that the file has not there is nothing to agree on: should it come back empty, nobody cleared it.
    fn still_agreed(&self, seen: Seen<'_>) -> Option<Agreed> {
        let agreed = seen.agreed?;
        let fields = Fields(agreed.fields).within(self.fields).0;
        (fields != agreed.fields).then(|| Agreed { fields, ..agreed.clone() })
    }

    /// The step that a row asks for, where the match cannot take it.
    fn is_no_step(&self, iid: u64, plan: &RowPlan) -> Option<(State, State)> {
        let to = plan.step?.to;
        let record = self.run.engine.mirror().record(iid).ok().flatten()?;
        (!record.state.may_become(to, record.undo_sent())).then_some((record.state, to))
    }

    /// A match without a row gets one.
    fn append(&mut self, seen: Seen<'_>, gitlab: &Cells<'_>) -> Result<Option<Agreed>, SyncError> {
        let iid = seen.iid;
        match self.append_row(gitlab) {
            // It gets its row once the quote is mended, which is reported.
            Err(EditError::UnclosedQuote { .. }) => return Ok(self.still_agreed(seen)),
            other => other?,
        }
        if self.run.appended.len() < self.run.names {
            self.run.appended.push(PlannedRow {
                line: None,
                iid: Some(iid),
                title: gitlab.get(Field::Title).to_owned(),
                action: Action::Append,
                plan: RowPlan::default(),
                own_cells: Vec::new(),
            });
        } else {
            self.run.more_appended += 1;
        }
        self.run.new_rows.fields = self.fields.0;
        self.run.new_rows.iids.push(iid);
        // Nothing yet: what the file is to get it may never get, and what stood there before is no longer its base.
        let agreed = Agreed { iid, fields: 0, cells: None };
        Ok(Some(agreed).filter(|agreed| seen.agreed != Some(agreed)))
    }

    /// By its iid alone the row is known again: the file may lack the columns of what makes the match the one that it is.
    fn append_row(&mut self, gitlab: &Cells<'_>) -> Result<(), EditError> {
        let table = &mut self.run.table;
        if table.columns().place(Field::Iid).is_none() {
            table.add_column(Field::Iid)?;
            self.fields = fields_of(table);
        }
        table.append_values(|field| gitlab.get(field)).map(drop)
    }
}

/// By what a row is the same match as another, in the names of the file's columns, and what to do about that.
fn why_same(table: &Table, job: &JobMatch) -> String {
    let name = |field| match table.columns().place(field) {
        Some(place) => excerpt(table.columns().header(place)).into_owned(),
        None => columns::header(field, table.dialect().headers),
    };
    let (source, id, url) = (name(Field::Source), name(Field::ExternalId), name(Field::Url));
    match Fingerprint::basis(job) {
        Some(Basis::Reference) => {
            format!("their `{source}` and `{id}` are the same; give this row its own `{id}`")
        }
        Some(Basis::Url) => format!(
            "their `{url}` is the same; empty it in this row, or give the row a `{source}` and its own `{id}`"
        ),
        Some(Basis::Role) => format!(
            "their `{}`, `{}` and `{}` are the same; give this row its own `{url}`, or a title that tells it apart",
            name(Field::Title),
            name(Field::Company),
            name(Field::Location)
        ),
        None => "their cells are the same".to_owned(),
    }
}

/// The fields that a file has columns for.
fn fields_of(table: &Table) -> Fields {
    table.columns().fields().map(|(field, _)| field).collect()
}

/// What both sides agree on, told as shortly as what GitLab has allows it.
fn in_short(iid: u64, row: &Row, known: &Row) -> Agreed {
    let mut agreed = spelled_out(iid, row);
    if row.iter().all(|(field, value)| value == known.text(field)) {
        agreed.cells = None;
    }
    agreed
}

/// What both sides agree on, whatever GitLab has.
pub(super) fn spelled_out(iid: u64, row: &Row) -> Agreed {
    let fields: Fields = row.iter().map(|(field, _)| field).collect();
    Agreed { iid, fields: fields.0, cells: Some(packed(row)) }
}

/// What a row says of a match whose data was removed.
pub(super) fn left_of_erased(field: Field, iid: u64, title: &str) -> String {
    match field {
        Field::Iid => iid.to_string(),
        Field::Title => title.to_owned(),
        _ => String::new(),
    }
}

fn iid_of(table: &Table, row: usize) -> Option<u64> {
    table.get(row, Field::Iid).ok().flatten()?.trim().parse().ok()
}

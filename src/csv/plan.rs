//! What a run would do, for people and as JSON.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;

use super::cell::excerpt;
use super::error::RowError;
use super::merge::{Reason, RowPlan};

/// What a run does, or with `--dry-run` would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// The rows with something to do, in the order of the file.
    pub rows: Vec<PlannedRow>,
    /// How many more issues become rows than are named there.
    #[serde(skip_serializing_if = "is_zero")]
    pub more_appended: usize,
    /// The rows that are left out, and why.
    pub errors: Vec<RowError>,
}

/// What serde leaves out.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// What is done about a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlannedRow {
    /// The line of the file on which it begins, from 1; none where the file gets it as a new row.
    pub line: Option<u32>,
    /// The issue; none where it is still to be made.
    pub iid: Option<u64>,
    /// The match's title, as a help to the eye.
    pub title: String,
    /// What happens to the row as a whole.
    pub action: Action,
    /// What happens to its fields.
    pub plan: RowPlan,
    /// Columns that are none of ours and hold something in a row that is blanked: the user has to look at them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub own_cells: Vec<String>,
}

/// What happens to a row as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// File and GitLab both have it.
    Merge,
    /// It becomes an issue, and the row gets its iid.
    Stage,
    /// The file gets a row for an issue that it does not have.
    Append,
    /// Its match was erased, and so is what the row says of it.
    Blank,
}

/// How much a plan does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Rows that become issues.
    pub staged: usize,
    /// Issues that become rows.
    pub appended: usize,
    /// Fields of the tracker that GitLab gets.
    pub to_gitlab: usize,
    /// Steps that are asked for.
    pub steps: usize,
    /// Rows that are blanked because their match was erased.
    pub blanked: usize,
    /// Cells that the file gets, new and blanked rows apart.
    pub to_file: usize,
    /// Values of the file that gave way.
    pub conflicts: usize,
    /// Errors in rows, which are left out.
    pub errors: usize,
}

impl Plan {
    /// Notes a row, unless there is nothing to do about it.
    pub fn push(&mut self, row: PlannedRow) {
        if row.action != Action::Merge || !row.plan.is_empty() {
            self.rows.push(row);
        }
    }

    /// What this plan and a later one did together, where the file was not written after this one: what GitLab got
    /// counts, what the file was to get is in the later one.
    #[must_use]
    pub fn then(self, mut later: Self) -> Self {
        let mut rows = Vec::new();
        for mut row in self.rows {
            row.plan.to_file.clear();
            row.plan.conflicts.clear();
            let again = later.rows.iter().position(|other| other.iid == row.iid && row.iid.is_some());
            if let Some(again) = again {
                let other = later.rows.remove(again).plan;
                let anew = |field| other.to_gitlab.iter().any(|change| change.field == field);
                row.plan.to_gitlab.retain(|change| !anew(change.field));
                row.plan.to_gitlab.extend(other.to_gitlab);
                row.plan.step = other.step.or(row.plan.step);
                (row.plan.to_file, row.plan.conflicts) = (other.to_file, other.conflicts);
            }
            if row.action == Action::Stage || !row.plan.is_empty() {
                rows.push(row);
            }
        }
        rows.append(&mut later.rows);
        Self { rows, ..later }
    }

    /// How much it does.
    pub fn summary(&self) -> Summary {
        let mut summary =
            Summary { appended: self.more_appended, errors: self.errors.len(), ..Summary::default() };
        for PlannedRow { action, plan, .. } in &self.rows {
            summary.staged += usize::from(*action == Action::Stage);
            summary.appended += usize::from(*action == Action::Append);
            summary.blanked += usize::from(*action == Action::Blank);
            summary.to_gitlab += plan.to_gitlab.len();
            summary.steps += usize::from(plan.step.is_some());
            summary.to_file += plan.to_file.len();
            summary.conflicts += plan.conflicts.len();
        }
        summary
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            (self.staged, "row becomes an issue", "rows become issues"),
            (self.appended, "issue becomes a row", "issues become rows"),
            (self.to_gitlab, "field goes to GitLab", "fields go to GitLab"),
            (self.steps, "change of state", "changes of state"),
            (self.blanked, "row of an erased match is blanked", "rows of erased matches are blanked"),
            (self.to_file, "cell changes", "cells change"),
            (self.conflicts, "conflict", "conflicts"),
            (self.errors, "error", "errors"),
        ];
        let said: Vec<String> = parts
            .into_iter()
            .filter(|(count, ..)| *count > 0)
            .map(|(count, one, many)| format!("{count} {}", if count == 1 { one } else { many }))
            .collect();
        f.write_str(if said.is_empty() { "nothing to do" } else { "" })?;
        f.write_str(&said.join(", "))
    }
}

impl fmt::Display for Plan {
    /// A table of one line a field, then how much it is. What is wrong is no part of it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.rows.is_empty() {
            writeln!(f, "{:>6}  {:>6}  {:<14} what", "line", "iid", "field")?;
        }
        for row in &self.rows {
            row.write(f)?;
        }
        if self.more_appended > 0 {
            writeln!(f, "… and {} more issues become rows", self.more_appended)?;
        }
        write!(f, "{}", self.summary())
    }
}

impl PlannedRow {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let title = excerpt(&self.title);
        match self.action {
            Action::Merge => {}
            Action::Stage => self.line(f, "", format_args!("becomes an issue: {title}"))?,
            Action::Append => self.line(f, "", format_args!("becomes a row: {title}"))?,
            Action::Blank => {
                self.line(f, "", format_args!("is blanked, its match was erased: {title}"))?;
                for column in &self.own_cells {
                    self.line(f, "", format_args!("stays, please look at it: {}", excerpt(column)))?;
                }
            }
        }
        if let Some(step) = self.plan.step {
            let from = step.from.map_or("", |from| from.as_str());
            self.line(f, "state", format_args!("GitLab: {from} → {}", step.to))?;
        }
        for change in &self.plan.to_gitlab {
            let (from, to) = (shown(&change.from), shown(&change.to));
            self.line(f, change.field.as_str(), format_args!("GitLab: {from} → {to}"))?;
        }
        let conflict = |field| self.plan.conflicts.iter().find(|conflict| conflict.field == field);
        for change in &self.plan.to_file {
            let why = match conflict(change.field).map(|conflict| conflict.reason) {
                None => "",
                Some(Reason::BothChanged) => " (conflict: both changed)",
                Some(Reason::NoBase) => " (conflict: differs from GitLab)",
                Some(Reason::Exported) => " (conflict: the file's edit was not synced)",
                Some(Reason::NotTakenOver) => " (conflict: not taken over, it belongs to the match)",
                Some(Reason::NotAllowed) => " (conflict: there is no such step)",
            };
            let (from, to) = (shown(&change.from), shown(&change.to));
            self.line(f, change.field.as_str(), format_args!("file: {from} → {to}{why}"))?;
        }
        Ok(())
    }

    fn line(&self, f: &mut fmt::Formatter<'_>, field: &str, what: fmt::Arguments<'_>) -> fmt::Result {
        number(f, self.line.map(u64::from))?;
        f.write_str("  ")?;
        number(f, self.iid)?;
        writeln!(f, "  {field:<14} {what}")
    }
}

/// A line or an iid in its column.
fn number(f: &mut fmt::Formatter<'_>, number: Option<u64>) -> fmt::Result {
    match number {
        Some(number) => write!(f, "{number:>6}"),
        None => f.write_str("   new"),
    }
}

/// A value in a line, an empty one as a dash.
fn shown(text: &str) -> Cow<'_, str> {
    if text.is_empty() { Cow::Borrowed("–") } else { excerpt(text) }
}

#[cfg(test)]
mod tests {
    use super::super::field::{Field, Row};
    use super::super::merge::merge;
    use super::*;

    fn row(values: &[(Field, &str)]) -> Row {
        values.iter().map(|(field, value)| (*field, (*value).to_owned())).collect()
    }

    #[test]
    fn a_plan_is_a_table_and_json() {
        let values = |state, notes, company| {
            row(&[(Field::State, state), (Field::Notes, notes), (Field::Company, company), (Field::Rtr, "")])
        };
        let base = values("pending", "call", "ACME");
        let mut gitlab = values("pending", "called", "ACME");
        gitlab.set(Field::Rtr, "yes");
        let merged = merge(Some(&base), &values("approved", "call\nagain", "Acme Ltd"), &gitlab);
        let mut plan =
            Plan { errors: vec![RowError::Torn { line: 9, cells: 3, columns: 27 }], ..Plan::default() };
        let planned = |line, iid, title: &str, action, plan| PlannedRow {
            line,
            iid,
            title: title.into(),
            action,
            plan,
            own_cells: Vec::new(),
        };
        plan.push(planned(Some(2), Some(12), "Rust", Action::Merge, merged));
        plan.push(planned(Some(3), Some(13), "Nothing", Action::Merge, RowPlan::default()));
        plan.push(planned(Some(4), None, "COBOL", Action::Stage, RowPlan::default()));
        plan.push(planned(None, Some(14), "Perl", Action::Append, RowPlan::default()));
        let erased = planned(Some(5), Some(15), "Removed", Action::Blank, RowPlan::default());
        plan.push(PlannedRow { own_cells: vec!["Mein Feld".to_owned()], ..erased });
        insta::assert_snapshot!(plan);
        insta::assert_json_snapshot!(plan);
        assert_eq!(Plan::default().to_string(), "nothing to do");
    }

    #[test]
    fn of_many_new_rows_some_are_named_and_all_are_counted() {
        let named = PlannedRow {
            line: None,
            iid: Some(1),
            title: "Rust".into(),
            action: Action::Append,
            plan: RowPlan::default(),
            own_cells: Vec::new(),
        };
        let plan = Plan { rows: vec![named], more_appended: 2, ..Plan::default() };
        let told = Plan::default().then(plan).to_string();
        let lines: Vec<&str> = told.lines().skip(1).collect();
        let expected = [
            "   new       1                 becomes a row: Rust",
            "… and 2 more issues become rows",
            "3 issues become rows",
        ];
        assert_eq!(lines, expected);
    }
}

//! File, GitLab and what the two agreed on last: who gets what.
//!
//! A field that changed on one side only is taken over by the other. Where both changed, differently, GitLab wins and
//! the file's value is kept beside it. Without a base an empty side takes the other's value, and two different values
//! are a conflict that GitLab wins. What the match itself is (title, company, dates …) is GitLab's: the service never
//! rewrites a description, so an edit of such a cell is set back and kept beside the file; where GitLab has nothing for
//! it and never had, the cell is the file's own and stays; so do the days of finding and deciding that the file had
//! before the two were ever synced. An edited state is a step that is asked for.

use serde::Serialize;

use super::field::{Field, Kind, Owner, Row};
use crate::domain::State;

/// What one side gets for a field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The field.
    pub field: Field,
    /// What that side has, in canonical form.
    pub from: String,
    /// What it gets, in canonical form; empty clears it.
    pub to: String,
}

/// A step of the match that the file asks for; whether it is allowed is decided by who takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Where GitLab has it, if it says so.
    pub from: Option<State>,
    /// Where the file has it.
    pub to: State,
}

/// Why GitLab's value won.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Both sides changed it, differently.
    BothChanged,
    /// The sides differ and it is not known which of them changed.
    NoBase,
    /// It belongs to the match, which the service does not rewrite.
    NotTakenOver,
    /// An export asks nothing of GitLab, and the file's edit was not synced before.
    Exported,
    /// There is no such step.
    NotAllowed,
}

/// A value of the file that gave way to GitLab's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Conflict {
    /// The field.
    pub field: Field,
    /// The file's value, in canonical form; it is kept in the file of conflicts.
    pub file: String,
    /// GitLab's value, in canonical form; both sides have it now.
    pub gitlab: String,
    /// Why.
    pub reason: Reason,
}

/// What is to be done about one row.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RowPlan {
    /// Fields of the tracker that GitLab gets.
    pub to_gitlab: Vec<Change>,
    /// The step of the match that the file asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<Step>,
    /// Cells that the file gets.
    pub to_file: Vec<Change>,
    /// What gave way to GitLab's values.
    pub conflicts: Vec<Conflict>,
    /// Cells about the match for which GitLab has nothing: they stay in the file and do not reach GitLab. Not a thing
    /// to do, only to know.
    pub file_only: Vec<Field>,
}

impl RowPlan {
    /// Whether there is nothing to do.
    pub const fn is_empty(&self) -> bool {
        self.to_gitlab.is_empty()
            && self.step.is_none()
            && self.to_file.is_empty()
            && self.conflicts.is_empty()
    }

    /// The step is not taken: the file gets the state in which the match stays, and what it said is kept beside it.
    pub fn refuse_step(&mut self, stays: State, reason: Reason) {
        let Some(step) = self.step.take() else { return };
        let (field, file, gitlab) = (Field::State, step.to.as_str().to_owned(), stays.as_str().to_owned());
        self.to_file.push(Change { field, from: file.clone(), to: gitlab.clone() });
        self.conflicts.push(Conflict { field, file, gitlab, reason });
    }

    /// Carries the plan out on the values of both sides.
    pub fn apply(&self, file: &mut Row, gitlab: &mut Row) {
        for change in &self.to_file {
            file.set(change.field, change.to.as_str());
        }
        for change in &self.to_gitlab {
            gitlab.set(change.field, change.to.as_str());
        }
        if let Some(step) = self.step {
            gitlab.set(Field::State, step.to.as_str());
        }
    }

    /// What the sides agree on once the plan is carried out: the base of the next merge. Where a step was refused, the
    /// caller puts the state that GitLab stayed in, here and into the file.
    ///
    /// A field that the caller leaves out of `file` keeps its old base: what was not settled is tried again. `base` tells
    /// nothing of columns that the file has not: one that comes back empty was not cleared.
    pub fn base_afterwards(&self, base: Option<&Row>, file: &Row, gitlab: &Row) -> Row {
        let mut agreed = base.cloned().unwrap_or_default();
        let mut settled = gitlab.clone();
        self.apply(&mut file.clone(), &mut settled);
        for (field, _) in file.iter() {
            if self.is_the_files_own_day(field) {
                // With a base it would be an edit of the file that GitLab has to win against.
                agreed.forget(field);
            } else {
                agreed.set(field, settled.text(field));
            }
        }
        agreed
    }

    /// What the sides agree on while the file is not written yet: what GitLab took. Cells that the file is still to get
    /// keep their old base, so that an edit made meanwhile is seen as one.
    pub fn base_before_writing(&self, base: Option<&Row>, file: &Row, gitlab: &Row) -> Row {
        let mut agreed = self.base_afterwards(base, file, gitlab);
        for Change { field, .. } in &self.to_file {
            match base.and_then(|base| base.get(*field)) {
                Some(value) => agreed.set(*field, value),
                None => agreed.forget(*field),
            }
        }
        agreed
    }

    fn is_the_files_own_day(&self, field: Field) -> bool {
        field.kind() == Kind::Moment && self.file_only.contains(&field)
    }

    fn note(&mut self, field: Field, file: &str, gitlab: &str, verdict: Verdict) {
        let change = |from: &str, to: &str| Change { field, from: from.to_owned(), to: to.to_owned() };
        match verdict {
            Verdict::Same => {}
            Verdict::FileOnly => self.file_only.push(field),
            Verdict::ToFile => self.to_file.push(change(file, gitlab)),
            Verdict::ToGitlab => match (field, file.parse()) {
                (Field::State, Ok(to)) => self.step = Some(Step { from: gitlab.parse().ok(), to }),
                (Field::State, Err(_)) => self.conflict(field, file, gitlab, Reason::NotTakenOver),
                _ => self.to_gitlab.push(change(gitlab, file)),
            },
            Verdict::Conflict(reason) => self.conflict(field, file, gitlab, reason),
        }
    }

    fn conflict(&mut self, field: Field, file: &str, gitlab: &str, reason: Reason) {
        self.to_file.push(Change { field, from: file.to_owned(), to: gitlab.to_owned() });
        self.conflicts.push(Conflict { field, file: file.to_owned(), gitlab: gitlab.to_owned(), reason });
    }
}

/// Merges one row. Fields without a column in the file are left alone; what GitLab's side does not know is empty.
pub fn merge(base: Option<&Row>, file: &Row, gitlab: &Row) -> RowPlan {
    let mut plan = RowPlan::default();
    for (field, in_file) in file.iter() {
        let in_gitlab = gitlab.text(field);
        let in_base = base.and_then(|base| base.get(field));
        let verdict = match field.owner() {
            _ if field.same(in_file, in_gitlab) => Verdict::Same,
            Owner::Match => of_the_match(field, in_base, in_file, in_gitlab),
            // There is no such thing as no state.
            Owner::State if field.says_nothing(in_file) => Verdict::ToFile,
            Owner::State | Owner::Tracker => of_both(field, in_base, in_file, in_gitlab),
        };
        plan.note(field, in_file, in_gitlab, verdict);
    }
    plan
}

/// What happens to a field whose two sides differ.
#[derive(Clone, Copy)]
enum Verdict {
    Same,
    ToFile,
    ToGitlab,
    Conflict(Reason),
    FileOnly,
}

/// A field that both sides may edit.
fn of_both(field: Field, base: Option<&str>, file: &str, gitlab: &str) -> Verdict {
    match base {
        Some(base) if field.same(base, file) => Verdict::ToFile,
        Some(base) if field.same(base, gitlab) => Verdict::ToGitlab,
        Some(_) => Verdict::Conflict(Reason::BothChanged),
        None if field.says_nothing(file) => Verdict::ToFile,
        None if field.says_nothing(gitlab) => Verdict::ToGitlab,
        None => Verdict::Conflict(Reason::NoBase),
    }
}

/// A field that the file can only show.
fn of_the_match(field: Field, base: Option<&str>, file: &str, gitlab: &str) -> Verdict {
    if field.says_nothing(file) || base.is_some_and(|base| field.same(base, file)) {
        return Verdict::ToFile;
    }
    // A day from before the service knew of the match is the user's: GitLab only knows when its issue was made.
    let may_be_its_own = field.says_nothing(gitlab) || field.kind() == Kind::Moment;
    if may_be_its_own && base.is_none_or(|base| field.says_nothing(base)) {
        return Verdict::FileOnly;
    }
    Verdict::Conflict(match base {
        None => Reason::NoBase,
        Some(base) if field.same(base, gitlab) => Reason::NotTakenOver,
        Some(_) => Reason::BothChanged,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(field: Field, value: &str) -> Row {
        Row::from_iter([(field, value.to_owned())])
    }

    /// What happens to one field, in short: `g` goes to GitLab, `f` to the file, `!` is a conflict, `.` file only.
    fn outcome(field: Field, base: Option<&str>, file: &str, gitlab: &str) -> String {
        let base = base.map(|base| row(field, base));
        let plan = merge(base.as_ref(), &row(field, file), &row(field, gitlab));
        let mut signs = String::new();
        for (there, sign) in [
            (!plan.to_gitlab.is_empty(), 'g'),
            (plan.step.is_some(), 's'),
            (!plan.to_file.is_empty(), 'f'),
            (!plan.conflicts.is_empty(), '!'),
            (!plan.file_only.is_empty(), '.'),
        ] {
            signs.extend(there.then_some(sign));
        }
        signs
    }

    #[test]
    fn a_field_of_the_tracker_may_be_edited_on_both_sides() {
        for (base, file, gitlab, signs) in [
            (Some("a"), "a", "a", ""),
            (Some("a"), "b", "a", "g"),
            (Some("a"), "", "a", "g"),
            (Some("a"), "a", "b", "f"),
            (Some("a"), "a", "", "f"),
            (Some("a"), "b", "b", ""),
            (Some("a"), "b", "c", "f!"),
            (Some("a"), "", "c", "f!"),
            (None, "a", "", "g"),
            (None, "", "a", "f"),
            (None, "a", "b", "f!"),
            (None, " a\r\n", "a", ""),
        ] {
            assert_eq!(outcome(Field::Notes, base, file, gitlab), signs, "{base:?} {file} {gitlab}");
        }
        assert_eq!(outcome(Field::Stage, None, "", "none"), "");
        assert_eq!(outcome(Field::Stage, None, "applied", "none"), "g");
    }

    #[test]
    fn a_field_of_the_match_is_only_shown() {
        for (base, file, gitlab, signs) in [
            (Some("a"), "a", "b", "f"),
            (Some("a"), "b", "a", "f!"),
            (Some("a"), "", "a", "f"),
            (Some("a"), "a", "", "f"),
            (Some("a"), "b", "", "f!"),
            (Some(""), "b", "", "."),
            (None, "a", "", "."),
            (None, "", "a", "f"),
            (None, "a", "b", "f!"),
        ] {
            assert_eq!(outcome(Field::Company, base, file, gitlab), signs, "{base:?} {file} {gitlab}");
        }
    }

    #[test]
    fn a_day_from_before_the_first_sync_is_the_files_own_and_stays_so() {
        for field in [Field::Created, Field::Decided] {
            for gitlab in ["2026-11-23", ""] {
                let (file, gitlab) = (row(field, "2025-02-01"), row(field, gitlab));
                let plan = merge(None, &file, &gitlab);
                assert!(plan.is_empty() && plan.file_only == [field], "{plan:?}");
                let base = plan.base_afterwards(None, &file, &gitlab);
                let later = row(field, "2026-12-01");
                let again = merge(Some(&base), &file, &later);
                assert!(again.is_empty() && again.file_only == [field], "{again:?}");
            }
            // What came from GitLab is GitLab's.
            assert_eq!(outcome(field, Some("2026-11-23"), "2025-02-01", "2026-11-23"), "f!");
            assert_eq!(outcome(field, Some("2026-11-23"), "2026-11-23", "2026-11-24"), "f");
            assert_eq!(outcome(field, None, "", "2026-11-23"), "f");
        }
    }

    #[test]
    fn before_the_file_is_written_only_what_gitlab_took_is_agreed_on() {
        let side = |notes: &str, rtr: &str| {
            Row::from_iter([(Field::Notes, notes.to_owned()), (Field::Rtr, rtr.to_owned())])
        };
        let (base, file, gitlab) = (side("a", "no"), side("b", "no"), side("a", "yes"));
        let plan = merge(Some(&base), &file, &gitlab);
        assert_eq!(plan.base_before_writing(Some(&base), &file, &gitlab), side("b", "no"));
        assert_eq!(plan.base_afterwards(Some(&base), &file, &gitlab), side("b", "yes"));
        let first = merge(None, &side("b", ""), &gitlab);
        assert_eq!(first.base_before_writing(None, &side("b", ""), &side("", "yes")).get(Field::Rtr), None);
    }

    #[test]
    fn an_edited_state_is_a_step() {
        for (base, file, gitlab, signs) in [
            (Some("pending"), "approved", "pending", "s"),
            (Some("pending"), "pending", "approved", "f"),
            (Some("pending"), "rejected", "approved", "f!"),
            (Some("pending"), "", "pending", "f"),
            (None, "approved", "pending", "f!"),
        ] {
            assert_eq!(outcome(Field::State, base, file, gitlab), signs, "{base:?} {file} {gitlab}");
        }
    }

    #[test]
    fn a_column_that_the_file_has_not_is_no_edit() {
        let base = row(Field::Notes, "a");
        let plan = merge(Some(&base), &Row::new(), &row(Field::Notes, "b"));
        assert!(plan.is_empty());
    }
}

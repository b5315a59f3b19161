//! What people's acts mean, judged as the service judges them when it looks.

use std::collections::BTreeSet;

use super::Replay;
use crate::domain::State;
use crate::domain::decide::{Act, Known, Observed, Verdict, What, decide};
use crate::domain::history::{Step, Through};

impl Replay<'_> {
    /// What people's acts mean for such a match, where the issue shows this state.
    pub(super) fn verdict_of(&self, known: Known, acts: &[Act], shown: State) -> Verdict {
        self.verdict_where(known, acts, BTreeSet::from([shown]))
    }

    /// What people's acts mean for such a match, where the issue shows all that they left.
    pub(super) fn verdict_of_all(&self, known: Known, acts: &[Act]) -> Verdict {
        let mut left = BTreeSet::from([known.state]);
        for act in acts {
            match act.what {
                What::Add(state) => drop(left.insert(state)),
                What::Remove(state) => drop(left.remove(&state)),
                What::Withdraw | What::PutBack | What::Close | What::Reopen => {}
            }
        }
        self.verdict_where(known, acts, left)
    }

    fn verdict_where(&self, known: Known, acts: &[Act], states: BTreeSet<State>) -> Verdict {
        let closed = acts.iter().rev().find_map(|act| match act.what {
            What::Close => Some(true),
            What::Reopen => Some(false),
            _ => None,
        });
        let closed = closed.unwrap_or(known.state.is_closed());
        let shown = Observed { is_match: true, states, closed };
        decide(known, &shown, acts, &self.life.reviewers)
    }

    /// A match that stood so before these acts.
    pub(super) fn known(&self, state: State, acts: &[Act]) -> Known {
        let last = acts.last().map(|act| act.at);
        let undo_sent = self.life.sent_since.is_none_or(|since| last.is_none_or(|last| last <= since));
        Known { state, withdrawn: false, undo_sent }
    }
}

/// The steps of a verdict about acts, as history shows them.
pub(super) fn steps_of(acts: &[Act], verdict: Verdict) -> Vec<Step> {
    let Some(last) = acts.last() else { return Vec::new() };
    let steps = verdict.steps.into_iter().map(|step| Step {
        from: step.from,
        to: step.to,
        by: step.by.unwrap_or_default(),
        at: step.at.unwrap_or(last.at),
        through: Through::Gitlab,
        comment: None,
    });
    steps.collect()
}

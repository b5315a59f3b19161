//! `job-match` taken off and put on again.

use jiff::Timestamp;

use super::{Act, Decided, Known, ONE_ACT, Observed, Refusal, Repair, Reviewers, Verdict, What, decide};
use crate::domain::State;

/// The issue does not carry `job-match`.
pub(super) fn withdraw(known: Known, observed: &Observed, acts: &[Act], reviewers: &Reviewers) -> Verdict {
    if known.withdrawn {
        let verdict = put_back_unseen(known, observed, acts, reviewers);
        return verdict.unwrap_or_else(|| withdrawn(Verdict::nothing_happened(known)));
    }
    let taken_off = acts.iter().rposition(|act| act.what == What::Withdraw);
    let refusal = match taken_off {
        Some(off) if reviewers.may(acts[off].by.as_deref()) => {
            // What was decided before that are steps too.
            let (before, since) = acts.split_at(off);
            return withdrawn(decide(known, &observed.before(since), before, reviewers));
        }
        Some(off) => Some(Refusal::NoReviewer { who: acts[off].by.clone() }),
        // Nobody took it off: the label itself was deleted.
        None => None,
    };
    // What was decided meanwhile counts as if it had stayed on.
    let is_about_state = |act: &&Act| !matches!(act.what, What::Withdraw | What::PutBack);
    let others: Vec<Act> = acts.iter().filter(is_about_state).cloned().collect();
    let as_if_on = Observed { is_match: true, ..observed.clone() };
    let verdict = decide(known, &as_if_on, &others, reviewers).repairing(observed);
    Verdict { refusal: verdict.refusal.clone().or(refusal), ..verdict }
}

/// Somebody who may had put `job-match` on a withdrawn match again, and a stranger took it off before anybody looked: that
/// is taken back.
fn put_back_unseen(
    known: Known,
    observed: &Observed,
    acts: &[Act],
    reviewers: &Reviewers,
) -> Option<Verdict> {
    let may = |act: &Act| reviewers.may(act.by.as_deref());
    let moves_it = |act: &Act| matches!(act.what, What::Withdraw | What::PutBack) && may(act);
    let last = acts.iter().rposition(moves_it).filter(|last| acts[*last].what == What::PutBack)?;
    let taken_off = acts[last..].iter().rfind(|act| act.what == What::Withdraw)?;
    let counts = |act: &&Act| act.what != What::Withdraw || may(act);
    let counted: Vec<Act> = acts.iter().filter(counts).cloned().collect();
    let as_if_on = Observed { is_match: true, ..observed.clone() };
    let verdict = put_back(known, &as_if_on, &counted, reviewers).repairing(observed);
    let refusal = Refusal::NoReviewer { who: taken_off.by.clone() };
    Some(Verdict { refusal: verdict.refusal.clone().or(Some(refusal)), ..verdict })
}

/// Its labels are nobody's concern any more.
fn withdrawn(before: Verdict) -> Verdict {
    Verdict { withdrawn: true, refusal: None, repair: Repair::default(), ..before }
}

/// `job-match` is on again: the match is staged anew, in the state that its label said then where somebody put it on who
/// may. What came after that are steps.
pub(super) fn put_back(known: Known, observed: &Observed, acts: &[Act], reviewers: &Reviewers) -> Verdict {
    let (while_off, since) = acts.split_at(end_of_putting_back(acts));
    let staged = staged_anew(known, &observed.before(since), while_off, reviewers);
    if since.is_empty() {
        return Verdict { repair: Repair::towards(staged.state, observed), ..staged };
    }
    let again = Known { state: staged.state, withdrawn: false, ..known };
    let next = decide(again, observed, since, reviewers);
    // They made it clear since.
    let is_clear = next.state != staged.state;
    let refusal = staged.refusal.clone().filter(|refusal| !is_clear || *refusal != Refusal::Ambiguous);
    Verdict { refusal, ..staged }.and_then(next, known)
}

/// When `job-match` was put on last that was off before; none where it was not. `was_off` says whether it was at first.
pub fn put_on_at(acts: &[Act], was_off: bool) -> Option<Timestamp> {
    let (mut is_off, mut put_on) = (was_off, None);
    for act in acts {
        match act.what {
            What::Withdraw => is_off = true,
            What::PutBack if is_off => put_on = Some(act.at),
            _ => {}
        }
    }
    put_on
}

/// Acts among which `job-match` was taken off and put on again, so that nobody saw it off: what came before that are
/// steps too.
pub(super) fn withdrawn_for_a_while(
    known: Known,
    observed: &Observed,
    acts: &[Act],
    reviewers: &Reviewers,
) -> Option<Verdict> {
    let on = acts.iter().rposition(|act| act.what == What::PutBack)?;
    let off = acts[..on].iter().rposition(|act| act.what == What::Withdraw)?;
    let (before, since) = acts.split_at(off);
    let first = decide(known, &observed.before(since), before, reviewers);
    let then = Known { state: first.state, withdrawn: true, ..known };
    let next = put_back(then, observed, since, reviewers);
    Some(first.and_then(next, known))
}

/// Where the acts end that were one with putting `job-match` on.
fn end_of_putting_back(acts: &[Act]) -> usize {
    let Some(on) = acts.iter().position(|act| act.what == What::PutBack) else {
        return acts.len();
    };
    let is_one_act =
        |act: &&Act| act.by == acts[on].by && act.at.duration_since(acts[on].at).abs() <= ONE_ACT;
    on + 1 + acts[on + 1..].iter().take_while(is_one_act).count()
}

fn staged_anew(known: Known, then: &Observed, while_off: &[Act], reviewers: &Reviewers) -> Verdict {
    let mut labels = then.states.iter();
    let wanted = match (labels.next(), labels.next()) {
        (Some(only), None) => *only,
        _ => known.state,
    };
    let put_on = while_off.iter().rev().find(|act| act.what == What::Add(wanted));
    let (by, at) = (put_on.and_then(|act| act.by.clone()), put_on.map(|act| act.at));
    // Not where a label is only left of what was decided before.
    let was_added = |state: State| while_off.iter().any(|act| act.what == What::Add(state));
    let is_other = |state: &State| *state != known.state && was_added(*state);
    let refusal = if then.states.len() > 1 && then.states.iter().any(is_other) {
        Some(Refusal::Ambiguous)
    } else if wanted == known.state {
        None
    } else if !reviewers.may(by.as_deref()) {
        Some(Refusal::NoReviewer { who: by.clone() })
    } else if known.state == State::Sent && !known.undo_sent {
        // What has left is with the employer, whatever was withdrawn here meanwhile.
        Some(Refusal::NotAllowed { from: known.state, to: wanted })
    } else {
        None
    };
    let state = if refusal.is_none() { wanted } else { known.state };
    Verdict {
        state,
        withdrawn: false,
        refusal,
        steps: (state != known.state)
            .then_some(Decided { from: known.state, to: state, by, at })
            .into_iter()
            .collect(),
        repair: Repair::default(),
    }
}

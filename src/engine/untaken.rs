//! Changes that GitLab does not take as they are written. Where the token's user may no longer label, it answers as if all were
//! well, leaves the labels as they were, and tells of the write by a webhook all the same. So the same change is written again
//! after pauses that grow, not after each webhook.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use super::{Engine, Hint};
use crate::gitlab::Issue;
use crate::gitlab::issues::IssueChange;

/// The first pause; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// What GitLab did not take, by the issue's number: a decision that is owed and an act that is undone may be two.
#[derive(Default)]
pub(super) struct Untaken(Mutex<HashMap<u64, Vec<Refused>>>);

struct Refused {
    change: IssueChange,
    times: u32,
    /// Not written again before.
    until: Timestamp,
}

impl Untaken {
    /// Until when this change is not to be written again.
    fn rests_until(&self, iid: u64, change: &IssueChange, now: Timestamp) -> Option<Timestamp> {
        let all = self.lock();
        let refused = all.get(&iid)?.iter().find(|refused| refused.change == *change)?;
        refused.rests(now).then_some(refused.until)
    }

    /// Notes that a change was not taken; says until when it rests.
    fn note(&self, iid: u64, change: &IssueChange, now: Timestamp) -> Timestamp {
        let mut all = self.lock();
        let of_this_issue = all.entry(iid).or_default();
        let known = of_this_issue.iter().position(|refused| refused.change == *change);
        let times = known.map_or(0, |known| of_this_issue.swap_remove(known).times);
        // What was not asked for again since is not wanted any more.
        of_this_issue.retain(|refused| now <= after(refused.until, LONGEST_PAUSE));
        let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(times)).min(LONGEST_PAUSE);
        let until = after(now, pause);
        of_this_issue.push(Refused { change: change.clone(), times: times.saturating_add(1), until });
        until
    }

    /// Forgets a change that was taken.
    fn forget(&self, iid: u64, change: &IssueChange) {
        self.keep(iid, |refused| refused.change != *change);
    }

    /// Forgets whatever was to be done about an issue.
    pub(super) fn forget_all(&self, iid: u64) {
        self.lock().remove(&iid);
    }

    /// Forgets what was to be done about labels, which are right now.
    pub(super) fn forget_labels(&self, iid: u64) {
        self.keep(iid, |refused| refused.change.assignee.is_some());
    }

    fn keep(&self, iid: u64, which: impl FnMut(&Refused) -> bool) {
        let mut all = self.lock();
        let Some(of_this_issue) = all.get_mut(&iid) else { return };
        of_this_issue.retain(which);
        if of_this_issue.is_empty() {
            all.remove(&iid);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Vec<Refused>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Refused {
    fn rests(&self, now: Timestamp) -> bool {
        // What lies further ahead is of before our clock was set back.
        now < self.until && self.until <= after(now, LONGEST_PAUSE)
    }
}

impl Engine {
    /// Whether GitLab did not take this very change a moment ago: it is written again later.
    pub(super) fn rests(&self, iid: u64, change: &IssueChange) -> bool {
        let until = self.inner.untaken.rests_until(iid, change, self.inner.clock.now());
        if let Some(until) = until {
            self.inner.queue.push_later(iid, Hint::default(), until);
        }
        until.is_some()
    }

    /// Says whether GitLab did what it was asked for, by how it answered; where it did not, that is tried again later.
    pub(super) fn was_taken(&self, issue: &Issue, change: &IssueChange) -> bool {
        if change.is_shown_by(issue) {
            self.inner.untaken.forget(issue.iid, change);
            return true;
        }
        let labels = &issue.labels;
        tracing::error!(
            iid = issue.iid,
            ?change,
            ?labels,
            "GitLab did not take the change as written; may the token's user label and assign?"
        );
        let until = self.inner.untaken.note(issue.iid, change, self.inner.clock.now());
        self.inner.queue.push_later(issue.iid, Hint::default(), until);
        false
    }

    /// Writes at once, at the wish of somebody who waits for it, whatever GitLab did not take before.
    pub(super) fn rest_no_more(&self, iid: u64) {
        self.inner.untaken.forget_all(iid);
    }

    /// The issues of which GitLab does not take a change.
    pub fn untaken(&self) -> Vec<u64> {
        let (all, now) = (self.inner.untaken.lock(), self.inner.clock.now());
        let waits = |refused: &[Refused]| refused.iter().any(|refused| refused.rests(now));
        let mut iids: Vec<u64> =
            all.iter().filter(|(_, refused)| waits(refused)).map(|(iid, _)| *iid).collect();
        iids.sort_unstable();
        iids
    }
}

fn after(now: Timestamp, pause: Duration) -> Timestamp {
    now.checked_add(pause).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const IID: u64 = 7;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn label(name: &str) -> IssueChange {
        IssueChange { add_labels: vec![name.to_owned()], ..IssueChange::default() }
    }

    #[test]
    fn pauses_grow_up_to_an_hour_and_those_of_two_changes_stand_apart() {
        let (untaken, approved, pending) = (Untaken::default(), label("approved"), label("pending"));
        assert_eq!(untaken.note(IID, &approved, at(0)), at(60));
        assert_eq!(untaken.note(IID, &pending, at(10)), at(70));
        assert_eq!(untaken.note(IID, &approved, at(60)), at(180));
        assert_eq!(untaken.rests_until(IID, &pending, at(69)), Some(at(70)));
        assert_eq!(untaken.rests_until(IID, &pending, at(70)), None, "it is tried again");
        untaken.forget(IID, &pending);
        assert_eq!(untaken.rests_until(IID, &approved, at(179)), Some(at(180)), "the other stays");
        let mut until = at(180);
        for _ in 0..9 {
            until = untaken.note(IID, &approved, until);
        }
        assert_eq!(untaken.note(IID, &approved, at(1_000_000)), at(1_003_600));
        assert_eq!(untaken.rests_until(IID, &approved, at(0)), None, "the clock was set back");
    }

    #[test]
    fn labels_that_are_right_leave_an_assignee_to_be_waited_for() {
        let untaken = Untaken::default();
        let assignee = IssueChange { assignee: Some(3), ..IssueChange::default() };
        untaken.note(IID, &label("approved"), at(0));
        untaken.note(IID, &assignee, at(0));
        untaken.forget_labels(IID);
        assert_eq!(untaken.rests_until(IID, &label("approved"), at(1)), None);
        assert_eq!(untaken.rests_until(IID, &assignee, at(1)), Some(at(60)));
    }
}

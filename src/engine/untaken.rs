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

/// What GitLab did not take, by the issue's number.
#[derive(Default)]
pub(super) struct Untaken(Mutex<HashMap<u64, Refused>>);

struct Refused {
    change: IssueChange,
    times: u32,
    /// Not written again before.
    until: Timestamp,
}

impl Untaken {
    /// Until when this change is not to be written again.
    fn rests_until(&self, iid: u64, change: &IssueChange, now: Timestamp) -> Option<Timestamp> {
        let refused = self.lock();
        let refused = refused.get(&iid).filter(|refused| refused.change == *change)?;
        // What lies further ahead is of before our clock was set back.
        let is_ahead = |until: &Timestamp| now < *until && *until <= after(now, LONGEST_PAUSE);
        Some(refused.until).filter(is_ahead)
    }

    /// Notes that a change was not taken; says until when it rests.
    fn note(&self, iid: u64, change: &IssueChange, now: Timestamp) -> Timestamp {
        let mut all = self.lock();
        let known = all.get(&iid).filter(|refused| refused.change == *change);
        let times = known.map_or(0, |refused| refused.times);
        let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(times)).min(LONGEST_PAUSE);
        let until = after(now, pause);
        all.insert(iid, Refused { change: change.clone(), times: times.saturating_add(1), until });
        until
    }

    fn forget(&self, iid: u64) {
        self.lock().remove(&iid);
    }

    /// Forgets what was to be done about labels, which are right now.
    pub(super) fn forget_labels(&self, iid: u64) {
        let mut all = self.lock();
        if all.get(&iid).is_some_and(|refused| refused.change.assignee.is_none()) {
            all.remove(&iid);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Refused>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
            self.inner.untaken.forget(issue.iid);
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
        self.inner.untaken.forget(iid);
    }

    /// The issues of which GitLab does not take a change.
    pub fn untaken(&self) -> Vec<u64> {
        let mut iids: Vec<u64> = self.inner.untaken.lock().keys().copied().collect();
        iids.sort_unstable();
        iids
    }
}

fn after(now: Timestamp, pause: Duration) -> Timestamp {
    now.checked_add(pause).unwrap_or(Timestamp::MAX)
}

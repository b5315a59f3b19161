//! Which issues to look at: a second hint at a queued issue is the same hint.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// "Look at issue N."
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hint {
    /// What GitLab said of its last change: a read that shows an older one is stale.
    pub updated_at: Option<Timestamp>,
    /// Who acted, where GitLab says so.
    pub by: Option<u64>,
    /// How often looking has failed.
    pub failures: u32,
}

/// The issues to look at, in the order of their first hints.
#[derive(Default)]
pub struct Queue {
    state: Mutex<Waiting>,
    changed: Notify,
}

#[derive(Default)]
struct Waiting {
    order: VecDeque<u64>,
    hints: BTreeMap<u64, Hint>,
    /// Looked at right now; a hint meanwhile waits until that has ended.
    running: BTreeSet<u64>,
    /// To be looked at again later.
    later: BTreeMap<u64, (Timestamp, Hint)>,
}

impl Queue {
    /// Adds a hint.
    pub fn push(&self, iid: u64, hint: Hint) {
        self.lock().push(iid, hint);
        self.changed.notify_waiters();
    }

    /// Adds a hint that waits until `due`, unless one at that issue waits already; a hint that does not wait takes its
    /// place.
    pub fn push_later(&self, iid: u64, hint: Hint, due: Timestamp) {
        self.lock().later.entry(iid).or_insert((due, hint));
        self.changed.notify_waiters();
    }

    /// The next issue to look at, if one is due and nobody looks at it already.
    pub fn take(&self, now: Timestamp) -> Option<(u64, Hint)> {
        let mut waiting = self.lock();
        let due: Vec<u64> =
            waiting.later.iter().filter(|(_, (at, _))| *at <= now).map(|(iid, _)| *iid).collect();
        for iid in due {
            if let Some((_, hint)) = waiting.later.remove(&iid) {
                waiting.push(iid, hint);
            }
        }
        let place = waiting.order.iter().position(|iid| !waiting.running.contains(iid))?;
        let iid = waiting.order.remove(place)?;
        let hint = waiting.hints.remove(&iid).unwrap_or_default();
        waiting.running.insert(iid);
        Some((iid, hint))
    }

    /// Says that what waits may be looked at now.
    pub fn ring(&self) {
        self.changed.notify_waiters();
    }

    /// When the first issue is due that is to be looked at again later.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.lock().later.values().map(|(due, _)| *due).min()
    }

    /// Says that looking at an issue has ended.
    pub fn done(&self, iid: u64) {
        self.lock().running.remove(&iid);
        self.changed.notify_waiters();
    }

    /// Rings when something is added or has ended, from now on; what is due later makes no noise.
    pub fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    /// How many issues wait, those for later included.
    pub fn len(&self) -> usize {
        let waiting = self.lock();
        waiting.order.len() + waiting.running.len() + waiting.later.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn push(&mut self, iid: u64, hint: Hint) {
        let known = self.hints.entry(iid).or_insert_with(|| {
            self.order.push_back(iid);
            hint
        });
        known.updated_at = known.updated_at.max(hint.updated_at);
        known.by = known.by.filter(|by| hint.by == Some(*by));
        known.failures = known.failures.max(hint.failures);
        // A hint from GitLab is as good as a retry that waits, but for what GitLab had said then.
        if let Some((_, waiting)) = self.later.remove(&iid) {
            known.updated_at = known.updated_at.max(waiting.updated_at);
            known.by = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_second_hint_is_the_same_hint_and_one_during_the_look_is_another() {
        let queue = Queue::default();
        queue.push(7, Hint { updated_at: Some(at(1)), ..Hint::default() });
        queue.push(8, Hint::default());
        queue.push(7, Hint { updated_at: Some(at(2)), ..Hint::default() });
        assert_eq!(queue.take(at(0)), Some((7, Hint { updated_at: Some(at(2)), ..Hint::default() })));
        queue.push(7, Hint::default());
        assert_eq!(queue.take(at(0)).unwrap().0, 8);
        assert_eq!(queue.take(at(0)), None, "7 is looked at right now");
        queue.done(7);
        assert_eq!(queue.take(at(0)).unwrap().0, 7);
    }

    #[test]
    fn what_gitlab_said_before_a_retry_is_not_forgotten_for_a_hint() {
        let queue = Queue::default();
        queue.push_later(7, Hint { updated_at: Some(at(5)), failures: 1, ..Hint::default() }, at(10));
        queue.push(7, Hint { updated_at: Some(at(4)), by: Some(1), ..Hint::default() });
        assert_eq!(queue.take(at(0)), Some((7, Hint { updated_at: Some(at(5)), ..Hint::default() })));
    }

    #[test]
    fn later_is_later() {
        let queue = Queue::default();
        queue.push_later(7, Hint { failures: 2, ..Hint::default() }, at(10));
        assert_eq!((queue.take(at(9)), queue.next_due()), (None, Some(at(10))));
        assert_eq!(queue.take(at(10)).unwrap().1.failures, 2);
        queue.done(7);
        assert!(queue.is_empty());
    }
}

//! Our own limits on what we create: GitLab.com has them too, and answers 429 above.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

/// At most so many in any 60 seconds. A token bucket cannot promise that: it lets a full bucket out on top.
pub(super) struct Window {
    limit: usize,
    taken: Mutex<VecDeque<Timestamp>>,
}

impl Window {
    const LENGTH: Duration = Duration::from_secs(60);

    pub(super) const fn new(limit: usize) -> Self {
        Self { limit, taken: Mutex::new(VecDeque::new()) }
    }

    /// Takes one, or says how long until there is room.
    pub(super) fn take(&self, now: Timestamp) -> Result<(), Duration> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that was set back knows nothing of the minute before.
        taken.retain(|at| *at <= now);
        let age = |at: &Timestamp| Duration::try_from(now.duration_since(*at)).unwrap_or_default();
        while taken.front().is_some_and(|at| age(at) >= Self::LENGTH) {
            taken.pop_front();
        }
        match taken.front().filter(|_| taken.len() >= self.limit) {
            Some(oldest) => Err(Self::LENGTH - age(oldest)),
            None => {
                taken.push_back(now);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_back_holds_nobody() {
        let window = Window::new(1);
        let now: Timestamp = "2026-11-23T08:00:00Z".parse().unwrap();
        assert!(window.take(now).is_ok());
        assert!(window.take(now).is_err());
        assert!(window.take(now - Duration::from_secs(3600)).is_ok());
    }

    #[test]
    fn never_more_than_the_limit_in_any_minute() {
        let window = Window::new(3);
        let start: Timestamp = "2026-11-23T08:00:00Z".parse().unwrap();
        let mut now = start;
        let mut taken = Vec::new();
        while taken.len() < 20 {
            match window.take(now) {
                Ok(()) => taken.push(now),
                Err(wait) => now = now.checked_add(wait).unwrap(),
            }
        }
        for triple in taken.windows(4) {
            assert!(triple[3].duration_since(triple[0]).as_secs() >= 60);
        }
        assert!(now.duration_since(start).as_secs() <= 7 * 60, "room is used when it comes free");
    }
}

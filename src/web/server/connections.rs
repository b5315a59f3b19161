//! The connections that are open, and who leaves when there is no more room.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// How soon somebody is sent away again where nobody has made room.
const AGAIN: Duration = Duration::from_secs(1);

/// The open connections. Every one has a place; there are so many places and no more.
pub(super) struct Connections {
    places: Arc<Semaphore>,
    waiting: Arc<Waiting>,
}

/// Connections without a request that has come whole, by when they began to wait.
#[derive(Default)]
struct Waiting {
    turns: AtomicU64,
    by_turn: Mutex<BTreeMap<u64, CancellationToken>>,
}

/// A connection's place.
pub(super) struct Place {
    waiting: Arc<Waiting>,
    leave: CancellationToken,
    now: Mutex<Now>,
    answered: Notify,
    _permit: Option<OwnedSemaphorePermit>,
}

/// What a connection does at present.
struct Now {
    /// Requests that are being answered; HTTP/2 has several at once.
    requests: usize,
    /// Its turn to leave, while it waits for the next request.
    turn: u64,
}

/// A request that is being answered; its connection is not asked to leave.
pub(super) struct Busy(Arc<Place>);

impl Connections {
    /// At most so many.
    pub(super) fn of(places: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(places)), waiting: Arc::default() }
    }

    /// A place; where there is none, the connection that has waited longest has to leave.
    pub(super) async fn enter(&self) -> Arc<Place> {
        let permit = loop {
            if self.places.available_permits() == 0 {
                self.waiting.send_the_first_away();
            }
            let place = Arc::clone(&self.places).acquire_owned();
            // Where all were answered just now, nobody could be sent away; some have begun to wait by then.
            if let Ok(permit) = tokio::time::timeout(AGAIN, place).await {
                // The semaphore is never closed: there is always a permit in the end.
                break permit.ok();
            }
        };
        let (waiting, leave) = (Arc::clone(&self.waiting), CancellationToken::new());
        let turn = waiting.enter(&leave);
        let now = Mutex::new(Now { requests: 0, turn });
        Arc::new(Place { waiting, leave, now, answered: Notify::new(), _permit: permit })
    }
}

impl Waiting {
    fn by_turn(&self) -> MutexGuard<'_, BTreeMap<u64, CancellationToken>> {
        lock(&self.by_turn)
    }

    /// Queues up; tells the turn.
    fn enter(&self, leave: &CancellationToken) -> u64 {
        let turn = self.turns.fetch_add(1, Ordering::Relaxed);
        self.by_turn().insert(turn, leave.clone());
        turn
    }

    fn send_the_first_away(&self) {
        let first = self.by_turn().pop_first();
        if let Some((_, leave)) = first {
            leave.cancel();
        }
    }
}

impl Place {
    /// A request has begun to come. Until it is there its connection waits on, behind those who said something before.
    pub(super) fn heard(&self) {
        let mut now = lock(&self.now);
        if now.requests == 0 && self.waiting.by_turn().remove(&now.turn).is_some() {
            now.turn = self.waiting.enter(&self.leave);
        }
    }

    /// A request has come whole. Its connection stays until it is answered.
    pub(super) fn busy(self: Arc<Self>) -> Busy {
        let mut now = lock(&self.now);
        now.requests += 1;
        if now.requests == 1 {
            self.waiting.by_turn().remove(&now.turn);
        }
        drop(now);
        Busy(self)
    }

    /// Runs a connection until it ends or makes room.
    pub(super) async fn until_asked_to_leave(&self, connection: impl Future<Output = ()>) {
        let asked = async {
            self.leave.cancelled().await;
            // A request that came whole in this very moment is answered first.
            while lock(&self.now).requests > 0 {
                self.answered.notified().await;
            }
        };
        tokio::select! {
            // What was answered just now is written first.
            biased;
            () = connection => {}
            () = asked => {}
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut now = lock(&self.0.now);
        now.requests -= 1;
        if now.requests == 0 {
            now.turn = self.0.waiting.enter(&self.0.leave);
            self.0.answered.notify_one();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let turn = lock(&self.now).turn;
        self.waiting.by_turn().remove(&turn);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a connection in this place was asked to leave.
    fn leaves(place: &Place) -> bool {
        place.leave.is_cancelled()
    }

    #[tokio::test]
    async fn who_has_waited_longest_makes_room_and_who_is_answered_stays() {
        let connections = Connections::of(3);
        let answered = connections.enter().await;
        let busy = Arc::clone(&answered).busy();
        let (old, young) = (connections.enter().await, connections.enter().await);
        let leaving = async {
            old.until_asked_to_leave(std::future::pending()).await;
            drop(old);
        };
        let (newest, ()) = tokio::join!(connections.enter(), leaving);
        assert!(!leaves(&answered) && !leaves(&young) && !leaves(&newest));
        // Answered, it waits again, and behind those who came meanwhile.
        drop(busy);
        let leaving = async {
            young.until_asked_to_leave(std::future::pending()).await;
            drop(young);
        };
        let (_, ()) = tokio::join!(connections.enter(), leaving);
        assert!(!leaves(&answered) && !leaves(&newest));
    }

    #[tokio::test]
    async fn a_request_that_only_begins_to_come_keeps_no_place_and_one_that_is_there_is_answered_first() {
        let connections = Connections::of(2);
        let (begun, silent) = (connections.enter().await, connections.enter().await);
        // It has said something later than the other one.
        begun.heard();
        connections.waiting.send_the_first_away();
        assert!(leaves(&silent) && !leaves(&begun));
        connections.waiting.send_the_first_away();
        let busy = Arc::clone(&begun).busy();
        let mut leaving = std::pin::pin!(begun.until_asked_to_leave(std::future::pending()));
        assert!(futures_util::poll!(&mut leaving).is_pending());
        drop(busy);
        leaving.await;
    }

    #[tokio::test]
    async fn whoever_leaves_is_not_asked_again() {
        let connections = Connections::of(1);
        drop(connections.enter().await);
        assert!(connections.waiting.by_turn().is_empty());
        let place = connections.enter().await;
        drop((Arc::clone(&place).busy(), Arc::clone(&place).busy()));
        assert_eq!(connections.waiting.by_turn().len(), 1);
    }

    #[tokio::test]
    async fn where_all_are_answered_at_once_who_waits_again_makes_room() {
        let connections = Connections::of(1);
        let only = connections.enter().await;
        let busy = Arc::clone(&only).busy();
        let leaving = async {
            // Nobody could be sent away when the next one came.
            tokio::task::yield_now().await;
            drop(busy);
            only.until_asked_to_leave(std::future::pending()).await;
            drop(only);
        };
        tokio::join!(connections.enter(), leaving);
    }
}

//! One at a time by key: an issue, a fingerprint.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OwnedMutexGuard;

/// A lock a key; locks that nobody holds take no room.
pub struct Locks<K> {
    held: Arc<Mutex<HashMap<K, Arc<tokio::sync::Mutex<()>>>>>,
}

impl<K> Default for Locks<K> {
    fn default() -> Self {
        Self { held: Arc::default() }
    }
}

/// Holds the lock of a key until it is dropped.
pub struct Held<K: Eq + Hash> {
    guard: Option<OwnedMutexGuard<()>>,
    lock: Arc<tokio::sync::Mutex<()>>,
    key: K,
    held: Arc<Mutex<HashMap<K, Arc<tokio::sync::Mutex<()>>>>>,
}

impl<K: Eq + Hash + Clone> Locks<K> {
    /// Waits until nobody else holds the lock of `key`.
    pub async fn hold(&self, key: K) -> Held<K> {
        let lock = {
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(held.entry(key.clone()).or_default())
        };
        let guard = Some(Arc::clone(&lock).lock_owned().await);
        Held { guard, lock, key, held: Arc::clone(&self.held) }
    }
}

impl<K: Eq + Hash> Drop for Held<K> {
    fn drop(&mut self) {
        drop(self.guard.take());
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        // The map and this guard hold it; whoever waits holds it too.
        if Arc::strong_count(&self.lock) == 2 {
            held.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_same_key_waits_and_leaves_nothing_behind() {
        let locks = Arc::new(Locks::default());
        let first = locks.hold(1).await;
        let second = tokio::spawn({
            let locks = Arc::clone(&locks);
            async move { drop(locks.hold(1).await) }
        });
        drop(locks.hold(2).await);
        assert!(!second.is_finished());
        drop(first);
        second.await.unwrap();
        assert!(locks.held.lock().unwrap().is_empty());
    }
}

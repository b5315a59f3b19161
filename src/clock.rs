//! The one place that reads the time, so that a test can step it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

/// Where "now" comes from: the machine, or a hand that steps it.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The machine's clock.
    #[default]
    System,
    /// Stands still until it is advanced; a sleeper advances it by what it would have slept.
    Stepped(Arc<Mutex<Timestamp>>),
}

impl Clock {
    /// A clock that stands at `start`.
    pub fn stepped(start: Timestamp) -> Self {
        Self::Stepped(Arc::new(Mutex::new(start)))
    }

    /// The present moment.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the time")]
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => Timestamp::now(),
            Self::Stepped(now) => *now.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Waits for `duration`. A stepped clock moves on by it at once.
    #[expect(clippy::disallowed_methods, reason = "the one place that sleeps")]
    pub async fn sleep(&self, duration: Duration) {
        match self {
            Self::System => tokio::time::sleep(duration).await,
            Self::Stepped(_) => {
                self.advance(duration);
                tokio::task::yield_now().await;
            }
        }
    }

    /// Moves a stepped clock on; the machine's clock cannot be moved and is left alone.
    pub fn advance(&self, duration: Duration) {
        if let Self::Stepped(now) = self {
            let mut now = now.lock().unwrap_or_else(PoisonError::into_inner);
            *now = now.checked_add(duration).unwrap_or(Timestamp::MAX);
        }
    }

    /// Sets a stepped clock back, as a machine's clock may be; the machine's own is left alone.
    pub fn set_back(&self, duration: Duration) {
        if let Self::Stepped(now) = self {
            let mut now = now.lock().unwrap_or_else(PoisonError::into_inner);
            *now = now.checked_sub(duration).unwrap_or(Timestamp::MIN);
        }
    }
}

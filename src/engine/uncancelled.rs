//! Work that ends whoever waits for it.

use super::{Engine, EngineError};

impl Engine {
    /// Does work in a task of its own, begun at once: a caller who goes away must not stop it in mid-step. The end of the
    /// service waits for it, as long as it waits for anything.
    pub fn uncancelled<W, T, E>(
        &self,
        what: &'static str,
        work: W,
    ) -> impl Future<Output = Result<T, E>> + Send + use<W, T, E>
    where
        W: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: From<EngineError> + Send + 'static,
    {
        let killed = self.inner.killed.clone();
        let task = self.inner.unstoppable.spawn(async move { killed.run_until_cancelled(work).await });
        async move {
            let reason = match task.await {
                Ok(Some(done)) => return done,
                Ok(None) => "the service was killed".to_owned(),
                // It can only have panicked.
                Err(error) => error.to_string(),
            };
            Err(EngineError::Text(format!("{what} broke off: {reason}")).into())
        }
    }

    /// Waits for what must not be stopped in mid-step.
    pub async fn ended(&self) {
        self.inner.unstoppable.close();
        self.inner.unstoppable.wait().await;
    }

    /// Stops even that, wherever it is, as a kill of the process does: for tests, in whose process the next service runs.
    pub fn kill(&self) {
        self.inner.killed.cancel();
    }
}

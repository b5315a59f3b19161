//! Work that ends whoever waits for it.

use super::{Engine, EngineError};

impl Engine {
    /// Does work in a task of its own, begun at once: a caller who goes away must not stop it in mid-step. The end of the
    /// service waits for it, as long as it waits for anything.
    pub fn to_the_end<W, T, E>(
        &self,
        what: &'static str,
        work: W,
    ) -> impl Future<Output = Result<T, E>> + Send + use<W, T, E>
    where
        W: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: From<EngineError> + Send + 'static,
    {
        let task = self.inner.unstoppable.spawn(work);
        // It can only have panicked.
        let failed = move |error| Err(EngineError::Text(format!("{what} broke off: {error}")).into());
        async move { task.await.unwrap_or_else(failed) }
    }

    /// Waits for what must not be stopped in mid-step.
    pub async fn ended(&self) {
        self.inner.unstoppable.close();
        self.inner.unstoppable.wait().await;
    }
}

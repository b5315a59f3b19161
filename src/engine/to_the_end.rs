//! Work that ends whoever waits for it.

use super::EngineError;

/// Does work in a task of its own, begun at once: a caller who goes away must not stop it in mid-step.
pub fn to_the_end<T, E>(
    what: &'static str,
    work: impl Future<Output = Result<T, E>> + Send + 'static,
) -> impl Future<Output = Result<T, E>> + Send
where
    T: Send + 'static,
    E: From<EngineError> + Send + 'static,
{
    let task = tokio::spawn(work);
    // It can only have panicked.
    let failed = move |error| Err(EngineError::Text(format!("{what} broke off: {error}")).into());
    async move { task.await.unwrap_or_else(failed) }
}

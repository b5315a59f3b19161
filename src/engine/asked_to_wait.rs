//! Asking again where GitLab asks to wait, or our own limit does that keeps below GitLab's: nothing was done then.

use std::time::Duration;

use super::Engine;

/// How often something waits for as long as it is asked to before it is given up.
const WAITS: u32 = 10;

impl Engine {
    /// Asks for something, and where that asks to `wait`, waits and asks again. `tell` hears for how long, and of none once it
    /// goes on: for commands, whose people look on.
    ///
    /// # Errors
    ///
    /// As what was asked for.
    pub async fn ask_again<T, E, F>(
        &self,
        mut what: impl FnMut() -> F,
        wait: impl Fn(&E) -> Option<Duration>,
        tell: impl Fn(Option<Duration>),
    ) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        let mut waits = 0;
        loop {
            let asked = what().await;
            match asked.as_ref().err().and_then(&wait).filter(|_| waits < WAITS) {
                Some(long) => {
                    waits += 1;
                    tell(Some(long));
                    self.inner.clock.sleep(long).await;
                    tell(None);
                }
                None => return asked,
            }
        }
    }
}

//! Matches that nobody decided about in time are rejected, undoably like any rejection.

use jiff::Timestamp;

use super::{Decision, DecisionError, Engine, EngineError};
use crate::domain::State;
use crate::domain::history::Through;

impl Engine {
    /// Rejects what nobody decided in time. Says whether all of it could be.
    ///
    /// # Errors
    ///
    /// Where the mirror cannot be used.
    pub async fn expire(&self) -> Result<bool, EngineError> {
        let policy = self.policy();
        let before = policy.expire_after.and_then(|after| self.clock().now().checked_sub(after).ok());
        let Some(before) = before else { return Ok(true) };
        let mut all = true;
        for iid in self.mirror().undecided(before)? {
            if !self.has_waited_since(iid, before)? {
                continue;
            }
            let comment = policy.language.pick("nicht rechtzeitig entschieden", "not decided in time");
            let decision = Decision {
                from: Some(State::Pending),
                to: State::Rejected,
                by: "service".to_owned(),
                through: Through::Service,
                comment: Some(comment.to_owned()),
            };
            match self.decide_as_of(iid, decision, before).await {
                // Somebody has decided about it, which was not heard of.
                Ok(_) | Err(DecisionError::NotAllowed { .. }) => {}
                Err(error) => {
                    tracing::warn!(iid, %error, "match {iid} has expired and could not be rejected yet");
                    all = false;
                }
            }
        }
        Ok(all)
    }

    /// Whether a match has been pending since then: one that was put back to pending begins anew, and so does one that
    /// became a match, or became one again, long after its issue was made.
    ///
    /// # Errors
    ///
    /// Where the mirror cannot be used.
    pub fn has_waited_since(&self, iid: u64, before: Timestamp) -> Result<bool, EngineError> {
        // After a lost disk it is not known at first whether it was.
        let known = self.mirror().record(iid)?.filter(|record| record.history_known);
        Ok(known.is_some_and(|record| record.stands_since() <= before))
    }
}

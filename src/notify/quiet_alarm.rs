//! The quiet alarm: when no match has been staged for days, one message on each channel says that the pipeline has gone
//! quiet.

use jiff::Timestamp;

use super::Notifier;
use crate::config::Policy;
use crate::domain::Channel;
use crate::domain::schedule::lies_ahead;
use crate::engine::EngineError;
use crate::mirror::Fact;

impl Notifier {
    /// Whether no match has come for so long that this channel is to say so, and it has not yet.
    pub(super) async fn quiet_alarm_is_due(
        &self,
        channel: Channel,
        policy: &Policy,
    ) -> Result<bool, EngineError> {
        let Some(after) = policy.quiet_alarm_after else { return Ok(false) };
        let Ok(due) = self.no_match_since()?.checked_add(after) else { return Ok(false) };
        let alarmed = self.memory().await?.last_quiet_alarm.get(&channel).copied();
        let alarmed = alarmed.filter(|at| !lies_ahead(*at, self.now()));
        // Where no match was ever staged, the first alarm is the only one: a lost disk begins to count anew.
        let never_staged = self.engine().mirror().last_match_of_any_kind()?.is_none();
        let has_said_so = alarmed.is_some_and(|at| never_staged || at >= due);
        Ok(due <= self.now() && !has_said_so)
    }

    /// Since when no match has come: since the last one, else since this disk began to wait for the first.
    pub(super) fn no_match_since(&self) -> Result<Timestamp, EngineError> {
        let mirror = self.engine().mirror();
        if let Some(last) = mirror.last_match_of_any_kind()? {
            return Ok(last);
        }
        let now = self.now();
        let begun = mirror.fact(Fact::WaitsSince)?.and_then(|text| text.parse().ok());
        if let Some(begun) = begun.filter(|begun| !lies_ahead(*begun, now)) {
            return Ok(begun);
        }
        mirror.remember(Fact::WaitsSince, &now.to_string())?;
        Ok(now)
    }
}

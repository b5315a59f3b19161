//! What becomes of a message that did not leave: pauses, others first, and people are told.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::Notifier;
use super::channels::Outcome;
use super::in_flight::{Cargo, Flight};
use crate::domain::Channel;
use crate::domain::inert::GitlabLine;
use crate::domain::masked::masked;
use crate::engine::EngineError;
use crate::mirror::{Delivery, DeliveryKind, DeliveryOutcome};

/// The first pause after a failure; each further one is twice as long.
pub(super) const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// The longest pause that is not asked for by the other side.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(3600);
/// How often people are told in a comment that a channel is given up.
const COMPLAIN_EVERY: SignedDuration = SignedDuration::from_hours(24);
/// So many tries of one message of which nobody knows whether it arrived; then others go first.
const UNCLEAR_TRIES: u32 = 3;
/// How long such a message is set aside, and twice as long each further time up to a day.
const SET_ASIDE: Duration = Duration::from_secs(3600);

impl Notifier {
    /// Notes that a message did not leave, and says when the channel is to be tried again.
    pub(super) async fn failed(
        &self,
        channel: Channel,
        mut flight: Flight,
        outcome: Outcome,
    ) -> Result<(), EngineError> {
        let (after, mut reason, unclear, given_up) = match outcome {
            Outcome::Sent { .. } => return Ok(()),
            Outcome::TryAgain { after, reason, unclear } => (after, reason, unclear, false),
            Outcome::GiveUp { reason } => (None, reason, false, true),
        };
        let now = self.now();
        let failures = self.state(channel).failures.saturating_add(1);
        // A `Retry-After` of nothing is no reason to hurry.
        let mut pause = growing_pause(failures).max(after.unwrap_or_default());
        flight.unclear = if unclear { flight.unclear.saturating_add(1) } else { flight.unclear };
        let before = self.state(channel);
        let times =
            flight.iids.iter().filter_map(|iid| before.set_aside.get(iid)).max().copied().unwrap_or(0);
        let tries = if times == 0 { UNCLEAR_TRIES } else { 1 };
        let aside = (unclear && flight.unclear >= tries).then(|| {
            pause = FIRST_PAUSE.max(after.unwrap_or_default());
            let aside = SET_ASIDE.saturating_mul(1 << times.min(5)).min(24 * SET_ASIDE);
            reason = format!(
                "{reason}; nobody knows whether the message about {} arrived, it is set aside for {} h and others go first",
                about(&flight),
                aside.as_secs() / 3600
            );
            now.checked_add(aside).unwrap_or(Timestamp::MAX)
        });
        let until = self.pause(channel, pause);
        if let Some(asked) = after.and_then(|after| now.checked_add(after).ok()) {
            // Ours end with a restart, for whoever starts anew may have mended what was wrong.
            self.engine().mirror().remember(&pause_asked_for(channel), &asked.to_string())?;
        }
        let in_log = masked(&reason);
        tracing::warn!(%channel, reason = %in_log, failures, ?pause, unclear, given_up, "a message was not sent");
        // Others first: one message that nobody takes must not hold them up.
        let later = given_up.then(|| until.checked_add(growing_pause(failures)).unwrap_or(until)).or(aside);
        self.change(channel, |state| {
            state.failures = failures;
            state.error = Some(reason.clone());
            state.given_up = given_up;
            if flight.cargo != Cargo::Matches {
                state.extras_after = Some(later.unwrap_or_else(|| until.checked_add(pause).unwrap_or(until)));
            } else if let Some(later) = later {
                state.later.extend(flight.iids.iter().map(|iid| (*iid, later)));
            }
            if aside.is_some() {
                state.set_aside.extend(flight.iids.iter().map(|iid| (*iid, times + 1)));
            }
        });
        let kind = if flight.cargo == Cargo::Matches { DeliveryKind::Match } else { DeliveryKind::Reminder };
        let failed = Delivery {
            channel,
            kind,
            outcome: if given_up { DeliveryOutcome::GivenUp } else { DeliveryOutcome::Failed },
            at: Some(now),
            deferred_until: None,
            reason: Some(reason.clone()),
        };
        self.engine().mirror().note_deliveries(&flight.iids, &failed)?;
        if aside.is_some() || !flight.may_have_arrived() {
            // What is said next is planned afresh.
            Flight::forget(self.engine(), channel)?;
        } else {
            flight.keep(self.engine(), channel)?;
        }
        if given_up {
            self.complain(channel, &flight, &reason).await?;
        }
        Ok(())
    }

    /// Tells people in a comment what does not arrive, once a day at most.
    pub(super) async fn complain(
        &self,
        channel: Channel,
        flight: &Flight,
        reason: &str,
    ) -> Result<(), EngineError> {
        let (engine, now) = (self.engine(), self.now());
        let fact = format!("complained {channel}");
        let is_recent = |at: Timestamp| now.duration_since(at) < COMPLAIN_EVERY;
        let last = engine.mirror().fact(&fact)?.and_then(|at| at.parse::<Timestamp>().ok());
        if last.is_some_and(is_recent) {
            return Ok(());
        }
        let Some(iid) = flight.iids.first() else { return Ok(()) };
        let context = json!({ "channel": channel.as_str(), "reason": GitlabLine::new(reason) });
        let text = engine.comment_text("given_up", context, Vec::new())?;
        let told = async {
            let connected = engine.connected().await?;
            // Said before the disk was lost, about one of the same matches.
            for iid in &flight.iids {
                let notes = connected.project.notes(*iid).await?;
                let ours = notes.iter().rev().filter(|note| connected.is_us(note.author.id));
                if let Some(note) = ours
                    .filter(|note| is_recent(note.created_at))
                    .find(|note| note.body.trim() == text.trim())
                {
                    return Ok(note.created_at);
                }
            }
            connected.project.comment(*iid, &text).await?;
            Ok::<_, EngineError>(now)
        };
        match told.await {
            Ok(at) => engine.mirror().remember(&fact, &at.to_string())?,
            Err(error) => {
                tracing::warn!(%channel, iid, %error, "nobody could be told that the channel is given up");
            }
        }
        Ok(())
    }

    pub(super) fn pause(&self, channel: Channel, pause: Duration) -> Timestamp {
        let until = self.now().checked_add(pause).unwrap_or(Timestamp::MAX);
        self.change(channel, |state| state.paused_until = Some(until));
        until
    }
}

/// Under this name the mirror remembers until when the other side of a channel asked for a pause.
pub(super) fn pause_asked_for(channel: Channel) -> String {
    format!("pause asked for {channel}")
}

fn about(flight: &Flight) -> String {
    match (flight.cargo, flight.iids.as_slice()) {
        (Cargo::Matches, [iid]) => format!("match {iid}"),
        (Cargo::Matches, iids) => format!("{} matches", iids.len()),
        (Cargo::Reminder, iids) => format!("the wait of {} matches", iids.len()),
        (Cargo::Quiet, _) => "a quiet pipeline".to_owned(),
    }
}

/// Five seconds, ten, twenty, … an hour, and up to a tenth more so that many do not come back at once.
fn growing_pause(failures: u32) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(12)).min(LONGEST_PAUSE);
    let share = u32::from(uuid::Uuid::new_v4().as_bytes()[0]);
    doubled + doubled / 10 * share / 255
}

//! What becomes of a message that did not leave: pauses, others first, and people are told.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::in_flight::{Cargo, Flight};
use super::receipts::is_refusal;
use super::{ChannelState, Notifier};
use crate::channels::Outcome;
use crate::domain::Channel;
use crate::domain::inert::GitlabLine;
use crate::domain::masked::masked;
use crate::domain::schedule::is_recent;
use crate::engine::EngineError;
use crate::gitlab::hidden::Hidden;
use crate::gitlab::notes::Note;
use crate::mirror::{Delivery, DeliveryKind, DeliveryOutcome, Fact};

/// The first pause after a failure; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// The longest pause that is not asked for by the other side.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);
/// The longest that is: no other side asks for more.
const LONGEST_ASKED_FOR: SignedDuration = SignedDuration::from_hours(24);
/// The longest for which a match or a reminder is left alone: after the longest pause for as long again.
const LONGEST_HELD_BACK: SignedDuration = SignedDuration::from_hours(48);
/// How often people are told in a comment that a channel is given up.
const COMPLAIN_EVERY: SignedDuration = SignedDuration::from_hours(24);
/// So many tries of one message of which nobody knows whether it arrived, or that does not reach everybody; then others
/// go first.
const TRIES: u32 = 3;
/// How long a message is set aside of which nobody knows whether it arrived, and twice as long each further time up to a
/// day.
const SET_ASIDE: Duration = Duration::from_secs(3600);
/// The longest time for which a message is set aside that does not reach everybody.
const LONGEST_ASIDE: Duration = Duration::from_secs(6 * 3600);
/// After so long nobody may wait any more for that to pass by itself: people are told.
const NOT_PASSING: SignedDuration = SignedDuration::from_hours(24);

/// Why a message did not leave.
struct Failure {
    /// How long the other side asks to wait.
    after: Option<Duration>,
    reason: String,
    /// Whether the other side may have it all the same.
    unclear: bool,
    /// Whether a person has to act first.
    given_up: bool,
    /// Whether what it tells of is tried in smaller messages.
    in_parts: bool,
}

impl Failure {
    fn of(outcome: Outcome, flight: &Flight) -> Option<Self> {
        match outcome {
            Outcome::Sent { .. } => None,
            Outcome::TryAgain { after, reason, unclear } => {
                Some(Self { after, reason, unclear, given_up: false, in_parts: false })
            }
            // One match may be what is refused: the others are not to share its fate.
            Outcome::GiveUp { reason } if flight.delivered.is_empty() && flight.iids.len() > 1 => {
                let reason = format!("{reason}; it is tried again in smaller messages");
                Some(Self { after: None, reason, unclear: false, given_up: false, in_parts: true })
            }
            Outcome::GiveUp { reason } => {
                Some(Self { after: None, reason, unclear: false, given_up: true, in_parts: false })
            }
        }
    }

    /// Counts this failure in a message, and says for how long that is set aside: where it has failed too often while
    /// somebody has it, or may have, others go first.
    fn count_and_judge(&self, flight: &mut Flight, state: &ChannelState, now: Timestamp) -> Option<Duration> {
        flight.unclear = flight.unclear.saturating_add(u32::from(self.unclear));
        if self.given_up {
            return None;
        }
        if !flight.delivered.is_empty() {
            flight.partly = flight.partly.saturating_add(1);
            flight.partly_since = flight.partly_since.or(Some(now));
            return (flight.partly >= TRIES).then(|| growing(flight.partly, LONGEST_ASIDE));
        }
        let times = state.times_set_aside(flight);
        let tries = if times == 0 { TRIES } else { 1 };
        (self.unclear && flight.unclear >= tries).then(|| aside_for(times))
    }

    /// How long the other side asks to wait, as far as is believed of it.
    fn asked_for(&self) -> Option<Duration> {
        let longest = Duration::try_from(LONGEST_ASKED_FOR).unwrap_or(LONGEST_PAUSE);
        self.after.map(|after| after.min(longest))
    }

    fn say_that_others_go_first(&mut self, flight: &Flight, aside: Duration) {
        let why = if flight.delivered.is_empty() {
            format!("nobody knows whether the message about {} arrived", about(flight))
        } else {
            format!("the message about {} has not reached everybody", about(flight))
        };
        let aside = in_words(aside);
        self.reason = format!("{}; {why}, it is set aside for {aside} and others go first", self.reason);
    }
}

/// What becomes of a message that did not leave.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    /// The same message is tried again before anything else.
    Keep,
    /// The same message is tried again once others have gone.
    LayAside,
    /// What is said next is planned afresh.
    Forget,
}

fn fate(flight: &Flight, others_first: bool) -> Fate {
    if flight.is_partly_delivered() {
        // Who has it does not get it again.
        return if others_first { Fate::LayAside } else { Fate::Keep };
    }
    if flight.may_have_arrived() && !others_first { Fate::Keep } else { Fate::Forget }
}

impl ChannelState {
    /// How often messages about these matches were set aside because nobody knew whether they arrived.
    fn times_set_aside(&self, flight: &Flight) -> u32 {
        flight.iids.iter().filter_map(|iid| self.times_aside.get(iid)).max().copied().unwrap_or(0)
    }

    /// Leaves alone until `later`, where there is such a time, what a message that failed told of. Reminders and alarms wait
    /// in any case: new matches go first.
    fn let_others_go_first(&mut self, flight: &Flight, later: Option<Timestamp>, extras_after: Timestamp) {
        if flight.cargo != Cargo::Matches {
            self.extras_after = Some(later.unwrap_or(extras_after));
        } else if let Some(later) = later {
            self.later.extend(flight.iids.iter().map(|iid| (*iid, later)));
            self.in_doubt.retain(|iid| !flight.iids.contains(iid));
        }
    }
}

impl Notifier {
    /// Notes that a message did not leave: the channel pauses, and what nobody takes lets others go first.
    pub(super) async fn failed(
        &self,
        channel: Channel,
        mut flight: Flight,
        outcome: Outcome,
    ) -> Result<(), EngineError> {
        let Some(mut failure) = Failure::of(outcome, &flight) else { return Ok(()) };
        let now = self.now();
        let before = self.state(channel);
        let failures = before.failures.saturating_add(1);
        let aside = failure.count_and_judge(&mut flight, &before, now);
        if let Some(aside) = aside {
            failure.say_that_others_go_first(&flight, aside);
        }
        let pause = how_long(&failure, &flight, aside, failures);
        let until = self.pause(channel, pause);
        if let Some(asked) = failure.asked_for().and_then(|after| now.checked_add(after).ok()) {
            // Ours end with a restart, for whoever starts anew may have mended what was wrong.
            self.engine().mirror().remember(Fact::PauseAskedFor(channel), &asked.to_string())?;
        }
        let Failure { reason, unclear, given_up, in_parts, .. } = failure;
        let in_log = masked(&reason);
        tracing::warn!(%channel, reason = %in_log, failures, ?pause, unclear, given_up, "a message was not sent");
        let later = match aside {
            Some(aside) => Some(now.checked_add(aside).unwrap_or(Timestamp::MAX)),
            None => given_up.then(|| until.checked_add(growing_pause(failures)).unwrap_or(until)),
        };
        self.change(channel, |state| {
            state.failures = failures;
            state.error = Some(reason.clone());
            state.given_up = given_up || (in_parts && state.given_up);
            state.let_others_go_first(&flight, later, until.checked_add(pause).unwrap_or(until));
            if aside.is_some() && flight.delivered.is_empty() {
                let times = before.times_set_aside(&flight) + 1;
                state.times_aside.extend(flight.iids.iter().map(|iid| (*iid, times)));
            }
        });
        self.note_failure(channel, &flight, &reason, given_up, now)?;
        if in_parts {
            flight.split(self.engine(), channel, &self.inner.home, now)?;
        } else {
            match fate(&flight, aside.is_some() || given_up) {
                Fate::Keep => flight.keep(self.engine(), channel)?,
                Fate::LayAside => flight.lay_aside(self.engine(), channel)?,
                Fate::Forget => Flight::forget(self.engine(), channel)?,
            }
        }
        let is_passing = flight.partly_since.is_none_or(|since| now.duration_since(since) < NOT_PASSING);
        if given_up || !is_passing {
            self.complain(channel, &flight, &reason, !given_up).await?;
        }
        Ok(())
    }

    /// Notes in the mirror, of each match that a message told of, that it did not leave.
    fn note_failure(
        &self,
        channel: Channel,
        flight: &Flight,
        reason: &str,
        given_up: bool,
        now: Timestamp,
    ) -> Result<(), EngineError> {
        let kind = if flight.cargo == Cargo::Matches { DeliveryKind::Match } else { DeliveryKind::Reminder };
        let failed = Delivery {
            channel,
            kind,
            outcome: if given_up { DeliveryOutcome::GivenUp } else { DeliveryOutcome::Failed },
            at: Some(now),
            deferred_until: None,
            reason: Some(reason.to_owned()),
        };
        Ok(self.engine().mirror().note_deliveries(&flight.iids, &failed)?)
    }

    /// Notes that a turn broke off, in GitLab or here: the channel pauses.
    pub(super) fn stumbled(&self, channel: Channel, error: &EngineError) -> Timestamp {
        let stumbles = self.state(channel).stumbles.saturating_add(1);
        let pause = error.retry_after().unwrap_or_else(|| growing_pause(stumbles)).max(FIRST_PAUSE);
        tracing::warn!(%channel, %error, stumbles, ?pause, "a channel's turn failed; it is taken again");
        self.change(channel, |state| {
            state.stumbles = stumbles;
            let is_refusal = matches!(error, EngineError::Gitlab(error) if is_refusal(error));
            state.refusals = if is_refusal { state.refusals.saturating_add(1) } else { 0 };
            state.stumbled = Some(error.to_string());
        });
        self.pause(channel, pause)
    }

    /// Tells people in a comment what does not arrive, once a day at most.
    pub(super) async fn complain(
        &self,
        channel: Channel,
        flight: &Flight,
        reason: &str,
        is_tried_again: bool,
    ) -> Result<(), EngineError> {
        let (engine, now) = (self.engine(), self.now());
        let fact = Fact::ComplainedOf(channel);
        let is_recent = |at: Timestamp| is_recent(at, COMPLAIN_EVERY, now);
        let last = engine.mirror().fact(fact)?.and_then(|at| at.parse::<Timestamp>().ok());
        if last.is_some_and(is_recent) {
            return Ok(());
        }
        let Some(iid) = flight.iids.first() else { return Ok(()) };
        let of = json!({ "channel": channel.as_str() });
        // Whoever may read the issue need not know the reviewers' addresses.
        let context = json!({
            "channel": channel.as_str(),
            "reason": GitlabLine::new(&masked(reason)),
            "is_tried_again": is_tried_again,
            "hidden": Hidden::GivenUp.of(&of),
        });
        let text = engine.comment_text("given_up", context, Vec::new())?;
        let told = async {
            let connected = engine.connected().await?;
            // Said before the disk was lost, about one of the same matches.
            for iid in &flight.iids {
                let ours = connected.our_notes(*iid).await?;
                // The words may be others than now: most are the other side's.
                let is_of = |note: &Note| Hidden::GivenUp.read::<Value>(&note.body).as_ref() == Some(&of);
                let is_it = |note: &&Note| is_recent(note.created_at) && is_of(note);
                if let Some(note) = ours.iter().rev().find(is_it) {
                    return Ok(note.created_at);
                }
            }
            connected.keeping_todo(*iid, connected.project.comment(*iid, &text)).await?;
            Ok::<_, EngineError>(now)
        };
        match told.await {
            Ok(at) => engine.mirror().remember(fact, &at.to_string())?,
            Err(error) => {
                tracing::warn!(%channel, iid, %error, "nobody could be told that the channel is given up");
            }
        }
        Ok(())
    }

    /// Pauses a channel at least so long; one that the other side asked for is not cut short.
    pub(super) fn pause(&self, channel: Channel, pause: Duration) -> Timestamp {
        let until = self.now().checked_add(pause).unwrap_or(Timestamp::MAX);
        let before = self.state(channel).paused_until.filter(|before| is_pause(*before, self.now()));
        let until = before.map_or(until, |before| before.max(until));
        self.change(channel, |state| state.paused_until = Some(until));
        until
    }
}

/// Whether a channel may be paused until then: longer ahead lies only what was written by a clock that was wrong.
pub(super) fn is_pause(until: Timestamp, now: Timestamp) -> bool {
    until.duration_since(now) <= LONGEST_ASKED_FOR
}

/// Whether what is to be tried then is still to wait; longer ahead, too, lies only what a clock wrote down that was wrong.
pub(super) fn holds_back(until: Timestamp, now: Timestamp) -> bool {
    until > now && until.duration_since(now) <= LONGEST_HELD_BACK
}

/// How long a channel pauses after a failure of a message.
fn how_long(failure: &Failure, flight: &Flight, aside: Option<Duration>, failures: u32) -> Duration {
    let pause = match aside {
        Some(_) => FIRST_PAUSE,
        // One recipient is no reason for all the others' messages to come later and later.
        None if !flight.delivered.is_empty() && !failure.given_up => growing_pause(flight.partly),
        None => growing_pause(failures),
    };
    // A `Retry-After` of nothing is no reason to hurry, and none holds a channel for longer than is believed of one.
    pause.max(failure.asked_for().unwrap_or_default())
}

fn about(flight: &Flight) -> String {
    match (flight.cargo, flight.iids.as_slice()) {
        (Cargo::Matches, [iid]) => format!("match {iid}"),
        (Cargo::Matches, iids) => format!("{} matches", iids.len()),
        (Cargo::Reminder, iids) => format!("the wait of {} matches", iids.len()),
        (Cargo::Quiet, _) => "a quiet pipeline".to_owned(),
    }
}

/// An hour, two, … a day.
fn aside_for(times: u32) -> Duration {
    SET_ASIDE.saturating_mul(1 << times.min(5)).min(24 * SET_ASIDE)
}

fn in_words(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ ..120 => format!("{seconds} s"),
        seconds @ ..7200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}

/// Five seconds, ten, twenty, … an hour.
fn growing_pause(failures: u32) -> Duration {
    growing(failures, LONGEST_PAUSE)
}

/// Twice as long each time, and up to a tenth more so that many do not come back at once.
fn growing(failures: u32, longest: Duration) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(13)).min(longest);
    let share = u32::from(uuid::Uuid::new_v4().as_bytes()[0]);
    doubled + doubled / 10 * share / 255
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_somebody_has_or_may_have_is_tried_again_as_the_same_message() {
        let fresh = Flight::new("home", Cargo::Matches, vec![1], false, Timestamp::UNIX_EPOCH);
        let may_have_arrived = Flight { unclear: 1, ..fresh.clone() };
        let mut partly_delivered = fresh.clone();
        partly_delivered.delivered.note(&"anna@example.com".parse().unwrap(), None);
        for (flight, fate_now, fate_after_others) in [
            (fresh, Fate::Forget, Fate::Forget),
            (may_have_arrived, Fate::Keep, Fate::Forget),
            (partly_delivered, Fate::Keep, Fate::LayAside),
        ] {
            assert_eq!((fate(&flight, false), fate(&flight, true)), (fate_now, fate_after_others));
        }
    }
}

//! One channel's turn: what is due goes out, one message at a time.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;

use super::failures::is_pause;
use super::in_flight::{Cargo, Flight};
use super::last_times::Memory;
use super::receipts::{REMINDED, receipt};
use super::senders::Message;
use super::{Notice, NoticeKind, NoticeMatch, Notifier};
use crate::channels::Outcome;
use crate::config::{ChannelPolicy, Policy};
use crate::domain::Channel;
use crate::domain::schedule::{Plan, lies_ahead};
use crate::engine::EngineError;
use crate::mirror::{Delivery, DeliveryKind, DeliveryOutcome};

/// So often GitLab may refuse a receipt before it is let go: the mirror remembers what was told, and others go on.
const RECEIPT_TRIES: u32 = 3;

/// What a step of a turn ended with.
enum Next {
    /// There may be more to do.
    Again,
    /// Nothing is due before then.
    Wait(Option<Timestamp>),
}

impl Notifier {
    /// Sends everything that is due on a channel and says when something will be.
    pub(super) async fn turn(&self, channel: Channel) -> Option<Timestamp> {
        let turn = self.inner.turns.get(&channel)?;
        let _one_at_a_time = turn.lock().await;
        loop {
            if self.is_ending() {
                return None;
            }
            let step = match self.step(channel).await {
                Ok(step) => step,
                Err(error) => return Some(self.stumbled(channel, &error)),
            };
            let now = self.now();
            self.change(channel, |state| {
                // A step within the pause has tried nothing.
                if state.paused_until.is_none_or(|until| until <= now) {
                    (state.stumbles, state.stumbled, state.refusals) = (0, None, 0);
                }
            });
            if let Next::Wait(until) = step {
                self.change(channel, |state| state.held_until = until);
                return until;
            }
        }
    }

    async fn step(&self, channel: Channel) -> Result<Next, EngineError> {
        let engine = self.engine();
        if !engine.may_tell() {
            return Ok(Next::Wait(None));
        }
        if let Some(until) = self.waits_for_first_work() {
            return Ok(Next::Wait(Some(until)));
        }
        let policy = engine.policy();
        let own = policy.channels.get(&channel).filter(|own| own.enabled);
        let flight = Flight::load(engine, channel)?;
        // What was sent is acknowledged although the channel is off by now, or it would go again after a lost disk.
        if own.is_none() && flight.as_ref().is_none_or(|flight| flight.sent_at.is_none()) {
            return Ok(Next::Wait(None));
        }
        self.read_receipts().await?;
        if let Some(until) = self.state(channel).paused_until.filter(|until| *until > self.now()) {
            if is_pause(until, self.now()) {
                return Ok(Next::Wait(Some(until)));
            }
            self.change(channel, |state| state.paused_until = None);
        }
        match (flight, own) {
            (Some(flight), _) => self.carry(channel, flight, &policy).await,
            (None, Some(own)) => self.take_up_next(channel, own, &policy).await,
            (None, None) => Ok(Next::Wait(None)),
        }
    }

    /// Takes up what is to go next on a channel that has nothing under way: what was laid aside, a reminder or an alarm,
    /// then matches that nobody was told of.
    async fn take_up_next(
        &self,
        channel: Channel,
        own: &ChannelPolicy,
        policy: &Policy,
    ) -> Result<Next, EngineError> {
        let engine = self.engine();
        let (now, state) = (self.now(), self.state(channel));
        let free = own.schedule.not_before(now);
        let aside = Flight::laid_aside(engine, channel)?;
        let goes_now = |flight: &Flight| free <= now || self.is_urgent(flight, own);
        // What somebody has already waits for those who have nothing yet.
        let may_go = |flight: &&Flight| goes_now(flight) && state.may_take_up(flight, now);
        let (partly_delivered, undelivered): (Vec<&Flight>, Vec<&Flight>) =
            aside.iter().filter(may_go).partition(|flight| flight.is_partly_delivered());
        if let Some(flight) = undelivered.first() {
            flight.take_up(engine, channel)?;
            return Ok(Next::Again);
        }
        let extras_after = state.extras_after(now);
        if free <= now
            && extras_after.is_none()
            && let Some(flight) = self.extra(channel, policy, &aside).await?
        {
            flight.keep(engine, channel)?;
            return Ok(Next::Again);
        }
        let mut waiting = engine.mirror().untold(channel)?;
        waiting.retain(|one| state.later(one.iid, now).is_none());
        waiting.retain(|one| !aside.iter().any(|flight| flight.iids.contains(&one.iid)));
        let later = state.later.keys().filter_map(|iid| state.later(*iid, now)).chain(extras_after).min();
        let last_digest = self.memory().await?.last_digest.get(&channel).copied();
        let plan = own.schedule.plan(&waiting, last_digest, now);
        if let (Plan::Hold(_) | Plan::Nothing, Some(flight)) = (&plan, partly_delivered.first()) {
            flight.take_up(engine, channel)?;
            return Ok(Next::Again);
        }
        Ok(match plan {
            Plan::Send { iids, digest } => {
                Flight::new(&self.inner.home, Cargo::Matches, iids, digest, now).keep(engine, channel)?;
                Next::Again
            }
            Plan::Hold(until) => Next::Wait(Some(later.map_or(until, |later| later.min(until)))),
            Plan::Nothing => Next::Wait(later.or((free > now).then_some(free))),
        })
    }

    /// A reminder or a quiet alarm that is due on this channel and not laid aside, of matches that are not left alone.
    async fn extra(
        &self,
        channel: Channel,
        policy: &Policy,
        aside: &[Flight],
    ) -> Result<Option<Flight>, EngineError> {
        let mirror = self.engine().mirror();
        let (home, now, state) = (&self.inner.home, self.now(), self.state(channel));
        let mut reminders = mirror.reminders(channel)?;
        reminders.retain(|iid| state.later(*iid, now).is_none());
        reminders.retain(|iid| !aside.iter().any(|flight| flight.iids.contains(iid)));
        match self.waits_too_long() {
            // A decision and its undo came between: it has not waited for so long any more.
            Some((_, soon)) => {
                reminders.retain(|iid| self.engine().has_waited_since(*iid, soon).unwrap_or(true));
            }
            // Nobody is to be reminded any more.
            None => reminders.clear(),
        }
        if self.memory().await?.reminded_until(channel, now).is_some() {
            reminders.clear();
        }
        reminders.truncate(policy.channels.get(&channel).map_or(1, |own| own.schedule.batch.max.max(1)));
        if !reminders.is_empty() {
            return Ok(Some(Flight::new(home, Cargo::Reminder, reminders, true, now)));
        }
        let is_aside = aside.iter().any(|flight| flight.cargo == Cargo::Quiet);
        let is_due = !is_aside && self.quiet_alarm_is_due(channel, policy).await?;
        Ok(is_due.then(|| Flight::new(home, Cargo::Quiet, Vec::new(), false, now)))
    }

    /// Takes a message as far as it comes: sent, acknowledged in GitLab, noted in the mirror.
    async fn carry(
        &self,
        channel: Channel,
        mut flight: Flight,
        policy: &Policy,
    ) -> Result<Next, EngineError> {
        let engine = self.engine();
        if flight.sent_at.is_none() {
            let Some(notice) = self.notice(channel, &mut flight, policy).await? else {
                Flight::forget(engine, channel)?;
                return Ok(Next::Again);
            };
            if self.quiet_until(channel, &notice, policy).is_some() {
                // What is urgent goes past it. What nobody can have is planned afresh when it is over.
                if flight.may_have_arrived() {
                    flight.lay_aside(engine, channel)?;
                } else {
                    Flight::forget(engine, channel)?;
                }
                return Ok(Next::Again);
            }
            flight.keep(engine, channel)?;
            if self.is_ending() {
                return Ok(Next::Wait(None));
            }
            let mut refused = None;
            match self.hand_over(channel, &notice, &mut flight, &mut refused).await {
                Outcome::Sent { id } => {
                    let now = self.now();
                    flight.sent_at = Some(now);
                    flight.message_ids = id.filter(|id| id.starts_with('<'));
                    if let Err(error) = flight.keep(engine, channel) {
                        // What tells of matches is kept from going again by its receipts.
                        tracing::warn!(%channel, %error, "the disk could not be told that a message was sent");
                    }
                    let aside = Flight::laid_aside(engine, channel).unwrap_or_default();
                    let has_extra = aside.iter().any(|flight| flight.cargo != Cargo::Matches);
                    self.change(channel, |state| {
                        *state = super::ChannelState {
                            last_sent: Some(now),
                            extras_after: state.extras_after.filter(|_| has_extra),
                            later: std::mem::take(&mut state.later),
                            in_doubt: std::mem::take(&mut state.in_doubt),
                            times_aside: std::mem::take(&mut state.times_aside),
                            refused: refused.clone(),
                            ..super::ChannelState::default()
                        };
                    });
                    tracing::info!(%channel, iids = ?flight.iids, cargo = ?flight.cargo, "a message is sent");
                    if let Some(reason) = refused
                        && let Err(error) = self.complain(channel, &flight, &reason, false).await
                    {
                        tracing::warn!(%channel, %error, "nobody could be told who gets no message");
                    }
                }
                failed => {
                    self.failed(channel, flight, failed).await?;
                    return Ok(Next::Again);
                }
            }
        }
        self.acknowledge(channel, &flight).await?;
        Flight::forget(engine, channel)?;
        Ok(Next::Again)
    }

    async fn hand_over(
        &self,
        channel: Channel,
        notice: &Arc<Notice>,
        flight: &mut Flight,
        refused: &mut Option<String>,
    ) -> Outcome {
        let Some(sender) = self.inner.senders.get(&channel) else {
            return Outcome::GiveUp { reason: "the channel is not set up".to_owned() };
        };
        let references: BTreeSet<String> = match flight.cargo {
            Cargo::Reminder => flight.iids.iter().flat_map(|iid| self.ids_of(channel, *iid)).collect(),
            _ => BTreeSet::new(),
        };
        let references: Vec<String> = references.into_iter().collect();
        let message = Message {
            notice,
            id: &flight.id,
            references: &references,
            at: self.now(),
            delivered: &mut flight.delivered,
            refused,
        };
        let outcome = sender.send(self.engine().templates(), message).await;
        let word = match &outcome {
            Outcome::Sent { .. } => "sent",
            Outcome::TryAgain { .. } => "failed",
            Outcome::GiveUp { .. } => "given_up",
        };
        self.inner.metrics.told(channel.as_str(), word);
        outcome
    }

    /// What the mails that told of a match are called, as the other side named them, else as we did. After a lost disk
    /// nobody knows, and a reminder refers to none.
    fn ids_of(&self, channel: Channel, iid: u64) -> Vec<String> {
        let ids = self.engine().mirror().message_ids(iid, channel).unwrap_or_default();
        ids.map(|ids| ids.split(' ').map(str::to_owned).collect()).unwrap_or_default()
    }

    /// Receipts in GitLab, then the mirror, then what has no match to hang on.
    pub(super) async fn acknowledge(&self, channel: Channel, flight: &Flight) -> Result<(), EngineError> {
        let (kind, emoji) = match flight.cargo {
            Cargo::Matches => (DeliveryKind::Match, receipt(channel)),
            Cargo::Reminder | Cargo::Quiet => (DeliveryKind::Reminder, Some(REMINDED)),
        };
        if let Some(emoji) = emoji {
            let is_last_try = self.state(channel).refusals >= RECEIPT_TRIES;
            self.give_receipts(&flight.iids, emoji, is_last_try).await?;
        }
        let sent = Delivery {
            channel,
            kind,
            outcome: DeliveryOutcome::Sent,
            at: flight.sent_at,
            deferred_until: None,
            reason: None,
        };
        let mirror = self.engine().mirror();
        mirror.note_deliveries(&flight.iids, &sent)?;
        if flight.cargo == Cargo::Matches {
            // As the other side called it, else as we did.
            let ids = flight.message_ids.as_ref().unwrap_or(&flight.id);
            mirror.note_message_ids(&flight.iids, channel, ids)?;
        }
        self.change(channel, |state| {
            state.later.retain(|iid, _| !flight.iids.contains(iid));
            state.in_doubt.retain(|iid| !flight.iids.contains(iid));
            state.times_aside.retain(|iid, _| !flight.iids.contains(iid));
        });
        self.remember_that_it_left(channel, flight).await
    }

    /// When digests, reminders and alarms went last says when the next may go.
    async fn remember_that_it_left(&self, channel: Channel, flight: &Flight) -> Result<(), EngineError> {
        let at = flight.sent_at.unwrap_or_else(|| self.now());
        match flight.cargo {
            Cargo::Matches if flight.digest => {
                let policy = self.engine().policy();
                let schedule = policy.channels.get(&channel).map(|own| &own.schedule);
                let has_digests = schedule.is_some_and(|schedule| schedule.batch.digest.is_some());
                // What had a digest of its own while this one was tried again did not miss that.
                let planned_at = flight.planned_at.filter(|_| has_digests);
                let at = planned_at.map_or(at, |planned_at| planned_at.min(at));
                let change = |memory: &mut Memory| {
                    let last = memory.last_digest.get(&channel).copied();
                    let last = last.filter(|last| !lies_ahead(*last, self.now()));
                    memory.last_digest.insert(channel, last.map_or(at, |last| last.max(at)));
                };
                // One match of a backlog by itself is no digest that has to be written down for everybody: this disk alone
                // waits before the next.
                if has_digests || flight.iids.len() > 1 {
                    self.remember(change).await
                } else {
                    self.remember_here(change).await
                }
            }
            Cargo::Matches => Ok(()),
            Cargo::Reminder => {
                self.remember(|memory| {
                    let last = memory.last_reminder.filter(|last| !lies_ahead(*last, self.now()));
                    memory.last_reminder = last.max(Some(at));
                    memory.last_reminder_of.insert(channel, at);
                })
                .await
            }
            Cargo::Quiet => {
                self.remember(|memory| {
                    memory.last_quiet_alarm.insert(channel, at);
                })
                .await
            }
        }
    }

    /// Whether all that a message tells of goes in quiet hours too.
    fn is_urgent(&self, flight: &Flight, own: &ChannelPolicy) -> bool {
        let Some(quiet) = own.schedule.quiet.as_ref().filter(|_| flight.cargo == Cargo::Matches) else {
            return false;
        };
        let score = |iid: &u64| self.engine().mirror().record(*iid).ok()??.job.score;
        flight.iids.iter().all(|iid| quiet.is_urgent(score(iid)))
    }

    /// Until when a message that was interrupted has to wait because it has become quiet.
    fn quiet_until(&self, channel: Channel, notice: &Notice, policy: &Policy) -> Option<Timestamp> {
        let schedule = &policy.channels.get(&channel)?.schedule;
        let now = self.now();
        let urgent =
            |one: &NoticeMatch| schedule.quiet.as_ref().is_some_and(|quiet| quiet.is_urgent(one.job.score));
        let is_of_matches = matches!(notice.kind, NoticeKind::Match | NoticeKind::Digest);
        let goes_anyway = is_of_matches && notice.matches.iter().all(urgent);
        Some(schedule.not_before(now)).filter(|until| *until > now && !goes_anyway)
    }
}

//! What comes round by itself: turns of every channel, reminders, expiry.

use std::time::Duration;

use futures_util::future;
use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Notifier;
use super::last_times::Memory;
use crate::domain::Channel;
use crate::domain::schedule::{AHEAD, is_recent};
use crate::engine::EngineError;
use crate::mirror::ToldBefore;

/// The longest pause between two looks: settings change, clocks jump.
const AT_LEAST_EVERY: Duration = Duration::from_secs(60);
/// Reminders go together, at most so often.
pub(super) const REMIND_EVERY: SignedDuration = SignedDuration::from_hours(24);
/// What is due so soon after what is due goes with it; where people are reminded after less than ten hours, a tenth of
/// that.
const SOON: SignedDuration = SignedDuration::from_hours(1);

/// Something that is due could not be done.
struct Troubled;

impl Notifier {
    /// Starts every loop: one a channel, so that one that fails delays no other, and one for what comes round by itself.
    pub fn start(&self, tasks: &TaskTracker, stop: &CancellationToken) {
        // A stop ends loops between messages only: one that is on its way comes to its end, receipts and all.
        let _ = self.inner.stop.set(stop.clone());
        for channel in self.inner.senders.keys().copied() {
            let (notifier, stop) = (self.clone(), stop.clone());
            tasks.spawn(async move {
                while !stop.is_cancelled() {
                    // Listening begins before looking, so that nothing rings in between unheard.
                    let news = notifier.engine().news().notified();
                    let until = notifier.turn(channel).await;
                    stop.run_until_cancelled(notifier.wait(news, until)).await;
                }
            });
        }
        let (notifier, stop) = (self.clone(), stop.clone());
        tasks.spawn(async move {
            while !stop.is_cancelled() {
                let news = notifier.engine().news().notified();
                let pause = match notifier.round().await {
                    Ok(until) => future::Either::Left(notifier.wait(news, until)),
                    // What fails rings itself: it is not tried again in the same moment.
                    Err(Troubled) => future::Either::Right(notifier.engine().clock().sleep(AT_LEAST_EVERY)),
                };
                stop.run_until_cancelled(pause).await;
            }
        });
    }

    async fn wait(&self, news: impl Future<Output = ()>, until: Option<Timestamp>) {
        let left = until.map(|until| until.duration_since(self.now()));
        let left = left.and_then(|left| Duration::try_from(left).ok()).unwrap_or(AT_LEAST_EVERY);
        // A moment after the time rather than before it.
        let pause = left.min(AT_LEAST_EVERY) + Duration::from_millis(1);
        tokio::select! {
            () = news => {}
            () = self.engine().clock().sleep(pause) => {}
        }
    }

    /// Does everything that is due now; for platforms that stop the clock between requests, and for tests.
    pub async fn tick(&self) {
        let _ = self.round().await;
        let turns = self.inner.senders.keys().map(|channel| self.turn(*channel));
        futures_util::future::join_all(turns).await;
    }

    /// Reminds and expires what is due, and says when the next is.
    async fn round(&self) -> Result<Option<Timestamp>, Troubled> {
        if !self.engine().may_tell() {
            return Ok(None);
        }
        let done = async {
            let all = self.engine().expire().await?;
            self.remind().await?;
            self.publish_what_was_not().await?;
            Ok::<_, EngineError>(if all { Ok(self.next_round()?) } else { Err(Troubled) })
        };
        done.await.unwrap_or_else(|error| {
            tracing::warn!(%error, "reminders and expiry could not be looked after; they are again in a minute");
            Err(Troubled)
        })
    }

    /// When the next match is due to be reminded of or to expire.
    fn next_round(&self) -> Result<Option<Timestamp>, EngineError> {
        let (policy, now, mirror) = (self.engine().policy(), self.now(), self.engine().mirror());
        let begin = |after: Option<SignedDuration>| Some((after?, now.checked_sub(after?).ok()?));
        let mut next = Vec::new();
        if let Some((after, begin)) = begin(policy.remind_after) {
            next.extend(mirror.next_unreminded(begin)?.and_then(|since| since.checked_add(after).ok()));
        }
        if let Some((after, begin)) = begin(policy.expire_after) {
            next.extend(mirror.next_undecided(begin)?.and_then(|since| since.checked_add(after).ok()));
        }
        Ok(next.into_iter().min())
    }

    /// Marks what is to be reminded of on every channel; each sends it in its own turn.
    async fn remind(&self) -> Result<(), EngineError> {
        let engine = self.engine();
        let (channels, now) = (self.active(), self.now());
        let (Some((before, soon)), false) = (self.waits_too_long(), channels.is_empty()) else {
            return Ok(());
        };
        self.read_receipts().await?;
        let recently = |last| is_recent(last, REMIND_EVERY, now);
        if self.memory().await?.last_reminder.is_some_and(recently) {
            return Ok(());
        }
        let mut waited = self.waited_since(before)?;
        if waited.is_empty() {
            return Ok(());
        }
        // What came together is reminded of together: nothing else goes for a day.
        for iid in self.waited_since(soon)? {
            if !waited.contains(&iid) {
                waited.push(iid);
            }
        }
        // What does not fit into one message of every channel is reminded of on the next day.
        let policy = engine.policy();
        let largest = |channel: &Channel| Some(policy.channels.get(channel)?.schedule.batch.max.max(1));
        waited.truncate(channels.iter().filter_map(largest).min().unwrap_or(1));
        engine.mirror().owe_reminders(&waited, &channels, self.told_before(soon))?;
        let mut slot = self.inner.memory.lock().await;
        if let Some(memory) = slot.as_mut() {
            memory.last_reminder = Some(now);
            memory.keep(engine)?;
        }
        engine.news().notify_waiters();
        Ok(())
    }

    /// What has been pending since the first of these moments is reminded of, and then what has been since the second as
    /// well; none where nothing is.
    pub(super) fn waits_too_long(&self) -> Option<(Timestamp, Timestamp)> {
        let after = self.engine().policy().remind_after?;
        let before = self.now().checked_sub(after).ok()?;
        Some((before, before.checked_add((after / 10).min(SOON)).unwrap_or(before)))
    }

    fn told_before(&self, moment: Timestamp) -> ToldBefore {
        ToldBefore { moment, ahead: self.now().checked_add(AHEAD).unwrap_or(Timestamp::MAX) }
    }

    /// The matches that were told of and have been pending since then, and that nobody was reminded of.
    fn waited_since(&self, before: Timestamp) -> Result<Vec<u64>, EngineError> {
        let mut waited = Vec::new();
        for iid in self.engine().mirror().unreminded(self.told_before(before), &self.active())? {
            if self.engine().has_waited_since(iid, before)? {
                waited.push(iid);
            }
        }
        Ok(waited)
    }

    /// What is remembered of digests and alarms.
    pub(super) async fn memory(&self) -> Result<Memory, EngineError> {
        let mut slot = self.inner.memory.lock().await;
        if let Some(memory) = slot.as_ref() {
            return Ok(memory.clone());
        }
        Ok(slot.insert(Memory::load(self.engine()).await?).clone())
    }

    /// Remembers something of digests and alarms, here and in GitLab.
    pub(super) async fn remember(&self, change: impl FnOnce(&mut Memory)) -> Result<(), EngineError> {
        self.memory().await?;
        let mut slot = self.inner.memory.lock().await;
        let memory = slot.get_or_insert_default();
        change(memory);
        memory.publish(self.engine()).await
    }

    /// The same, here alone.
    pub(super) async fn remember_here(&self, change: impl FnOnce(&mut Memory)) -> Result<(), EngineError> {
        self.memory().await?;
        let mut slot = self.inner.memory.lock().await;
        let memory = slot.get_or_insert_default();
        change(memory);
        memory.keep(self.engine())
    }

    /// Tells GitLab what it could not be told before.
    async fn publish_what_was_not(&self) -> Result<(), EngineError> {
        if !self.memory().await?.is_to_be_published(self.now()) {
            return Ok(());
        }
        let mut slot = self.inner.memory.lock().await;
        slot.get_or_insert_default().publish(self.engine()).await
    }
}

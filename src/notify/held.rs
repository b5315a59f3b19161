//! What is held, until when and why: by the same rules that decide what goes.

use jiff::Timestamp;

use super::last_times::Memory;
use super::{ChannelState, Notifier};
use crate::domain::schedule::{Reason, Waiting};
use crate::domain::{Channel, State};
use crate::engine::EngineError;
use crate::mirror::{Delivery, DeliveryKind, DeliveryOutcome, Record, Standing};

/// Why a channel's own trouble holds a match.
const FAILING: &str = "channel_failing";
/// GitLab shows the match in another state than it counts as; it is looked at first.
const IN_DOUBT: &str = "state_in_doubt";
/// Another reminder has just gone.
const ONE_A_DAY: &str = "one_reminder_a_day";
/// Most matches that are looked at for the health of a channel: it is asked for often.
const LOOKED_AT: usize = 200;

impl Notifier {
    /// What was sent of a match, and what is held or failing of a pending one.
    ///
    /// # Errors
    ///
    /// Where the mirror's disk fails.
    pub fn deliveries(&self, record: &Record) -> Result<Vec<Delivery>, EngineError> {
        Ok(self.deliveries_of(std::slice::from_ref(record))?.pop().unwrap_or_default())
    }

    /// The same of each of these matches, in their order.
    ///
    /// # Errors
    ///
    /// Where the mirror's disk fails.
    pub fn deliveries_of(&self, records: &[Record]) -> Result<Vec<Vec<Delivery>>, EngineError> {
        let iids: Vec<u64> = records.iter().map(|record| record.iid).collect();
        let sent = self.engine().mirror().deliveries_of(&iids)?;
        let memory = Memory::on_this_disk(self.engine())?;
        records.iter().zip(sent).map(|(record, sent)| self.with_held(record, sent, &memory)).collect()
    }

    fn with_held(
        &self,
        record: &Record,
        mut deliveries: Vec<Delivery>,
        memory: &Memory,
    ) -> Result<Vec<Delivery>, EngineError> {
        let is_waiting = record.state == State::Pending && record.standing == Standing::Live;
        if !is_waiting || self.engine().policy().remind_after.is_none() {
            // What the mirror has as deferred are reminders, and nobody is to be reminded any more.
            deliveries.retain(|one| one.outcome != DeliveryOutcome::Deferred);
        }
        if !is_waiting {
            return Ok(deliveries);
        }
        let waiting = Waiting {
            iid: record.iid,
            since: record.counts_since(),
            score: record.job.score,
            backlog: self.engine().mirror().is_backlog(record.iid)?,
        };
        let owed =
            |one: &&mut Delivery| one.kind == DeliveryKind::Reminder && one.outcome != DeliveryOutcome::Sent;
        for reminder in deliveries.iter_mut().filter(owed) {
            let held = self.held_reminder(reminder.channel, record.iid, memory);
            reminder.deferred_until = held.map(|(until, _)| until);
            if reminder.outcome == DeliveryOutcome::Deferred {
                reminder.reason = held.map(|(_, reason)| reason.to_owned());
            }
        }
        for channel in self.active() {
            let there = |one: &&mut Delivery| one.channel == channel && one.kind == DeliveryKind::Match;
            let held = self.held(channel, &waiting, memory);
            if let Some(known) = deliveries.iter_mut().find(there) {
                if known.outcome != DeliveryOutcome::Sent {
                    known.deferred_until = held.map(|(until, _)| until);
                }
                continue;
            }
            deliveries.push(Delivery {
                channel,
                kind: DeliveryKind::Match,
                outcome: DeliveryOutcome::Deferred,
                at: None,
                deferred_until: held.map(|(until, _)| until),
                reason: held.map(|(_, reason)| reason.to_owned()),
            });
        }
        Ok(deliveries)
    }

    /// Until when a channel holds a reminder of a match, and why; none where it is to go now.
    fn held_reminder(
        &self,
        channel: Channel,
        iid: u64,
        memory: &Memory,
    ) -> Option<(Timestamp, &'static str)> {
        let (now, state, policy) = (self.now(), self.state(channel), self.engine().policy());
        let quiet_until = policy.channels.get(&channel)?.schedule.not_before(now);
        let by_schedule = (quiet_until > now).then_some((quiet_until, in_words(Reason::QuietHours)));
        let by_trouble = state.paused_until.max(state.extras_after(now)).filter(|until| *until > now);
        let by_doubt = state.later(iid, now).map(|until| (until, why_later(&state, iid)));
        let by_another = memory.reminded_until(channel, now).map(|until| (until, ONE_A_DAY));
        by_schedule.max(by_trouble.map(|until| (until, FAILING))).max(by_doubt).max(by_another)
    }

    /// Until when the first of what a channel holds is held, and why; none where nothing is.
    pub(super) fn first_held(
        &self,
        channel: Channel,
        waiting: &[Waiting],
    ) -> Option<(Timestamp, &'static str)> {
        let memory = Memory::on_this_disk(self.engine()).ok()?;
        let held = waiting.iter().take(LOOKED_AT).map(|one| self.held(channel, one, &memory));
        // Where one may go now, nothing is held.
        held.collect::<Option<Vec<_>>>()?.into_iter().min()
    }

    /// Until when a channel holds a match, and why; none where it is to go now. Never a moment that is over.
    fn held(&self, channel: Channel, one: &Waiting, memory: &Memory) -> Option<(Timestamp, &'static str)> {
        let (now, state) = (self.now(), self.state(channel));
        let policy = self.engine().policy();
        let schedule = &policy.channels.get(&channel)?.schedule;
        let last_digest = memory.last_digest.get(&channel).copied();
        let by_schedule =
            schedule.held(one, last_digest, now).map(|(until, reason)| (until, in_words(reason)));
        let by_trouble = state.paused_until.max(state.later(one.iid, now)).filter(|until| *until > now);
        by_schedule.max(by_trouble.map(|until| (until, why_later(&state, one.iid))))
    }
}

/// Why a match is left alone.
fn why_later(state: &ChannelState, iid: u64) -> &'static str {
    if state.in_doubt.contains(&iid) { IN_DOUBT } else { FAILING }
}

const fn in_words(reason: Reason) -> &'static str {
    match reason {
        Reason::Delay => "delay",
        Reason::Digest => "digest",
        Reason::QuietHours => "quiet_hours",
    }
}

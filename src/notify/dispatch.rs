//! One channel's turn: what is due goes out, one message at a time.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::channels::Outcome;
use super::failures::{FIRST_PAUSE, LONGEST_PAUSE};
use super::in_flight::{Cargo, Flight};
use super::senders::Message;
use super::{Notice, NoticeKind, NoticeMatch, Notifier, REMINDED, receipt};
use crate::config::Policy;
use crate::domain::Channel;
use crate::domain::action_link::{Action, ActionLink};
use crate::domain::job_match::Score;
use crate::domain::schedule::Plan;
use crate::engine::{EngineError, Hint};
use crate::mirror::{Delivery, DeliveryKind, DeliveryOutcome, Record};

/// How long a match is left alone that GitLab says is not pending although the mirror does.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_secs(30);

/// Under this name the mirror remembers since when a project without any match is waited on.
const WAITS_SINCE: &str = "waits since";

/// What a step of a turn ended with.
enum Step {
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
            match self.step(channel).await {
                Ok(Step::Again) => {}
                Ok(Step::Wait(until)) => {
                    self.change(channel, |state| state.held_until = until);
                    return until;
                }
                Err(error) => {
                    tracing::warn!(%channel, %error, "a channel's turn failed; it is taken again");
                    let pause = error.retry_after().unwrap_or(LONGEST_PAUSE).max(FIRST_PAUSE);
                    return Some(self.pause(channel, pause));
                }
            }
        }
    }

    async fn step(&self, channel: Channel) -> Result<Step, EngineError> {
        let engine = self.engine();
        if !engine.may_tell() {
            return Ok(Step::Wait(None));
        }
        if let Some(until) = self.waits_for_first_work() {
            return Ok(Step::Wait(Some(until)));
        }
        let policy = engine.policy();
        let Some(own) = policy.channels.get(&channel).filter(|own| own.enabled) else {
            return Ok(Step::Wait(None));
        };
        self.read_receipts().await?;
        let (now, state) = (self.now(), self.state(channel));
        if let Some(until) = state.paused_until.filter(|until| *until > now) {
            return Ok(Step::Wait(Some(until)));
        }
        if let Some(flight) = Flight::load(engine, channel)? {
            return self.carry(channel, flight, &policy).await;
        }
        let free = own.schedule.not_before(now);
        let aside = match Flight::laid_aside(engine, channel)? {
            Some(flight) if free <= now => {
                flight.take_up(engine, channel)?;
                return Ok(Step::Again);
            }
            other => other,
        };
        let extras_after = state.extras_after.filter(|at| *at > now);
        if free <= now
            && extras_after.is_none()
            && let Some(flight) = self.extra(channel, &policy, now).await?
        {
            flight.keep(engine, channel)?;
            return Ok(Step::Again);
        }
        let mut waiting = engine.mirror().untold(channel)?;
        waiting.retain(|one| state.later.get(&one.iid).is_none_or(|later| *later <= now));
        if let Some(aside) = aside {
            waiting.retain(|one| !aside.iids.contains(&one.iid));
        }
        let later = state.later.values().copied().chain(extras_after).filter(|later| *later > now).min();
        let last_digest = self.memory().await?.last_digest.get(&channel).copied();
        Ok(match own.schedule.plan(&waiting, last_digest, now) {
            Plan::Send { iids, digest } => {
                Flight::new(&self.inner.home, Cargo::Matches, iids, digest, now).keep(engine, channel)?;
                Step::Again
            }
            Plan::Hold(until) => Step::Wait(Some(later.map_or(until, |later| later.min(until)))),
            Plan::Nothing => Step::Wait(later.or((free > now).then_some(free))),
        })
    }

    /// A reminder or a quiet alarm that is due on this channel.
    async fn extra(
        &self,
        channel: Channel,
        policy: &Policy,
        now: Timestamp,
    ) -> Result<Option<Flight>, EngineError> {
        let mirror = self.engine().mirror();
        let home = &self.inner.home;
        let mut reminders = mirror.reminders(channel)?;
        reminders.truncate(policy.channels.get(&channel).map_or(1, |own| own.schedule.batch.max.max(1)));
        if !reminders.is_empty() {
            return Ok(Some(Flight::new(home, Cargo::Reminder, reminders, true, now)));
        }
        let Some(after) = policy.quiet_alarm_after else { return Ok(None) };
        let last = mirror.last_match_made()?;
        let Ok(due) = self.quiet_since(last)?.checked_add(after) else { return Ok(None) };
        let memory = self.memory().await?;
        // Where no match was ever staged, the first alarm is the only one: a lost disk begins to count anew.
        let alarmed = memory.last_quiet_alarm.get(&channel).is_some_and(|at| last.is_none() || *at >= due);
        Ok((due <= now && !alarmed).then(|| Flight::new(home, Cargo::Quiet, Vec::new(), false, now)))
    }

    /// Since when no match has come: since the last one, else since this disk began to wait for the first.
    fn quiet_since(&self, last: Option<Timestamp>) -> Result<Timestamp, EngineError> {
        let mirror = self.engine().mirror();
        let begun = || Ok::<_, EngineError>(mirror.fact(WAITS_SINCE)?.and_then(|text| text.parse().ok()));
        if let Some(since) = last.map_or_else(begun, |last| Ok(Some(last)))? {
            return Ok(since);
        }
        let now = self.now();
        mirror.remember(WAITS_SINCE, &now.to_string())?;
        Ok(now)
    }

    /// Takes a message as far as it comes: sent, acknowledged in GitLab, noted in the mirror.
    async fn carry(
        &self,
        channel: Channel,
        mut flight: Flight,
        policy: &Policy,
    ) -> Result<Step, EngineError> {
        let engine = self.engine();
        if flight.sent_at.is_none() {
            let Some(notice) = self.notice(channel, &mut flight, policy).await? else {
                Flight::forget(engine, channel)?;
                return Ok(Step::Again);
            };
            if self.quiet_until(channel, &notice, policy).is_some() {
                // What is urgent goes past it. What nobody can have is planned afresh when it is over.
                if flight.may_have_arrived() {
                    flight.lay_aside(engine, channel)?;
                } else {
                    Flight::forget(engine, channel)?;
                }
                return Ok(Step::Again);
            }
            flight.keep(engine, channel)?;
            if self.is_ending() {
                return Ok(Step::Wait(None));
            }
            let mut refused = None;
            match self.hand_over(channel, &notice, &mut flight, &mut refused).await {
                Outcome::Sent { id } => {
                    let now = self.now();
                    flight.sent_at = Some(now);
                    flight.message_ids = id.filter(|id| id.starts_with('<'));
                    flight.keep(engine, channel)?;
                    self.change(channel, |state| {
                        *state = super::ChannelState {
                            last_sent: Some(now),
                            later: std::mem::take(&mut state.later),
                            set_aside: std::mem::take(&mut state.set_aside),
                            refused: refused.clone(),
                            ..super::ChannelState::default()
                        };
                    });
                    tracing::info!(%channel, iids = ?flight.iids, cargo = ?flight.cargo, "a message is sent");
                    if let Some(reason) = refused {
                        self.complain(channel, &flight, &reason).await?;
                    }
                }
                failed => {
                    self.failed(channel, flight, failed).await?;
                    return Ok(Step::Again);
                }
            }
        }
        self.acknowledge(channel, &flight).await?;
        Flight::forget(engine, channel)?;
        Ok(Step::Again)
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
            done: &mut flight.done,
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

    /// What the mails that told of a match are called, that about it alone or the digest. After a lost disk nobody
    /// knows, and none is named rather than one that never was.
    fn ids_of(&self, channel: Channel, iid: u64) -> Vec<String> {
        let ids = self.engine().mirror().message_ids(iid, channel).unwrap_or_default();
        ids.map(|ids| ids.split(' ').map(str::to_owned).collect()).unwrap_or_default()
    }

    /// Receipts in GitLab, then the mirror, then what has no match to hang on.
    async fn acknowledge(&self, channel: Channel, flight: &Flight) -> Result<(), EngineError> {
        let (kind, emoji) = match flight.cargo {
            Cargo::Matches => (DeliveryKind::Match, receipt(channel)),
            Cargo::Reminder | Cargo::Quiet => (DeliveryKind::Reminder, Some(REMINDED)),
        };
        if let Some(emoji) = emoji {
            self.give_receipts(&flight.iids, emoji).await?;
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
            state.set_aside.retain(|iid, _| !flight.iids.contains(iid));
        });
        let at = flight.sent_at.unwrap_or_else(|| self.now());
        match flight.cargo {
            Cargo::Matches if flight.digest => {
                self.remember(|memory| {
                    memory.last_digest.insert(channel, at);
                })
                .await
            }
            Cargo::Matches => Ok(()),
            Cargo::Reminder => {
                self.remember(|memory| memory.last_reminder = memory.last_reminder.max(Some(at))).await
            }
            Cargo::Quiet => {
                self.remember(|memory| {
                    memory.last_quiet_alarm.insert(channel, at);
                })
                .await
            }
        }
    }

    /// What a message says, from what GitLab says now: what was decided or told meanwhile is left out. None where
    /// nothing is left to say.
    async fn notice(
        &self,
        channel: Channel,
        flight: &mut Flight,
        policy: &Policy,
    ) -> Result<Option<Arc<Notice>>, EngineError> {
        if flight.cargo != Cargo::Quiet {
            self.drop_what_is_done(channel, flight).await?;
            if flight.iids.is_empty() {
                return Ok(None);
            }
        }
        let mut matches = Vec::with_capacity(flight.iids.len());
        for iid in &flight.iids {
            if let Some(record) = self.engine().mirror().record(*iid)? {
                matches.push(self.notice_match(record, channel, policy)?);
            }
        }
        let score = |one: &NoticeMatch| one.job.score.map_or(-1.0, Score::percent);
        matches.sort_by(|a, b| score(b).total_cmp(&score(a)).then(a.iid.cmp(&b.iid)));
        let kind = match flight.cargo {
            Cargo::Matches if matches.len() == 1 => NoticeKind::Match,
            Cargo::Matches => NoticeKind::Digest,
            Cargo::Reminder => NoticeKind::Reminder,
            Cargo::Quiet => {
                let since = self.quiet_since(self.engine().mirror().last_match_made()?)?;
                NoticeKind::Quiet { since: self.now().duration_since(since) }
            }
        };
        Ok(Some(self.say(kind, matches, policy).await?))
    }

    /// A notice with the addresses that every notice has.
    pub(super) async fn say(
        &self,
        kind: NoticeKind,
        matches: Vec<NoticeMatch>,
        policy: &Policy,
    ) -> Result<Arc<Notice>, EngineError> {
        Ok(Arc::new(Notice {
            kind,
            language: policy.language,
            matches,
            list_url: self.engine().list_url().await?,
            inbox_url: self.inner.inbox_url.clone(),
        }))
    }

    fn notice_match(
        &self,
        record: Record,
        channel: Channel,
        policy: &Policy,
    ) -> Result<NoticeMatch, EngineError> {
        let link = |action| self.link_to(action, &record, channel, policy);
        let (approve_url, reject_url) = (link(Action::Approve), link(Action::Reject));
        let since = record.decided_at.unwrap_or(record.created_at).max(record.created_at);
        Ok(NoticeMatch {
            possible_duplicates: self.engine().mirror().possible_duplicates(&record.job, Some(record.iid))?,
            iid: record.iid,
            web_url: record.web_url,
            job: record.job,
            waiting: self.now().duration_since(since),
            approve_url,
            reject_url,
        })
    }

    /// A link that decides about a pending match, where the channel is to have such.
    fn link_to(&self, action: Action, record: &Record, channel: Channel, policy: &Policy) -> Option<String> {
        let wanted = policy.channels.get(&channel).is_some_and(|channel| channel.action_links);
        let links = self.inner.links.as_ref().filter(|_| wanted)?;
        let link = ActionLink::new(record.iid, action, channel, self.now());
        Some(links.address(&link, record.issue_id))
    }

    async fn drop_what_is_done(&self, channel: Channel, flight: &mut Flight) -> Result<(), EngineError> {
        let engine = self.engine();
        let connected = engine.connected().await?;
        let issues = connected.project.issues_by_iid(&flight.iids).await?;
        let is_pending = |iid: u64| issues.iter().any(|issue| issue.iid == iid && engine.is_pending(issue));
        let mut told = Vec::new();
        if let (Cargo::Matches, Some(emoji)) = (flight.cargo, receipt(channel)) {
            told = connected.project.iids_with_our_reaction(emoji, None, &flight.iids).await?;
            // Another instance, or ourselves before the disk was lost.
            engine.mirror().note_receipts(&told, channel, DeliveryKind::Match)?;
        }
        let again = self.now().checked_add(LOOK_AGAIN).unwrap_or(Timestamp::MAX);
        let before = flight.iids.clone();
        flight.iids.retain(|iid| is_pending(*iid) && !told.contains(iid));
        for iid in before.into_iter().filter(|iid| !is_pending(*iid)) {
            engine.hint(iid, Hint::default());
            self.change(channel, |state| {
                state.later.insert(iid, again);
            });
        }
        if flight.cargo == Cargo::Reminder {
            let decided = engine.mirror().reminders(channel)?;
            flight.iids.retain(|iid| decided.contains(iid));
        }
        Ok(())
    }

    /// Until when a message that was interrupted has to wait because it has become quiet.
    fn quiet_until(&self, channel: Channel, notice: &Notice, policy: &Policy) -> Option<Timestamp> {
        let schedule = &policy.channels.get(&channel)?.schedule;
        let now = self.now();
        let urgent =
            |one: &NoticeMatch| schedule.quiet.as_ref().is_some_and(|quiet| quiet.is_urgent(one.job.score));
        let goes_anyway = !notice.matches.is_empty() && notice.matches.iter().all(urgent);
        Some(schedule.not_before(now)).filter(|until| *until > now && !goes_anyway)
    }
}

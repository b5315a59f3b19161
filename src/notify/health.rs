//! How each channel fares, and a message on demand.

use std::time::Instant;

use jiff::Timestamp;
use serde::Serialize;

use super::in_flight::Delivered;
use super::senders::Message;
use super::{NoticeKind, Notifier};
use crate::channels::Outcome;
use crate::domain::Channel;
use crate::domain::masked::masked;
use crate::engine::EngineError;

/// How a channel fares.
#[derive(Clone, Debug, Serialize)]
pub struct ChannelHealth {
    /// The channel.
    pub channel: Channel,
    /// `ok`, `failing`, `given_up`, `disabled` by its setting or `not_set_up`.
    pub status: &'static str,
    /// When it last sent something.
    pub last_sent: Option<Timestamp>,
    /// What went wrong last.
    pub error: Option<String>,
    /// When it is tried again.
    pub next_try: Option<Timestamp>,
    /// How many matches it has not been told of.
    pub waiting: usize,
    /// Until when those are held.
    pub held_until: Option<Timestamp>,
    /// Until when the first of those is held, by the same rules as a match's own `deferred_until`.
    pub deferred_until: Option<Timestamp>,
    /// Why.
    pub reason: Option<&'static str>,
}

/// What came of a message on demand.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct TestResult {
    /// The channel.
    pub channel: Channel,
    /// `ok` or `failed`.
    pub outcome: &'static str,
    /// Why it failed, and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}

impl Notifier {
    /// How every channel fares.
    pub fn health(&self) -> Vec<ChannelHealth> {
        Channel::ALL.into_iter().map(|channel| self.channel_health(channel)).collect()
    }

    fn channel_health(&self, channel: Channel) -> ChannelHealth {
        let state = self.state(channel);
        let policy = self.engine().policy();
        let is_set_up = channel == Channel::Todo || self.inner.senders.contains_key(&channel);
        let enabled = match policy.channels.get(&channel) {
            Some(own) => own.enabled,
            None => policy.assign,
        };
        let status = match (is_set_up, enabled) {
            (false, _) => "not_set_up",
            (_, false) => "disabled",
            _ if state.given_up => "given_up",
            _ if state.failures > 0 || state.stumbles > 0 || state.refused.is_some() => "failing",
            _ => "ok",
        };
        let sends = is_set_up && enabled && channel != Channel::Todo;
        let untold =
            if sends { self.engine().mirror().untold(channel).unwrap_or_default() } else { Vec::new() };
        let waiting = untold.len();
        let held = if waiting > 0 { self.first_held(channel, &untold) } else { None };
        ChannelHealth {
            channel,
            status,
            last_sent: state.last_sent,
            error: state.error.or(state.stumbled).or(state.refused).map(|error| masked(&error)),
            next_try: state.paused_until.filter(|until| *until > self.now()),
            waiting,
            deferred_until: held.map(|(until, _)| until),
            reason: held.map(|(_, reason)| reason),
            held_until: state.held_until.filter(|until| waiting > 0 && *until > self.now()),
        }
    }

    /// Sends a test message on each of these channels, or on every one that is on.
    ///
    /// # Errors
    ///
    /// Where GitLab cannot be asked for the addresses that stand in every message.
    pub async fn test(&self, channels: &[Channel]) -> Result<Vec<TestResult>, EngineError> {
        let asked = if channels.is_empty() { self.active() } else { channels.to_vec() };
        let policy = self.engine().policy();
        let notice = self.say(NoticeKind::Test, Vec::new(), &policy).await?;
        let mut results = Vec::with_capacity(asked.len());
        for channel in asked {
            let started = Instant::now();
            let outcome = match self.inner.senders.get(&channel) {
                Some(sender) => {
                    let at = self.now();
                    let id = format!("test.{}.{}", at.as_millisecond(), self.inner.home);
                    let mut refused = None;
                    let message = Message {
                        notice: &notice,
                        id: &id,
                        references: &[],
                        at,
                        delivered: &mut Delivered::default(),
                        refused: &mut refused,
                    };
                    let outcome = sender.send(self.engine().templates(), message).await;
                    // Who asks wants to know whether everybody gets messages.
                    match (outcome, refused) {
                        (Outcome::Sent { .. }, Some(reason)) => Outcome::GiveUp { reason },
                        (outcome, _) => outcome,
                    }
                }
                None => self.without_sender(channel).await?,
            };
            let reason = match outcome {
                Outcome::Sent { .. } => None,
                Outcome::TryAgain { reason, .. } | Outcome::GiveUp { reason } => Some(reason),
            };
            results.push(TestResult {
                channel,
                outcome: if reason.is_none() { "ok" } else { "failed" },
                reason,
                took_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            });
        }
        Ok(results)
    }

    /// A ToDo needs a reviewer; any other channel its variables.
    async fn without_sender(&self, channel: Channel) -> Result<Outcome, EngineError> {
        let reason = match channel {
            Channel::Todo if !self.engine().policy().assign => "channels.todo.enabled is false".to_owned(),
            Channel::Todo if self.engine().connected().await?.reviewers.is_empty() => {
                "no reviewer is a member of the project; check VORHOELLE_REVIEWERS".to_owned()
            }
            Channel::Todo => return Ok(Outcome::Sent { id: None }),
            Channel::Email => {
                "not set up; set VORHOELLE_SMTP_URL, VORHOELLE_MAIL_FROM and VORHOELLE_MAIL_TO".to_owned()
            }
            Channel::Slack => "not set up; set VORHOELLE_SLACK_WEBHOOK_URL".to_owned(),
            Channel::Whatsapp => "not set up; set the VORHOELLE_TWILIO_… variables".to_owned(),
        };
        Ok(Outcome::GiveUp { reason })
    }
}

//! Telling the reviewer: what, over which channel, and once.
//!
//! A match is due on a channel while it is pending and lacks our reaction. The mirror caches that. Send, then react,
//! then mirror; one message at a time a channel.

pub mod channels;
mod dispatch;
mod flight;
mod health;
mod memory;
pub mod mime;
mod notice;
mod receipts;
pub mod render;
mod routine;
mod senders;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

pub use health::{ChannelHealth, TestResult};
pub use notice::{Notice, NoticeKind, NoticeMatch};
pub use senders::{MailSender, check};

use crate::config::{ChannelSettings, LinkSettings, Settings};
use crate::domain::Channel;
use crate::engine::Engine;
use crate::metrics::Metrics;
use memory::Memory;
use senders::Sender;

/// Tells reviewers; a cheap handle.
#[derive(Clone)]
pub struct Notifier {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Engine,
    senders: BTreeMap<Channel, Sender>,
    /// Tells this service's messages from those of another that sends from the same domain.
    home: String,
    /// Our own inbox, where people reach it.
    inbox_url: Option<String>,
    /// Links that decide, where there is a key for them.
    links: Option<LinkSettings>,
    metrics: Arc<Metrics>,
    turns: BTreeMap<Channel, tokio::sync::Mutex<()>>,
    states: Mutex<BTreeMap<Channel, ChannelState>>,
    /// Whether GitLab's receipts have been read since the start.
    receipts_read: tokio::sync::Mutex<bool>,
    memory: tokio::sync::Mutex<Option<Memory>>,
}

/// How a channel fares.
#[derive(Clone, Debug, Default)]
struct ChannelState {
    /// Failures in a row.
    failures: u32,
    /// Nothing is tried before.
    paused_until: Option<Timestamp>,
    /// What went wrong last; gone with the next success.
    error: Option<String>,
    /// Whether it will not work before a person has done something.
    given_up: bool,
    last_sent: Option<Timestamp>,
    /// Until when what waits is held.
    held_until: Option<Timestamp>,
    /// Matches that are left alone until then: others go first.
    later: BTreeMap<u64, Timestamp>,
}

impl Notifier {
    /// What tells reviewers on the channels that are set up.
    ///
    /// # Errors
    ///
    /// Where TLS cannot be set up.
    pub fn new(engine: Engine, settings: &Settings, metrics: Arc<Metrics>) -> anyhow::Result<Self> {
        let senders = Sender::all(&settings.channels, engine.clock())?;
        let home = Sha256::new()
            .chain_update(settings.gitlab.url.as_str())
            .chain_update([0])
            .chain_update(&settings.gitlab.project)
            .finalize();
        let inner = Inner {
            engine,
            turns: senders.keys().map(|channel| (*channel, tokio::sync::Mutex::default())).collect(),
            senders,
            inbox_url: settings
                .public_url
                .as_ref()
                .map(|url| format!("{}/", url.as_str().trim_end_matches('/'))),
            links: settings.links.clone(),
            home: home.iter().take(4).map(|byte| format!("{byte:02x}")).collect(),
            metrics,
            states: Mutex::default(),
            receipts_read: tokio::sync::Mutex::default(),
            memory: tokio::sync::Mutex::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The channels that are set up and on.
    pub fn active(&self) -> Vec<Channel> {
        let policy = self.inner.engine.policy();
        let on = |channel: &&Channel| policy.channels.get(*channel).is_some_and(|policy| policy.enabled);
        self.inner.senders.keys().filter(on).copied().collect()
    }

    fn engine(&self) -> &Engine {
        &self.inner.engine
    }

    fn now(&self) -> Timestamp {
        self.engine().clock().now()
    }

    fn states(&self) -> MutexGuard<'_, BTreeMap<Channel, ChannelState>> {
        self.inner.states.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self, channel: Channel) -> ChannelState {
        self.states().get(&channel).cloned().unwrap_or_default()
    }

    fn change(&self, channel: Channel, change: impl FnOnce(&mut ChannelState)) {
        change(self.states().entry(channel).or_default());
    }
}

/// The names of the reactions that are receipts.
const fn receipt(channel: Channel) -> Option<&'static str> {
    match channel {
        Channel::Email => Some("e-mail"),
        Channel::Slack => Some("speech_balloon"),
        Channel::Whatsapp => Some("calling"),
        Channel::Todo => None,
    }
}

/// The reaction that says that a match was reminded of.
const REMINDED: &str = "alarm_clock";

/// Whether any channel is set up at all.
pub fn is_set_up(settings: &ChannelSettings) -> bool {
    settings.mail.is_some() || settings.slack.is_some() || settings.whatsapp.is_some()
}

//! Telling the reviewer: what, over which channel, and once.
//!
//! A match is due on a channel while it is pending and lacks our reaction. The mirror caches that. Send, then react,
//! then mirror; one message at a time a channel.

mod compose;
mod dispatch;
mod failures;
mod health;
mod held;
mod in_flight;
mod last_times;
mod notice;
mod quiet_alarm;
mod receipts;
pub mod render;
mod rounds;
mod senders;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest as _, Sha256};

pub use health::{ChannelHealth, TestResult};
pub use notice::{Notice, NoticeKind, NoticeMatch};
pub use senders::check;

use crate::config::{ChannelSettings, LinkSettings, Settings};
use crate::domain::{Channel, hex};
use crate::engine::Engine;
use crate::metrics::Metrics;
use crate::mirror::Fact;
use in_flight::{Cargo, Flight};
use last_times::Memory;
use senders::Sender;
use tokio_util::sync::CancellationToken;

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
    /// Whether it was said that GitLab calls a receipt by another name.
    is_misnamed_said: AtomicBool,
    memory: tokio::sync::Mutex<Option<Memory>>,
    first_work: Mutex<FirstWork>,
    /// Says that the service is about to end.
    stop: OnceLock<CancellationToken>,
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
    /// Those of them that GitLab shows in another state than they count as.
    in_doubt: BTreeSet<u64>,
    /// How often a match's message was set aside because nobody knew whether it arrived.
    times_aside: BTreeMap<u64, u32>,
    /// No reminder and no alarm is tried before then: new matches go first.
    extras_after: Option<Timestamp>,
    /// Which recipients were refused although others have the last message.
    refused: Option<String>,
    /// Turns in a row that broke off.
    stumbles: u32,
    /// Why the last one did.
    stumbled: Option<String>,
    /// How many of them in a row did because GitLab refused something.
    refusals: u32,
}

impl ChannelState {
    /// Until when a match is still left alone.
    fn later(&self, iid: u64, now: Timestamp) -> Option<Timestamp> {
        self.later.get(&iid).copied().filter(|until| failures::holds_back(*until, now))
    }

    /// Until when no reminder and no alarm is tried still.
    fn extras_after(&self, now: Timestamp) -> Option<Timestamp> {
        self.extras_after.filter(|until| failures::holds_back(*until, now))
    }

    /// Whether a message that was laid aside may go on by now.
    fn may_take_up(&self, flight: &Flight, now: Timestamp) -> bool {
        match flight.cargo {
            Cargo::Matches => flight.iids.iter().all(|iid| self.later(*iid, now).is_none()),
            Cargo::Reminder | Cargo::Quiet => self.extras_after(now).is_none(),
        }
    }
}

/// What the first read left to be looked at, and since when telling waits for it.
#[derive(Clone, Copy, Debug, Default)]
enum FirstWork {
    #[default]
    NotBegun,
    Since(Timestamp),
    Done,
}

/// How long telling waits for what the first read left to be looked at: adopted matches belong into the first digest,
/// but one issue that cannot be followed must not keep everything back.
const FIRST_WORK: SignedDuration = SignedDuration::from_secs(30);

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
        let mut states = BTreeMap::new();
        for channel in senders.keys() {
            let fact = Fact::PauseAskedFor(*channel);
            let mut paused_until = engine.mirror().fact(fact)?.and_then(|until| until.parse().ok());
            let is_wrong = |until: &mut Timestamp| !failures::is_pause(*until, engine.clock().now());
            if paused_until.take_if(is_wrong).is_some() {
                // By the time that it names it would hold the channel after all.
                engine.mirror().forget(fact)?;
            }
            states.insert(*channel, ChannelState { paused_until, ..ChannelState::default() });
        }
        let inner = Inner {
            engine,
            turns: senders.keys().map(|channel| (*channel, tokio::sync::Mutex::default())).collect(),
            senders,
            inbox_url: settings
                .public_url
                .as_ref()
                .map(|url| format!("{}/", url.as_str().trim_end_matches('/'))),
            links: settings.links.clone(),
            home: hex(&home[..4]),
            metrics,
            states: Mutex::new(states),
            receipts_read: tokio::sync::Mutex::default(),
            is_misnamed_said: AtomicBool::new(false),
            memory: tokio::sync::Mutex::default(),
            first_work: Mutex::default(),
            stop: OnceLock::new(),
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

    /// Until when telling waits for what the first read left to be looked at; none where it does not.
    fn waits_for_first_work(&self) -> Option<Timestamp> {
        let mut work = self.inner.first_work.lock().unwrap_or_else(PoisonError::into_inner);
        let since = match *work {
            FirstWork::Done => return None,
            FirstWork::Since(since) => since,
            FirstWork::NotBegun => self.now(),
        };
        let until = since.checked_add(FIRST_WORK).unwrap_or(since);
        let waits = self.engine().backlog() > 0 && self.now() < until;
        *work = if waits { FirstWork::Since(since) } else { FirstWork::Done };
        waits.then_some(until)
    }

    /// Whether the service is about to end: then no new message is begun.
    fn is_ending(&self) -> bool {
        self.inner.stop.get().is_some_and(CancellationToken::is_cancelled)
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

/// Whether any channel is set up at all.
pub fn is_set_up(settings: &ChannelSettings) -> bool {
    settings.mail.is_some() || settings.slack.is_some() || settings.whatsapp.is_some()
}

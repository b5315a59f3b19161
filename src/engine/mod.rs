//! The only sequencer: one issue at a time, several issues at once.
//!
//! Everything that happens to a match goes through here, whoever asks: a webhook, the delta read, the API, the
//! terminal. `reconcile` is the one path from "look at issue N" to its consequences.

mod acts;
mod adoption;
mod asked_to_wait;
mod connect;
mod decisions;
mod delta;
mod erase;
mod expiry;
mod good_settings;
mod history;
mod hook_watch;
mod labels;
mod locks;
mod news;
mod queue;
mod reconcile;
mod second_issues;
mod settings_block;
mod settings_issue;
mod stage;
mod stale_copies;
mod step_to_sent;
mod texts;
mod tracker;
mod uncancelled;
mod unknown_issues;
mod unlisted_bots;
mod untaken;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use connect::Connected;
pub use decisions::{Decision, DecisionError};
pub use erase::{Erasure, ErasureError};
pub use good_settings::settings_of_the_issue;
pub use hook_watch::{HookHealth, HookWatch};
pub use queue::{Hint, Queue};
pub use settings_issue::ChangeError;
pub use stage::{Staging, StagingError};
pub use step_to_sent::{Looked, sent_step};
pub use tracker::ApplicationError;

use crate::clock::Clock;
use crate::config::{IssueLayer, Layers, Policy, WrongSetting};
use crate::domain::decide::Refusal;
use crate::gitlab::labels::OurLabels;
use crate::gitlab::{Gitlab, GitlabError};
use crate::mirror::{Fact, Mirror, MirrorError};
use crate::templates::Templates;
use locks::Locks;
use stale_copies::Lagging;

/// What is due so soon is waited for where the clock stops between requests.
const SOON: Duration = Duration::from_secs(1);
/// After so many looks that showed an issue older than what GitLab had said of it, what they show is followed.
const DOUBTED_AFTER: u32 = 3;
/// The pauses before it is looked at then once more, and once more: it may have been a copy after all.
const PAST_A_COPY: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(8), Duration::from_secs(60)];

/// Why the engine could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// GitLab did not do its part.
    #[error(transparent)]
    Gitlab(#[from] GitlabError),
    /// The mirror's disk failed.
    #[error("the mirror cannot be used: {0}")]
    Mirror(#[from] MirrorError),
    /// A template cannot be rendered, or would have put foreign text where it could do harm.
    #[error("{0}")]
    Text(String),
    /// The match does not fit into an issue.
    #[error("{0}")]
    TooLarge(String),
    /// The project, or an issue of it, is not as the service needs it.
    #[error("{0}")]
    Unfit(String),
    /// GitLab said yes and did not do it: so it answers where the token's user may not set labels.
    #[error("GitLab did not take the label; may the token's user set labels on the project's issues?")]
    NotTaken,
    /// GitLab has not been read yet since the start.
    #[error("GitLab has not been read yet since the start; try again in a few seconds")]
    NotReady,
    /// Another process follows this project; this one only looks.
    #[error("only `vorhoelle serve` follows what people do")]
    LooksOnly,
    /// A read that was older than what GitLab had told us already.
    #[error("GitLab's answer is older than its own notice")]
    Stale,
}

impl EngineError {
    /// How long GitLab asks us to wait, where that is all that is wrong: nothing was done then.
    pub fn asks_to_wait(&self) -> Option<Duration> {
        match self {
            Self::Gitlab(
                GitlabError::Wait(wait)
                | GitlabError::WaitForTheMinute(wait)
                | GitlabError::NoRoom { wait, .. },
            ) => Some(*wait),
            _ => None,
        }
    }

    /// When it is worth trying again; none where a person has to do something first.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Gitlab(error) => error.retry_after(),
            Self::NotReady | Self::Stale => Some(Duration::from_secs(2)),
            Self::Mirror(_) | Self::Unfit(_) => Some(Duration::from_secs(60)),
            Self::Text(_) | Self::TooLarge(_) | Self::NotTaken | Self::LooksOnly => None,
        }
    }
}

/// What is going on, for `/health`.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// When the last delivery came.
    pub last_event: Option<Timestamp>,
    /// When the last delta read ended; steps of matches may be missing still.
    pub last_delta: Option<Timestamp>,
    /// Whether it was, since the start.
    pub caught_up: bool,
    /// What GitLab said last, where it was an error; gone with the next call that it answers.
    pub gitlab_error: Option<String>,
    /// How the webhook fares; none until it was looked at.
    pub hook: Option<HookHealth>,
    /// The day at whose start our token dies; none where it does not, or GitLab does not say.
    pub token_expires: Option<Date>,
    /// What is to be said of the mirror.
    pub mirror_note: Option<String>,
    /// Why the mirror could not be written, as on a full disk; gone once it could.
    pub mirror_error: Option<String>,
    /// Which label of ours was deleted last and made again, since the start.
    pub label_made_again: Option<&'static str>,
    /// Why what stands in the settings issue does not count.
    pub settings_problem: Option<SettingsProblem>,
}

/// Why what stands in the settings issue does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsProblem {
    /// All of it in one sentence.
    pub text: String,
    /// What is wrong, place by place.
    pub wrong: Vec<WrongSetting>,
}

/// The engine; a cheap handle.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    gitlab: Gitlab,
    project: String,
    mirror: Arc<Mirror>,
    templates: Arc<Templates>,
    clock: Clock,
    layers: Layers,
    /// What the settings issue says, where there is one.
    issue_layer: RwLock<Option<IssueLayer>>,
    changing_settings: tokio::sync::Mutex<()>,
    policy: RwLock<Arc<Policy>>,
    /// Whether other people decide since GitLab was met.
    reviewers_changed: AtomicBool,
    /// Rings when something may have to be told: a new match, a decision, other settings.
    news: tokio::sync::Notify,
    sends: tokio::sync::Notify,
    connected: tokio::sync::RwLock<Option<Arc<Connected>>>,
    labels: RwLock<Labels>,
    reading_names: AtomicBool,
    /// Whether this process repairs labels and answers people; a command beside `serve` must not.
    follows: AtomicBool,
    /// Whether it is such a command, which ends before what it hints at is looked at.
    is_a_command: AtomicBool,
    issues: Locks<u64>,
    /// One staging at a time of a fingerprint, and of a role at an end client: a possible duplicate must see the other.
    stagings: Locks<String>,
    delta: tokio::sync::Mutex<()>,
    /// From which issue on the open ones are asked for next, and all others.
    next_open: AtomicU64,
    next_other: AtomicU64,
    queue: Queue,
    /// What no caller can stop.
    unstoppable: TaskTracker,
    /// Stops that all the same.
    killed: CancellationToken,
    status: Mutex<Status>,
    /// When the same wrong act was last explained, so that it is not explained again for ten minutes.
    explained: Mutex<HashMap<(u64, Refusal), Timestamp>>,
    /// Issues that looked older than their own events, or than what GitLab told before.
    lagging: Lagging,
    /// Changes that GitLab did not take as they were written.
    untaken: untaken::Untaken,
    /// Identities of which an issue may have been made while the mirror could not be written, and since when.
    unrecorded: Mutex<HashMap<String, Timestamp>>,
    /// Issues of matches that are in GitLab and not in the mirror yet.
    unmet: Mutex<BTreeMap<u64, unknown_issues::Unmet>>,
    roles: Mutex<BTreeMap<u64, (bool, Timestamp)>>,
    /// Earlier bots whose issues were found and who are not listed.
    unlisted_bots: Mutex<BTreeMap<u64, String>>,
    /// Whether GitLab calls a user a bot.
    bots: Mutex<BTreeMap<u64, bool>>,
    /// The day on which the token was last looked at, since 1970.
    token_checked: AtomicI64,
}

/// Our labels as they are called now, and names that are known to be none of ours.
#[derive(Default)]
struct Labels {
    ours: OurLabels,
    others: BTreeSet<String>,
    read_at: Option<Timestamp>,
}

impl Engine {
    /// An engine that has not spoken to GitLab yet.
    pub fn new(
        gitlab: Gitlab,
        project: String,
        mirror: Arc<Mirror>,
        templates: Arc<Templates>,
        clock: Clock,
        layers: Layers,
        policy: Policy,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                gitlab,
                project,
                mirror,
                templates,
                clock,
                layers,
                issue_layer: RwLock::default(),
                changing_settings: tokio::sync::Mutex::default(),
                policy: RwLock::new(Arc::new(policy)),
                reviewers_changed: AtomicBool::new(false),
                news: tokio::sync::Notify::new(),
                sends: tokio::sync::Notify::new(),
                connected: tokio::sync::RwLock::default(),
                labels: RwLock::default(),
                reading_names: AtomicBool::new(false),
                follows: AtomicBool::new(true),
                is_a_command: AtomicBool::new(false),
                issues: Locks::default(),
                stagings: Locks::default(),
                delta: tokio::sync::Mutex::default(),
                next_open: AtomicU64::new(0),
                next_other: AtomicU64::new(0),
                queue: Queue::default(),
                unstoppable: TaskTracker::new(),
                killed: CancellationToken::new(),
                status: Mutex::default(),
                explained: Mutex::default(),
                lagging: Lagging::default(),
                untaken: untaken::Untaken::default(),
                unrecorded: Mutex::default(),
                unmet: Mutex::default(),
                roles: Mutex::default(),
                unlisted_bots: Mutex::default(),
                bots: Mutex::default(),
                token_checked: AtomicI64::new(-1),
            }),
        }
    }

    /// The mirror.
    pub fn mirror(&self) -> &Mirror {
        &self.inner.mirror
    }

    /// The texts that people read.
    pub fn templates(&self) -> &Arc<Templates> {
        &self.inner.templates
    }

    /// Rings when something may have to be told: a new match, a decision, other settings.
    pub fn news(&self) -> &tokio::sync::Notify {
        &self.inner.news
    }

    /// Rings when something is to be said of an attempt to send: GitLab has been read after a start, an attempt was found
    /// there, or a match was set to sent while one was in doubt. For one listener.
    pub fn sends(&self) -> &tokio::sync::Notify {
        &self.inner.sends
    }

    /// Whether people may be told of matches: GitLab has been read, and no earlier bot's issues are unaccounted for.
    pub fn may_tell(&self) -> bool {
        self.has_read_everything().unwrap_or(false) && self.may_write().is_ok()
    }

    /// Whether the mirror holds what GitLab has: GitLab was read since the start, and no command beside this process is
    /// reading the mirror anew.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn has_read_everything(&self) -> Result<bool, EngineError> {
        Ok(self.status().caught_up && self.mirror_is_whole()?)
    }

    /// Whether all of GitLab has been read into this mirror, by this process or one before it: else what is not in it may be
    /// there all the same.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub fn mirror_is_whole(&self) -> Result<bool, EngineError> {
        Ok(self.inner.mirror.fact(Fact::Cursor)?.is_some())
    }

    /// Whether an issue is a match that waits for a decision.
    pub fn is_pending(&self, issue: &crate::gitlab::Issue) -> bool {
        let observed = self.observed(issue);
        observed.is_match && !observed.closed && observed.states == [crate::domain::State::Pending].into()
    }

    /// What a label of ours is called now.
    pub fn label_name(&self, kind: crate::gitlab::labels::LabelKind) -> String {
        self.names().name(kind).to_owned()
    }

    /// The clock.
    pub fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    /// What is going on.
    pub fn status(&self) -> Status {
        self.status_mut().clone()
    }

    /// How many issues wait to be looked at.
    pub fn backlog(&self) -> usize {
        self.inner.queue.len()
    }

    /// Whether this process repairs labels and answers people. A command beside `serve` looks only, apart from the
    /// issue that it is about; `serve` itself never says either.
    pub fn set_follows(&self, follows: bool) {
        self.inner.is_a_command.store(true, Ordering::Relaxed);
        self.inner.follows.store(follows, Ordering::Relaxed);
    }

    fn may_follow(&self) -> Result<(), EngineError> {
        if self.inner.follows.load(Ordering::Relaxed) { Ok(()) } else { Err(EngineError::LooksOnly) }
    }

    /// Takes a hint at an issue; looking happens later.
    pub fn hint(&self, iid: u64, hint: Hint) {
        self.inner.queue.push(iid, hint);
    }

    /// Whether a delivery is of our project; while GitLab has not been met yet, it may be.
    pub fn is_our_project(&self, project: u64) -> bool {
        match self.inner.connected.try_read() {
            Ok(slot) => slot.as_ref().is_none_or(|connected| connected.project.id == project),
            Err(_) => true,
        }
    }

    /// Notes that GitLab delivered something.
    pub fn heard_from_gitlab(&self) {
        let mut status = self.status_mut();
        status.last_event = Some(self.inner.clock.now());
        if status.hook == Some(HookHealth::Missing) {
            // It has been made since.
            status.hook = Some(HookHealth::Executable);
        }
    }

    /// Says how the mirror was found, for `/health`.
    pub fn note_about_the_mirror(&self, note: String) {
        self.status_mut().mirror_note = Some(note);
    }

    /// Notes for `/health` how the mirror fares, by how something ended that writes into it.
    fn note_writing<T>(&self, written: Result<T, &EngineError>) {
        let error = match written {
            Ok(_) => None,
            Err(EngineError::Mirror(error)) => Some(error.to_string()),
            Err(_) => return,
        };
        self.status_mut().mirror_error = error;
    }

    /// Looks at every issue that is due, and ends when none is. Before GitLab has been read once nothing is looked at:
    /// somebody else's issues might still be found.
    pub async fn work_off(&self) {
        if !self.status().caught_up {
            return;
        }
        while let Some((iid, hint)) = self.inner.queue.take(self.inner.clock.now()) {
            self.look(iid, hint).await;
        }
    }

    /// [`Engine::work_off`], and what is due again in a moment: where the clock stops afterwards, nobody else would do it,
    /// and a copy of GitLab lags most likely just after the change that it is read for.
    pub async fn work_off_what_is_due_soon(&self) {
        loop {
            self.work_off().await;
            let pause = self.inner.queue.next_due().map(|due| due.duration_since(self.inner.clock.now()));
            let pause = pause.and_then(|pause| Duration::try_from(pause).ok());
            let Some(pause) = pause.filter(|pause| *pause <= SOON && self.status().caught_up) else { return };
            self.inner.clock.sleep(pause).await;
        }
    }

    /// Looks at issues as hints come in, for ever.
    pub async fn work(&self) {
        let Inner { queue, clock, .. } = &*self.inner;
        loop {
            // Listening begins before looking, so that nothing rings in between unheard.
            let changed = queue.changed();
            self.work_off().await;
            let due = async {
                let next = queue.next_due().filter(|_| self.status().caught_up);
                match next.map(|due| due.duration_since(clock.now())) {
                    Some(left) => clock.sleep(Duration::try_from(left).unwrap_or_default()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = changed => {}
                () = due => {}
            }
        }
    }

    async fn look(&self, iid: u64, hint: Hint) {
        // The guard frees the issue even where this is dropped in mid-step.
        let _done = Done { queue: &self.inner.queue, iid };
        // After a few tries the notice itself is doubted, not the read.
        let believed = hint.updated_at.filter(|_| hint.failures < DOUBTED_AFTER);
        let looked = self.reconcile(iid, Hint { updated_at: believed, ..hint }).await;
        self.inner.news.notify_waiters();
        match looked {
            Ok(()) => self.look_past_a_copy(iid, hint),
            Err(EngineError::LooksOnly) => {}
            Err(error) => self.look_after_failure(iid, hint, &error),
        }
    }

    /// Looks again at an issue that a copy of GitLab may have shown as it was before what was said of it.
    fn look_past_a_copy(&self, iid: u64, hint: Hint) {
        let Some(pause) =
            hint.failures.checked_sub(DOUBTED_AFTER).and_then(|times| PAST_A_COPY.get(times as usize))
        else {
            return;
        };
        let Ok(Some(record)) = self.inner.mirror.record(iid) else { return };
        if hint.updated_at.is_some_and(|notice| reconcile::is_newer(notice, record.updated_at)) {
            self.look_later(iid, Hint { failures: hint.failures + 1, by: None, ..hint }, *pause);
        }
    }

    fn look_after_failure(&self, iid: u64, hint: Hint, error: &EngineError) {
        let failures = hint.failures + 1;
        let pause = error.retry_after().unwrap_or(Duration::from_secs(300));
        let pause = if matches!(error, EngineError::Stale) && failures <= DOUBTED_AFTER {
            Duration::from_millis(200)
        } else {
            pause.max(Duration::from_secs(1u64 << failures.min(8)))
        };
        tracing::warn!(iid, %error, failures, ?pause, "issue {iid} could not be followed; it is looked at again");
        self.look_later(iid, Hint { failures, by: None, ..hint }, pause);
    }

    fn look_later(&self, iid: u64, hint: Hint, pause: Duration) {
        let due = self.inner.clock.now().checked_add(pause).unwrap_or(Timestamp::MAX);
        self.inner.queue.push_later(iid, hint, due);
    }

    fn status_mut(&self) -> MutexGuard<'_, Status> {
        self.inner.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Done<'a> {
    queue: &'a Queue,
    iid: u64,
}

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.queue.done(self.iid);
    }
}

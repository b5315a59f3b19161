//! A small stateful GitLab on a real socket: the test bed and the demo.
//!
//! It imports nothing of ours, so that it cannot share our mistakes. `world` is the plain state, `rules` what may be
//! done with it and what follows, `api` the REST addresses, `hooks` the webhooks, `deliveries` their way, `quick_actions` and `markdown` what
//! GitLab makes of a text, `faults` what goes wrong on purpose, `control` the same switches over HTTP, `chats` the
//! stand-ins of Slack and Twilio, `pages` what a person sees.

mod api;
mod chats;
mod control;
mod deliveries;
mod faults;
mod hooks;
mod markdown;
mod pages;
mod payloads;
mod people;
mod person;
mod quick_actions;
mod records;
mod refusal;
mod request;
mod rules;
mod server;
mod world;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use deliveries::Deliveries;

pub use chats::{ChatContent, ChatMessage, Chats};
pub use deliveries::HookMode;
pub use faults::{Fault, Outage, Trouble};
pub use hooks::{Delivery, DeliveryLog, Held, Hook, Trigger, signature};
pub use markdown::{Effects, rendered_effects};
pub use people::{Ability, Role, Token, User, Visibility};
pub use person::Person;
pub use quick_actions::{QuickAction, extract as quick_actions};
pub use records::{
    Board, BoardList, FiredQuickAction, Issue, IssueType, Label, LabelEvent, Note, Project, Reaction, State,
    StateEvent, Todo, TodoAction,
};
pub use refusal::Refusal;
pub use rules::{Column, Commented, HookChange, IssueChange, LabelChange, NewIssue};
pub use world::World;

/// Where "now" comes from.
pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// How an instance is set up.
#[derive(Clone)]
pub struct Options {
    /// Address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Path under which the instance lives, e.g. `/gitlab`; empty for none.
    pub prefix: String,
    /// The clock.
    pub now: Now,
    /// Version of GitLab; before 19 webhooks are not signed.
    pub version: String,
    /// Path of the project.
    pub project: String,
    /// Id of the project.
    pub project_id: u64,
    /// Who may see the project.
    pub visibility: Visibility,
    /// Whether failing webhooks are switched off, as on GitLab.com.
    pub auto_disable: bool,
    /// Whether an issue keeps only its first assignee, as in the free tier.
    pub free_tier: bool,
    /// Whether a new issue is assigned to nobody, whatever was asked for.
    pub creates_unassigned: bool,
    /// Whether `@all` mentions nobody, as on GitLab.com.
    pub disable_all_mention: bool,
    /// Whether label events and notes are filtered after paging, so that pages are short.
    pub short_pages: bool,
    /// How many issues a user may create in a minute.
    pub issues_per_minute: Option<usize>,
    /// How many comments a user may write in a minute.
    pub notes_per_minute: Option<usize>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            prefix: String::new(),
            now: Arc::new(system_time),
            version: "19.4.1".to_owned(),
            project: "acme/job-matches".to_owned(),
            project_id: 4711,
            visibility: Visibility::Private,
            auto_disable: false,
            free_tier: false,
            creates_unassigned: false,
            disable_all_mention: false,
            short_pages: false,
            issues_per_minute: None,
            notes_per_minute: None,
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place of the sandbox that reads the machine's time")]
fn system_time() -> Timestamp {
    Timestamp::now()
}

/// A call that came in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Call {
    /// Method.
    pub method: String,
    /// Path with query.
    pub path: String,
    /// Path without what names one thing, e.g. `/projects/:id/issues/:iid`.
    pub route: String,
    /// Status of the answer; 0 where the caller got none.
    pub status: u16,
    /// Who called.
    pub user: Option<String>,
}

/// What goes wrong at the moment.
#[derive(Default)]
struct Faults {
    list: Vec<Fault>,
    outage: Outage,
}

struct Inner {
    base: String,
    prefix: String,
    address: SocketAddr,
    runtime: Handle,
    world: Mutex<World>,
    calls: Mutex<Vec<Call>>,
    faults: Mutex<Faults>,
    deliveries: Mutex<Deliveries>,
    /// Deliveries that are under way.
    under_way: watch::Sender<usize>,
    /// Calls in the present minute.
    observed: Mutex<(i64, u64)>,
    stopped: CancellationToken,
    /// Calls are slow no more.
    pauses_over: CancellationToken,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A running instance. Clones are the same instance; it stops when the last one is dropped.
#[derive(Clone)]
pub struct Sandbox {
    inner: Arc<Inner>,
    _until_dropped: Arc<DropGuard>,
}

impl Sandbox {
    /// Starts an instance.
    ///
    /// # Errors
    ///
    /// Where the address cannot be listened on.
    pub async fn start(options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind(options.listen).await?;
        let address = listener.local_addr()?;
        let prefix = options.prefix.trim_end_matches('/').to_owned();
        let base = format!("http://{address}{prefix}");
        let stopped = CancellationToken::new();
        let inner = Arc::new(Inner {
            world: Mutex::new(World::new(options, base.clone())),
            base,
            prefix,
            address,
            runtime: Handle::current(),
            calls: Mutex::default(),
            faults: Mutex::default(),
            deliveries: Mutex::default(),
            under_way: watch::Sender::new(0),
            observed: Mutex::default(),
            stopped: stopped.clone(),
            pauses_over: CancellationToken::new(),
        });
        tokio::spawn(server::serve(listener, Arc::clone(&inner), stopped.clone()));
        Ok(Self { inner, _until_dropped: Arc::new(stopped.drop_guard()) })
    }

    /// Address of the instance, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.inner.base
    }

    /// Address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.inner.address
    }

    /// Path of the project.
    pub fn project(&self) -> String {
        self.world().project.path.clone()
    }

    /// Id of the project.
    pub fn project_id(&self) -> u64 {
        self.world().project.id
    }

    /// A user's token, empty for nobody's.
    pub fn token(&self, username: &str) -> String {
        self.world().token_of(username).map(|token| token.value.clone()).unwrap_or_default()
    }

    /// The plain state, for assertions and set-ups. No call is answered while it is held.
    pub fn world(&self) -> MutexGuard<'_, World> {
        self.inner.world()
    }

    /// Somebody who does something.
    ///
    /// # Panics
    ///
    /// Where nobody has that name.
    pub fn as_user(&self, username: &str) -> Person {
        let id = self.world().user_named(username).map(|user| user.id);
        match id {
            Some(id) => Person { sandbox: self.clone(), id },
            None => panic!("nobody in the sandbox is called {username}"),
        }
    }

    /// The calls that came in, oldest first.
    pub fn calls(&self) -> Vec<Call> {
        lock(&self.inner.calls).clone()
    }

    /// Forgets the calls that came in.
    pub fn clear_calls(&self) {
        lock(&self.inner.calls).clear();
    }

    /// Lets some calls meet trouble.
    pub fn fault(&self, fault: Fault) {
        self.inner.faults().list.push(fault);
    }

    /// Lets no call be slow any more, those that are under way included: a test need not guess how long is long enough.
    pub fn end_pauses(&self) {
        self.inner.pauses_over.cancel();
    }

    /// The faults that have still to happen.
    pub fn faults(&self) -> Vec<Fault> {
        self.inner.faults().list.clone()
    }

    /// Lets all calls fare well again.
    pub fn clear_faults(&self) {
        self.inner.faults().list.clear();
    }

    /// Takes the whole instance away, or brings it back.
    pub fn outage(&self, outage: Outage) {
        self.inner.faults().outage = outage;
    }

    /// Says what becomes of webhooks from now on.
    pub fn hook_mode(&self, mode: HookMode) {
        lock(&self.inner.deliveries).mode = mode;
    }

    /// The deliveries that wait to be sent by hand, in the order in which they were caused.
    pub fn held(&self) -> Vec<Held> {
        lock(&self.inner.deliveries).held.iter().map(|(id, delivery)| delivery.held(*id)).collect()
    }

    /// Sends a waiting delivery and tells the status of the answer; `None` where it did not wait or none came.
    pub async fn deliver_held(&self, id: u64) -> Option<u16> {
        self.inner.deliver_held(id).await
    }

    /// Throws a waiting delivery away. Answers whether there was one.
    pub fn drop_held(&self, id: u64) -> bool {
        lock(&self.inner.deliveries).held.remove(&id).is_some()
    }

    /// Puts a copy of a waiting delivery, under the same `webhook-id`, at the end of those that wait.
    pub fn double_held(&self, id: u64) -> Option<u64> {
        self.inner.double_held(id)
    }

    /// Resolves when no delivery is under way. Deliveries that wait to be sent by hand are not.
    pub async fn settled(&self) {
        let mut under_way = self.inner.under_way.subscribe();
        // The sender lives as long as this handle, so that the wait cannot fail.
        let _ = under_way.wait_for(|count| *count == 0).await;
    }

    /// Sends the webhooks that changes made directly to the state have caused.
    pub fn dispatch(&self) {
        self.inner.dispatch();
    }

    /// Stops the instance: nobody can connect any more, open connections are cut.
    pub fn stop(&self) {
        self.inner.stopped.cancel();
    }
}

impl Inner {
    fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.world)
    }

    fn faults(&self) -> MutexGuard<'_, Faults> {
        lock(&self.faults)
    }

    /// Counts a call for the headers of the rate limit.
    fn observe(&self, now: Timestamp) -> u64 {
        let mut observed = lock(&self.observed);
        let minute = now.as_second() / 60;
        if observed.0 != minute {
            *observed = (minute, 0);
        }
        observed.1 += 1;
        observed.1
    }
}

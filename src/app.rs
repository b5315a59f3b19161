//! The composition root: settings become a running service. Every background loop is started here.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::config::{Idle, Settings, SettingsError};
use crate::engine::{Engine, HookWatch};
use crate::gitlab::{CallReport, Connection, Gitlab, Patience};
use crate::metrics::Metrics;
use crate::mirror::{Care, Found, Mirror};
use crate::notify::Notifier;
use crate::notify::render::{self, RenderError};
use crate::outgoing::Outgoing;
use crate::templates::Templates;
use crate::web::{self, Web};

/// Issues that are looked at at the same time.
const WORKERS: usize = 4;
/// Longest pause between tries to reach a GitLab that is down.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How long loops have to end once the last request is answered.
const LOOPS_END: Duration = Duration::from_secs(1);

/// A service put together; nothing runs yet.
pub struct Parts {
    /// The engine.
    pub engine: Engine,
    /// What tells reviewers.
    pub notifier: Notifier,
    /// What leaves: events, drafts, applications.
    pub outgoing: Outgoing,
    /// How its webhook is looked after, where its address is known.
    pub watch: Option<HookWatch>,
    /// Its HTTP side.
    pub router: Router,
}

/// A running service.
pub struct App {
    address: SocketAddr,
    engine: Engine,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// Puts a service together to be turned by hand.
///
/// # Errors
///
/// Where the mirror, the templates or TLS cannot be used.
pub fn assemble(settings: Settings, clock: Clock, patience: Patience) -> anyhow::Result<Parts> {
    put_together(settings, clock, patience, Care::Soon)
}

fn put_together(settings: Settings, clock: Clock, patience: Patience, care: Care) -> anyhow::Result<Parts> {
    let templates = templates(&settings)?;
    let metrics = Arc::new(Metrics::default());
    let gitlab = observed_gitlab(&settings, clock.clone(), patience, Some(&metrics))?;
    let owner = format!("{} {}", settings.gitlab.url, settings.gitlab.project);
    let (mirror, found) =
        Mirror::open(&settings.database, &owner, crate::csv::SHOWN, care).map_err(|error| {
            match Mirror::is_of_another(&settings.database) {
                true => SettingsError(vec![format!("{error:#}")]).into(),
                false => error,
            }
        })?;
    let engine = Engine::new(
        gitlab,
        settings.gitlab.project.clone(),
        Arc::new(mirror),
        Arc::new(templates),
        clock,
        settings.layers.clone(),
        settings.policy.clone(),
    );
    match found {
        Found::Kept => {}
        Found::New => tracing::info!("the mirror is new; GitLab is read from the beginning"),
        Found::Replaced { why } => {
            let note =
                format!("the mirror could not be used: {why}; it was moved aside and GitLab is read anew");
            tracing::warn!("{note}");
            engine.note_about_the_mirror(note);
        }
        Found::Beside { why } => {
            let note = format!(
                "the mirror stays as it is: {why}; GitLab is read into one of our own beside it. Are this program and \
                 VORHOELLE_GITLAB_URL and VORHOELLE_GITLAB_PROJECT those of the service?"
            );
            tracing::warn!("{note}");
            engine.note_about_the_mirror(note);
        }
        Found::BesideOneOfNoUse { why } => {
            let note = format!(
                "the mirror could not be used: {why}; GitLab is read into one of our own beside it. The service replaces \
                 it when it starts; where none runs, delete the file"
            );
            tracing::warn!("{note}");
            engine.note_about_the_mirror(note);
        }
    }
    let notifier = Notifier::new(engine.clone(), &settings, Arc::clone(&metrics))?;
    let outgoing = Outgoing::new(engine.clone(), &settings, Arc::clone(&metrics), web::answer::as_json)?;
    let watch = hook_watch(&settings, engine.clock())?;
    let web = Web::new(engine.clone(), notifier.clone(), outgoing.clone(), watch.clone(), metrics, settings);
    Ok(Parts { engine, notifier, outgoing, watch, router: web::router(web) })
}

/// The settings' templates.
///
/// # Errors
///
/// What is wrong with one of them, and where.
pub fn templates(settings: &Settings) -> Result<Templates, SettingsError> {
    let loaded = Templates::load(settings.templates.as_deref()).map_err(RenderError::from);
    let checked = loaded.and_then(|templates| render::check(&templates).map(|()| templates));
    checked.map_err(|error| SettingsError(vec![error.to_string()]))
}

/// A client of the settings' GitLab.
///
/// # Errors
///
/// Where TLS cannot be set up.
pub fn gitlab(settings: &Settings, clock: Clock, patience: Patience) -> anyhow::Result<Gitlab> {
    observed_gitlab(settings, clock, patience, None)
}

/// A client whose calls are counted.
///
/// # Errors
///
/// Where TLS cannot be set up.
pub fn observed_gitlab(
    settings: &Settings,
    clock: Clock,
    patience: Patience,
    metrics: Option<&Arc<Metrics>>,
) -> anyhow::Result<Gitlab> {
    let connection = Connection {
        url: settings.gitlab.url.clone(),
        token: settings.gitlab.token.clone(),
        extra_ca: settings.gitlab.extra_ca.clone(),
        patience,
    };
    let metrics = metrics.cloned();
    let observer = move |call: &CallReport| {
        if let Some(metrics) = &metrics {
            metrics.called_gitlab(call.method.as_str(), call.status.map(|status| status.as_u16()), call.took);
            metrics.gitlab_said(call.remaining, call.clock_skew);
        }
    };
    Gitlab::new(connection, clock, Arc::new(observer))
}

/// How the webhook is looked after: with the Maintainer's token where there is one.
fn hook_watch(settings: &Settings, clock: &Clock) -> anyhow::Result<Option<HookWatch>> {
    let Some(public) = &settings.public_url else { return Ok(None) };
    let may_revive = settings.gitlab.setup_token.is_some();
    Ok(Some(HookWatch {
        gitlab: gitlab(&settings.with_setup_token(), clock.clone(), Patience::default())?,
        project: settings.gitlab.project.clone(),
        url: format!("{}/webhooks/gitlab", public.as_str().trim_end_matches('/')),
        may_revive,
    }))
}

/// Listens, with room for those who come while others are let in: the usual 128 are full in a crowd, and whoever comes
/// then waits for a second at least.
fn listening(at: SocketAddr) -> std::io::Result<TcpListener> {
    const COMING: u32 = 1024;
    let socket = if at.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(at)?;
    socket.listen(COMING)
}

impl App {
    /// Starts a service: listens, reads GitLab, follows it.
    ///
    /// # Errors
    ///
    /// Where it cannot listen, or the mirror, the templates or TLS cannot be used.
    pub async fn start(settings: Settings, clock: Clock) -> anyhow::Result<Self> {
        let listen = settings.listen;
        let (interval, idle) = (settings.policy.sync_interval, settings.idle);
        let listener = listening(listen).with_context(|| {
            format!(
                "cannot listen on {listen}; is another service there? VORHOELLE_LISTEN names another address"
            )
        })?;
        let address = listener.local_addr()?;
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        // It lives at once: reading a large mirror and every template takes a while.
        let (routers, latest) = watch::channel(web::router_at_the_start());
        tasks.spawn(web::server::serve_latest(listener, latest, stop.clone(), clock.clone()));
        let at = clock.clone();
        let putting_together = move || put_together(settings, at, Patience::default(), Care::Whole);
        let whole = tokio::task::spawn_blocking(putting_together).await?;
        let Parts { engine, notifier, outgoing, watch, router } = whole.inspect_err(|_| stop.cancel())?;
        drop(routers.send_replace(router));
        if idle == Idle::Loops {
            for _ in 0..WORKERS {
                let engine = engine.clone();
                tasks.spawn(stop.clone().run_until_cancelled_owned(async move { engine.work().await }));
            }
            notifier.start(&tasks, &stop);
            outgoing.start(&tasks, &stop);
        }
        let follow = follow(engine.clone(), clock, interval, idle, watch);
        tasks.spawn(stop.clone().run_until_cancelled_owned(follow));
        tasks.close();
        Ok(Self { address, engine, stop, tasks })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The engine.
    pub const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Answers what is being asked, ends the loops and folds the mirror's log in; within eight seconds.
    pub async fn stop(self) {
        self.stop.cancel();
        let end = async {
            self.tasks.wait().await;
            self.engine.ended().await;
        };
        let _ = tokio::time::timeout(web::server::DRAIN + LOOPS_END, end).await;
        self.engine.mirror().checkpoint();
    }
}

/// Reads GitLab at the start and then every `interval`: a lost webhook is only a later one.
async fn follow(engine: Engine, clock: Clock, interval: Duration, idle: Idle, watch: Option<HookWatch>) {
    let mut pause = Duration::from_secs(1);
    loop {
        let read = engine.delta().await;
        if let Some(watch) = &watch {
            engine.check_hook(watch).await;
        }
        match read {
            // Where the clock stops between requests, later reads are the scheduler's.
            Ok(()) if idle == Idle::Request => return engine.work_off_what_is_due_soon().await,
            Ok(()) => {
                pause = Duration::from_secs(1);
                clock.sleep(interval).await;
            }
            Err(error) => {
                tracing::warn!(%error, ?pause, "GitLab could not be read; it is tried again");
                clock.sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

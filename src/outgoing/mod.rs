//! What leaves the house: signed events to the pipeline, and the application to the employer, once and only on an
//! explicit order.
//!
//! `events` delivers what the mirror queued; `draft` keeps the draft in a comment; `send` is the one way to a mail to an
//! employer, `outcome` brings GitLab up to date with what became of it.

mod draft;
mod error;
pub mod events;
mod letter;
mod outcome;
mod send;
pub mod signing;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use lettre::message::Mailbox;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

pub use draft::{Draft, DraftInput};
pub use error::OutgoingError;
pub use events::EventHealth;
pub use send::{SendRequest, Sent};

use crate::channels::http;
use crate::channels::mail::MailSender;
use crate::config::{EventSettings, Settings};
use crate::domain::hex;
use crate::engine::{Engine, EngineError};
use crate::metrics::Metrics;
use crate::mirror::{Fact, Record};

/// The longest pause between two looks at the queue.
const AT_LEAST_EVERY: std::time::Duration = std::time::Duration::from_secs(60);

/// How a match is written for those who receive events: as the API answers it.
pub type Answer = fn(&Engine, Record) -> Result<Value, EngineError>;

/// Drafts, sends, tells of events; a cheap handle.
#[derive(Clone)]
pub struct Outgoing {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Engine,
    metrics: Arc<Metrics>,
    answer: Answer,
    mail: Option<Mail>,
    /// Tells this disk's attempts from those of another instance.
    instance: Uuid,
    /// Tells this service's mails from those of another that sends from the same domain.
    home: String,
    /// One mail to an employer at a time: a possible duplicate must see the other.
    sending: tokio::sync::Mutex<()>,
    receiver: Option<Receiver>,
    /// One round of events at a time.
    round: tokio::sync::Mutex<()>,
    last_delivery: Mutex<Option<Timestamp>>,
}

/// How mails leave.
struct Mail {
    sender: MailSender,
    from: Mailbox,
    /// Where answers go unless the reviewer shows an address.
    answers: Option<Mailbox>,
}

/// Who hears of events.
struct Receiver {
    http: reqwest::Client,
    settings: EventSettings,
}

impl Outgoing {
    /// What leaves by these settings.
    ///
    /// # Errors
    ///
    /// Where TLS cannot be set up or the mirror cannot be used.
    pub fn new(
        engine: Engine,
        settings: &Settings,
        metrics: Arc<Metrics>,
        answer: Answer,
    ) -> anyhow::Result<Self> {
        let mail = match &settings.channels.mail {
            Some(mail) => Some(Mail {
                sender: MailSender::new(&mail.mailer, engine.clock())?,
                from: mail.from.clone(),
                answers: mail.to.first().cloned(),
            }),
            None => None,
        };
        let receiver = match &settings.events {
            Some(events) => Some(Receiver { http: http::client(&events.url)?, settings: events.clone() }),
            None => None,
        };
        let home = Sha256::new()
            .chain_update(settings.gitlab.url.as_str())
            .chain_update([0])
            .chain_update(&settings.gitlab.project)
            .finalize();
        let inner = Inner {
            instance: instance(&engine)?,
            engine,
            metrics,
            answer,
            mail,
            home: hex(&home[..4]),
            sending: tokio::sync::Mutex::default(),
            receiver,
            round: tokio::sync::Mutex::default(),
            last_delivery: Mutex::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Starts the loops: events as they are due, and what sending has left to be said.
    pub fn start(&self, tasks: &TaskTracker, stop: &CancellationToken) {
        let events = self.clone();
        let deliver = async move {
            loop {
                // Listening begins before looking, so that nothing rings in between unheard.
                let news = events.engine().news().notified();
                let next = events.deliver().await;
                events.pause(news, next).await;
            }
        };
        tasks.spawn(stop.clone().run_until_cancelled_owned(deliver));
        let (sends, stop) = (self.clone(), stop.clone());
        tasks.spawn(async move {
            // A stop ends it between rounds only: what has left is said.
            while !stop.is_cancelled() {
                let all_said = sends.finish_sends().await;
                let pause = async {
                    tokio::select! {
                        // What failed may have rung itself: it is not tried again in the same moment.
                        () = sends.engine().sends().notified(), if all_said => {}
                        () = sends.engine().clock().sleep(AT_LEAST_EVERY) => {}
                    }
                };
                stop.run_until_cancelled(pause).await;
            }
        });
    }

    /// Does everything that is due now; for platforms that stop the clock between requests, and for tests.
    pub async fn tick(&self) {
        self.finish_sends().await;
        self.deliver().await;
    }

    async fn pause(&self, news: impl Future<Output = ()>, next: Option<Timestamp>) {
        let left = next.map(|next| next.duration_since(self.now()));
        let left = left.and_then(|left| std::time::Duration::try_from(left).ok()).unwrap_or(AT_LEAST_EVERY);
        let pause = left.min(AT_LEAST_EVERY) + std::time::Duration::from_millis(1);
        tokio::select! {
            () = news => {}
            () = self.engine().clock().sleep(pause) => {}
        }
    }

    fn engine(&self) -> &Engine {
        &self.inner.engine
    }

    fn now(&self) -> Timestamp {
        self.engine().clock().now()
    }

    fn last_delivery(&self) -> MutexGuard<'_, Option<Timestamp>> {
        self.inner.last_delivery.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name of this disk, made once. Beside another service on the same disk, whose attempts may be under way, one for this
/// run alone.
fn instance(engine: &Engine) -> anyhow::Result<Uuid> {
    let mirror = engine.mirror();
    if mirror.is_of_another_service() {
        return Ok(Uuid::new_v4());
    }
    if let Some(known) = mirror.fact(Fact::Instance)?.and_then(|text| text.parse().ok()) {
        return Ok(known);
    }
    let new = Uuid::new_v4();
    mirror.remember(Fact::Instance, &new.to_string())?;
    Ok(new)
}

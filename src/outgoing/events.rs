//! Signed events: those of one match in their order, those of several beside each other, each until it has arrived or a
//! day is over.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use reqwest::{StatusCode, header};
use serde::Serialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::{Outgoing, Receiver, signing};
use crate::channels::http;
use crate::config::EventSettings;
use crate::domain::State;
use crate::domain::masked::masked;
use crate::domain::schedule::lies_ahead;
use crate::engine::{EngineError, Hint};
use crate::gitlab::events::{LabelAction, LabelEvent};
use crate::gitlab::labels::LabelKind;
use crate::mirror::{EventKind, EventMessage, QueuedEvent, Raised, Standing};

/// What the receiver is called in our sentences.
const RECEIVER: &str = "the receiver";
/// How long one try may take.
const TRY: Duration = Duration::from_secs(15);
/// The first pause after a failure; each further one is twice as long.
const FIRST_PAUSE: SignedDuration = SignedDuration::from_secs(5);
/// The longest pause that the receiver does not ask for.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_hours(1);
/// How long an event is tried.
const TRIED_FOR: SignedDuration = SignedDuration::from_hours(24);
/// Matches whose events go out at the same time.
const AT_ONCE: usize = 8;

/// How the events fare.
#[derive(Clone, Debug, Serialize)]
pub struct EventHealth {
    /// `ok`, `failing` or `not_set_up`.
    pub status: &'static str,
    /// Events that wait.
    pub waiting: u64,
    /// Events that were given up.
    pub given_up: u64,
    /// What went wrong with the event that has waited longest.
    pub error: Option<String>,
    /// When the next one is tried.
    pub next_try: Option<Timestamp>,
    /// When the last one arrived, since the start.
    pub last_delivery: Option<Timestamp>,
}

/// What came of a try.
enum Tried {
    Arrived,
    /// Not now; the receiver may say when.
    Failed {
        reason: String,
        after: Option<SignedDuration>,
    },
    /// The receiver does not want it any more.
    Gone,
}

/// Asks whether anybody answers where events go, and sends none.
///
/// # Errors
///
/// Why nobody does, in words.
pub async fn probe(settings: &EventSettings) -> Result<StatusCode, String> {
    let http = http::client(&settings.url).map_err(|error| format!("{error:#}"))?;
    let answer = http::tell(RECEIVER, http.head(settings.url.clone()).timeout(TRY)).await;
    answer.map(|answer| answer.status).map_err(|lost| masked(&lost.reason))
}

impl Outgoing {
    /// Delivers every event that is due and says when the next one is.
    pub(super) async fn deliver(&self) -> Option<Timestamp> {
        let _one_at_a_time = self.inner.round.lock().await;
        match self.deliver_due().await {
            Ok(next) => next,
            Err(error) => {
                let error = masked(&error.to_string());
                tracing::warn!(%error, "events could not be delivered; they are again in a minute");
                None
            }
        }
    }

    async fn deliver_due(&self) -> Result<Option<Timestamp>, EngineError> {
        let mirror = self.engine().mirror();
        let Some(receiver) = &self.inner.receiver else {
            mirror.drop_events()?;
            return Ok(None);
        };
        loop {
            if !self.engine().may_tell() {
                return Ok(None);
            }
            let due = mirror.due_events(self.now())?;
            if due.is_empty() {
                return Ok(mirror.next_event_due()?);
            }
            let tries =
                stream::iter(due).map(|waiting| self.attempt(receiver, waiting)).buffer_unordered(AT_ONCE);
            tries.collect::<Vec<_>>().await.into_iter().collect::<Result<(), _>>()?;
        }
    }

    /// One try of one event.
    async fn attempt(&self, receiver: &Receiver, waiting: QueuedEvent) -> Result<(), EngineError> {
        let mirror = self.engine().mirror();
        let (iid, kind) = (waiting.raised.record.iid, waiting.raised.kind.as_str());
        let started = self.now();
        // What a clock said that was ahead would make the day longer.
        let first_try = waiting.since.filter(|since| !lies_ahead(*since, started));
        let since = first_try.unwrap_or(started);
        let message = match self.message(&waiting).await {
            Ok(message) => message,
            Err(error) => {
                // GitLab has to be asked for the id; until it answers the event waits, and its day has not begun.
                let due = started.saturating_add(pause("", waiting.failures)).unwrap_or(Timestamp::MAX);
                return Ok(mirror.delay_event(
                    waiting.number,
                    first_try,
                    due,
                    &masked(&error.to_string()),
                )?);
            }
        };
        // GitLab may have taken long to say the id, and receivers take no signature that is minutes old.
        match receiver.post(&message, self.now().as_second()).await {
            Tried::Arrived => {
                *self.last_delivery() = Some(self.now());
                self.inner.metrics.told("events", "sent");
                tracing::debug!(iid, kind, id = %message.id, "an event has arrived");
                mirror.end_event(waiting.number, None)?;
            }
            Tried::Gone => {
                self.inner.metrics.told("events", "given_up");
                let reason = "the receiver answered 410 Gone: it wants this event no more";
                tracing::error!(iid, kind, id = %message.id, "an event is given up: {reason}");
                mirror.end_event(waiting.number, Some(reason))?;
            }
            Tried::Failed { reason, .. } if self.now().duration_since(since) >= TRIED_FOR => {
                self.inner.metrics.told("events", "given_up");
                tracing::error!(iid, kind, id = %message.id, %reason, "an event is given up after a day");
                mirror.end_event(waiting.number, Some(&reason))?;
            }
            Tried::Failed { reason, after } => {
                self.inner.metrics.told("events", "failed");
                // A `Retry-After` of nothing is no reason to hurry.
                let asked_for = after.map(|after| after.clamp(FIRST_PAUSE, TRIED_FOR));
                let pause = asked_for.unwrap_or_else(|| pause(&message.id, waiting.failures));
                tracing::warn!(iid, kind, %reason, ?pause, "an event did not arrive; it is tried again");
                let due = self.now().saturating_add(pause).unwrap_or(Timestamp::MAX);
                // The last try is made when the day is over, not long after.
                let end = since.saturating_add(TRIED_FOR).unwrap_or(Timestamp::MAX);
                mirror.delay_event(waiting.number, Some(since), due.min(end), &reason)?;
            }
        }
        Ok(())
    }

    /// What goes out; made at the first try and kept.
    async fn message(&self, waiting: &QueuedEvent) -> Result<EventMessage, EngineError> {
        if let Some(message) = &waiting.message {
            return Ok(message.clone());
        }
        let raised = &waiting.raised;
        let mut data = (self.inner.answer)(self.engine(), raised.record.clone())?;
        data["decision"] = json!(raised.step);
        let body = json!({ "type": raised.kind, "timestamp": raised.at, "data": data }).to_string();
        let message = EventMessage { id: self.id_of(raised).await?, body };
        self.engine().mirror().keep_message(waiting.number, &message)?;
        Ok(message)
    }

    /// The event's id: a function of the project, the issue and GitLab's label event, or of the issue alone where it was
    /// new.
    async fn id_of(&self, raised: &Raised) -> Result<String, EngineError> {
        let connected = self.engine().connected().await?;
        let (project, iid) = (connected.project.id, raised.record.iid);
        if raised.kind == EventKind::Staged && raised.at == raised.record.created_at {
            return Ok(format!("match-{project}-{iid}-issue-{}", raised.record.issue_id));
        }
        let events = match connected.project.label_events(iid).await {
            Err(error) if error.is_gone() => {
                let standing = self.engine().mirror().record(iid)?.map(|record| record.standing);
                let may_be_hidden = match standing {
                    Some(Standing::Live | Standing::Withdrawn) => true,
                    Some(Standing::Gone) => raised.kind != EventKind::Withdrawn,
                    _ => false,
                };
                if may_be_hidden {
                    // Under another id it would not be known as a repeat. Once the issue is known to be gone, all that
                    // waits but the withdrawal is dropped.
                    self.engine().hint(iid, Hint::default());
                    return Err(error.into());
                }
                Vec::new()
            }
            other => other?,
        };
        let kind_of = |event: &LabelEvent| self.engine().label_kind(event.label.as_ref()?.id);
        Ok(match cause(raised, &events, kind_of) {
            Some(event) if event.created_at == raised.at => {
                format!("match-{project}-{iid}-label-{}", event.id)
            }
            // Its moment tells it from another step that led to this label.
            Some(event) => {
                format!("match-{project}-{iid}-label-{}-{}", event.id, raised.at.as_millisecond())
            }
            // That label was deleted since: then GitLab does not say any more which one it was.
            None => format!("match-{project}-{iid}-{}-{}", raised.kind.as_str(), raised.at.as_millisecond()),
        })
    }

    /// How the events fare.
    pub fn event_health(&self) -> EventHealth {
        let queue = self.engine().mirror().event_queue().unwrap_or_default();
        let status = match (&self.inner.receiver, &queue.error) {
            (None, _) => "not_set_up",
            (Some(_), Some(_)) => "failing",
            (Some(_), None) => "ok",
        };
        EventHealth {
            status,
            waiting: if status == "not_set_up" { 0 } else { queue.waiting },
            given_up: queue.given_up,
            error: queue.error,
            next_try: queue.next_try,
            last_delivery: *self.last_delivery(),
        }
    }
}

/// The label event that an event is named after: the one that put the state's label on at its moment, else the first that
/// did so since, as after a closing, a reopening or a decision of ours. For a match that counts no more or again, the last
/// at its label.
fn cause<'a>(
    raised: &Raised,
    events: &'a [LabelEvent],
    kind_of: impl Fn(&LabelEvent) -> Option<LabelKind>,
) -> Option<&'a LabelEvent> {
    let (kind, action) = match raised.kind {
        EventKind::Staged => (LabelKind::Match, LabelAction::Add),
        EventKind::Withdrawn => (LabelKind::Match, LabelAction::Remove),
        EventKind::Pending => (LabelKind::State(State::Pending), LabelAction::Add),
        EventKind::Approved => (LabelKind::State(State::Approved), LabelAction::Add),
        EventKind::Rejected => (LabelKind::State(State::Rejected), LabelAction::Add),
        EventKind::Sent => (LabelKind::State(State::Sent), LabelAction::Add),
    };
    let mut fitting = events.iter().filter(|event| event.action == action && kind_of(event) == Some(kind));
    if kind == LabelKind::Match {
        let before = fitting.clone().rfind(|event| event.created_at <= raised.at);
        return before.or_else(|| fitting.next());
    }
    fitting.find(|event| event.created_at >= raised.at)
}

/// The pause after a failure, up to a fifth longer or shorter: many services must not come back at once. Which, depends
/// on the event, so that a test knows it.
fn pause(id: &str, failures: u32) -> SignedDuration {
    let doubled = FIRST_PAUSE.checked_mul(1 << failures.min(12)).unwrap_or(LONGEST_PAUSE).min(LONGEST_PAUSE);
    let hash = Sha256::new().chain_update(id).chain_update(failures.to_be_bytes()).finalize();
    let spread = f64::from(hash[0]) / 255.0 * 0.4 - 0.2;
    SignedDuration::from_secs_f64(doubled.as_secs_f64() * (1.0 + spread))
}

impl Receiver {
    async fn post(&self, message: &EventMessage, timestamp: i64) -> Tried {
        let signature = signing::signature(&self.settings.key(), &message.id, timestamp, &message.body);
        let request = self
            .http
            .post(self.settings.url.clone())
            .timeout(TRY)
            .header(header::CONTENT_TYPE, "application/json")
            .header("webhook-id", &message.id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signature)
            .body(message.body.clone());
        match http::tell(RECEIVER, request).await {
            Ok(answer) if answer.status.is_success() => Tried::Arrived,
            Ok(answer) if answer.status == StatusCode::GONE => Tried::Gone,
            Ok(answer) => {
                let after = answer.retry_after.and_then(|pause| pause.try_into().ok());
                Tried::Failed { reason: format!("{RECEIVER} answered {}", answer.status), after }
            }
            // It stands in the log and in `/health`.
            Err(lost) => Tried::Failed { reason: masked(&lost.reason), after: None },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_an_hour_and_are_spread_by_a_fifth() {
        let mut all = SignedDuration::ZERO;
        for failures in 0..40 {
            let pause = pause("match-1-2-label-3", failures);
            let plain = (5 * 2i64.pow(failures.min(10))).min(3600);
            assert!(
                pause.as_secs() * 5 >= plain * 4 - 5 && pause.as_secs() * 5 <= plain * 6,
                "{failures}: {pause}"
            );
            all += pause;
        }
        assert!(all > TRIED_FOR);
    }
}

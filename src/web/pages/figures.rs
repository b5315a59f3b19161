//! What stands beside the lists: the funnel, the time to decision, how channels and webhook fare, the next digest.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::visit::Visit;
use super::when::span;
use crate::domain::Channel;
use crate::engine::{EngineError, HookHealth};
use crate::mirror::Counts;
use crate::web::stats::median;

/// How far ahead a digest is looked for.
const AHEAD: SignedDuration = SignedDuration::from_hours(8 * 24);

/// For how long an event is a sign that the webhook delivers.
const HEARD: SignedDuration = SignedDuration::from_hours(3 * 24);

/// The figures beside a list.
pub(super) fn beside(visit: &Visit) -> Result<Value, EngineError> {
    let mirror = visit.web.engine().mirror();
    let (hours, _) = mirror.times()?;
    let people = visit.people();
    Ok(json!({
        "funnel": funnel(&mirror.counts()?),
        "to_decision": median(&hours).map(hours_as_span),
        "channels": channels(visit),
        "hook": hook(visit),
        "next_digest": next_digest(visit).map(|(at, channel)| json!({ "at": people.moment(at), "channel": channel })),
    }))
}

/// Hours as one number and one unit.
pub(super) fn hours_as_span(hours: f64) -> Value {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "times between two moments that a timestamp can hold"
    )]
    let minutes = (hours * 60.0).round() as i64;
    json!(span(-SignedDuration::from_mins(minutes)))
}

/// How many came so far, each with its share of all, in percent.
pub(super) fn funnel(counts: &Counts) -> Value {
    let decided = counts.approved + counts.rejected + counts.sent;
    let all = decided + counts.pending;
    let step = |name: &str, count: u64| {
        let share = (count * 100).checked_div(all).unwrap_or(0);
        json!({ "name": name, "count": count, "share": share })
    };
    json!([
        step("staged", all),
        step("decided", decided),
        step("wanted", counts.approved + counts.sent),
        step("sent", counts.sent),
    ])
}

/// How every channel fares.
pub(super) fn channels(visit: &Visit) -> Value {
    let people = visit.people();
    let one = |health: crate::notify::ChannelHealth| {
        json!({
            "channel": health.channel,
            "status": health.status,
            "last_sent": health.last_sent.map(|at| people.moment(at)),
            "error": health.error,
            "next_try": health.next_try.map(|at| people.moment(at)),
            "waiting": health.waiting,
            "held_until": health.held_until.map(|at| people.moment(at)),
        })
    };
    visit.web.notifier().health().into_iter().map(one).collect()
}

/// How the webhook fares. A token that may not look at it can still tell by what came.
pub(super) fn hook(visit: &Visit) -> Value {
    let status = visit.web.engine().status();
    let people = visit.people();
    let heard = status.last_event.is_some_and(|at| people.now.duration_since(at) < HEARD);
    let (word, lamp) = match status.hook {
        Some(HookHealth::Executable) => ("executable", "ok"),
        Some(HookHealth::Disabled) => ("disabled", "failing"),
        Some(HookHealth::Missing) => ("missing", "failing"),
        Some(HookHealth::Unknown) | None if heard => ("heard", "ok"),
        Some(HookHealth::Unknown) | None => ("unknown", "not_set_up"),
    };
    json!({
        "status": word,
        "lamp": lamp,
        "last_event": status.last_event.map(|at| people.moment(at)),
    })
}

/// When the next digest goes, and on which channel.
fn next_digest(visit: &Visit) -> Option<(Timestamp, Channel)> {
    let (policy, now) = (visit.web.engine().policy(), visit.web.engine().clock().now());
    let until = now.checked_add(AHEAD).ok()?;
    let next = |channel: Channel| {
        let at = policy.channels.get(&channel)?.schedule.digests(now, until).into_iter().next()?;
        Some((at, channel))
    };
    visit.web.notifier().active().into_iter().filter_map(next).min()
}

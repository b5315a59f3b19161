//! How every part fares, and what is held until when.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use super::figures;
use super::forms::Member;
use super::visit::Visit;
use super::when::Moment;
use crate::domain::posted_match::clean_line;
use crate::domain::{Channel, State};
use crate::engine::EngineError;
use crate::mirror::{DeliveryKind, DeliveryOutcome, Query, Record, Sort};

/// Pending matches that are read at once to find out what is held.
const AT_ONCE: usize = 200;
/// Matches that are named of those whose messages go together.
const NAMED: usize = 100;
/// From when on a token's end is a warning, in days.
const TOKEN_SOON: i64 = 30;

/// Shows how every part fares.
pub(super) async fn page(Member { visit }: Member) -> Response {
    visit.answer(show(&visit))
}

fn show(visit: &Visit) -> Result<Response, EngineError> {
    let engine = visit.web.engine();
    let (status, people) = (engine.status(), visit.people());
    let counts = engine.mirror().counts()?;
    let token = status.token_expires.map(|day| {
        let days = people.days_until(day);
        json!({ "text": people.date(day), "days": days, "soon": days <= TOKEN_SOON })
    });
    let context = json!({
        "gitlab": {
            "fine": status.gitlab_error.is_none() && status.caught_up,
            "caught_up": status.caught_up,
            "error": status.gitlab_error,
            "last_read": status.last_delta.map(|at| people.moment(at)),
            "token": token,
        },
        "hook": figures::hook(visit),
        "mirror": {
            "matches": counts.pending + counts.approved + counts.rejected + counts.sent,
            "note": status.mirror_error.or(status.mirror_note),
            "unread": engine.mirror().unread_histories()?,
        },
        "channels": figures::channels(visit),
        "held": held(visit)?,
        "doubts": doubts(visit)?,
        "events": events(visit),
        "backlog": engine.backlog(),
        "ignored": counts.ignored,
        "version": env!("CARGO_PKG_VERSION"),
    });
    Ok(visit.page(StatusCode::OK, "status", context))
}

/// Messages that go at the same time for the same reason, as the template sees them.
#[derive(Serialize)]
struct Held {
    channel: Channel,
    kind: DeliveryKind,
    outcome: DeliveryOutcome,
    until: Option<Moment>,
    reason: Option<String>,
    count: usize,
    /// The first of the matches that they are about.
    matches: Vec<Named>,
    /// How many more there are.
    more: usize,
}

/// A match by its name.
#[derive(Serialize)]
struct Named {
    iid: u64,
    title: String,
}

/// What a group of messages has in common; the next first, what waits for help last.
type Together = (bool, Option<Timestamp>, Channel, String, String, Option<String>);

/// Messages that wait, those together that go together.
fn held(visit: &Visit) -> Result<Vec<Held>, EngineError> {
    let people = visit.people();
    let mut query = Query {
        state: Some(State::Pending),
        min_score: None,
        words: Vec::new(),
        since: None,
        sort: Sort::Created,
        after: None,
        limit: AT_ONCE,
    };
    let mut groups: BTreeMap<Together, Held> = BTreeMap::new();
    loop {
        let (records, next) = visit.web.engine().mirror().list(&query)?;
        for record in records {
            for one in visit.web.notifier().deliveries(&record)? {
                if one.outcome == DeliveryOutcome::Sent {
                    continue;
                }
                let until = one.deferred_until;
                let (kind, outcome) = (format!("{:?}", one.kind), format!("{:?}", one.outcome));
                let key = (until.is_none(), until, one.channel, kind, outcome, one.reason.clone());
                let group = groups.entry(key).or_insert_with(|| Held {
                    channel: one.channel,
                    kind: one.kind,
                    outcome: one.outcome,
                    until: until.map(|at| people.moment(at)),
                    reason: one.reason,
                    count: 0,
                    matches: Vec::new(),
                    more: 0,
                });
                group.count += 1;
                if group.matches.len() < NAMED {
                    group.matches.push(named(&record));
                } else {
                    group.more += 1;
                }
            }
        }
        match next {
            Some(next) => query.after = Some(next),
            None => return Ok(groups.into_values().collect()),
        }
    }
}

fn named(record: &Record) -> Named {
    Named { iid: record.iid, title: clean_line(&record.job.title) }
}

/// The matches of which nobody knows whether their application left.
fn doubts(visit: &Visit) -> Result<Vec<Named>, EngineError> {
    let mirror = visit.web.engine().mirror();
    let mut doubts = Vec::new();
    for iid in mirror.sends_in_doubt()? {
        doubts.extend(mirror.record(iid)?.as_ref().map(named));
    }
    Ok(doubts)
}

/// How the events fare that go to a receiver of the user's own.
fn events(visit: &Visit) -> Value {
    let (health, people) = (visit.web.outgoing().event_health(), visit.people());
    json!({
        "status": health.status,
        "waiting": health.waiting,
        "given_up": health.given_up,
        "error": health.error,
        "next_try": health.next_try.map(|at| people.moment(at)),
        "last_delivery": health.last_delivery.map(|at| people.moment(at)),
    })
}

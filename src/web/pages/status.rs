//! How every part fares, and what is held until when.

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::figures;
use super::forms::Member;
use super::visit::Visit;
use crate::domain::State;
use crate::domain::posted::clean_line;
use crate::engine::EngineError;
use crate::mirror::{DeliveryOutcome, Query, Sort};

/// Pending matches that are looked through for what is held.
const HELD: usize = 50;
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
            "note": status.mirror_note,
            "unread": engine.mirror().iids_without_history()?.len(),
        },
        "channels": figures::channels(visit),
        "held": held(visit)?,
        "backlog": engine.backlog(),
        "ignored": counts.ignored,
        "settings_problem": status.settings_problem,
        "version": env!("CARGO_PKG_VERSION"),
    });
    Ok(visit.page(StatusCode::OK, "status", context))
}

/// Messages that wait, the next first.
fn held(visit: &Visit) -> Result<Vec<Value>, EngineError> {
    let people = visit.people();
    let query = Query {
        state: Some(State::Pending),
        min_score: None,
        words: Vec::new(),
        since: None,
        sort: Sort::Created,
        after: None,
        limit: HELD,
    };
    let (records, _) = visit.web.engine().mirror().list(&query)?;
    let mut held = Vec::new();
    for record in records {
        for one in visit.web.notifier().deliveries(&record)? {
            if one.outcome != DeliveryOutcome::Sent {
                held.push((one.deferred_until, record.iid, clean_line(&record.job.title), one));
            }
        }
    }
    held.sort_by_key(|(until, iid, ..)| (until.is_none(), *until, *iid));
    let row = |(until, iid, title, one): (Option<jiff::Timestamp>, u64, String, crate::mirror::Delivery)| {
        json!({
            "iid": iid, "title": title, "channel": one.channel, "kind": one.kind, "outcome": one.outcome,
            "until": until.map(|at| people.moment(at)), "reason": one.reason,
        })
    };
    Ok(held.into_iter().map(row).collect())
}

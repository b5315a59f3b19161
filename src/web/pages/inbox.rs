//! The inbox: what waits, the best first; what was decided; what a search finds.

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::card::{Card, Length, onward};
use super::decide::done;
use super::figures;
use super::forms::Member;
use super::visit::Visit;
use crate::domain::State;
use crate::engine::EngineError;
use crate::mirror::{Query, Sort};
use crate::web::matches::{read_cursor, write_cursor};

/// Matches on one page.
const PAGE: usize = 20;
/// Longest search, in characters.
const SEARCH_LIMIT: usize = 200;

/// Shows one of the lists.
pub(super) async fn page(Member { visit }: Member) -> Response {
    visit.answer(show(&visit))
}

fn show(visit: &Visit) -> Result<Response, EngineError> {
    let mirror = visit.web.engine().mirror();
    let tab = Tab::of(visit.query("state"));
    let search: String = visit.query("q").trim().chars().take(SEARCH_LIMIT).collect();
    let cursor = visit.query("cursor");
    // What waits by how well it fits; what is done by when.
    let sort = if tab.state == Some(State::Pending) { Sort::Score } else { Sort::Updated };
    let query = Query {
        state: tab.state,
        min_score: None,
        words: search.split_whitespace().map(str::to_owned).collect(),
        since: None,
        sort,
        after: (!cursor.is_empty()).then(|| read_cursor(cursor, sort).ok()).flatten(),
        limit: PAGE,
    };
    let (records, next) = mirror.list(&query)?;
    let people = visit.people();
    let cards = records.iter().map(|record| Card::of(visit.web.engine(), &people, record, Length::List));
    let cards = cards.collect::<Result<Vec<_>, _>>()?;
    let next = next.and_then(|next| write_cursor(next, sort).ok());
    let context = json!({
        "tab": tab.name,
        "tabs": tabs(visit, &search)?,
        "search": search,
        "everywhere": address("all", &search, None),
        "first": address(tab.name, &search, None),
        "next": next.map(|next| address(tab.name, &search, Some(&next))),
        "is_first": query.after.is_none(),
        "back": address(tab.name, &search, Some(cursor).filter(|_| query.after.is_some())),
        "cards": cards,
        "together": tab.state.map(|state| onward(state, true)),
        "done": done(visit)?,
        "figures": figures::beside(visit)?,
    });
    Ok(visit.page(StatusCode::OK, "inbox", context))
}

/// One of the lists.
struct Tab {
    name: &'static str,
    state: Option<State>,
}

impl Tab {
    fn of(name: &str) -> Self {
        match name {
            "all" => Self { name: "all", state: None },
            name => {
                let state = name.parse().unwrap_or(State::Pending);
                Self { name: state.as_str(), state: Some(state) }
            }
        }
    }
}

fn tabs(visit: &Visit, search: &str) -> Result<Value, EngineError> {
    let counts = visit.web.engine().mirror().counts()?;
    let all = counts.pending + counts.approved + counts.rejected + counts.sent;
    let each = [
        ("pending", counts.pending),
        ("approved", counts.approved),
        ("sent", counts.sent),
        ("rejected", counts.rejected),
        ("all", all),
    ];
    let tab = |(name, count): (&str, u64)| json!({ "name": name, "count": count, "address": address(name, search, None) });
    Ok(each.into_iter().map(tab).collect())
}

/// Where a list is.
fn address(tab: &str, search: &str, cursor: Option<&str>) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    if tab != "pending" {
        query.append_pair("state", tab);
    }
    if !search.is_empty() {
        query.append_pair("q", search);
    }
    if let Some(cursor) = cursor {
        query.append_pair("cursor", cursor);
    }
    match query.finish() {
        query if query.is_empty() => "/".to_owned(),
        query => format!("/?{query}"),
    }
}

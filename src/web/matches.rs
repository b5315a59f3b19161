//! `/api/v1/matches`: list, look at, decide. Staging is next door.

use axum::extract::{Extension, State};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use super::Web;
use super::answer::{ListedAnswer, WholeAnswer, to_json};
use super::auth::Caller;
use super::iid::{Iid, unknown};
use super::lists::{List, WAITING_FOR};
use super::openapi::{PROBLEM, Refusals};
use super::problem::{ApiJson, Parts, Problem};
use super::query::{ApiQuery, moment};
use crate::domain;
use crate::domain::decision_comment::decision_comment;
use crate::domain::history::Through;
use crate::engine::{Decision, EngineError};
use crate::mirror::{self, Cursor, Sort, Standing};

/// Most words that are looked for at once.
const WORDS: usize = 100;

/// What a list may be asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// Only those in this state.
    #[param(inline)]
    state: Option<domain::State>,
    /// Only those of this score or a better one, in percent.
    min_score: Option<f64>,
    /// Only those whose title, company, agency, end client, location, source, summary and skills hold every one of these
    /// words, at most a hundred.
    q: Option<String>,
    /// Only those made at or after this moment, or this day in UTC (`2026-02-07`, `07.02.2026`); with `sort=updated`,
    /// changed.
    #[serde(default, deserialize_with = "moment")]
    #[param(value_type = Option<String>)]
    since: Option<Timestamp>,
    /// At most so many; 50 where it is not said.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
    /// From where a page before this one said that the next begins.
    cursor: Option<String>,
    /// By what, the largest or newest first: `created`, `score` or `updated`.
    #[serde(default)]
    #[param(value_type = Option<String>, pattern = "^(created|score|updated)$")]
    sort: Sort,
}

/// Lists matches, newest first unless `sort` says otherwise.
#[utoipa::path(
    get, path = "/matches", operation_id = "list_matches", tag = "matches", params(ListQuery),
    responses(
        (status = 200, description = "A page of matches; `Link: rel=\"next\"` leads on", body = Page),
        (status = 503, description = "GitLab is still being read for the first time, or the disk fails; try again after Retry-After", body = Parts, content_type = PROBLEM),
        Refusals,
    ),
)]
pub(super) async fn list(
    State(web): State<Web>,
    uri: axum::extract::OriginalUri,
    ApiQuery(asked): ApiQuery<ListQuery>,
) -> Result<Response, Problem> {
    let version = web.engine().mirror().version()?;
    let list = match web.inner.lists.get(version, web.engine().clock().now(), &uri) {
        Some(list) => list,
        None => {
            let list = page(&web, asked, &uri)?;
            web.inner.lists.keep(version, &uri, &list);
            list
        }
    };
    Ok(list.into_response())
}

/// A page of matches, written out.
fn page(web: &Web, asked: ListQuery, uri: &axum::http::Uri) -> Result<List, Problem> {
    let limit = asked.limit.unwrap_or(50);
    if !(1..=500).contains(&limit) {
        return Err(Problem::asked("limit", "must be from 1 to 500"));
    }
    if asked.min_score.is_some_and(|score| !(0.0..=100.0).contains(&score)) {
        return Err(Problem::asked("min_score", "must be a number from 0 to 100"));
    }
    let cursor = asked.cursor.as_deref().filter(|cursor| !cursor.is_empty());
    let after = cursor.map(|cursor| read_cursor(cursor, asked.sort)).transpose()?;
    let words: Vec<String> =
        asked.q.as_deref().unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    if words.len() > WORDS {
        return Err(Problem::asked("q", format!("at most {WORDS} words are looked for")));
    }
    let query = mirror::Query {
        state: asked.state,
        min_score: asked.min_score,
        words,
        since: asked.since,
        sort: asked.sort,
        after,
        limit,
    };
    if !web.engine().mirror_is_whole()? {
        return Err(EngineError::NotReady.into());
    }
    let (records, next) = web.engine().mirror().list(&query)?;
    let matches = ListedAnswer::all(web.engine(), web.notifier(), records)?;
    let waits = matches.iter().any(ListedAnswer::waits);
    let next = next.map(|next| write_cursor(next, query.sort)).transpose()?;
    let link = next.as_ref().map(|cursor| next_link(web, uri, cursor));
    let body = to_json(&Page { matches, next_cursor: next })?;
    let until = waits.then(|| web.engine().clock().now().saturating_add(WAITING_FOR)).and_then(Result::ok);
    Ok(List { body: body.into(), link: link.and_then(|link| link.parse().ok()), until })
}

/// A page of matches.
#[derive(Serialize, ToSchema)]
pub(super) struct Page {
    matches: Vec<ListedAnswer>,
    /// Where the next page begins; missing on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

fn next_link(web: &Web, uri: &axum::http::Uri, cursor: &str) -> String {
    let pairs = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    let kept = pairs.filter(|(name, _)| name != "cursor");
    let query = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(kept)
        .append_pair("cursor", cursor)
        .finish();
    format!("<{}{}?{query}>; rel=\"next\"", web.root(), uri.path())
}

/// A place in a list, and the order that it is a place in.
#[derive(Serialize, Deserialize)]
struct Place {
    sort: Sort,
    #[serde(flatten)]
    cursor: Cursor,
}

pub(super) fn write_cursor(cursor: Cursor, sort: Sort) -> Result<String, Problem> {
    Ok(BASE64.encode(to_json(&Place { sort, cursor })?))
}

pub(super) fn read_cursor(text: &str, sort: Sort) -> Result<Cursor, Problem> {
    let place: Option<Place> = BASE64.decode(text).ok().and_then(|json| serde_json::from_slice(&json).ok());
    match place {
        Some(place) if place.sort == sort => Ok(place.cursor),
        Some(_) => Err(Problem::asked("cursor", "is of a list in another order; begin without it")),
        None => Err(Problem::asked("cursor", "is none that this service gave out")),
    }
}

/// One match with its life. While the service still reads what GitLab has, after a lost disk, `history` may be short.
#[utoipa::path(
    get, path = "/matches/{iid}", operation_id = "get_match", tag = "matches", params(("iid" = u64, Path, description = "The issue's number")),
    responses(
        (status = 200, description = "The match", body = WholeAnswer),
        (status = 404, description = "There is no such match", body = Parts, content_type = PROBLEM),
        (status = 410, description = "Its data was removed at a person's wish", body = Parts, content_type = PROBLEM),
        (status = 503, description = "GitLab is still being read for the first time, or the disk fails; try again after Retry-After", body = Parts, content_type = PROBLEM),
        Refusals,
    ),
)]
pub(super) async fn get(State(web): State<Web>, Iid(iid): Iid) -> Result<Response, Problem> {
    let record = web.engine().mirror().record(iid)?;
    if record.is_none() && !web.engine().mirror_is_whole()? {
        return Err(EngineError::NotReady.into());
    }
    let record = record.filter(|record| record.standing == Standing::Live).ok_or_else(|| unknown(iid))?;
    Ok(axum::Json(WholeAnswer::of(web.engine(), web.notifier(), record)?).into_response())
}

/// A decision, as posted.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Decide {
    /// Where the match shall go.
    #[schema(value_type = domain::State)]
    state: String,
    /// What is said about it.
    #[schema(max_length = 5000)]
    comment: Option<String>,
}

/// Decides; answered after GitLab has it. Repeating the present state changes nothing.
#[utoipa::path(
    patch, path = "/matches/{iid}", operation_id = "decide", tag = "matches", params(("iid" = u64, Path, description = "The issue's number")),
    request_body(content = Decide, example = json!({"state": "approved", "comment": "call Clara first"})),
    responses(
        (status = 200, description = "The match as it is now", body = WholeAnswer),
        (status = 404, description = "There is no such match", body = Parts, content_type = PROBLEM),
        (status = 410, description = "Its data was removed at a person's wish", body = Parts, content_type = PROBLEM),
        (status = 409, description = "The step is not allowed", body = Parts, content_type = PROBLEM),
        (status = 413, description = "Too large", body = Parts, content_type = PROBLEM),
        (status = 415, description = "The body is not sent as JSON", body = Parts, content_type = PROBLEM),
        (status = 502, description = "GitLab refused", body = Parts, content_type = PROBLEM),
        (status = 503, description = "GitLab does not answer; try again after Retry-After", body = Parts, content_type = PROBLEM),
        Refusals,
    ),
)]
pub(super) async fn patch(
    State(web): State<Web>,
    Extension(caller): Extension<Caller>,
    Iid(iid): Iid,
    ApiJson(body): ApiJson<Decide>,
) -> Result<Response, Problem> {
    let to =
        body.state.parse::<domain::State>().map_err(|error| Problem::field("state", error.to_string()))?;
    let comment = decision_comment(&body.comment.unwrap_or_default())
        .map_err(|error| Problem::field("comment", error.to_string()))?;
    let decision = Decision { from: None, to, by: caller.0, through: Through::Api, comment };
    let record = web.engine().decide(iid, decision).await?;
    web.finish_inside_the_request().await;
    Ok(axum::Json(WholeAnswer::of(web.engine(), web.notifier(), record)?).into_response())
}

/// The tracker's fields; what is not named stays as it is.
#[utoipa::path(
    patch, path = "/matches/{iid}/application", operation_id = "change_application", tag = "matches",
    params(("iid" = u64, Path, description = "The issue's number")),
    request_body(
        content = ApplicationChange,
        example = json!({"stage": "applied", "applied_on": "2026-02-07", "next_step": "call Clara", "notes": null}),
    ),
    responses(
        (status = 200, description = "The match as it is now", body = WholeAnswer),
        (status = 404, description = "There is no such match", body = Parts, content_type = PROBLEM),
        (status = 409, description = "Somebody changed the same fields meanwhile", body = Parts, content_type = PROBLEM),
        (status = 410, description = "Its data was removed at a person's wish", body = Parts, content_type = PROBLEM),
        (status = 413, description = "Too large", body = Parts, content_type = PROBLEM),
        (status = 415, description = "The body is not sent as JSON", body = Parts, content_type = PROBLEM),
        (status = 502, description = "GitLab refused", body = Parts, content_type = PROBLEM),
        (status = 503, description = "GitLab does not answer; try again after Retry-After", body = Parts, content_type = PROBLEM),
        Refusals,
    ),
)]
pub(super) async fn patch_application(
    State(web): State<Web>,
    Iid(iid): Iid,
    ApiJson(changes): ApiJson<Map<String, Value>>,
) -> Result<Response, Problem> {
    let record = web.engine().change_application(iid, changes).await?;
    web.finish_inside_the_request().await;
    Ok(axum::Json(WholeAnswer::of(web.engine(), web.notifier(), record)?).into_response())
}

/// Fields of the tracker: each a text, or null to clear it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it describes the body; the body itself is read field by field")]
pub(super) struct ApplicationChange {
    /// How far it has come: none, drafted, applied, acknowledged, interview, offer, accepted, declined, withdrawn.
    stage: Option<String>,
    /// When the application was sent.
    #[schema(format = Date)]
    applied_on: Option<String>,
    /// When they answered.
    #[schema(format = Date)]
    answer_on: Option<String>,
    /// When they talk.
    #[schema(format = Date)]
    interview_on: Option<String>,
    /// What to do next.
    #[schema(max_length = 1000)]
    next_step: Option<String>,
    /// When to ask again.
    #[schema(format = Date)]
    follow_up_on: Option<String>,
    /// Whom to talk to.
    #[schema(max_length = 1000)]
    contact_name: Option<String>,
    /// Their e-mail address.
    #[schema(max_length = 1000)]
    contact_email: Option<String>,
    /// Their telephone number.
    #[schema(max_length = 1000)]
    contact_phone: Option<String>,
    /// The right to represent given to an agency: yes, no or the day.
    rtr: Option<String>,
    /// Whatever else.
    #[schema(max_length = 50000)]
    notes: Option<String>,
}

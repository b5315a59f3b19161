//! `/api/v1/matches`: stage, list, look at, decide.

use axum::body::Bytes;
use axum::extract::{Extension, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Web;
use super::answer::{MatchAnswer, WholeAnswer};
use super::auth::Caller;
use super::idempotency;
use super::problem::{ApiJson, Problem};
use crate::domain;
use crate::domain::history::Through;
use crate::domain::posted::{self, FieldError};
use crate::engine::{Decision, StagingError};
use crate::mirror::{self, Cursor, Sort, Standing};

/// Most matches in one call.
const ARRAY_LIMIT: usize = 100;
/// Matches of one call that are staged at the same time.
const AT_ONCE: usize = 8;
/// Longest comment on a decision, in characters.
const COMMENT_LIMIT: usize = 5_000;

/// Stages one match, or several.
pub(super) async fn post(
    State(web): State<Web>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Result<Bytes, axum::extract::rejection::BytesRejection>,
) -> Result<Response, Problem> {
    let body = body.map_err(|rejection| {
        Problem::new(rejection.status()).detail(match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => "the body is too large; send fewer matches at once",
            _ => "the body did not arrive whole",
        })
    })?;
    let value: Value = serde_json::from_slice(&body).map_err(|error| {
        Problem::new(StatusCode::BAD_REQUEST).detail(format!("the body is no JSON: {error}"))
    })?;
    let work = async {
        let staged = match value {
            Value::Array(values) => stage_several(&web, values).await,
            value => stage_one(&web, value).await,
        };
        web.finish_inside_the_request().await;
        staged
    };
    idempotency::once(&web, &caller, &headers, &body, work).await
}

type Staged = Result<(StatusCode, Option<String>, String), Problem>;

async fn stage_one(web: &Web, value: Value) -> Staged {
    let job = posted::parse(value).map_err(Problem::invalid)?;
    let staging = web.engine().stage(job).await?;
    let location = format!("/api/v1/matches/{}", staging.record.iid);
    let status = if staging.created { StatusCode::CREATED } else { StatusCode::OK };
    let answer = MatchAnswer::of(web, staging.record)?;
    Ok((status, Some(location), to_json(&answer)?))
}

async fn stage_several(web: &Web, values: Vec<Value>) -> Staged {
    if values.len() > ARRAY_LIMIT {
        let detail = format!("{} matches at once; at most {ARRAY_LIMIT} are allowed", values.len());
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY).detail(detail));
    }
    let results: Vec<Value> = stream::iter(values.into_iter().enumerate())
        .map(|(index, value)| async move { stage_element(web, index, value).await })
        .buffered(AT_ONCE)
        .collect()
        .await;
    let mut answer = json!({});
    for outcome in ["created", "existing", "below_minimum", "invalid", "failed"] {
        answer[outcome] = results.iter().filter(|result| result["outcome"] == outcome).count().into();
    }
    answer["results"] = results.into();
    Ok((StatusCode::OK, None, to_json(&answer)?))
}

/// One of several: a bad one fails alone.
async fn stage_element(web: &Web, index: usize, value: Value) -> Value {
    let wrong = |field: &str, message: String| json!([FieldError { field: field.to_owned(), message }]);
    let job = match posted::parse(value) {
        Ok(job) => job,
        Err(errors) => return json!({ "index": index, "outcome": "invalid", "errors": errors }),
    };
    let staging = match web.engine().stage(job).await {
        Ok(staging) => staging,
        Err(error @ StagingError::BelowMinimum { .. }) => {
            return json!({ "index": index, "outcome": "below_minimum", "errors": wrong("score", error.to_string()) });
        }
        Err(StagingError::Engine(error)) => {
            tracing::warn!(%error, index, "one of several matches was not staged");
            let retry = error.retry_after();
            let advice = if retry.is_some() { "; try again" } else { "; trying again will not help" };
            return json!({
                "index": index,
                "outcome": "failed",
                "retry": retry.is_some(),
                "retry_after": retry.map(|after| after.as_secs()),
                "errors": wrong("", format!("{error}{advice}")),
            });
        }
    };
    let outcome = if staging.created { "created" } else { "existing" };
    match MatchAnswer::of(web, staging.record) {
        Ok(answer) => json!({ "index": index, "outcome": outcome, "match": answer }),
        Err(_) => json!({ "index": index, "outcome": outcome }),
    }
}

/// What a list may be asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    state: Option<domain::State>,
    min_score: Option<f64>,
    q: Option<String>,
    since: Option<Timestamp>,
    limit: Option<usize>,
    cursor: Option<String>,
    #[serde(default)]
    sort: Sort,
}

/// Lists matches.
pub(super) async fn list(
    State(web): State<Web>,
    uri: axum::extract::OriginalUri,
    query: Result<Query<ListQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Problem> {
    let Query(asked) = query?;
    let limit = asked.limit.unwrap_or(50);
    if !(1..=500).contains(&limit) {
        return Err(Problem::field("limit", "must be from 1 to 500"));
    }
    let after = asked.cursor.as_deref().map(read_cursor).transpose()?;
    let words = asked.q.as_deref().unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    let query = mirror::Query {
        state: asked.state,
        min_score: asked.min_score,
        words,
        since: asked.since,
        sort: asked.sort,
        after,
        limit,
    };
    let (records, next) = web.engine().mirror().list(&query)?;
    let matches =
        records.into_iter().map(|record| MatchAnswer::of(&web, record)).collect::<Result<Vec<_>, _>>()?;
    let next = next.as_ref().map(write_cursor).transpose()?;
    let link = next.as_ref().map(|cursor| next_link(&uri, cursor));
    let mut answer = json!({ "matches": matches });
    if let Some(cursor) = next {
        answer["next_cursor"] = cursor.into();
    }
    let mut response = axum::Json(answer).into_response();
    if let Some(link) = link.and_then(|link| link.parse().ok()) {
        response.headers_mut().insert(header::LINK, link);
    }
    Ok(response)
}

fn next_link(uri: &axum::http::Uri, cursor: &str) -> String {
    let pairs = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    let kept = pairs.filter(|(name, _)| name != "cursor");
    let query = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(kept)
        .append_pair("cursor", cursor)
        .finish();
    format!("<{}?{query}>; rel=\"next\"", uri.path())
}

fn write_cursor(cursor: &Cursor) -> Result<String, Problem> {
    Ok(BASE64.encode(to_json(cursor)?))
}

fn read_cursor(text: &str) -> Result<Cursor, Problem> {
    let json = BASE64.decode(text).ok();
    json.and_then(|json| serde_json::from_slice(&json).ok())
        .ok_or_else(|| Problem::field("cursor", "is none that this service gave out"))
}

/// One match with its life.
pub(super) async fn get(State(web): State<Web>, iid: Path<String>) -> Result<Response, Problem> {
    let record = web.engine().mirror().record(number(&iid)?)?;
    let record = record.filter(|record| record.standing == Standing::Live).ok_or_else(|| unknown(&iid))?;
    Ok(axum::Json(WholeAnswer::of(&web, record)?).into_response())
}

/// A decision, as posted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Decide {
    state: String,
    comment: Option<String>,
}

/// Decides.
pub(super) async fn patch(
    State(web): State<Web>,
    Extension(caller): Extension<Caller>,
    iid: Path<String>,
    ApiJson(body): ApiJson<Decide>,
) -> Result<Response, Problem> {
    let to =
        body.state.parse::<domain::State>().map_err(|error| Problem::field("state", error.to_string()))?;
    let comment =
        body.comment.map(|text| posted::clean_text(&text).trim().to_owned()).filter(|text| !text.is_empty());
    if comment.as_ref().is_some_and(|comment| comment.chars().count() > COMMENT_LIMIT) {
        return Err(Problem::field("comment", format!("at most {COMMENT_LIMIT} characters are allowed")));
    }
    let decision = Decision { to, by: caller.0, through: Through::Api, comment };
    let record = web.engine().decide(number(&iid)?, decision).await?;
    Ok(axum::Json(WholeAnswer::of(&web, record)?).into_response())
}

fn number(iid: &str) -> Result<u64, Problem> {
    iid.parse().ok().filter(|iid| i64::try_from(*iid).is_ok()).ok_or_else(|| unknown(iid))
}

fn unknown(iid: &str) -> Problem {
    Problem::new(StatusCode::NOT_FOUND).detail(format!("there is no match {iid}"))
}

fn to_json(value: &impl Serialize) -> Result<String, Problem> {
    serde_json::to_string(value).map_err(|error| {
        tracing::error!(%error, "an answer could not be written as JSON");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR)
    })
}

//! `/api/v1/matches`: stage, list, look at, decide.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::{IntoParams, ToSchema};

use super::Web;
use super::answer::{ListedAnswer, MatchAnswer, WholeAnswer};
use super::auth::Caller;
use super::idempotency::{self, Work};
use super::lists::{List, WAITING_FOR};
use super::openapi::{PROBLEM, Refusals};
use super::problem::{ApiJson, Parts, Problem, may_be_json};
use super::query::{ApiQuery, moment};
use crate::domain::history::Through;
use crate::domain::identity;
use crate::domain::posted_match::{self, FieldError};
use crate::domain::{self, JobMatch};
use crate::engine::{Decision, StagingError};
use crate::mirror::{self, Cursor, Sort, Standing};

/// Most matches in one call.
const ARRAY_LIMIT: usize = 100;
/// Matches of one call that are staged at the same time.
const AT_ONCE: usize = 8;
/// Longest comment on a decision, in characters.
const COMMENT_LIMIT: usize = 5_000;

/// Stages one match, or up to a hundred in an array. The answer comes after GitLab has the issue.
#[utoipa::path(
    post, path = "/matches", operation_id = "stage_matches", tag = "matches",
    params(("Idempotency-Key" = Option<String>, Header, pattern = "^[!-~]{1,255}$", description = "The same key brings the same answer for 24 hours")),
    request_body(content = Posted, description = "A match, or an array of them", example = json!({
        "title": "Cloud Architect", "company": "Amoria Bond", "score": 97, "url": "https://example.com/jobs/4711",
        "source": "feed", "external_id": "4711", "location": "Wien", "remote": 80,
        "rate": {"amount": 115, "currency": "EUR", "per": "hour"}, "skills": {"matched": ["AWS"], "missing": ["SAP"]},
    })),
    responses(
        (status = 201, description = "The match is staged", body = MatchAnswer, headers(("Location" = String))),
        (status = 200, description = "It was staged before; or the outcome of each of several", body = Staged),
        (status = 409, description = "A request with this Idempotency-Key is being worked on", body = Parts, content_type = PROBLEM),
        (status = 410, description = "Its data was removed at a person's wish; do not post it again", body = Parts, content_type = PROBLEM),
        (status = 413, description = "Too large", body = Parts, content_type = PROBLEM),
        (status = 415, description = "The body says that it is no JSON", body = Parts, content_type = PROBLEM),
        (status = 502, description = "GitLab refused", body = Parts, content_type = PROBLEM),
        (status = 503, description = "GitLab does not answer; try again after Retry-After", body = Parts, content_type = PROBLEM),
        Refusals,
    ),
)]
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
    may_be_json(&headers)?;
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

/// What may be posted.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) enum Posted {
    /// One match.
    One(Box<JobMatch>),
    /// Up to a hundred.
    Several(Vec<JobMatch>),
}

/// What staging answers where nothing new was made, or several were posted.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) enum Staged {
    /// The match that was there.
    One(Box<MatchAnswer>),
    /// One outcome for each of several.
    Several(Outcomes),
}

/// What became of several matches.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct Outcomes {
    results: Vec<Outcome>,
    created: u64,
    existing: u64,
    below_minimum: u64,
    invalid: u64,
    erased: u64,
    failed: u64,
}

/// What became of one of several.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct Outcome {
    /// Its place in the array.
    index: u64,
    /// `created`, `existing`, `below_minimum`, `invalid`, `erased` or `failed`.
    outcome: String,
    /// The match, where it is staged.
    r#match: Option<MatchAnswer>,
    /// What was wrong.
    errors: Option<Vec<FieldError>>,
    /// Whether trying again may help, where it failed.
    retry: Option<bool>,
    /// In how many seconds.
    retry_after: Option<u64>,
}

type Answered = Result<Work, Problem>;

/// The address of a match.
pub(super) fn location(iid: u64) -> String {
    format!("/api/v1/matches/{iid}")
}

async fn stage_one(web: &Web, value: Value) -> Answered {
    let job = posted_match::parse(value).map_err(Problem::invalid)?;
    let staging = web.engine().stage(job).await?;
    let location = Some(location(staging.record.iid));
    let status = if staging.created { StatusCode::CREATED } else { StatusCode::OK };
    let answer = MatchAnswer::of(web.engine(), staging.record)?;
    Ok(Work { status, location, answer: to_json(&answer)?, is_final: true })
}

async fn stage_several(web: &Web, values: Vec<Value>) -> Answered {
    if values.len() > ARRAY_LIMIT {
        let detail = format!("{} matches at once; at most {ARRAY_LIMIT} are allowed", values.len());
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY).detail(detail));
    }
    let mut parsed: Vec<Parsed> = values.into_iter().map(posted_match::parse).collect();
    let mut results: Vec<Value> = vec![Value::Null; parsed.len()];
    let staged = stream::iter(identity::one_after_the_other(&parsed))
        .map(|indices| {
            let jobs: Vec<_> = indices
                .into_iter()
                .map(|index| (index, std::mem::replace(&mut parsed[index], Err(Vec::new()))))
                .collect();
            async move {
                let mut staged = Vec::with_capacity(jobs.len());
                for (index, job) in jobs {
                    staged.push((index, stage_element(web, index, job).await));
                }
                staged
            }
        })
        .buffer_unordered(AT_ONCE)
        .collect::<Vec<_>>()
        .await;
    for (index, result) in staged.into_iter().flatten() {
        results[index] = result;
    }
    let count = |outcome: &str| results.iter().filter(|result| result["outcome"] == outcome).count();
    let failed = count("failed");
    if failed > 0 && failed == results.len() && results.iter().all(|result| result["retry"] == true) {
        let after = results.iter().filter_map(|result| result["retry_after"].as_u64()).max();
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE)
            .detail(results[0]["errors"][0]["message"].as_str().unwrap_or_default())
            .retry_after(Duration::from_secs(after.unwrap_or(5))));
    }
    let mut answer = json!({});
    for outcome in ["created", "existing", "below_minimum", "invalid", "erased", "failed"] {
        answer[outcome] = count(outcome).into();
    }
    answer["results"] = results.into();
    Ok(Work { status: StatusCode::OK, location: None, answer: to_json(&answer)?, is_final: failed == 0 })
}

type Parsed = Result<JobMatch, Vec<FieldError>>;

/// One of several: a bad one fails alone.
async fn stage_element(web: &Web, index: usize, job: Parsed) -> Value {
    let wrong = |field: &str, message: String| json!([FieldError { field: field.to_owned(), message }]);
    let job = match job {
        Ok(job) => job,
        Err(errors) => return json!({ "index": index, "outcome": "invalid", "errors": errors }),
    };
    let staging = match web.engine().stage(job).await {
        Ok(staging) => staging,
        Err(error @ StagingError::BelowMinimum { .. }) => {
            return json!({ "index": index, "outcome": "below_minimum", "errors": wrong("score", error.to_string()) });
        }
        Err(error @ StagingError::Erased) => {
            return json!({ "index": index, "outcome": "erased", "errors": wrong("", error.to_string()) });
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
    match MatchAnswer::of(web.engine(), staging.record) {
        Ok(answer) => json!({ "index": index, "outcome": outcome, "match": answer }),
        Err(_) => json!({ "index": index, "outcome": outcome }),
    }
}

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
    /// Only those whose texts hold every one of these words.
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
    responses((status = 200, description = "A page of matches; `Link: rel=\"next\"` leads on", body = Page), Refusals),
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
    let matches = ListedAnswer::all(web.engine(), web.notifier(), records)?;
    let waits = matches.iter().any(ListedAnswer::waits);
    let next = next.map(|next| write_cursor(next, query.sort)).transpose()?;
    let link = next.as_ref().map(|cursor| next_link(uri, cursor));
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

fn next_link(uri: &axum::http::Uri, cursor: &str) -> String {
    let pairs = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    let kept = pairs.filter(|(name, _)| name != "cursor");
    let query = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(kept)
        .append_pair("cursor", cursor)
        .finish();
    format!("<{}?{query}>; rel=\"next\"", uri.path())
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

/// One match with its life.
#[utoipa::path(
    get, path = "/matches/{iid}", operation_id = "get_match", tag = "matches", params(("iid" = u64, Path, description = "The issue's number")),
    responses(
        (status = 200, description = "The match", body = WholeAnswer),
        (status = 404, description = "There is no such match", body = Parts, content_type = PROBLEM),
        (status = 410, description = "Its data was removed at a person's wish", body = Parts, content_type = PROBLEM),
        Refusals,
    ),
)]
pub(super) async fn get(State(web): State<Web>, iid: Path<String>) -> Result<Response, Problem> {
    let record = web.engine().mirror().record(number(&iid)?)?;
    if record.as_ref().is_some_and(|record| record.standing == Standing::Erased) {
        return Err(StagingError::Erased.into());
    }
    let record = record.filter(|record| record.standing == Standing::Live).ok_or_else(|| unknown(&iid))?;
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
    iid: Path<String>,
    ApiJson(body): ApiJson<Decide>,
) -> Result<Response, Problem> {
    let to =
        body.state.parse::<domain::State>().map_err(|error| Problem::field("state", error.to_string()))?;
    let comment = body
        .comment
        .map(|text| posted_match::clean_text(&text).trim().to_owned())
        .filter(|text| !text.is_empty());
    if comment.as_ref().is_some_and(|comment| comment.chars().count() > COMMENT_LIMIT) {
        return Err(Problem::field("comment", format!("at most {COMMENT_LIMIT} characters are allowed")));
    }
    let decision = Decision { from: None, to, by: caller.0, through: Through::Api, comment };
    let record = web.engine().decide(number(&iid)?, decision).await?;
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
        (status = 413, description = "Too large", body = Parts, content_type = PROBLEM),
        (status = 415, description = "The body is not sent as JSON", body = Parts, content_type = PROBLEM),
        (status = 502, description = "GitLab refused", body = Parts, content_type = PROBLEM),
        (status = 503, description = "GitLab does not answer; try again after Retry-After", body = Parts, content_type = PROBLEM),
        Refusals,
    ),
)]
pub(super) async fn patch_application(
    State(web): State<Web>,
    iid: Path<String>,
    ApiJson(changes): ApiJson<Map<String, Value>>,
) -> Result<Response, Problem> {
    let record = web.engine().change_application(number(&iid)?, changes).await?;
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

pub(super) fn number(iid: &str) -> Result<u64, Problem> {
    iid.parse().ok().filter(|iid| i64::try_from(*iid).is_ok()).ok_or_else(|| unknown(iid))
}

pub(super) fn unknown(iid: &str) -> Problem {
    Problem::new(StatusCode::NOT_FOUND).detail(format!("there is no match {iid}"))
}

fn to_json(value: &impl Serialize) -> Result<String, Problem> {
    serde_json::to_string(value).map_err(|error| {
        tracing::error!(%error, "an answer could not be written as JSON");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR)
    })
}

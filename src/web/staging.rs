//! `POST /api/v1/matches`: one match or several are staged.

use std::time::Duration;

use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use futures_util::{StreamExt, stream};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::Web;
use super::answer::{MatchAnswer, to_json};
use super::auth::Caller;
use super::idempotency::{self, Nonces, Work};
use super::openapi::{PROBLEM, Refusals};
use super::problem::{ApiBytes, Parts, Problem, may_be_json};
use crate::domain::JobMatch;
use crate::domain::posted_match::{self, FieldError};
use crate::domain::{identity, posted_json};
use crate::engine::StagingError;
use crate::mirror::Standing;

/// Most matches in one call.
const ARRAY_LIMIT: usize = 100;
/// Most JSON values in one call: a short one takes a hundred times the room in memory that it takes on the wire.
const VALUES_LIMIT: usize = 250_000;
/// How deeply `serde_json` lets values be nested.
const DEEPEST: usize = 128;
/// Matches of one call that are staged at the same time.
const AT_ONCE: usize = 8;

/// Stages one match, or up to a hundred in an array. The answer comes after GitLab has the issue.
#[utoipa::path(
    post, path = "/matches", operation_id = "stage_matches", tag = "matches",
    params(("Idempotency-Key" = Option<String>, Header, pattern = "^[ -~]{1,255}$", description = "The same key brings the same answer for 24 hours")),
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
    ApiBytes(body): ApiBytes,
) -> Result<Response, Problem> {
    may_be_json(&headers)?;
    if values_in(&body) > VALUES_LIMIT {
        let detail = format!("the body holds more than {VALUES_LIMIT} values; send fewer matches at once");
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE).detail(detail));
    }
    let posted = posted_json::read(&body).map_err(|error| {
        Problem::new(StatusCode::BAD_REQUEST).detail(format!("the body is no JSON: {error}"))
    })?;
    let nonces = Nonces::of(&caller, &headers, &body);
    let work = async {
        match posted {
            posted_json::Posted::One(value) => stage_one(&web, value, &nonces).await,
            posted_json::Posted::Several(values) => stage_several(&web, values, &nonces).await,
        }
    };
    let answered = idempotency::once(&web, &caller, &headers, &body, work).await;
    web.finish_inside_the_request().await;
    answered
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
#[derive(Serialize, ToSchema)]
pub(super) struct Outcomes {
    results: Vec<Outcome>,
    #[schema(value_type = u64)]
    created: usize,
    #[schema(value_type = u64)]
    existing: usize,
    #[schema(value_type = u64)]
    below_minimum: usize,
    #[schema(value_type = u64)]
    invalid: usize,
    #[schema(value_type = u64)]
    erased: usize,
    #[schema(value_type = u64)]
    failed: usize,
}

/// What became of one of several.
#[derive(Serialize, ToSchema)]
pub(super) struct Outcome {
    /// Its place in the array.
    #[schema(value_type = u64)]
    index: usize,
    /// What became of it.
    outcome: StagingOutcome,
    /// The match, where it is staged.
    #[serde(skip_serializing_if = "Option::is_none")]
    r#match: Option<MatchAnswer>,
    /// What was wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<Vec<FieldError>>,
    /// Whether trying again may help, where it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry: Option<bool>,
    /// In how many seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    #[expect(
        clippy::option_option,
        reason = "missing where nothing failed, null where trying again does not help"
    )]
    retry_after: Option<Option<u64>>,
}

/// What became of a match.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum StagingOutcome {
    /// It is staged.
    Created,
    /// It was staged before.
    Existing,
    /// Its score is below the minimum.
    BelowMinimum,
    /// Something in it is wrong.
    Invalid,
    /// Its data was removed at a person's wish.
    Erased,
    /// GitLab, or something here, did not do its part.
    Failed,
}

impl Outcome {
    /// An outcome that brought no match.
    fn without_match(index: usize, outcome: StagingOutcome, errors: Vec<FieldError>) -> Self {
        Self { index, outcome, r#match: None, errors: Some(errors), retry: None, retry_after: None }
    }
}

type Answered = Result<Work, Problem>;

/// The address of a match.
pub(super) fn location(web: &Web, iid: u64) -> String {
    format!("{}/api/v1/matches/{iid}", web.root())
}

async fn stage_one(web: &Web, value: Value, nonces: &Nonces) -> Answered {
    let job = posted_match::parse(value).map_err(Problem::invalid)?;
    let staging = web.engine().stage_known_as(job, nonces.nonce(0)).await?;
    // What was withdrawn is not shown.
    let is_shown = staging.record.standing == Standing::Live;
    let location = is_shown.then(|| location(web, staging.record.iid));
    let status = if staging.created { StatusCode::CREATED } else { StatusCode::OK };
    let answer = MatchAnswer::of(web.engine(), staging.record)?;
    Ok(Work { status, location, answer: to_json(&answer)?, is_final: true })
}

async fn stage_several(web: &Web, values: Vec<Result<Value, FieldError>>, nonces: &Nonces) -> Answered {
    if values.len() > ARRAY_LIMIT {
        let detail = format!("{} matches at once; at most {ARRAY_LIMIT} are allowed", values.len());
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY).detail(detail));
    }
    let parse = |value: Result<_, _>| value.map_err(|error| vec![error]).and_then(posted_match::parse);
    let mut parsed: Vec<Parsed> = values.into_iter().map(parse).collect();
    let staged = stream::iter(identity::one_after_the_other(&parsed))
        .map(|indices| {
            let jobs: Vec<_> = indices
                .into_iter()
                .map(|index| (index, std::mem::replace(&mut parsed[index], Err(Vec::new()))))
                .collect();
            async move {
                let mut staged = Vec::with_capacity(jobs.len());
                for (index, job) in jobs {
                    staged.push(stage_element(web, index, job, nonces.nonce(index)).await);
                }
                staged
            }
        })
        .buffer_unordered(AT_ONCE)
        .collect::<Vec<_>>()
        .await;
    let mut results: Vec<Outcome> = staged.into_iter().flatten().collect();
    results.sort_unstable_by_key(|result| result.index);
    if let Some(first) = results.first()
        && results.iter().all(|result| result.retry == Some(true))
    {
        let error = first.errors.iter().flatten().next();
        let after = results.iter().filter_map(|result| result.retry_after.flatten()).max();
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE)
            .detail(error.map_or("", |error| &error.message))
            .retry_after(Duration::from_secs(after.unwrap_or(5))));
    }
    let count = |outcome| results.iter().filter(|result| result.outcome == outcome).count();
    let outcomes = Outcomes {
        created: count(StagingOutcome::Created),
        existing: count(StagingOutcome::Existing),
        below_minimum: count(StagingOutcome::BelowMinimum),
        invalid: count(StagingOutcome::Invalid),
        erased: count(StagingOutcome::Erased),
        failed: count(StagingOutcome::Failed),
        results,
    };
    let is_final = outcomes.failed == 0;
    Ok(Work { status: StatusCode::OK, location: None, answer: to_json(&outcomes)?, is_final })
}

type Parsed = Result<JobMatch, Vec<FieldError>>;

/// One of several: a bad one fails alone.
async fn stage_element(web: &Web, index: usize, job: Parsed, nonce: Uuid) -> Outcome {
    let wrong = |field: &str, message: String| vec![FieldError { field: field.to_owned(), message }];
    let job = match job {
        Ok(job) => job,
        Err(errors) => return Outcome::without_match(index, StagingOutcome::Invalid, errors),
    };
    let staging = match web.engine().stage_known_as(job, nonce).await {
        Ok(staging) => staging,
        Err(error @ StagingError::BelowMinimum { .. }) => {
            let errors = wrong("score", error.to_string());
            return Outcome::without_match(index, StagingOutcome::BelowMinimum, errors);
        }
        Err(error @ StagingError::Erased) => {
            return Outcome::without_match(index, StagingOutcome::Erased, wrong("", error.to_string()));
        }
        Err(StagingError::Engine(error)) => {
            tracing::warn!(%error, index, "one of several matches was not staged");
            let retry = error.retry_after();
            let advice = if retry.is_some() { "; try again" } else { "; trying again will not help" };
            let errors = wrong("", format!("{error}{advice}"));
            return Outcome {
                retry: Some(retry.is_some()),
                retry_after: Some(retry.map(|after| after.as_secs())),
                ..Outcome::without_match(index, StagingOutcome::Failed, errors)
            };
        }
    };
    let outcome = if staging.created { StagingOutcome::Created } else { StagingOutcome::Existing };
    let answer = MatchAnswer::of(web.engine(), staging.record).ok();
    Outcome { index, outcome, r#match: answer, errors: None, retry: None, retry_after: None }
}

/// How many values a JSON text holds at most, where those may be too many: each follows on a bracket or a comma. Where it
/// is nested too deeply nobody reads on.
fn values_in(json: &[u8]) -> usize {
    if json.len() <= VALUES_LIMIT {
        return json.len();
    }
    let (mut values, mut depth, mut in_text, mut is_escaped) = (1, 0_usize, false, false);
    for byte in json {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = in_text,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'[' | b'{' if depth == DEEPEST => break,
            b'[' | b'{' => (values, depth) = (values + 1, depth + 1),
            b']' | b'}' => depth = depth.saturating_sub(1),
            b',' => values += 1,
            _ => {}
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_texts_is_no_value() {
        let text =
            format!("{{\"a\": \"{}\", \"b\": [1, {{}}, \"\\\\\"], \"c\": 2}}", "[\\\",".repeat(VALUES_LIMIT));
        assert!(serde_json::from_str::<Value>(&text).is_ok());
        assert_eq!(values_in(text.as_bytes()), 8);
        assert_eq!(values_in(format!("[{}0]", "0,".repeat(VALUES_LIMIT)).as_bytes()), VALUES_LIMIT + 2);
        assert_eq!(values_in("[".repeat(VALUES_LIMIT + 1).as_bytes()), 1 + DEEPEST);
    }
}

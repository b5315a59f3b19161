//! Who calls the API.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use secrecy::ExposeSecret;

use super::Web;
use super::problem::Problem;
use crate::gitlab::webhook::same;

/// The name of the token that a request came with; decisions are recorded under it.
#[derive(Clone, Debug)]
pub(super) struct Caller(pub(super) String);

/// Lets nobody pass without a token of ours.
pub(super) async fn require_token(State(web): State<Web>, mut request: Request, next: Next) -> Response {
    match caller(&web, request.headers()) {
        Some(caller) => {
            // Every line about the request says who asked.
            tracing::Span::current().record("by", caller.0.as_str());
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        None => Problem::new(StatusCode::UNAUTHORIZED)
            .detail("send `Authorization: Bearer TOKEN` with a token of VORHOELLE_API_TOKENS")
            .into_response(),
    }
}

fn caller(web: &Web, headers: &HeaderMap) -> Option<Caller> {
    let given = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = given.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    // Every token is compared, so that the time does not tell which one came near.
    let mut caller = None;
    for known in &web.settings().api_tokens {
        if same(known.token.expose_secret().as_bytes(), token.trim().as_bytes()) {
            caller = Some(Caller(known.name.clone()));
        }
    }
    caller
}

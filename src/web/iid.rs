//! Which match an address is about.

use axum::extract::{FromRequestParts, Path};
use axum::http::StatusCode;
use axum::http::request::Parts;

use super::Web;
use super::problem::Problem;
use crate::engine::StagingError;
use crate::mirror::Standing;

/// The number in an address such as `/matches/{iid}`; of an erased match 410.
pub(super) struct Iid(pub(super) u64);

impl FromRequestParts<Web> for Iid {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, web: &Web) -> Result<Self, Problem> {
        let text = Path::<String>::from_request_parts(parts, web).await.map(|Path(text)| text);
        let iid = number(&text.unwrap_or_else(|_| "of that name".to_owned()))?;
        let record = web.engine().mirror().record(iid)?;
        if record.is_some_and(|record| record.standing == Standing::Erased) {
            return Err(StagingError::Erased.into());
        }
        Ok(Self(iid))
    }
}

/// A match's number, as SQLite can hold it too.
fn number(iid: &str) -> Result<u64, Problem> {
    iid.parse().ok().filter(|iid| i64::try_from(*iid).is_ok()).ok_or_else(|| unknown(iid))
}

/// There is no such match.
pub(super) fn unknown(iid: impl std::fmt::Display) -> Problem {
    Problem::new(StatusCode::NOT_FOUND).detail(format!("there is no match {iid}"))
}

//! What a person sees.

use bytes::Bytes;

use super::Inner;
use super::refusal::Refusal;
use super::request::Reply;

/// Answers a call to a page.
pub(super) fn answer(_inner: &Inner, _call: &http::Request<Bytes>, _path: &str, _query: &str) -> Reply {
    Refusal::no_route().into()
}

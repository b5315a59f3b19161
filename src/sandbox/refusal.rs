//! A refusal in one of GitLab's many shapes.

use serde_json::{Value, json};

/// Why GitLab does not do what it was asked: a status and a body.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// Body, as JSON; `Null` for none.
    pub body: Value,
}

impl Refusal {
    fn message(status: u16, message: impl Into<Value>) -> Self {
        Self { status, body: json!({ "message": message.into() }) }
    }

    /// 401: no token, a wrong one, an expired one.
    pub fn unauthorized() -> Self {
        Self::message(401, "401 Unauthorized")
    }

    /// 401 of a token that is known but no longer valid.
    pub fn token_unusable(error: &str, description: &str) -> Self {
        Self { status: 401, body: json!({ "error": error, "error_description": description }) }
    }

    /// 403 of a token whose scopes are too narrow.
    pub fn insufficient_scope() -> Self {
        Self {
            status: 403,
            body: json!({
                "error": "insufficient_scope",
                "error_description": "The request requires higher privileges than provided by the access token.",
                "scope": "api",
            }),
        }
    }

    /// 403: visible, but not allowed.
    pub fn forbidden() -> Self {
        Self::message(403, "403 Forbidden")
    }

    /// 404: `what` does not exist or may not be seen.
    pub fn not_found(what: &str) -> Self {
        Self::message(404, format!("404 {what} Not Found"))
    }

    /// 404 of a row that was looked up by number.
    pub fn no_row() -> Self {
        Self::message(404, "404 Not found")
    }

    /// 404 of an address that is no route.
    pub fn no_route() -> Self {
        Self { status: 404, body: json!({ "error": "404 Not Found" }) }
    }

    /// 400 from the parameter check, before anything is looked up.
    pub fn parameter(error: impl Into<String>) -> Self {
        Self { status: 400, body: json!({ "error": error.into() }) }
    }

    /// 400 with a sentence.
    pub fn bad_request(reason: &str) -> Self {
        Self::message(400, format!("400 Bad request - {reason}"))
    }

    /// 400 from a model's validation of one field.
    pub fn invalid(field: &str, reason: &str) -> Self {
        Self::message(400, json!({ field: [reason] }))
    }

    /// 400 from a service, `message` as it came.
    pub fn unfit(message: impl Into<Value>) -> Self {
        Self::message(400, message)
    }

    /// 409.
    pub fn conflict(message: &str) -> Self {
        Self::message(409, message)
    }

    /// 422.
    pub fn unprocessable(message: impl Into<Value>) -> Self {
        Self::message(422, message)
    }

    /// 429 of an application limit: JSON, and no header that says when to come back.
    pub fn too_many_requests() -> Self {
        Self::message(
            429,
            json!({ "error": "This endpoint has been requested too many times. Try again later." }),
        )
    }

    /// 304: nothing was changed, and no body says so.
    pub fn not_modified() -> Self {
        Self { status: 304, body: Value::Null }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.status, self.body)
    }
}

impl std::error::Error for Refusal {}

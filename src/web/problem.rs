//! Errors as `application/problem+json` (RFC 9457).

use std::marker::PhantomData;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::domain::State;
use crate::domain::posted_match::FieldError;
use crate::engine::{ApplicationError, DecisionError, EngineError, StagingError};
use crate::mirror::MirrorError;

/// An error as a caller sees it.
#[derive(Clone, Debug)]
pub(super) struct Problem(Box<Parts>);

/// An error (RFC 9457).
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct Parts {
    /// What kind it is; `about:blank` where the status says all.
    r#type: &'static str,
    /// The status in words.
    title: &'static str,
    /// The status.
    status: u16,
    /// What was wrong and what to do.
    #[serde(skip_serializing_if = "String::is_empty")]
    detail: String,
    /// What was wrong in the body.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
    /// Where the match may go from where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    allowed_states: Option<Vec<State>>,
    #[serde(skip)]
    retry_after: Option<Duration>,
}

impl Problem {
    /// A problem that the status says all about.
    pub(super) fn new(status: StatusCode) -> Self {
        Self(Box::new(Parts {
            r#type: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: String::new(),
            errors: Vec::new(),
            allowed_states: None,
            retry_after: None,
        }))
    }

    /// Says more.
    pub(super) fn detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = detail.into();
        self
    }

    /// Names what is wrong in the body.
    pub(super) fn errors(mut self, errors: Vec<FieldError>) -> Self {
        self.0.errors = errors;
        self
    }

    /// Gives it a kind of its own.
    pub(super) fn of_type(mut self, name: &'static str, title: &'static str) -> Self {
        (self.0.r#type, self.0.title) = (name, title);
        self
    }

    /// Says when to come back.
    pub(super) fn retry_after(mut self, after: Duration) -> Self {
        self.0.retry_after = Some(after);
        self
    }

    /// A body in which one field is wrong.
    pub(super) fn field(field: &str, message: impl Into<String>) -> Self {
        let error = FieldError { field: field.to_owned(), message: message.into() };
        Self::invalid(vec![error])
    }

    /// A query in which one field is wrong.
    pub(super) fn asked(field: &str, message: impl Into<String>) -> Self {
        let error = FieldError { field: field.to_owned(), message: message.into() };
        Self::new(StatusCode::UNPROCESSABLE_ENTITY).detail("the query has errors").errors(vec![error])
    }

    /// A body that is not sent as JSON.
    fn no_json() -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE)
            .detail("the body must be sent as Content-Type: application/json")
    }

    /// A body in which fields are wrong.
    pub(super) fn invalid(errors: Vec<FieldError>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY).detail("the body has errors").errors(errors)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self.0).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(after) = self.0.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<EngineError> for Problem {
    fn from(error: EngineError) -> Self {
        if let EngineError::TooLarge(text) = &error {
            return Self::new(StatusCode::UNPROCESSABLE_ENTITY).detail(text);
        }
        match error.retry_after() {
            Some(after) => {
                tracing::warn!(%error, "a request could not be served now");
                Self::new(StatusCode::SERVICE_UNAVAILABLE).detail(error.to_string()).retry_after(after)
            }
            None => {
                tracing::error!(%error, "a request could not be served");
                Self::new(StatusCode::BAD_GATEWAY).detail(error.to_string())
            }
        }
    }
}

impl From<StagingError> for Problem {
    fn from(error: StagingError) -> Self {
        match error {
            StagingError::BelowMinimum { .. } => Self::field("score", error.to_string()),
            StagingError::Erased => Self::new(StatusCode::GONE).detail(error.to_string()),
            StagingError::Engine(error) => error.into(),
        }
    }
}

impl From<DecisionError> for Problem {
    fn from(error: DecisionError) -> Self {
        let text = error.to_string();
        match error {
            DecisionError::Unknown(_) => Self::new(StatusCode::NOT_FOUND).detail(text),
            DecisionError::NotAllowed { allowed, .. } => {
                let mut problem = Self::new(StatusCode::CONFLICT).detail(text);
                problem.0.allowed_states = Some(allowed);
                problem
            }
            DecisionError::Engine(error) => error.into(),
        }
    }
}

impl From<ApplicationError> for Problem {
    fn from(error: ApplicationError) -> Self {
        match error {
            ApplicationError::Unknown(_) => Self::new(StatusCode::NOT_FOUND).detail(error.to_string()),
            ApplicationError::Meanwhile(_) => Self::new(StatusCode::CONFLICT).detail(error.to_string()),
            ApplicationError::Invalid(errors) => Self::invalid(errors),
            ApplicationError::Engine(error) => error.into(),
        }
    }
}

impl From<MirrorError> for Problem {
    fn from(error: MirrorError) -> Self {
        EngineError::Mirror(error).into()
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        let status = rejection.status();
        Self::new(status).detail(match status {
            StatusCode::PAYLOAD_TOO_LARGE => "the body is too large".to_owned(),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => return Self::no_json(),
            StatusCode::UNPROCESSABLE_ENTITY => return Self::invalid(vec![field_error(&rejection)]),
            _ => rejection.body_text(),
        })
    }
}

/// Which field a body's error is about.
fn field_error(rejection: &JsonRejection) -> FieldError {
    let mut source = std::error::Error::source(rejection);
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<serde_path_to_error::Error<serde_json::Error>>() {
            return wrong_field(error);
        }
        source = error.source();
    }
    FieldError { field: String::new(), message: rejection.body_text() }
}

/// What is wrong with which field, in a caller's words.
pub(super) fn wrong_field(error: &serde_path_to_error::Error<serde_json::Error>) -> FieldError {
    let text = error.inner().to_string();
    // Where in the text it was says less than which field it was.
    let message = text.rsplit_once(" at line ").map_or(text.as_str(), |(message, _)| message);
    in_field(&error.path().to_string(), message)
}

/// A field that is missing, or unknown, is named in the text; the path ends at what it belongs to.
fn in_field(path: &str, message: &str) -> FieldError {
    let path = if path == "." { "" } else { path };
    let named = ["missing field `", "unknown field `"].iter().find_map(|begin| message.strip_prefix(begin));
    let name = named.and_then(|rest| rest.split('`').next()).filter(|name| !path.ends_with(*name));
    let field = match name {
        Some(name) if path.is_empty() => name.to_owned(),
        Some(name) => format!("{path}.{name}"),
        None => path.to_owned(),
    };
    FieldError { field, message: message.to_owned() }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        let mut source = std::error::Error::source(&rejection);
        while let Some(error) = source {
            if let Some(error) = error.downcast_ref::<serde_path_to_error::Error<serde::de::value::Error>>() {
                let wrong = in_field(&error.path().to_string(), &error.inner().to_string());
                let message = match wrong.message.as_str() {
                    "invalid float literal" => "must be a number".to_owned(),
                    "invalid digit found in string" => "must be a whole number".to_owned(),
                    _ => wrong.message,
                };
                return Self::asked(&wrong.field, message);
            }
            source = error.source();
        }
        Self::new(StatusCode::UNPROCESSABLE_ENTITY).detail(rejection.body_text())
    }
}

/// Refuses a body that says itself that it is no JSON; one that says nothing is looked at.
///
/// # Errors
///
/// 415, with what to send.
pub(super) fn may_be_json(headers: &HeaderMap) -> Result<(), Problem> {
    let Some(said) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let said = said.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    let said = said.trim().to_ascii_lowercase();
    let is_json = said == "application/json" || (said.starts_with("application/") && said.ends_with("+json"));
    if is_json { Ok(()) } else { Err(Problem::no_json()) }
}

/// A JSON body that may be missing, or null.
///
/// # Errors
///
/// 415, or what is wrong with it, by field.
pub(super) fn optional_json<T: Default + DeserializeOwned>(
    headers: &HeaderMap,
    body: &[u8],
) -> Result<T, Problem> {
    if body.is_empty() {
        return Ok(T::default());
    }
    may_be_json(headers)?;
    let mut body = serde_json::Deserializer::from_slice(body);
    let read: Result<Option<Object<T>>, _> = serde_path_to_error::deserialize(&mut body);
    let read = read.map_err(|error| match error.inner().is_data() {
        true => Problem::invalid(vec![wrong_field(&error)]),
        false => {
            Problem::new(StatusCode::BAD_REQUEST).detail(format!("the body is no JSON: {}", error.inner()))
        }
    })?;
    Ok(read.map(|Object(read)| read).unwrap_or_default())
}

/// A JSON object. Without this an array of a struct's fields in their order would do as well.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = T;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }
        deserializer.deserialize_map(Fields(PhantomData)).map(Self)
    }
}

/// A body as it came; one that is too large, or broke off, is a [`Problem`].
pub(super) struct ApiBytes(pub(super) Bytes);

impl<S: Send + Sync> FromRequest<S> for ApiBytes {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let body = Bytes::from_request(request, state).await.map_err(|rejection| {
            Problem::new(rejection.status()).detail(match rejection.status() {
                StatusCode::PAYLOAD_TOO_LARGE => "the body is too large; send less at once",
                _ => "the body did not arrive whole",
            })
        })?;
        Ok(Self(body))
    }
}

/// A JSON body, an object; what is wrong with it is a [`Problem`].
pub(super) struct ApiJson<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for ApiJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let axum::Json(Object(body)) = axum::Json::from_request(request, state).await?;
        Ok(Self(body))
    }
}

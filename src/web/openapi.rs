//! The API's own description (OpenAPI 3.1), made from the handlers, and a page that shows it without asking anybody
//! else for anything.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use serde_json::Value;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{Content, OpenApi, RefOr, ResponseBuilder};
use utoipa::{IntoResponses, Modify, OpenApi as _, PartialSchema as _};
use utoipa_swagger_ui::{Config, SwaggerUi};

use super::problem::Parts;
use super::{Web, config, decisions, draft, health, hooks, matches, notify, staging, stats};
use crate::config::CHANGEABLE;

/// The content type of errors.
pub(super) const PROBLEM: &str = "application/problem+json";

/// Swagger UI sets styles by script and draws its icons from the page itself; it loads nothing from elsewhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What any call below `/api/v1` may be refused with.
pub(super) struct Refusals;

impl IntoResponses for Refusals {
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        let said = [
            ("400", "The request cannot be read"),
            ("401", "The bearer token is missing or wrong"),
            ("422", "A value is wrong; `errors` names the fields"),
        ];
        said.into_iter()
            .map(|(status, words)| {
                let content = Content::new(Some(Parts::schema()));
                let response = ResponseBuilder::new().description(words).content(PROBLEM, content).build();
                (status.to_owned(), RefOr::T(response))
            })
            .collect()
    }
}

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Vorhölle",
        description = "Stages job matches as GitLab issues and follows the reviewer's decision.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    modifiers(&Bearer),
    security(("token" = []))
)]
struct Description;

/// What [`super::api`] leads to.
#[derive(utoipa::OpenApi)]
#[openapi(paths(
    staging::post,
    matches::list,
    matches::get,
    matches::patch,
    matches::patch_application,
    draft::get,
    draft::put,
    draft::send,
    decisions::list,
    stats::show,
    config::get,
    config::patch,
    notify::test,
    health::tick,
))]
struct Api;

/// What [`super::open`] leads to.
#[derive(utoipa::OpenApi)]
#[openapi(paths(hooks::receive, health::health, health::live, health::ready, health::metrics))]
struct Open;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, openapi: &mut OpenApi) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        openapi.components.get_or_insert_default().add_security_scheme("token", scheme);
    }
}

/// The description as JSON; made when it is first asked for, for it takes two megabytes to make.
static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
    let mut openapi = Description::openapi().nest("/api/v1", Api::openapi());
    openapi.merge(Open::openapi());
    as_json(&openapi)
});

/// The description of the service, where people reach it: below the path of a proxy its addresses begin with that.
pub(super) async fn description(State(web): State<Web>) -> Response {
    let json = [(header::CONTENT_TYPE, "application/json")];
    if web.root().is_empty() {
        return (json, DOCUMENT.as_str()).into_response();
    }
    let servers = serde_json::json!([{ "url": web.root() }]);
    (json, DOCUMENT.replacen('{', &format!("{{\"servers\":{servers},"), 1)).into_response()
}

/// The page at `/docs/`; everything that it loads is inside the program.
pub(super) fn page() -> Router<Web> {
    // Without a word it would have every address but localhost's checked by somebody else.
    let config = Config::new(["openapi.json"]).try_it_out_enabled(false).validator_url("none");
    let page = SwaggerUi::new("/docs").config(config);
    Router::from(page).layer(from_fn(ours)).route("/docs/openapi.json", get(description))
}

/// The page itself is ours: the one that comes with Swagger UI is empty for whoever has no scripts.
async fn ours(request: Request, next: Next) -> Response {
    match request.uri().path() {
        // What comes with it leads to the root, whatever path a proxy has put before ours.
        "/docs" => (StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, "docs/")]).into_response(),
        "/docs/" | "/docs/index.html" => {
            ([(header::CONTENT_SECURITY_POLICY, POLICY)], Html(include_str!("docs.html"))).into_response()
        }
        _ => next.run(request).await,
    }
}

/// With what the code cannot say of itself: a posted match has fewer fields than an answered one, and no others.
fn as_json(openapi: &OpenApi) -> String {
    let mut json = serde_json::to_value(openapi).unwrap_or_default();
    let schemas = &mut json["components"]["schemas"];
    let mut posted = schemas["JobMatch"].clone();
    posted["required"] = serde_json::json!(["title", "score"]);
    posted["properties"]["score"]["type"] = "number".into();
    posted["additionalProperties"] = false.into();
    if let Some(answered) = schemas["JobMatch"].as_object_mut() {
        answered.remove("additionalProperties");
    }
    schemas["PostedMatch"] = posted;
    // The file holds a few keys more than may change while the service runs.
    if let Some(keys) = schemas["File"]["properties"].as_object_mut() {
        keys.retain(|key, _| CHANGEABLE.contains(&key.as_str()));
    }
    refer_to_what_is_posted(&mut schemas["Posted"]);
    json.to_string()
}

/// What is posted has fewer fields than what is answered.
fn refer_to_what_is_posted(schema: &mut Value) {
    match schema {
        Value::Object(parts) => {
            for (name, value) in parts {
                if name == "$ref" && *value == "#/components/schemas/JobMatch" {
                    *value = "#/components/schemas/PostedMatch".into();
                } else {
                    refer_to_what_is_posted(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(refer_to_what_is_posted),
        _ => {}
    }
}

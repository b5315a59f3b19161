//! Settings: what holds and who says so; changes go into the settings issue.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::Web;
use super::openapi::{PROBLEM, Refusals};
use super::problem::{ApiJson, Parts, Problem};
use crate::config::{CHANGEABLE, File, Setting, must_be};
use crate::domain::posted_match::FieldError;
use crate::engine::ChangeError;

/// Every setting with its value and origin; secrets are `***`.
#[utoipa::path(
    get, path = "/config", operation_id = "get_config", tag = "service",
    responses((status = 200, description = "The settings", body = Settings), Refusals),
)]
pub(super) async fn get(State(web): State<Web>) -> Response {
    answer(&web).into_response()
}

/// Every setting.
#[derive(Serialize, ToSchema)]
pub(super) struct Settings {
    /// The keys of the settings file.
    settings: Vec<Setting>,
    /// The environment's variables that are set.
    variables: Vec<Setting>,
    /// The number of the settings issue, where there is one.
    settings_issue: Option<u64>,
    /// Why what stands in the settings issue does not count.
    problem: Option<String>,
}

fn answer(web: &Web) -> Json<Settings> {
    Json(Settings {
        settings: web.engine().explain_settings(),
        variables: web.settings().variables.clone(),
        settings_issue: web.engine().known_settings_issue(),
        problem: web.engine().status().settings_problem.map(|problem| problem.text),
    })
}

/// Changes settings: the keys of the settings file, nested as there; null takes a key away.
#[utoipa::path(
    patch, path = "/config", operation_id = "change_config", tag = "service",
    request_body(content = File, example = json!({"min_score": 80, "quiet_hours": {"from": "22:00", "to": "07:00"}})),
    responses(
        (status = 200, description = "The settings as they are now", body = Settings),
        (status = 409, description = "The environment fixes a key", body = Parts, content_type = PROBLEM),
        (status = 413, description = "Too large", body = Parts, content_type = PROBLEM),
        (status = 415, description = "The body is not sent as JSON", body = Parts, content_type = PROBLEM),
        (status = 502, description = "GitLab refused", body = Parts, content_type = PROBLEM),
        (status = 503, description = "GitLab does not answer; try again after Retry-After", body = Parts, content_type = PROBLEM),
        Refusals,
    ),
)]
pub(super) async fn patch(
    State(web): State<Web>,
    ApiJson(parts): ApiJson<Map<String, Value>>,
) -> Result<Response, Problem> {
    let changes = changes(parts)?;
    if !changes.is_empty() {
        web.engine().change_settings(&changes, None).await?;
        let keys: Vec<&str> = changes.iter().map(|(key, _)| key.as_str()).collect();
        tracing::info!(?keys, "settings were changed by the API");
        web.finish_inside_the_request().await;
    }
    Ok(answer(&web).into_response())
}

/// Every single value that the body sets, by its key.
fn changes(parts: Map<String, Value>) -> Result<Vec<(String, Value)>, Problem> {
    for key in parts.keys() {
        if !CHANGEABLE.contains(&key.as_str()) {
            let message = format!("cannot be changed here; what can: {}", CHANGEABLE.join(", "));
            return Err(Problem::field(key, message));
        }
    }
    // Read as the file is, for its errors: JSON is YAML, but for control characters, which stand in texts only.
    let escaped = |letter: char| match letter.is_control() {
        true => format!("\\u{:04x}", u32::from(letter)),
        false => letter.to_string(),
    };
    let body = Value::Object(parts);
    let yaml: String = body.to_string().chars().map(escaped).collect();
    if let Err(error) = File::parse(&yaml) {
        return Err(Problem::field(&error.key, error.message));
    }
    // YAML reads `"80"` as a number and `5` as a text; what was posted must be it.
    if let Err(error) = serde_path_to_error::deserialize::<_, File>(&body) {
        let key = error.path().to_string();
        return Err(Problem::field(&key, must_be(&key)));
    }
    let mut changes = Vec::new();
    flatten("", &body, &mut changes);
    Ok(changes)
}

fn flatten(key: &str, value: &Value, changes: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(parts) => {
            for (name, value) in parts {
                let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                flatten(&key, value, changes);
            }
        }
        value => changes.push((key.to_owned(), value.clone())),
    }
}

impl From<ChangeError> for Problem {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Fixed { .. } | ChangeError::Meanwhile(_) => {
                Self::new(StatusCode::CONFLICT).detail(error.to_string())
            }
            ChangeError::Invalid(wrong) => {
                let field =
                    |one: crate::config::WrongSetting| FieldError { field: one.key, message: one.message };
                Self::invalid(wrong.into_iter().map(field).collect())
            }
            ChangeError::Engine(error) => error.into(),
        }
    }
}

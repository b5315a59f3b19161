//! Settings: what holds and who says so; changes go into the settings issue.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::Web;
use super::problem::{ApiJson, Problem};
use crate::config::{CHANGEABLE, File};
use crate::domain::posted::FieldError;
use crate::engine::ChangeError;

/// Every setting with its value and origin; secrets are `***`.
pub(super) async fn get(State(web): State<Web>) -> Response {
    answer(&web).into_response()
}

fn answer(web: &Web) -> Json<Value> {
    Json(json!({
        "settings": web.engine().explain_settings(),
        "variables": web.settings().variables,
        "settings_issue": web.engine().known_settings_issue(),
        "problem": web.engine().status().settings_problem,
    }))
}

/// Changes settings: the keys of the settings file, nested as there; null takes a key away.
pub(super) async fn patch(
    State(web): State<Web>,
    ApiJson(body): ApiJson<Value>,
) -> Result<Response, Problem> {
    let changes = changes(&body)?;
    if !changes.is_empty() {
        web.engine().change_settings(&changes).await?;
    }
    Ok(answer(&web).into_response())
}

/// Every single value that the body sets, by its key.
fn changes(body: &Value) -> Result<Vec<(String, Value)>, Problem> {
    let Value::Object(parts) = body else {
        return Err(Problem::field("", "must be an object with the keys of the settings file"));
    };
    for key in parts.keys() {
        if !CHANGEABLE.contains(&key.as_str()) {
            let message = format!("cannot be changed here; what can: {}", CHANGEABLE.join(", "));
            return Err(Problem::field(key, message));
        }
    }
    // Read as the file is, for its errors.
    if let Err(error) = serde_json::from_value::<File>(body.clone()) {
        return Err(Problem::field("", error.to_string()));
    }
    let mut changes = Vec::new();
    flatten("", body, &mut changes);
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
            ChangeError::Fixed { .. } => Self::new(StatusCode::CONFLICT).detail(error.to_string()),
            ChangeError::Invalid(wrong) => {
                let field =
                    |one: crate::config::WrongSetting| FieldError { field: one.key, message: one.message };
                Self::invalid(wrong.into_iter().map(field).collect())
            }
            ChangeError::Engine(error) => error.into(),
        }
    }
}

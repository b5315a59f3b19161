//! What to do about an error that says only what was wrong.

use reqwest::StatusCode;

use crate::engine::{DecisionError, EngineError};
use crate::gitlab::GitlabError;

/// What to do, where the error's own words do not say it.
pub(super) fn about(error: &anyhow::Error) -> Option<&'static str> {
    let said = format!("{error:#}");
    if said.contains("VORHOELLE_") || said.contains("`vorhoelle ") {
        return None;
    }
    error.chain().find_map(|cause| {
        if let Some(error) = cause.downcast_ref::<DecisionError>() {
            return match error {
                DecisionError::Unknown(_) => Some("`vorhoelle list` shows which there are"),
                DecisionError::NotAllowed { .. } => None,
                DecisionError::Engine(error) => of_engine(error),
            };
        }
        let of_gitlab = cause.downcast_ref::<GitlabError>().and_then(of_gitlab);
        cause.downcast_ref::<EngineError>().and_then(of_engine).or(of_gitlab)
    })
}

fn of_engine(error: &EngineError) -> Option<&'static str> {
    match error {
        EngineError::Gitlab(error) => of_gitlab(error),
        EngineError::Mirror(_) => {
            Some("VORHOELLE_DATABASE names its file; it holds nothing that GitLab could not give back")
        }
        _ => None,
    }
}

fn of_gitlab(error: &GitlabError) -> Option<&'static str> {
    match (error, error.status()) {
        (GitlabError::Net(_), _) => {
            Some("check VORHOELLE_GITLAB_URL and the network; `vorhoelle doctor` looks at all of it")
        }
        (_, Some(StatusCode::UNAUTHORIZED)) => {
            Some("check VORHOELLE_GITLAB_TOKEN: it is wrong, expired or revoked")
        }
        (_, Some(status)) if status.is_redirection() => {
            Some("check VORHOELLE_GITLAB_URL: it must be the address at which GitLab answers itself")
        }
        (_, Some(StatusCode::FORBIDDEN)) => Some("`vorhoelle doctor` says which right is missing"),
        (_, Some(StatusCode::NOT_FOUND)) => Some(
            "check VORHOELLE_GITLAB_PROJECT, that the token's user is a member of it, and VORHOELLE_GITLAB_URL",
        ),
        (GitlabError::Server { .. } | GitlabError::Shape(_), _) => {
            Some("try again; `vorhoelle doctor` says whether it is GitLab's")
        }
        _ => None,
    }
}

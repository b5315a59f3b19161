//! The webhook: whether GitLab tells us of everything, and how its deliveries end.

use super::Finding;
use crate::app;
use crate::cli::setup::WHERE_ANOTHER;
use crate::clock::Clock;
use crate::config::Settings;
use crate::gitlab::hooks::Hook;
use crate::gitlab::{Patience, Project};

const CHECK: &str = "webhook";
/// What is done where they are refused: a test of it would be refused too.
const REFUSED: &str = "most likely its secret is another than ours: run vorhoelle setup, then test it in GitLab's webhook \
                       settings; else a proxy refuses it or takes its headers away, or a clock is wrong, which the log says";

/// Whether GitLab tells us of everything, and gets an answer.
pub(super) async fn examine(settings: &Settings) -> Vec<Finding> {
    let Some(public) = &settings.public_url else {
        return vec![Finding::fail(
            CHECK,
            "VORHOELLE_PUBLIC_URL is not set",
            "set it to where GitLab reaches this service",
        )];
    };
    let patience = Patience { tries: 1, ..Patience::default() };
    let hooks = async {
        let gitlab = app::gitlab(&settings.with_setup_token(), Clock::System, patience)?;
        let (project, _) = gitlab.project(&settings.gitlab.project).await?;
        let hooks = project.hooks().await?;
        anyhow::Ok((project, hooks))
    };
    let (project, hooks) = match hooks.await {
        Ok(found) => found,
        Err(error) => {
            let advice = match settings.gitlab.setup_token {
                None => {
                    "the everyday token may not, and need not; to have it looked after set VORHOELLE_SETUP_TOKEN"
                }
                Some(_) => "see what is said of the setup token",
            };
            return vec![Finding::warn(CHECK, format!("cannot be looked at: {error:#}"), advice)];
        }
    };
    let url = format!("{}/webhooks/gitlab", public.as_str().trim_end_matches('/'));
    let others = hooks
        .iter()
        .filter_map(|hook| hook.leads_elsewhere(&url))
        .map(|other| Finding::warn(CHECK, format!("another one delivers matches to {other}"), WHERE_ANOTHER));
    let others: Vec<Finding> = others.collect();
    let mut findings = vec![ours(settings, &project, hooks, &url).await];
    findings.extend(others);
    findings
}

/// Whether ours is there, and right.
async fn ours(settings: &Settings, project: &Project, hooks: Vec<Hook>, url: &str) -> Finding {
    let Some(hook) = hooks.into_iter().find(|hook| hook.url == url) else {
        return Finding::fail(CHECK, format!("none delivers to {url}"), "run vorhoelle setup");
    };
    let deliveries = project.deliveries(hook.id).await.unwrap_or_default();
    let last = deliveries.first();
    let is_refused = last.is_some_and(|last| last == "401");
    if hook.is_disabled() {
        return Finding::fail(
            CHECK,
            "GitLab has disabled it after failed deliveries",
            if is_refused { REFUSED } else { "test it in GitLab's webhook settings, which revives it" },
        );
    }
    if !hook.tells_of_everything() {
        return Finding::fail(
            CHECK,
            "does not tell of all issues and comments",
            "run vorhoelle setup, which sets it right",
        );
    }
    if settings.webhook.signing_key.is_some() && hook.signing_token_present != Some(true) {
        return Finding::fail(CHECK, "GitLab does not sign its deliveries", "run vorhoelle setup");
    }
    if settings.webhook.token.is_some() && hook.token_present == Some(false) {
        return Finding::fail(CHECK, "GitLab sends no secret token", "run vorhoelle setup");
    }
    match last {
        Some(last) if !last.starts_with('2') => Finding::warn(
            CHECK,
            format!("delivers to {url}, and the last delivery ended with: {last}"),
            if is_refused { REFUSED } else { "look at its recent events in GitLab's webhook settings" },
        ),
        _ => Finding::ok(CHECK, format!("delivers to {url}")),
    }
}

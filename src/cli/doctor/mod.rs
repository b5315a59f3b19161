//! `vorhoelle doctor`: everything that has to be right, one line each, and what to do where it is not.

mod gitlab;
mod this_machine;
mod webhook;

use std::process::ExitCode;

use serde::Serialize;

use super::{Context, print};
use crate::app;
use crate::clock::Clock;
use crate::config::{Settings, SettingsError};
use crate::domain::posted_match::clean_line;
use crate::engine::settings_of_the_issue;
use crate::gitlab::Patience;

/// Check everything that has to be right: GitLab, token, role, labels, webhook, channels, mirror.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  vorhoelle doctor\n  vorhoelle doctor --json | jq '.[] | select(.status != \"ok\")'"
)]
pub(super) struct Arguments {
    /// Print the findings as JSON.
    #[arg(long)]
    json: bool,
}

/// How a part fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Health {
    Ok,
    Warn,
    Fail,
}

/// What was found of a part.
#[derive(Clone, Debug, Serialize)]
struct Finding {
    check: &'static str,
    status: Health,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

impl Finding {
    fn ok(check: &'static str, detail: impl Into<String>) -> Self {
        Self { check, status: Health::Ok, detail: detail.into(), advice: None }
    }

    fn warn(check: &'static str, detail: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, status: Health::Warn, detail: detail.into(), advice: Some(advice.into()) }
    }

    fn fail(check: &'static str, detail: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, status: Health::Fail, detail: detail.into(), advice: Some(advice.into()) }
    }
}

pub(super) async fn run(arguments: Arguments, context: &Context) -> anyhow::Result<ExitCode> {
    let findings = match context.settings() {
        Ok(mut settings) => {
            let mut findings = vec![Finding::ok("settings", go_by_the_issue(&mut settings))];
            let metrics = std::sync::Arc::default();
            let patience = Patience { tries: 1, ..Patience::default() };
            let client = app::observed_gitlab(&settings, Clock::System, patience, Some(&metrics))?;
            findings.extend(gitlab::examine(&client, &settings, &metrics).await);
            findings.extend(this_machine::examine(&settings).await);
            findings
        }
        Err(SettingsError(errors)) => errors
            .into_iter()
            .map(|error| Finding::fail("settings", error, "mend it and run doctor again"))
            .collect(),
    };
    if arguments.json {
        print(&serde_json::to_string_pretty(&findings)?);
    } else {
        for finding in &findings {
            print(&line(finding, context.colour));
        }
    }
    let failed = findings.iter().any(|finding| finding.status == Health::Fail);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Takes in what people set in the settings issue, as far as the service's mirror tells; says so.
fn go_by_the_issue(settings: &mut Settings) -> String {
    let layer = settings_of_the_issue(settings);
    let policy = layer
        .as_ref()
        .and_then(|layer| settings.layers.policy(Some(layer), &settings.policy.former_users).ok());
    let (Some(layer), Some(policy)) = (layer, policy) else { return "can be used".to_owned() };
    settings.policy = policy;
    format!("can be used, with what issue #{} says", layer.iid)
}

fn line(finding: &Finding, colour: bool) -> String {
    let (word, code) = match finding.status {
        Health::Ok => ("ok", 32),
        Health::Warn => ("warn", 33),
        Health::Fail => ("fail", 31),
    };
    let word = if colour { format!("\x1b[{code}m{word:<4}\x1b[0m") } else { format!("{word:<4}") };
    let advice = finding.advice.as_ref().map(|advice| format!("; {advice}")).unwrap_or_default();
    format!("{word}  {:<10}  {}{advice}", finding.check, clean_line(&finding.detail))
}

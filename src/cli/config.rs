//! `vorhoelle config check` and `config show`.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::{Context, parts_of, print, say};
use crate::app;
use crate::config::Setting;

/// Check the settings, or show them with where each comes from.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  vorhoelle config check\n  vorhoelle config show --json")]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Say whether the settings can be used, and everything that is wrong with them.
    #[command(after_help = "Example:\n  vorhoelle config check --config config/notification-channels.yml")]
    Check,
    /// Print the effective settings and the origin of each value; secrets as ***.
    #[command(after_help = "Example:\n  vorhoelle config show --offline")]
    Show {
        /// Print them as JSON.
        #[arg(long)]
        json: bool,
        /// Leave out the settings issue: ask no GitLab.
        #[arg(long)]
        offline: bool,
    },
}

pub(super) async fn run(arguments: Arguments, context: &Context) -> anyhow::Result<ExitCode> {
    let settings = context.settings()?;
    match arguments.what {
        What::Check => {
            app::templates(&settings)?;
            print("the settings can be used");
        }
        What::Show { json, offline } => {
            let mut known = settings.layers.explain(None);
            if !offline {
                match parts_of(settings.clone()).await {
                    Ok(parts) => known = parts.engine.explain_settings(),
                    Err(error) => {
                        say(&format!("the settings issue is left out, GitLab cannot be asked: {error:#}"))
                    }
                }
            }
            show(&known, &settings.variables, json)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn show(settings: &[Setting], variables: &[Setting], as_json: bool) -> anyhow::Result<()> {
    if as_json {
        print(&serde_json::to_string_pretty(&json!({ "settings": settings, "variables": variables }))?);
        return Ok(());
    }
    let all = || settings.iter().chain(variables);
    let width = all().map(|one| one.key.len()).max().unwrap_or_default();
    let values: Vec<String> = all().map(|one| in_words(&one.value)).collect();
    let value_width = values.iter().map(|value| value.chars().count()).max().unwrap_or_default().min(40);
    for (one, value) in all().zip(&values) {
        print(&format!("{:<width$}  {value:<value_width$}  {}", one.key, one.origin));
    }
    Ok(())
}

fn in_words(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => "(none)".to_owned(),
        Value::Array(items) => items.iter().map(in_words).collect::<Vec<_>>().join(", "),
        Value::Number(number) => number.to_string().trim_end_matches(".0").to_owned(),
        other => other.to_string(),
    }
}

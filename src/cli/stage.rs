//! `vorhoelle stage FILE`: stages matches from a JSON file.

use std::io::Read as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Context, print, progress, say_error};
use crate::domain::posted_json::{self, Posted};
use crate::domain::posted_match::{self, FieldError, clean_line};
use crate::domain::{JobMatch, identity};
use crate::engine::{Engine, StagingError};

/// Matches that are staged at the same time.
const AT_ONCE: usize = 8;

/// Stage matches from a JSON file: one object, or a list of them.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  vorhoelle stage matches.json\n  my-search | vorhoelle stage -")]
pub(super) struct Arguments {
    /// The file, or - for standard input.
    file: PathBuf,
    /// Print the outcomes as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(arguments: Arguments, context: &Context) -> anyhow::Result<ExitCode> {
    let values = read(&arguments.file)?;
    let engine = context.engine().await?;
    engine.set_follows(true);
    let bar = progress::bar(values.len());
    let titles: Vec<String> = values.iter().map(title).collect();
    let parse = |value: Result<_, _>| value.map_err(|error| vec![error]).and_then(posted_match::parse);
    let parsed: Vec<_> = values.into_iter().map(parse).collect();
    let groups = identity::one_after_the_other(&parsed);
    let (parsed, titles, engine, bar) = (&parsed, &titles, &engine, &bar);
    let mut outcomes: Vec<(usize, Value)> = stream::iter(groups)
        .map(|indices| async move {
            let mut staged = Vec::with_capacity(indices.len());
            for index in indices {
                let waits = |long| progress::tell_of_waiting(bar, long);
                staged
                    .push((index, stage(engine, index, &titles[index], parsed[index].clone(), waits).await));
            }
            stream::iter(staged)
        })
        .buffer_unordered(AT_ONCE)
        .flatten()
        .inspect(|_| bar.inc(1))
        .collect()
        .await;
    outcomes.sort_by_key(|(index, _)| *index);
    let outcomes: Vec<Value> = outcomes.into_iter().map(|(_, outcome)| outcome).collect();
    bar.finish_and_clear();
    let staged = |outcome: &&Value| matches!(outcome["outcome"].as_str(), Some("created" | "existing"));
    let all_staged = outcomes.iter().all(|outcome| staged(&outcome));
    if arguments.json {
        print(&serde_json::to_string_pretty(&outcomes)?);
    } else {
        for outcome in &outcomes {
            tell(outcome);
        }
    }
    engine.mirror().checkpoint();
    Ok(if all_staged { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn read(file: &PathBuf) -> anyhow::Result<Vec<Result<Value, FieldError>>> {
    let mut text = String::new();
    if file.as_os_str() == "-" {
        std::io::stdin().read_to_string(&mut text).context("standard input cannot be read")?;
    } else {
        text = std::fs::read_to_string(file).map_err(|error| {
            anyhow!(
                "{} cannot be read: {error}; name a JSON file in UTF-8, or - for standard input",
                file.display()
            )
        })?;
    }
    let posted = posted_json::read(text.as_bytes()).map_err(|error| {
        anyhow!("{} is no JSON: {error}; it must hold a match, or a list of them", file.display())
    })?;
    Ok(match posted {
        Posted::One(value) => vec![Ok(value)],
        Posted::Several(values) => values,
    })
}

/// A title as it may stand in a terminal: the file is a stranger's.
fn title(value: &Result<Value, FieldError>) -> String {
    clean_line(value.as_ref().ok().and_then(|value| value["title"].as_str()).unwrap_or("(no title)"))
}

async fn stage(
    engine: &Engine,
    index: usize,
    title: &str,
    job: Result<JobMatch, Vec<FieldError>>,
    waits: impl Fn(Option<Duration>),
) -> Value {
    let job = match job {
        Ok(job) => job,
        Err(errors) => {
            return json!({ "index": index, "title": title, "outcome": "invalid", "errors": errors });
        }
    };
    let nonce = Uuid::new_v4();
    let stage = || engine.stage_known_as(job.clone(), nonce);
    match engine.ask_again(stage, StagingError::asks_to_wait, waits).await {
        Ok(staging) => json!({
            "index": index,
            "title": title,
            "outcome": if staging.created { "created" } else { "existing" },
            "iid": staging.record.iid,
            "web_url": staging.record.web_url,
        }),
        Err(error) => {
            let outcome = match error {
                StagingError::BelowMinimum { .. } => "below_minimum",
                StagingError::Erased => "erased",
                StagingError::Engine(_) => "failed",
            };
            json!({ "index": index, "title": title, "outcome": outcome, "errors": [{ "field": "", "message": error.to_string() }] })
        }
    }
}

fn tell(outcome: &Value) {
    let text = |name: &str| outcome[name].as_str().unwrap_or_default();
    match outcome["iid"].as_u64() {
        Some(iid) => print(&format!("{:<13} #{iid} {}  {}", text("outcome"), text("title"), text("web_url"))),
        None => {
            print(&format!("{:<13} {}", text("outcome"), text("title")));
            for error in outcome["errors"].as_array().into_iter().flatten() {
                let field = error["field"].as_str().filter(|field| !field.is_empty());
                let field = field.map(|field| format!("{field} ")).unwrap_or_default();
                let message = error["message"].as_str().unwrap_or_default();
                say_error(&clean_line(&format!("match {}: {field}{message}", outcome["index"])));
            }
        }
    }
}

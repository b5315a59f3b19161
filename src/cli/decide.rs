//! `vorhoelle decide IID STATE`.

use std::process::ExitCode;

use anyhow::Context as _;

use super::{Context, print};
use crate::domain::State;
use crate::domain::decision_comment::decision_comment;
use crate::domain::history::Through;
use crate::engine::{Decision, DecisionError};
use crate::web::answer::WholeAnswer;

/// Decide about a match.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  vorhoelle decide 57 approved --comment \"call them on Monday\"")]
pub(super) struct Arguments {
    /// The number.
    #[arg(value_parser = super::iid)]
    iid: u64,
    /// Where it shall go: pending, approved, rejected or sent.
    state: State,
    /// What you say about it.
    #[arg(long)]
    comment: Option<String>,
    /// Print the match as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(arguments: Arguments, context: &Context) -> anyhow::Result<ExitCode> {
    let comment = decision_comment(&arguments.comment.unwrap_or_default()).context("--comment")?;
    let parts = context.parts().await?;
    let engine = &parts.engine;
    engine.set_follows(true);
    let decision =
        Decision { from: None, to: arguments.state, by: "cli".to_owned(), through: Through::Cli, comment };
    let decided = engine.decide(arguments.iid, decision).await;
    engine.mirror().checkpoint();
    match decided {
        Ok(record) if arguments.json => {
            let answer = WholeAnswer::of(engine, &parts.notifier, record)?;
            print(&serde_json::to_string_pretty(&answer)?);
            Ok(ExitCode::SUCCESS)
        }
        Ok(record) => {
            print(&format!("#{} is {}", record.iid, record.state));
            Ok(ExitCode::SUCCESS)
        }
        Err(error @ DecisionError::NotAllowed { .. }) => {
            let DecisionError::NotAllowed { allowed, .. } = &error else { return Err(error.into()) };
            let words: Vec<&str> = allowed.iter().map(|state| state.as_str()).collect();
            anyhow::bail!("{error}; allowed from there: {}", words.join(", "))
        }
        Err(error) => Err(error.into()),
    }
}

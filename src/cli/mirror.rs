//! `vorhoelle mirror rebuild` and `mirror check`.

use std::process::ExitCode;

use super::{Context, print};
use crate::app;
use crate::clock::Clock;
use crate::engine::Engine;
use crate::gitlab::Patience;

/// Throw the mirror away and read it anew from GitLab, or compare the two.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  vorhoelle mirror check")]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Throw the mirror away and read it anew from GitLab.
    #[command(after_help = "Example:\n  vorhoelle mirror rebuild")]
    Rebuild,
    /// Compare the mirror with GitLab and list differences; exit 1 where there are any.
    #[command(after_help = "Example:\n  vorhoelle mirror check")]
    Check,
}

pub(super) async fn run(arguments: Arguments, context: &Context) -> anyhow::Result<ExitCode> {
    match arguments.what {
        What::Rebuild => rebuild(context).await,
        What::Check => check(context).await,
    }
}

async fn rebuild(context: &Context) -> anyhow::Result<ExitCode> {
    let engine = app::assemble(context.settings()?, Clock::System, Patience::default())?.engine;
    engine.set_follows(false);
    // Where GitLab does not answer, the mirror stays as it is.
    engine.connected().await?;
    engine.mirror().clear()?;
    read_all(&engine).await?;
    engine.mirror().forget_vanished()?;
    let counts = engine.mirror().counts()?;
    engine.mirror().checkpoint();
    let all = counts.pending + counts.approved + counts.rejected + counts.sent;
    print(&format!("read {all} {} from GitLab", if all == 1 { "match" } else { "matches" }));
    Ok(ExitCode::SUCCESS)
}

/// Fills an empty mirror.
async fn read_all(engine: &Engine) -> anyhow::Result<()> {
    engine.delta().await?;
    engine.work_off().await;
    // Issues that people made by hand are met last.
    if !engine.mirror().iids_without_history()?.is_empty() {
        engine.delta().await?;
    }
    Ok(())
}

async fn check(context: &Context) -> anyhow::Result<ExitCode> {
    let settings = context.settings()?;
    let mirrored = app::assemble(settings.clone(), Clock::System, Patience::default())?.engine;
    let folder = tempfile::tempdir()?;
    let mut fresh = settings;
    fresh.database = folder.path().join("fresh.sqlite");
    let fresh = app::assemble(fresh, Clock::System, Patience::default())?.engine;
    fresh.set_follows(false);
    read_all(&fresh).await?;
    let differences = mirrored.mirror().differences(fresh.mirror())?;
    for difference in &differences {
        print(difference);
    }
    if differences.is_empty() {
        print("the mirror says what GitLab says");
    }
    Ok(if differences.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

//! `vorhoelle serve`: the service against a real GitLab.

use std::process::ExitCode;

use super::{Context, asked_to_stop};
use crate::app::App;
use crate::clock::Clock;

/// Run the service against a real GitLab, as the environment says.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  VORHOELLE_GITLAB_PROJECT=me/jobs VORHOELLE_GITLAB_TOKEN_FILE=token \\\n  \
    VORHOELLE_WEBHOOK_SECRET_FILE=secret vorhoelle serve\n\n--help lists every variable.",
    after_long_help = after_long_help()
)]
pub(super) struct Arguments {
    /// Where to listen [default: VORHOELLE_LISTEN, else 127.0.0.1:8080].
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
}

fn after_long_help() -> String {
    format!(
        "Example:\n  VORHOELLE_GITLAB_PROJECT=me/jobs VORHOELLE_GITLAB_TOKEN_FILE=token \\\n  \
         VORHOELLE_WEBHOOK_SECRET_FILE=secret vorhoelle serve\n\n{}",
        crate::config::reference::help()
    )
}

pub(super) async fn run(arguments: Arguments, context: &Context) -> anyhow::Result<ExitCode> {
    let mut environment = context.environment.clone();
    if let Some(listen) = arguments.listen {
        environment.set_by_option("LISTEN", listen);
    }
    let settings = crate::config::Settings::load(context.config.as_deref(), &environment)?;
    if settings.api_tokens.is_empty() {
        tracing::warn!("VORHOELLE_API_TOKENS is not set: nobody can use the API");
    }
    // From the first moment on: the first process of a container is deaf to what it does not ask for.
    let mut stop = std::pin::pin!(asked_to_stop());
    let app = tokio::select! {
        biased;
        () = &mut stop => return Ok(ExitCode::SUCCESS),
        app = App::start(settings, Clock::System) => app?,
    };
    tracing::info!("listening on http://{}", app.address());
    stop.await;
    tracing::info!("stopping");
    app.stop().await;
    Ok(ExitCode::SUCCESS)
}

//! `vorhoelle sandbox`: only the embedded GitLab stand-in.

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Context as _;

use super::{asked_to_stop, print};
use crate::sandbox::{Options, Sandbox};

/// Run only the embedded GitLab stand-in.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  vorhoelle sandbox --listen 127.0.0.1:8929")]
pub(super) struct Arguments {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8929")]
    listen: SocketAddr,
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let options = Options { listen: arguments.listen, ..Options::default() };
    let sandbox =
        Sandbox::start(options).await.with_context(|| format!("cannot listen on {}", arguments.listen))?;
    print(&introduction(&sandbox));
    asked_to_stop().await;
    sandbox.stop();
    Ok(ExitCode::SUCCESS)
}

/// What somebody who uses the sandbox has to know.
fn introduction(sandbox: &Sandbox) -> String {
    let people = ["owner", "reviewer", "colleague", "bot", "developer", "guest", "stranger"];
    let tokens: Vec<String> =
        people.iter().map(|name| format!("  {name:<10} {}", sandbox.token(name))).collect();
    format!(
        "sandbox  {}\nproject  {} (id {})\ntokens\n{}",
        sandbox.url(),
        sandbox.project(),
        sandbox.project_id(),
        tokens.join("\n")
    )
}

//! `vorhoelle notify test`: a message on demand.

use std::process::ExitCode;

use super::{Context, print};
use crate::domain::Channel;

/// Send a test message on each channel.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  vorhoelle notify test\n  vorhoelle notify test email slack --json")]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Send a test message; exit 1 where a channel did not take it.
    #[command(after_help = "Example:\n  vorhoelle notify test email slack")]
    Test {
        /// email, slack, whatsapp or todo; every one that is on where none is named.
        channels: Vec<Channel>,
        /// Print the answers as JSON.
        #[arg(long)]
        json: bool,
    },
}

pub(super) async fn run(arguments: Arguments, context: &Context) -> anyhow::Result<ExitCode> {
    let What::Test { channels, json } = arguments.what;
    let parts = context.parts().await?;
    let results = parts.notifier.test(&channels).await?;
    if json {
        print(&serde_json::to_string_pretty(&results)?);
    } else if results.is_empty() {
        print("no channel is on; set VORHOELLE_SMTP_URL, VORHOELLE_SLACK_WEBHOOK_URL or VORHOELLE_TWILIO_…");
    } else {
        for one in &results {
            let reason = one.reason.as_ref().map(|reason| format!("  {reason}")).unwrap_or_default();
            print(&format!("{:<9} {:<6} {:>5} ms{reason}", one.channel, one.outcome, one.took_ms));
        }
    }
    let fine = results.iter().all(|one| one.outcome == "ok");
    Ok(if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

//! `vorhoelle healthcheck`: whether the service on this machine lives, for images that hold nothing else to ask with.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};

use super::{Context, print};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Ask the service on this machine whether it lives: for containers.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  vorhoelle healthcheck\n  vorhoelle healthcheck --ready")]
pub(super) struct Arguments {
    /// Ask whether it has read GitLab too, and can stage and decide.
    #[arg(long)]
    ready: bool,
}

pub(super) async fn run(arguments: Arguments, context: &Context) -> anyhow::Result<ExitCode> {
    let path = if arguments.ready { "readyz" } else { "livez" };
    let url = format!("http://{}/{path}", from_here(context.environment.address()?));
    // Without certificates: what is asked is on this machine and speaks no TLS.
    let client = reqwest::Client::builder().tls_certs_only([]).no_proxy().timeout(PATIENCE).build()?;
    let answer = client.get(&url).send().await.with_context(|| {
        format!("{url} does not answer; is `vorhoelle serve` running, and VORHOELLE_LISTEN the same?")
    })?;
    if !answer.status().is_success() {
        bail!("{url} answers {}", answer.status());
    }
    print(answer.text().await?.trim_end());
    Ok(ExitCode::SUCCESS)
}

/// The address under which what listens everywhere is reached from the same machine.
fn from_here(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_listens_everywhere_is_asked_here() {
        let asked = |listen: &str| from_here(listen.parse().unwrap()).to_string();
        assert_eq!(asked("0.0.0.0:8080"), "127.0.0.1:8080");
        assert_eq!(asked("[::]:8080"), "[::1]:8080");
        assert_eq!(asked("10.0.0.7:80"), "10.0.0.7:80");
    }
}

//! What has to be right on this side: the address, the channels, the mirror.

use std::path::Path;
use std::time::Duration;

use super::Finding;
use crate::channels::Outcome;
use crate::clock::Clock;
use crate::config::{Mailer, Settings};
use crate::domain::Channel;
use crate::domain::this_machine::is_here;
use crate::mirror::Mirror;

/// How long our own address may take to answer.
const PUBLIC_DEADLINE: Duration = Duration::from_secs(5);

/// Everything on this side.
pub(super) async fn examine(settings: &Settings) -> Vec<Finding> {
    let mut findings = vec![public_url(settings).await, api(settings)];
    findings.extend(channels(settings).await);
    findings.push(events(settings).await);
    findings.extend(links(settings));
    findings.extend(quiet_hours(settings));
    findings.push(mirror(settings));
    findings
}

async fn public_url(settings: &Settings) -> Finding {
    let Some(url) = &settings.public_url else {
        return Finding::warn(
            "address",
            "VORHOELLE_PUBLIC_URL is not set",
            "GitLab and links need to know where this service is",
        );
    };
    let client = reqwest::Client::builder().timeout(PUBLIC_DEADLINE);
    let client = if is_here(url) { client.no_proxy() } else { client }.build();
    let live = format!("{}/livez", url.as_str().trim_end_matches('/'));
    let answered = match client {
        Ok(client) => client.get(&live).send().await.is_ok_and(|answer| answer.status().is_success()),
        Err(error) => {
            return Finding::fail(
                "address",
                format!("no HTTP client can be made: {error}"),
                "is the package ca-certificates installed?",
            );
        }
    };
    if !answered {
        return Finding::warn(
            "address",
            format!("{live} does not answer"),
            "start vorhoelle serve, or mend VORHOELLE_PUBLIC_URL, the proxy or the firewall",
        );
    }
    if url.scheme() == "http" && !is_here(url) {
        return Finding::warn(
            "address",
            format!("{url} is not encrypted"),
            "put a proxy with TLS in front: secrets and links travel over it",
        );
    }
    Finding::ok("address", format!("{url} answers"))
}

fn api(settings: &Settings) -> Finding {
    if settings.api_tokens.is_empty() {
        return Finding::warn("api", "nobody can use it", "set VORHOELLE_API_TOKENS to name:token");
    }
    let names: Vec<&str> = settings.api_tokens.iter().map(|token| token.name.as_str()).collect();
    Finding::ok("api", format!("tokens of {}", names.join(", ")))
}

async fn channels(settings: &Settings) -> Vec<Finding> {
    let mut findings = Vec::new();
    for channel in Channel::MESSAGES {
        let enabled = settings.policy.channels.get(&channel).is_some_and(|own| own.enabled);
        let is_set_up = match channel {
            Channel::Email => settings.channels.mail.is_some(),
            Channel::Slack => settings.channels.slack.is_some(),
            _ => settings.channels.whatsapp.is_some(),
        };
        findings.push(match (is_set_up, enabled) {
            (false, _) => Finding::ok(channel.as_str(), "is not set up"),
            (true, false) => Finding::ok(channel.as_str(), "is switched off by its setting"),
            (true, true) => probe(channel, settings).await,
        });
    }
    findings
}

/// Asks the other side without sending anything.
async fn probe(channel: Channel, settings: &Settings) -> Finding {
    let name = channel.as_str();
    let mailer = settings.channels.mail.as_ref().map(|mail| &mail.mailer);
    let (who, variables) = match (channel, mailer) {
        (Channel::Email, Some(Mailer::Folder(folder))) => {
            return match may_write(folder) {
                Ok(()) => Finding::ok(name, format!("mails are files in {}", folder.display())),
                Err(why) => {
                    let detail = format!("no mail can be written into {}: {why}", folder.display());
                    Finding::fail(
                        name,
                        detail,
                        "VORHOELLE_MAIL_FILE_DIR must name a folder that may be written",
                    )
                }
            };
        }
        (Channel::Email, Some(Mailer::Smtp(smtp))) => {
            (format!("{}:{}", smtp.host, smtp.port), "VORHOELLE_SMTP_URL")
        }
        (Channel::Email, _) => ("Gmail".to_owned(), "the VORHOELLE_GMAIL_… variables"),
        (Channel::Slack, _) => ("Slack".to_owned(), "VORHOELLE_SLACK_WEBHOOK_URL"),
        _ => ("Twilio".to_owned(), "the VORHOELLE_TWILIO_… variables"),
    };
    match crate::notify::check(&settings.channels, channel, &Clock::System).await {
        Ok(Outcome::Sent { .. }) => Finding::ok(name, format!("{who} lets us in")),
        Ok(Outcome::TryAgain { reason, .. } | Outcome::GiveUp { reason }) => {
            Finding::fail(name, reason, format!("check {variables}"))
        }
        Err(error) => Finding::fail(name, format!("{error:#}"), "is the package ca-certificates installed?"),
    }
}

/// Where events go: whether anybody answers there.
async fn events(settings: &Settings) -> Finding {
    let Some(events) = &settings.events else {
        return Finding::ok("events", "go nowhere: VORHOELLE_EVENTS_URL is not set");
    };
    let host = events.url.host_str().unwrap_or_default();
    if events.url.scheme() == "http" && !is_here(&events.url) {
        return Finding::warn(
            "events",
            format!("go to {host} without encryption"),
            "use an https:// address",
        );
    }
    match crate::outgoing::events::probe(events).await {
        Ok(_) => Finding::ok("events", format!("go to {host}, which answers")),
        Err(why) => Finding::fail("events", why, "check VORHOELLE_EVENTS_URL, and that the pipeline runs"),
    }
}

/// Whoever has one link can try keys against it at home.
fn links(settings: &Settings) -> Option<Finding> {
    settings.links.as_ref().filter(|links| links.is_guessable()).map(|_| {
        Finding::warn(
            "links",
            "VORHOELLE_LINK_SECRET is so short that it can be guessed, and with it every link that decides",
            "make another: openssl rand -hex 32",
        )
    })
}

/// GitLab's own mails know nothing of our quiet hours.
fn quiet_hours(settings: &Settings) -> Option<Finding> {
    let quiet = settings.policy.channels.values().any(|own| own.schedule.quiet.is_some());
    (quiet && settings.policy.assign).then(|| {
        Finding::warn(
            "quiet",
            "quiet hours hold our messages, not the mails that GitLab itself sends about an assignment",
            "reviewers whom they bother set their notification level of the project to Disabled in GitLab; ToDos come all the same",
        )
    })
}

/// Whether files can be made in a folder; where it is not there, in the nearest one above that is. Nothing is left behind.
fn may_write(folder: &Path) -> std::io::Result<()> {
    let there = folder.ancestors().find(|folder| folder.is_dir());
    let there = there.filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    tempfile::tempfile_in(there).map(drop)
}

fn mirror(settings: &Settings) -> Finding {
    let path = &settings.database;
    let owner = format!("{} {}", settings.gitlab.url, settings.gitlab.project);
    if !path.exists() {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        return match may_write(folder) {
            Ok(()) => Finding::ok("mirror", format!("{} will be made at the first start", path.display())),
            Err(why) => {
                let advice =
                    "VORHOELLE_DATABASE must name a file in a folder that may be written, on a local disk";
                Finding::fail("mirror", format!("{} cannot be made: {why}", path.display()), advice)
            }
        };
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let writable =
        std::fs::OpenOptions::new().append(true).open(path).map(drop).and_then(|()| may_write(folder));
    if let Err(why) = writable {
        let advice = "run doctor as the service's user; if this is that one, give it the file and its folder";
        return Finding::fail(
            "mirror",
            format!("{} cannot be written by this user: {why}", path.display()),
            advice,
        );
    }
    if Mirror::is_of_another(path) {
        let found = format!("{} is another program's database", path.display());
        return Finding::fail("mirror", found, "let VORHOELLE_DATABASE name a file of its own");
    }
    match Mirror::inspect(path, &owner) {
        Ok(counts) => {
            let all = counts.pending + counts.approved + counts.rejected + counts.sent;
            Finding::ok(
                "mirror",
                format!("{} holds {all} matches, {} of them pending", path.display(), counts.pending),
            )
        }
        Err(why) => Finding::warn(
            "mirror",
            format!("{}: {why}", path.display()),
            "serve moves it aside and reads GitLab anew",
        ),
    }
}

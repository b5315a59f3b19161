//! What has to be right in GitLab.

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::Finding;
use crate::app;
use crate::clock::Clock;
use crate::config::Settings;
use crate::domain::State;
use crate::domain::this_machine::is_here;
use crate::gitlab::labels::{LabelKind, OurLabels};
use crate::gitlab::people::{AccessLevel, Member, User};
use crate::gitlab::{Gitlab, GitlabError, Patience, Project};
use crate::metrics::Metrics;

/// How far apart the clocks may be, in seconds, before deliveries look forged.
const SKEW_LIMIT: i64 = 300;
/// From when on it is worth a word.
const SKEW_WARNING: i64 = 30;
/// How long before its end a token is warned of, in days.
const TOKEN_WARNING: i64 = 14;

/// Everything about GitLab, as far as it can be reached.
pub(super) async fn examine(gitlab: &Gitlab, settings: &Settings, metrics: &Metrics) -> Vec<Finding> {
    let mut findings = Vec::new();
    let us = match gitlab.current_user().await {
        Ok(us) => us,
        Err(error) => {
            let advice = match error.status().map(|status| status.as_u16()) {
                Some(401) => {
                    "the token is wrong, revoked or expired; make a new one and set VORHOELLE_GITLAB_TOKEN"
                }
                _ => {
                    "check VORHOELLE_GITLAB_URL, the network, and VORHOELLE_GITLAB_CA_FILE for a certificate of your own"
                }
            };
            findings.push(Finding::fail("gitlab", format!("{}: {error}", settings.gitlab.url), advice));
            return findings;
        }
    };
    findings.push(version(gitlab, settings).await);
    findings.push(token(gitlab, &us).await);
    findings.push(identity(&us, settings));
    findings.push(clock(metrics));
    let (project, info) = match gitlab.project(&settings.gitlab.project).await {
        Ok(found) => found,
        Err(error) => {
            let advice = format!("check VORHOELLE_GITLAB_PROJECT and that {} is a member", us.username);
            findings.push(Finding::fail("project", format!("{}: {error}", settings.gitlab.project), advice));
            return findings;
        }
    };
    findings.push(visibility(&info.path_with_namespace, info.visibility.as_deref(), settings));
    let members = project.members().await;
    findings.push(role(&us, members.as_deref().unwrap_or_default(), &project).await);
    findings.extend(setup_token(settings).await);
    findings.extend(reviewers(settings, &members));
    findings.push(labels(&project).await);
    findings.push(board(&project).await);
    findings.extend(super::webhook::examine(settings).await);
    findings
}

async fn version(gitlab: &Gitlab, settings: &Settings) -> Finding {
    let plain = settings.gitlab.url.scheme() == "http";
    match gitlab.version().await {
        Ok(version) if settings.webhook.signing_key.is_some() && !version.signs() => Finding::fail(
            "gitlab",
            format!("GitLab {} does not sign deliveries", version.version),
            "use VORHOELLE_WEBHOOK_SECRET in place of VORHOELLE_WEBHOOK_SIGNING_TOKEN; 19.0 is the first that signs",
        ),
        Ok(version) if plain && !is_here(&settings.gitlab.url) => Finding::warn(
            "gitlab",
            format!("GitLab {} at {}", version.version, settings.gitlab.url),
            "the token travels in the clear; use https",
        ),
        Ok(version) => {
            Finding::ok("gitlab", format!("GitLab {} at {}", version.version, settings.gitlab.url))
        }
        Err(error) => Finding::warn(
            "gitlab",
            format!("does not tell its version: {error}"),
            "nothing depends on it but signed deliveries",
        ),
    }
}

async fn token(gitlab: &Gitlab, us: &User) -> Finding {
    let token = match gitlab.token().await {
        Ok(token) => token,
        Err(error) => {
            return Finding::warn(
                "token",
                format!("works, and does not tell its scopes: {error}"),
                "it needs the scope api",
            );
        }
    };
    if !token.scopes.iter().any(|scope| scope == "api") {
        let scopes = token.scopes.join(", ");
        return Finding::fail("token", format!("has the scopes {scopes}"), "make one with the scope api");
    }
    let today = Clock::System.now().to_zoned_datetime(TimeZone::UTC).date();
    match token.expires_at {
        None => Finding::ok("token", format!("of {}, never expires", us.username)),
        Some(end) => expiry(us, today, end),
    }
}

fn expiry(us: &User, today: Date, end: Date) -> Finding {
    let days = i64::from(today.until(end).map_or(0, |span| span.get_days()));
    let detail = format!("of {}, expires on {end}, in {days} days", us.username);
    if days <= TOKEN_WARNING {
        Finding::warn(
            "token",
            detail,
            format!(
                "rotate it now and set VORHOELLE_GITLAB_TOKEN; where the new one is another user's, put {} into \
                 VORHOELLE_FORMER_USERS",
                us.id
            ),
        )
    } else {
        Finding::ok("token", detail)
    }
}

fn identity(us: &User, settings: &Settings) -> Finding {
    let reviewers = &settings.policy.reviewers;
    let is_reviewer = reviewers.usernames.iter().any(|name| name.eq_ignore_ascii_case(&us.username));
    match (is_reviewer, reviewers.enforced) {
        (true, true) => Finding::fail(
            "identity",
            format!(
                "the token is the reviewer {}'s own, and reviewers cannot be enforced with it",
                us.username
            ),
            "use a service account or a project token",
        ),
        (true, false) => Finding::warn(
            "identity",
            format!(
                "the token is the reviewer {}'s own: their acts cannot be told from the service's",
                us.username
            ),
            "use a service account or a project token",
        ),
        _ => Finding::ok("identity", format!("the service is {} in GitLab", us.username)),
    }
}

fn clock(metrics: &Metrics) -> Finding {
    let skew = metrics.clock_skew();
    let detail = format!("GitLab's is {skew} s ahead of ours");
    if skew.abs() >= SKEW_LIMIT {
        Finding::fail("clock", detail, "signed deliveries would be refused; set this machine's clock by NTP")
    } else if skew.abs() >= SKEW_WARNING {
        Finding::warn("clock", detail, "set this machine's clock by NTP")
    } else {
        Finding::ok("clock", "GitLab's and ours agree")
    }
}

fn visibility(path: &str, visibility: Option<&str>, settings: &Settings) -> Finding {
    match visibility {
        None | Some("private") => Finding::ok("project", format!("{path} is private")),
        Some(other) if settings.policy.allow_public_project => Finding::warn(
            "project",
            format!(
                "{path} is {other}: its issues show personal data to strangers, as allow_public_project says"
            ),
            "make it private",
        ),
        Some(other) => Finding::fail(
            "project",
            format!("{path} is {other}: its issues would show personal data to strangers"),
            "make it private, or set allow_public_project: true",
        ),
    }
}

async fn role(us: &User, members: &[Member], project: &Project) -> Finding {
    let level = match members.iter().find(|member| member.id == us.id) {
        Some(member) => Some(member.access_level),
        None => match project.access_level(us.id).await {
            Ok(level) => level,
            Err(error) => {
                let detail = format!("what {} may do cannot be read: {error}", us.username);
                return Finding::warn("role", detail, "try again; it needs the role Reporter or Planner");
            }
        },
    };
    match level {
        Some(level) if level >= AccessLevel::REPORTER => Finding::ok("role", "enough for everyday work"),
        Some(level) if level >= AccessLevel::PLANNER => {
            Finding::ok("role", "Planner, enough for everyday work")
        }
        Some(_) => Finding::fail(
            "role",
            format!("{} may not label and close issues", us.username),
            "give it the role Reporter or Planner",
        ),
        None => Finding::fail(
            "role",
            format!("{} is no member of the project", us.username),
            "add it as Reporter or Planner",
        ),
    }
}

/// What the second token may do, where there is one.
async fn setup_token(settings: &Settings) -> Option<Finding> {
    const CHECK: &str = "setup token";
    settings.gitlab.setup_token.as_ref()?;
    let patience = Patience { tries: 1, ..Patience::default() };
    let asked = async {
        let gitlab = app::gitlab(&settings.with_setup_token(), Clock::System, patience)?;
        let us = gitlab.current_user().await?;
        // Not every GitLab tells them.
        let scopes = gitlab.token().await.map(|token| token.scopes).ok();
        let (project, _) = gitlab.project(&settings.gitlab.project).await?;
        let level = project.access_level(us.id).await?;
        anyhow::Ok((us, scopes, level))
    };
    let make_another =
        "make a Maintainer's token with scope api and set VORHOELLE_SETUP_TOKEN, or take it away";
    Some(match asked.await {
        Ok((_, Some(scopes), _)) if !scopes.iter().any(|scope| scope == "api") => {
            Finding::fail(CHECK, format!("has the scopes {}", scopes.join(", ")), make_another)
        }
        Ok((us, _, Some(level))) if level >= AccessLevel::MAINTAINER => Finding::ok(
            CHECK,
            format!(
                "{} is Maintainer: it may set up and revive the webhook; all else is done with the everyday token",
                us.username
            ),
        ),
        Ok((us, ..)) => Finding::fail(
            CHECK,
            format!("{} is no Maintainer: it can neither set up nor revive the webhook", us.username),
            make_another,
        ),
        Err(error) => Finding::fail(CHECK, format!("{error:#}"), make_another),
    })
}

fn reviewers(settings: &Settings, members: &Result<Vec<Member>, GitlabError>) -> Vec<Finding> {
    let names = &settings.policy.reviewers.usernames;
    if names.is_empty() {
        let advice = "set VORHOELLE_REVIEWERS; without one nobody gets a ToDo";
        return vec![Finding::warn("reviewers", "nobody is named", advice)];
    }
    let members = match members {
        Ok(members) => members,
        Err(error) => {
            let detail = format!("the project's members cannot be read: {error}");
            return vec![Finding::warn(
                "reviewers",
                detail,
                "try again; each needs the role Planner or Reporter",
            )];
        }
    };
    let member = |name: &String| members.iter().find(|member| member.username.eq_ignore_ascii_case(name));
    let mut findings: Vec<Finding> = Vec::new();
    for name in names {
        match member(name) {
            None => findings.push(Finding::fail(
                "reviewers",
                format!("{name} is no member of the project"),
                "add them, or correct VORHOELLE_REVIEWERS",
            )),
            Some(member) if member.access_level < AccessLevel::PLANNER => {
                findings.push(Finding::fail(
                    "reviewers",
                    format!("{name} is a guest and may not relabel"),
                    "give them the role Planner or Reporter",
                ));
            }
            Some(_) => {}
        }
    }
    if findings.is_empty() {
        findings.push(Finding::ok("reviewers", names.join(", ")));
    }
    if !names.iter().filter_map(member).any(|member| member.access_level >= AccessLevel::MAINTAINER) {
        findings.push(Finding::warn(
            "reviewers",
            "none is Maintainer, so none may edit the service's comments in GitLab",
            "draft and tracker can be edited on the page, by API and in the file as well",
        ));
    }
    findings
}

async fn labels(project: &Project) -> Finding {
    let labels = match project.labels().await {
        Ok(labels) => labels,
        Err(error) => {
            return Finding::fail("labels", format!("cannot be read: {error}"), "check the token's role");
        }
    };
    let ours = OurLabels::find(&labels, &BTreeMap::new());
    let missing: Vec<&str> = ours.missing().into_iter().map(LabelKind::name).collect();
    let renamed: Vec<String> = LabelKind::ALL
        .into_iter()
        .filter(|kind| !missing.contains(&kind.name()) && ours.name(*kind) != kind.name())
        .map(|kind| format!("{} is called {} now", kind.name(), ours.name(kind)))
        .collect();
    if !missing.is_empty() {
        Finding::warn(
            "labels",
            format!("missing: {}", missing.join(", ")),
            "run vorhoelle setup; serve makes them too",
        )
    } else if renamed.is_empty() {
        Finding::ok("labels", "all six are there")
    } else {
        Finding::ok("labels", renamed.join(", "))
    }
}

async fn board(project: &Project) -> Finding {
    let (boards, labels) = match (project.boards().await, project.labels().await) {
        (Ok(boards), Ok(labels)) => (boards, labels),
        (Err(error), _) | (_, Err(error)) => {
            return Finding::warn(
                "board",
                format!("cannot be read: {error}"),
                "people can relabel issues all the same",
            );
        }
    };
    let ours = OurLabels::find(&labels, &BTreeMap::new());
    let shows = |board: &crate::gitlab::boards::Board, state: State| {
        let labels = board.lists.iter().filter_map(|list| list.label.as_ref());
        labels.filter_map(|label| ours.kind_of_id(label.id)).any(|kind| kind == LabelKind::State(state))
    };
    match boards.iter().find(|board| State::ALL.into_iter().all(|state| shows(board, state))) {
        Some(board) => Finding::ok("board", format!("{} has a list a state", board.name)),
        None => Finding::warn("board", "none has a list a state", "run vorhoelle setup"),
    }
}

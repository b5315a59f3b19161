//! `vorhoelle setup`: labels, board and webhook in the GitLab project. Idempotent; says what it changed.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use reqwest::StatusCode;
use secrecy::ExposeSecret;

use super::{Context, print, say};
use crate::app;
use crate::clock::Clock;
use crate::config::{Settings, SettingsError};
use crate::domain::State;
use crate::gitlab::boards::Board;
use crate::gitlab::hooks::{Hook, WantedHook};
use crate::gitlab::labels::{Label, LabelKind, OurLabels};
use crate::gitlab::{Gitlab, GitlabError, Patience, Project};

/// The board's name.
const BOARD: &str = "Job matches";
/// What to do about a webhook that is not ours.
pub(super) const WHERE_ANOTHER: &str =
    "where that is not another instance's, delete it in the project's settings, Webhooks";

/// Make labels, board and webhook in the GitLab project; says what it changed.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  VORHOELLE_PUBLIC_URL=https://jobs.example.com vorhoelle setup --dry-run\n\n\
    Needs the role Maintainer: VORHOELLE_SETUP_TOKEN is used where it is set, else VORHOELLE_GITLAB_TOKEN."
)]
pub(super) struct Arguments {
    /// Say what would be changed, and change nothing.
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(arguments: Arguments, context: &Context) -> anyhow::Result<ExitCode> {
    let settings = context.settings()?;
    let mut said = Vec::new();
    let done = set_up(&settings, arguments.dry_run, &mut said).await;
    if said.is_empty() && done.is_ok() {
        print("everything is set up already");
    }
    // Also where it did not come to the end.
    for line in said {
        print(&if arguments.dry_run { format!("would have {line}") } else { line });
    }
    for url in done? {
        say(&format!("another webhook of the project delivers matches to {url}; {WHERE_ANOTHER}"));
    }
    Ok(ExitCode::SUCCESS)
}

/// Sets the project up and says what was changed. Answers where else webhooks of the project deliver to as ours does.
pub(super) async fn set_up(
    settings: &Settings,
    dry_run: bool,
    said: &mut Vec<String>,
) -> anyhow::Result<Vec<String>> {
    let public = settings.public_url.as_ref().ok_or_else(|| {
        SettingsError(vec!["VORHOELLE_PUBLIC_URL is missing: where GitLab reaches this service".to_owned()])
    })?;
    let gitlab = app::gitlab(&settings.with_setup_token(), Clock::System, Patience::default())?;
    let project = gitlab.project(&settings.gitlab.project).await;
    if settings.gitlab.setup_token.is_some()
        && matches!(&project, Err(error) if error.status() == Some(StatusCode::UNAUTHORIZED))
    {
        bail!("GitLab refuses VORHOELLE_SETUP_TOKEN: it is wrong, expired or revoked");
    }
    let (project, _) =
        project.with_context(|| format!("the project {} cannot be read", settings.gitlab.project))?;
    check_that_it_signs(&gitlab, settings).await?;
    let labels = set_up_labels(&project, dry_run, said).await.context("the labels cannot be made")?;
    set_up_board(&project, &labels, dry_run, said).await.context("the board cannot be made")?;
    let url = format!("{}/webhooks/gitlab", public.as_str().trim_end_matches('/'));
    set_up_hook(&project, settings, &url, dry_run, said).await.map_err(|error| {
        let status = error.downcast_ref::<GitlabError>().and_then(GitlabError::status);
        error.context(match status.map(|status| status.as_u16()) {
            Some(401 | 403 | 404) => {
                "the webhook cannot be made; that needs the role Maintainer: set VORHOELLE_SETUP_TOKEN"
            }
            Some(422) => {
                "GitLab does not take the webhook; check VORHOELLE_PUBLIC_URL, and whether an administrator has to \
                 allow webhooks to the local network"
            }
            _ => "the webhook cannot be made; run setup again",
        })
    })
}

async fn check_that_it_signs(gitlab: &Gitlab, settings: &Settings) -> anyhow::Result<()> {
    if settings.webhook.signing_key.is_none() {
        return Ok(());
    }
    let version = gitlab.version().await.context("GitLab's version cannot be read")?;
    if !version.signs() {
        bail!(
            "this GitLab ({}) does not sign deliveries, GitLab 19.0 is the first that does; use \
             VORHOELLE_WEBHOOK_SECRET in place of VORHOELLE_WEBHOOK_SIGNING_TOKEN",
            version.version
        );
    }
    Ok(())
}

async fn set_up_labels(
    project: &Project,
    dry_run: bool,
    said: &mut Vec<String>,
) -> anyhow::Result<OurLabels> {
    let labels = project.labels().await?;
    let mut ours = OurLabels::find(&labels, &BTreeMap::new());
    for kind in ours.missing() {
        if !dry_run {
            let label = project.create_label(kind).await?;
            ours.insert(kind, &label);
        }
        said.push(format!("made the label {}", kind.name()));
    }
    for (kind, id) in ours.ids() {
        let label = labels.iter().find(|label| label.id == id);
        let is_ours_to_mark =
            |label: &&Label| !kind.is_marked(label) && label.is_project_label != Some(false);
        let Some(label) = label.filter(is_ours_to_mark) else { continue };
        if !dry_run {
            let marked = kind.marked(label.description.as_deref().unwrap_or_default());
            match project.describe_label(id, &marked).await {
                Err(error) if error.is_gone() => {
                    said.push(format!("left the group's label {} as it is, without its mark", label.name));
                    continue;
                }
                other => drop(other?),
            }
        }
        said.push(format!("marked the label {} in its description", label.name));
    }
    Ok(ours)
}

async fn set_up_board(
    project: &Project,
    labels: &OurLabels,
    dry_run: bool,
    said: &mut Vec<String>,
) -> anyhow::Result<()> {
    let boards = project.boards().await?;
    let wanted = State::ALL.map(LabelKind::State);
    let lists = |board: &Board| -> Vec<LabelKind> {
        board.lists.iter().filter_map(|list| labels.kind_of_id(list.label.as_ref()?.id)).collect()
    };
    // A board of another name that shows every state is as good.
    let complete = boards.iter().any(|board| wanted.iter().all(|kind| lists(board).contains(kind)));
    if complete {
        return Ok(());
    }
    let ours = boards.into_iter().find(|board| board.name == BOARD);
    let there = ours.as_ref().map(lists).unwrap_or_default();
    let is_new = ours.is_none();
    let ours = match ours {
        None if !dry_run => Some(make_board(project).await?),
        ours => ours,
    };
    if is_new {
        said.push(format!("made the board {BOARD}"));
    }
    for kind in wanted.into_iter().filter(|kind| !there.contains(kind)) {
        if let (Some(board), Some(label), false) = (&ours, labels.ids().get(&kind), dry_run)
            && let Err(error) = project.create_board_list(board.id, *label).await
        {
            // An answer that got lost: the list may be there.
            let boards = if error.is_unclear() { project.boards().await? } else { Vec::new() };
            if !boards.iter().any(|one| one.id == board.id && lists(one).contains(&kind)) {
                return Err(error.into());
            }
        }
        said.push(format!("put the list {} on the board", labels.name(kind)));
    }
    Ok(())
}

/// Makes our board. Where the answer got lost it is looked for by its name.
async fn make_board(project: &Project) -> Result<Board, GitlabError> {
    match project.create_board(BOARD).await {
        Err(error) if error.is_unclear() => {
            project.boards().await?.into_iter().find(|board| board.name == BOARD).ok_or(error)
        }
        other => other,
    }
}

/// Makes our webhook. Where the answer got lost it is looked for by its address.
async fn make_hook(project: &Project, wanted: &WantedHook<'_>) -> Result<Hook, GitlabError> {
    match project.create_hook(wanted).await {
        Err(error) if error.is_unclear() => {
            project.hooks().await?.into_iter().find(|hook| hook.url == wanted.url).ok_or(error)
        }
        other => other,
    }
}

async fn set_up_hook(
    project: &Project,
    settings: &Settings,
    url: &str,
    dry_run: bool,
    said: &mut Vec<String>,
) -> anyhow::Result<Vec<String>> {
    let secrets = &settings.webhook;
    let wanted = WantedHook {
        url,
        token: secrets.token.as_ref().map(|token| token.expose_secret()),
        signing_token: secrets.signing_key.as_ref().map(|key| key.expose()),
    };
    let hooks = project.hooks().await?;
    let others = hooks.iter().filter_map(|hook| hook.leads_elsewhere(url)).collect();
    let hook = hooks.into_iter().find(|hook| hook.url == url);
    let hook = match hook {
        // Whether it has the secret of today nobody can tell: it is set again, which changes nothing where it has.
        Some(hook) if is_right(&hook, &wanted) => {
            if dry_run {
                return Ok(others);
            }
            project.change_hook(hook.id, &wanted).await?
        }
        Some(hook) => {
            let hook = if dry_run { hook } else { project.change_hook(hook.id, &wanted).await? };
            said.push(format!("set the webhook to {url} right"));
            hook
        }
        None => {
            let made = if dry_run { None } else { Some(make_hook(project, &wanted).await?) };
            said.push(format!("made the webhook to {url}"));
            let Some(hook) = made else { return Ok(others) };
            hook
        }
    };
    if wanted.signing_token.is_some() && !dry_run && hook.signing_token_present != Some(true) {
        bail!("GitLab did not take the signing token; use VORHOELLE_WEBHOOK_SECRET in place of it");
    }
    Ok(others)
}

/// GitLab never tells a secret, only whether there is one.
fn is_right(hook: &Hook, wanted: &WantedHook<'_>) -> bool {
    hook.tells_of_everything()
        && !hook.push_events
        && (wanted.token.is_none() || hook.token_present != Some(false))
        && (wanted.signing_token.is_none() || hook.signing_token_present == Some(true))
}

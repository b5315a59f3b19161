//! `vorhoelle erase IID`: a person's data is removed, and what is left is said.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use anyhow::Context as _;
use serde::Serialize;
use serde_json::json;

use super::{Context, parts_of, print, say};
use crate::app::Parts;
use crate::config::{Mailer, Settings};
use crate::domain::Channel;
use crate::domain::posted_match::clean_line;
use crate::engine::{DecisionError, Erasure};

/// Remove a person's data from a match, as far as the token may, and say what is left and how to remove it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  vorhoelle erase 57\n  vorhoelle erase 57 --yes --json\n\n\
    It cannot be undone. A checksum stays in the issue, so that the same match is not staged again.")]
pub(super) struct Arguments {
    /// The issue's number.
    #[arg(value_parser = super::iid)]
    iid: u64,
    /// Do not ask on a terminal either.
    #[arg(long)]
    yes: bool,
    /// Print what was removed and what is left as JSON.
    #[arg(long)]
    json: bool,
}

/// Something that is left, and how it goes.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Left {
    what: String,
    how: String,
}

pub(super) async fn run(arguments: Arguments, context: &Context) -> anyhow::Result<ExitCode> {
    let iid = arguments.iid;
    let settings = context.settings()?;
    let Parts { engine, .. } = parts_of(settings.clone()).await?;
    if !arguments.yes && !confirmed(&engine, iid)? {
        say("nothing was removed");
        return Ok(ExitCode::FAILURE);
    }
    engine.set_follows(true);
    let erasure = engine.erase(iid).await;
    engine.mirror().checkpoint();
    let erasure = erasure.with_context(|| format!("the data of #{iid} could not be removed"))?;
    let (removed, left) = (removed(&erasure), left(&erasure, &settings));
    if arguments.json {
        let answer = json!({
            "iid": iid,
            "web_url": erasure.web_url,
            "removed": removed,
            "left": left,
            "is_recognised": erasure.is_recognised,
            "same_contact": erasure.same_contact,
        });
        print(&serde_json::to_string_pretty(&answer)?);
        return Ok(ExitCode::SUCCESS);
    }
    print(&format!("#{iid} {}", erasure.web_url));
    print("\nRemoved:");
    removed.iter().for_each(|one| print(&format!("- {one}")));
    print("\nLeft, and how to remove it:");
    left.iter().for_each(|Left { what, how }| print(&format!("- {what}\n    {how}")));
    print(if erasure.is_recognised {
        "\nPosting this match again is answered with 410."
    } else {
        "\nThis match has neither source and number, nor address, nor company and location: posted again, it is not recognised."
    });
    if !erasure.same_contact.is_empty() {
        let iids: Vec<String> = erasure.same_contact.iter().map(|iid| format!("#{iid}")).collect();
        print(&format!("\nThe same contact stands in {}: erase those too.", iids.join(", ")));
    }
    Ok(ExitCode::SUCCESS)
}

/// Asks on a terminal, where a number may be mistyped; elsewhere the command is the order.
fn confirmed(engine: &crate::engine::Engine, iid: u64) -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Ok(true);
    }
    let Some(record) = engine.mirror().record(iid)? else {
        return Err(DecisionError::Unknown(iid).into());
    };
    say(&format!("#{iid} {}\n{}", clean_line(&record.job.title), record.web_url));
    say("Remove its text, our comments and its place on the board? This cannot be undone. [y/N]");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn removed(erasure: &Erasure) -> Vec<String> {
    let mut removed = vec!["title, text and labels of the issue, which is closed".to_owned()];
    if !erasure.second_issues.is_empty() {
        let iids: Vec<String> = erasure.second_issues.iter().map(|iid| format!("#{iid}")).collect();
        removed.push(format!("the same of {}, made for the same match", iids.join(", ")));
    }
    if erasure.comments > 0 {
        removed.push(format!("the text of {} of our comments", erasure.comments));
    }
    let mirror = match erasure.earlier_mirrors.unread {
        None => "the mirror",
        Some(_) => "this command's own mirror",
    };
    removed.push(format!("what {mirror} knew of it, and answers that were kept for repeats"));
    if erasure.earlier_mirrors.has_removed {
        removed.push("earlier mirrors: moved aside, or made by commands for themselves".to_owned());
    }
    removed
}

fn left(erasure: &Erasure, settings: &Settings) -> Vec<Left> {
    let mut left = Vec::new();
    let mut add = |what: String, how: &str| left.push(Left { what, how: how.to_owned() });
    add(
        "earlier versions of the text, in the issue's history".to_owned(),
        "in the issue: \"Compare with previous version\", then the bin. Where your GitLab shows no versions it may keep them \
         all the same; then only deleting the issue helps, and with it goes the checksum",
    );
    add(
        "the earlier title, in GitLab's own line about its change".to_owned(),
        "goes only with the issue: a Planner or Owner deletes it",
    );
    add(
        "mails that GitLab itself sent about the issue".to_owned(),
        "delete them in the mailboxes of the project's members",
    );
    if erasure.comments_of_earlier_bots > 0 {
        add(
            format!("{} comments of an earlier bot", erasure.comments_of_earlier_bots),
            "a Maintainer deletes them in the issue: this token may not",
        );
    }
    if !erasure.others_who_commented.is_empty() {
        add(
            format!("comments by {}", erasure.others_who_commented.join(", ")),
            "look whether they name the person; they, or a Maintainer, edit or delete them in the issue",
        );
    }
    if let Some(file) = &erasure.earlier_mirrors.unread {
        add(
            format!(
                "what the service's mirror {} knows of it, which this command could not use",
                file.display()
            ),
            "start `vorhoelle serve`, which keeps it up or moves it aside, and erase this again; or delete the file, and with \
             it its -wal and -shm, where no service runs",
        );
    }
    for file in &erasure.earlier_mirrors.left {
        add(format!("an earlier mirror, {}, which this user may not delete", file.display()), "delete it");
    }
    for channel in &erasure.told {
        let how = match (channel, settings.channels.mail.as_ref().map(|mail| &mail.mailer)) {
            (Channel::Email, Some(Mailer::Folder(folder))) => {
                format!("delete them in {} and wherever they went", folder.display())
            }
            (Channel::Email, _) => "delete them in the recipients' mailboxes".to_owned(),
            (Channel::Slack, _) => "delete them in Slack".to_owned(),
            _ => "delete them in WhatsApp, and in the log of the Twilio console".to_owned(),
        };
        add(format!("messages by {channel}"), &how);
    }
    for sheet in &erasure.sheets {
        add(format!("its row in {sheet}"), &format!("`vorhoelle csv sync {sheet}` blanks it"));
    }
    add(
        "rows in spreadsheets that were exported or synchronised, and their backups".to_owned(),
        "the next `vorhoelle csv sync`, export or import of a file blanks its row; FILE.bak and FILE.conflicts.csv keep what \
         stood there, and so do copies: delete it in those",
    );
    add(
        "backups of GitLab, and what your pipeline keeps".to_owned(),
        "they are out of our reach; tell whoever keeps them",
    );
    left
}

//! Slack, by an incoming webhook.
//!
//! What Slack takes: <https://docs.slack.dev/reference/block-kit/blocks>; what it answers:
//! <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks#handling_errors>. A webhook takes one
//! message a second and answers `200` with the body `ok`, or a status with one word of what is wrong.

use reqwest::Client;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde_json::{Value, json};

use super::Outcome;
use super::http::{self, Answer, call};

const PEER: &str = "Slack";
const VARIABLE: &str = "VORHOELLE_SLACK_WEBHOOK_URL";

/// A message in Block Kit, inside Slack's limits: `notify::render` makes it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SlackMessage {
    /// What shows where blocks do not: in notifications, and to screen readers.
    pub text: String,
    /// The blocks.
    pub blocks: Vec<Value>,
    /// Whether Slack looks at the pages that links lead to. It must not: they want a login or ask a question.
    pub unfurl_links: bool,
    /// The same of pictures.
    pub unfurl_media: bool,
}

/// A channel of a Slack workspace.
#[derive(Debug)]
pub struct Slack {
    http: Client,
    webhook_url: SecretString,
}

impl Slack {
    /// The channel that belongs to a webhook. Who knows its address can write there, so it is a secret.
    ///
    /// # Errors
    ///
    /// Where it is no http(s) address, or TLS cannot be set up.
    pub fn new(webhook_url: SecretString) -> anyhow::Result<Self> {
        let url = http::peer_url(webhook_url.expose_secret(), VARIABLE)?;
        Ok(Self { http: http::client(&url)?, webhook_url })
    }

    /// Sends a message.
    pub async fn send(&self, message: &SlackMessage) -> Outcome {
        match call(PEER, self.http.post(self.webhook_url.expose_secret()).json(message)).await {
            Ok(answer) => self.outcome(answer),
            Err(lost) => lost.into(),
        }
    }

    /// Sends nothing: a webhook that is alive says that there is nothing to show.
    pub async fn check(&self) -> Outcome {
        match call(PEER, self.http.post(self.webhook_url.expose_secret()).json(&json!({}))).await {
            Ok(answer) if answer.body.trim() == "no_text" => Outcome::Sent { id: None },
            Ok(answer) => self.outcome(answer),
            Err(lost) => lost.into(),
        }
    }

    /// What an answer means. A page of Slack's may name the address that was asked for.
    fn outcome(&self, answer: Answer) -> Outcome {
        let address = self.webhook_url.expose_secret();
        let path = address.splitn(4, '/').nth(3).unwrap_or_default();
        outcome(&answer.without(&[address, path]))
    }
}

fn outcome(answer: &Answer) -> Outcome {
    let word = answer.body.trim();
    if answer.status.is_success() {
        return if word == "ok" {
            Outcome::Sent { id: None }
        } else {
            let reason = format!(
                "the answer was not Slack's `ok` but: {}; does {VARIABLE} lead to Slack?",
                http::words(word)
            );
            Outcome::TryAgain { after: None, reason, unclear: true }
        };
    }
    if let Some(outcome) = answer.try_again(PEER) {
        return outcome;
    }
    let status = answer.status.as_u16();
    let said = if word.is_empty() { status.to_string() } else { format!("{status} {}", http::words(word)) };
    Outcome::GiveUp { reason: format!("Slack refuses ({said}): {}", what_to_do(status, word)) }
}

/// What a person can do about a refusal: Slack's words first, for its statuses say less.
fn what_to_do(status: u16, word: &str) -> String {
    let renew = format!("make a new incoming webhook in Slack and put its address into {VARIABLE}");
    match word {
        "invalid_token" | "no_active_hooks" | "no_service" | "no_service_id" | "no_team" | "team_disabled" => {
            format!("the webhook was removed or switched off, or its address is not whole; {renew}")
        }
        "channel_not_found" => format!("the channel of the webhook is gone; {renew}"),
        "channel_is_archived" | "is_archived" => {
            format!("the channel of the webhook is archived; unarchive it, or {renew}")
        }
        "action_prohibited" | "posting_to_general_channel_denied" => {
            "an administrator of the workspace does not let the webhook write to this channel; ask them, or choose \
             another channel"
                .to_owned()
        }
        "user_not_found" => format!("whom the webhook wrote to is gone; {renew}"),
        "msg_too_long" | "msg_blocks_too_long" | "invalid_payload" | "no_text" | "invalid_blocks" | "invalid_blocks_format" | "too_many_attachments" => {
            "the message is not what Slack takes; if templates/slack was changed, go back to the original".to_owned()
        }
        _ => match status {
            301..=308 => format!("the address leads elsewhere, and messages are not carried on; {renew}"),
            401 | 403 => format!("the webhook is not allowed to write; {renew}"),
            404 | 410 => format!("there is no such webhook any more; {renew}"),
            413 => "the message is too large; if templates/slack was changed, go back to the original".to_owned(),
            _ => format!("that is nothing that Slack documents; look whether {VARIABLE} is right"),
        },
    }
}

//! Stand-ins of the two chats that messages go to: a Slack incoming webhook, and Twilio's Messages for WhatsApp. They
//! take what the real ones document and refuse the rest as those do; what came last is shown on a page.

pub(super) mod markup;
mod slack;
mod twilio;

use std::collections::VecDeque;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::Value;

use super::Sandbox;
use super::request::{Reply, segments};
use super::world::World;

/// How many messages are kept.
const KEPT: usize = 60;

/// A message that a chat took.
#[derive(Clone, Debug, PartialEq)]
pub enum ChatMessage {
    /// For Slack's channel.
    Slack {
        /// What shows in notifications.
        text: String,
        /// Block Kit, as it came.
        blocks: Vec<Value>,
    },
    /// For the person's WhatsApp.
    WhatsApp {
        /// Twilio's id of it.
        sid: String,
        /// From whom, without `whatsapp:`.
        from: String,
        /// To whom, without `whatsapp:`.
        to: String,
        /// The text, or a template's values.
        content: ChatContent,
    },
}

/// What a WhatsApp message says.
#[derive(Clone, Debug, PartialEq)]
pub enum ChatContent {
    /// Free-form text.
    Text(String),
    /// The values of a template; the sandbox does not know its words.
    Template {
        /// Its id.
        sid: String,
        /// The values by their names, in their order.
        values: Vec<(String, String)>,
    },
}

/// The messages that came last, oldest first.
#[derive(Debug, Default)]
pub struct Chats {
    /// With when each came.
    pub messages: VecDeque<(Timestamp, ChatMessage)>,
}

impl Chats {
    fn keep(&mut self, at: Timestamp, message: ChatMessage) {
        if self.messages.len() == KEPT {
            self.messages.pop_front();
        }
        self.messages.push_back((at, message));
    }

    /// When the message with an id of Twilio's came, and it.
    fn by_sid(&self, wanted: &str) -> Option<&(Timestamp, ChatMessage)> {
        let is_it =
            |message: &ChatMessage| matches!(message, ChatMessage::WhatsApp { sid, .. } if sid == wanted);
        self.messages.iter().find(|(_, message)| is_it(message))
    }
}

impl Sandbox {
    /// The address of the Slack channel's incoming webhook.
    pub fn slack_webhook_url(&self) -> String {
        format!("{}{}", self.url(), slack::PATH)
    }

    /// Account, token and sender of the stand-in for Twilio, whose API address is the sandbox's own.
    pub fn twilio(&self) -> [&'static str; 3] {
        [twilio::ACCOUNT, twilio::TOKEN, twilio::SENDER]
    }
}

/// Answers a call to one of the chats; none where it is to something else.
pub(super) fn answer(world: &mut World, call: &http::Request<Bytes>, path: &str) -> Option<Reply> {
    let path = segments(path);
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    match path.as_slice() {
        ["services", rest @ ..] => Some(slack::answer(world, call, rest)),
        ["2010-04-01", "Accounts", rest @ ..] => Some(twilio::answer(world, call, rest)),
        _ => None,
    }
}

/// How long a text is to either of them: both count UTF-16.
fn length(text: &str) -> usize {
    text.encode_utf16().count()
}

/// The type of a call's body, without its parameters.
fn content_type(call: &http::Request<Bytes>) -> &str {
    let value = call.headers().get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    value.unwrap_or_default().split(';').next().unwrap_or_default().trim()
}

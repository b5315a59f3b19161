//! An incoming webhook of Slack.
//!
//! What it answers: <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks#handling_errors>; what a
//! block may hold: <https://docs.slack.dev/reference/block-kit/blocks>. It knows the blocks that text messages are made
//! of; pictures, forms and the like it refuses.

use bytes::Bytes;
use http::Method;
use serde_json::Value;

use super::super::request::Reply;
use super::super::world::World;
use super::{ChatMessage, content_type, length};

/// Where the webhook is; workspace, channel and the secret part.
pub(super) const PATH: &str = "/services/T0SANDBOX/B0SANDBOX/sandboxslackwebhook";

const BLOCKS: usize = 50;
const HEADER: usize = 150;
const TEXT: usize = 3_000;
const FIELDS: usize = 10;
const FIELD: usize = 2_000;
const CONTEXT_ELEMENTS: usize = 10;
const ACTIONS_ELEMENTS: usize = 25;
const BUTTON: usize = 75;
const URL: usize = 3_000;
const VALUE: usize = 2_000;
const ID: usize = 255;
/// What all blocks together may have is not documented; `msg_blocks_too_long` was seen from about here on, see
/// <https://github.com/slackapi/bolt-js/issues/2509>.
const WHOLE: usize = 12_000;
/// A longer text is cut, not refused.
const FALLBACK: usize = 40_000;

/// A refusal: its status and its one word.
type Refused = (u16, &'static str);

pub(super) fn answer(world: &mut World, call: &http::Request<Bytes>, path: &[&str]) -> Reply {
    let (status, word) = match take(call, path) {
        Ok(message) => {
            let now = world.now();
            world.chats.keep(now, message);
            (200, "ok")
        }
        Err(refused) => refused,
    };
    Reply::of("text/html", status, word.to_owned())
}

fn take(call: &http::Request<Bytes>, path: &[&str]) -> Result<ChatMessage, Refused> {
    let ours: Vec<&str> = PATH.split('/').skip(2).collect();
    match path {
        [team, ..] if *team != ours[0] => return Err((404, "no_team")),
        [_, service, ..] if *service != ours[1] => return Err((404, "no_service")),
        path if path != ours => return Err((403, "invalid_token")),
        _ => {}
    }
    let invalid = (400, "invalid_payload");
    if call.method() != Method::POST {
        return Err(invalid);
    }
    // A form with the JSON in its field `payload` is the older way.
    let form = |body: &[u8]| {
        let mut fields = url::form_urlencoded::parse(body);
        fields.find(|(name, _)| name == "payload").map(|(_, value)| value.into_owned().into_bytes())
    };
    let json = match content_type(call) {
        "application/x-www-form-urlencoded" => form(call.body()).ok_or(invalid)?,
        _ => call.body().to_vec(),
    };
    let message: Value = serde_json::from_slice(&json).map_err(|_| invalid)?;
    let message = message.as_object().ok_or(invalid)?;
    let text = match message.get("text") {
        None | Some(Value::Null) => "",
        Some(text) => text.as_str().ok_or(invalid)?,
    };
    let blocks = match message.get("blocks") {
        None | Some(Value::Null) => &[],
        Some(blocks) => blocks.as_array().ok_or((400, "invalid_blocks_format"))?.as_slice(),
    };
    if text.trim().is_empty() && blocks.is_empty() {
        return Err((400, "no_text"));
    }
    if blocks.len() > BLOCKS || !blocks.iter().all(is_block) || !ids_differ(blocks) {
        return Err((400, "invalid_blocks"));
    }
    if length(&Value::from(blocks).to_string()) > WHOLE {
        return Err((400, "msg_blocks_too_long"));
    }
    Ok(ChatMessage::Slack { text: text.chars().take(FALLBACK).collect(), blocks: blocks.to_vec() })
}

fn is_block(block: &Value) -> bool {
    let fine = match block["type"].as_str() {
        Some("header") => is_text(&block["text"], HEADER, &["plain_text"]),
        Some("section") => is_section(block),
        Some("context") => elements(block, CONTEXT_ELEMENTS, |one| is_text(one, TEXT, &KINDS)),
        Some("actions") => elements(block, ACTIONS_ELEMENTS, is_button),
        Some("divider") => true,
        _ => false,
    };
    fine && is_optional(&block["block_id"], ID)
}

/// The kinds of text that are allowed unless a place says otherwise.
const KINDS: [&str; 2] = ["plain_text", "mrkdwn"];

fn is_section(block: &Value) -> bool {
    let (text, fields) = (&block["text"], &block["fields"]);
    let said = !text.is_null() || !fields.is_null();
    let fields = match fields {
        Value::Null => true,
        Value::Array(all) => {
            (1..=FIELDS).contains(&all.len()) && all.iter().all(|one| is_text(one, FIELD, &KINDS))
        }
        _ => false,
    };
    let accessory = block["accessory"].is_null() || is_button(&block["accessory"]);
    said && fields && accessory && (text.is_null() || is_text(text, TEXT, &KINDS))
}

fn elements(block: &Value, most: usize, fits: fn(&Value) -> bool) -> bool {
    block["elements"].as_array().is_some_and(|all| (1..=most).contains(&all.len()) && all.iter().all(fits))
}

fn is_text(object: &Value, limit: usize, kinds: &[&str]) -> bool {
    let kind = object["type"].as_str().unwrap_or_default();
    let text = object["text"].as_str().unwrap_or_default();
    // Each belongs to one of the kinds alone.
    let switch = |name: &str, of: &str| object[name].is_null() || (object[name].is_boolean() && kind == of);
    kinds.contains(&kind)
        && (1..=limit).contains(&length(text))
        && switch("emoji", "plain_text")
        && switch("verbatim", "mrkdwn")
}

fn is_button(element: &Value) -> bool {
    let url = &element["url"];
    let leads = url.is_null() || url.as_str().is_some_and(|url| url::Url::parse(url).is_ok());
    element["type"] == "button"
        && is_text(&element["text"], BUTTON, &["plain_text"])
        && is_optional(url, URL)
        && leads
        && is_optional(&element["value"], VALUE)
        && is_optional(&element["action_id"], ID)
        && (element["style"].is_null() || element["style"] == "primary" || element["style"] == "danger")
}

fn is_optional(value: &Value, limit: usize) -> bool {
    value.is_null() || value.as_str().is_some_and(|text| (1..=limit).contains(&length(text)))
}

/// A name of a block is its own in the message.
fn ids_differ(blocks: &[Value]) -> bool {
    let ids: Vec<&str> = blocks.iter().filter_map(|block| block["block_id"].as_str()).collect();
    ids.iter().enumerate().all(|(at, id)| !ids[..at].contains(id))
}

//! A notice for Slack: Block Kit from `templates/slack/`, checked against Slack's limits before it leaves.
//!
//! Foreign text reaches the template inert and cut, for `mrkdwn` texts; a header, which is `plain_text` and would show the
//! entities, holds our own words. Links that decide are link buttons. All others are links in the text: Slack reports
//! every pressed button to the app behind the webhook, and may mark it with a warning where nobody answers.

use serde::Deserialize;
use serde_json::{Value, json};

use super::RenderError;
use super::facts::{self, Sizes};
use crate::channels::slack::SlackMessage;
use crate::domain::inert::{SlackMarkup, chat_length};
use crate::notify::Notice;
use crate::templates::Templates;

/// Most matches shown: two blocks each, and room for what stands around them.
const MOST_SHOWN: usize = 20;
/// For a message about one match.
const ONE: Sizes = Sizes { title: 250, line: 200, skill: 60, skills: 8, summary: 900 };
/// For one of several: the reasons are one line.
const SEVERAL: Sizes = Sizes { title: 120, line: 60, skill: 24, skills: 5, summary: 140 };

/// The most that Slack takes, in characters: <https://docs.slack.dev/reference/block-kit/blocks>.
const BLOCKS: usize = 50;
const HEADER: usize = 150;
const TEXT: usize = 3_000;
const FIELDS: usize = 10;
const FIELD: usize = 2_000;
const ELEMENTS: usize = 10;
const BUTTON: usize = 75;
const URL: usize = 3_000;
/// The most that all blocks together may have, in bytes of JSON. Slack documents no limit and answers
/// `msg_blocks_too_long` from about 12,000 characters on (<https://github.com/slackapi/bolt-js/issues/2509>); how it counts
/// is not known, so this counts most.
const WHOLE: usize = 10_000;
/// Slack cuts the fallback at 40,000 and advises 4,000.
const FALLBACK: usize = 4_000;

/// What the template makes.
#[derive(Deserialize)]
struct Made {
    text: String,
    blocks: Vec<Value>,
}

/// A notice as a Slack message.
///
/// # Errors
///
/// Where the template is wrong or makes what Slack would refuse; never because of what a match holds.
pub fn slack(templates: &Templates, notice: &Notice) -> Result<SlackMessage, RenderError> {
    let template = format!("slack/notice.{}.json", notice.language.pick("de", "en"));
    for (shown, sizes) in attempts(notice.matches.len()) {
        let made = make(templates, &template, notice, shown, sizes)?;
        if let Err(what) = check(&made) {
            return Err(RenderError::Refused { template, what });
        }
        if json!(made.blocks).to_string().len() <= WHOLE {
            let Made { text, blocks } = made;
            return Ok(SlackMessage { text, blocks, unfurl_links: false, unfurl_media: false });
        }
    }
    let what = format!("even without any match the blocks have more than {WHOLE} bytes");
    Err(RenderError::Refused { template, what })
}

/// What is tried, from most to least: how many matches, with how many words.
fn attempts(matches: usize) -> impl Iterator<Item = (usize, Sizes)> {
    let all = matches.min(MOST_SHOWN);
    let one = (all == 1).then_some((1, ONE));
    one.into_iter().chain((0..=all).rev().map(|shown| (shown, SEVERAL)))
}

fn make(
    templates: &Templates,
    template: &str,
    notice: &Notice,
    shown: usize,
    sizes: Sizes,
) -> Result<Made, RenderError> {
    let inert = |text: &str, limit| SlackMarkup::new(text, limit).as_str().to_owned();
    let mut context = facts::context(notice, shown, sizes, inert);
    escape_links(&mut context);
    let rendered = templates.render(template, context)?;
    serde_json::from_str(&rendered)
        .map_err(|error| RenderError::NoJson { template: template.to_owned(), error })
}

/// In mrkdwn an address is text, so that its ampersands are entities; in a button it is an address. Both are there.
fn escape_links(context: &mut Value) {
    let escape = |object: &mut Value, name: &str| {
        let escaped = object[name].as_str().map(|link| link.replace('&', "&amp;"));
        object[format!("{name}_markup")] = json!(escaped);
    };
    escape(context, "list_url");
    escape(context, "inbox_url");
    for shown in context["matches"].as_array_mut().into_iter().flatten() {
        escape(shown, "url");
    }
}

fn check(made: &Made) -> Result<(), String> {
    length("text", &made.text, FALLBACK)?;
    count("blocks", made.blocks.len(), BLOCKS)?;
    made.blocks.iter().enumerate().try_for_each(|(index, block)| {
        check_block(block).map_err(|what| format!("block {}: {what}", index + 1))
    })
}

fn check_block(block: &Value) -> Result<(), String> {
    match block["type"].as_str().unwrap_or_default() {
        "header" => text_object(&block["text"], HEADER, &["plain_text"]),
        "section" => {
            let fields = list(&block["fields"]);
            if !fields.is_empty() {
                count("fields", fields.len(), FIELDS)?;
                fields.iter().try_for_each(|field| text_object(field, FIELD, &["plain_text", "mrkdwn"]))?;
            }
            if fields.is_empty() || !block["text"].is_null() {
                text_object(&block["text"], TEXT, &["plain_text", "mrkdwn"])?;
            }
            if block["accessory"].is_null() { Ok(()) } else { button(&block["accessory"]) }
        }
        "context" => {
            let elements = list(&block["elements"]);
            count("elements", elements.len(), ELEMENTS)?;
            elements.iter().try_for_each(|element| text_object(element, TEXT, &["plain_text", "mrkdwn"]))
        }
        "actions" => {
            let elements = list(&block["elements"]);
            count("elements", elements.len(), ELEMENTS)?;
            elements.iter().try_for_each(button)
        }
        "divider" => Ok(()),
        other => Err(format!("a block of type `{other}`; use header, section, context, actions or divider")),
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text_object(object: &Value, limit: usize, kinds: &[&str]) -> Result<(), String> {
    let kind = object["type"].as_str().unwrap_or_default();
    if !kinds.contains(&kind) {
        return Err(format!("a text of type `{kind}`; use {}", kinds.join(" or ")));
    }
    length("text", object["text"].as_str().unwrap_or_default(), limit)
}

fn button(element: &Value) -> Result<(), String> {
    if element["type"] != "button" {
        return Err("an element that is no button".to_owned());
    }
    text_object(&element["text"], BUTTON, &["plain_text"])?;
    let url = element["url"].as_str().unwrap_or_default();
    length("url", url, URL)?;
    if url.starts_with("https://") || url.starts_with("http://") {
        Ok(())
    } else {
        Err("a button whose url is no http(s) address".to_owned())
    }
}

fn length(name: &str, text: &str, limit: usize) -> Result<(), String> {
    match chat_length(text.trim()) {
        0 => Err(format!("{name} is empty")),
        length if length > limit => Err(format!("{name} has {length} characters, {limit} are allowed")),
        _ => Ok(()),
    }
}

fn count(name: &str, number: usize, limit: usize) -> Result<(), String> {
    match number {
        0 => Err(format!("{name} is empty")),
        number if number > limit => Err(format!("{number} {name}, {limit} are allowed")),
        _ => Ok(()),
    }
}

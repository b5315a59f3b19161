//! What came for Slack and WhatsApp, about as it looks there.

use serde_json::{Value, json};

use super::super::chats::markup::{Markup, to_html};
use super::super::chats::{ChatContent, ChatMessage};
use super::super::world::World;
use super::views::shown;

/// The page of both chats, newest first.
pub(super) fn view(world: &World) -> (&'static str, Value) {
    let (mut slack, mut whatsapp) = (Vec::new(), Vec::new());
    for (at, message) in world.chats.messages.iter().rev() {
        let at = shown(*at);
        match message {
            ChatMessage::Slack { text, blocks } => {
                let blocks: Vec<Value> = blocks.iter().map(block).collect();
                slack.push(json!({"at": at, "text": text, "blocks": blocks}));
            }
            ChatMessage::WhatsApp { from, to, content, .. } => whatsapp.push(json!({
                "at": at, "from": from, "to": to, "template": matches!(content, ChatContent::Template { .. }),
                "html": to_html(&words(content), Markup::WhatsApp),
            })),
        }
    }
    ("chats.html", json!({ "slack": slack, "whatsapp": whatsapp }))
}

/// A message's text; of a template, whose words the sandbox does not know, one value a line.
fn words(content: &ChatContent) -> String {
    match content {
        ChatContent::Text(text) => text.clone(),
        ChatContent::Template { values, .. } => {
            values.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>().join("\n")
        }
    }
}

/// A block as the template shows it: texts are HTML already.
fn block(block: &Value) -> Value {
    let list = |name: &str| block[name].as_array().map(Vec::as_slice).unwrap_or_default();
    let texts = |name: &str| list(name).iter().map(text).collect::<Vec<_>>();
    match block["type"].as_str() {
        Some("header") => json!({"type": "header", "text": text(&block["text"])}),
        Some("section") => json!({
            "type": "section", "text": (!block["text"].is_null()).then(|| text(&block["text"])),
            "fields": texts("fields"), "buttons": buttons(std::slice::from_ref(&block["accessory"])),
        }),
        Some("context") => json!({"type": "context", "elements": texts("elements")}),
        Some("actions") => json!({"type": "actions", "buttons": buttons(list("elements"))}),
        _ => json!({"type": "divider"}),
    }
}

fn text(object: &Value) -> String {
    let text = object["text"].as_str().unwrap_or_default();
    if object["type"] == "mrkdwn" {
        return to_html(text, Markup::Slack { verbatim: object["verbatim"] == true });
    }
    // Plain text is shown as it is, entities and all.
    super::super::chats::markup::escaped(text)
}

fn buttons(elements: &[Value]) -> Vec<Value> {
    let shown = |element: &&Value| element["type"] == "button";
    let one = |element: &Value| {
        // A button may lead anywhere in Slack; here it does to pages only.
        let url =
            element["url"].as_str().filter(|url| url.starts_with("https://") || url.starts_with("http://"));
        json!({"text": text(&element["text"]), "url": url, "style": element["style"]})
    };
    elements.iter().filter(shown).map(one).collect()
}

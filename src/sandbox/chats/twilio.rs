//! Twilio's Messages resource, for WhatsApp alone: <https://www.twilio.com/docs/messaging/api/message-resource>.
//!
//! What it refuses has the number that Twilio gives it: <https://www.twilio.com/docs/api/errors>. The person is always
//! within the 24 hours in which free-form text may be sent.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::request::Reply;
use super::super::world::World;
use super::{ChatContent, ChatMessage, content_type, length};

/// The account.
pub(super) const ACCOUNT: &str = "AC5a4db0c5a4db0c5a4db0c5a4db0c5a4d";
/// Its token.
pub(super) const TOKEN: &str = "sandbox-twilio-token";
/// The one number that it may send from.
pub(super) const SENDER: &str = "whatsapp:+14155238886";

const BODY: usize = 1_600;
const MEDIA: usize = 10;

/// A refusal: status, number, words.
struct Refused(u16, u32, String);

impl From<Refused> for Reply {
    fn from(Refused(status, code, message): Refused) -> Self {
        let more_info = format!("https://www.twilio.com/docs/errors/{code}");
        let body = json!({"code": code, "message": message, "more_info": more_info, "status": status});
        Self::json(status, &body)
    }
}

pub(super) fn answer(world: &mut World, call: &http::Request<Bytes>, path: &[&str]) -> Reply {
    act(world, call, path).unwrap_or_else(Reply::from)
}

fn act(world: &mut World, call: &http::Request<Bytes>, path: &[&str]) -> Result<Reply, Refused> {
    if !is_authorized(call) {
        return Err(Refused(401, 20_003, "Authenticate".to_owned()));
    }
    let unknown = || {
        let path = call.uri().path();
        Refused(404, 20_404, format!("The requested resource {path} was not found"))
    };
    match (call.method(), path) {
        (&Method::POST, [ACCOUNT, "Messages.json"]) => {
            let (from, to, content) = read(call)?;
            let sid = format!("SM{:032x}", world.id("twilio message", 1));
            let now = world.now();
            world.chats.keep(now, ChatMessage::WhatsApp { sid: sid.clone(), from, to, content });
            shown(world, &sid, "queued").map(|body| Reply::json(201, &body)).ok_or_else(unknown)
        }
        (&Method::GET, [ACCOUNT, "Messages", sid]) => {
            let sid = sid.strip_suffix(".json").ok_or_else(unknown)?;
            shown(world, sid, "delivered").map(|body| Reply::json(200, &body)).ok_or_else(unknown)
        }
        (&Method::GET, [account]) if account.strip_suffix(".json") == Some(ACCOUNT) => {
            let body =
                json!({"sid": ACCOUNT, "friendly_name": "Sandbox", "status": "active", "type": "Trial"});
            Ok(Reply::json(200, &body))
        }
        _ => Err(unknown()),
    }
}

fn is_authorized(call: &http::Request<Bytes>) -> bool {
    let given = call.headers().get(http::header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    given.and_then(|given| given.strip_prefix("Basic ")) == Some(&BASE64.encode(format!("{ACCOUNT}:{TOKEN}")))
}

/// Reads sender, recipient and what is said.
fn read(call: &http::Request<Bytes>) -> Result<(String, String, ChatContent), Refused> {
    let mut fields: BTreeMap<String, String> = BTreeMap::new();
    let mut media = 0;
    if content_type(call) == "application/x-www-form-urlencoded" {
        for (name, value) in url::form_urlencoded::parse(call.body()) {
            media += usize::from(name == "MediaUrl");
            fields.insert(name.into_owned(), value.into_owned());
        }
    }
    let field = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
    let refused = |code, message: &str| Refused(400, code, message.to_owned());
    let (to, from) = (field("To"), field("From"));
    if to.is_empty() {
        return Err(refused(21_604, "A 'To' phone number is required."));
    }
    if from.is_empty() {
        return Err(refused(21_603, "A 'From' phone number is required."));
    }
    let Some(to) = to.strip_prefix("whatsapp:") else {
        let message = "Invalid From and To pair. From and To should be of the same channel";
        return Err(refused(63_007, message));
    };
    if !is_number(to) {
        return Err(refused(21_211, &format!("Invalid 'To' Phone Number: {to}")));
    }
    if from != SENDER {
        return Err(refused(63_007, "Twilio could not find a Channel with the specified From address"));
    }
    if media > MEDIA {
        return Err(refused(21_623, "Number of media files exceeds allowed limit"));
    }
    let from = from.trim_start_matches("whatsapp:").to_owned();
    Ok((from, to.to_owned(), said(field("Body"), field("ContentSid"), field("ContentVariables"))?))
}

fn said(body: &str, template: &str, variables: &str) -> Result<ChatContent, Refused> {
    let refused = |code, message: &str| Refused(400, code, message.to_owned());
    if template.is_empty() {
        return match length(body) {
            0 => Err(refused(21_619, "A text message body or media urls must be specified.")),
            count if count > BODY => {
                Err(refused(21_617, "The concatenated message body exceeds the 1600 character limit"))
            }
            _ => Ok(ChatContent::Text(body.to_owned())),
        };
    }
    let hex = template.strip_prefix("HX").is_some_and(|hex| {
        hex.len() == 32 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    });
    if !hex {
        return Err(refused(21_655, "The ContentSid is Invalid"));
    }
    let invalid = || refused(21_656, "The ContentVariables Parameter is invalid");
    let variables = if variables.is_empty() { "{}" } else { variables };
    let values: BTreeMap<String, String> = serde_json::from_str(variables).map_err(|_| invalid())?;
    if values.values().any(|value| value.trim().is_empty() || value.contains(['\n', '\r', '\t'])) {
        return Err(invalid());
    }
    Ok(ChatContent::Template { sid: template.to_owned(), values: values.into_iter().collect() })
}

/// Whether a text is a telephone number in its international form.
fn is_number(text: &str) -> bool {
    text.strip_prefix('+').is_some_and(|digits| {
        (7..=15).contains(&digits.len())
            && digits.bytes().all(|byte| byte.is_ascii_digit())
            && !digits.starts_with('0')
    })
}

/// A message as Twilio shows it; none where there is no such.
fn shown(world: &World, sid: &str, status: &str) -> Option<Value> {
    let (at, message) = world.chats.by_sid(sid)?;
    let ChatMessage::WhatsApp { from, to, content, .. } = message else { return None };
    let body = match content {
        ChatContent::Text(text) => text.clone(),
        ChatContent::Template { values, .. } => {
            values.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>().join(" ")
        }
    };
    let date = |at: &Timestamp| at.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string();
    let uri = format!("/2010-04-01/Accounts/{ACCOUNT}/Messages/{sid}");
    Some(json!({
        "sid": sid, "account_sid": ACCOUNT, "api_version": "2010-04-01", "direction": "outbound-api",
        "from": format!("whatsapp:{from}"), "to": format!("whatsapp:{to}"), "body": body, "status": status,
        "date_created": date(at), "date_updated": date(at),
        "date_sent": (status == "delivered").then(|| date(at)),
        "num_segments": "1", "num_media": "0", "price": null, "price_unit": null, "error_code": null,
        "error_message": null, "messaging_service_sid": null, "uri": format!("{uri}.json"),
        "subresource_uris": {"media": format!("{uri}/Media.json")},
    }))
}

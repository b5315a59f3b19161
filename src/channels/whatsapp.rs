//! WhatsApp, through Twilio's Messages resource: <https://www.twilio.com/docs/messaging/api/message-resource>.
//!
//! Free-form text may be sent for 24 hours after the person last wrote; outside of that session WhatsApp takes only
//! templates that Meta approved (`ContentSid`). Twilio says so by error 63016, and mostly not at once: it answers `201`
//! with the status `queued`, and the message fails a moment later. So the message is looked at a few times until its
//! status says what became of it; without that a message that never left would count as sent.

mod codes;

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::{Client, StatusCode};
use secrecy::ExposeSecret;
use serde_json::Value;

use self::codes::{OUTSIDE_OF_SESSION, judge, passes};
use super::Outcome;
use super::http::{self, Answer, Lost, call};
use crate::clock::Clock;
use crate::config::WhatsAppSettings;

const PEER: &str = "Twilio";
/// The pauses before each look at a message that is under way. WhatsApp answers Twilio within a second or two;
/// where work is done inside a request, all of them together must fit into it.
const LOOKS: [Duration; 4] =
    [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(2)];

/// The longest wait for the answer to a look: the next one sees the same, and the message has left.
const LOOK: Duration = Duration::from_secs(5);

/// A message for WhatsApp: `notify::render` makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WhatsAppMessage {
    /// The text inside of the session, at most 1,600 characters.
    pub body: String,
    /// The same in the values of the approved template, by their numbers from `1` on: one line each, none empty.
    pub variables: BTreeMap<String, String>,
}

/// One reviewer's WhatsApp.
#[derive(Debug)]
pub struct WhatsApp {
    http: Client,
    /// The address of the account's resources.
    account: String,
    settings: WhatsAppSettings,
    clock: Clock,
}

/// What is sent: text, or the values of a template.
#[derive(Clone, Copy)]
enum Content<'a> {
    Text(&'a str),
    Template(&'a str, &'a BTreeMap<String, String>),
}

impl WhatsApp {
    /// The channel with these settings. The clock paces the looks at a message under way.
    ///
    /// # Errors
    ///
    /// Where TLS cannot be set up.
    pub fn new(settings: WhatsAppSettings, clock: Clock) -> anyhow::Result<Self> {
        let account = format!(
            "{}/2010-04-01/Accounts/{}",
            settings.api_url.as_str().trim_end_matches('/'),
            settings.account_sid
        );
        Ok(Self { http: http::client(&settings.api_url)?, account, settings, clock })
    }

    /// Sends a message: free-form, and as a template where the session turns out to be over.
    pub async fn send(&self, message: &WhatsAppMessage) -> Outcome {
        let free_form = self.deliver(Content::Text(&message.body)).await;
        match (free_form, &self.settings.content_sid) {
            (Err(Trouble::Code(OUTSIDE_OF_SESSION, _)), Some(template)) => {
                let content = Content::Template(template, &message.variables);
                self.deliver(content).await.map_or_else(Trouble::into_outcome, sent)
            }
            (result, _) => result.map_or_else(Trouble::into_outcome, sent),
        }
    }

    /// Reads the account and sends nothing.
    pub async fn check(&self) -> Outcome {
        let request = self.authorized(self.http.get(format!("{}.json", self.account)));
        match call(PEER, request).await {
            Ok(answer) if answer.status.is_success() => Outcome::Sent { id: None },
            Ok(answer) => self.refusal(answer).into_outcome(),
            Err(lost) => lost.into(),
        }
    }

    /// Hands one message to Twilio and looks after it. Returns its id.
    async fn deliver(&self, content: Content<'_>) -> Result<String, Trouble> {
        let request = self.http.post(format!("{}/Messages.json", self.account)).form(&self.form(content));
        let answer = call(PEER, self.authorized(request)).await?;
        if !answer.status.is_success() {
            return Err(self.refusal(answer));
        }
        let state = answer.json();
        let Some(id) = state["sid"].as_str().map(str::to_owned) else {
            let reason =
                "the answer was not Twilio's; does VORHOELLE_TWILIO_API_URL lead to Twilio?".to_owned();
            return Err(Trouble::Lost(Lost { reason, unclear: true }));
        };
        self.look_after(&id, state).await?;
        Ok(id)
    }

    /// Waits until a message has left or failed. One that is still under way at the end counts as sent: Twilio has it.
    async fn look_after(&self, id: &str, first: Value) -> Result<(), Trouble> {
        let mut state = first;
        for pause in LOOKS {
            match state["status"].as_str().unwrap_or_default() {
                "failed" | "undelivered" | "canceled" => return Err(failure(&state)),
                "accepted" | "queued" | "sending" | "scheduled" => {}
                _ => return Ok(()),
            }
            self.clock.sleep(pause).await;
            // A look that fails says nothing of the message: the next one may.
            state = self.look(id).await.unwrap_or(state);
        }
        match state["status"].as_str() {
            Some("failed" | "undelivered" | "canceled") => Err(failure(&state)),
            _ => Ok(()),
        }
    }

    /// The message as Twilio has it now; none where it does not say.
    async fn look(&self, id: &str) -> Option<Value> {
        // The id comes from the other side and becomes a part of a path.
        let id = Some(id).filter(|id| id.chars().all(|c| c.is_ascii_alphanumeric()))?;
        let request = self.http.get(format!("{}/Messages/{id}.json", self.account)).timeout(LOOK);
        let answer = call(PEER, self.authorized(request)).await.ok()?;
        (answer.status == StatusCode::OK).then(|| answer.json())
    }

    fn refusal(&self, answer: Answer) -> Trouble {
        refusal(&answer.without(&[self.settings.auth_token.expose_secret()]))
    }

    fn authorized(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        request.basic_auth(&self.settings.account_sid, Some(self.settings.auth_token.expose_secret()))
    }

    fn form(&self, content: Content<'_>) -> Vec<(&'static str, String)> {
        let from = &self.settings.from;
        let sender = if from.starts_with("MG") { "MessagingServiceSid" } else { "From" };
        let mut form = vec![("To", self.settings.to.clone()), (sender, from.clone())];
        match content {
            Content::Text(body) => form.push(("Body", body.to_owned())),
            Content::Template(content_sid, variables) => {
                form.push(("ContentSid", content_sid.to_owned()));
                form.push(("ContentVariables", serde_json::json!(variables).to_string()));
            }
        }
        form
    }
}

/// Why a message did not get through.
enum Trouble {
    /// No answer, or not Twilio's.
    Lost(Lost),
    /// An error with Twilio's number of it, and what to do about it.
    Code(u64, Outcome),
}

impl From<Lost> for Trouble {
    fn from(lost: Lost) -> Self {
        Self::Lost(lost)
    }
}

impl Trouble {
    fn into_outcome(self) -> Outcome {
        match self {
            Self::Lost(lost) => lost.into(),
            Self::Code(_, outcome) => outcome,
        }
    }
}

fn sent(id: String) -> Outcome {
    Outcome::Sent { id: Some(id) }
}

/// A request that Twilio refused: `{"code": 21211, "message": "…", "status": 400}`.
fn refusal(answer: &Answer) -> Trouble {
    let json = answer.json();
    let code = json["code"].as_u64().unwrap_or_default();
    // A server that broke off may have taken the message, whatever number it gives that.
    let by_status = answer.status.is_server_error() || !passes(code);
    if let Some(outcome) = answer.try_again(PEER).filter(|_| by_status) {
        return Trouble::Code(code, outcome);
    }
    let status = answer.status.as_u16();
    Trouble::Code(code, judge(code, status, json["message"].as_str().unwrap_or_default(), answer.retry_after))
}

/// A message that Twilio took and that failed: `{"status": "failed", "error_code": 63016, "error_message": "…"}`.
fn failure(state: &Value) -> Trouble {
    let code = state["error_code"].as_u64().unwrap_or_default();
    Trouble::Code(code, judge(code, 200, state["error_message"].as_str().unwrap_or_default(), None))
}

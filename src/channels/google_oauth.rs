//! OAuth at Google, for an installed app: <https://developers.google.com/identity/protocols/oauth2/native-app>.
//!
//! Two grants are used: the code that a person's consent gives becomes a refresh token (`vorhoelle gmail login`, once),
//! and the refresh token becomes access tokens, each good for an hour.

use std::fmt;
use std::time::Duration;

use reqwest::{Client, RequestBuilder, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};

use super::Outcome;
use super::http::{self, Answer, call, words};
use crate::config::GoogleAppSettings;

/// Where Google asks a person for consent.
pub const AUTHORIZE_URL: &str = "https://accounts.google.com/o/oauth2/v2/auth";
/// May send mail, and read none.
pub const SEND_SCOPE: &str = "https://www.googleapis.com/auth/gmail.send";
/// May read the headers of mails, and no bodies: to learn the Message-ID that Gmail gave a mail.
pub const METADATA_SCOPE: &str = "https://www.googleapis.com/auth/gmail.metadata";

const PEER: &str = "Google";
/// The longest wait for a token. It is over before those who hand a mail over wait no longer, so that they know that nothing
/// has left.
const TOKEN: Duration = Duration::from_secs(20);
/// What nobody else may know of what it is told; a code is used up with that.
const SECRET: [&str; 2] = ["client_secret", "refresh_token"];

/// An app of the Google console, and where its tokens come from.
pub struct GoogleApp {
    http: Client,
    token_url: Url,
    client_id: String,
    client_secret: SecretString,
}

impl fmt::Debug for GoogleApp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GoogleApp")
            .field("client_id", &self.client_id)
            .field("token_url", &self.token_url.as_str())
            .finish_non_exhaustive()
    }
}

/// What Google handed out.
#[derive(Debug)]
pub struct Tokens {
    /// Opens Gmail.
    pub access: SecretString,
    /// For how long.
    pub expires_in: Duration,
    /// Gets further access tokens; only in exchange for a code.
    pub refresh: Option<SecretString>,
    /// What the person agreed to, with blanks between; where Google says it.
    pub scope: Option<String>,
}

/// Why Google handed out no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It passes by itself.
    #[error("{reason}")]
    Passing {
        /// What is the matter.
        reason: String,
        /// How long Google asks to wait.
        after: Option<Duration>,
    },
    /// A person has to do something.
    #[error("{reason}")]
    Lasting {
        /// What, and why.
        reason: String,
    },
}

impl From<TokenError> for Outcome {
    fn from(error: TokenError) -> Self {
        match error {
            // Nothing was sent yet.
            TokenError::Passing { reason, after } => Self::TryAgain { after, reason, unclear: false },
            TokenError::Lasting { reason } => Self::GiveUp { reason },
        }
    }
}

impl GoogleApp {
    /// An app.
    ///
    /// # Errors
    ///
    /// Where TLS cannot be set up.
    pub fn new(settings: GoogleAppSettings) -> anyhow::Result<Self> {
        let GoogleAppSettings { client_id, client_secret, token_url } = settings;
        let http = http::client(&token_url)?;
        Ok(Self { http, token_url, client_id, client_secret })
    }

    /// The id of the app; no secret.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// A fresh access token.
    ///
    /// # Errors
    ///
    /// Where Google gives none, with what to do about it.
    pub async fn refresh(&self, refresh_token: &SecretString) -> Result<Tokens, TokenError> {
        self.ask(&[("grant_type", "refresh_token"), ("refresh_token", refresh_token.expose_secret())]).await
    }

    /// The tokens for a code that came back from the page of consent; `verifier` is PKCE's.
    ///
    /// # Errors
    ///
    /// Where Google gives none, with what to do about it.
    pub async fn exchange(
        &self,
        code: &str,
        verifier: &str,
        redirect_uri: &str,
    ) -> Result<Tokens, TokenError> {
        self.ask(&[
            ("grant_type", "authorization_code"),
            ("code", code),
            ("code_verifier", verifier),
            ("redirect_uri", redirect_uri),
        ])
        .await
    }

    fn request(&self, form: &[(&str, &str)]) -> RequestBuilder {
        self.http.post(self.token_url.clone()).form(form).timeout(TOKEN)
    }

    async fn ask(&self, grant: &[(&str, &str)]) -> Result<Tokens, TokenError> {
        let mut form = vec![
            ("client_id", self.client_id.as_str()),
            ("client_secret", self.client_secret.expose_secret()),
        ];
        form.extend_from_slice(grant);
        let answer = call(PEER, self.request(&form))
            .await
            .map_err(|lost| TokenError::Passing { reason: lost.reason, after: None })?;
        if answer.status != StatusCode::OK {
            let told: Vec<&str> =
                form.iter().filter(|(name, _)| SECRET.contains(name)).map(|(_, told)| *told).collect();
            return Err(refusal(&answer.without(&told)));
        }
        tokens(&answer).ok_or_else(|| TokenError::Passing {
            reason: "the answer held no token; does VORHOELLE_GMAIL_TOKEN_URL lead to Google?".to_owned(),
            after: None,
        })
    }
}

fn tokens(answer: &Answer) -> Option<Tokens> {
    let json = answer.json();
    let secret = |name: &str| json[name].as_str().filter(|text| !text.is_empty()).map(SecretString::from);
    Some(Tokens {
        access: secret("access_token")?,
        expires_in: Duration::from_secs(json["expires_in"].as_u64().unwrap_or_default()),
        refresh: secret("refresh_token"),
        scope: json["scope"].as_str().map(str::to_owned),
    })
}

/// `{"error": "invalid_grant", "error_description": "Token has been expired or revoked."}`.
fn refusal(answer: &Answer) -> TokenError {
    if let Some(Outcome::TryAgain { after, reason, .. }) = answer.try_again(PEER) {
        return TokenError::Passing { reason, after };
    }
    let json = answer.json();
    let error = json["error"].as_str().unwrap_or_default();
    let description = words(json["error_description"].as_str().unwrap_or_default());
    let what = match error {
        "invalid_grant" => {
            "access was revoked, the account's password was changed, the token was not used for half a year, or it is \
             older than 7 days and the app's publishing status in the Google console is still “Testing”: set it to “In \
             production”, then run `vorhoelle gmail login` for a new token"
        }
        "invalid_client" | "unauthorized_client" | "deleted_client" => {
            "VORHOELLE_GMAIL_CLIENT_ID and VORHOELLE_GMAIL_CLIENT_SECRET do not belong together, or the client was \
             deleted; copy both from the Google console"
        }
        "redirect_uri_mismatch" => {
            "the client is not of the type “Desktop app”; make one of that type in the Google console"
        }
        "invalid_scope" | "access_denied" | "admin_policy_enforced" | "org_internal" => {
            "this account may not use the app; its administrator or the app's audience in the Google console decides"
        }
        _ => "that is nothing that was to be expected; look whether VORHOELLE_GMAIL_TOKEN_URL is right",
    };
    let said = if error.is_empty() { answer.status.as_u16().to_string() } else { words(error) };
    let said = if description.is_empty() { said } else { format!("{said}: {description}") };
    TokenError::Lasting { reason: format!("Google gives no access ({said}): {what}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever sends an application waits for a minute: then they must know that nothing has left.
    #[test]
    fn a_token_that_does_not_come_is_not_waited_for_until_it_is_unclear_what_has_left() {
        let token_url = Url::parse("http://localhost/token").unwrap();
        let settings = GoogleAppSettings { client_id: "id".into(), client_secret: "s".into(), token_url };
        let request = GoogleApp::new(settings).unwrap().request(&[]).build().unwrap();
        assert!(request.timeout().is_some_and(|timeout| *timeout <= Duration::from_secs(20)));
    }
}

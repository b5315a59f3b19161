//! `vorhoelle gmail login`: a person's consent becomes the refresh token that the service sends with.
//!
//! The loopback flow with PKCE for installed apps (RFC 8252, RFC 7636). The listener takes what comes from anybody on this
//! machine, so only an answer with our `state` counts; anything else gets a page and changes nothing.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use axum::Router;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::ExposeSecret;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use url::Url;
use uuid::Uuid;

use super::{Context, print, say};
use crate::channels::google_oauth::{AUTHORIZE_URL, GoogleApp, METADATA_SCOPE, SEND_SCOPE, Tokens};
use crate::config::duration;

/// How long the browser gets to fetch the last page.
const PARTING: std::time::Duration = std::time::Duration::from_secs(2);

/// Set up sending through Gmail.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  vorhoelle gmail login")]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Get the refresh token that the service sends with, once.
    Login(Login),
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  VORHOELLE_GMAIL_CLIENT_ID=… VORHOELLE_GMAIL_CLIENT_SECRET_FILE=secret vorhoelle gmail login > token\n\n\
    --help says what to do in the Google console first.",
    after_long_help = "\
Example:
  VORHOELLE_GMAIL_CLIENT_ID=… VORHOELLE_GMAIL_CLIENT_SECRET_FILE=secret vorhoelle gmail login > token
  VORHOELLE_GMAIL_REFRESH_TOKEN_FILE=token vorhoelle serve

First, in the Google console (https://console.cloud.google.com):
  1. Make a project, or choose one.
  2. APIs and services, Library: switch on the Gmail API.
  3. Google Auth Platform, Branding: give the app a name and your address.
  4. Audience: “Internal” with Google Workspace. Else “External”, then “Publish app”: while its status is
     “Testing”, Google ends every refresh token after 7 days. The app needs no review for your own account;
     Google warns you once, at the login.
  5. Clients: create one of the type “Desktop app”. Its id is VORHOELLE_GMAIL_CLIENT_ID, its secret
     VORHOELLE_GMAIL_CLIENT_SECRET (or the name of a file in VORHOELLE_GMAIL_CLIENT_SECRET_FILE).
  6. Run `vorhoelle gmail login` on the machine with your browser, open the address that it prints, choose the
     account that shall send, and leave every box ticked.

On a machine without a browser: run it where a browser is, and carry the token over. The token alone goes to
stdout, everything else to stderr."
)]
struct Login {
    /// How long to wait for the consent.
    #[arg(long, default_value = "5m", value_name = "DURATION", value_parser = duration)]
    timeout: std::time::Duration,
    /// Also ask to read the headers of mails: then the real Message-ID of each sent mail is kept.
    #[arg(long)]
    with_message_ids: bool,
    /// Where consent is asked for.
    #[arg(long, hide = true, default_value = AUTHORIZE_URL)]
    authorize_url: Url,
}

pub(super) async fn run(arguments: Arguments, context: &Context) -> anyhow::Result<ExitCode> {
    let Command::Login(login) = arguments.command;
    let app = GoogleApp::new(context.environment.google_application()?)?;
    let listener =
        TcpListener::bind("127.0.0.1:0").await.context("no port of this machine can be listened on")?;
    let attempt = Attempt::new(format!("http://{}", listener.local_addr()?));
    let url = attempt.consent_url(&app, &login);
    say(&format!(
        "Open this address in a browser on this machine, and choose the account that shall send:\n\n{url}\n"
    ));
    let (answers, mut received) = mpsc::channel(1);
    let stop = CancellationToken::new();
    let desk = Desk { state: attempt.state.clone().into(), answers };
    let served = tokio::spawn(serve(listener, desk, stop.clone()));
    let received = tokio::time::timeout(login.timeout, received.recv()).await;
    let result = match received {
        Ok(Some(answer)) => finish(&app, &attempt, answer).await,
        Ok(None) => bail!("listening broke off; please try again"),
        Err(_) => bail!(
            "nobody agreed within {} seconds; please try again, with --timeout 15m for more time",
            login.timeout.as_secs()
        ),
    };
    // The page may still be on its way to the browser.
    stop.cancel();
    let _ = tokio::time::timeout(PARTING, served).await;
    let tokens = result?;
    hand_over(&tokens)?;
    Ok(ExitCode::SUCCESS)
}

/// One run of the flow, and what proves that an answer belongs to it.
struct Attempt {
    redirect_uri: String,
    state: String,
    verifier: String,
}

impl Attempt {
    fn new(redirect_uri: String) -> Self {
        Self { redirect_uri, state: random(), verifier: random() }
    }

    fn consent_url(&self, app: &GoogleApp, login: &Login) -> Url {
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(self.verifier.as_bytes()));
        let scope = if login.with_message_ids {
            format!("{SEND_SCOPE} {METADATA_SCOPE}")
        } else {
            SEND_SCOPE.to_owned()
        };
        let mut url = login.authorize_url.clone();
        url.query_pairs_mut().extend_pairs([
            ("client_id", app.client_id()),
            ("redirect_uri", &self.redirect_uri),
            ("response_type", "code"),
            ("scope", &scope),
            ("state", &self.state),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
            // A refresh token is given only offline, and anew only where consent is asked for anew.
            ("access_type", "offline"),
            ("prompt", "consent"),
        ]);
        url
    }
}

/// 43 characters with 244 random bits, as PKCE wants them.
fn random() -> String {
    let bytes: Vec<u8> = [Uuid::new_v4(), Uuid::new_v4()].iter().flat_map(|uuid| *uuid.as_bytes()).collect();
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Where the browser comes back to.
#[derive(Clone)]
struct Desk {
    state: Arc<str>,
    answers: mpsc::Sender<Answer>,
}

/// What the browser brings back.
#[derive(Debug, Deserialize)]
struct Answer {
    state: Option<String>,
    code: Option<String>,
    error: Option<String>,
}

async fn serve(listener: TcpListener, desk: Desk, stop: CancellationToken) {
    let router = Router::new().route("/", get(come_back)).with_state(desk);
    let served = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned());
    if let Err(error) = served.await {
        tracing::debug!("listening for the browser ended: {error}");
    }
}

async fn come_back(State(desk): State<Desk>, Query(answer): Query<Answer>) -> Response {
    let ours = answer.state.as_deref().unwrap_or_default().as_bytes().ct_eq(desk.state.as_bytes());
    if !bool::from(ours) {
        return page(
            StatusCode::BAD_REQUEST,
            "This is not the login that is waiting",
            "Please open the address that the terminal shows now, and no older one.",
        );
    }
    let agreed = answer.error.is_none() && answer.code.is_some();
    // Only the first answer counts; a reloaded page brings the same one again.
    let _ = desk.answers.try_send(answer);
    if agreed {
        page(StatusCode::OK, "Thank you", "The terminal goes on by itself. You can close this page.")
    } else {
        page(StatusCode::OK, "Nothing was granted", "The terminal says what to do. You can close this page.")
    }
}

fn page(status: StatusCode, title: &str, text: &str) -> Response {
    let html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>{title}</title><style>:root{{color-scheme:light dark}}body{{font:1.1rem/1.5 \
         system-ui,sans-serif;max-width:32rem;margin:15vh auto;padding:0 1rem}}</style><h1>{title}</h1><p>{text}</p></html>"
    );
    // The address holds the code; it shall not go anywhere else, nor stay.
    let headers = [
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'"),
        (header::CONNECTION, "close"),
    ];
    (status, headers, Html(html)).into_response()
}

async fn finish(app: &GoogleApp, attempt: &Attempt, answer: Answer) -> anyhow::Result<Tokens> {
    match (answer.error.as_deref(), answer.code) {
        (Some("access_denied"), _) => {
            bail!(
                "Google says that access was denied: either you declined, or the app is in “Testing” and the account \
                   is none of its test users; `vorhoelle gmail login --help` says how to publish it"
            )
        }
        (Some("admin_policy_enforced"), _) => {
            bail!("the administrator of this Google Workspace does not allow the app; ask them")
        }
        (Some(error), _) => {
            let error: String = crate::domain::posted_match::clean_line(error).chars().take(100).collect();
            bail!("Google refuses ({error}); `vorhoelle gmail login --help` says what to set up")
        }
        (None, None) => bail!("the browser came back without a code; please try again"),
        (None, Some(code)) => Ok(app.exchange(&code, &attempt.verifier, &attempt.redirect_uri).await?),
    }
}

/// Prints the token, and it alone, on stdout.
fn hand_over(tokens: &Tokens) -> anyhow::Result<()> {
    let may_send = tokens.scope.as_deref().is_none_or(|scope| scope.split(' ').any(|one| one == SEND_SCOPE));
    if !may_send {
        bail!("sending mail was not granted; please try again and leave every box ticked");
    }
    let Some(refresh) = &tokens.refresh else {
        bail!(
            "Google gave no refresh token; take the app's access away at \
               https://myaccount.google.com/connections and try again"
        );
    };
    say(
        "Done. The line below is the refresh token: set VORHOELLE_GMAIL_REFRESH_TOKEN to it, or keep it in a file that \
         VORHOELLE_GMAIL_REFRESH_TOKEN_FILE names. Who has it can send mail from this account.\n",
    );
    print(refresh.expose_secret());
    Ok(())
}

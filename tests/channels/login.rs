//! `vorhoelle gmail login`, with a browser that is played.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStderr, Command, Output, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use url::Url;

use crate::receivers::{Receiver, Reply};

/// The running command, and what its address asks Google for.
struct Login {
    child: Child,
    said: String,
    consent: Url,
    browser: Client,
    /// Kept open, so that the command can go on writing.
    stderr: BufReader<ChildStderr>,
}

impl Login {
    fn start(tokens: &Receiver, arguments: &[&str]) -> Self {
        let mut child = command(tokens, arguments).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        let consent = loop {
            let mut line = String::new();
            assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "{said}");
            said.push_str(&line);
            if line.starts_with("https://consent.example/auth?") {
                break Url::parse(line.trim()).unwrap();
            }
        };
        Self { child, said, consent, browser: Client::builder().tls_certs_only([]).build().unwrap(), stderr }
    }

    fn asks(&self, name: &str) -> String {
        let value = self.consent.query_pairs().find(|(other, _)| other == name);
        value.unwrap_or_else(|| panic!("{name} in {}", self.consent)).1.into_owned()
    }

    /// The browser comes back with this.
    async fn come_back(&self, pairs: &[(&str, &str)]) -> (StatusCode, String) {
        let mut url = Url::parse(&self.asks("redirect_uri")).unwrap();
        assert_eq!(url.host_str(), Some("127.0.0.1"));
        url.query_pairs_mut().extend_pairs(pairs);
        let answer = self.browser.get(url).send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    }

    fn end(mut self) -> Output {
        let mut stdout = Vec::new();
        self.stderr.read_to_string(&mut self.said).unwrap();
        self.child.stdout.take().unwrap().read_to_end(&mut stdout).unwrap();
        Output { status: self.child.wait().unwrap(), stdout, stderr: self.said.clone().into_bytes() }
    }
}

impl Drop for Login {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(tokens: &Receiver, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vorhoelle"));
    command
        .args(["gmail", "login", "--authorize-url", "https://consent.example/auth"])
        .args(arguments)
        .env_clear()
        .env("VORHOELLE_GMAIL_CLIENT_ID", "id.apps.googleusercontent.com")
        .env("VORHOELLE_GMAIL_CLIENT_SECRET", "secretpart")
        .env("VORHOELLE_GMAIL_TOKEN_URL", format!("{}/token", tokens.url))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn granted(scope: &str) -> Reply {
    let mut tokens =
        json!({"access_token": "accesspart", "refresh_token": "1//refreshpart", "expires_in": 3599});
    tokens["scope"] = Value::from(scope);
    Reply::json(200, tokens)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

// The command is waited for in a blocking way while the receiver answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn consent_becomes_a_refresh_token_on_stdout() {
    let tokens = Receiver::start([granted("https://www.googleapis.com/auth/gmail.send")]).await;
    let login = Login::start(&tokens, &[]);
    for (name, expected) in [
        ("client_id", "id.apps.googleusercontent.com"),
        ("response_type", "code"),
        ("scope", "https://www.googleapis.com/auth/gmail.send"),
        ("code_challenge_method", "S256"),
        ("access_type", "offline"),
        ("prompt", "consent"),
    ] {
        assert_eq!(login.asks(name), expected);
    }
    let (state, challenge, redirect) =
        (login.asks("state"), login.asks("code_challenge"), login.asks("redirect_uri"));
    assert!(state.len() >= 43 && challenge.len() == 43);

    // Whoever else finds the port gets a page and changes nothing.
    for stranger in
        [&[("code", "stolen")][..], &[("state", "guess"), ("code", "stolen")], &[("error", "<b>")]]
    {
        let (status, page) = login.come_back(stranger).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(page.contains("This is not the login that is waiting") && !page.contains("<b>"), "{page}");
    }
    assert!(tokens.arrived().is_empty());

    let (status, page) = login.come_back(&[("state", &state), ("code", "4/code"), ("scope", "x")]).await;
    assert_eq!(status, StatusCode::OK);
    assert!(page.contains("Thank you") && !page.contains("4/code"), "{page}");
    let output = login.end();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(text(&output.stdout), "1//refreshpart\n");
    let said = text(&output.stderr);
    assert!(said.contains("VORHOELLE_GMAIL_REFRESH_TOKEN") && !said.contains("refreshpart"), "{said}");
    assert!(!said.contains("secretpart") && !said.contains("accesspart"), "{said}");

    let form = tokens.only().form();
    assert_eq!((form["grant_type"].as_str(), form["code"].as_str()), ("authorization_code", "4/code"));
    assert_eq!(
        (form["redirect_uri"].as_str(), form["client_secret"].as_str()),
        (redirect.as_str(), "secretpart")
    );
    assert!((43..=128).contains(&form["code_verifier"].len()));
    assert_eq!(URL_SAFE_NO_PAD.encode(Sha256::digest(form["code_verifier"].as_bytes())), challenge);
}

// The command is waited for in a blocking way while the receiver answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_wrong_is_said() {
    let send = "https://www.googleapis.com/auth/gmail.send";
    let without_refresh =
        Reply::json(200, json!({"access_token": "accesspart", "expires_in": 3599, "scope": send}));
    let refused =
        Reply::json(400, json!({"error": "invalid_grant", "error_description": "Malformed auth code."}));
    let mismatch = Reply::json(400, json!({"error": "redirect_uri_mismatch"}));
    for (come_back, reply, expected) in [
        (("error", "access_denied"), None, "either you declined, or the app is in “Testing”"),
        (("error", "org_internal"), None, "Google refuses (org_internal)"),
        (("x", "y"), None, "came back without a code"),
        (("code", "c"), Some(without_refresh), "https://myaccount.google.com/connections"),
        (("code", "c"), Some(granted("openid")), "sending mail was not granted"),
        (("code", "c"), Some(refused), "invalid_grant: Malformed auth code."),
        (("code", "c"), Some(mismatch), "not of the type “Desktop app”"),
        (("code", "c"), Some(Reply::Drop), "Google broke off without an answer"),
    ] {
        let tokens = Receiver::start(reply).await;
        let login = Login::start(&tokens, &[]);
        let (status, page) = login.come_back(&[("state", &login.asks("state")), come_back]).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(page.contains("Nothing was granted"), come_back.0 != "code", "{page}");
        let output = login.end();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(expected), "{said}");
        assert_eq!(text(&output.stdout), "");
    }
}

// The command is waited for in a blocking way while the receiver answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_does_not_wait_for_ever_and_asks_for_more_only_where_told_to() {
    let tokens = Receiver::start([]).await;
    let login = Login::start(&tokens, &["--timeout", "1s", "--with-message-ids"]);
    let scope = "https://www.googleapis.com/auth/gmail.send https://www.googleapis.com/auth/gmail.metadata";
    assert_eq!(login.asks("scope"), scope);
    let output = login.end();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("nobody agreed within 1 seconds"), "{output:?}");
}

// The command is waited for in a blocking way while the receiver answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_settings_are_named() {
    let tokens = Receiver::start([]).await;
    for name in ["VORHOELLE_GMAIL_CLIENT_ID", "VORHOELLE_GMAIL_CLIENT_SECRET"] {
        let output = command(&tokens, &[]).env_remove(name).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains(&format!("{name} is missing")), "{output:?}");
    }
    let help = command(&tokens, &["--help"]).output().unwrap();
    let help = text(&help.stdout);
    assert!(
        help.contains("Desktop app") && help.contains("Gmail API") && !help.contains("authorize-url"),
        "{help}"
    );
}

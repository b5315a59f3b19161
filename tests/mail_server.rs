//! Mail over real sessions: STARTTLS, TLS, login, and what is said where they fail. The real program, because trust
//! anchors come from its environment.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

#[path = "support/smtp.rs"]
mod smtp;

use std::process::{Command, Output};

use smtp::{MailServer, Mood, USER};
use tempfile::TempDir;
use vorhoelle::sandbox::{Options, Sandbox};

struct Desk {
    sandbox: Sandbox,
    folder: TempDir,
}

impl Desk {
    async fn new() -> Self {
        Self { sandbox: Sandbox::start(Options::default()).await.unwrap(), folder: TempDir::new().unwrap() }
    }

    /// Sends a test mail to a server that shows a certificate which this machine trusts or does not.
    async fn send(&self, server: &MailServer, url: &str, trusted: bool) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vorhoelle"));
        command
            .args(["notify", "test", "email"])
            .current_dir(self.folder.path())
            .env_clear()
            .env("VORHOELLE_LOG", "vorhoelle=trace,lettre=trace,rustls=debug")
            .env("VORHOELLE_GITLAB_URL", self.sandbox.url())
            .env("VORHOELLE_GITLAB_TOKEN", self.sandbox.token("bot"))
            .env("VORHOELLE_GITLAB_PROJECT", self.sandbox.project())
            .env("VORHOELLE_WEBHOOK_SECRET", "secret-of-the-webhook")
            .env("VORHOELLE_SMTP_URL", url.replace("PORT", &server.address.port().to_string()))
            .env("VORHOELLE_MAIL_FROM", "jobs@example.com")
            .env("VORHOELLE_MAIL_TO", "anna@example.com");
        if trusted {
            let path = self.folder.path().join("ca.pem");
            server.write_certificate(&path);
            command.env("SSL_CERT_FILE", path);
        }
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }
}

fn words(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

const STARTTLS: &str = "smtp://jobs%40example.com:pa%3Ass%40word@localhost:PORT?tls=required";
const TLS: &str = "smtps://jobs%40example.com:pa%3Ass%40word@localhost:PORT";

#[tokio::test]
async fn a_mail_goes_encrypted_and_logged_in() {
    let desk = Desk::new().await;
    for (url, at_once) in [(STARTTLS, false), (TLS, true)] {
        let server = MailServer::start(at_once).await;
        let output = desk.send(&server, url, true).await;
        assert!(output.status.success(), "{}", words(&output));
        let mails = server.mails();
        assert_eq!((mails.len(), mails[0].encrypted, mails[0].user.as_deref()), (1, true, Some(USER)));
        for secret in ["pa:ss@word", "pa%3Ass%40word", "AHBhOnNz", "anna@example.com"] {
            assert!(!words(&output).contains(secret), "{secret} in the log");
        }
    }
}

#[tokio::test]
async fn what_fails_says_what_to_do() {
    let desk = Desk::new().await;
    let server = MailServer::start(false).await;
    let untrusted = desk.send(&server, STARTTLS, false).await;
    assert!(words(&untrusted).contains("SSL_CERT_FILE"), "{}", words(&untrusted));
    let wrong = desk.send(&server, &STARTTLS.replace("pa%3Ass", "wrong"), true).await;
    assert!(words(&wrong).contains("check user and password in VORHOELLE_SMTP_URL"), "{}", words(&wrong));
    let unencrypted = desk.send(&server, &STARTTLS.replace("?tls=required", ""), true).await;
    assert!(
        words(&unencrypted).contains("add ?tls=required to VORHOELLE_SMTP_URL"),
        "{}",
        words(&unencrypted)
    );
    server.set_mood(Mood::WantsTls);
    let in_the_clear = desk.send(&server, "smtp://localhost:PORT", true).await;
    assert!(
        words(&in_the_clear).contains("add ?tls=required to VORHOELLE_SMTP_URL"),
        "{}",
        words(&in_the_clear)
    );
    server.set_mood(Mood::Busy);
    let busy = desk.send(&server, STARTTLS, true).await;
    assert!(words(&busy).contains("451"), "{}", words(&busy));
    assert_eq!(server.mails().len(), 0);
    let closed = MailServer::start(false).await;
    let output = desk.send(&closed, "smtp://localhost:1", false).await;
    assert!(words(&output).contains("the mail server localhost:1"), "{}", words(&output));
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_it_is_required() {
    let desk = Desk::new().await;
    let server = MailServer::start(false).await;
    server.set_mood(Mood::NoTls);
    let output = desk.send(&server, STARTTLS, true).await;
    assert!(words(&output).contains("write smtps:// in VORHOELLE_SMTP_URL"), "{}", words(&output));
    assert_eq!(server.mails().len(), 0);
}

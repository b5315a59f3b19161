//! Mail over SMTP, one connection a mail, with a deadline on its first half and on the whole conversation.
//!
//! Before the server has the whole message a failure means that nothing was sent; after it, silence means that nobody
//! knows. The two are told apart here, because a match may be told of twice and an employer may not.

use std::time::Duration;

use lettre::address::Envelope;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::ClientId;
use secrecy::ExposeSecret;

use super::Outcome;
use crate::config::{SmtpSecurity, SmtpSettings};

/// How long connecting, TLS, login and the addresses may take together.
const INTRODUCTION: Duration = Duration::from_secs(25);
/// How long all of it may take, the message included: RFC 5321 wants ten minutes for that alone, but somebody waits for the
/// answer, through proxies that wait for a minute.
const WHOLE: Duration = Duration::from_secs(50);
/// How long saying goodbye may take.
const GOODBYE: Duration = Duration::from_millis(300);

/// A mail server.
#[derive(Clone, Debug)]
pub struct Smtp {
    settings: SmtpSettings,
    introduction: Duration,
    whole: Duration,
}

impl Smtp {
    /// A mail server; nothing is said to it yet.
    pub const fn new(settings: SmtpSettings) -> Self {
        Self { settings, introduction: INTRODUCTION, whole: WHOLE }
    }

    /// Sends a message.
    pub async fn send(&self, envelope: &Envelope, message: &[u8]) -> Outcome {
        let end = tokio::time::Instant::now() + self.whole;
        let introduced = match tokio::time::timeout(self.introduction, self.introduce(envelope)).await {
            Ok(introduced) => introduced,
            Err(_) => return not_sent(format!("{} did not answer in time", self.name())),
        };
        let mut connection = match introduced {
            Ok(connection) => connection,
            Err(error) => return self.refused(&error),
        };
        let outcome = match tokio::time::timeout_at(end, connection.message(message)).await {
            Ok(Ok(response)) => Outcome::Sent { id: response.first_line().map(str::to_owned) },
            Ok(Err(error)) if error.status().is_some() => self.refused(&error),
            Ok(Err(error)) => unclear(format!("{} broke off after it had the message: {error}", self.name())),
            Err(_) => unclear(format!("{} did not say whether it took the message", self.name())),
        };
        let _ = tokio::time::timeout(GOODBYE, connection.quit()).await;
        outcome
    }

    /// Connects, logs in and leaves without a mail.
    pub async fn check(&self) -> Outcome {
        let hello = ClientId::default();
        match tokio::time::timeout(self.introduction, self.log_in(&hello)).await {
            Err(_) => not_sent(format!("{} did not answer in time", self.name())),
            Ok(Err(error)) => self.refused(&error),
            Ok(Ok(mut connection)) => {
                let _ = tokio::time::timeout(GOODBYE, connection.quit()).await;
                Outcome::Sent { id: None }
            }
        }
    }

    /// Everything up to the point from which on the server may have the message.
    async fn introduce(&self, envelope: &Envelope) -> Result<AsyncSmtpConnection, Error> {
        let mut connection = self.log_in(&ClientId::default()).await?;
        connection.command(Mail::new(envelope.from().cloned(), Vec::new())).await?;
        for recipient in envelope.to() {
            connection.command(Rcpt::new(recipient.clone(), Vec::new())).await?;
        }
        connection.command(Data).await?;
        Ok(connection)
    }

    async fn log_in(&self, hello: &ClientId) -> Result<AsyncSmtpConnection, Error> {
        let SmtpSettings { host, port, security, credentials } = &self.settings;
        let tls = || TlsParameters::builder(host.clone()).build_rustls();
        let at_once = if *security == SmtpSecurity::Tls { Some(tls()?) } else { None };
        let mut connection = AsyncSmtpConnection::connect_tokio1(
            (host.as_str(), *port),
            Some(self.introduction),
            hello,
            at_once,
            None,
        )
        .await?;
        if *security == SmtpSecurity::StartTls {
            connection.starttls(tls()?, hello).await?;
        }
        if let Some((user, password)) = credentials {
            let credentials = Credentials::new(user.clone(), password.expose_secret().to_owned());
            connection.auth(&[Mechanism::Plain, Mechanism::Login], &credentials).await?;
        }
        Ok(connection)
    }

    fn refused(&self, error: &Error) -> Outcome {
        let words = error.to_string();
        let code = error.status().map(|code| code.to_string());
        let advice = match code.as_deref() {
            Some("530" | "534" | "535" | "538") => "; check user and password in VORHOELLE_SMTP_URL",
            Some("550" | "551" | "553") => {
                "; check the addresses in VORHOELLE_MAIL_FROM and VORHOELLE_MAIL_TO"
            }
            _ if words.contains("certificate") => {
                "; is its certificate valid for this name? SSL_CERT_FILE names other trust anchors"
            }
            _ => "",
        };
        let reason = format!("{} did not take the mail: {}{advice}", self.name(), words);
        if error.is_permanent() { Outcome::GiveUp { reason } } else { not_sent(reason) }
    }

    fn name(&self) -> String {
        format!("the mail server {}:{}", self.settings.host, self.settings.port)
    }
}

fn not_sent(reason: String) -> Outcome {
    Outcome::TryAgain { after: None, reason, unclear: false }
}

fn unclear(reason: String) -> Outcome {
    Outcome::TryAgain { after: None, reason, unclear: true }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
    use tokio::net::TcpListener;

    use super::*;

    /// A server that answers so many lines and is silent from then on.
    async fn silent_after(lines: usize) -> Smtp {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = BufReader::new(stream);
            let answers = ["220 hello", "250 hello", "250 from", "250 to", "354 go on"];
            for answer in answers.iter().take(lines) {
                stream.write_all(format!("{answer}\r\n").as_bytes()).await.unwrap();
                let mut said = String::new();
                stream.read_line(&mut said).await.unwrap();
            }
            std::future::pending::<()>().await;
        });
        let (host, security) = ("127.0.0.1".to_owned(), SmtpSecurity::None);
        let (introduction, whole) = (Duration::from_millis(300), Duration::from_millis(600));
        Smtp { settings: SmtpSettings { host, port, security, credentials: None }, introduction, whole }
    }

    #[tokio::test]
    async fn a_server_that_falls_silent_is_not_waited_for_and_what_it_may_have_is_said() {
        let address = |text: &str| text.parse().unwrap();
        let envelope = Envelope::new(Some(address("a@example.com")), vec![address("b@example.com")]).unwrap();
        for (lines, may_have_it) in [(0, false), (1, false), (4, false), (5, true)] {
            let smtp = silent_after(lines).await;
            let started = tokio::time::Instant::now();
            let outcome = smtp.send(&envelope, b"Subject: x\r\n\r\ny\r\n").await;
            assert!(
                matches!(outcome, Outcome::TryAgain { unclear, .. } if unclear == may_have_it),
                "{lines}: {outcome:?}"
            );
            assert!(started.elapsed() < smtp.whole + 2 * GOODBYE, "{lines}: {:?}", started.elapsed());
        }
        assert!(WHOLE <= Duration::from_secs(60) && INTRODUCTION < WHOLE);
    }
}

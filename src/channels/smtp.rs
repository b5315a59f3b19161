//! Mail over SMTP, with a deadline on the first half of a conversation and on the whole. Mails that follow each other
//! share a connection and its login.
//!
//! Before the server has the whole message a failure means that nothing was sent; after it, silence means that nobody
//! knows. The two are told apart here, because a match may be told of twice and an employer may not.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lettre::address::Envelope;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::ClientId;
use secrecy::ExposeSecret;
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::Outcome;
use crate::config::{SmtpSecurity, SmtpSettings};

/// How long connecting, TLS, login and the addresses may take together.
const INTRODUCTION: Duration = Duration::from_secs(25);
/// How long all of it may take, the message included: RFC 5321 wants ten minutes for that alone, but somebody waits for the
/// answer, through proxies that wait for a minute.
const WHOLE: Duration = Duration::from_secs(50);
/// How long saying goodbye may take.
const GOODBYE: Duration = Duration::from_millis(300);
/// How long a connection waits for the next mail.
const REST: Duration = Duration::from_secs(2);

/// A mail server.
pub struct Smtp {
    settings: SmtpSettings,
    introduction: Duration,
    whole: Duration,
    rest: Duration,
    /// Asks for the connection that waits for the next mail.
    resting: Mutex<Option<oneshot::Sender<Handover>>>,
}

/// Where a connection is handed over.
type Handover = oneshot::Sender<AsyncSmtpConnection>;

/// Why a conversation ended before the server could have the message.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Connecting(#[from] io::Error),
    #[error(transparent)]
    Talking(#[from] Error),
}

impl Smtp {
    /// A mail server; nothing is said to it yet.
    pub fn new(settings: SmtpSettings) -> Self {
        Self { settings, introduction: INTRODUCTION, whole: WHOLE, rest: REST, resting: Mutex::default() }
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
            Err(failure) => return self.refused(&failure),
        };
        let outcome = match tokio::time::timeout_at(end, connection.message(message)).await {
            Ok(Ok(_)) => Outcome::Sent { id: None },
            Ok(Err(error)) if error.status().is_some() => self.refused(&error.into()),
            Ok(Err(error)) => {
                unclear(format!("{} broke off while it got the message, or after: {error}", self.name()))
            }
            Err(_) => unclear(format!("{} did not say whether it took the message", self.name())),
        };
        // After anything else nobody knows for sure which answer would come next.
        if matches!(outcome, Outcome::Sent { .. }) {
            self.let_rest(connection);
        } else {
            say_goodbye(connection).await;
        }
        outcome
    }

    /// Connects, logs in and leaves without a mail.
    pub async fn check(&self) -> Outcome {
        let hello = ClientId::default();
        match tokio::time::timeout(self.introduction, self.log_in(&hello)).await {
            Err(_) => not_sent(format!("{} did not answer in time", self.name())),
            Ok(Err(failure)) => self.refused(&failure),
            Ok(Ok(connection)) => {
                say_goodbye(connection).await;
                Outcome::Sent { id: None }
            }
        }
    }

    /// Everything up to the point from which on the server may have the message.
    async fn introduce(&self, envelope: &Envelope) -> Result<AsyncSmtpConnection, Failure> {
        // The server may have closed it, or take no more mails on it.
        if let Some(mut rested) = self.rested().await
            && address(&mut rested, envelope).await.is_ok()
        {
            return Ok(rested);
        }
        let mut connection = self.log_in(&ClientId::default()).await?;
        address(&mut connection, envelope).await?;
        Ok(connection)
    }

    async fn log_in(&self, hello: &ClientId) -> Result<AsyncSmtpConnection, Failure> {
        let SmtpSettings { host, port, security, credentials } = &self.settings;
        let server = (host.as_str(), *port);
        let tls = || TlsParameters::builder(host.clone()).build_rustls();
        let mut connection = if *security == SmtpSecurity::Tls {
            let tls = Some(tls()?);
            AsyncSmtpConnection::connect_tokio1(server, Some(self.introduction), hello, tls, None).await?
        } else {
            let stream = TcpStream::connect(server).await?;
            // The end of a message is a write of its own, which would wait until the rest is acknowledged.
            stream.set_nodelay(true)?;
            AsyncSmtpConnection::connect_with_transport(Box::new(stream), hello).await?
        };
        if *security == SmtpSecurity::StartTls {
            connection.starttls(tls()?, hello).await?;
        }
        if let Some((user, password)) = credentials {
            let credentials = Credentials::new(user.clone(), password.expose_secret().to_owned());
            connection.auth(&[Mechanism::Plain, Mechanism::Login], &credentials).await?;
        }
        Ok(connection)
    }

    /// Keeps a connection for a mail that follows soon.
    fn let_rest(&self, connection: AsyncSmtpConnection) {
        let (ask, asked) = oneshot::channel::<Handover>();
        *self.resting() = Some(ask);
        let rest = self.rest;
        tokio::spawn(async move {
            let unwanted = match tokio::time::timeout(rest, asked).await {
                Ok(Ok(next)) => next.send(connection).err(),
                // Nobody asked in time, or another one rests in its place.
                _ => Some(connection),
            };
            if let Some(connection) = unwanted {
                say_goodbye(connection).await;
            }
        });
    }

    /// The connection that rests, if one does.
    async fn rested(&self) -> Option<AsyncSmtpConnection> {
        let ask = self.resting().take()?;
        let (next, handed_over) = oneshot::channel();
        ask.send(next).ok()?;
        handed_over.await.ok()
    }

    fn resting(&self) -> MutexGuard<'_, Option<oneshot::Sender<Handover>>> {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refused(&self, failure: &Failure) -> Outcome {
        let words = failure.to_string();
        let error = match failure {
            Failure::Connecting(_) => None,
            Failure::Talking(error) => Some(error),
        };
        let code = error.and_then(Error::status).map(|code| code.to_string());
        let security = self.settings.security;
        let advice = match code.as_deref() {
            // What a server without encryption offers is mostly no login, or nothing at all (RFC 3207, section 4).
            Some("530") if security == SmtpSecurity::None && words.contains("STARTTLS") => {
                "; add ?tls=required to VORHOELLE_SMTP_URL"
            }
            Some("530" | "534" | "535" | "538") => "; check user and password in VORHOELLE_SMTP_URL",
            Some("550" | "551" | "553") => {
                "; check the recipient's address (VORHOELLE_MAIL_TO, or the draft's `to`) and VORHOELLE_MAIL_FROM"
            }
            None if security == SmtpSecurity::None && words.contains("authentication mechanism") => {
                "; most servers let nobody log in without TLS: add ?tls=required to VORHOELLE_SMTP_URL, or write smtps://"
            }
            None if words.contains("STARTTLS") => {
                "; write smtps:// in VORHOELLE_SMTP_URL, or take ?tls=required away where the network is your own"
            }
            _ if words.contains("certificate") => {
                "; is its certificate valid for this name? SSL_CERT_FILE names other trust anchors"
            }
            _ => "",
        };
        let reason = format!("{} did not take the mail: {}{advice}", self.name(), words);
        if error.is_some_and(Error::is_permanent) { Outcome::GiveUp { reason } } else { not_sent(reason) }
    }

    fn name(&self) -> String {
        format!("the mail server {}:{}", self.settings.host, self.settings.port)
    }
}

/// Says from whom and to whom a mail goes, and that it follows.
async fn address(connection: &mut AsyncSmtpConnection, envelope: &Envelope) -> Result<(), Error> {
    connection.command(Mail::new(envelope.from().cloned(), Vec::new())).await?;
    for recipient in envelope.to() {
        connection.command(Rcpt::new(recipient.clone(), Vec::new())).await?;
    }
    connection.command(Data).await?;
    Ok(())
}

async fn say_goodbye(mut connection: AsyncSmtpConnection) {
    let _ = tokio::time::timeout(GOODBYE, connection.quit()).await;
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
    use tokio::sync::mpsc;

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
        let settings = SmtpSettings { host, port, security, credentials: None };
        Smtp { introduction, whole, ..Smtp::new(settings) }
    }

    fn envelope() -> Envelope {
        let address = |text: &str| text.parse().unwrap();
        Envelope::new(Some(address("a@example.com")), vec![address("b@example.com")]).unwrap()
    }

    /// A server that takes so many mails a connection, and what each connection heard, one line a command, once it ends.
    async fn taking(mails: usize) -> (Smtp, mpsc::UnboundedReceiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (tell, heard) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let tell = tell.clone();
                tokio::spawn(async move { tell.send(converse(BufReader::new(stream), mails).await) });
            }
        });
        let (host, security) = ("127.0.0.1".to_owned(), SmtpSecurity::None);
        let settings = SmtpSettings { host, port, security, credentials: None };
        (Smtp { rest: Duration::from_secs(1), ..Smtp::new(settings) }, heard)
    }

    async fn converse(mut stream: BufReader<TcpStream>, mut mails: usize) -> String {
        let mut heard = String::new();
        stream.write_all(b"220 hello\r\n").await.unwrap();
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.unwrap() == 0 {
                return heard;
            }
            let command = line.get(..4).unwrap_or_default();
            heard.push_str(command);
            heard.push(' ');
            let answer = match command {
                "MAIL" if mails == 0 => return heard,
                "DATA" => {
                    mails -= 1;
                    stream.write_all(b"354 go on\r\n").await.unwrap();
                    while line != ".\r\n" {
                        line.clear();
                        stream.read_line(&mut line).await.unwrap();
                    }
                    "250 taken"
                }
                _ => "250 fine",
            };
            stream.write_all(format!("{answer}\r\n").as_bytes()).await.unwrap();
        }
    }

    #[tokio::test]
    async fn mails_in_a_row_share_a_connection_which_is_closed_when_no_more_come() {
        let (smtp, mut heard) = taking(3).await;
        for _ in 0..4 {
            let outcome = smtp.send(&envelope(), b"Subject: x\r\n\r\ny\r\n").await;
            assert!(matches!(outcome, Outcome::Sent { .. }), "{outcome:?}");
        }
        let mail = "MAIL RCPT DATA ";
        // The fourth mail is refused on the first connection and goes over another.
        assert_eq!(heard.recv().await.unwrap(), format!("EHLO {}MAIL ", mail.repeat(3)));
        assert_eq!(heard.recv().await.unwrap(), format!("EHLO {mail}QUIT "));
    }

    #[tokio::test]
    async fn a_server_that_falls_silent_is_not_waited_for_and_what_it_may_have_is_said() {
        let envelope = envelope();
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

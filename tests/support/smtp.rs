//! A small mail server on a real socket: STARTTLS or TLS from the first byte, AUTH, refusals, silence.

#![allow(dead_code, reason = "each story uses a part of it")]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

pub const USER: &str = "jobs@example.com";
pub const PASSWORD: &str = "pa:ss@word";

/// What the server does wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mood {
    #[default]
    Fine,
    /// Refuses recipients that begin with `nobody`.
    Picky,
    /// Puts recipients off that begin with `nobody`: their mailbox is full.
    Full,
    /// Offers no encryption.
    NoTls,
    /// Takes no mail before STARTTLS, in the words of RFC 3207.
    WantsTls,
    /// Puts every message off with 451.
    Busy,
    /// Takes the message and says nothing.
    SilentAfterMessage,
    /// Takes the message and hangs up.
    GoneAfterMessage,
    /// Refuses every message that holds the word `SPAM`.
    Wary,
}

/// A mail as it arrived.
#[derive(Clone, Debug)]
pub struct Received {
    pub from: String,
    pub to: Vec<String>,
    pub encrypted: bool,
    pub user: Option<String>,
    pub message: Vec<u8>,
}

pub struct MailServer {
    pub address: SocketAddr,
    mails: Arc<Mutex<Vec<Received>>>,
    mood: Arc<Mutex<Mood>>,
    /// The certificate that it shows, as PEM.
    pub certificate: String,
}

impl MailServer {
    /// A server that offers STARTTLS, or speaks TLS from the first byte.
    pub async fn start(tls_at_once: bool) -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (mails, mood) = (Arc::<Mutex<Vec<Received>>>::default(), Arc::<Mutex<Mood>>::default());
        let server = Self {
            address,
            mails: Arc::clone(&mails),
            mood: Arc::clone(&mood),
            certificate: made.cert.pem(),
        };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, mails, mood) = (acceptor.clone(), Arc::clone(&mails), Arc::clone(&mood));
                tokio::spawn(async move {
                    let mut talk = Talk { mails, mood, encrypted: tls_at_once, user: None };
                    if tls_at_once {
                        let Ok(stream) = acceptor.accept(stream).await else { return };
                        talk.serve(stream, true).await;
                    } else if let Some(stream) = talk.serve(stream, true).await {
                        // STARTTLS was asked for.
                        let Ok(stream) = acceptor.accept(stream).await else { return };
                        talk.encrypted = true;
                        talk.serve(stream, false).await;
                    }
                });
            }
        });
        server
    }

    pub fn set_mood(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    pub fn mood(&self) -> Mood {
        *self.mood.lock().unwrap()
    }

    pub fn mails(&self) -> Vec<Received> {
        self.mails.lock().unwrap().clone()
    }

    /// Writes the certificate where `SSL_CERT_FILE` may point to.
    pub fn write_certificate(&self, path: &Path) {
        std::fs::write(path, &self.certificate).unwrap();
    }
}

struct Talk {
    mails: Arc<Mutex<Vec<Received>>>,
    mood: Arc<Mutex<Mood>>,
    encrypted: bool,
    user: Option<String>,
}

impl Talk {
    fn mood(&self) -> Mood {
        *self.mood.lock().unwrap()
    }

    /// Talks until the other side quits or wants TLS; then the stream comes back.
    async fn serve<S: AsyncRead + AsyncWrite + Unpin>(&mut self, stream: S, greet: bool) -> Option<S> {
        let mut stream = BufReader::new(stream);
        if greet {
            say(&mut stream, "220 mail.example.com ESMTP").await?;
        }
        let (mut from, mut to) = (String::new(), Vec::new());
        loop {
            let line = hear(&mut stream).await?;
            let word = line.split([' ', ':']).next().unwrap_or_default().to_uppercase();
            match word.as_str() {
                "EHLO" if self.encrypted => {
                    say(&mut stream, "250-hello\r\n250-AUTH PLAIN LOGIN\r\n250 8BITMIME").await?
                }
                "EHLO" if self.mood() == Mood::NoTls => say(&mut stream, "250 hello").await?,
                "EHLO" => say(&mut stream, "250-hello\r\n250 STARTTLS").await?,
                "STARTTLS" => {
                    say(&mut stream, "220 go ahead").await?;
                    return Some(stream.into_inner());
                }
                "AUTH" => {
                    let given = line.split(' ').nth(2).unwrap_or_default();
                    let given = base64::engine::general_purpose::STANDARD.decode(given).unwrap_or_default();
                    if given == format!("\0{USER}\0{PASSWORD}").into_bytes() {
                        self.user = Some(USER.to_owned());
                        say(&mut stream, "235 welcome").await?;
                    } else {
                        say(&mut stream, "535 wrong user or password").await?;
                    }
                }
                "MAIL" if self.mood() == Mood::WantsTls && !self.encrypted => {
                    say(&mut stream, "530 5.7.0 Must issue a STARTTLS command first").await?;
                }
                "MAIL" => {
                    from = address(&line);
                    to.clear();
                    say(&mut stream, "250 ok").await?;
                }
                "RCPT" if self.mood() == Mood::Picky && address(&line).starts_with("nobody") => {
                    say(&mut stream, &format!("550 <{}> no such mailbox", address(&line))).await?;
                }
                "RCPT" if self.mood() == Mood::Full && address(&line).starts_with("nobody") => {
                    say(&mut stream, &format!("452 <{}> mailbox full", address(&line))).await?;
                }
                "RCPT" => {
                    to.push(address(&line));
                    say(&mut stream, "250 ok").await?;
                }
                "DATA" if self.mood() == Mood::Busy => say(&mut stream, "451 come back later").await?,
                "DATA" => {
                    say(&mut stream, "354 go on").await?;
                    let message = message(&mut stream).await?;
                    if self.mood() == Mood::Wary && message.windows(4).any(|four| four == b"SPAM") {
                        say(&mut stream, "554 5.7.1 this looks like spam").await?;
                        continue;
                    }
                    self.mails.lock().unwrap().push(Received {
                        from: from.clone(),
                        to: to.clone(),
                        encrypted: self.encrypted,
                        user: self.user.clone(),
                        message,
                    });
                    match self.mood() {
                        Mood::SilentAfterMessage => std::future::pending::<()>().await,
                        Mood::GoneAfterMessage => return None,
                        _ => say(&mut stream, "250 queued as 7").await?,
                    }
                }
                "QUIT" => {
                    say(&mut stream, "221 bye").await?;
                    return None;
                }
                _ => say(&mut stream, "500 what?").await?,
            }
        }
    }
}

async fn say<S: AsyncWrite + Unpin>(stream: &mut S, line: &str) -> Option<()> {
    stream.write_all(format!("{line}\r\n").as_bytes()).await.ok()?;
    stream.flush().await.ok()
}

async fn hear<S: AsyncRead + Unpin>(stream: &mut BufReader<S>) -> Option<String> {
    let mut line = String::new();
    match stream.read_line(&mut line).await {
        Ok(0) | Err(_) => None,
        Ok(_) => Some(line.trim_end().to_owned()),
    }
}

/// Up to the line with a single point; doubled points at line starts are undone.
async fn message<S: AsyncRead + Unpin>(stream: &mut BufReader<S>) -> Option<Vec<u8>> {
    let mut message = Vec::new();
    loop {
        let mut line = Vec::new();
        if stream.read_until(b'\n', &mut line).await.ok()? == 0 {
            return None;
        }
        if line == b".\r\n" {
            return Some(message);
        }
        message.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
    }
}

fn address(line: &str) -> String {
    let begin = line.find('<').map_or(0, |at| at + 1);
    line[begin..].split('>').next().unwrap_or_default().to_owned()
}

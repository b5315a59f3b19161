//! A strict receiver of events on a real socket: it verifies every signature and answers as it is told.

#![allow(dead_code, reason = "each story uses a part of it")]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

pub const SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
const KEY: &[u8] = b"0123456789abcdef0123456789abcdef";

/// An event as it arrived, whatever was answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub id: String,
    pub timestamp: i64,
    pub signature: String,
    pub raw: String,
    pub answered: u16,
}

impl Event {
    pub fn body(&self) -> Value {
        serde_json::from_str(&self.raw).unwrap()
    }

    pub fn kind(&self) -> String {
        self.body()["type"].as_str().unwrap().to_owned()
    }

    pub fn iid(&self) -> u64 {
        self.body()["data"]["iid"].as_u64().unwrap()
    }
}

/// What the receiver answers next; 204 when nothing is left to say.
#[derive(Clone, Debug)]
pub enum Say {
    Status(u16),
    RetryAfter(u16, String),
    Redirect(String),
    HangUp,
}

#[derive(Default)]
struct Inside {
    events: Vec<Event>,
    says: VecDeque<Say>,
    always: Option<u16>,
}

#[derive(Clone)]
pub struct Pipeline {
    pub url: String,
    inside: Arc<Mutex<Inside>>,
}

impl Pipeline {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/events", listener.local_addr().unwrap());
        let inside = Arc::<Mutex<Inside>>::default();
        let shared = Arc::clone(&inside);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(take(stream, Arc::clone(&shared)));
            }
        });
        Self { url, inside }
    }

    pub fn variables(&self) -> Vec<(&'static str, &'static str)> {
        vec![("EVENTS_URL", Box::leak(self.url.clone().into_boxed_str())), ("EVENTS_SECRET", SECRET)]
    }

    pub fn says(&self, says: impl IntoIterator<Item = Say>) {
        self.inside.lock().unwrap().says.extend(says);
    }

    /// Answers everything with this status until it is told otherwise.
    pub fn always(&self, status: Option<u16>) {
        self.inside.lock().unwrap().always = status;
    }

    /// Takes everything from now on.
    pub fn be_well(&self) {
        let mut inside = self.inside.lock().unwrap();
        inside.says.clear();
        inside.always = None;
    }

    /// Everything that came, refused or not.
    pub fn all(&self) -> Vec<Event> {
        self.inside.lock().unwrap().events.clone()
    }

    /// What was taken, in its order.
    pub fn taken(&self) -> Vec<Event> {
        self.all().into_iter().filter(|event| event.answered < 300).collect()
    }

    /// The types of what was taken of a match.
    pub fn kinds(&self, iid: u64) -> Vec<String> {
        let of_match = self.taken().into_iter().filter(|event| event.iid() == iid);
        of_match.map(|event| event.kind().trim_start_matches("match.").to_owned()).collect()
    }
}

async fn take(mut stream: TcpStream, inside: Arc<Mutex<Inside>>) {
    let mut bytes = Vec::new();
    let (head, length) = loop {
        let mut piece = [0; 4096];
        let Ok(count) = stream.read(&mut piece).await else { return };
        if count == 0 {
            return;
        }
        bytes.extend_from_slice(&piece[..count]);
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
            let length: usize = header(&head, "content-length").map_or(0, |value| value.parse().unwrap());
            break (head, end + 4 + length);
        }
    };
    while bytes.len() < length {
        let mut piece = [0; 4096];
        let count = stream.read(&mut piece).await.unwrap();
        assert!(count > 0, "the body broke off");
        bytes.extend_from_slice(&piece[..count]);
    }
    let body =
        head.find("\r\n").map(|_| length - (bytes.windows(4).position(|f| f == b"\r\n\r\n").unwrap() + 4));
    let raw = String::from_utf8(bytes[length - body.unwrap()..].to_vec()).unwrap();
    if head.starts_with("HEAD") {
        let _ = stream.write_all(b"HTTP/1.1 405 No\r\nconnection: close\r\n\r\n").await;
        return;
    }
    assert!(head.starts_with("POST /events HTTP/1.1"), "{head}");
    assert_eq!(header(&head, "content-type").as_deref(), Some("application/json"));
    let id = header(&head, "webhook-id").expect("webhook-id");
    let timestamp: i64 = header(&head, "webhook-timestamp").expect("webhook-timestamp").parse().unwrap();
    let signature = header(&head, "webhook-signature").expect("webhook-signature");
    let mut mac = Hmac::<Sha256>::new_from_slice(KEY).unwrap();
    mac.update(format!("{id}.{timestamp}.{raw}").as_bytes());
    let expected = base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes());
    assert_eq!(signature, format!("v1,{expected}"), "signature of {id}");
    let say = {
        let mut inside = inside.lock().unwrap();
        let say = inside.says.pop_front().unwrap_or(Say::Status(inside.always.unwrap_or(204)));
        let answered = match &say {
            Say::Status(status) | Say::RetryAfter(status, _) => *status,
            Say::Redirect(_) => 307,
            Say::HangUp => 599,
        };
        inside.events.push(Event { id, timestamp, signature, raw, answered });
        say
    };
    let answer = match say {
        Say::HangUp => return,
        Say::Status(status) => {
            format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        }
        Say::RetryAfter(status, after) => {
            format!(
                "HTTP/1.1 {status} x\r\nretry-after: {after}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            )
        }
        Say::Redirect(to) => {
            format!("HTTP/1.1 307 x\r\nlocation: {to}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        }
    };
    let _ = stream.write_all(answer.as_bytes()).await;
}

fn header(head: &str, name: &str) -> Option<String> {
    let mut lines = head.split("\r\n").skip(1);
    lines.find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    })
}

//! Strict receivers on real sockets: they keep what arrived, answer by a script, and can break off.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Arrived {
    pub method: String,
    /// Path and query.
    pub target: String,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

impl Arrived {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), "application/json");
        serde_json::from_str(&self.body).unwrap()
    }

    /// The fields of a form; each may be there once.
    pub fn form(&self) -> BTreeMap<String, String> {
        assert_eq!(self.header("content-type"), "application/x-www-form-urlencoded");
        let mut fields = BTreeMap::new();
        for (name, value) in url::form_urlencoded::parse(self.body.as_bytes()) {
            assert_eq!(fields.insert(name.clone().into_owned(), value.into_owned()), None, "{name} twice");
        }
        fields
    }

    pub fn basic_auth(&self) -> String {
        let encoded = self.header("authorization").strip_prefix("Basic ").expect("basic auth");
        String::from_utf8(STANDARD.decode(encoded).unwrap()).unwrap()
    }
}

/// What a receiver does next.
#[derive(Clone, Debug)]
pub enum Reply {
    Answer(u16, Vec<(&'static str, String)>, String),
    /// The connection ends without an answer.
    Drop,
    /// The answer breaks off in its body.
    Torn(u16),
    /// The connection stays, and no answer comes.
    Silent,
}

impl Reply {
    pub fn json(status: u16, body: Value) -> Self {
        Self::Answer(status, vec![("content-type", "application/json".to_owned())], body.to_string())
    }

    pub fn text(status: u16, body: &str) -> Self {
        Self::Answer(status, vec![("content-type", "text/html".to_owned())], body.to_owned())
    }

    pub fn and_header(self, name: &'static str, value: &str) -> Self {
        match self {
            Self::Answer(status, mut headers, body) => {
                headers.push((name, value.to_owned()));
                Self::Answer(status, headers, body)
            }
            other => other,
        }
    }
}

/// A server that answers by a script; what is not in it gets 599.
pub struct Receiver {
    pub url: String,
    arrived: Arc<Mutex<Vec<Arrived>>>,
}

impl Receiver {
    pub async fn start(script: impl IntoIterator<Item = Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let arrived = Arc::new(Mutex::new(Vec::new()));
        let script = Arc::new(Mutex::new(script.into_iter().collect::<VecDeque<_>>()));
        let seen = arrived.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, script) = (seen.clone(), script.clone());
                tokio::spawn(async move { serve(stream, &seen, &script).await });
            }
        });
        Self { url, arrived }
    }

    pub fn arrived(&self) -> Vec<Arrived> {
        self.arrived.lock().unwrap().clone()
    }

    /// The only request that arrived.
    pub fn only(&self) -> Arrived {
        let arrived = self.arrived();
        assert_eq!(arrived.len(), 1, "{arrived:#?}");
        arrived[0].clone()
    }
}

/// A Slack that says when a message is there, and answers when it is let.
pub async fn slow_slack() -> (String, oneshot::Receiver<()>, oneshot::Sender<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/services/T0/B0/x", listener.local_addr().unwrap());
    let ((arrived, has_arrived), (let_go, may_go)) = (oneshot::channel(), oneshot::channel());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut bytes = Vec::new();
        while !(bytes.windows(4).any(|four| four == b"\r\n\r\n") && bytes.ends_with(b"}")) {
            stream.read_buf(&mut bytes).await.unwrap();
        }
        arrived.send(()).unwrap();
        may_go.await.unwrap();
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
        stream.write_all(answer).await.unwrap();
    });
    (url, has_arrived, let_go)
}

/// An address where nobody listens.
pub async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

async fn serve(mut stream: TcpStream, seen: &Mutex<Vec<Arrived>>, script: &Mutex<VecDeque<Reply>>) {
    let Some(request) = read(&mut stream).await else { return };
    seen.lock().unwrap().push(request);
    let reply = script.lock().unwrap().pop_front().unwrap_or_else(|| Reply::text(599, "not in the script"));
    let written = match reply {
        Reply::Drop => return,
        Reply::Silent => return std::future::pending().await,
        Reply::Torn(status) => format!("HTTP/1.1 {status} x\r\ncontent-length: 100\r\n\r\nhalf"),
        Reply::Answer(status, headers, body) => {
            let headers: String =
                headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
            let length = body.len();
            format!(
                "HTTP/1.1 {status} x\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
            )
        }
    };
    stream.write_all(written.as_bytes()).await.unwrap();
    let _ = stream.shutdown().await;
}

async fn read(stream: &mut TcpStream) -> Option<Arrived> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..head_end].to_vec()).unwrap();
    let mut lines = head.lines();
    let mut first = lines.next().unwrap().split(' ');
    let (method, target) = (first.next().unwrap().to_owned(), first.next().unwrap().to_owned());
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length: usize = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    while bytes.len() < head_end + 4 + length {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    let body = String::from_utf8(bytes[head_end + 4..].to_vec()).unwrap();
    Some(Arrived { method, target, headers, body })
}

/// Every limit that Slack documents, looked for anew in what arrived. Returns all texts, mrkdwn first.
pub fn slack_takes(message: &Value) -> Vec<String> {
    let mut texts = Vec::new();
    let length = |text: &str| text.encode_utf16().count();
    let text = message["text"].as_str().expect("a fallback text");
    assert!((1..=4_000).contains(&length(text)), "fallback of {}", length(text));
    texts.push(text.to_owned());
    let blocks = message["blocks"].as_array().expect("blocks");
    assert!((1..=50).contains(&blocks.len()), "{} blocks", blocks.len());
    // Slack says `msg_blocks_too_long` from about 12,000 characters on.
    let whole = message["blocks"].to_string().len();
    assert!(whole < 11_500, "blocks of {whole} bytes");
    let mut look = |object: &Value, limit: usize| {
        let text = object["text"].as_str().expect("a text");
        assert!((1..=limit).contains(&length(text)), "{} of {limit}: {text}", length(text));
        match object["type"].as_str().unwrap() {
            "mrkdwn" => {
                assert_eq!(object["verbatim"], true, "Slack would look for links: {text}");
                texts.push(text.to_owned());
            }
            "plain_text" => assert!(object["verbatim"].is_null()),
            other => panic!("text of type {other}"),
        }
        object["type"] == "plain_text"
    };
    for block in blocks {
        match block["type"].as_str().unwrap() {
            "header" => assert!(look(&block["text"], 150), "a header is plain_text"),
            "section" => {
                let fields = block["fields"].as_array().cloned().unwrap_or_default();
                assert!(fields.len() <= 10, "{} fields", fields.len());
                assert!(block["fields"].is_null() || !fields.is_empty(), "no fields");
                for field in &fields {
                    look(field, 2_000);
                }
                look(&block["text"], 3_000);
            }
            "context" => {
                let elements = block["elements"].as_array().unwrap();
                assert!((1..=10).contains(&elements.len()));
                for element in elements {
                    look(element, 3_000);
                }
            }
            "actions" => {
                let elements = block["elements"].as_array().unwrap();
                assert!((1..=25).contains(&elements.len()));
                for element in elements {
                    assert_eq!(element["type"], "button");
                    assert!(look(&element["text"], 75), "a button's text is plain_text");
                    let url = element["url"].as_str().expect("a link button");
                    assert!(url.starts_with("https://") && length(url) <= 3_000, "{url}");
                }
            }
            other => panic!("a block of type {other}"),
        }
    }
    texts
}

/// What WhatsApp and Twilio ask of a template's values: numbered from 1, none empty, one line, no runs of blanks.
pub fn whatsapp_takes(variables: &BTreeMap<String, String>) {
    let numbers: Vec<String> = (1..=variables.len()).map(|number| number.to_string()).collect();
    assert_eq!(variables.keys().cloned().collect::<Vec<_>>(), numbers);
    assert_eq!(variables.len(), 4);
    let whole: usize = variables.values().map(|value| value.encode_utf16().count()).sum();
    assert!(whole <= 1_000, "Meta takes 1,024 characters with the words around them, not {whole}");
    for value in variables.values() {
        assert!(
            !value.trim().is_empty() && !value.contains(['\n', '\r', '\t']) && !value.contains("    "),
            "{value:?}"
        );
    }
}

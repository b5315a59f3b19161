//! What the sandbox's tests share: a client, a stepped clock, a receiver of webhooks.
#![allow(dead_code, reason = "each test uses its own part of it")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests panic and print as tests do")]

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::Value;
use tokio::sync::mpsc;
use vorhoelle::sandbox::{Now, Options, Sandbox};

/// The folder with GitLab's own schemas and verdicts, if it is there.
pub fn shared() -> Option<PathBuf> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let folder = std::env::var_os("VORHOELLE_SHARED").map_or(beside, PathBuf::from);
    let there = folder.join("reference/gitlab").is_dir();
    if !there {
        println!("skipped: {} holds no reference/gitlab", folder.display());
    }
    there.then(|| folder.join("reference/gitlab"))
}

/// Reads a JSON file of the shared folder.
pub fn shared_json(name: &str) -> Option<Value> {
    let text = std::fs::read_to_string(shared()?.join(name)).unwrap();
    Some(serde_json::from_str(&text).unwrap())
}

/// A clock that moves only by hand.
#[derive(Clone)]
pub struct Clock(Arc<Mutex<Timestamp>>);

impl Clock {
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new("2026-11-23T08:00:00.123456Z".parse().unwrap())))
    }

    pub fn now(&self) -> Now {
        let clock = self.clone();
        Arc::new(move || *clock.0.lock().unwrap())
    }

    pub fn advance(&self, seconds: i64) {
        *self.0.lock().unwrap() += jiff::SignedDuration::from_secs(seconds);
    }
}

/// A sandbox on a stepped clock.
pub async fn stepped() -> (Sandbox, Clock) {
    let clock = Clock::new();
    let sandbox = Sandbox::start(Options { now: clock.now(), ..Options::default() }).await.unwrap();
    (sandbox, clock)
}

/// A client with somebody's token.
#[derive(Clone)]
pub struct Client {
    pub http: reqwest::Client,
    pub sandbox: Sandbox,
    pub token: String,
}

pub fn client(sandbox: &Sandbox, username: &str) -> Client {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    Client { http, sandbox: sandbox.clone(), token: sandbox.token(username) }
}

impl Client {
    /// A request to the API; a path without a slash in front is one within the project.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let path = match path.strip_prefix('/') {
            Some(path) => path.to_owned(),
            None => format!("projects/{}/{path}", self.sandbox.project_id()).trim_end_matches('/').to_owned(),
        };
        self.http
            .request(method, format!("{}/api/v4/{path}", self.sandbox.url()))
            .header("PRIVATE-TOKEN", &self.token)
    }

    pub async fn send(&self, method: Method, path: &str, body: Value) -> (u16, Value) {
        let mut request = self.request(method, path);
        if !body.is_null() {
            request = request.json(&body);
        }
        read(request.send().await.unwrap()).await
    }

    pub async fn get(&self, path: &str) -> (u16, Value) {
        self.send(Method::GET, path, Value::Null).await
    }

    pub async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        self.send(Method::POST, path, body).await
    }

    pub async fn put(&self, path: &str, body: Value) -> (u16, Value) {
        self.send(Method::PUT, path, body).await
    }

    pub async fn delete(&self, path: &str) -> (u16, Value) {
        self.send(Method::DELETE, path, Value::Null).await
    }

    /// Creates an issue and tells its number.
    pub async fn issue(&self, body: Value) -> u64 {
        let (status, issue) = self.post("issues", body).await;
        assert_eq!(status, 201, "{issue}");
        issue["iid"].as_u64().unwrap()
    }
}

/// Status and body; text that is no JSON as a string.
pub async fn read(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    let body = if text.is_empty() {
        Value::Null
    } else {
        serde_json::from_str(&text).unwrap_or(Value::String(text))
    };
    (status, body)
}

/// A delivery as it arrived.
#[derive(Clone, Debug)]
pub struct Arrived {
    pub headers: http::HeaderMap,
    pub bytes: Vec<u8>,
    pub body: Value,
}

impl Arrived {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn action(&self) -> &str {
        self.body["object_attributes"]["action"].as_str().unwrap_or_default()
    }

    /// Titles of the labels in the payload.
    pub fn labels(&self) -> Vec<&str> {
        self.body["labels"].as_array().unwrap().iter().map(|label| label["title"].as_str().unwrap()).collect()
    }
}

/// Somebody who takes webhooks and answers each with the status that is set.
pub struct Receiver {
    pub url: String,
    pub arrived: mpsc::UnboundedReceiver<Arrived>,
    pub status: Arc<Mutex<u16>>,
}

impl Receiver {
    pub async fn start() -> Self {
        let (sender, arrived) = mpsc::unbounded_channel();
        let status = Arc::new(Mutex::new(200));
        let answer = Arc::clone(&status);
        let app = axum::Router::new().fallback(move |headers: http::HeaderMap, bytes: bytes::Bytes| {
            let (sender, answer) = (sender.clone(), Arc::clone(&answer));
            async move {
                let body = serde_json::from_slice(&bytes).unwrap();
                sender.send(Arrived { headers, bytes: bytes.to_vec(), body }).ok();
                http::StatusCode::from_u16(*answer.lock().unwrap()).unwrap()
            }
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let server = hyper_util::server::conn::auto::Builder::new(hyper_util::rt::TokioExecutor::new());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let service = hyper_util::service::TowerToHyperService::new(app.clone());
                let server = server.clone();
                tokio::spawn(async move {
                    server.serve_connection(hyper_util::rt::TokioIo::new(stream), service).await.ok();
                });
            }
        });
        Self { url, arrived, status }
    }

    pub fn answer(&self, status: u16) {
        *self.status.lock().unwrap() = status;
    }

    /// Everything that has arrived once nothing is under way any more.
    pub async fn all(&mut self, sandbox: &Sandbox) -> Vec<Arrived> {
        sandbox.settled().await;
        std::iter::from_fn(|| self.arrived.try_recv().ok()).collect()
    }
}

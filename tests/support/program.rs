//! The real program beside a sandbox: settings for it, its commands, its service.

#![allow(dead_code, reason = "each test uses a part")]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use vorhoelle::clock::Clock;
use vorhoelle::sandbox::{Options, Sandbox};

const SIGNING_TOKEN: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

/// A GitLab, and settings for the program.
pub struct Setting {
    pub sandbox: Sandbox,
    pub folder: TempDir,
    port: u16,
    pub http: Client,
    /// More variables, by their whole names.
    pub variables: Vec<(String, String)>,
}

pub struct Running {
    pub child: Child,
}

impl Running {
    /// What it says on its standard error, as it comes.
    pub fn listen(&mut self) -> Arc<Mutex<String>> {
        let said = Arc::new(Mutex::new(String::new()));
        let (lines, heard) = (BufReader::new(self.child.stderr.take().unwrap()), said.clone());
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                heard.lock().unwrap().push_str(&(line + "\n"));
            }
        });
        said
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A free port below those that the system gives to clients: between a kill and the next start the program's own could
/// become another test's connection's.
fn free_port() -> u16 {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id().wrapping_mul(37);
    loop {
        let next = first.wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed)) % 12_000;
        let port = 20_000 + u16::try_from(next).unwrap();
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

impl Setting {
    pub async fn new(options: Options) -> Self {
        let sandbox = Sandbox::start(options).await.unwrap();
        Self {
            sandbox,
            folder: TempDir::new().unwrap(),
            port: free_port(),
            http: Client::builder().build().unwrap(),
            variables: Vec::new(),
        }
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vorhoelle"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env_clear()
            .env("VORHOELLE_GITLAB_URL", self.sandbox.url())
            .env("VORHOELLE_GITLAB_TOKEN", self.sandbox.token("bot"))
            .env("VORHOELLE_SETUP_TOKEN", self.sandbox.token("owner"))
            .env("VORHOELLE_GITLAB_PROJECT", "4711")
            .env("VORHOELLE_WEBHOOK_SECRET", "secret-of-the-webhook")
            .env("VORHOELLE_WEBHOOK_SIGNING_TOKEN", SIGNING_TOKEN)
            .env("VORHOELLE_API_TOKENS", "pipeline:token-of-the-pipeline")
            .env("VORHOELLE_REVIEWERS", "reviewer")
            .env("VORHOELLE_LISTEN", format!("127.0.0.1:{}", self.port))
            .env("VORHOELLE_PUBLIC_URL", format!("http://127.0.0.1:{}", self.port))
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs a command to its end, beside the sandbox.
    pub async fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let mut command = self.command(arguments);
        let output: Output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }

    pub async fn serve(&self) -> Running {
        let mut command = self.command(&["serve"]);
        let running = Running { child: command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap() };
        self.until("it is ready", async || {
            let ready = self.http.get(self.url("/readyz")).send().await;
            ready.is_ok_and(|answer| answer.status() == StatusCode::OK)
        })
        .await;
        running
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub async fn get(&self, path: &str) -> Value {
        let request = self.http.get(self.url(path)).bearer_auth("token-of-the-pipeline");
        request.send().await.unwrap().json().await.unwrap()
    }

    pub async fn post(&self, body: &Value) -> Option<StatusCode> {
        let request =
            self.http.post(self.url("/api/v1/matches")).bearer_auth("token-of-the-pipeline").json(body);
        Some(request.send().await.ok()?.status())
    }

    /// Until something holds; the deadline is far beyond what it takes.
    pub async fn until(&self, what: &str, holds: impl AsyncFn() -> bool) {
        let waiting = async {
            while !holds().await {
                Clock::System.sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), waiting)
            .await
            .unwrap_or_else(|_| panic!("never: {what}"));
    }

    pub async fn until_state(&self, iid: u64, state: &str) {
        let path = format!("/api/v1/matches/{iid}");
        self.until(&format!("match {iid} is {state}"), async || self.get(&path).await["state"] == state)
            .await;
    }
}

pub fn job(id: &str) -> Value {
    json!({"title": format!("Job {id}"), "score": 80, "source": "s", "external_id": id})
}

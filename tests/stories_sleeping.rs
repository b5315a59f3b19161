//! Stories: a platform that stops the process between requests, as Cloud Run does at scale to zero.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a story that fails, panics"
)]

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use vorhoelle::clock::Clock;
use vorhoelle::sandbox::{HookMode, Options, Sandbox};

const TOKEN: &str = "token-of-the-pipeline";

/// The program, which only runs while somebody asks it something.
struct Platform {
    sandbox: Sandbox,
    folder: TempDir,
    http: Client,
    port: u16,
    process: Child,
}

impl Drop for Platform {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Platform {
    async fn new() -> Self {
        let sandbox = Sandbox::start(Options::default()).await.unwrap();
        let folder = TempDir::new().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process = start(&sandbox, &folder, port, &["setup"]);
        let mut platform = Self { sandbox, folder, http: Client::builder().build().unwrap(), port, process };
        assert!(platform.process.wait().unwrap().success());
        platform.wake_up_new().await;
        platform
    }

    /// A new process, stopped as soon as it is ready.
    async fn wake_up_new(&mut self) {
        self.process = start(&self.sandbox, &self.folder, self.port, &["serve"]);
        let ready = async {
            loop {
                let asked = self.http.get(self.url("/readyz")).send().await;
                if asked.is_ok_and(|answer| answer.status() == StatusCode::OK) {
                    break;
                }
                Clock::System.sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), ready).await.expect("it gets ready");
        self.signal("STOP");
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.process.id().to_string()]).status();
        assert!(sent.unwrap().success());
    }

    /// Kills it where it stands, and loses its disk.
    fn kill_and_wipe(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        std::fs::remove_dir_all(self.folder.path().join("data")).unwrap();
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// It runs from the request to the answer and no longer.
    async fn ask(&self, request: reqwest::RequestBuilder) -> (StatusCode, Value) {
        self.signal("CONT");
        let answer = request.bearer_auth(TOKEN).send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        self.signal("STOP");
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    async fn stage(&self, id: &str) -> u64 {
        let job = json!({"title": format!("Job {id}"), "score": 90, "source": "s", "external_id": id});
        let (status, answer) = self.ask(self.http.post(self.url("/api/v1/matches")).json(&job)).await;
        assert!(status.is_success(), "{answer}");
        answer["iid"].as_u64().unwrap()
    }

    async fn tick(&self) {
        let (status, answer) = self.ask(self.http.post(self.url("/api/v1/tick"))).await;
        assert_eq!((status, &answer["backlog"]), (StatusCode::OK, &json!(0)));
    }

    async fn state(&self, iid: u64) -> String {
        let (_, answer) = self.ask(self.http.get(self.url(&format!("/api/v1/matches/{iid}")))).await;
        answer["state"].as_str().unwrap_or_default().to_owned()
    }

    /// How many mails were sent.
    fn mails(&self) -> usize {
        std::fs::read_dir(self.folder.path().join("outbox")).map_or(0, Iterator::count)
    }

    fn labels(&self, iid: u64) -> Vec<String> {
        let mut labels = self.sandbox.world().labels_of(iid);
        labels.sort();
        labels
    }
}

fn start(sandbox: &Sandbox, folder: &TempDir, port: u16, arguments: &[&str]) -> Child {
    let outbox: PathBuf = folder.path().join("outbox");
    let mut command = Command::new(env!("CARGO_BIN_EXE_vorhoelle"));
    command
        .args(arguments)
        .current_dir(folder.path())
        .env_clear()
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
        .env("PORT", port.to_string())
        .env("VORHOELLE_IDLE", "request")
        .env("VORHOELLE_GITLAB_URL", sandbox.url())
        .env("VORHOELLE_GITLAB_TOKEN", sandbox.token("bot"))
        .env("VORHOELLE_SETUP_TOKEN", sandbox.token("owner"))
        .env("VORHOELLE_GITLAB_PROJECT", "4711")
        .env("VORHOELLE_WEBHOOK_SECRET", "secret-of-the-webhook")
        .env("VORHOELLE_API_TOKENS", format!("scheduler:{TOKEN}"))
        .env("VORHOELLE_REVIEWERS", "reviewer")
        .env("VORHOELLE_PUBLIC_URL", format!("http://127.0.0.1:{port}"))
        .env("VORHOELLE_MAIL_FILE_DIR", outbox)
        .env("VORHOELLE_MAIL_FROM", "jobs@example.com")
        .env("VORHOELLE_MAIL_TO", "anna@example.com");
    command.spawn().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_while_the_process_does_not_run() {
    let mut platform = Platform::new().await;
    // Nobody wakes it up for what happens in GitLab: every delivery is lost.
    platform.sandbox.hook_mode(HookMode::Lose);
    let (first, second) = (platform.stage("1").await, platform.stage("2").await);
    platform.tick().await;
    assert_eq!(platform.mails(), 2, "each match was told of");
    platform.sandbox.as_user("reviewer").relabel(first, &["job-match/approved"], &[]).unwrap();
    platform.sandbox.as_user("reviewer").close(second).unwrap();
    // A scheduler that calls twice does no harm, neither does the first call after a long sleep.
    for _ in 0..2 {
        platform.tick().await;
    }
    assert_eq!(
        (platform.state(first).await, platform.state(second).await),
        ("approved".into(), "rejected".into())
    );
    assert_eq!(platform.labels(first), ["job-match", "job-match/approved"]);
    assert_eq!(platform.labels(second), ["job-match", "job-match/rejected"]);
    // The platform takes the instance away; the next one has an empty disk.
    platform.kill_and_wipe();
    platform.wake_up_new().await;
    platform.tick().await;
    platform.tick().await;
    assert_eq!(platform.stage("1").await, first, "staged before");
    assert_eq!(
        (platform.state(first).await, platform.state(second).await),
        ("approved".into(), "rejected".into())
    );
    assert_eq!(platform.mails(), 2, "and nobody is told twice");
    let gitlab = platform.sandbox.world();
    assert_eq!(gitlab.issues.len(), 2);
    assert!(gitlab.comments_of(first).is_empty() && gitlab.comments_of(second).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_ticks_at_once_do_nothing_twice() {
    let platform = Platform::new().await;
    platform.sandbox.hook_mode(HookMode::Lose);
    let iid = platform.stage("1").await;
    platform
        .sandbox
        .as_user("reviewer")
        .relabel(iid, &["job-match/approved", "job-match/rejected"], &[])
        .unwrap();
    platform.signal("CONT");
    let tick = || platform.http.post(platform.url("/api/v1/tick")).bearer_auth(TOKEN).send();
    let (one, two, three) = tokio::join!(tick(), tick(), tick());
    assert!([one, two, three].into_iter().all(|answer| answer.unwrap().status() == StatusCode::OK));
    platform.signal("STOP");
    platform.tick().await;
    assert_eq!(platform.labels(iid), ["job-match", "job-match/pending"]);
    assert_eq!(platform.sandbox.world().comments_of(iid).len(), 1, "one sentence about the ambiguous labels");
    assert_eq!(platform.mails(), 1);
}

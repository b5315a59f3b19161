//! Where a measurement happens: a stand-in for GitLab, a folder, and the service or the program with settings for both.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use vorhoelle::app::{self, Parts};
use vorhoelle::clock::Clock;
use vorhoelle::config::{Environment, Settings};
use vorhoelle::domain::{State, posted_match};
use vorhoelle::engine::Engine;
use vorhoelle::gitlab::Patience;
use vorhoelle::mirror::Record;
use vorhoelle::sandbox::{Options, Sandbox, State as IssueState};

use super::{SIGNING_TOKEN, until_200};

/// Closed issues whose existence every start of a command checks: a hundred, and one that it may begin with.
const ASKED_AT_EVERY_START: u64 = 102;

pub const API_TOKEN: &str = "bench-token";

pub struct Place {
    pub sandbox: Sandbox,
    folder: tempfile::TempDir,
}

impl Place {
    pub async fn new() -> Self {
        let sandbox = Sandbox::start(Options::default()).await.unwrap();
        Self { sandbox, folder: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What the service has to be told, by the names of the variables.
    fn settings(&self, mirror: &Path) -> [(&'static str, String); 6] {
        [
            ("GITLAB_URL", self.sandbox.url().to_owned()),
            ("GITLAB_TOKEN", self.sandbox.token("bot")),
            ("GITLAB_PROJECT", self.sandbox.project()),
            ("WEBHOOK_SIGNING_TOKEN", SIGNING_TOKEN.to_owned()),
            ("API_TOKENS", format!("bench:{API_TOKEN}")),
            ("DATABASE", mirror.to_string_lossy().into_owned()),
        ]
    }

    /// The service inside this process.
    pub fn assemble(&self, mirror: &Path, patience: Patience) -> Parts {
        let mut environment = Environment::default();
        for (name, value) in self.settings(mirror) {
            environment.set(name, value);
        }
        let settings = Settings::load(None, &environment).unwrap();
        app::assemble(settings, Clock::System, patience).unwrap()
    }

    /// The program, to be run as a process of its own.
    pub fn program(&self, arguments: &[&str], mirror: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vorhoelle"));
        command.args(arguments).env_clear().stdout(Stdio::null()).stderr(Stdio::null());
        command.envs(self.settings(mirror).map(|(name, value)| (format!("VORHOELLE_{name}"), value)));
        command
    }

    /// The program as a service on a port.
    pub fn serve(&self, mirror: &Path, port: u16) -> Command {
        let mut command = self.program(&["serve"], mirror);
        command.env("VORHOELLE_LISTEN", format!("127.0.0.1:{port}"));
        command
    }

    /// A mirror of many matches like this one, all but the first rejected. GitLab has those of them that every start asks
    /// about, and is asked about no other.
    pub async fn fill(&self, engine: &Engine, job: Value, count: u64, differ: impl Fn(&mut Record, u64)) {
        engine.delta().await.unwrap();
        let first = engine.stage(posted_match::parse(job).unwrap()).await.unwrap().record;
        for number in 2..=count {
            let mut record = first.clone();
            record.iid = number;
            record.issue_id += number;
            record.state = State::Rejected;
            // Long ago, so that no read finds it new.
            record.updated_at = first.updated_at - Duration::from_secs(86_400);
            record.job.title = format!("Rust Engineer {number}");
            record.job.external_id = Some(number.to_string());
            differ(&mut record, number);
            engine.mirror().put(&record, None).unwrap();
            if number <= ASKED_AT_EVERY_START {
                self.reject_like_the_first(&record);
            }
        }
        engine.mirror().checkpoint();
    }

    /// One match staged by the program, and as many more like it, a second apart and all in the past: what people do next is
    /// newer.
    pub async fn stage_like_the_first(&self, count: u64) {
        let port = free_port();
        let mut child = self.serve(&self.path("staging.sqlite"), port).spawn().unwrap();
        until_200(port, "/readyz");
        let job = json!({"title": "Rust Engineer", "score": 81, "source": "bench", "external_id": "load-1",
                         "description": "An advertisement.\n".repeat(40)});
        let url = format!("http://127.0.0.1:{port}/api/v1/matches");
        let answer = client().post(url).bearer_auth(API_TOKEN).json(&job).send().await.unwrap();
        assert_eq!(answer.status(), reqwest::StatusCode::CREATED);
        child.kill().unwrap();
        child.wait().unwrap();
        let mut gitlab = self.sandbox.world();
        let first = gitlab.issues[&1].clone();
        for number in 2..=count {
            let mut issue = first.clone();
            (issue.iid, issue.id) = (number, first.id + number);
            issue.title = format!("[81 %] Rust Engineer {number}");
            issue.description = first.description.as_ref().map(|text| {
                assert!(text.contains("load-1"));
                text.replace("load-1", &format!("load-{number}"))
            });
            let earlier = jiff::SignedDuration::from_secs(i64::try_from(count + 1 - number).unwrap());
            issue.updated_at = first.updated_at.checked_sub(earlier).unwrap();
            issue.created_at = issue.updated_at;
            gitlab.issues.insert(number, issue);
        }
    }

    fn reject_like_the_first(&self, record: &Record) {
        let mut gitlab = self.sandbox.world();
        let label = |name: &str| gitlab.label_named(name).unwrap().id;
        let (pending, rejected) = (label("job-match/pending"), label("job-match/rejected"));
        let mut issue = gitlab.issues[&1].clone();
        (issue.iid, issue.id, issue.updated_at) = (record.iid, record.issue_id, record.updated_at);
        issue.state = IssueState::Closed;
        issue.labels.iter_mut().filter(|label| **label == pending).for_each(|label| *label = rejected);
        gitlab.issues.insert(issue.iid, issue);
    }
}

/// A port that nobody listens on.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A client of the program's own API.
pub fn client() -> reqwest::Client {
    // Without certificates: nothing here speaks TLS, and reading them takes longest.
    reqwest::Client::builder().tls_certs_only([]).build().unwrap()
}

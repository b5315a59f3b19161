//! A world for stories: a GitLab with named people, the service beside it, a clock that is stepped by hand.
//!
//! Nothing moves unless a story says so: the service's queue is worked off and its delta read made by hand, webhooks
//! go over a real socket.

#![allow(dead_code, reason = "each story uses a part of the world")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::SignedDuration;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use vorhoelle::app::{self, Parts};
use vorhoelle::clock::Clock;
use vorhoelle::config::{Environment, Settings};
use vorhoelle::engine::{Engine, HookWatch};
use vorhoelle::gitlab::Patience;
use vorhoelle::notify::Notifier;
use vorhoelle::outgoing::Outgoing;
use vorhoelle::sandbox::{Call, Options, Person, Sandbox};
use vorhoelle::web;

pub const TOKEN: &str = "token-of-the-pipeline";
pub const HOOK_SECRET: &str = "secret-of-the-webhook";

pub const STATES: [&str; 4] = ["pending", "approved", "rejected", "sent"];

/// The steps that there are, where the service has sent nothing itself.
pub fn is_allowed(from: &str, to: &str) -> bool {
    matches!(
        (from, to),
        ("pending", "approved" | "rejected")
            | ("approved", "pending" | "rejected" | "sent")
            | ("rejected", "pending" | "approved")
            | ("sent", "approved")
    )
}

/// The steps that lead from pending to a state.
pub fn way_to(state: &str) -> &'static [&'static str] {
    match state {
        "approved" => &["approved"],
        "rejected" => &["rejected"],
        "sent" => &["approved", "sent"],
        _ => &[],
    }
}

/// What happens to the disk while the service is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disk {
    Kept,
    Wiped,
}

pub struct World {
    pub clock: Clock,
    pub sandbox: Sandbox,
    pub http: Client,
    pub engine: Engine,
    pub notifier: Notifier,
    pub outgoing: Outgoing,
    pub address: SocketAddr,
    folder: TempDir,
    variables: Vec<(String, String)>,
    file: Option<String>,
    serving: CancellationToken,
    served: Option<tokio::task::JoinHandle<()>>,
    expected_comments: Vec<(u64, String)>,
    others: Vec<(Engine, TempDir)>,
    /// GitLab's clock minus the service's, in seconds.
    skew: Arc<AtomicI64>,
}

/// How a world differs from the usual one.
#[derive(Default)]
pub struct Difference {
    pub options: Options,
    pub variables: Vec<(&'static str, &'static str)>,
    pub file: Option<&'static str>,
}

impl World {
    pub async fn new() -> Self {
        Self::with(Difference::default()).await
    }

    /// A world with settings of its own.
    pub async fn set(variables: &[(&'static str, &'static str)]) -> Self {
        Self::with(Difference { variables: variables.to_vec(), ..Difference::default() }).await
    }

    pub async fn with(difference: Difference) -> Self {
        let world = Self::asleep(difference).await;
        world.engine.delta().await.expect("the first read of GitLab");
        world.make_hook();
        world
    }

    /// A world in which the service has not spoken to GitLab yet.
    pub async fn asleep(difference: Difference) -> Self {
        let clock = Clock::stepped("2026-11-23T08:00:00Z".parse().unwrap());
        let (now, skew) = (clock.clone(), Arc::new(AtomicI64::new(0)));
        let ahead = Arc::clone(&skew);
        let gitlabs_now =
            move || now.now().checked_add(SignedDuration::from_secs(ahead.load(Ordering::Relaxed))).unwrap();
        let options = Options { now: Arc::new(gitlabs_now), ..difference.options };
        let sandbox = Sandbox::start(options).await.unwrap();
        let folder = TempDir::new().unwrap();
        let variables =
            difference.variables.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let file = difference.file.map(str::to_owned);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let settings = settings(&sandbox, &folder, &variables, file.as_deref());
        let Parts { engine, notifier, outgoing, router, .. } =
            app::assemble(settings, clock.clone(), patience()).unwrap();
        let serving = CancellationToken::new();
        let served = tokio::spawn(web::server::serve(listener, router, serving.clone(), clock.clone()));
        Self {
            clock,
            sandbox,
            // Without certificates: nothing here speaks TLS, and reading them takes longest.
            http: Client::builder().tls_certs_only([]).build().unwrap(),
            engine,
            notifier,
            outgoing,
            address,
            folder,
            variables,
            file,
            serving,
            served: Some(served),
            expected_comments: Vec::new(),
            others: Vec::new(),
            skew,
        }
    }

    /// The service's clock jumps, GitLab's does not.
    pub fn clock_jumps(&self, seconds: i64) {
        match u64::try_from(seconds) {
            Ok(forward) => self.clock.advance(Duration::from_secs(forward)),
            Err(_) => self.clock.set_back(Duration::from_secs(seconds.unsigned_abs())),
        }
        self.skew.fetch_sub(seconds, Ordering::Relaxed);
    }

    fn make_hook(&self) {
        let url = format!("http://{}/webhooks/gitlab", self.address);
        let change = vorhoelle::sandbox::HookChange {
            url: Some(url),
            token: Some(HOOK_SECRET.to_owned()),
            events: [
                ("issues_events", true),
                ("confidential_issues_events", true),
                ("note_events", true),
                ("confidential_note_events", true),
                ("push_events", false),
            ]
            .map(|(name, on)| (name.to_owned(), on))
            .into(),
            ..Default::default()
        };
        let owner = self.sandbox.as_user("owner").id();
        self.sandbox.world().create_hook(owner, change).unwrap();
    }

    // --- what people do

    /// A person; a second goes by before what they do.
    pub fn person(&self, name: &str) -> Person {
        self.clock.advance(Duration::from_secs(1));
        self.sandbox.as_user(name)
    }

    /// The project's bot gets a new user, as a new project token does; tells its token.
    pub fn replace_bot(&self) -> String {
        let mut gitlab = self.sandbox.world();
        let id = gitlab.add_user("bot2", Some(vorhoelle::sandbox::Role::Reporter));
        gitlab.users.iter_mut().find(|user| user.id == id).unwrap().bot = true;
        drop(gitlab);
        self.sandbox.token("bot2")
    }

    pub fn reviewer(&self) -> Person {
        self.person("reviewer")
    }

    // --- what the pipeline does

    pub async fn post(&self, body: &Value) -> (StatusCode, Value) {
        self.call(self.http.post(self.url("/api/v1/matches")).json(body)).await
    }

    pub async fn get(&self, path: &str) -> (StatusCode, Value) {
        self.call(self.http.get(self.url(path))).await
    }

    pub async fn patch(&self, iid: u64, body: &Value) -> (StatusCode, Value) {
        self.clock.advance(Duration::from_secs(1));
        self.call(self.http.patch(self.url(&format!("/api/v1/matches/{iid}"))).json(body)).await
    }

    pub async fn call(&self, request: reqwest::RequestBuilder) -> (StatusCode, Value) {
        let answer = request.bearer_auth(TOKEN).send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Stages a match that differs from all others by its external id.
    pub async fn stage(&self, external_id: &str) -> u64 {
        let (status, answer) = self.post(&job(external_id)).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
        self.settle().await;
        answer["iid"].as_u64().unwrap()
    }

    /// A new match that was brought into a state by labels, one step after the other.
    pub async fn stage_in(&self, external_id: &str, state: &str) -> u64 {
        let iid = self.stage(external_id).await;
        for step in way_to(state) {
            self.reviewer().relabel(iid, &[&format!("job-match/{step}")], &[]).unwrap();
            self.settle().await;
        }
        self.expect(iid, state).await;
        iid
    }

    /// A second instance, and two issues of one match, 1 and 2: neither could know of the other's.
    pub async fn stage_twice(&mut self, body: Value) -> Parts {
        let other = self.another_instance().await;
        other.engine.delta().await.unwrap();
        let parsed = vorhoelle::domain::posted_match::parse(body).unwrap();
        let (mine, theirs) = tokio::join!(self.engine.stage(parsed.clone()), other.engine.stage(parsed));
        let mut iids = [mine.unwrap().record.iid, theirs.unwrap().record.iid];
        iids.sort_unstable();
        assert_eq!(iids, [1, 2]);
        other
    }

    /// A board with a list for every state.
    pub fn make_board(&self) {
        let lists = STATES.map(|state| format!("job-match/{state}"));
        let lists: Vec<&str> = lists.iter().map(String::as_str).collect();
        self.sandbox.as_user("owner").create_board("Job matches", &lists).unwrap();
    }

    // --- what the service does

    /// Until GitLab is called so, from now on; its answer may still be on its way.
    pub async fn until_called(&self, is_it: impl Fn(&Call) -> bool) {
        let before = self.sandbox.calls().len();
        while !self.sandbox.calls()[before..].iter().any(&is_it) {
            Clock::System.sleep(Duration::from_millis(5)).await;
        }
    }

    /// Until every delivery has arrived and everything that it caused is done.
    pub async fn settle(&self) {
        loop {
            self.sandbox.settled().await;
            self.engine.work_off().await;
            let calls = self.sandbox.calls().len();
            self.sandbox.settled().await;
            self.engine.work_off().await;
            if self.sandbox.calls().len() == calls {
                break;
            }
        }
    }

    /// Until the service has met an issue by its delivery, while GitLab's answer is still on its way.
    pub async fn until_met(&self, iid: u64) {
        let met = async {
            while self.engine.mirror().record(iid).unwrap().is_none() {
                self.sandbox.settled().await;
                self.engine.work_off().await;
                Clock::System.sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), met).await.expect("the issue is met");
    }

    /// Time passes, and the service tells people what is due by then.
    pub async fn tell_after(&self, minutes: u64) {
        self.clock.advance(Duration::from_secs(minutes * 60));
        self.tell().await;
    }

    /// What is due now is told.
    pub async fn tell(&self) {
        self.settle().await;
        self.notifier.tick().await;
        self.settle().await;
    }

    /// The names of our own reactions to an issue: the receipts.
    pub fn receipts(&self, iid: u64) -> Vec<String> {
        let bot = self.sandbox.as_user("bot").id();
        let gitlab = self.sandbox.world();
        let mut names: Vec<String> = gitlab
            .reactions
            .iter()
            .filter(|one| one.iid == iid && one.user == bot)
            .map(|one| one.name.clone())
            .collect();
        names.sort();
        names
    }

    /// The delta read that the service makes by itself every few minutes.
    pub async fn delta(&self) {
        self.clock.advance(Duration::from_secs(300));
        self.engine.delta().await.unwrap();
        self.settle().await;
    }

    /// A delta read, and another that sees what the first one wrote.
    pub async fn look_twice(&self) {
        self.delta().await;
        self.delta().await;
    }

    /// Kills the service without a word and starts it again.
    pub async fn restart(&mut self, disk: Disk) {
        self.kill(disk).await;
        self.start().await;
        self.engine.delta().await.unwrap();
        self.settle().await;
    }

    pub async fn kill(&mut self, disk: Disk) {
        self.serving.cancel();
        self.engine.kill();
        if let Some(served) = self.served.take() {
            served.abort();
            let _ = served.await;
        }
        if disk == Disk::Wiped {
            for file in std::fs::read_dir(self.folder.path()).unwrap() {
                std::fs::remove_file(file.unwrap().path()).unwrap();
            }
        }
    }

    pub async fn start(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        let settings = settings(&self.sandbox, &self.folder, &self.variables, self.file.as_deref());
        let Parts { engine, notifier, outgoing, router, .. } =
            app::assemble(settings, self.clock.clone(), patience()).unwrap();
        self.engine = engine;
        self.notifier = notifier;
        self.outgoing = outgoing;
        self.serving = CancellationToken::new();
        let serve = web::server::serve(listener, router, self.serving.clone(), self.clock.clone());
        self.served = Some(tokio::spawn(serve));
    }

    /// Changes a setting; it counts from the next start.
    pub fn set_variable(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// A second instance on the same project with a disk of its own; GitLab delivers to the first only.
    pub async fn another_instance(&mut self) -> Parts {
        let folder = TempDir::new().unwrap();
        let settings = settings(&self.sandbox, &folder, &self.variables, self.file.as_deref());
        let parts = app::assemble(settings, self.clock.clone(), patience()).unwrap();
        self.others.push((parts.engine.clone(), folder));
        parts
    }

    /// Another process on the same disk, as a command is.
    pub fn process_beside(&self) -> Engine {
        let settings = settings(&self.sandbox, &self.folder, &self.variables, self.file.as_deref());
        app::assemble(settings, self.clock.clone(), patience()).unwrap().engine
    }

    /// [`World::settle`], of every instance.
    pub async fn settle_all(&self) {
        for (engine, _) in &self.others {
            engine.work_off().await;
        }
        self.settle().await;
    }

    /// Looks at the webhook with somebody's token.
    pub async fn check_hook(&self, whose: &str) {
        let mut variables = self.variables.clone();
        variables.push(("GITLAB_TOKEN".to_owned(), self.sandbox.token(whose)));
        let settings = settings(&self.sandbox, &self.folder, &variables, self.file.as_deref());
        let gitlab = app::gitlab(&settings, self.clock.clone(), patience()).unwrap();
        let url = format!("http://{}/webhooks/gitlab", self.address);
        let may_revive = whose == "owner";
        let watch = HookWatch { gitlab, project: self.sandbox.project(), url, may_revive };
        self.engine.check_hook(&watch).await;
    }

    /// What GitLab does after too many failed deliveries.
    pub fn disable_hook(&self) {
        let until = self.clock.now().checked_add(Duration::from_secs(3600)).unwrap();
        let mut gitlab = self.sandbox.world();
        gitlab.hooks[0].disabled_until = Some(until);
        gitlab.hooks[0].failures = 5;
    }

    /// Does something to the mirror's file that we would not.
    pub fn spoil_mirror(&self, sql: &str) {
        rusqlite::Connection::open(self.mirror_file()).unwrap().execute_batch(sql).unwrap();
    }

    pub fn mirror_file(&self) -> PathBuf {
        self.folder.path().join("mirror.sqlite")
    }

    // --- what is

    /// The issue's labels, sorted, without the common beginning.
    pub fn labels(&self, iid: u64) -> Vec<String> {
        let mut labels = self.sandbox.world().labels_of(iid);
        labels.sort();
        labels
    }

    pub fn is_open(&self, iid: u64) -> bool {
        self.sandbox.world().issue(iid).unwrap().state == vorhoelle::sandbox::State::Opened
    }

    pub async fn state(&self, iid: u64) -> String {
        let (status, answer) = self.get(&format!("/api/v1/matches/{iid}")).await;
        if status == StatusCode::NOT_FOUND {
            return "none".to_owned();
        }
        answer["state"].as_str().unwrap().to_owned()
    }

    /// The match stands in `state`, in GitLab and in the API alike.
    #[track_caller]
    pub fn expect_labels(&self, iid: u64, state: &str) {
        let expected = ["job-match".to_owned(), format!("job-match/{state}")];
        assert_eq!(self.labels(iid), expected, "labels of #{iid}");
        assert_eq!(self.is_open(iid), !matches!(state, "rejected" | "sent"), "whether #{iid} is open");
    }

    pub async fn expect(&self, iid: u64, state: &str) {
        self.expect_labels(iid, state);
        assert_eq!(self.state(iid).await, state, "state of {iid} in the API");
    }

    /// The service has written a comment that holds this; comments that no story expected fail it at the end.
    #[track_caller]
    pub fn expect_comment(&mut self, iid: u64, part: &str) {
        let bodies = self.comments(iid);
        let expected: Vec<&String> =
            self.expected_comments.iter().filter(|(of, _)| *of == iid).map(|(_, body)| body).collect();
        let new = bodies.get(expected.len()).unwrap_or_else(|| panic!("no new comment on #{iid}"));
        assert!(new.contains(part), "`{part}` in the comment on #{iid}:\n{new}");
        self.expected_comments.push((iid, new.clone()));
    }

    pub fn comments(&self, iid: u64) -> Vec<String> {
        let bot = self.sandbox.as_user("bot").id();
        let world = self.sandbox.world();
        world
            .comments_of(iid)
            .into_iter()
            .filter(|note| note.author == bot)
            .map(|note| note.body.clone())
            .collect()
    }

    pub fn calls_by_bot(&self) -> Vec<String> {
        let calls = self.sandbox.calls().into_iter();
        let of_bot = calls.filter(|call| call.user.as_deref() == Some("bot"));
        of_bot.map(|call| format!("{} {}", call.method, call.route)).collect()
    }

    /// The end of a story: nothing is left to do, nothing was said that nobody looked at, the mirror agrees with GitLab.
    pub async fn finish(self) {
        self.settle().await;
        assert_eq!(self.engine.backlog(), 0, "issues wait to be looked at");
        let iids: Vec<u64> = self.sandbox.world().issues.keys().copied().collect();
        for iid in &iids {
            let expected = self.expected_comments.iter().filter(|(of, _)| of == iid).count();
            let comments = self.comments(*iid);
            assert_eq!(comments.len(), expected, "comments on #{iid} that nobody expected: {comments:#?}");
        }
        assert_eq!(self.sandbox.world().fired_quick_actions, [], "quick actions fired");
        let (_, listed) = self.get("/api/v1/matches?limit=500").await;
        for answer in listed["matches"].as_array().unwrap() {
            self.expect_labels(answer["iid"].as_u64().unwrap(), answer["state"].as_str().unwrap());
        }
    }
}

fn settings(
    sandbox: &Sandbox,
    folder: &TempDir,
    variables: &Vec<(String, String)>,
    file: Option<&str>,
) -> Settings {
    let mut environment = Environment::default();
    environment.set("GITLAB_URL", sandbox.url());
    environment.set("GITLAB_TOKEN", sandbox.token("bot"));
    environment.set("GITLAB_PROJECT", sandbox.project());
    environment.set("WEBHOOK_SECRET", HOOK_SECRET);
    environment.set("API_TOKENS", format!("pipeline:{TOKEN}"));
    environment.set("REVIEWERS", "reviewer,colleague");
    environment.set("DATABASE", folder.path().join("mirror.sqlite").to_string_lossy());
    for (name, value) in variables {
        environment.set(name, value.clone());
    }
    let path = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(path.path(), file.unwrap_or("language: en\n")).unwrap();
    Settings::load(Some(path.path()), &environment).unwrap()
}

/// Pauses are steps of the clock, so only their number counts.
fn patience() -> Patience {
    Patience { call: Duration::from_secs(5), ..Patience::default() }
}

/// A match that differs from all others by its external id.
pub fn job(external_id: &str) -> Value {
    json!({
        "title": format!("Cloud Architect {external_id}"), "company": "Amoria Bond", "score": 97,
        "source": "portal", "external_id": external_id, "location": "Wien",
        "description": "We need you.\n\nApply now.",
    })
}

//! The program in a root directory that holds what the image holds: itself, the C library, trust anchors. It is nobody,
//! and nothing but `/data` can be written.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;
use vorhoelle::clock::Clock;
use vorhoelle::sandbox::{Options, Sandbox};

/// Where Debian and its distroless image keep trust anchors.
const ANCHORS: &str = "/etc/ssl/certs/ca-certificates.crt";

struct Root {
    folder: TempDir,
    data: TempDir,
    environment: Vec<(String, String)>,
}

impl Root {
    fn new(environment: Vec<(String, String)>) -> Self {
        let folder = TempDir::new().unwrap();
        let (program, reads_the_tree) = program();
        let needed = libraries(&program);
        let mut files: Vec<(PathBuf, PathBuf)> =
            needed.into_iter().map(|path| (path.clone(), path)).collect();
        files.push((program, "/usr/local/bin/vorhoelle".into()));
        files.push((ANCHORS.into(), ANCHORS.into()));
        for (from, to) in files {
            let to = folder.path().join(to.strip_prefix("/").unwrap());
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::copy(&from, &to).unwrap();
        }
        std::fs::create_dir(folder.path().join("data")).unwrap();
        if reads_the_tree {
            std::fs::create_dir_all(folder.path().join(&env!("CARGO_MANIFEST_DIR")[1..]).join("templates"))
                .unwrap();
        }
        let data = TempDir::new().unwrap();
        std::fs::set_permissions(data.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        Self { folder, data, environment }
    }

    /// A command inside of the root, read-only but for `/data`, as the image's user.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("bwrap");
        command
            .args(["--unshare-user", "--unshare-pid", "--unshare-ipc", "--uid", "65532", "--gid", "65532"])
            .args(["--die-with-parent", "--clearenv", "--ro-bind"])
            .args([self.folder.path(), Path::new("/")])
            .arg("--bind")
            .args([self.data.path(), Path::new("/data")])
            .args(["--chdir", "/"]);
        if program().1 {
            let texts = concat!(env!("CARGO_MANIFEST_DIR"), "/templates");
            command.args(["--ro-bind", texts, texts]);
        }
        for (name, value) in &self.environment {
            command.args(["--setenv", name, value]);
        }
        command.arg("/usr/local/bin/vorhoelle").args(arguments);
        command
    }
}

/// The program, and whether it reads its texts from the tree: a debug build does. `VORHOELLE_RELEASE` names a release
/// build, such as the one that goes into an image.
fn program() -> (PathBuf, bool) {
    match std::env::var_os("VORHOELLE_RELEASE") {
        Some(path) => (path.into(), false),
        None => (env!("CARGO_BIN_EXE_vorhoelle").into(), cfg!(debug_assertions)),
    }
}

/// The libraries that a program is linked with, the loader among them.
fn libraries(program: &Path) -> Vec<PathBuf> {
    let output = Command::new("ldd").arg(program).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let path = |line: &str| line.split_whitespace().find(|word| word.starts_with('/')).map(PathBuf::from);
    text.lines().filter_map(path).collect()
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_needs_nothing_that_the_image_does_not_hold() {
    let mut try_it = Command::new("bwrap");
    try_it.args(["--unshare-user", "--uid", "65532", "--ro-bind", "/", "/", "true"]);
    if !try_it.output().is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: bubblewrap is not installed, or may not make namespaces here");
        return;
    }
    if !Path::new(ANCHORS).exists() {
        eprintln!("skipped: {ANCHORS} is not there");
        return;
    }
    let sandbox = Sandbox::start(Options::default()).await.unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}");
    // What the Dockerfile sets, then what a person sets.
    let environment = [
        ("PORT", port.to_string()),
        ("VORHOELLE_DATABASE", "/data/mirror.sqlite".to_owned()),
        ("VORHOELLE_LOG_FORMAT", "json".to_owned()),
        ("VORHOELLE_GITLAB_URL", sandbox.url().to_owned()),
        ("VORHOELLE_GITLAB_PROJECT", sandbox.project().to_owned()),
        ("VORHOELLE_GITLAB_TOKEN", sandbox.token("bot")),
        ("VORHOELLE_SETUP_TOKEN", sandbox.token("owner")),
        ("VORHOELLE_WEBHOOK_SECRET", "secret-of-the-webhook".to_owned()),
        ("VORHOELLE_API_TOKENS", "pipeline:token-of-the-pipeline".to_owned()),
        ("VORHOELLE_REVIEWERS", "reviewer".to_owned()),
        ("VORHOELLE_PUBLIC_URL", url.clone()),
    ];
    let root = Root::new(environment.map(|(name, value)| (name.to_owned(), value)).into());
    let run = async |arguments: &[&str]| {
        let mut command = root.command(arguments);
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    };
    let health = run(&["healthcheck"]).await;
    assert_eq!(health.status.code(), Some(1), "nothing runs yet");
    super::assert_fine(&run(&["setup"]).await);
    let log = root.data.path().join("log");
    let said = std::fs::File::create(&log).unwrap();
    let mut served = Running(root.command(&["serve"]).stdout(Stdio::null()).stderr(said).spawn().unwrap());
    let http = reqwest::Client::builder().build().unwrap();
    let until = async |what: &str, path: &str, part: &str| {
        let waiting = async {
            loop {
                let asked =
                    http.get(format!("{url}{path}")).bearer_auth("token-of-the-pipeline").send().await;
                if let Ok(answer) = asked
                    && answer.text().await.unwrap().contains(part)
                {
                    break;
                }
                Clock::System.sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), waiting)
            .await
            .unwrap_or_else(|_| panic!("never: {what}\n{}", std::fs::read_to_string(&log).unwrap()));
    };
    until("it is ready", "/readyz", "ready").await;
    super::assert_fine(&run(&["healthcheck"]).await);
    super::assert_fine(&run(&["healthcheck", "--ready"]).await);
    let job = json!({"title": "Cloud Architect", "score": 97, "source": "s", "external_id": "1"});
    let post = http.post(format!("{url}/api/v1/matches")).bearer_auth("token-of-the-pipeline").json(&job);
    assert_eq!(post.send().await.unwrap().status(), 201);
    sandbox.as_user("reviewer").relabel(1, &["job-match/approved"], &[]).unwrap();
    until("the decision is followed", "/api/v1/matches/1", "\"approved\"").await;
    super::assert_fine(&run(&["list"]).await);
    assert!(root.data.path().join("mirror.sqlite").exists());
    // As the platform stops it. The signal goes to the program, which is the child of bwrap.
    let parent = served.0.id().to_string();
    let child = Command::new("pgrep").args(["-P", &parent]).output().unwrap();
    let child = String::from_utf8(child.stdout).unwrap();
    let stop = Command::new("pgrep").args(["-P", child.trim()]).output().unwrap();
    let stop = String::from_utf8(stop.stdout).unwrap();
    let target = if stop.trim().is_empty() { child.trim() } else { stop.trim() };
    super::assert_fine(&Command::new("kill").args(["-TERM", target]).output().unwrap());
    let ended = tokio::task::spawn_blocking(move || served.0.wait().unwrap());
    let ended =
        tokio::time::timeout(Duration::from_secs(10), ended).await.expect("it stops in time").unwrap();
    assert_eq!(ended.code(), Some(0), "{}", std::fs::read_to_string(&log).unwrap());
}

//! A shell in an empty folder beside a GitLab: what a reader types, block by block.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use tempfile::TempDir;
use vorhoelle::sandbox::{Options, Sandbox};

use super::{Block, runnable, top};

/// The token that the pipeline authors' paper names.
pub const TOKEN: &str = "the-token-of-your-pipeline";
/// Starts the service and waits until it is ready; it ends with the shell.
const SERVE: &str = "
vorhoelle serve 2> service.log &
trap \"kill $!\" EXIT
tries=0
until vorhoelle healthcheck --ready 2> /dev/null; do
    tries=$((tries + 1))
    [ $tries -lt 200 ] || { cat service.log >&2; exit 1; }
    sleep 0.1
done
";

pub struct Session {
    pub sandbox: Sandbox,
    pub folder: TempDir,
    port: u16,
}

impl Session {
    pub async fn new() -> Self {
        let sandbox = Sandbox::start(Options::default()).await.unwrap();
        let folder = TempDir::new().unwrap();
        std::os::unix::fs::symlink(top().join("deploy"), folder.path().join("deploy")).unwrap();
        Self { sandbox, folder, port: free_port() }
    }

    /// A file as a person would put it there.
    pub fn put(&self, path: &str, text: &str) {
        let path = self.folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Settings that work, for papers that do not speak of them.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        vec![
            ("VORHOELLE_GITLAB_URL", self.sandbox.url().to_owned()),
            ("VORHOELLE_GITLAB_TOKEN", self.sandbox.token("bot")),
            ("VORHOELLE_GITLAB_PROJECT", self.sandbox.project().to_owned()),
            ("VORHOELLE_WEBHOOK_SECRET", "secret-of-the-webhook".to_owned()),
            ("VORHOELLE_API_TOKENS", format!("pipeline:{TOKEN}")),
            ("VORHOELLE_REVIEWERS", "reviewer".to_owned()),
        ]
    }

    /// Runs a paper's blocks in one shell, as a reader would; tells all that was said.
    pub async fn run(&self, paper: &str, variables: &[(&str, String)]) -> String {
        self.shell(paper, String::new(), variables).await
    }

    /// The same, while a service runs already.
    pub async fn run_beside_the_service(&self, paper: &str, variables: &[(&str, String)]) -> String {
        self.shell(paper, SERVE.to_owned(), variables).await
    }

    async fn shell(&self, paper: &str, before: String, variables: &[(&str, String)]) -> String {
        let mut script = before;
        for block in runnable(paper) {
            let Some(text) = self.as_run(paper, &block) else { continue };
            let _ = write!(script, "echo '== {paper}:{}'\n{text}\n", block.line);
        }
        self.put("paper.sh", &script);
        let path = PathBuf::from(env!("CARGO_BIN_EXE_vorhoelle"));
        let path = format!("{}:{}", path.parent().unwrap().display(), std::env::var("PATH").unwrap());
        let mut command = Command::new("sh");
        command.args(["-eu", "paper.sh"]).current_dir(self.folder.path()).stdin(Stdio::null());
        command.env_clear().env("PATH", path).env("TZ", "UTC").env("HOME", self.folder.path());
        command.env("VORHOELLE_LISTEN", format!("127.0.0.1:{}", self.port));
        command.envs(variables.iter().map(|(name, value)| (*name, value)));
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        let log = std::fs::read_to_string(self.folder.path().join("service.log")).unwrap_or_default();
        assert!(output.status.success(), "{said}\n{error}\nthe service:\n{log}");
        said
    }

    /// A block as the shell gets it, in the words of this world; none where it is not run here.
    fn as_run(&self, paper: &str, block: &Block) -> Option<String> {
        let text = self.in_this_world(&block.text);
        match block.marker.as_deref()? {
            "run" if block.language == "python" => {
                let file = format!("block-{}.py", block.line);
                self.put(&file, &text);
                Some(format!("python3 {file}"))
            }
            "run" => Some(text),
            "serve" => {
                assert_eq!(block.text.trim(), "vorhoelle serve", "{paper}:{}", block.line);
                Some(SERVE.to_owned())
            }
            "erase" => {
                let job = r#"{"title": "Job", "score": 80, "contact": {"name": "Kim"}}"#;
                Some(format!("echo '{job}' | vorhoelle stage -\n{text}"))
            }
            _ => None,
        }
    }

    /// The papers' example names, as they are called here.
    fn in_this_world(&self, text: &str) -> String {
        let service = format!("http://127.0.0.1:{}", self.port);
        text.replace("https://jobs.example.com", &service)
            .replace("https://gitlab.com", self.sandbox.url())
            .replace("me/jobs", &self.sandbox.project())
            .replace("=anna", "=reviewer")
            .replace("/matches/57", "/matches/1")
    }
}

/// A port that nobody uses.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

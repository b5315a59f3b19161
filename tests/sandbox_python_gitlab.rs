//! A client from elsewhere, python-gitlab, takes the sandbox for GitLab.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests panic and print as tests do")]

#[path = "sandbox/support.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use support::{Receiver, stepped};

/// The version is fixed so that the test fails for our reasons only.
const PACKAGE: &str = "python-gitlab==8.6.0";

fn works(python: &Path, arguments: &[&str]) -> bool {
    Command::new(python)
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// The interpreter of an environment with python-gitlab, made once; `None` without a `python3`.
fn environment() -> Option<PathBuf> {
    if !works(Path::new("python3"), &["--version"]) {
        println!("skipped: there is no python3");
        return None;
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python-gitlab");
    let python = folder.join("bin/python");
    if !works(&python, &["-c", "import gitlab; assert gitlab.__version__ == '8.6.0'"]) {
        let run = |command: &mut Command| {
            let output = command.output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        };
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder));
        run(Command::new(&python).args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            PACKAGE,
        ]));
    }
    Some(python)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_gitlab_is_content() {
    let Some(python) = tokio::task::spawn_blocking(environment).await.unwrap() else { return };
    let (sandbox, _) = stepped().await;
    let mut receiver = Receiver::start().await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sandbox/python_gitlab.py");
    let mut command = Command::new(python);
    command.arg(script).args([sandbox.url(), &sandbox.project_id().to_string(), &receiver.url]);
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let arrived = receiver.all(&sandbox).await;
    let actions: Vec<_> = arrived.iter().map(|one| one.action()).collect();
    for action in ["open", "update", "close", "reopen", "create"] {
        assert!(actions.contains(&action), "{action}: {actions:?}");
    }
}

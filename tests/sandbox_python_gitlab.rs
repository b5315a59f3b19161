//! A client from elsewhere, python-gitlab, takes the sandbox for GitLab.
#![allow(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

#[path = "support/python.rs"]
mod python;
#[path = "sandbox/support.rs"]
mod support;

use std::path::Path;
use std::process::Command;

use support::{Receiver, stepped};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_gitlab_is_content() {
    let environment = || python::environment("python-gitlab", "8.6.0");
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

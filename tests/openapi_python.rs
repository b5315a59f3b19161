//! A tester from elsewhere, Schemathesis, finds nothing: the real program answers as its description says, whatever is
//! sent.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a story that fails, panics")]

#[path = "support/program.rs"]
mod program;
#[path = "support/python.rs"]
mod python;

use std::path::Path;
use std::process::Command;

use program::Setting;
use vorhoelle::sandbox::Options;

#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_nothing() {
    let environment = || python::environment("schemathesis", "4.32.5");
    let Some(python) = tokio::task::spawn_blocking(environment).await.unwrap() else { return };
    let mut setting = Setting::new(Options::default()).await;
    let outbox = setting.folder.path().join("outbox");
    setting.variables = [
        ("VORHOELLE_MAIL_FILE_DIR", outbox.to_str().unwrap()),
        ("VORHOELLE_MAIL_FROM", "jobs@example.com"),
        ("VORHOELLE_MAIL_TO", "anna@example.com"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    setting.run(&["setup"]).await;
    let _running = setting.serve().await;
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/schemathesis.toml");
    let mut command = Command::new(python.with_file_name("schemathesis"));
    command.current_dir(setting.folder.path()).arg("--config-file").arg(config).arg("run");
    command.arg(setting.url("/docs/openapi.json")).arg("--url").arg(setting.url(""));
    command.args([
        "--header",
        "Authorization: Bearer token-of-the-pipeline",
        "--max-examples",
        "10",
        "--no-color",
    ]);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

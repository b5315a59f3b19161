//! The real program on a disk that is full, or read-only: it says so, makes nothing twice, and goes on once there is room.
//!
//! A file system of its own needs a namespace of its own; where the system gives none, the test says so and ends, unless
//! `VORHOELLE_TEST_DISKS` is set: then it fails.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a story that fails, panics"
)]

#[path = "support/program.rs"]
mod program;

use std::path::Path;
use std::process::{Command, Stdio};

use program::{Running, Setting, job};
use reqwest::StatusCode;
use serde_json::json;
use vorhoelle::sandbox::Options;

const NAMESPACE: [&str; 4] = ["--user", "--map-root-user", "--mount", "--"];

fn can_mount() -> bool {
    let tried =
        Command::new("unshare").args(NAMESPACE).args(["mount", "-t", "tmpfs", "tmpfs", "/mnt"]).output();
    let can = tried.is_ok_and(|output| output.status.success());
    let wanted = std::env::var_os("VORHOELLE_TEST_DISKS").is_some();
    assert!(can || !wanted, "this system gives no file systems of one's own, and they are wanted");
    if !can {
        println!("skipped: this system gives no file systems of one's own");
    }
    can
}

/// `vorhoelle serve`, with a file system of its own on a folder.
fn on_a_disk(setting: &Setting, folder: &Path, option: &str) -> Command {
    let serve = setting.command(&["serve"]);
    let mut command = Command::new("unshare");
    command.args(NAMESPACE).arg("sh").arg("-c");
    command
        .arg(format!("mount -t tmpfs -o {option} tmpfs \"$1\" && shift && exec \"$@\""))
        .arg("sh")
        .arg(folder);
    command.arg(serve.get_program()).args(serve.get_args()).current_dir(setting.folder.path()).env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap());
    command.envs(serve.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Mounts the folder anew, as the program sees it.
fn remount(running: &Running, folder: &Path, option: &str) {
    let process = running.child.id().to_string();
    let entering = ["--target", &process, "--user", "--preserve-credentials", "--mount", "--"];
    let mount = ["mount", "-o", &format!("remount,{option}")].map(str::to_owned);
    let done = Command::new("nsenter").args(entering).args(mount).arg(folder).status().unwrap();
    assert!(done.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_said_and_no_match_is_staged_twice() {
    if !can_mount() {
        return;
    }
    let mut setting = Setting::new(Options::default()).await;
    let folder = setting.folder.path().join("disk");
    std::fs::create_dir(&folder).unwrap();
    let mirror = folder.join("mirror.sqlite").to_str().unwrap().to_owned();
    setting.variables = vec![("VORHOELLE_DATABASE".to_owned(), mirror)];
    let running = Running { child: on_a_disk(&setting, &folder, "size=450k").spawn().unwrap() };
    setting
        .until("it is ready", async || {
            let ready = setting.http.get(setting.url("/readyz")).send().await;
            ready.is_ok_and(|answer| answer.status() == StatusCode::OK)
        })
        .await;
    let long = |id: usize| {
        let mut job = job(&id.to_string());
        job["description"] = json!("An advertisement. ".repeat(200));
        job
    };
    let mut refused = Vec::new();
    for id in 0.. {
        let answer = setting.post(&long(id)).await.unwrap();
        if answer != StatusCode::CREATED {
            assert_eq!(answer, StatusCode::SERVICE_UNAVAILABLE);
            refused.push(id);
        }
        if refused.len() == 3 {
            break;
        }
        assert!(id < 500, "the disk is never full");
    }
    let health = async || setting.http.get(setting.url("/health")).send().await.unwrap();
    let full = health().await;
    assert_eq!(full.status(), StatusCode::SERVICE_UNAVAILABLE);
    let full = full.text().await.unwrap();
    assert!(full.contains("disk is full"), "{full}");
    remount(&running, &folder, "size=50m");
    for id in 0..=*refused.last().unwrap() {
        let answer = setting.post(&long(id)).await.unwrap();
        assert!(answer.is_success(), "{id}: {answer}");
    }
    let tick = setting.http.post(setting.url("/api/v1/tick")).bearer_auth("token-of-the-pipeline");
    assert_eq!(tick.send().await.unwrap().status(), StatusCode::OK);
    assert_eq!(health().await.status(), StatusCode::OK);
    let titles: Vec<String> =
        setting.sandbox.world().issues.values().map(|issue| issue.title.clone()).collect();
    let mut once = titles.clone();
    once.sort();
    once.dedup();
    assert_eq!(titles.len(), once.len(), "{titles:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_disk_is_said_at_the_start() {
    if !can_mount() {
        return;
    }
    let setting = Setting::new(Options::default()).await;
    let folder = setting.folder.path().join("disk");
    std::fs::create_dir(&folder).unwrap();
    let mut command = on_a_disk(&setting, &folder, "ro");
    command.stderr(Stdio::piped());
    command.env("VORHOELLE_DATABASE", folder.join("mirror.sqlite"));
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("is the folder writable"), "{said}");
}

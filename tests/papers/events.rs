//! Receiving signed events, as the pipeline authors' paper shows it.

use std::process::{Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::StatusCode;
use sha2::Sha256;
use tempfile::TempDir;
use vorhoelle::clock::Clock;

use super::session::free_port;
use super::{has, marked};

const PAPER: &str = "deploy/pipeline.md";
const KEY: &[u8; 32] = b"0123456789abcdef0123456789abcdef";
const BODY: &str = r#"{"type":"match.approved","timestamp":"2026-11-23T08:00:00Z","data":{"iid":57}}"#;

fn secret() -> String {
    format!("whsec_{}", STANDARD.encode(KEY))
}

fn sign(id: &str, at: i64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(KEY).unwrap();
    mac.update(format!("{id}.{at}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_receiver_believes_what_is_signed_and_counts_it_once() {
    if !has(&["python3"]) {
        return;
    }
    let folder = TempDir::new().unwrap();
    let port = free_port();
    let file = folder.path().join("receive.py");
    std::fs::write(&file, marked(PAPER, "receive").text.replace("9000", &port.to_string())).unwrap();
    let mut command = Command::new("python3");
    command.arg(file).env("EVENTS_SECRET", secret()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut receiver = command.spawn().unwrap();
    let http = reqwest::Client::builder().build().unwrap();
    let send = async |id: &str, at: i64, signature: String| {
        let call = http.post(format!("http://127.0.0.1:{port}/events")).body(BODY);
        let call = call.header("webhook-id", id).header("webhook-timestamp", at.to_string());
        call.header("webhook-signature", signature).send().await.ok().map(|answer| answer.status())
    };
    let now = Clock::System.now().as_second();
    let mut first = None;
    for _ in 0..200 {
        first = send("msg_1", now, sign("msg_1", now, BODY)).await;
        if first.is_some() {
            break;
        }
        Clock::System.sleep(Duration::from_millis(50)).await;
    }
    let fine = Some(StatusCode::NO_CONTENT);
    assert_eq!(first, fine);
    assert_eq!(send("msg_1", now, sign("msg_1", now, BODY)).await, fine, "a repeat is welcome");
    let several = format!("v1,AAAA {}", sign("msg_2", now, BODY));
    assert_eq!(send("msg_2", now, several).await, fine, "any of several signatures counts");
    let refused = Some(StatusCode::UNAUTHORIZED);
    assert_eq!(send("msg_3", now, sign("msg_4", now, BODY)).await, refused);
    assert_eq!(send("msg_5", now - 400, sign("msg_5", now - 400, BODY)).await, refused);
    receiver.kill().unwrap();
    let said = receiver.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(said.stdout).unwrap(), "match.approved 57\nmatch.approved 57\n");
}

#[test]
fn the_shell_tells_genuine_from_forged() {
    if !has(&["openssl"]) {
        return;
    }
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("body.json"), BODY).unwrap();
    let script = marked(PAPER, "verify").text;
    let run = |signature: &str| {
        let mut command = Command::new("sh");
        command.args(["-eu", "-c", &script]).current_dir(folder.path());
        command
            .env("EVENTS_SECRET", secret())
            .env("webhook_id", "msg_1")
            .env("webhook_timestamp", "1764000000");
        let output = command.env("webhook_signature", signature).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    assert_eq!(run(&sign("msg_1", 1_764_000_000, BODY)), (Some(0), "genuine\n".to_owned()));
    assert_eq!(run(&sign("msg_1", 1_764_000_001, BODY)), (Some(1), "forged\n".to_owned()));
}

//! What measurements share: a place to happen, what is asked of their figures, deliveries as GitLab sends them, answers read
//! by hand, a process's memory.

#![allow(dead_code, reason = "each measurement uses a part")]

pub mod figures;
pub mod place;

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::json;
use sha2::Sha256;
use vorhoelle::clock::Clock;

pub const SIGNING_TOKEN: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

/// A signed delivery as GitLab sends it, about eight kilobytes.
pub fn delivery(project: u64, iid: u64) -> Vec<u8> {
    let text = "Wir suchen eine erfahrene Person für unser Team in Wien. ".repeat(100);
    let body = json!({
        "object_kind": "issue", "event_type": "issue",
        "user": {"id": 7, "name": "Anna", "username": "anna", "avatar_url": null, "email": "[REDACTED]"},
        "project": {"id": project, "name": "jobs", "web_url": "https://gitlab.example/me/jobs", "namespace": "me"},
        "object_attributes": {
            "id": 1000 + iid, "iid": iid, "project_id": project, "title": "[97 %] Cloud Architect",
            "description": text, "state": "opened", "action": "update", "updated_at": "2026-11-23T14:00:00.123Z",
            "labels": [{"id": 1, "title": "job-match"}, {"id": 2, "title": "job-match/pending"}],
        },
        "labels": [{"id": 1, "title": "job-match"}, {"id": 2, "title": "job-match/pending"}],
        "changes": {"labels": {"previous": [{"id": 1, "title": "job-match"}], "current": [{"id": 2, "title": "job-match/pending"}]}},
    })
    .to_string();
    let (id, now) = (format!("delivery-{iid}"), Clock::System.now().as_second());
    let key = BASE64.decode(SIGNING_TOKEN.trim_start_matches("whsec_")).unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    mac.update(format!("{id}.{now}.{body}").as_bytes());
    let signature = BASE64.encode(mac.finalize().into_bytes());
    let length = body.len();
    format!(
        "POST /webhooks/gitlab HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nX-Gitlab-Event: Issue Hook\r\n\
         webhook-id: {id}\r\nwebhook-timestamp: {now}\r\nwebhook-signature: v1,{signature}\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// How long an answer is, head and body; none while its head has not come whole.
pub fn length_of(answer: &[u8]) -> Option<usize> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&answer[..end]).unwrap().to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok());
    Some(end + length.unwrap_or(0))
}

/// The middle one.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Asks until it is answered with 200; less often the longer it takes, for asking costs what is measured too.
pub fn until_200(port: u16, path: &str) {
    let started = Instant::now();
    loop {
        if let Ok(mut stream) = std::net::TcpStream::connect(("127.0.0.1", port)) {
            let mut answer = String::new();
            let token = place::API_TOKEN;
            let request = format!(
                "GET {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
            );
            let asked =
                stream.write_all(request.as_bytes()).and_then(|()| stream.read_to_string(&mut answer));
            if asked.is_ok() && answer.starts_with("HTTP/1.1 200") {
                return;
            }
        }
        std::thread::sleep(Duration::from_micros(200).max(started.elapsed() / 100));
    }
}

/// What a process has in memory, in MiB.
pub fn resident_mebibytes(process: u32) -> f64 {
    memory_of(process, "VmRSS:")
}

/// The most that a process has had in memory so far, in MiB.
pub fn peak_mebibytes(process: u32) -> f64 {
    memory_of(process, "VmHWM:")
}

/// How long a process has kept a processor busy so far, in seconds.
pub fn processor_seconds(process: u32) -> f64 {
    let line = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The name in brackets may hold blanks; user and system time are the twelfth and thirteenth field after it, in ticks,
    // of which Linux counts a hundred a second.
    let fields = line.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
    fields.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

fn memory_of(process: u32, which: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(which));
    // What could not be read is no number, and a figure that is none falls short.
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok()).unwrap_or(f64::NAN) / 1024.0
}

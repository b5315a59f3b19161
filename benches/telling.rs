//! What telling costs: digests rendered, and two hundred mails handed to a server that takes everything at once, beside
//! Python's smtplib on one connection to the same server.
//!
//! `cargo bench --bench telling` prints figures and fails where one is not as asked for; `benches/README.md` keeps them.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measurement"
)]

mod support;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use serde_json::Value;
use vorhoelle::channels::Outcome;
use vorhoelle::channels::mail::MailSender;
use vorhoelle::channels::mime::Mail;
use vorhoelle::clock::Clock;
use vorhoelle::config::{Environment, Settings};
use vorhoelle::domain::{Language, posted_match};
use vorhoelle::notify::render::{MailText, mail};
use vorhoelle::notify::{Notice, NoticeKind, NoticeMatch};
use vorhoelle::templates::Templates;

use support::figures::{self, Asked, figure};
use support::median;

const MAILS: usize = 200;
const ROUNDS: usize = 9;

/// Sends the mails over one connection and prints how long that took, in seconds.
const SMTPLIB: &str = "
import smtplib, sys, time
message = sys.stdin.buffer.read()
server = smtplib.SMTP('127.0.0.1', int(sys.argv[1]))
begin = time.perf_counter()
for _ in range(int(sys.argv[2])):
    server.sendmail('jobs@example.com', ['anna@example.com'], message)
print(time.perf_counter() - begin)
";

fn main() -> ExitCode {
    let templates = Templates::load(None).unwrap();
    for (count, most) in [(20, 100.0), (100, 1_000.0)] {
        let notice = digest(count);
        let mut micros: Vec<f64> = (0..501)
            .map(|_| {
                let started = Instant::now();
                std::hint::black_box(mail(&templates, &notice).unwrap());
                started.elapsed().as_secs_f64() * 1e6
            })
            .collect();
        let what = format!("a digest of {count} matches, HTML and text");
        figure(&what, Asked::AtMost(most), median(&mut micros), "µs");
    }
    mails(&mail(&templates, &digest(1)).unwrap());
    figures::end()
}

fn digest(count: usize) -> Arc<Notice> {
    let all: Vec<Value> = serde_json::from_str(include_str!("../config/demo-matches.json")).unwrap();
    let matches = (1..).zip(all.into_iter().cycle().take(count)).map(|(iid, job)| NoticeMatch {
        iid,
        web_url: format!("https://gitlab.example/acme/jobs/-/issues/{iid}"),
        job: posted_match::parse(job).unwrap(),
        possible_duplicates: Vec::new(),
        waiting: SignedDuration::from_hours(5),
        approve_url: Some("https://jobs.example/a/approve-token".to_owned()),
        reject_url: Some("https://jobs.example/a/reject-token".to_owned()),
    });
    Arc::new(Notice {
        kind: NoticeKind::Digest,
        language: Language::De,
        matches: matches.collect(),
        list_url: "https://gitlab.example/acme/jobs/-/issues".to_owned(),
        inbox_url: Some("https://jobs.example/".to_owned()),
    })
}

fn mails(text: &MailText) {
    let port = sink();
    let mut environment = Environment::default();
    for (name, value) in [
        ("GITLAB_URL", "http://127.0.0.1:9".to_owned()),
        ("GITLAB_TOKEN", "bench".to_owned()),
        ("GITLAB_PROJECT", "1".to_owned()),
        ("WEBHOOK_SECRET", "bench-secret".to_owned()),
        ("SMTP_URL", format!("smtp://127.0.0.1:{port}")),
        ("MAIL_FROM", "jobs@example.com".to_owned()),
        ("MAIL_TO", "anna@example.com".to_owned()),
    ] {
        environment.set(name, value);
    }
    let settings = Settings::load(None, &environment).unwrap();
    let settings = settings.channels.mail.unwrap();
    let sender = MailSender::new(&settings.mailer, &Clock::System).unwrap();
    let message = |number: usize| Mail {
        from: settings.from.clone(),
        to: settings.to[0].clone(),
        reply_to: None,
        subject: text.subject.clone(),
        html: text.html.clone(),
        text: text.text.clone(),
        message_id: format!("<{number}@example.com>"),
        references: Vec::new(),
        list_id: None,
        date: Clock::System.now(),
        attachments: Vec::new(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ours = || {
        let started = Instant::now();
        for number in 0..MAILS {
            let outcome = runtime.block_on(sender.hand_over(&message(number), 0));
            assert!(matches!(outcome, Outcome::Sent { .. }), "{outcome:?}");
        }
        started.elapsed()
    };
    let whole = message(0).compose().unwrap().formatted();
    if !has_python() {
        println!("skipped: there is no python3 to compare with");
        return;
    }
    let mut ratios: Vec<f64> =
        (0..ROUNDS).map(|_| smtplib(port, &whole).as_secs_f64() / ours().as_secs_f64()).collect();
    let what = format!("{MAILS} mails, smtplib's time against ours, median of {ROUNDS}");
    figure(&what, Asked::AtLeast(2.0), median(&mut ratios), "");
}

/// Whether there is what ours is compared with. `tests/run` installs it and wants the comparison; elsewhere it is left out
/// where there is none.
fn has_python() -> bool {
    let version = Command::new("python3").arg("--version").stdout(Stdio::null()).status();
    let there = version.is_ok_and(|status| status.success());
    assert!(there || std::env::var_os("VORHOELLE_TEST_PYTHON").is_none(), "python3 is wanted");
    there
}

fn smtplib(port: u16, message: &[u8]) -> Duration {
    let mut python = Command::new("python3")
        .args(["-c", SMTPLIB, &port.to_string(), &MAILS.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    python.stdin.take().unwrap().write_all(message).unwrap();
    let output = python.wait_with_output().unwrap();
    Duration::from_secs_f64(String::from_utf8(output.stdout).unwrap().trim().parse().unwrap())
}

/// A mail server that takes everything and keeps nothing.
fn sink() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || take(&stream.unwrap()));
        }
    });
    port
}

fn take(stream: &TcpStream) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let (mut reading, mut writing) = (BufReader::new(stream), stream);
    writing.write_all(b"220 sink\r\n").ok()?;
    let mut line = String::new();
    loop {
        line.clear();
        if reading.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let answer: &[u8] = match line.get(..4)?.to_ascii_uppercase().as_str() {
            "DATA" => {
                writing.write_all(b"354 go on\r\n").ok()?;
                let mut text = Vec::new();
                while text != b".\r\n" {
                    text.clear();
                    reading.read_until(b'\n', &mut text).ok()?;
                }
                b"250 taken\r\n"
            }
            "QUIT" => {
                writing.write_all(b"221 bye\r\n").ok()?;
                return None;
            }
            _ => b"250 fine\r\n",
        };
        writing.write_all(answer).ok()?;
    }
}

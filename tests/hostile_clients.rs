//! The real program among clients that mean no good: thousands of connections that say nothing, heads that never end,
//! floods of headers, bodies at the limit and over it, deep JSON. Others are served, and memory stays bounded.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a story that fails, panics")]

#[path = "support/program.rs"]
mod program;

use std::sync::Mutex;
use std::time::{Duration, Instant};

use program::{Running, Setting, job};
use reqwest::{Response, StatusCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use vorhoelle::clock::Clock;
use vorhoelle::sandbox::{Fault, Options, Trouble};

/// Connections that say nothing; more than the program takes at the same time.
const IDLE: usize = 10_000;
/// What the program may take in memory meanwhile.
const MEBIBYTES: u64 = 250;
/// Forms that are never sent whole; more than the program takes connections at the same time.
const UNFINISHED: usize = 5_000;
/// GitLab's own limit on a delivery's body.
const LARGEST_BODY: usize = 25 * 1024 * 1024;

async fn place() -> (Setting, Running) {
    // Both ends of every connection are files of somebody's.
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let mut setting = Setting::new(Options::default()).await;
    setting.variables = [("VORHOELLE_WEBHOOK_SIGNING_TOKEN", "")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    let running = setting.serve().await;
    (setting, running)
}

fn address(setting: &Setting) -> String {
    setting.url("").trim_start_matches("http://").to_owned()
}

fn resident_mebibytes(running: &Running) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

/// Somebody who means well is answered, and soon.
async fn others_are_served(setting: &Setting, number: &str) {
    let started = Instant::now();
    let lives = setting.http.get(setting.url("/livez")).send().await.unwrap();
    assert_eq!(lives.status(), StatusCode::OK);
    assert_eq!(delivery(setting, "{}").await.status(), StatusCode::ACCEPTED);
    assert_eq!(setting.post(&job(number)).await, Some(StatusCode::CREATED));
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

async fn delivery(setting: &Setting, body: impl Into<reqwest::Body>) -> Response {
    let request = setting.http.post(setting.url("/webhooks/gitlab"));
    request.header("X-Gitlab-Token", "secret-of-the-webhook").body(body).send().await.unwrap()
}

/// Says something on a connection of its own, and hears the answer's first line; empty where it is closed without one.
async fn say(setting: &Setting, text: &[u8]) -> String {
    let mut stream = TcpStream::connect(address(setting)).await.unwrap();
    let (mut reading, mut writing) = stream.split();
    let mut answer = Vec::new();
    // It may be hung up on while it still speaks.
    let _ = tokio::join!(writing.write_all(text), reading.read_to_end(&mut answer));
    String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_who_say_nothing_keep_nobody_out() {
    let (setting, running) = place().await;
    let mut open = Vec::with_capacity(IDLE);
    for number in 0..IDLE {
        let mut stream = TcpStream::connect(address(&setting)).await.unwrap();
        // Half of them begin a request and never end it.
        if number % 2 == 0 {
            stream.write_all(b"POST /webhooks/gitlab HTTP/1.1\r\nX-Slow: ").await.unwrap();
        }
        open.push(stream);
    }
    others_are_served(&setting, "1").await;
    assert!(resident_mebibytes(&running) < MEBIBYTES, "{} MiB", resident_mebibytes(&running));
    drop(open);
    others_are_served(&setting, "2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_announces_much_and_sends_little_takes_no_room_from_others() {
    let (setting, running) = place().await;
    let mut open = Vec::new();
    for _ in 0..200 {
        let mut stream = TcpStream::connect(address(&setting)).await.unwrap();
        let head = format!(
            "POST /webhooks/gitlab HTTP/1.1\r\nHost: x\r\nX-Gitlab-Token: secret-of-the-webhook\r\n\
             Content-Length: {LARGEST_BODY}\r\n\r\n{{"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        open.push(stream);
    }
    others_are_served(&setting, "1").await;
    assert!(resident_mebibytes(&running) < MEBIBYTES, "{} MiB", resident_mebibytes(&running));
}

/// A form with a large body, of which so much is sent; the connection stays open.
async fn unfinished_form(setting: &Setting, path: &str, announced: usize, sent: usize) -> TcpStream {
    let mut stream = TcpStream::connect(address(setting)).await.unwrap();
    let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {announced}\r\n\r\n");
    // It may be refused while it still comes.
    let _ = stream.write_all((head + &"a".repeat(sent)).as_bytes()).await;
    stream
}

/// Whoever has a token comes in, and a match is decided about by a link as ever.
async fn people_are_served(setting: &Setting) {
    let patient = reqwest::redirect::Policy::none();
    let browser = reqwest::Client::builder().redirect(patient).build().unwrap();
    let form = |path: &str, body: &'static str| browser.post(setting.url(path)).body(body).send();
    let login = form("/login", "token=token-of-the-pipeline&next=/").await.unwrap();
    assert_eq!(login.status(), StatusCode::SEE_OTHER);
    assert_eq!(form("/a/none", "comment=fine").await.unwrap().status(), StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn five_thousand_who_never_finish_a_form_keep_nobody_out() {
    let (setting, running) = place().await;
    let mut open = Vec::with_capacity(UNFINISHED);
    let started = Instant::now();
    for _ in 0..UNFINISHED {
        open.push(unfinished_form(&setting, "/login", 2, 1).await);
    }
    // The last ones come in before the time of the first is over.
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    others_are_served(&setting, "1").await;
    people_are_served(&setting).await;
    assert!(resident_mebibytes(&running) < MEBIBYTES, "{} MiB", resident_mebibytes(&running));
}

/// Neither over HTTP/1 nor, where a connection has several requests at once, over HTTP/2.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_worked_on_is_answered_however_many_come() {
    let (setting, _running) = place().await;
    let slow = Trouble::slow_body(Duration::from_secs(15));
    setting.sandbox.fault(Fault::new(reqwest::Method::POST, "/issues", slow).times(2));
    let http2 = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let post = |http: &reqwest::Client, id: &str| {
        let request = http.post(setting.url("/api/v1/matches")).bearer_auth("token-of-the-pipeline");
        tokio::spawn(request.json(&job(id)).send())
    };
    let worked_on = [post(&setting.http, "1"), post(&http2, "2")];
    setting.until("both are worked on", async || setting.sandbox.world().issues.len() == 2).await;
    // Another one on the same connection is answered meanwhile.
    let lives = http2.get(setting.url("/livez")).send().await.unwrap();
    assert_eq!(lives.version(), reqwest::Version::HTTP_2);
    let mut open = Vec::with_capacity(UNFINISHED);
    for _ in 0..UNFINISHED {
        open.push(unfinished_form(&setting, "/login", 2, 1).await);
    }
    setting.sandbox.end_pauses();
    for one in worked_on {
        assert_eq!(one.await.unwrap().unwrap().status(), StatusCode::CREATED);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn large_forms_of_strangers_have_a_bound_in_sum() {
    let (setting, running) = place().await;
    let mut open = Vec::new();
    for _ in 0..500 {
        open.push(unfinished_form(&setting, "/decide", 1024 * 1024, 1024 * 1024 - 1).await);
    }
    others_are_served(&setting, "1").await;
    people_are_served(&setting).await;
    assert!(resident_mebibytes(&running) < MEBIBYTES, "{} MiB", resident_mebibytes(&running));
    // Who finds no room hears when to come back. What was refused just now left some: it is filled up.
    let open = Mutex::new(open);
    setting
        .until("there is no room", async || {
            let another = unfinished_form(&setting, "/decide", 1024 * 1024, 1024 * 1024 - 1).await;
            open.lock().unwrap().push(another);
            let form = setting.http.post(setting.url("/decide")).body("a".repeat(512 * 1024));
            let Ok(answer) = form.send().await else { return false };
            let is_refused = answer.status() == StatusCode::SERVICE_UNAVAILABLE;
            assert_eq!(is_refused, answer.headers().contains_key("retry-after"));
            is_refused
        })
        .await;
    // Nor does anybody without a session announce more than a form of theirs holds.
    let head = "Host: x\r\nConnection: close\r\nContent-Length: 200000\r\n\r\n";
    for path in ["/login", "/a/none"] {
        let answer = say(&setting, format!("POST {path} HTTP/1.1\r\n{head}").as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 413"), "{path}: {answer}");
    }
}

/// More pieces than the sum of bodies being read has kibibytes.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_in_tiny_pieces_takes_no_more_room_than_it_has() {
    let (setting, _running) = place().await;
    let mut stream = TcpStream::connect(address(&setting)).await.unwrap();
    let head = "POST /webhooks/gitlab HTTP/1.1\r\nHost: x\r\nX-Gitlab-Token: secret-of-the-webhook\r\n\
                Transfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    for _ in 0..70 {
        stream.write_all("1\r\n \r\n".repeat(1_000).as_bytes()).await.unwrap();
    }
    others_are_served(&setting, "1").await;
}

/// Says a beginning, then the same again and again each half second; tells what was answered, and how long it took until
/// it was hung up on.
async fn trickle(setting: &Setting, beginning: &str, again: &str) -> (String, Duration) {
    let started = Instant::now();
    let stream = TcpStream::connect(address(setting)).await.unwrap();
    let (mut reading, mut writing) = stream.into_split();
    writing.write_all(beginning.as_bytes()).await.unwrap();
    let again = again.to_owned();
    let speaking = tokio::spawn(async move {
        while writing.write_all(again.as_bytes()).await.is_ok() {
            Clock::System.sleep(Duration::from_millis(500)).await;
        }
    });
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(60), reading.read_to_end(&mut answer)).await;
    speaking.abort();
    (String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned(), started.elapsed())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_trickles_is_hung_up_on() {
    let (setting, _running) = place().await;
    let post = "POST /webhooks/gitlab HTTP/1.1\r\nHost: x\r\nX-Gitlab-Token: secret-of-the-webhook\r\n";
    let body = format!("{post}Content-Length: 1000\r\n\r\n");
    let form = "POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n";
    let ((head, head_took), (body, body_took), (form, form_took)) = tokio::join!(
        trickle(&setting, post, "X-Slow: a\r\n"),
        trickle(&setting, &body, " "),
        trickle(&setting, form, "a"),
    );
    assert!(head.is_empty() || head.starts_with("HTTP/1.1 408"), "{head}");
    assert!(head_took < Duration::from_secs(36), "{head_took:?}");
    assert!(body.starts_with("HTTP/1.1 408"), "{body}");
    assert!(body_took < Duration::from_secs(14), "{body_took:?}");
    assert!(form.starts_with("HTTP/1.1 408"), "{form}");
    assert!(form_took < Duration::from_secs(36), "{form_took:?}");
    others_are_served(&setting, "1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_at_their_limit_are_taken_and_those_over_it_are_not() {
    const API: usize = 32 * 1024 * 1024;
    const FORM: usize = 1024 * 1024;
    let (setting, _running) = place().await;
    let mut posted = job("1").to_string();
    posted += &" ".repeat(API - posted.len());
    let api = async |body: String| {
        let request = setting.http.post(setting.url("/api/v1/matches")).bearer_auth("token-of-the-pipeline");
        request.header("content-type", "application/json").body(body).send().await
    };
    assert_eq!(api(posted.clone()).await.unwrap().status(), StatusCode::CREATED);
    let refused = api(posted + " ").await.unwrap();
    assert_eq!(refused.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(refused.headers()["content-type"], "application/problem+json");
    let form = async |path: &str, length: usize| {
        setting.http.post(setting.url(path)).body("a".repeat(length)).send().await.unwrap().status()
    };
    // Nobody is logged in.
    assert_eq!(form("/decide", FORM).await, StatusCode::UNAUTHORIZED);
    assert_eq!(form("/login", 128 * 1024).await, StatusCode::UNAUTHORIZED);
    for (path, length) in [("/decide", FORM), ("/login", 128 * 1024)] {
        // Whoever writes on may meet a closed connection before the answer: it is refused before it is sent.
        let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
        let head = format!("{head}Content-Length: {}\r\n\r\n", length + 1);
        let refused = say(&setting, head.as_bytes()).await;
        assert!(refused.starts_with("HTTP/1.1 413"), "{path}: {refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_deliveries_at_once_are_taken_or_asked_to_come_back() {
    let (setting, running) = place().await;
    let body = bytes::Bytes::from(" ".repeat(LARGEST_BODY - 2) + "{}");
    let answers = (0..12).map(|_| {
        let request = setting.http.post(setting.url("/webhooks/gitlab"));
        request.header("X-Gitlab-Token", "secret-of-the-webhook").body(body.clone()).send()
    });
    let mut taken = 0;
    for answer in futures_util::future::join_all(answers).await {
        // Who was refused may have been hung up on while the rest was on its way.
        let Ok(answer) = answer else { continue };
        if answer.status() == StatusCode::ACCEPTED {
            taken += 1;
        } else {
            assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert!(answer.headers().contains_key("retry-after"));
        }
    }
    assert!(taken > 0, "none was taken");
    assert!(resident_mebibytes(&running) < MEBIBYTES, "{} MiB", resident_mebibytes(&running));
    others_are_served(&setting, "1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_and_bodies_have_limits() {
    let (setting, running) = place().await;
    let many: String = (0..1000).map(|number| format!("X-Header-{number}: value\r\n")).collect();
    let flood = format!("GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{many}\r\n");
    assert!(say(&setting, flood.as_bytes()).await.starts_with("HTTP/1.1 431"));
    let long = format!("GET /livez HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n", "x".repeat(8 * 1024 * 1024));
    let answer = say(&setting, long.as_bytes()).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    assert_eq!(delivery(&setting, " ".repeat(LARGEST_BODY - 2) + "{}").await.status(), StatusCode::ACCEPTED);
    // Said before any of it is sent: whoever writes on meets a closed connection.
    let head = "POST /webhooks/gitlab HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Gitlab-Token: secret-of-the-webhook\r\n";
    let over = format!("{head}Content-Length: {}\r\n\r\n", LARGEST_BODY + 1);
    let answer = say(&setting, over.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    // Nobody says how long it is: it is counted as it comes.
    let head = format!("{head}Transfer-Encoding: chunked\r\n\r\n");
    let chunk = format!("100000\r\n{}\r\n", " ".repeat(1024 * 1024));
    let answer = say(&setting, (head + &chunk.repeat(26)).as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    let balanced = "[".repeat(500_000) + &"]".repeat(500_000);
    for (deep, delivered, posted) in [
        ("[".repeat(1_000_000), StatusCode::BAD_REQUEST, StatusCode::BAD_REQUEST),
        ("{\"a\":".repeat(500_000), StatusCode::BAD_REQUEST, StatusCode::BAD_REQUEST),
        // JSON, and about nothing of ours; and a list of one that is no match.
        (balanced, StatusCode::ACCEPTED, StatusCode::OK),
    ] {
        assert_eq!(delivery(&setting, deep.clone()).await.status(), delivered);
        let request = setting.http.post(setting.url("/api/v1/matches")).bearer_auth("token-of-the-pipeline");
        let answer = request.body(deep).send().await.unwrap();
        assert_eq!(answer.status(), posted);
        if posted == StatusCode::OK {
            let outcomes: serde_json::Value = answer.json().await.unwrap();
            assert_eq!((&outcomes["invalid"], &outcomes["created"]), (&1.into(), &0.into()));
        }
    }
    others_are_served(&setting, "1").await;
    assert!(resident_mebibytes(&running) < MEBIBYTES, "{} MiB", resident_mebibytes(&running));
}

//! The real program at trace level, with every secret set and every channel in use, some of them failing: no secret
//! stands in a log line, an answer, a figure or a file, and no person's address in a log or a figure.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    dead_code,
    reason = "a story that fails, panics; a part of the receivers is used"
)]

#[path = "support/program.rs"]
mod program;
#[path = "support/receivers.rs"]
mod receivers;
#[path = "support/smtp.rs"]
mod smtp;

use std::path::{Path, PathBuf};

use program::{Running, Setting};
use receivers::{Receiver, Reply};
use reqwest::StatusCode;
use serde_json::{Value, json};
use smtp::{MailServer, PASSWORD, USER};
use vorhoelle::sandbox::Options;

const API_TOKEN: &str = "token-of-the-pipeline";
const WRONG_TOKEN: &str = "a-token-that-was-mistyped-1234";
const SECRETS: [(&str, &str); 6] = [
    ("WEBHOOK_SECRET", "webhook-secret-e71b5f0c"),
    ("WEBHOOK_SIGNING_TOKEN", "whsec_c2VjcmV0LW9mLXRoZS1zaWduaW5nLTMyLWJ5dGVzISE="),
    ("LINK_SECRET", "link-secret-4d1f9a77c0de"),
    ("EVENTS_SECRET", "whsec_ZXZlbnRzLXNlY3JldC1vZi0zMi1ieXRlcy1sb25nISE="),
    ("TWILIO_AUTH_TOKEN", "twilio-secret-90817263"),
    ("GITLAB_TOKEN", ""),
];
const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
const SLACK_PATH: &str = "/services/T0SECRET/B0SECRET/slack-secret-5566";
/// What the sample people are reached at.
const PEOPLE: [&str; 5] =
    ["kim@agency.example", "nobody@refused.example", "anna@example.com", "+4318887766", "+43 660 7654321"];

struct Outside {
    mails: MailServer,
    slack: Receiver,
    twilio: Receiver,
    events: Receiver,
}

/// Slack takes nothing, Twilio the first message only, the receiver of events every second one.
async fn outside() -> Outside {
    let ok = Reply::json(201, json!({"sid": "SM0123456789abcdef0123456789abcdef", "status": "sent"}));
    let wrong_number =
        json!({"code": 21211, "message": "Invalid 'To' Phone Number: +43 660 7654321", "status": 400});
    Outside {
        mails: MailServer::start(false).await,
        slack: Receiver::start((0..200).map(|_| Reply::text(404, "no_team"))).await,
        twilio: Receiver::start(
            std::iter::once(ok).chain((0..200).map(move |_| Reply::json(400, wrong_number.clone()))),
        )
        .await,
        events: Receiver::start((0..400).map(|n| Reply::text(if n % 2 == 0 { 500 } else { 204 }, "no")))
            .await,
    }
}

async fn setting(outside: &Outside) -> Setting {
    let mut setting = Setting::new(Options::default()).await;
    let port = outside.mails.address.port();
    let certificate = setting.folder.path().join("mail.pem");
    outside.mails.write_certificate(&certificate);
    let mut variables = vec![
        ("SMTP_URL", format!("smtp://{USER}:{PASSWORD}@localhost:{port}?tls=required")),
        ("MAIL_FROM", "jobs@example.com".to_owned()),
        ("MAIL_TO", "anna@example.com,nobody@refused.example".to_owned()),
        ("SLACK_WEBHOOK_URL", format!("{}{SLACK_PATH}", outside.slack.url)),
        ("TWILIO_ACCOUNT_SID", ACCOUNT.to_owned()),
        ("TWILIO_FROM", "whatsapp:+14155238886".to_owned()),
        ("TWILIO_TO", "+43 660 7654321".to_owned()),
        ("TWILIO_API_URL", outside.twilio.url.clone()),
        ("EVENTS_URL", format!("{}/events", outside.events.url)),
        ("LOG", "trace".to_owned()),
        ("LOG_FORMAT", "json".to_owned()),
    ];
    variables.extend(SECRETS.iter().filter(|(_, v)| !v.is_empty()).map(|(n, v)| (*n, (*v).to_owned())));
    setting.variables =
        variables.into_iter().map(|(name, value)| (format!("VORHOELLE_{name}"), value)).collect();
    setting.variables.push(("SSL_CERT_FILE".to_owned(), certificate.to_string_lossy().into_owned()));
    setting
}

/// The service, with its log in a file.
async fn serve(setting: &Setting, log: &Path) -> Running {
    let mut command = setting.command(&["serve"]);
    let running = Running { child: command.stderr(std::fs::File::create(log).unwrap()).spawn().unwrap() };
    setting
        .until("it is ready", async || {
            let ready = setting.http.get(setting.url("/readyz")).send().await;
            ready.is_ok_and(|answer| answer.status() == StatusCode::OK)
        })
        .await;
    running
}

fn matches() -> Value {
    let contact = json!({"name": "Kim", "email": "kim@agency.example", "phone": "+4318887766"});
    (1..=3)
        .map(|id| json!({"title": format!("Job {id}"), "score": 90, "source": "s", "external_id": id.to_string(), "contact": contact}))
        .collect()
}

/// Somebody takes a setting for one that it is not, and writes a person's address into it.
async fn spoil_settings(setting: &Setting) {
    let issues: Vec<u64> = setting.sandbox.world().issues.keys().copied().collect();
    let is_settings =
        |iid: &u64| setting.sandbox.world().labels_of(*iid).contains(&"job-match/settings".to_owned());
    let iid = issues.into_iter().find(is_settings).unwrap();
    let text = "```yaml\nreviewers: [anna@example.com]\n```\n";
    setting.sandbox.as_user("reviewer").edit_description(iid, text).unwrap();
    setting
        .until("the edit is refused", async || {
            let health = setting.http.get(setting.url("/health")).send().await.unwrap();
            health.json::<Value>().await.unwrap()["settings"]["status"] == "failing"
        })
        .await;
}

/// Uses everything once, well and badly; tells what was answered to whoever has no token, and to the pipeline.
async fn use_everything(setting: &Setting) -> (String, String) {
    let call = async |method: &str, path: &str, token: &str, body: Value| {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let request = setting.http.request(method, setting.url(path)).bearer_auth(token);
        let request = if body.is_null() { request } else { request.json(&body) };
        let answer = request.send().await.unwrap();
        let headers = format!("{:?}", answer.headers());
        headers + &answer.text().await.unwrap_or_default()
    };
    let mut pipeline = String::new();
    pipeline += &call("POST", "/api/v1/matches", API_TOKEN, matches()).await;
    let draft = json!({"to": "nobody@refused.example", "subject": "Application", "body": "Dear Kim"});
    for (method, path, body) in [
        ("PATCH", "/api/v1/matches/1", json!({"state": "approved", "comment": "good"})),
        (
            "PATCH",
            "/api/v1/matches/2/application",
            json!({"stage": "applied", "contact_email": "kim@agency.example"}),
        ),
        ("PUT", "/api/v1/matches/1/draft", draft),
        ("POST", "/api/v1/matches/1/send", json!({})),
        ("POST", "/api/v1/notify/test", json!({})),
        ("PATCH", "/api/v1/config", json!({"min_score": 60})),
        ("GET", "/api/v1/config", Value::Null),
        ("GET", "/api/v1/stats", Value::Null),
        ("GET", "/api/v1/decisions", Value::Null),
        ("GET", "/api/v1/matches", Value::Null),
        ("POST", "/api/v1/tick", json!({})),
    ] {
        pipeline += &call(method, path, API_TOKEN, body).await;
    }
    spoil_settings(setting).await;
    setting
        .until("the failing channel is known", async || {
            let health = setting.http.get(setting.url("/health")).send().await.unwrap().text().await.unwrap();
            health.contains("404")
        })
        .await;
    let mut stranger = call("GET", "/api/v1/matches", WRONG_TOKEN, Value::Null).await;
    let login =
        setting.http.post(setting.url("/login")).form(&[("token", WRONG_TOKEN)]).send().await.unwrap();
    stranger += &login.text().await.unwrap();
    for path in ["/health", "/metrics", "/livez", "/readyz", "/login", "/nowhere"] {
        stranger += &call("GET", path, WRONG_TOKEN, Value::Null).await;
    }
    (stranger, pipeline)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

#[track_caller]
fn holds_none(what: &str, text: &str, words: &[String]) {
    for word in words {
        let line = text.lines().find(|line| line.contains(word.as_str()));
        assert!(line.is_none(), "`{word}` stands in {what}:\n{}", line.unwrap_or_default());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_and_no_address_leaves_by_a_side_door() {
    let outside = outside().await;
    outside.mails.set_mood(smtp::Mood::Picky);
    let setting = setting(&outside).await;
    setting.run(&["setup"]).await;
    let log = setting.folder.path().join("serve.log");
    let running = serve(&setting, &log).await;
    let (stranger, pipeline) = use_everything(&setting).await;
    let mut said = String::new();
    for arguments in [
        &["config", "show"][..],
        &["config", "show", "--json"],
        &["doctor"],
        &["list"],
        &["serve", "--help"],
        &["--help"],
    ] {
        let (_, out, error) = setting.run(arguments).await;
        said += &(out + &error);
    }
    drop(running);
    let mut secrets: Vec<String> = SECRETS.iter().map(|(_, value)| (*value).to_owned()).collect();
    secrets.retain(|secret| !secret.is_empty());
    secrets.extend([API_TOKEN, WRONG_TOKEN, PASSWORD, SLACK_PATH].map(str::to_owned));
    secrets.extend(["bot", "owner"].map(|name| setting.sandbox.token(name)));
    // A secret hidden in base64 is one that is said.
    use base64::Engine as _;
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("{ACCOUNT}:twilio-secret-90817263"));
    secrets
        .extend([basic, base64::engine::general_purpose::STANDARD.encode(format!("\0{USER}\0{PASSWORD}"))]);
    let log = std::fs::read_to_string(&log).unwrap();
    assert!(log.lines().count() > 100 && log.contains("\"TRACE\""), "the log is at trace level");
    let people = PEOPLE.map(str::to_owned);
    holds_none("the log", &log, &secrets);
    holds_none("the log", &log, &people);
    holds_none("an answer to a stranger", &stranger, &secrets);
    holds_none("an answer to a stranger", &stranger, &people);
    holds_none("an answer to the pipeline", &pipeline, &secrets);
    holds_none("what a command says", &said, &secrets);
    for file in files(setting.folder.path()) {
        let bytes = std::fs::read(&file).unwrap();
        holds_none(&file.display().to_string(), &String::from_utf8_lossy(&bytes), &secrets);
    }
}

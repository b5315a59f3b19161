//! The real program at trace level, with every secret set and every channel in use, some of them failing: no secret
//! stands in a log line, an answer, a figure or a file, and no person's address or number in a log or a figure. Twice:
//! with mails by SMTP and secrets in variables, and with Gmail and secrets in files.

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

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use program::{Running, Setting};
use receivers::{Receiver, Reply};
use reqwest::StatusCode;
use serde_json::{Value, json};
use smtp::{MailServer, PASSWORD, USER};
use tempfile::TempDir;
use vorhoelle::config::{Environment, Settings};
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
/// Those of Gmail, the last one as Google gives it.
const GMAIL_SECRETS: [(&str, &str); 2] =
    [("GMAIL_CLIENT_SECRET", "GOCSPX-client-5a1b9c"), ("GMAIL_REFRESH_TOKEN", "1//refresh-77f0d2e4")];
const ACCESS_TOKEN: &str = "ya29.access-0c4e8812";
const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
const SLACK_PATH: &str = "/services/T0SECRET/B0SECRET/slack-secret-5566";
/// What the sample people are reached at, numbers also as digits alone.
const PEOPLE: [&str; 10] = [
    "kim@agency.example",
    "nobody@refused.example",
    "anna@example.com",
    "clara.winter@amoria.example",
    "jobs@nordlicht.example",
    "4318887766",
    "+43 660 7654321",
    "436607654321",
    "+43 1 555 01 23",
    "4315550123",
];

struct Outside {
    mails: MailServer,
    slack: Receiver,
    twilio: Receiver,
    events: Receiver,
}

/// Slack takes nothing, Twilio the first message only, the receiver of events every second one.
async fn outside() -> Outside {
    let ok = Reply::json(201, json!({"sid": "SM0123456789abcdef0123456789abcdef", "status": "sent"}));
    let wrong_number = json!({"code": 21299, "message": "Invalid 'To' Phone Number: +43 660 7654321, twilio-secret-90817263", "status": 400});
    Outside {
        mails: MailServer::start(false).await,
        slack: Receiver::start((0..200).map(|_| Reply::text(404, &format!("nothing at {SLACK_PATH}")))).await,
        twilio: Receiver::start(
            std::iter::once(ok).chain((0..200).map(move |_| Reply::json(400, wrong_number.clone()))),
        )
        .await,
        events: Receiver::start((0..400).map(|n| Reply::text(if n % 2 == 0 { 500 } else { 204 }, "no")))
            .await,
    }
}

/// Settings without a way to send mails, and the secrets that they name.
async fn setting(outside: &Outside, more: Vec<(&'static str, String)>) -> Setting {
    let mut setting = Setting::new(Options::default()).await;
    let mut variables = vec![
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
    variables.extend(more);
    setting.variables =
        variables.into_iter().map(|(name, value)| (format!("VORHOELLE_{name}"), value)).collect();
    setting
}

/// Sends by SMTP.
async fn by_smtp(outside: &Outside) -> Setting {
    let port = outside.mails.address.port();
    let url = format!("smtp://{USER}:{PASSWORD}@localhost:{port}?tls=required");
    let mut setting = setting(outside, vec![("SMTP_URL", url)]).await;
    let certificate = setting.folder.path().join("mail.pem");
    outside.mails.write_certificate(&certificate);
    setting.variables.push(("SSL_CERT_FILE".to_owned(), certificate.to_string_lossy().into_owned()));
    setting
}

/// Sends by a Gmail that refuses, and says back what it was told; every secret stands in a file.
async fn by_gmail(outside: &Outside, files: &TempDir) -> Setting {
    let (_, refresh_token) = GMAIL_SECRETS[1];
    let token = json!({"access_token": ACCESS_TOKEN, "expires_in": 3599, "token_type": "Bearer"});
    let old = json!({"error": "invalid_grant", "error_description": format!("{refresh_token} is old")});
    let token = |n| if n % 2 == 0 { Reply::json(200, token.clone()) } else { Reply::json(400, old.clone()) };
    let tokens = Receiver::start((0..200).map(token)).await;
    let echo = |status: u16| {
        let message = format!("{ACCESS_TOKEN} may not send to anna@example.com or +43 660 7654321");
        Reply::json(status, json!({"error": {"code": status, "message": message, "status": "DENIED"}}))
    };
    let gmail = Receiver::start((0..200).map(|n| echo(if n % 3 == 2 { 403 } else { 401 }))).await;
    let mut more = vec![
        ("GMAIL_CLIENT_ID", "id.apps.googleusercontent.com".to_owned()),
        ("GMAIL_API_URL", gmail.url.clone()),
        ("GMAIL_TOKEN_URL", format!("{}/token", tokens.url)),
    ];
    more.extend(GMAIL_SECRETS.map(|(name, value)| (name, value.to_owned())));
    let mut setting = setting(outside, more).await;
    let starred = starred(&setting).await;
    for (name, value) in &setting.command(&[]).get_envs().map(owned).collect::<Vec<_>>() {
        if starred.contains(name) {
            let file = files.path().join(name);
            std::fs::write(&file, value).unwrap();
            setting.variables.retain(|(known, _)| known != name);
            // Set by the harness, it is taken back.
            setting.variables.push((name.clone(), String::new()));
            setting.variables.push((format!("{name}_FILE"), file.to_string_lossy().into_owned()));
        }
    }
    setting
}

fn owned((name, value): (&std::ffi::OsStr, Option<&std::ffi::OsStr>)) -> (String, String) {
    let text = |text: &std::ffi::OsStr| text.to_str().unwrap().to_owned();
    (text(name), value.map(text).unwrap_or_default())
}

/// The secret variables, as `serve --help` stars them.
async fn starred(setting: &Setting) -> BTreeSet<String> {
    let (_, help, _) = setting.run(&["serve", "--help"]).await;
    let names = help.lines().filter_map(|line| line.trim().strip_suffix('*'));
    let names: BTreeSet<String> =
        names.filter(|name| name.starts_with("VORHOELLE_")).map(str::to_owned).collect();
    assert!(names.len() > 8, "{help}");
    names
}

/// Those of them that are set, by themselves or by a file.
async fn set(setting: &Setting) -> BTreeSet<String> {
    let variables: Vec<_> = setting.command(&[]).get_envs().map(owned).collect();
    let is_set = |name: &String| {
        variables.iter().any(|(known, value)| {
            !value.is_empty() && known.strip_suffix("_FILE").unwrap_or(known.as_str()) == name.as_str()
        })
    };
    starred(setting).await.into_iter().filter(is_set).collect()
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

/// Those of the demo come last.
fn matches() -> Value {
    let contact = json!({"name": "Kim", "email": "kim@agency.example", "phone": "+4318887766"});
    let of_the_demo: Vec<Value> = serde_json::from_str(include_str!("../config/demo-matches.json")).unwrap();
    (1..=3)
        .map(|id| json!({"title": format!("Job {id}"), "score": 90, "source": "s", "external_id": id.to_string(), "contact": contact}))
        .chain(of_the_demo)
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

/// Logs in and looks around; tells the cookie.
async fn look_around_logged_in(setting: &Setting) -> String {
    let none = reqwest::redirect::Policy::none();
    let browser = reqwest::Client::builder().redirect(none).build().unwrap();
    let login = browser.post(setting.url("/login")).form(&[("token", API_TOKEN)]).send().await.unwrap();
    let cookie = login.headers()["set-cookie"].to_str().unwrap();
    let cookie = cookie.split(';').next().unwrap().to_owned();
    for path in ["/", "/settings", "/status", "/stats", "/matches/1", "/matches/1/draft"] {
        let page = browser.get(setting.url(path)).header("cookie", &cookie).send().await.unwrap();
        assert_eq!(page.status(), StatusCode::OK, "{path}");
    }
    cookie.split_once('=').unwrap().1.to_owned()
}

/// What every secret is, a cookie's and a link's among them, and how it may be hidden.
fn secrets(setting: &Setting) -> Vec<String> {
    use base64::Engine as _;
    let encode = |text: String| base64::engine::general_purpose::STANDARD.encode(text);
    let set = SECRETS.iter().chain(&GMAIL_SECRETS).map(|(_, value)| (*value).to_owned());
    let mut secrets: Vec<String> = set.filter(|secret| !secret.is_empty()).collect();
    secrets.extend([API_TOKEN, WRONG_TOKEN, PASSWORD, SLACK_PATH, ACCESS_TOKEN].map(str::to_owned));
    secrets.extend(["bot", "owner"].map(|name| setting.sandbox.token(name)));
    // A secret hidden in base64 is one that is said.
    secrets.push(encode(format!("{ACCOUNT}:twilio-secret-90817263")));
    secrets.push(encode(format!("\0{USER}\0{PASSWORD}")));
    secrets
}

/// Uses everything and every command, and looks at whatever was said.
async fn hold_tight(setting: &Setting, link: impl AsyncFn() -> Option<String>) {
    let mut errors = String::new();
    let mut said = String::new();
    let mut run = async |arguments: &[&str]| {
        let (_, out, error) = setting.run(arguments).await;
        said += &(out + &error);
        errors += &error;
    };
    run(&["setup"]).await;
    let log = setting.folder.path().join("serve.log");
    let running = serve(setting, &log).await;
    let (stranger, pipeline) = use_everything(setting).await;
    let mut secrets = secrets(setting);
    secrets.push(look_around_logged_in(setting).await);
    if let Some(link) = link().await {
        let opened = setting.http.get(&link).send().await.unwrap();
        assert_eq!(opened.status(), StatusCode::OK, "{link}");
        secrets.push(link.rsplit_once("/a/").unwrap().1.to_owned());
    }
    std::fs::write(setting.folder.path().join("matches.json"), matches().to_string()).unwrap();
    for arguments in [
        &["config", "show"][..],
        &["config", "show", "--json"],
        &["doctor"],
        &["list"],
        &["serve", "--help"],
        &["--help"],
        &["notify", "test"],
        &["stage", "matches.json"],
        &["decide", "2", "approved", "--comment", "good"],
        &["csv", "export", "tracker.csv"],
        &["mirror", "rebuild"],
        &["erase", "3", "--yes"],
    ] {
        run(arguments).await;
    }
    drop(running);
    let log = std::fs::read_to_string(&log).unwrap();
    assert!(log.lines().count() > 100 && log.contains("\"TRACE\""), "the log is at trace level");
    assert!(errors.contains("\"TRACE\""), "what commands say is at trace level");
    let people = PEOPLE.map(str::to_owned);
    holds_none("the log", &log, &secrets);
    holds_none("the log", &log, &people);
    holds_none("what a command logs", &errors, &people);
    holds_none("an answer to a stranger", &stranger, &secrets);
    holds_none("an answer to a stranger", &stranger, &people);
    holds_none("an answer to the pipeline", &pipeline, &secrets);
    holds_none("what a command says", &said, &secrets);
    for file in files(setting.folder.path()) {
        let bytes = std::fs::read(&file).unwrap();
        holds_none(&file.display().to_string(), &String::from_utf8_lossy(&bytes), &secrets);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_and_no_address_leaves_by_a_side_door() {
    let outside = outside().await;
    outside.mails.set_mood(smtp::Mood::Picky);
    let setting = by_smtp(&outside).await;
    // A link that decides is as good as a secret until it is used.
    let address = setting.url("/a/");
    let link = async || {
        let mails = || outside.mails.mails();
        setting.until("a mail is there", async || !mails().is_empty()).await;
        let parser = mail_parser::MessageParser::default();
        let texts = mails();
        let texts = texts.iter().map(|mail| parser.parse(&mail.message).unwrap());
        let texts: Vec<String> =
            texts.filter_map(|mail| mail.body_text(0).map(|text| text.into_owned())).collect();
        let words = texts.iter().flat_map(|text| text.split_whitespace());
        let link = words.clone().find(|word| word.starts_with(&address)).map(str::to_owned);
        Some(link.unwrap_or_else(|| panic!("no link in {texts:#?}")))
    };
    hold_tight(&setting, link).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_where_gmail_sends_and_secrets_stand_in_files() {
    let (outside, files) = (outside().await, TempDir::new().unwrap());
    let by_gmail = by_gmail(&outside, &files).await;
    hold_tight(&by_gmail, async || None).await;
    let by_smtp = by_smtp(&outside).await;
    let all: BTreeSet<String> = set(&by_gmail).await.union(&set(&by_smtp).await).cloned().collect();
    assert_eq!(all, starred(&by_smtp).await, "every secret variable was set");
    // Nor by a word of whoever debugs.
    for setting in [by_gmail, by_smtp] {
        let variables = setting.command(&[]).get_envs().map(owned).collect::<Vec<_>>();
        let settings = Settings::load(None, &Environment::of(variables)).unwrap();
        holds_none("the settings", &format!("{settings:#?}"), &secrets(&setting));
    }
}

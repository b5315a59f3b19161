//! What the commands print, as reviewed snapshots: help, tables, errors and what they end with.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use vorhoelle::sandbox::{Fault, HookChange, Options, Sandbox, Trouble};

/// A GitLab, a folder, and the program.
struct Desk {
    sandbox: Sandbox,
    folder: TempDir,
}

impl Desk {
    async fn new() -> Self {
        Self { sandbox: Sandbox::start(Options::default()).await.unwrap(), folder: TempDir::new().unwrap() }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vorhoelle"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env_clear()
            .env("TZ", "UTC")
            .env("VORHOELLE_LOG", "off")
            .env("VORHOELLE_GITLAB_URL", self.sandbox.url())
            .env("VORHOELLE_GITLAB_TOKEN", self.sandbox.token("bot"))
            .env("VORHOELLE_SETUP_TOKEN", self.sandbox.token("owner"))
            .env("VORHOELLE_GITLAB_PROJECT", self.sandbox.project())
            .env("VORHOELLE_WEBHOOK_SECRET", "secret-of-the-webhook")
            .env("VORHOELLE_API_TOKENS", "pipeline:token-of-the-pipeline")
            .env("VORHOELLE_REVIEWERS", "reviewer")
            .env("VORHOELLE_PUBLIC_URL", "http://127.0.0.1:9");
        command
    }

    async fn run(&self, arguments: &[&str]) -> Output {
        let mut command = self.command(arguments);
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }

    async fn said(&self, arguments: &[&str]) -> String {
        said(arguments, &self.run(arguments).await)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).unwrap();
    }
}

/// Everything that a command said, and what it ended with.
fn said(arguments: &[&str], output: &Output) -> String {
    let mut text =
        format!("$ vorhoelle {}\n{}", arguments.join(" "), String::from_utf8_lossy(&output.stdout));
    for line in String::from_utf8_lossy(&output.stderr).lines() {
        text.push_str(&format!("2> {line}\n"));
    }
    text + &format!("exit {}\n", output.status.code().unwrap())
}

fn settings() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"127\.0\.0\.1:\d{2,5}", "[host]");
    settings.add_filter(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "[time]");
    settings.add_filter(r" +\d+ ms", " [n] ms");
    settings
}

/// The matches of the demo.
fn demo() -> Vec<Value> {
    serde_json::from_str(include_str!("../config/demo-matches.json")).unwrap()
}

#[tokio::test]
async fn every_command_has_help_with_an_example() {
    let desk = Desk::new().await;
    let help = desk.said(&["--help"]).await;
    settings().bind(|| insta::assert_snapshot!("help", help));
    let commands =
        help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    for command in commands.map(|line| line.split_whitespace().next().unwrap()).filter(|name| *name != "help")
    {
        let help = desk.said(&[command, "--help"]).await;
        assert!(help.contains("Example:\n  "), "{help}");
        assert!(help.ends_with("exit 0\n"), "{help}");
    }
    let wrong = desk.said(&["lst"]).await;
    assert!(wrong.contains("list") && wrong.ends_with("exit 2\n"), "{wrong}");
}

#[tokio::test]
async fn from_an_empty_project_to_a_decided_match() {
    let desk = Desk::new().await;
    let mut story = String::new();
    for (name, place) in [("best.json", 0), ("next.json", 1)] {
        desk.write(name, &demo()[place].to_string());
    }
    desk.write(
        "wrong.json",
        r#"[{"title": "x", "score": 0.9}, {"titel": "y", "score": 80}, {"title": "z", "score": 12}]"#,
    );
    for arguments in [
        &["setup", "--dry-run"][..],
        &["setup"],
        &["setup"],
        &["stage", "best.json"],
        &["stage", "next.json"],
        &["stage", "best.json"],
        &["stage", "wrong.json"],
        &["stage", "nowhere.json"],
        &["list"],
        &["list", "--state", "approved"],
        &["decide", "1", "approved", "--comment", "call Clara first"],
        &["decide", "2", "sent"],
        &["decide", "99", "approved"],
        &["decide", "1", "maybe"],
        &["show", "1"],
        &["show", "99"],
        &["mirror", "check"],
        &["mirror", "rebuild"],
        &["doctor"],
        &["notify", "test", "todo", "slack"],
        &["config", "check"],
        &["config", "show"],
    ] {
        story.push_str(&desk.said(arguments).await);
        story.push('\n');
    }
    settings().bind(|| insta::assert_snapshot!("story", story));
}

#[tokio::test]
async fn json_has_the_shape_of_the_api() {
    let desk = Desk::new().await;
    desk.write("matches.json", &demo()[0].to_string());
    let json = async |arguments: &[&str]| -> Value {
        let output = desk.run(arguments).await;
        assert!(output.status.success(), "{}", said(arguments, &output));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let staged = json(&["stage", "matches.json", "--json"]).await;
    assert_eq!((&staged[0]["outcome"], &staged[0]["iid"]), (&json!("created"), &json!(1)));
    let list = json(&["list", "--json"]).await;
    assert_eq!(list.as_array().unwrap().len(), 1);
    assert!(list[0]["deliveries"].is_array(), "{list}");
    let decided = json(&["decide", "1", "approved", "--json"]).await;
    let shown = json(&["show", "1", "--json"]).await;
    for answer in [&list[0], &decided, &shown] {
        for key in
            ["iid", "web_url", "state", "allowed_states", "fingerprint", "title", "possible_duplicates"]
        {
            assert!(answer.get(key).is_some(), "{key} in {answer}");
        }
    }
    assert_eq!((&shown["history"][0]["through"], &shown["history"][0]["by"]), (&json!("cli"), &json!("cli")));
    let doctor = desk.run(&["doctor", "--json"]).await;
    let findings: Value = serde_json::from_slice(&doctor.stdout).unwrap();
    assert_eq!((&findings[0]["check"], &findings[0]["status"]), (&json!("settings"), &json!("ok")));
    assert_eq!(doctor.status.code(), Some(1), "no webhook");
    let settings = json(&["config", "show", "--json"]).await;
    assert_eq!(settings["settings"][0]["key"], "allow_public_project");
    desk.write("settings.yml", "language: en\n");
    let settings = json(&["--config", "settings.yml", "config", "show", "--json", "--offline"]).await;
    let variables = settings["variables"].as_array().unwrap();
    let file = variables.iter().find(|one| one["key"] == "VORHOELLE_CONFIG").unwrap();
    assert_eq!((&file["value"], &file["origin"]), (&json!("settings.yml"), &json!("command line")));
}

#[tokio::test]
async fn what_is_wrong_with_the_settings_is_said_at_once_and_exits_with_2() {
    let desk = Desk::new().await;
    desk.write("settings.yml", "language: en\nmin_scor: 80\n");
    let mut command = desk.command(&["--config", "settings.yml", "config", "check"]);
    command.env("VORHOELLE_LISTN", "127.0.0.1:1").env("VORHOELLE_GITLAB_TOKEN", "changeme");
    let output = command.output().unwrap();
    let text = said(&["--config", "settings.yml", "config", "check"], &output);
    settings().bind(|| insta::assert_snapshot!("wrong_settings", text));
    desk.write("settings.yml", "language: en\nquiet_hours:\n  from: \"22:00\"\n  to: \"7 o'clock\"\n");
    let text = desk.said(&["--config", "settings.yml", "config", "check"]).await;
    assert!(text.contains("settings.yml:4: quiet_hours.to: `7 o'clock` is no time of day"), "{text}");
    desk.write("settings.yml", "language: en\nchannels:\n  todo:\n    delay: 5m\n");
    let text = desk.said(&["--config", "settings.yml", "config", "check"]).await;
    assert!(text.contains("settings.yml:4: channels.todo.delay: ") && text.contains("exit 2"), "{text}");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("issue.en.md"), "# x\n{{ titel }}\n").unwrap();
    let path = folder.path().to_str().unwrap();
    let output = desk.command(&["--templates", path, "config", "check"]).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("issue.en.md line 2: nothing is called `titel`"), "{text}");
    // Starting it again makes that no better.
    let output = desk.command(&["--templates", path, "serve"]).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("issue.en.md line 2: nothing is called `titel`"), "{text}");
}

/// As a shell gives one with `<(pass gitlab-token)`.
#[tokio::test]
async fn a_secret_in_a_file_that_can_be_read_once_is_read_once() {
    let desk = Desk::new().await;
    desk.write("job.json", &demo()[0].to_string());
    assert!(desk.said(&["stage", "job.json"]).await.contains("exit 0"));
    for arguments in
        [&["config", "show"][..], &["config", "show", "--json"], &["mirror", "check"], &["erase", "1"]]
    {
        let mut command = desk.command(arguments);
        command.env_remove("VORHOELLE_GITLAB_TOKEN").env("VORHOELLE_GITLAB_TOKEN_FILE", "/dev/stdin");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut running = command.spawn().unwrap();
        running.stdin.take().unwrap().write_all(desk.sandbox.token("bot").as_bytes()).unwrap();
        let output = tokio::task::spawn_blocking(|| running.wait_with_output().unwrap()).await.unwrap();
        let said = said(arguments, &output);
        assert!(said.ends_with("exit 0\n") && !said.contains("2> "), "{said}");
    }
}

#[tokio::test]
async fn colours_only_where_they_are_wanted() {
    let desk = Desk::new().await;
    desk.write("matches.json", &demo()[0].to_string());
    desk.run(&["stage", "matches.json"]).await;
    assert!(!desk.said(&["list"]).await.contains('\u{1b}'), "a pipe is no terminal");
    assert!(desk.said(&["--color", "always", "list"]).await.contains("\u{1b}[33mpending"));
    // What is wrong with the arguments, and help, too.
    for arguments in [&["lst"][..], &["list", "--limit", "x"], &["--help"]] {
        for (colour, coloured) in [("always", true), ("never", false)] {
            let said = desk.said(&[&["--color", colour], arguments].concat()).await;
            assert_eq!(said.contains('\u{1b}'), coloured, "{colour}: {said}");
        }
    }
    for shell in ["bash", "zsh", "fish"] {
        assert!(desk.said(&["completions", shell]).await.contains("vorhoelle"));
    }
}

#[tokio::test]
async fn what_fails_says_what_to_do() {
    let desk = Desk::new().await;
    let nobody = "http://127.0.0.1:1".to_owned();
    let elsewhere = format!("{}/elsewhere", desk.sandbox.url().trim_end_matches('/'));
    let cases = [
        (&["list"][..], Some(("VORHOELLE_GITLAB_URL", nobody)), "check VORHOELLE_GITLAB_URL"),
        (
            &["list"],
            Some(("VORHOELLE_GITLAB_TOKEN", "glpat-wrong-token-0123".to_owned())),
            "VORHOELLE_GITLAB_TOKEN",
        ),
        (&["list"], Some(("VORHOELLE_GITLAB_PROJECT", "12345".to_owned())), "VORHOELLE_GITLAB_PROJECT"),
        (&["list"], Some(("VORHOELLE_GITLAB_URL", elsewhere.clone())), "check VORHOELLE_GITLAB_URL"),
        (&["setup"], Some(("VORHOELLE_GITLAB_URL", elsewhere.clone())), "VORHOELLE_GITLAB_URL"),
        (&["doctor"], Some(("VORHOELLE_GITLAB_URL", elsewhere)), "check VORHOELLE_GITLAB_URL"),
        (&["show", "99"], None, "`vorhoelle list` shows which there are"),
        (&["decide", "99", "approved"], None, "`vorhoelle list` shows which there are"),
        (&["stage", "nowhere.json"], None, "name a JSON file"),
    ];
    for (arguments, variable, advice) in cases {
        let mut command = desk.command(arguments);
        if let Some((name, value)) = variable {
            command.env(name, value);
        }
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let said = said(arguments, &output);
        assert!(said.contains(advice) && said.ends_with("exit 1\n"), "{said}");
    }
}

/// The service was given a new address, and the old webhook still delivers to whoever has the old one now.
#[tokio::test]
async fn a_webhook_to_an_earlier_address_is_named_and_left() {
    let desk = Desk::new().await;
    let owner = desk.sandbox.as_user("owner").id();
    for url in ["http://user:geheim@old.example/jobs/webhooks/gitlab?key=geheim", "http://ci.example/hook"] {
        let change = HookChange { url: Some(url.to_owned()), ..HookChange::default() };
        desk.sandbox.world().create_hook(owner, change).unwrap();
    }
    let told = "http://old.example/jobs/webhooks/gitlab";
    for arguments in [&["setup", "--dry-run"][..], &["setup"], &["setup"], &["doctor"]] {
        let said = desk.said(arguments).await;
        let lines: Vec<&str> = said.lines().filter(|line| line.contains(told)).collect();
        assert_eq!(lines.len(), 1, "{said}");
        assert!(lines[0].contains("another instance's") && lines[0].contains("Webhooks"), "{said}");
        assert!(!said.contains("geheim") && !said.contains("ci.example"), "{said}");
        assert_eq!(lines[0].starts_with("warn  webhook "), arguments == ["doctor"], "{said}");
    }
    let again = desk.said(&["setup"]).await;
    assert!(again.contains("everything is set up already") && again.ends_with("exit 0\n"), "{again}");
    assert_eq!(desk.sandbox.world().hooks.len(), 3);
}

#[tokio::test]
async fn a_file_of_a_windows_program_is_staged() {
    let desk = Desk::new().await;
    desk.write("marked.json", &format!("\u{feff}{}\r\n", demo()[0]));
    assert!(desk.said(&["stage", "marked.json"]).await.ends_with("exit 0\n"));
}

/// As `csv import` does.
#[tokio::test]
async fn staging_waits_where_gitlab_asks_to() {
    let desk = Desk::new().await;
    // Longer than the client waits by itself.
    let busy = Trouble::Answer {
        status: 429,
        content_type: "application/json".to_owned(),
        body: "{}".to_owned(),
        retry_after: Some(11),
    };
    desk.sandbox.fault(Fault::new(Method::POST, "/issues", busy));
    desk.write("best.json", &demo()[0].to_string());
    let said = desk.said(&["stage", "best.json"]).await;
    assert!(said.contains("created") && said.ends_with("exit 0\n"), "{said}");
    assert_eq!(desk.sandbox.world().issues.len(), 1);
}

#[tokio::test]
async fn what_cannot_be_read_of_a_file_of_matches_fails_alone() {
    let desk = Desk::new().await;
    let cut = r#"{"title": "cut \ud83d", "score": 80}"#;
    desk.write("cut.json", &format!("[{cut}, {}]", demo()[0]));
    let said = desk.said(&["stage", "cut.json"]).await;
    assert!(said.contains("match 0: this element cannot be read") && said.ends_with("exit 1\n"), "{said}");
    assert_eq!(desk.sandbox.world().issues.len(), 1);
}

/// A service account is free, and tells the reviewer's acts from the service's.
#[tokio::test]
async fn doctor_says_whose_the_token_should_be_and_who_may_edit_comments() {
    let desk = Desk::new().await;
    let maintainer = "none is Maintainer, so none may edit the service's comments in GitLab";
    for (token, reviewers, enforced, identity, may_edit) in [
        ("bot", "colleague", "true", ("ok", "the service is bot in GitLab"), false),
        ("bot", "reviewer", "false", ("ok", "the service is bot in GitLab"), true),
        ("colleague", "colleague", "false", ("warn", "their acts cannot be told from the service's"), false),
        ("colleague", "colleague", "true", ("fail", "reviewers cannot be enforced with it"), false),
    ] {
        let mut command = desk.command(&["doctor", "--json"]);
        command
            .env("VORHOELLE_GITLAB_TOKEN", desk.sandbox.token(token))
            .env("VORHOELLE_REVIEWERS", reviewers)
            .env("VORHOELLE_ENFORCE_REVIEWERS", enforced);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let findings: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
        let of =
            |check: &str| findings.iter().filter(|one| one["check"] == check).cloned().collect::<Vec<_>>();
        let [about] = &of("identity")[..] else { panic!("{findings:#?}") };
        let detail = about["detail"].as_str().unwrap();
        assert!(about["status"] == identity.0 && detail.contains(identity.1), "{about}");
        if identity.0 != "ok" {
            assert_eq!(about["advice"], "use a service account or a project token");
        }
        let warned = of("reviewers").iter().any(|one| one["status"] == "warn" && one["detail"] == maintainer);
        assert_eq!(warned, !may_edit, "{findings:#?}");
    }
}

/// It may read everything, and set up nothing.
#[tokio::test]
async fn doctor_looks_at_the_scopes_of_the_setup_token() {
    let desk = Desk::new().await;
    let owner = desk.sandbox.token("owner");
    for (scopes, status) in [(&["read_api"][..], "fail"), (&["read_api", "api"], "ok")] {
        for token in desk.sandbox.world().tokens.iter_mut().filter(|token| token.value == owner) {
            token.scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        }
        let output = desk.run(&["doctor", "--json"]).await;
        let findings: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
        let finding = findings.iter().find(|one| one["check"] == "setup token").unwrap();
        assert_eq!(finding["status"], status, "{finding}");
    }
}

#[tokio::test]
async fn doctor_does_not_take_members_that_it_cannot_read_for_none() {
    let desk = Desk::new().await;
    desk.sandbox.fault(Fault::new(Method::GET, "/members", Trouble::status(403)).times(100));
    let output = desk.run(&["doctor", "--json"]).await;
    let findings: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    for check in ["role", "reviewers"] {
        let of: Vec<&Value> = findings.iter().filter(|one| one["check"] == check).collect();
        let [finding] = of[..] else { panic!("{findings:#?}") };
        let detail = finding["detail"].as_str().unwrap();
        assert!(
            finding["status"] == "warn" && detail.contains("cannot be read: GitLab refused"),
            "{finding}"
        );
    }
}

#[tokio::test]
async fn what_is_said_about_a_decision_is_cleaned_and_has_a_limit() {
    let desk = Desk::new().await;
    desk.write("best.json", &demo()[0].to_string());
    desk.run(&["stage", "best.json"]).await;
    let long = "a".repeat(5_001);
    let said = desk.said(&["decide", "1", "approved", "--comment", &long]).await;
    assert!(said.contains("at most 5000 characters") && !said.ends_with("exit 0\n"), "{said}");
    let comment = async |text: &str, state: &str| -> Value {
        let output = desk.run(&["decide", "1", state, "--comment", text, "--json"]).await;
        let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
        shown["history"].as_array().unwrap().last().unwrap()["comment"].clone()
    };
    assert_eq!(comment(" call\u{7} Clara \r\n", "approved").await, "call Clara");
    assert_eq!(comment(" \n", "pending").await, Value::Null);
}

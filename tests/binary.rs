//! The real program: started, asked, killed, started again.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a story that fails, panics"
)]

#[path = "binary/csv.rs"]
mod csv;
#[path = "support/program.rs"]
mod program;
#[path = "support/smtp.rs"]
mod smtp;

use std::process::Stdio;
use std::time::Duration;

use program::{Running, Setting, job};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use smtp::{MailServer, Mood};
use vorhoelle::sandbox::{Fault, Options, Outage, Trouble};

#[tokio::test(flavor = "multi_thread")]
async fn set_up_serve_decide_kill_and_start_again() {
    let setting = Setting::new(Options::default()).await;
    let (code, said, error) = setting.run(&["setup", "--dry-run"]).await;
    assert_eq!((code, said.lines().count()), (0, 12), "{said}{error}");
    assert!(setting.sandbox.world().labels.is_empty());
    let (code, said, _) = setting.run(&["setup"]).await;
    assert_eq!((code, said.lines().count()), (0, 12), "{said}");
    let (code, said, _) = setting.run(&["setup"]).await;
    assert_eq!((code, said.as_str()), (0, "everything is set up already\n"));
    {
        let gitlab = setting.sandbox.world();
        let colour = |name: &str| gitlab.label_named(name).unwrap().color.clone();
        assert_eq!(colour("job-match"), "#428BCA");
        assert_eq!(colour("job-match/settings"), "#7F8C8D");
        let marks =
            gitlab.labels.iter().filter(|label| label.description.as_ref().unwrap().contains("vorhoelle:"));
        assert_eq!(marks.count(), 6);
        assert_eq!(gitlab.boards[0].lists.len(), 4);
        assert_eq!(gitlab.hooks.len(), 1);
    }
    let running = setting.serve().await;
    assert_eq!(setting.post(&job("1")).await, Some(StatusCode::CREATED));
    assert_eq!(setting.post(&job("2")).await, Some(StatusCode::CREATED));
    setting.sandbox.as_user("reviewer").relabel(1, &["job-match/approved"], &[]).unwrap();
    setting.until_state(1, "approved").await;
    let refused = setting.sandbox.world().deliveries.iter().filter(|one| one.status != Some(202)).count();
    assert_eq!(refused, 0, "every signed delivery was believed");
    // Killed; people go on; the disk is kept, then lost.
    drop(running);
    setting.sandbox.as_user("reviewer").relabel(2, &["job-match/rejected"], &[]).unwrap();
    let running = setting.serve().await;
    setting.until_state(2, "rejected").await;
    drop(running);
    std::fs::remove_dir_all(setting.folder.path().join("data")).unwrap();
    let _running = setting.serve().await;
    setting.until_state(1, "approved").await;
    setting.until_state(2, "rejected").await;
    assert_eq!(setting.post(&job("1")).await, Some(StatusCode::OK));
    assert_eq!(setting.sandbox.world().issues.len(), 2);
}

/// Every creation takes effect, and its answer gets lost; then GitLab does not want to deliver where it is told to.
#[tokio::test(flavor = "multi_thread")]
async fn set_up_looks_for_what_a_lost_answer_left_and_says_what_to_do() {
    let setting = Setting::new(Options::default()).await;
    for path in ["/boards", "/lists", "/hooks"] {
        setting.sandbox.fault(Fault::new(Method::POST, path, Trouble::CutBody));
    }
    let (code, said, error) = setting.run(&["setup"]).await;
    assert_eq!((code, said.lines().count()), (0, 12), "{said}{error}");
    {
        let gitlab = setting.sandbox.world();
        assert_eq!((gitlab.boards.len(), gitlab.boards[0].lists.len(), gitlab.hooks.len()), (1, 4, 1));
    }
    let (code, said, _) = setting.run(&["setup"]).await;
    assert_eq!((code, said.as_str()), (0, "everything is set up already\n"));
    for (status, part) in
        [(403, "VORHOELLE_SETUP_TOKEN"), (422, "VORHOELLE_PUBLIC_URL"), (503, "run setup again")]
    {
        setting.sandbox.fault(Fault::new(Method::PUT, "/hooks", Trouble::status(status)).times(9));
        let (code, _, error) = setting.run(&["setup"]).await;
        setting.sandbox.clear_faults();
        assert!(code != 0 && error.contains(part), "{status}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_the_answer_is_on_its_way_the_match_is_staged_once() {
    let setting = Setting::new(Options::default()).await;
    setting.run(&["setup"]).await;
    let running = setting.serve().await;
    let slow = Trouble::slow_body(Duration::from_secs(60));
    setting.sandbox.fault(Fault::new(reqwest::Method::POST, "/issues", slow));
    let first = job("1");
    let (answer, ()) = tokio::join!(setting.post(&first), async {
        setting.until("GitLab has the issue", async || !setting.sandbox.world().issues.is_empty()).await;
        drop(running);
    });
    assert_eq!(answer, None, "the caller never heard");
    let _running = setting.serve().await;
    assert_eq!(setting.post(&job("1")).await, Some(StatusCode::OK));
    assert_eq!(setting.sandbox.world().issues.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gitlab_that_is_down_at_the_start_is_waited_for() {
    let setting = Setting::new(Options::default()).await;
    setting.sandbox.outage(Outage::BadGateway);
    let mut command = setting.command(&["serve"]);
    let _running = Running { child: command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap() };
    setting.until("it lives", async || setting.http.get(setting.url("/livez")).send().await.is_ok()).await;
    assert_eq!(setting.post(&job("1")).await, Some(StatusCode::SERVICE_UNAVAILABLE));
    let health = setting.http.get(setting.url("/health")).send().await.unwrap();
    assert_eq!(health.status(), StatusCode::SERVICE_UNAVAILABLE);
    setting.sandbox.outage(Outage::None);
    setting.until("it is ready", async || setting.post(&job("1")).await == Some(StatusCode::CREATED)).await;
}

/// A rolling deploy on one volume: what the first one sends right now is no dead one's.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_service_on_the_same_disk_sends_nothing_that_the_first_one_sends() {
    let mails = MailServer::start(false).await;
    let mut setting = Setting::new(Options::default()).await;
    setting.variables = vec![
        ("VORHOELLE_SMTP_URL".to_owned(), format!("smtp://{}", mails.address)),
        ("VORHOELLE_MAIL_FROM".to_owned(), "jobs@example.com".to_owned()),
        ("VORHOELLE_MAIL_TO".to_owned(), "anna@example.com".to_owned()),
    ];
    std::fs::write(setting.folder.path().join("settings.yml"), "channels: {email: {enabled: false}}\n")
        .unwrap();
    setting.variables.push(("VORHOELLE_CONFIG".to_owned(), "settings.yml".to_owned()));
    setting.run(&["setup"]).await;
    let _first = setting.serve().await;
    assert_eq!(setting.post(&job("1")).await, Some(StatusCode::CREATED));
    setting.sandbox.as_user("reviewer").relabel(1, &["job-match/approved"], &[]).unwrap();
    setting.until_state(1, "approved").await;
    let draft = json!({"to": "clara@agency.example", "subject": "Architect", "body": "Dear Clara"});
    let put = setting.http.put(setting.url("/api/v1/matches/1/draft")).bearer_auth("token-of-the-pipeline");
    assert_eq!(put.json(&draft).send().await.unwrap().status(), StatusCode::CREATED);
    mails.set_mood(Mood::SilentAfterMessage);
    let order = |url: String| {
        let order = setting.http.post(url).bearer_auth("token-of-the-pipeline").json(&json!({"retry": true}));
        async move { order.send().await.unwrap().status() }
    };
    let sending = tokio::spawn(order(setting.url("/api/v1/matches/1/send")));
    setting.until("the mail is under way", async || mails.mails().len() == 1).await;
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = setting.command(&["serve"]);
    command.env("VORHOELLE_LISTEN", format!("127.0.0.1:{port}")).stdout(Stdio::null()).stderr(Stdio::null());
    let _second = Running { child: command.spawn().unwrap() };
    let at = |path: &str| format!("http://127.0.0.1:{port}{path}");
    setting
        .until("the second is ready", async || {
            setting.http.get(at("/readyz")).send().await.is_ok_and(|answer| answer.status() == StatusCode::OK)
        })
        .await;
    assert_eq!(order(at("/api/v1/matches/1/send")).await, StatusCode::CONFLICT);
    assert_eq!(mails.mails().len(), 1);
    sending.abort();
}

/// A log on a full disk, a reader of it that has gone: whatever else works goes on.
#[tokio::test(flavor = "multi_thread")]
async fn it_serves_though_nothing_can_be_said() {
    let setting = Setting::new(Options::default()).await;
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command = setting.command(&["serve"]);
    let _running = Running { child: command.stdout(Stdio::null()).stderr(full()).spawn().unwrap() };
    setting.until("it stages", async || setting.post(&job("1")).await == Some(StatusCode::CREATED)).await;
    let mut command = setting.command(&["setup"]);
    let status = command.stdout(Stdio::null()).stderr(full()).status().unwrap();
    assert_eq!(status.code(), Some(0));
    assert_eq!(setting.sandbox.world().hooks.len(), 1);
}

/// A picture of its memory would hold every secret.
#[tokio::test(flavor = "multi_thread")]
async fn no_core_file_is_ever_written() {
    let setting = Setting::new(Options::default()).await;
    let running = setting.serve().await;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", running.child.id())).unwrap();
    let core = limits.lines().find_map(|line| line.strip_prefix("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().take(2).collect::<Vec<_>>(), ["0", "0"], "{limits}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_webhook_is_said_once_and_made_by_setup() {
    let setting = Setting::new(Options::default()).await;
    let mut command = setting.command(&["serve"]);
    let mut running = Running { child: command.stdout(Stdio::null()).spawn().unwrap() };
    let said = running.listen();
    let times = || said.lock().unwrap().matches("`vorhoelle setup` makes it").count();
    setting.until("it is said", async || times() == 1).await;
    let tick = async || {
        let request = setting.http.post(setting.url("/api/v1/tick")).bearer_auth("token-of-the-pipeline");
        assert_eq!(request.send().await.unwrap().status(), StatusCode::OK);
        setting.get("/health").await["webhook"]["status"].clone()
    };
    assert_eq!(tick().await, "missing");
    assert_eq!(setting.run(&["setup"]).await.0, 0);
    assert_eq!(tick().await, "executable");
    assert_eq!(times(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setup_that_breaks_off_says_what_it_changed_and_whose_token_is_wrong() {
    let mut setting = Setting::new(Options::default()).await;
    let token = |token: &str| vec![("VORHOELLE_SETUP_TOKEN".to_owned(), token.to_owned())];
    setting.variables = token("wrong");
    let (code, said, error) = setting.run(&["setup"]).await;
    assert_eq!((code, said.as_str()), (1, ""), "{error}");
    assert!(error.contains("VORHOELLE_SETUP_TOKEN") && !error.contains("VORHOELLE_GITLAB_TOKEN"), "{error}");
    // A reporter may make everything but the webhook.
    setting.variables = token(&setting.sandbox.token("bot"));
    let (code, said, error) = setting.run(&["setup"]).await;
    assert_eq!((code, said.lines().count()), (1, 11), "{said}{error}");
    assert!(error.contains("Maintainer"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_work_beside_the_service() {
    let setting = Setting::new(Options::default()).await;
    setting.run(&["setup"]).await;
    let _running = setting.serve().await;
    let file = setting.folder.path().join("matches.json");
    std::fs::write(&file, json!([job("1"), job("2"), {"title": "x", "score": 1}]).to_string()).unwrap();
    let (code, said, error) = setting.run(&["stage", "matches.json"]).await;
    assert_eq!(code, 1, "one was below the minimum: {said}{error}");
    assert_eq!(said.lines().filter(|line| line.starts_with("created")).count(), 2, "{said}");
    let (code, said, _) = setting.run(&["decide", "1", "approved", "--comment", "yes"]).await;
    assert_eq!((code, said.as_str()), (0, "#1 is approved\n"));
    setting.until_state(1, "approved").await;
    assert_eq!(setting.get("/api/v1/matches/1").await["history"][0]["through"], "cli");
    let (code, _, error) = setting.run(&["decide", "2", "sent"]).await;
    assert_eq!(code, 1);
    assert!(error.contains("allowed from there: approved, rejected"), "{error}");
    let (_, said, _) = setting.run(&["list"]).await;
    assert_eq!(said.lines().count(), 2, "{said}");
    let (code, said, _) = setting.run(&["show", "1", "--json"]).await;
    assert_eq!(code, 0);
    assert_eq!(serde_json::from_str::<Value>(&said).unwrap()["history"][0]["by"], "cli");
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_stage_the_same_at_once_make_one_match_of_it() {
    let mut setting = Setting::new(Options::default()).await;
    setting.variables = vec![("VORHOELLE_SYNC_INTERVAL".to_owned(), "1s".to_owned())];
    setting.run(&["setup"]).await;
    let _running = setting.serve().await;
    // Slow enough that each begins before the other ends.
    let slow = Trouble::slow(Duration::from_millis(100));
    setting.sandbox.fault(Fault::new(reqwest::Method::POST, "/issues", slow).times(1000));
    let jobs: Vec<Value> = (0..6).map(|number| job(&number.to_string())).collect();
    std::fs::write(setting.folder.path().join("matches.json"), json!(jobs).to_string()).unwrap();
    let staging = ["stage", "matches.json"];
    let posting = async {
        for job in &jobs {
            assert!(setting.post(job).await.unwrap().is_success());
        }
    };
    let ((one, ..), (other, ..), ()) = tokio::join!(setting.run(&staging), setting.run(&staging), posting);
    assert_eq!((one, other), (0, 0));
    let labelled = || {
        let gitlab = setting.sandbox.world();
        gitlab.issues.values().filter(|issue| !issue.labels.is_empty()).count()
    };
    assert!(setting.sandbox.world().issues.len() > jobs.len(), "none was made twice");
    setting.until("second issues are taken back", async || labelled() == jobs.len()).await;
    assert_eq!(setting.get("/api/v1/matches").await["matches"].as_array().unwrap().len(), jobs.len());
    let gitlab = setting.sandbox.world();
    let mut kept: Vec<&str> = gitlab
        .issues
        .values()
        .filter(|issue| !issue.labels.is_empty())
        .map(|issue| issue.title.as_str())
        .collect();
    kept.sort_unstable();
    kept.dedup();
    assert_eq!(kept.len(), jobs.len(), "one of each");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_moved_on_the_board_shows_in_the_api_within_a_second() {
    let setting = Setting::new(Options::default()).await;
    setting.run(&["setup"]).await;
    let _running = setting.serve().await;
    assert_eq!(setting.post(&job("1")).await, Some(StatusCode::CREATED));
    let board = setting.sandbox.world().boards[0].id;
    let url =
        format!("{}/acme/job-matches/-/boards/{board}/move", setting.sandbox.url().trim_end_matches('/'));
    let form = [("iid", "1"), ("from", "job-match/pending"), ("to", "job-match/approved")];
    let moved = setting.http.post(url).form(&form).send().await.unwrap();
    assert!(moved.status().is_success(), "{}", moved.status());
    let shown = tokio::time::timeout(Duration::from_secs(1), setting.until_state(1, "approved")).await;
    assert!(shown.is_ok(), "it took longer than a second");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mirror_is_compared_with_gitlab_and_read_anew() {
    let setting = Setting::new(Options::default()).await;
    setting.run(&["setup"]).await;
    let running = setting.serve().await;
    assert_eq!(setting.post(&job("1")).await, Some(StatusCode::CREATED));
    assert_eq!(setting.post(&job("2")).await, Some(StatusCode::CREATED));
    let tracker = setting.http.patch(setting.url("/api/v1/matches/1/application"));
    let tracker = tracker.bearer_auth("token-of-the-pipeline").json(&json!({"stage": "applied"}));
    assert_eq!(tracker.send().await.unwrap().status(), StatusCode::OK);
    drop(running);
    let (code, said, _) = setting.run(&["mirror", "check"]).await;
    assert_eq!((code, said.as_str()), (0, "the mirror says what GitLab says\n"));
    setting.sandbox.as_user("reviewer").relabel(2, &["job-match/approved"], &["job-match/pending"]).unwrap();
    let (note, text) = {
        let gitlab = setting.sandbox.world();
        let note = gitlab.comments_of(1)[0];
        (note.id, note.body.replace("| applied |", "| offer |"))
    };
    setting.sandbox.as_user("owner").edit_comment(1, note, &text).unwrap();
    let (code, said, _) = setting.run(&["mirror", "check"]).await;
    let differences =
        "#1 differs in its data or its history\n#2 is pending in the mirror and approved in GitLab\n";
    assert_eq!((code, said.as_str()), (1, differences));
    let (code, said, _) = setting.run(&["mirror", "rebuild"]).await;
    assert_eq!((code, said.as_str()), (0, "read 2 matches from GitLab\n"));
    // Without GitLab nothing is thrown away.
    setting.sandbox.outage(Outage::Refused);
    assert_eq!(setting.run(&["mirror", "rebuild"]).await.0, 1);
    setting.sandbox.outage(Outage::None);
    assert_eq!(setting.run(&["mirror", "check"]).await.1, "the mirror says what GitLab says\n");
    // Looking changes nothing in GitLab: a label that somebody deleted is the service's to make again.
    setting.sandbox.as_user("owner").delete_label("job-match/sent").unwrap();
    let begun = setting.sandbox.calls().len();
    assert_eq!(setting.run(&["mirror", "check"]).await.0, 0);
    let calls = setting.sandbox.calls();
    let writes: Vec<_> = calls[begun..].iter().filter(|call| call.method != "GET").collect();
    assert!(calls.len() > begun && writes.is_empty(), "{writes:?}");
    // Nor does it miss what was made by hand, or what was withdrawn.
    let running = setting.serve().await;
    let reviewer = setting.sandbox.as_user("reviewer");
    let adopted = reviewer.create_issue("By hand", "", &["job-match"]).unwrap();
    setting.until_state(adopted, "pending").await;
    reviewer.relabel(adopted, &["job-match/approved"], &[]).unwrap();
    setting.until_state(adopted, "approved").await;
    reviewer.relabel(2, &[], &["job-match"]).unwrap();
    setting.until("2 is withdrawn", async || setting.get("/api/v1/matches/2").await["status"] == 404).await;
    drop(running);
    assert_eq!(setting.run(&["mirror", "check"]).await.1, "the mirror says what GitLab says\n");
    reviewer.relabel(2, &["job-match"], &[]).unwrap();
    // What GitLab no longer has, a mirror that is read anew does not keep.
    let on_disk = || {
        let bytes = std::fs::read(setting.folder.path().join("data/mirror.sqlite")).unwrap();
        String::from_utf8_lossy(&bytes).contains("Job 2")
    };
    assert!(on_disk(), "the test sees the disk");
    setting.sandbox.as_user("owner").delete_issue(2).unwrap();
    let (code, said, _) = setting.run(&["mirror", "rebuild"]).await;
    assert_eq!((code, said.as_str(), on_disk()), (0, "read 2 matches from GitLab\n", false));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_goes_by_the_settings_issue() {
    let setting = Setting::new(Options::default()).await;
    setting.run(&["setup"]).await;
    let running = setting.serve().await;
    let off = serde_json::json!({ "quiet_hours": { "from": "22:00", "to": "07:00" } });
    let request = setting.http.patch(setting.url("/api/v1/config")).bearer_auth("token-of-the-pipeline");
    assert_eq!(request.json(&off).send().await.unwrap().status(), StatusCode::OK);
    let (_, said, _) = setting.run(&["doctor"]).await;
    assert!(said.contains("can be used, with what issue #1 says"), "{said}");
    assert!(said.contains("quiet hours"), "{said}");
    drop(running);
}

/// Ours was changed and set-up not run: a test from GitLab would be refused as every delivery is.
#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_knows_a_webhook_with_another_secret() {
    let setting = Setting::new(Options::default()).await;
    setting.run(&["setup"]).await;
    let _running = setting.serve().await;
    setting.sandbox.world().hooks[0].token = Some("the-secret-of-before".to_owned());
    assert_eq!(setting.post(&job("1")).await, Some(StatusCode::CREATED));
    let is_refused = || setting.sandbox.world().deliveries.iter().any(|one| one.status == Some(401));
    setting.until("a delivery is refused", async || is_refused()).await;
    let (_, said, _) = setting.run(&["doctor"]).await;
    assert!(said.contains("the last delivery ended with: 401"), "{said}");
    assert!(said.contains("most likely its secret is another than ours: run vorhoelle setup"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_settings_end_with_2_and_say_everything() {
    let setting = Setting::new(Options::default()).await;
    let mut command = setting.command(&["serve"]);
    command
        .env_remove("VORHOELLE_WEBHOOK_SECRET")
        .env_remove("VORHOELLE_WEBHOOK_SIGNING_TOKEN")
        .env("VORHOELLE_LISTN", "x");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("VORHOELLE_WEBHOOK_SECRET or VORHOELLE_WEBHOOK_SIGNING_TOKEN is needed"), "{said}");
    assert!(said.contains("did you mean VORHOELLE_LISTEN?"), "{said}");
    let latin = std::os::unix::ffi::OsStringExt::from_vec(b"gr\xfcn".to_vec());
    let output = setting
        .command(&["config", "check"])
        .env::<_, std::ffi::OsString>("VORHOELLE_LINK_SECRET", latin)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("VORHOELLE_LINK_SECRET: its value is no UTF-8"), "{said}");
    assert_eq!(setting.command(&["serve", "--nonsense"]).output().unwrap().status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signing_token_for_a_gitlab_that_cannot_sign_fails_in_setup() {
    let setting = Setting::new(Options { version: "18.11.0".to_owned(), ..Options::default() }).await;
    let (code, _, error) = setting.run(&["setup"]).await;
    assert_eq!(code, 1);
    assert!(error.contains("18.11.0") && error.contains("VORHOELLE_WEBHOOK_SECRET"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_shows_the_whole_round() {
    let setting = Setting::new(Options::default()).await;
    let (code, said, error) =
        setting.run(&["demo", "--once", "--listen", "127.0.0.1:0", "--sandbox-listen", "127.0.0.1:0"]).await;
    assert_eq!(code, 0, "{error}");
    let after = said.split("the service followed:").nth(1).unwrap();
    assert!(after.contains("#1   approved") && after.contains("#2   rejected"), "{said}");
    assert_eq!(after.matches("pending").count(), 3, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_public_project_is_refused() {
    let public = vorhoelle::sandbox::Visibility::Public;
    let setting = Setting::new(Options { visibility: public, ..Options::default() }).await;
    let (code, _, error) = setting.run(&["list"]).await;
    assert_eq!(code, 1);
    assert!(error.contains("not private") && error.contains("allow_public_project"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_that_knows_of_no_earlier_one_keeps_what_gives_way_and_says_why() {
    let setting = Setting::new(Options::default()).await;
    setting.run(&["setup"]).await;
    std::fs::write(setting.folder.path().join("job.json"), job("1").to_string()).unwrap();
    assert_eq!(setting.run(&["stage", "job.json"]).await.0, 0);
    for (name, notes) in [("theirs.csv", "theirs"), ("a.csv", "meins")] {
        let text = format!("iid;title;notes\r\n1;Job 1;{notes}\r\n");
        std::fs::write(setting.folder.path().join(name), text).unwrap();
    }
    let (code, _, said) = setting.run(&["csv", "sync", "theirs.csv"]).await;
    assert!(code == 0 && !said.contains("gave way"), "{said}");
    let (code, _, said) = setting.run(&["csv", "sync", "a.csv"]).await;
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("1 of the file's values gave way") && said.contains("is not known here"), "{said}");
    let kept = std::fs::read_to_string(setting.folder.path().join("a.csv.conflicts.csv")).unwrap();
    assert!(kept.contains(";notes;meins;theirs"), "{kept}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_beside_the_service_hears_of_changes_when_that_does() {
    let setting = Setting::new(Options::default()).await;
    setting.run(&["setup"]).await;
    let _running = setting.serve().await;
    assert_eq!(setting.post(&job("1")).await, Some(StatusCode::CREATED));
    let file = setting.folder.path().join("a.csv");
    assert_eq!(setting.run(&["csv", "export", "a.csv"]).await.0, 0);
    let _watching = Running { child: setting.command(&["csv", "sync", "a.csv", "--watch"]).spawn().unwrap() };
    let says = |text: &str| std::fs::read_to_string(&file).unwrap().contains(text);
    setting.sandbox.as_user("reviewer").relabel(1, &["job-match/approved"], &[]).unwrap();
    setting.until("the decision is in the file", async || says(";approved;")).await;
    assert_eq!(setting.post(&job("2")).await, Some(StatusCode::CREATED));
    setting.until("the match is in the file", async || says("Job 2")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_waits_for_a_file_that_is_open_or_away_and_never_makes_it_anew() {
    let setting = Setting::new(Options::default()).await;
    setting.run(&["setup"]).await;
    let beside = |name: &str| setting.folder.path().join(name);
    let (file, lock) = (beside("a.csv"), beside(".~lock.a.csv#"));
    let text = || std::fs::read_to_string(&file).unwrap_or_default();
    std::fs::write(&file, "iid;Status;Titel;Notizen\r\n;pending;Neu;a\r\n").unwrap();
    std::fs::write(&lock, ",anna,host,07.02.2026 10:30,file:///x;").unwrap();
    let mut running =
        Running { child: setting.command(&["csv", "sync", "a.csv", "--watch"]).spawn().unwrap() };
    let said = running.listen();
    // Once more where it looked between the lock and the save that follows it.
    let said_so = |what: &str, times: usize| said.lock().unwrap().matches(what).count() >= times;
    let open = "is open in LibreOffice (anna)";
    setting.until("it says that it waits", async || said_so(open, 1)).await;
    assert!(setting.sandbox.world().issues.is_empty());
    std::fs::remove_file(&lock).unwrap();
    setting.until("the row has its iid", async || text().contains("\r\n1;pending;Neu;a")).await;
    // Opened and saved in a spreadsheet: GitLab hears of it when it is closed.
    let notes =
        |part: &str| setting.sandbox.world().comments_of(1).iter().any(|note| note.body.contains(part));
    std::fs::write(&lock, ",anna,host,07.02.2026 10:30,file:///x;").unwrap();
    let edited = text().replace(";Neu;a", ";Neu;zurückgerufen");
    std::fs::write(&file, &edited).unwrap();
    setting.until("it says that it waits again", async || said_so(open, 2)).await;
    assert!(!notes("zurückgerufen"));
    std::fs::remove_file(&lock).unwrap();
    setting.until("GitLab has the notes", async || notes("zurückgerufen")).await;
    // Saved by an editor that takes the file away first.
    std::fs::remove_file(&file).unwrap();
    setting.until("it misses the file", async || said_so("a.csv is not there", 1)).await;
    assert!(!file.exists(), "it is not made anew");
    std::fs::write(&file, edited.replace("zurückgerufen", "wieder da")).unwrap();
    setting.until("GitLab has the new notes", async || notes("wieder da")).await;
    assert!(running.child.try_wait().unwrap().is_none(), "{}", said.lock().unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_is_asked_to_stop_in_the_middle_of_a_run_stops() {
    let setting = Setting::new(Options::default()).await;
    setting.run(&["setup"]).await;
    std::fs::write(setting.folder.path().join("a.csv"), "iid;Titel\r\n;Neu\r\n").unwrap();
    let slow = Trouble::slow_body(Duration::from_secs(60));
    setting.sandbox.fault(Fault::new(reqwest::Method::POST, "/issues", slow));
    let child = setting.command(&["csv", "sync", "a.csv", "--watch"]).spawn().unwrap();
    let running = std::cell::RefCell::new(Running { child });
    setting.until("GitLab has the issue", async || !setting.sandbox.world().issues.is_empty()).await;
    let id = running.borrow().child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    setting.until("it has ended", async || running.borrow_mut().child.try_wait().unwrap().is_some()).await;
    assert_eq!(running.borrow_mut().child.wait().unwrap().code(), Some(0));
    // The next run finds the issue that was made.
    assert_eq!(setting.run(&["csv", "sync", "a.csv"]).await.0, 0);
    assert_eq!(setting.sandbox.world().issues.len(), 1);
}

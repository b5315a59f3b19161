//! The real program, killed (SIGKILL) at random moments and started again: nothing is lost, nothing is made twice.
//!
//! `VORHOELLE_TEST_KILLS=N` kills so often in each test, `VORHOELLE_TEST_SEED=N` begins with another seed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    dead_code,
    reason = "a story that fails, panics; a part of the receivers is used"
)]

#[path = "support/program.rs"]
mod program;
#[path = "support/receivers.rs"]
mod receivers;
#[path = "support/smtp.rs"]
mod smtp;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use program::{Running, Setting, job};
use receivers::{Receiver, Reply};
use reqwest::StatusCode;
use serde_json::{Value, json};
use smtp::{MailServer, Mood};
use vorhoelle::clock::Clock;
use vorhoelle::csv::{Field, Table};
use vorhoelle::sandbox::Options;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// SplitMix64: the same moments for the same seed, as far as the machine plays along.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % limit
    }
}

/// Kills the program some time after GitLab has heard a few calls more; says how it ended where it did so by itself.
async fn kill_after(
    setting: &Setting,
    running: &mut Running,
    calls: usize,
    then: Duration,
) -> Option<std::process::ExitStatus> {
    let target = setting.sandbox.calls().len() + calls;
    // It may have nothing to say to GitLab any more: then it is killed idle.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(2);
    while setting.sandbox.calls().len() < target && tokio::time::Instant::now() < deadline {
        if let Some(status) = running.child.try_wait().unwrap() {
            return Some(status);
        }
        Clock::System.sleep(Duration::from_millis(1)).await;
    }
    Clock::System.sleep(then).await;
    let ended = running.child.try_wait().unwrap();
    running.child.kill().unwrap();
    running.child.wait().unwrap();
    ended
}

const SHEET: &str = "Status;Titel;Firma;Phase;Notizen;Mein Feld\r\n\
    pending;Erstes;ACME;drafted;eins;a\r\n\
    sent;Zweites;ACME;applied;zwei;b\r\n\
    rejected;Drittes;Altbau;;;c\r\n\
    approved;Viertes;Altbau;interview;\"vier; mit\r\nZeile\";d\r\n\
    ;Fünftes;Neubau;;fünf;e\r\n\
    sent;Sechstes;Neubau;offer;;f\r\n";

/// What a row says beside the issue's number, by title.
fn said(table: &Table) -> BTreeMap<String, Vec<String>> {
    let row = |row: usize| {
        let values = table.values(row).unwrap().unwrap();
        let fields = [Field::Company, Field::Stage, Field::Notes];
        (values.text(Field::Title).to_owned(), fields.map(|field| values.text(field).to_owned()).to_vec())
    };
    (0..table.len()).map(row).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spreadsheet_survives_kills_of_its_sync() {
    let kills = number("VORHOELLE_TEST_KILLS", 12);
    let mut dice = Dice(number("VORHOELLE_TEST_SEED", 1));
    let mut killed = 0;
    while killed < kills {
        let setting = Setting::new(Options::default()).await;
        setting.run(&["setup"]).await;
        let file = setting.folder.path().join("Bewerbungen.csv");
        std::fs::write(&file, SHEET).unwrap();
        loop {
            let mut command = setting.command(&["csv", "sync", "Bewerbungen.csv"]);
            let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            let calls = usize::try_from(dice.below(20)).unwrap();
            let then = Duration::from_micros(dice.below(30_000));
            let ended = kill_after(&setting, &mut Running { child }, calls, then).await;
            whole(&file);
            if ended.is_some_and(|status| status.success()) {
                break;
            }
            assert_eq!(ended, None, "it failed by itself");
            killed += 1;
        }
        let (code, told, error) = setting.run(&["csv", "sync", "Bewerbungen.csv"]).await;
        assert_eq!(code, 0, "{told}{error}");
        all_there(&setting, &file);
        let before = std::fs::read(&file).unwrap();
        assert_eq!(setting.run(&["csv", "sync", "Bewerbungen.csv"]).await.0, 0);
        assert!(std::fs::read(&file).unwrap() == before, "a sync of what agrees changes nothing");
    }
}

/// However it ended, the file is a whole one.
fn whole(file: &Path) -> Table {
    let table = Table::read(std::fs::read(file).unwrap()).unwrap();
    assert_eq!(said(&table), said(&Table::read(SHEET.as_bytes().to_vec()).unwrap()));
    table
}

fn all_there(setting: &Setting, file: &Path) {
    let table = whole(file);
    let gitlab = setting.sandbox.world();
    assert_eq!(gitlab.issues.len(), 6, "an issue a row, none twice");
    for row in 0..table.len() {
        let values = table.values(row).unwrap().unwrap();
        let issue = gitlab.issue(values.text(Field::Iid).parse().unwrap()).unwrap();
        assert!(issue.title.starts_with(values.text(Field::Title)), "{}", issue.title);
        let ours = gitlab.notes.iter().filter(|note| note.iid == issue.iid && !note.system).count();
        let has_fields = !values.text(Field::Stage).is_empty() || !values.text(Field::Notes).is_empty();
        assert_eq!(ours, usize::from(has_fields), "one comment of fields on {}", issue.title);
    }
    let text = String::from_utf8(std::fs::read(file).unwrap()).unwrap();
    assert!(text.contains("Mein Feld") && text.contains(";f"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn matches_and_messages_survive_kills_of_the_service() {
    let kills = number("VORHOELLE_TEST_KILLS", 12);
    let mut dice = Dice(number("VORHOELLE_TEST_SEED", 1));
    let mut setting = Setting::new(Options::default()).await;
    let slack = Receiver::start((0..10_000).map(|_| Reply::text(200, "ok"))).await;
    let variable = |name: &str, value: String| (name.to_owned(), value);
    setting.variables =
        vec![variable("VORHOELLE_SLACK_WEBHOOK_URL", format!("{}/services/T0/B0/x", slack.url))];
    setting.run(&["setup"]).await;
    let mut running = setting.serve().await;
    let mut killed = 0;
    let mut posted = 0;
    while killed < kills {
        posted += 1;
        // Somebody posts until it is taken, as a pipeline does.
        let match_is_posted = post_until_taken(&setting, posted);
        let somebody_kills = async {
            let calls = usize::try_from(dice.below(9)).unwrap();
            let then = Duration::from_micros(dice.below(20_000));
            let ended = kill_after(&setting, &mut running, calls, then).await;
            assert_eq!(ended, None, "it ended by itself");
            killed += 1;
            running = setting.serve().await;
        };
        tokio::join!(match_is_posted, somebody_kills);
        if posted % 3 == 0 {
            let reviewer = setting.sandbox.as_user("reviewer");
            reviewer.relabel(posted, &["job-match/approved"], &["job-match/pending"]).unwrap();
        }
    }
    for iid in 1..=posted {
        let state = if iid % 3 == 0 { "approved" } else { "pending" };
        setting.until_state(iid, state).await;
        if state == "approved" {
            // Decided before anybody was told, nobody needs to be.
            continue;
        }
        setting
            .until(&format!("match {iid} is told"), async || {
                setting.get(&format!("/api/v1/matches/{iid}")).await["deliveries"].as_array().is_some_and(
                    |all| all.iter().any(|one| one["channel"] == "slack" && one["outcome"] == "sent"),
                )
            })
            .await;
    }
    assert_eq!(setting.sandbox.world().issues.len() as u64, posted, "an issue a match, none twice");
    let bodies: Vec<String> = slack.arrived().into_iter().map(|one| one.body).collect();
    let tells = |body: &str, iid: u64| {
        body.split(&format!("Job {iid}")).skip(1).any(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    let times = |iid: u64| bodies.iter().filter(|body| tells(body, iid)).count();
    assert!((1..=posted).all(|iid| times(iid) > 0 || iid % 3 == 0), "who is to decide is told");
    let repeated: usize = (1..=posted).map(|iid| times(iid).saturating_sub(1)).sum();
    assert!(repeated as u64 <= killed, "{repeated} messages too many after {killed} kills");
}

async fn post_until_taken(setting: &Setting, id: u64) {
    let mut match_posted = job(&id.to_string());
    match_posted["title"] = Value::String(format!("Job {id}"));
    setting
        .until(&format!("match {id} is taken"), async || {
            let status = setting.post(&match_posted).await;
            matches!(status, Some(StatusCode::CREATED | StatusCode::OK))
        })
        .await;
}

fn as_pipeline(request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
    request.bearer_auth("token-of-the-pipeline")
}

/// What came of a call: its status and its answer; none where nobody answered.
async fn heard(request: reqwest::RequestBuilder) -> Option<(StatusCode, Value)> {
    let answer = as_pipeline(request).send().await.ok()?;
    Some((answer.status(), answer.json().await.ok()?))
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_survive_kills_while_they_are_edited() {
    let kills = number("VORHOELLE_TEST_KILLS", 12);
    let mut dice = Dice(number("VORHOELLE_TEST_SEED", 1));
    let setting = Setting::new(Options::default()).await;
    setting.run(&["setup"]).await;
    let mut running = setting.serve().await;
    for minimum in (10..90).cycle().take(usize::try_from(kills).unwrap()) {
        let edit = json!({ "min_score": minimum });
        let somebody_edits = setting.until("the edit is taken", async || {
            let patch = setting.http.patch(setting.url("/api/v1/config")).json(&edit);
            matches!(heard(patch).await, Some((StatusCode::OK, _)))
        });
        let somebody_kills = async {
            let calls = usize::try_from(dice.below(6)).unwrap();
            let then = Duration::from_micros(dice.below(20_000));
            assert_eq!(kill_after(&setting, &mut running, calls, then).await, None, "it ended by itself");
            running = setting.serve().await;
        };
        tokio::join!(somebody_edits, somebody_kills);
        let counts = json!({"key": "min_score", "origin": "settings issue #1", "value": f64::from(minimum)});
        setting
            .until("the edit counts", async || {
                let settings = setting.get("/api/v1/config").await["settings"].clone();
                settings.as_array().is_some_and(|all| all.contains(&counts))
            })
            .await;
        let gitlab = setting.sandbox.world();
        let bodies: Vec<&str> =
            gitlab.issues.values().map(|issue| issue.description.as_deref().unwrap()).collect();
        assert_eq!(bodies.len(), 1, "one settings issue: {bodies:#?}");
        let lines: Vec<&str> = bodies[0].lines().filter(|line| line.starts_with("min_score:")).collect();
        assert_eq!(lines, [format!("min_score: {minimum}")], "{}", bodies[0]);
    }
}

/// Somebody orders an application to be sent until it is said what became of it, as a pipeline does that heard nothing.
#[tokio::test(flavor = "multi_thread")]
async fn an_application_is_sent_at_most_once_whenever_the_service_is_killed() {
    let kills = number("VORHOELLE_TEST_KILLS", 12);
    let mut dice = Dice(number("VORHOELLE_TEST_SEED", 1));
    let (setting, mails) = with_mails().await;
    let mut running = setting.serve().await;
    let mut certain = 0;
    for iid in 1..=kills {
        post_until_taken(&setting, iid).await;
        let reviewer = setting.sandbox.as_user("reviewer");
        reviewer.relabel(iid, &["job-match/approved"], &["job-match/pending"]).unwrap();
        setting.until_state(iid, "approved").await;
        let of_match = |path: &str| setting.url(&format!("/api/v1/matches/{iid}/{path}"));
        let to = format!("clara-{iid}@agency.example");
        let draft = json!({"to": to, "subject": "Architect", "body": "Dear Clara"});
        let somebody_sends = async {
            setting
                .until("the draft is taken", async || {
                    let put = heard(setting.http.put(of_match("draft")).json(&draft)).await;
                    put.is_some_and(|(status, _)| status.is_success())
                })
                .await;
            setting
                .until("it is said what became of it", async || {
                    match heard(setting.http.post(of_match("send"))).await {
                        Some((StatusCode::OK, _)) => true,
                        Some((StatusCode::BAD_GATEWAY, answer)) => answer["title"] == "send_unknown",
                        _ => false,
                    }
                })
                .await;
        };
        let somebody_kills = async {
            let calls = usize::try_from(dice.below(14)).unwrap();
            let then = Duration::from_micros(dice.below(20_000));
            assert_eq!(kill_after(&setting, &mut running, calls, then).await, None, "it ended by itself");
            running = setting.serve().await;
        };
        tokio::join!(somebody_sends, somebody_kills);
        let left = mails.mails().iter().filter(|mail| mail.to == [to.as_str()]).count();
        let outcome = setting.get(&format!("/api/v1/matches/{iid}")).await["send"]["outcome"].clone();
        match outcome.as_str().unwrap() {
            "sent" => assert_eq!(left, 1, "match {iid}"),
            "send_unknown" => assert!(left <= 1, "match {iid}: {left} mails"),
            other => panic!("match {iid} is {other}"),
        }
        certain += u64::from(outcome == "sent");
    }
    assert!(certain > 0, "nothing was ever sent for certain");
}

/// A service that is set up, and the server that it sends by.
async fn with_mails() -> (Setting, MailServer) {
    let mut setting = Setting::new(Options::default()).await;
    let mails = MailServer::start(false).await;
    let variables = [
        ("VORHOELLE_SMTP_URL", format!("smtp://{}", mails.address)),
        ("VORHOELLE_MAIL_FROM", "jobs@example.com".to_owned()),
        ("VORHOELLE_MAIL_TO", "anna@example.com".to_owned()),
    ];
    setting.variables = variables.map(|(name, value)| (name.to_owned(), value)).to_vec();
    setting.run(&["setup"]).await;
    (setting, mails)
}

/// Killed while the mail server has the application and has not answered: as soon as the service is there again, it says
/// that nobody knows, without being asked.
#[tokio::test(flavor = "multi_thread")]
async fn an_application_that_a_kill_broke_off_is_in_doubt_at_once() {
    let (setting, mails) = with_mails().await;
    mails.set_mood(Mood::SilentAfterMessage);
    let running = setting.serve().await;
    assert_eq!(setting.post(&job("1")).await, Some(StatusCode::CREATED));
    let reviewer = setting.sandbox.as_user("reviewer");
    reviewer.relabel(1, &["job-match/approved"], &["job-match/pending"]).unwrap();
    setting.until_state(1, "approved").await;
    let draft = json!({"to": "clara@agency.example", "subject": "Architect", "body": "Dear Clara"});
    let put = as_pipeline(setting.http.put(setting.url("/api/v1/matches/1/draft")))
        .json(&draft)
        .send()
        .await
        .unwrap();
    assert_eq!(put.status(), StatusCode::CREATED);
    let sending = tokio::spawn(as_pipeline(setting.http.post(setting.url("/api/v1/matches/1/send"))).send());
    let left = || mails.mails().iter().filter(|mail| mail.to == ["clara@agency.example"]).count();
    setting.until("the mail is there", async || left() == 1).await;
    drop(running);
    assert!(sending.await.unwrap().is_err());
    let _running = setting.serve().await;
    let says_so = async || {
        let gitlab = setting.sandbox.world();
        gitlab.comments_of(1).iter().any(|note| note.body.contains("the service was interrupted"))
    };
    setting.until("the comment says so", says_so).await;
    assert_eq!(setting.get("/api/v1/matches/1").await["send"]["outcome"], "send_unknown");
    assert_eq!(left(), 1);
}

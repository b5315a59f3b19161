//! Stories: a person wants to be forgotten.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a story that fails, panics"
)]

#[path = "support/sheet.rs"]
mod sheet;
mod support;

use std::process::{Command, Stdio};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sheet::Sheet;
use support::{Difference, Disk, World, job};
use vorhoelle::csv::sync::Direction;
use vorhoelle::engine::ErasureError;
use vorhoelle::sandbox::{Fault, HookMode, Options, Sandbox, Trouble};

/// What must not be found afterwards.
const PERSONAL: [&str; 5] =
    ["Kim Beispiel", "kim@agency.example", "+43 664 1234567", "secret handshake", "fond of"];

fn with_a_person(external_id: &str) -> Value {
    let mut job = job(external_id);
    job["contact"] =
        json!({"name": "Kim Beispiel", "email": "kim@agency.example", "phone": "+43 664 1234567"});
    job["description"] = json!("Ask Kim Beispiel for the secret handshake.");
    job["summary"] = json!("Kim Beispiel called");
    job
}

async fn stage(world: &World, external_id: &str) -> u64 {
    let (status, answer) = world.post(&with_a_person(external_id)).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    world.settle().await;
    answer["iid"].as_u64().unwrap()
}

/// Everything that GitLab shows of an issue, but for its history.
fn shown(world: &World, iid: u64) -> String {
    let gitlab = world.sandbox.world();
    let issue = gitlab.issue(iid).unwrap();
    let comments: Vec<&str> = gitlab.comments_of(iid).into_iter().map(|note| note.body.as_str()).collect();
    format!("{}\n{}\n{}", issue.title, issue.description.clone().unwrap_or_default(), comments.join("\n"))
}

#[track_caller]
fn assert_gone(text: &str) {
    for word in PERSONAL {
        assert!(!text.contains(word), "`{word}` in:\n{text}");
    }
}

/// The bytes of the mirror: file and log.
fn on_disk(world: &World) -> String {
    let file = world.mirror_file();
    let log = file.with_extension("sqlite-wal");
    let bytes = |path| std::fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&[bytes(file), bytes(log)].concat()).into_owned()
}

async fn assert_refused(world: &World, external_id: &str) {
    let (status, problem) = world.post(&with_a_person(external_id)).await;
    assert_eq!(status, StatusCode::GONE, "{problem}");
    let (_, several) = world.post(&json!([with_a_person(external_id), job("another")])).await;
    assert_eq!(several["results"][0]["outcome"], "erased", "{several}");
    assert_eq!(several["erased"], 1);
}

#[tokio::test]
async fn what_was_known_of_a_person_is_gone_and_stays_gone() {
    let mut world = World::new().await;
    let iid = stage(&world, "1").await;
    let other = stage(&world, "2").await;
    let decision = json!({"state": "approved", "comment": "fond of Kim Beispiel"});
    assert_eq!(world.patch(iid, &decision).await.0, StatusCode::OK);
    world.reviewer().comment(iid, "called on Monday").unwrap();
    world.settle().await;
    let erasure = world.engine.erase(iid).await.unwrap();
    world.settle().await;
    assert_eq!((erasure.comments, erasure.is_recognised), (1, true));
    assert_eq!(erasure.others_who_commented, ["reviewer"]);
    assert_eq!(erasure.same_contact, [other]);
    world.expect_comment(iid, "This comment was removed");
    // In GitLab, in the mirror, in the API.
    assert_gone(&shown(&world, iid));
    assert!(shown(&world, iid).contains("called on Monday"), "another person's words are theirs");
    assert!(world.labels(iid).is_empty() && !world.is_open(iid));
    assert_eq!(world.get(&format!("/api/v1/matches/{iid}")).await.0, StatusCode::GONE);
    let (_, listed) = world.get("/api/v1/matches").await;
    assert_eq!(listed["matches"].as_array().unwrap().len(), 1);
    let (_, decisions) = world.get("/api/v1/decisions").await;
    assert_gone(&decisions.to_string());
    assert_refused(&world, "1").await;
    // On a fresh machine too, from the first moment on.
    world.kill(Disk::Wiped).await;
    world.start().await;
    world.engine.delta().await.unwrap();
    assert_refused(&world, "1").await;
    world.settle().await;
    assert_eq!(world.get(&format!("/api/v1/matches/{iid}")).await.0, StatusCode::GONE);
    assert_eq!(world.patch(iid, &json!({"state": "approved"})).await.0, StatusCode::GONE);
    assert_eq!(world.get(&format!("/api/v1/matches/{iid}/draft")).await.0, StatusCode::GONE);
    world.expect(other, "pending").await;
    world.finish().await;
}

/// Two instances made one issue each of a match at the same time, and the second has given way.
async fn twice() -> World {
    let mut world = World::new().await;
    world.stage_twice(with_a_person("1")).await;
    for _ in 0..3 {
        world.delta().await;
    }
    world
}

async fn assert_both_gone(world: &World) {
    world.settle().await;
    for iid in [1, 2] {
        assert_gone(&shown(world, iid));
    }
    assert_gone(&on_disk(world));
    assert_refused(world, "1").await;
}

#[tokio::test]
async fn the_second_issue_of_a_match_is_erased_with_the_first() {
    let world = twice().await;
    assert!(shown(&world, 2).contains("Kim Beispiel") && world.labels(2).is_empty());
    // What broke off goes on where it ended.
    world.sandbox.fault(Fault::new(Method::PUT, "/issues/2", Trouble::bad_gateway()).times(9));
    world.engine.erase(1).await.unwrap_err();
    world.sandbox.clear_faults();
    let erasure = world.engine.erase(1).await.unwrap();
    assert_eq!(erasure.second_issues, [2]);
    assert_both_gone(&world).await;
}

/// Whoever wants it gone may name either.
#[tokio::test]
async fn with_the_second_issue_of_a_match_the_first_is_erased() {
    let world = twice().await;
    let erasure = world.engine.erase(2).await.unwrap();
    assert_eq!((erasure.iid, erasure.second_issues), (1, vec![2]));
    assert_both_gone(&world).await;
}

/// The disk was full, or a kill came in between.
#[tokio::test]
async fn what_an_erasure_left_in_free_pages_is_gone_with_the_next_read() {
    let world = World::new().await;
    let iid = stage(&world, "1").await;
    world.sandbox.hook_mode(HookMode::Lose);
    let erasure = world.engine.erase(iid).await.unwrap();
    assert_eq!(erasure.iid, iid);
    world.spoil_mirror(
        "CREATE TABLE left (text); INSERT INTO left VALUES ('Kim Beispiel'); DROP TABLE left;
         INSERT INTO facts (name, value) VALUES ('to be wiped', '');",
    );
    assert!(on_disk(&world).contains("Kim Beispiel"));
    world.delta().await;
    assert_gone(&on_disk(&world));
}

#[tokio::test]
async fn wherever_an_erased_issue_goes_its_match_is_not_staged_again() {
    let mut world = World::new().await;
    let (moved, deleted) = (stage(&world, "1").await, stage(&world, "2").await);
    for iid in [moved, deleted] {
        assert_eq!(world.engine.erase(iid).await.unwrap().told, [], "no channel is set up");
    }
    world.settle().await;
    world.clock.advance(std::time::Duration::from_secs(60));
    world.sandbox.as_user("owner").move_issue(moved).unwrap();
    world.sandbox.as_user("owner").delete_issue(deleted).unwrap();
    for iid in [moved, deleted] {
        world.engine.hint(iid, vorhoelle::engine::Hint::default());
    }
    world.settle().await;
    assert_refused(&world, "1").await;
    assert_refused(&world, "2").await;
    for iid in [moved, deleted] {
        assert_eq!(world.get(&format!("/api/v1/matches/{iid}")).await.0, StatusCode::GONE);
    }
    // What is left of the moved one is still there to be read.
    world.restart(Disk::Wiped).await;
    assert_refused(&world, "1").await;
    world.finish().await;
}

#[tokio::test]
async fn nothing_is_left_on_the_disk() {
    let mut world = World::new().await;
    let iid = stage(&world, "1").await;
    // Rows that come and go, as a file has after a while: events, records of each step.
    for state in ["approved", "pending"].repeat(5) {
        assert_eq!(
            world.patch(iid, &json!({"state": state, "comment": "Kim Beispiel"})).await.0,
            StatusCode::OK
        );
        world.settle().await;
    }
    let key = |request: reqwest::RequestBuilder| request.header("Idempotency-Key", "k1");
    let post = || key(world.http.post(world.url("/api/v1/matches"))).json(&with_a_person("1"));
    assert_eq!(world.call(post()).await.0, StatusCode::OK);
    assert!(on_disk(&world).contains("kim@agency.example"), "the test sees the disk");
    world.engine.erase(iid).await.unwrap();
    world.settle().await;
    assert_eq!(world.call(post()).await.0, StatusCode::GONE, "no kept answer is given out again");
    world.engine.mirror().checkpoint();
    assert_gone(&on_disk(&world));
    for _ in 0..10 {
        world.expect_comment(iid, "This comment was removed");
    }
    world.restart(Disk::Kept).await;
    assert_refused(&world, "1").await;
    world.finish().await;
}

#[tokio::test]
async fn an_erasure_that_broke_off_is_completed_by_the_next() {
    let mut world = World::new().await;
    let iid = stage(&world, "1").await;
    world.patch(iid, &json!({"state": "rejected", "comment": "fond of nobody"})).await;
    let cut = Trouble::Answer {
        status: 403,
        content_type: "application/json".into(),
        body: "{}".into(),
        retry_after: None,
    };
    world.sandbox.fault(Fault {
        method: Some("PUT".into()),
        path: "/notes/".into(),
        skip: 0,
        times: 1,
        trouble: cut,
    });
    assert!(matches!(world.engine.erase(iid).await, Err(ErasureError::Engine(_))));
    world.settle().await;
    assert!(shown(&world, iid).contains("fond of"), "the comment still stands");
    let erasure = world.engine.erase(iid).await.unwrap();
    assert_eq!((erasure.comments, erasure.is_recognised), (1, true));
    assert_gone(&shown(&world, iid));
    let calls = world.calls_by_bot().len();
    assert_eq!(world.engine.erase(iid).await.unwrap().comments, 0, "a third time there is nothing to do");
    let writes = world.calls_by_bot().into_iter().skip(calls).filter(|call| !call.starts_with("GET"));
    assert_eq!(writes.count(), 0);
    world.expect_comment(iid, "This comment was removed");
    assert_refused(&world, "1").await;
    world.finish().await;
}

/// Another process erased it, or the same before it was killed: the webhook tells.
#[tokio::test]
async fn a_service_that_did_not_do_it_itself_follows() {
    let mut world = World::new().await;
    let iid = stage(&world, "1").await;
    let elsewhere = world.another_instance().await;
    elsewhere.engine.delta().await.unwrap();
    world.clock.advance(std::time::Duration::from_secs(1));
    elsewhere.engine.erase(iid).await.unwrap();
    world.settle_all().await;
    assert_eq!(world.get(&format!("/api/v1/matches/{iid}")).await.0, StatusCode::GONE);
    assert_refused(&world, "1").await;
    // A label that somebody puts on does not bring it back.
    world.reviewer().relabel(iid, &["job-match", "job-match/pending"], &[]).unwrap();
    world.settle_all().await;
    assert_eq!(world.get(&format!("/api/v1/matches/{iid}")).await.0, StatusCode::GONE);
    world.reviewer().relabel(iid, &[], &["job-match", "job-match/pending"]).unwrap();
    world.finish().await;
}

#[tokio::test]
async fn a_checksum_that_a_person_wrote_stops_nothing() {
    let world = World::new().await;
    let iid = stage(&world, "1").await;
    world.engine.erase(iid).await.unwrap();
    let text = world.sandbox.world().issue(iid).unwrap().description.clone().unwrap();
    assert!(text.contains("\"fingerprint\""), "{text}");
    let mut world = World::new().await;
    let forged = world.person("colleague").create_issue("By hand", &text, &["job-match"]).unwrap();
    world.settle().await;
    world.restart(Disk::Wiped).await;
    assert_eq!(world.state(forged).await, "pending", "it is an issue like any other");
    assert_eq!(world.post(&with_a_person("1")).await.0, StatusCode::CREATED);
    world.settle().await;
    world.finish().await;
}

#[tokio::test]
async fn an_issue_made_by_hand_is_erased_and_followed_no_more() {
    let mut world = World::new().await;
    let text = "Kim Beispiel, kim@agency.example";
    let iid = world.reviewer().create_issue("Kim Beispiel", text, &["job-match"]).unwrap();
    world.settle().await;
    world.expect(iid, "pending").await;
    let erasure = world.engine.erase(iid).await.unwrap();
    world.settle().await;
    assert!(!erasure.is_recognised);
    assert_gone(&shown(&world, iid));
    assert_gone(&on_disk(&world));
    assert_eq!(world.state(iid).await, "none");
    world.restart(Disk::Wiped).await;
    assert_eq!(world.state(iid).await, "none");
    assert!(matches!(world.engine.erase(99).await, Err(ErasureError::Unknown(99))));
    world.finish().await;
}

#[tokio::test]
async fn in_german_it_is_said_in_german() {
    let world = World::with(Difference { file: Some("language: de\n"), ..Difference::default() }).await;
    let iid = stage(&world, "1").await;
    world.engine.erase(iid).await.unwrap();
    insta::assert_snapshot!("erased_issue_de", shown(&world, iid));
    let world = World::new().await;
    let iid = stage(&world, "1").await;
    world.engine.erase(iid).await.unwrap();
    insta::assert_snapshot!("erased_issue_en", shown(&world, iid));
}

// --- in a spreadsheet

/// What the issue's title says afterwards.
const REMOVED: &str = "Removed at the wish of the person concerned";

#[tokio::test]
async fn the_next_sync_blanks_the_row_and_takes_nothing_of_it_back_to_gitlab() {
    let mut world = World::new().await;
    let (iid, other) = (stage(&world, "1").await, stage(&world, "2").await);
    let sheet = Sheet::new("iid;Status;Titel;Firma;Ansprechpartner;E-Mail;Notizen;Mein Feld\r\n");
    sheet.run(&world, Direction::Sync).await;
    let row = |contact: &str| format!("{iid};pending;Cloud Architect 1;Amoria Bond;{contact}\r\n");
    sheet.edit(&row(";;;"), &row("Kim Beispiel;kim@agency.example;fond of nothing;nett"));
    sheet.run(&world, Direction::Sync).await;
    assert_eq!(world.engine.erase(iid).await.unwrap().sheets, [sheet.path.to_str().unwrap()]);
    world.settle().await;
    world.expect_comment(iid, "This comment was removed");
    // Somebody goes on with the row meanwhile.
    sheet.edit("fond of nothing", "secret handshake");
    sheet.edit(&format!("{iid};pending;"), &format!("{iid};approved;"));
    let others: Vec<String> = sheet.text().lines().skip(2).map(str::to_owned).collect();
    let calls = world.calls_by_bot().len();
    let outcome = sheet.run(&world, Direction::Sync).await;
    let summary = outcome.plan.summary();
    assert_eq!((summary.blanked, summary.errors, outcome.plan.rows.len()), (1, 0, 1), "{}", outcome.plan);
    assert!(outcome.plan.to_string().contains("1 row of an erased match is blanked"), "{}", outcome.plan);
    assert_eq!(outcome.plan.rows[0].own_cells, ["Mein Feld"]);
    assert_gone(&outcome.plan.to_string());
    assert_eq!(world.calls_by_bot().len(), calls, "GitLab is told nothing");
    let text = sheet.text();
    assert!(text.contains(&format!("\r\n{iid};;{REMOVED};;;;;nett\r\n")), "{text}");
    assert_eq!(text.lines().skip(2).collect::<Vec<_>>(), others, "every other row is as it was");
    let backup = std::fs::read_to_string(sheet.path.with_file_name("Bewerbungen.csv.bak")).unwrap();
    assert!(backup.contains("secret handshake"), "the backup is the file as it was");
    assert!(!on_disk(&world).contains("fond of"), "nor is it in what the two agreed on");
    // Again, and on a fresh machine: there is nothing left to do, and it is not an error.
    for disk in [Disk::Kept, Disk::Wiped] {
        world.restart(disk).await;
        world.delta().await;
        let outcome = sheet.run(&world, Direction::Sync).await;
        assert!(!outcome.file_changed, "{}", outcome.plan);
        assert_eq!((outcome.plan.rows.len(), outcome.plan.errors.len()), (0, 0), "{}", outcome.plan);
        assert_eq!(sheet.text(), text);
    }
    assert_gone(&shown(&world, iid));
    world.expect(other, "pending").await;
    world.finish().await;
}

#[tokio::test]
async fn however_a_row_is_known_and_whatever_stands_in_it_it_is_blanked() {
    let world = World::new().await;
    let iid = stage(&world, "1").await;
    world.engine.erase(iid).await.unwrap();
    for direction in [Direction::Export, Direction::Import, Direction::Sync] {
        // A day that is none, a second row, a row without its iid.
        let sheet = Sheet::new(
            "iid;Titel;Quelle;Externe Id;Beworben am;Notizen\r\n1;Cloud;;;bald;Kim Beispiel\r\n\
             1;Cloud;;;;\"Kim; Beispiel\"\r\n;Cloud;portal;1;;Kim Beispiel\r\n",
        );
        let outcome = sheet.run(&world, direction).await;
        let summary = outcome.plan.summary();
        assert_eq!((summary.blanked, summary.staged, summary.errors), (3, 0, 0), "{}", outcome.plan);
        let blank = format!("1;{REMOVED};;;;\r\n");
        let head = "iid;Titel;Quelle;Externe Id;Beworben am;Notizen\r\n";
        assert_eq!(sheet.text(), format!("{head}{blank}{blank}{blank}"));
        assert!(!sheet.run(&world, direction).await.file_changed);
        // Without a column for iids, the row would be a new match the next time.
        let sheet = Sheet::new("title,source,external_id,notes\nCloud,portal,1,Kim Beispiel\n");
        assert_eq!(sheet.run(&world, direction).await.plan.errors, []);
        assert_eq!(sheet.text(), format!("title,source,external_id,notes,iid\n{REMOVED},,,,1\n"));
        assert!(!sheet.run(&world, direction).await.file_changed);
    }
    assert_eq!(world.sandbox.world().issues.len(), 1);
}

#[tokio::test]
async fn a_row_that_cannot_be_blanked_is_named() {
    let world = World::new().await;
    let iid = stage(&world, "1").await;
    world.engine.erase(iid).await.unwrap();
    let sheet = Sheet::new("iid;title;notes\n1;Cloud;Kim Beispiel;and more\n");
    let outcome = sheet.run(&world, Direction::Sync).await;
    let said: Vec<String> = outcome.plan.errors.iter().map(ToString::to_string).collect();
    assert!(said[0].contains("line 2") && said[0].contains("blank this row by hand"), "{said:?}");
    assert!(!outcome.file_changed);
    let sheet = Sheet::new("title,source,external_id,notes\nCloud,portal,1,Kim Beispiel\nx,,,\"open\n");
    let outcome = sheet.run(&world, Direction::Export).await;
    assert!(outcome.plan.errors[0].to_string().contains("by hand"), "{}", outcome.plan);
    assert!(!outcome.file_changed);
}

#[tokio::test]
async fn the_row_of_an_issue_made_by_hand_is_blanked_too() {
    let mut world = World::new().await;
    let iid = world.reviewer().create_issue("Kim Beispiel", "secret handshake", &["job-match"]).unwrap();
    world.settle().await;
    let sheet = Sheet::new("iid;title;notes\n");
    sheet.run(&world, Direction::Sync).await;
    world.engine.erase(iid).await.unwrap();
    world.settle().await;
    world.restart(Disk::Kept).await;
    // GitLab does not tell, so that a mirror read anew keeps it.
    world.engine.mirror().clear().unwrap();
    world.delta().await;
    let outcome = sheet.run(&world, Direction::Sync).await;
    assert_eq!(outcome.plan.errors, []);
    assert_eq!(sheet.text(), format!("iid;title;notes\n{iid};{REMOVED};\n"));
    // Put back, it is a match like any other.
    world.reviewer().relabel(iid, &["job-match"], &[]).unwrap();
    world.settle().await;
    sheet.edit(&format!("{REMOVED};"), &format!("{REMOVED};again"));
    assert_eq!(sheet.run(&world, Direction::Sync).await.plan.summary().to_gitlab, 1);
    world.expect_comment(iid, "| Notes | again |");
    world.finish().await;
}

// --- in the terminal

struct Desk {
    sandbox: Sandbox,
    folder: tempfile::TempDir,
}

impl Desk {
    fn settings(&self, command: &mut Command) {
        command.current_dir(self.folder.path()).env_clear();
        command
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("VORHOELLE_LOG", "off")
            .env("VORHOELLE_GITLAB_URL", self.sandbox.url())
            .env("VORHOELLE_GITLAB_TOKEN", self.sandbox.token("bot"))
            .env("VORHOELLE_GITLAB_PROJECT", "4711")
            .env("VORHOELLE_WEBHOOK_SECRET", "secret-of-the-webhook")
            .env("VORHOELLE_REVIEWERS", "reviewer");
    }

    async fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vorhoelle"));
        command.args(arguments).stdin(Stdio::null());
        self.settings(&mut command);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_does_it_and_says_what_is_left() {
    let desk = Desk {
        sandbox: Sandbox::start(Options::default()).await.unwrap(),
        folder: tempfile::TempDir::new().unwrap(),
    };
    let jobs = [with_a_person("1"), with_a_person("2"), json!({"title": "No identity", "score": 80})];
    std::fs::write(desk.folder.path().join("jobs.json"), json!(jobs).to_string()).unwrap();
    for job in jobs {
        std::fs::write(desk.folder.path().join("job.json"), job.to_string()).unwrap();
        assert_eq!(desk.run(&["stage", "job.json"]).await.0, 0);
    }
    let (code, said, error) = desk.run(&["erase", "1"]).await;
    assert_eq!(code, 0, "{error}");
    let said = said.replace(&desk.sandbox.url().to_owned(), "http://gitlab");
    insta::assert_snapshot!("erase_command", said);
    assert_eq!(desk.run(&["csv", "export", "a.csv"]).await.0, 0);
    let (code, said, error) = desk.run(&["erase", "2", "--yes", "--json"]).await;
    assert_eq!(code, 0, "{error}");
    let answer: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&answer["iid"], &answer["is_recognised"]), (&json!(2), &json!(true)));
    assert!(said.contains("its row in ") && said.contains("a.csv` blanks it"), "{said}");
    let (code, said, error) = desk.run(&["csv", "sync", "a.csv"]).await;
    assert!(code == 0 && said.contains("1 row of an erased match is blanked"), "{code} {said}");
    assert!(error.contains("still in the backup") && error.contains("a.csv.bak"), "{error}");
    assert!(answer["left"].as_array().unwrap().iter().all(|left| left["how"].is_string()), "{answer}");
    let (_, said, _) = desk.run(&["erase", "3", "--yes"]).await;
    assert!(said.contains("posted again, it is not recognised"), "{said}");
    let (code, said, _) = desk.run(&["stage", "jobs.json"]).await;
    assert_eq!(code, 1);
    let outcomes: Vec<&str> = said.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(outcomes, ["erased", "erased", "created"], "{said}");
    let (code, _, error) = desk.run(&["erase", "99", "--yes"]).await;
    assert!(code == 1 && error.contains("there is no match 99"), "{error}");
}

/// On a terminal it asks; `script` makes one.
#[tokio::test(flavor = "multi_thread")]
async fn on_a_terminal_it_asks_and_takes_no_for_an_answer() {
    if Command::new("script").arg("--version").output().is_err() {
        eprintln!("skipped: script, of util-linux, is not installed");
        return;
    }
    let desk = Desk {
        sandbox: Sandbox::start(Options::default()).await.unwrap(),
        folder: tempfile::TempDir::new().unwrap(),
    };
    std::fs::write(desk.folder.path().join("job.json"), with_a_person("1").to_string()).unwrap();
    assert_eq!(desk.run(&["stage", "job.json"]).await.0, 0);
    let command = format!("{} erase 1", env!("CARGO_BIN_EXE_vorhoelle"));
    for (answer, erased) in [("n", false), ("", false), ("y", true)] {
        let mut terminal = Command::new("script");
        terminal.args(["--quiet", "--return", "--command", &command, "/dev/null"]);
        desk.settings(&mut terminal);
        let said = tokio::task::spawn_blocking(move || {
            use std::io::Write as _;
            let mut running = terminal.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
            running.stdin.as_mut().unwrap().write_all(format!("{answer}\n").as_bytes()).unwrap();
            running.wait_with_output().unwrap()
        });
        let said = said.await.unwrap();
        let text = String::from_utf8_lossy(&said.stdout).into_owned();
        assert!(text.contains("Cloud Architect 1") || erased, "what is asked about is named: {text}");
        assert_eq!(said.status.success(), erased, "{text}");
        let title = desk.sandbox.world().issue(1).unwrap().title.clone();
        assert_eq!(title.contains("Cloud Architect"), !erased, "{text}");
    }
}

//! The spreadsheet's commands where the file is not ours alone.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use reqwest::Method;
use serde_json::Value;
use vorhoelle::clock::Clock;
use vorhoelle::csv::CsvFile;
use vorhoelle::sandbox::{Fault, Options, Trouble};

use super::program::{Running, Setting, job};

async fn set_up() -> Setting {
    let setting = Setting::new(Options::default()).await;
    setting.run(&["setup"]).await;
    setting
}

#[tokio::test(flavor = "multi_thread")]
async fn what_gitlab_took_is_told_although_the_file_could_not_be_written() {
    let setting = set_up().await;
    let beside = |name: &str| setting.folder.path().join(name);
    // In the backup's place there is something else.
    std::fs::create_dir_all(beside("a.csv.bak").join("theirs")).unwrap();
    std::fs::write(beside("a.csv"), "iid;Titel\r\n;Neu\r\n").unwrap();
    let (code, told, said) = setting.run(&["csv", "import", "a.csv"]).await;
    assert!(code == 1 && said.contains("a.csv cannot be backed up"), "{code} {said}");
    assert!(told.contains("becomes an issue: Neu") && told.contains("\n1 row becomes an issue"), "{told}");
    std::fs::write(beside("a.csv"), "iid;Titel\r\n;Neu\r\n;Anderes\r\n").unwrap();
    let (code, told, said) = setting.run(&["csv", "import", "a.csv", "--json"]).await;
    assert!(code == 1 && said.contains("a.csv cannot be backed up"), "{code} {said}");
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((told["rows"].as_array().unwrap().len(), &told["rows"][0]["iid"]), (1, &2.into()), "{told}");
    std::fs::remove_dir_all(beside("a.csv.bak")).unwrap();
    assert_eq!(setting.run(&["csv", "import", "a.csv"]).await.0, 0);
    assert_eq!(std::fs::read_to_string(beside("a.csv")).unwrap(), "iid;Titel\r\n1;Neu\r\n2;Anderes\r\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_looks_at_a_file_that_another_run_has_and_writes_nothing_beside_it() {
    let setting = set_up().await;
    let file = setting.folder.path().join("a.csv");
    std::fs::write(&file, "iid;Titel\r\n;Neu\r\n").unwrap();
    let at_work = CsvFile::open(&file).unwrap();
    assert_eq!(setting.run(&["csv", "sync", "a.csv"]).await.0, 1);
    let (code, told, said) = setting.run(&["csv", "sync", "a.csv", "--dry-run"]).await;
    assert!(code == 0 && told.contains("becomes an issue: Neu"), "{code} {told}{said}");
    drop(at_work);
    assert!(setting.sandbox.world().issues.is_empty());
}

/// No service beside it hears of anything.
#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_had_to_wait_for_its_first_look_asks_gitlab_before_it() {
    let setting = set_up().await;
    let beside = |name: &str| setting.folder.path().join(name);
    std::fs::write(beside("job.json"), job("1").to_string()).unwrap();
    assert_eq!(setting.run(&["stage", "job.json"]).await.0, 0);
    assert_eq!(setting.run(&["csv", "export", "a.csv"]).await.0, 0);
    std::fs::write(beside(".~lock.a.csv#"), ",anna,host,07.02.2026 10:30,file:///x;").unwrap();
    let mut watching =
        Running { child: setting.command(&["csv", "sync", "a.csv", "--watch"]).spawn().unwrap() };
    let said = watching.listen();
    setting.until("it says that it waits", async || said.lock().unwrap().contains("is open in")).await;
    setting.sandbox.as_user("reviewer").relabel(1, &["job-match/approved"], &["job-match/pending"]).unwrap();
    std::fs::remove_file(beside(".~lock.a.csv#")).unwrap();
    let says = |text: &str| std::fs::read_to_string(beside("a.csv")).unwrap().contains(text);
    setting.until("the decision is in the file", async || says(";approved;")).await;
}

/// As `scp` or a download saves it: into the file that is there, bit by bit, over more than two looks at it.
async fn save_slowly(file: &Path, text: &str) {
    let mut writer = OpenOptions::new().write(true).truncate(true).open(file).unwrap();
    let pause = Duration::from_secs(6) / u32::try_from(text.len()).unwrap();
    for byte in text.bytes() {
        writer.write_all(&[byte]).unwrap();
        Clock::System.sleep(pause).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_saved_during_a_run_is_read_again_when_that_has_ended() {
    let setting = set_up().await;
    let file = setting.folder.path().join("a.csv");
    let text = || std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, "iid;Titel;Notizen\r\n;Eins;a\r\n").unwrap();
    assert_eq!(setting.run(&["csv", "sync", "a.csv"]).await.0, 0);
    std::fs::write(&file, format!("{};Zwei;b\r\n", text())).unwrap();
    let slow = Trouble::slow_body(Duration::from_secs(1));
    setting.sandbox.fault(Fault::new(Method::POST, "/issues", slow));
    let edited = text().replace(";a\r\n", ";zurückgerufen\r\n");
    let saving = async {
        let issues = || setting.sandbox.world().issues.len();
        setting.until("GitLab has the new issue", async || issues() == 2).await;
        save_slowly(&file, &edited).await;
    };
    let ((code, _, said), ()) = tokio::join!(setting.run(&["csv", "sync", "a.csv"]), saving);
    assert_eq!((code, text()), (0, edited.replace("\r\n;Zwei", "\r\n2;Zwei")), "{said}");
    let comments = |iid| setting.sandbox.world().comments_of(iid).last().unwrap().body.clone();
    assert!(comments(1).contains("| zurückgerufen |") && comments(2).contains("| b |"), "{}", comments(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_does_not_read_what_is_still_being_saved() {
    let setting = set_up().await;
    let file = setting.folder.path().join("a.csv");
    std::fs::write(&file, "iid;Titel;Notizen\r\n;Eins;a\r\n;Zwei;b\r\n").unwrap();
    let _watching = Running { child: setting.command(&["csv", "sync", "a.csv", "--watch"]).spawn().unwrap() };
    let text = || std::fs::read_to_string(&file).unwrap();
    setting.until("the rows have their iids", async || text().contains("\r\n2;")).await;
    // Whichever of the two became the first issue.
    let notes = |part: &str| {
        let gitlab = setting.sandbox.world();
        let mut comments = [1, 2].into_iter().flat_map(|iid| gitlab.comments_of(iid));
        comments.any(|note| note.body.contains(part))
    };
    setting.until("GitLab has the notes", async || notes("| a |") && notes("| b |")).await;
    let edited = text().replace(";a\r\n", ";zurückgerufen\r\n");
    save_slowly(&file, &edited).await;
    setting.until("GitLab has the new notes", async || notes("| zurückgerufen |")).await;
    assert!(notes("| b |"));
    assert_eq!(text(), edited);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_says_so_where_a_program_writes_on_into_what_has_become_the_backup() {
    let setting = set_up().await;
    let file = setting.folder.path().join("a.csv");
    std::fs::write(&file, "iid;Titel;Notizen\r\n;Eins;a\r\n").unwrap();
    let mut writer = OpenOptions::new().append(true).open(&file).unwrap();
    let mut watching =
        Running { child: setting.command(&["csv", "sync", "a.csv", "--watch"]).spawn().unwrap() };
    let said = watching.listen();
    let text = || std::fs::read_to_string(&file).unwrap();
    setting.until("the row has its iid", async || text().contains("\r\n1;Eins")).await;
    // More than once: how the backup was is noted when the run has ended.
    let told = "a.csv.bak was changed: a program that had a.csv open before the last sync";
    for tries in 1.. {
        writer.write_all(b";Zwei;b\r\n").unwrap();
        Clock::System.sleep(Duration::from_millis(50)).await;
        if said.lock().unwrap().contains(told) {
            break;
        }
        assert!(tries < 400, "{}", said.lock().unwrap());
    }
    assert_eq!(text(), "iid;Titel;Notizen\r\n1;Eins;a\r\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_file_is_filled_like_a_new_one() {
    let setting = set_up().await;
    let beside = |name: &str| setting.folder.path().join(name);
    let text = |name: &str| std::fs::read_to_string(beside(name)).unwrap();
    // Headers, where there is nothing else.
    std::fs::write(beside("a.csv"), "").unwrap();
    let (code, _, said) = setting.run(&["csv", "sync", "a.csv"]).await;
    assert!(code == 0 && text("a.csv").starts_with("\u{feff}iid;Status;Titel;"), "{code} {said}");
    std::fs::write(beside("job.json"), job("1").to_string()).unwrap();
    assert_eq!(setting.run(&["stage", "job.json"]).await.0, 0);
    for command in ["export", "sync"] {
        // What was in it before is in the backup, and stays there.
        std::fs::write(beside("a.csv"), "").unwrap();
        std::fs::write(beside("a.csv.bak"), "the last good one").unwrap();
        let (code, _, said) = setting.run(&["csv", command, "a.csv"]).await;
        assert!(code == 0 && text("a.csv").contains("\r\n1;pending;Job 1;"), "{command} {code} {said}");
        assert_eq!(text("a.csv.bak"), "the last good one", "{command}");
    }
    std::fs::write(beside("a.csv"), "").unwrap();
    let (code, _, said) = setting.run(&["csv", "import", "a.csv"]).await;
    assert!(code == 1 && said.contains("a.csv: the file is empty: not even headers"), "{code} {said}");
    // A watch fills it once; then whoever empties it is not done, or failed: its own columns are in the backup.
    let mut watching =
        Running { child: setting.command(&["csv", "sync", "a.csv", "--watch"]).spawn().unwrap() };
    let said = watching.listen();
    setting.until("the match is in the file", async || text("a.csv").contains("Job 1")).await;
    std::fs::write(beside("a.csv"), "").unwrap();
    let told = "the file is empty: not even headers; it is tried again";
    setting.until("that it is empty is said", async || said.lock().unwrap().contains(told)).await;
    assert_eq!(text("a.csv"), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_file_or_its_headers_is_said_with_its_path() {
    let setting = set_up().await;
    let file = setting.folder.path().join("a.csv");
    for (bytes, words) in [
        (&b"PK\x03\x04..."[..], "a.csv: the file is a workbook and no CSV file"),
        (b"Firma;Ort\n", "a.csv: no column is called `Titel` or `title`"),
    ] {
        std::fs::write(&file, bytes).unwrap();
        let (code, _, said) = setting.run(&["csv", "sync", "a.csv"]).await;
        assert!(code == 1 && said.contains(words), "{code} {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_moves_no_terminal() {
    let setting = set_up().await;
    let file = setting.folder.path().join("a.csv");
    std::fs::write(&file, "Titel;Score\u{1b}[31mRED\u{7}\r\nRust;viel\r\n").unwrap();
    let (code, _, said) = setting.run(&["csv", "sync", "a.csv"]).await;
    let told = "line 2, column `Score [31mRED `: `viel` is no number from 0 to 100";
    assert!(code == 1 && said.contains(told), "{code} {said:?}");
}

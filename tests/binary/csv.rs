//! The spreadsheet's commands where the file is not ours alone.

use serde_json::Value;
use vorhoelle::csv::CsvFile;
use vorhoelle::sandbox::Options;

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

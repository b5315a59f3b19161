//! The real program and a mirror's file that is none, or is not its own: what commands leave alone, what the service
//! replaces, and what nobody touches.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a story that fails, panics")]

#[path = "support/program.rs"]
mod program;

use std::path::PathBuf;

use program::{Setting, job};
use reqwest::StatusCode;
use serde_json::{Value, json};
use vorhoelle::sandbox::Options;

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_of_another_project_is_left_alone_by_commands_and_replaced_by_the_service() {
    let mut setting = Setting::new(Options::default()).await;
    setting.run(&["setup"]).await;
    let project = |name: &str| vec![("VORHOELLE_GITLAB_PROJECT".to_owned(), name.to_owned())];
    let running = setting.serve().await;
    assert_eq!(setting.post(&job("1")).await, Some(StatusCode::CREATED));
    let aside = setting.folder.path().join("data/mirror.sqlite.unusable");
    // The same project by its other name, and one that is none.
    setting.variables = project("acme/job-matches");
    let (code, said, error) = setting.run(&["list"]).await;
    assert_eq!((code, said.lines().count(), error.as_str()), (0, 1, ""), "{said}");
    setting.variables = project("acme/typo");
    let (_, _, error) = setting.run(&["list"]).await;
    assert!(error.contains("another project") && error.contains("VORHOELLE_GITLAB_PROJECT"), "{error}");
    assert!(!aside.exists());
    drop(running);
    setting.variables = project("acme/job-matches");
    let running = setting.serve().await;
    assert_eq!(setting.get("/health").await["mirror"]["note"], Value::Null);
    drop(running);
    let mirror = rusqlite::Connection::open(setting.folder.path().join("data/mirror.sqlite")).unwrap();
    mirror.execute("UPDATE facts SET value = 'https://elsewhere/ 7' WHERE name LIKE 'owner%'", []).unwrap();
    drop(mirror);
    let _running = setting.serve().await;
    assert!(aside.exists());
    assert_eq!(setting.post(&job("1")).await, Some(StatusCode::OK));
}

/// Names and numbers of people stand in it, and in the files that SQLite keeps beside it.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_on_the_machine_can_read_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let setting = Setting::new(Options::default()).await;
    let running = setting.serve().await;
    assert_eq!(setting.post(&job("1")).await, Some(StatusCode::CREATED));
    let data = setting.folder.path().join("data");
    let modes = || {
        let files = std::fs::read_dir(&data).unwrap().map(Result::unwrap);
        files
            .map(|file| (file.file_name(), file.metadata().unwrap().permissions().mode() & 0o777))
            .collect::<Vec<_>>()
    };
    assert!(modes().len() >= 2 && modes().iter().all(|(_, mode)| *mode == 0o600), "{:x?}", modes());
    // Made by an earlier version.
    drop(running);
    let open = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(data.join("mirror.sqlite"), open).unwrap();
    let _running = setting.serve().await;
    assert!(modes().iter().all(|(_, mode)| *mode == 0o600), "{:x?}", modes());
}

/// A typing error in a setting costs another program nothing.
#[tokio::test(flavor = "multi_thread")]
async fn another_programs_database_is_refused_and_left_as_it_is() {
    let mut setting = Setting::new(Options::default()).await;
    setting.run(&["setup"]).await;
    let folder = setting.folder.path().join("other");
    std::fs::create_dir(&folder).unwrap();
    let file = folder.join("app.db");
    setting.variables = vec![("VORHOELLE_DATABASE".to_owned(), file.display().to_string())];
    std::fs::write(setting.folder.path().join("tracker.csv"), "iid;Titel\n;Cloud Architect\n").unwrap();
    // The second has a table that is called as one of ours.
    for (table, journal) in [("customers", "DELETE"), ("events", "WAL")] {
        let other = rusqlite::Connection::open(&file).unwrap();
        let made = format!(
            "PRAGMA journal_mode = {journal}; CREATE TABLE {table} (name TEXT); INSERT INTO {table} VALUES ('Amoria');
             PRAGMA user_version = 3;"
        );
        other.execute_batch(&made).unwrap();
        other.close().unwrap();
        let before = std::fs::read(&file).unwrap();
        for command in [
            &["serve"][..],
            &["list"],
            &["erase", "1"],
            &["mirror", "rebuild"],
            &["mirror", "check"],
            &["csv", "sync", "tracker.csv"],
            &["doctor"],
        ] {
            let (code, said, error) = setting.run(command).await;
            // The doctor's findings are no wrong setting of the doctor's.
            let wrong = if command == ["doctor"] { 1 } else { 2 };
            assert_eq!(code, wrong, "{command:?}: {said}{error}");
            assert!((said + &error).contains("another program's database"), "{command:?}: {error}");
            let files: Vec<_> =
                std::fs::read_dir(&folder).unwrap().map(|one| one.unwrap().file_name()).collect();
            assert_eq!(files, ["app.db"], "{command:?}");
            assert!(std::fs::read(&file).unwrap() == before, "{command:?} wrote into it");
        }
        std::fs::remove_file(&file).unwrap();
    }
}

/// A command of an older program, or one that meets a disk's fault first: the service may have the file open.
#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_of_no_use_is_left_to_the_service_by_commands() {
    let setting = Setting::new(Options::default()).await;
    setting.run(&["setup"]).await;
    let running = setting.serve().await;
    assert_eq!(setting.post(&job("1")).await, Some(StatusCode::CREATED));
    drop(running);
    let file = setting.folder.path().join("data/mirror.sqlite");
    // What is not folded in yet would mend it.
    for suffix in ["-wal", "-shm"] {
        std::fs::remove_file(file.with_extension(format!("sqlite{suffix}"))).unwrap();
    }
    std::fs::write(&file, "this is no database, this is a text".repeat(100)).unwrap();
    let (code, said, error) = setting.run(&["list"]).await;
    assert_eq!((code, said.lines().count()), (0, 1), "{said}{error}");
    assert!(error.contains("it is damaged"), "{error}");
    let aside = setting.folder.path().join("data/mirror.sqlite.unusable");
    assert!(!aside.exists());
    let _running = setting.serve().await;
    assert!(aside.exists());
    assert_eq!(setting.post(&job("1")).await, Some(StatusCode::OK));
}

/// An older program in somebody's crontab, after the service was brought up to date.
#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_of_a_newer_service_is_left_alone_by_commands() {
    let setting = Setting::new(Options::default()).await;
    setting.run(&["setup"]).await;
    let running = setting.serve().await;
    assert_eq!(setting.post(&job("1")).await, Some(StatusCode::CREATED));
    let mirror = rusqlite::Connection::open(setting.folder.path().join("data/mirror.sqlite")).unwrap();
    mirror.pragma_update(None, "user_version", 99).unwrap();
    let (code, said, error) = setting.run(&["list"]).await;
    assert_eq!((code, said.lines().count()), (0, 1), "{said}{error}");
    assert!(error.contains("a newer Vorhölle wrote it"), "{error}");
    assert!(!setting.folder.path().join("data/mirror.sqlite.unusable").exists());
    // It has lost nothing of its own.
    assert_eq!(setting.post(&job("1")).await, Some(StatusCode::OK));
    drop(running);
}

/// A match with a contact is staged by a service that ends, and the head of the mirror's file is lost.
async fn with_a_contact_in_a_damaged_mirror() -> (Setting, PathBuf) {
    let setting = Setting::new(Options::default()).await;
    setting.run(&["setup"]).await;
    let running = setting.serve().await;
    let mut job = job("1");
    job["contact"] = json!({"name": "Kim Beispiel", "email": "kim@agency.example"});
    assert_eq!(setting.post(&job).await, Some(StatusCode::CREATED));
    drop(running);
    let file = setting.folder.path().join("data/mirror.sqlite");
    // What is not folded in yet would mend it. The last connection that is closed takes the log away.
    rusqlite::Connection::open(&file).unwrap().execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[..72].fill(0xA5);
    std::fs::write(&file, bytes).unwrap();
    (setting, file)
}

/// The names of the files beside the mirror, itself included, in which the contact stands.
fn files_with_the_contact(setting: &Setting) -> Vec<String> {
    let files = std::fs::read_dir(setting.folder.path().join("data")).unwrap().map(|file| file.unwrap());
    let holds_it = |path: PathBuf| {
        let text = String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
        text.contains("Kim Beispiel") || text.contains("kim@agency.example")
    };
    let named = files.filter(|file| holds_it(file.path()));
    let mut names: Vec<String> = named.map(|file| file.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_leaves_nothing_in_the_mirrors_of_commands_and_in_what_was_moved_aside() {
    let (mut setting, _) = with_a_contact_in_a_damaged_mirror().await;
    // Two commands with a mirror of their own: one of this project, and one of the same by its other name.
    assert_eq!(setting.run(&["show", "1"]).await.0, 0);
    setting.variables = vec![("VORHOELLE_GITLAB_PROJECT".to_owned(), "acme/job-matches".to_owned())];
    assert_eq!(setting.run(&["show", "1"]).await.0, 0);
    setting.variables.clear();
    drop(setting.serve().await);
    let before = files_with_the_contact(&setting);
    assert!(before.contains(&"mirror.sqlite.unusable".to_owned()) && before.len() >= 4, "{before:?}");
    let (code, said, error) = setting.run(&["erase", "1"]).await;
    assert_eq!(code, 0, "{error}");
    assert!(said.contains("- earlier mirrors: moved aside, or made by commands"), "{said}");
    assert_eq!(files_with_the_contact(&setting), [""; 0], "{said}");
    let known = setting.run(&["list", "--json"]).await.1;
    assert!(!known.contains("Kim"), "{known}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_names_the_services_mirror_where_it_cannot_read_it() {
    let (setting, file) = with_a_contact_in_a_damaged_mirror().await;
    for json in [&[][..], &["--json"]] {
        let (code, said, error) = setting.run(&[&["erase", "1"][..], json].concat()).await;
        assert_eq!(code, 0, "{error}");
        assert_eq!(files_with_the_contact(&setting), ["mirror.sqlite"]);
        assert!(!said.contains("what the mirror knew of it"), "{said}");
        assert!(said.contains("what this command's own mirror knew of it"), "{said}");
        let left = said.split_once("eft").unwrap().1;
        assert!(left.contains("the service's mirror data/mirror.sqlite knows of it"), "{said}");
        assert!(left.contains("start `vorhoelle serve`") && left.contains("erase this again"), "{said}");
    }
    drop(setting.serve().await);
    assert!(file.with_extension("sqlite.unusable").exists());
    let (code, said, error) = setting.run(&["erase", "1"]).await;
    assert!(code == 0 && !said.contains("the service's mirror"), "{said}{error}");
    assert!(said.contains("what the mirror knew of it"), "{said}");
    assert_eq!(files_with_the_contact(&setting), [""; 0], "{said}");
}

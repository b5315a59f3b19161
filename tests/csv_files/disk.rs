//! The file on disk: whole or not at all.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;
use vorhoelle::csv::conflicts_file::Lost;
use vorhoelle::csv::merge::{Conflict, Reason};
use vorhoelle::csv::{CsvFile, Dialect, Field, FileError, Table};
use vorhoelle::domain::Language;

fn put<'a>(bytes: &'a [u8]) -> impl FnOnce(&mut dyn Write) -> std::io::Result<()> + 'a {
    move |writer| writer.write_all(bytes)
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_replacement_keeps_the_mode_and_a_backup() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bewerbungen.csv");
    fs::write(&path, "old").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let mut open = fs::File::open(&path).unwrap();
    let file = CsvFile::open(&path).unwrap();
    let (_, read) = file.read().unwrap().unwrap();
    let written = file.replace(Some(&read), put(b"new")).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"new");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(fs::read(folder.path().join("bewerbungen.csv.bak")).unwrap(), b"old");
    let (_, read) = file.read().unwrap().unwrap();
    assert_eq!((read.size, read.modified), (written.size, written.modified));
    // Whoever has the old file open still has it whole: nothing is written into it.
    let mut still = String::new();
    open.read_to_string(&mut still).unwrap();
    assert_eq!(still, "old");
    file.replace(Some(&read), put(b"newer")).unwrap();
    drop(file);
    assert_eq!(fs::read(folder.path().join("bewerbungen.csv.bak")).unwrap(), b"new");
    assert_eq!(names(folder.path()), ["bewerbungen.csv", "bewerbungen.csv.bak"]);
}

#[test]
fn a_file_that_somebody_else_wrote_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    let file = CsvFile::open(&path).unwrap();
    assert!(file.read().unwrap().is_none());
    fs::write(&path, "theirs").unwrap();
    assert!(matches!(file.replace(None, put(b"ours")), Err(FileError::Changed { .. })));
    let (_, read) = file.read().unwrap().unwrap();
    let wrote_meanwhile = |writer: &mut dyn Write| {
        fs::write(&path, "THEIRS").unwrap();
        writer.write_all(b"ours")
    };
    assert!(matches!(file.replace(Some(&read), wrote_meanwhile), Err(FileError::Changed { .. })));
    assert_eq!(fs::read(&path).unwrap(), b"THEIRS");
    fs::remove_file(&path).unwrap();
    assert!(matches!(file.replace(Some(&read), put(b"ours")), Err(FileError::Changed { .. })));
    assert_eq!(names(folder.path()), ["a.csv.lock"]);
}

#[test]
fn a_write_that_fails_leaves_no_trace() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    fs::write(&path, "old").unwrap();
    let file = CsvFile::open(&path).unwrap();
    let (_, read) = file.read().unwrap().unwrap();
    let fails = |writer: &mut dyn Write| {
        writer.write_all(b"half")?;
        Err(std::io::Error::other("disk full"))
    };
    let error = file.replace(Some(&read), fails).unwrap_err();
    assert!(error.to_string().ends_with("a.csv cannot be written: disk full"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), b"old");
    assert_eq!(names(folder.path()), ["a.csv", "a.csv.lock"]);
}

#[test]
fn a_reader_sees_the_old_file_or_the_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    let content = |number: usize| vec![b'a' + u8::try_from(number % 26).unwrap(); 200_000];
    fs::write(&path, content(0)).unwrap();
    let file = CsvFile::open(&path).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                for name in ["a.csv", "a.csv.bak"] {
                    let Ok(bytes) = fs::read(folder.path().join(name)) else {
                        assert_eq!(name, "a.csv.bak", "the file is always there");
                        continue;
                    };
                    assert_eq!(bytes.len(), 200_000);
                    assert!(bytes.iter().all(|byte| *byte == bytes[0]));
                }
            }
        });
        let (_, mut read) = file.read().unwrap().unwrap();
        for number in 1..20 {
            file.replace(Some(&read), put(&content(number))).unwrap();
            read = file.read().unwrap().unwrap().1;
        }
        done.store(true, Ordering::Relaxed);
        watcher.join().unwrap();
    });
}

#[test]
fn a_symlink_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let cloud = folder.path().join("cloud");
    fs::create_dir(&cloud).unwrap();
    let link = folder.path().join("link.csv");
    symlink("cloud/real.csv", &link).unwrap();
    let file = CsvFile::open(&link).unwrap();
    file.replace(None, put(b"new")).unwrap();
    let (_, read) = file.read().unwrap().unwrap();
    file.replace(Some(&read), put(b"newer")).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::read(cloud.join("real.csv")).unwrap(), b"newer");
    // The claim is on the file, by whatever name.
    assert!(matches!(CsvFile::open(&cloud.join("real.csv")), Err(FileError::Locked { .. })));
    drop(file);
    assert_eq!(names(&cloud), ["real.csv", "real.csv.bak"]);
    assert_eq!(names(folder.path()), ["cloud", "link.csv"]);
}

#[test]
fn one_run_at_a_time_and_a_killed_one_blocks_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    let first = CsvFile::open(&path).unwrap();
    let error = CsvFile::open(&path).unwrap_err();
    assert!(error.to_string().contains("another run is at work"), "{error}");
    drop(first);
    // What a kill leaves behind: the lock's file, free, and an unfinished successor.
    fs::write(folder.path().join("a.csv.lock"), "").unwrap();
    fs::write(folder.path().join(".a.csv.x1y2z3.vorhoelle-tmp"), "half").unwrap();
    fs::write(folder.path().join(".a.csv.b.csv.x1y2z3.vorhoelle-tmp"), "another's").unwrap();
    drop(CsvFile::open(&path).unwrap());
    assert_eq!(names(folder.path()), [".a.csv.b.csv.x1y2z3.vorhoelle-tmp"]);
}

#[test]
fn a_file_is_looked_at_beside_another_run_and_nothing_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    fs::write(&path, "old").unwrap();
    let _at_work = CsvFile::open(&path).unwrap();
    fs::write(folder.path().join(".a.csv.x1y2z3.vorhoelle-tmp"), "half").unwrap();
    let before = names(folder.path());
    let file = CsvFile::look_at(&path).unwrap();
    assert_eq!(file.read().unwrap().unwrap().0, b"old");
    drop(file);
    assert_eq!(names(folder.path()), before);
}

#[test]
fn a_file_that_is_open_in_a_spreadsheet_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    fs::write(&path, "old").unwrap();
    let file = CsvFile::open(&path).unwrap();
    let (_, read) = file.read().unwrap().unwrap();
    for (name, note, words) in [
        (".~lock.a.csv#", ",anna,laptop,07.02.2026 10:30,file:///home/anna;", "LibreOffice (anna)"),
        ("~$a.csv", "", "Excel"),
    ] {
        // The second name of LibreOffice's note is the user of the system, the first the one of its settings.
        fs::write(folder.path().join(name), note).unwrap();
        let error = file.replace(Some(&read), put(b"new")).unwrap_err().to_string();
        assert!(error.contains(&format!("is open in {words}: please save and close it")), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"old");
        fs::remove_file(folder.path().join(name)).unwrap();
    }
    file.replace(Some(&read), put(b"new")).unwrap();
}

#[test]
fn a_read_only_file_is_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    fs::write(&path, "old").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
    let file = CsvFile::open(&path).unwrap();
    let (_, read) = file.read().unwrap().unwrap();
    assert!(matches!(file.replace(Some(&read), put(b"new")), Err(FileError::ReadOnly { .. })));
}

#[test]
fn what_gave_way_is_kept_beside_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    let file = CsvFile::open(&path).unwrap();
    let now: Timestamp = "2026-02-07T10:30:00Z".parse().unwrap();
    let conflict = |file: &str| Conflict {
        field: Field::Notes,
        file: file.to_owned(),
        gitlab: "=1+1".to_owned(),
        reason: Reason::BothChanged,
    };
    let german = Table::read(b"Titel;Notizen\r\nM\xfcller;\r\n".to_vec()).unwrap().dialect().clone();
    let first = conflict("grün;\n\"so\"");
    file.keep_conflicts(&[], &german, now).unwrap();
    assert!(!file.conflicts_path().exists());
    file.keep_conflicts(&[Lost { line: 3, iid: Some(12), conflict: &first }], &german, now).unwrap();
    let expected: &[u8] = b"Zeit;Zeile;iid;Feld;Wert der Datei;Wert in GitLab\r\n\
        2026-02-07T10:30:00Z;3;12;notes;\"gr\xfcn;\n\"\"so\"\"\";'=1+1\r\n";
    assert_eq!(fs::read(file.conflicts_path()).unwrap(), expected);
    // Another run, with what Windows-1252 has no byte for, from a file that is written otherwise by now.
    let second = conflict("Łódź");
    let english = Dialect::of_a_new_file(Language::En);
    file.keep_conflicts(&[Lost { line: 4, iid: None, conflict: &second }], &english, now).unwrap();
    let text = fs::read_to_string(file.conflicts_path()).unwrap();
    assert!(text.starts_with("\u{feff}Zeit;"), "{text}");
    assert!(
        text.contains("\"grün;\n") && text.ends_with("2026-02-07T10:30:00Z;4;;notes;Łódź;'=1+1\r\n"),
        "{text}"
    );
    assert_eq!(file.conflicts_path(), fs::canonicalize(folder.path()).unwrap().join("a.csv.conflicts.csv"));
}

/// Stands in for a run; the next test starts it and kills it.
#[test]
#[ignore = "runs until it is killed"]
fn replaces_until_it_is_killed() {
    let Ok(path) = std::env::var("CSV_FILES_KILLED") else { return };
    let file = CsvFile::open(Path::new(&path)).unwrap();
    let mut read = file.read().unwrap().unwrap().1;
    for letter in (b'a'..=b'z').cycle() {
        file.replace(Some(&read), put(&[letter; 200_000])).unwrap();
        read = file.read().unwrap().unwrap().1;
    }
}

#[test]
fn a_kill_at_any_point_leaves_a_whole_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    fs::write(&path, [b'-'; 200_000]).unwrap();
    for round in 0..20 {
        let mut run = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "disk::replaces_until_it_is_killed", "--ignored"])
            .env("CSV_FILES_KILLED", &path)
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(std::time::Duration::from_millis(15 + 3 * round));
        run.kill().unwrap();
        run.wait().unwrap();
        for name in ["a.csv", "a.csv.bak"] {
            let Ok(bytes) = fs::read(folder.path().join(name)) else {
                assert_eq!(name, "a.csv.bak", "the file is always there");
                continue;
            };
            assert!(bytes.len() == 200_000 && bytes.iter().all(|byte| *byte == bytes[0]), "{name}");
        }
    }
    drop(CsvFile::open(&path).unwrap());
    assert_eq!(names(folder.path()), ["a.csv", "a.csv.bak"]);
}

/// Killed between the backup and the new file, the two have one content under two names.
#[cfg(unix)]
#[test]
fn a_backup_that_is_the_file_itself_is_not_written_into() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    fs::write(&path, "first").unwrap();
    for name in ["a.csv.bak", "kept"] {
        fs::hard_link(&path, folder.path().join(name)).unwrap();
    }
    let file = CsvFile::open(&path).unwrap();
    let read = file.read().unwrap().unwrap().1;
    file.replace(Some(&read), put(b"second")).unwrap();
    let read = file.read().unwrap().unwrap().1;
    file.replace(Some(&read), put(b"third")).unwrap();
    drop(file);
    let said = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    assert_eq!(
        (said("a.csv"), said("a.csv.bak"), said("kept")),
        ("third".into(), "second".into(), "first".into())
    );
    assert_eq!(names(folder.path()), ["a.csv", "a.csv.bak", "kept"]);
}

#[test]
fn a_file_that_was_there_is_never_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    assert!(CsvFile::open(&path).unwrap().read().unwrap().is_none());
    let file = CsvFile::open(&path).unwrap().that_was_there();
    assert!(matches!(file.read(), Err(FileError::Missing { .. })));
    assert!(matches!(file.replace(None, put(b"x")), Err(FileError::Missing { .. })));
    assert!(!path.exists());
}

//! One run at a time, and none while a spreadsheet has the file open.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::file::FileError;

/// The claim on a file: `FILE.lock` beside it, locked by the operating system and therefore free again however a run
/// ends. The file itself goes away with the claim; one that a killed run left behind does no harm.
#[derive(Debug)]
pub(super) struct Lock {
    path: PathBuf,
    file: File,
}

impl Lock {
    /// Claims the file.
    pub fn take(target: &Path) -> Result<Self, FileError> {
        let path = beside(target, ".lock");
        // Whoever holds the lock takes the file away at the end; who has just opened it then holds a lock on nothing
        // and tries again.
        for _ in 0..100 {
            let failed = |error| FileError::Io { path: path.clone(), doing: "locked", error };
            let file = OpenOptions::new()
                .create(true)
                .truncate(false)
                .read(true)
                .write(true)
                .open(&path)
                .map_err(failed)?;
            match file.try_lock() {
                Ok(()) if is_at(&file, &path) => return Ok(Self { path, file }),
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(FileError::Locked { path }),
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
        }
        Err(FileError::Locked { path })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Elsewhere than on Unix an open file cannot be taken away, and is left.
        #[cfg(unix)]
        let _ = std::fs::remove_file(&self.path);
        let _ = self.file.unlock();
    }
}

/// Whether the open file is still the one of this name.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(open), Ok(there)) => open.dev() == there.dev() && open.ino() == there.ino(),
        _ => false,
    }
}

/// Whether the open file is still the one of this name; nobody takes it away here.
#[cfg(not(unix))]
const fn is_at(_: &File, _: &Path) -> bool {
    true
}

/// Who has the file open in a spreadsheet, in words, as far as their programs leave a note beside it.
///
/// LibreOffice and its kin write `.~lock.NAME#` with the name of the user, Excel `~$NAME`.
pub(super) fn opened_by(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let libre_office = path.with_file_name(format!(".~lock.{name}#"));
    match std::fs::read(&libre_office) {
        Ok(note) => return Some(words("LibreOffice", &String::from_utf8_lossy(&note))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(_) => return Some("LibreOffice".to_owned()),
    }
    let excel = path.with_file_name(format!("~${name}"));
    excel.symlink_metadata().is_ok().then(|| "Excel".to_owned())
}

/// The program, and whom its note names: `,anna,host,07.02.2026 10:30,file:///…;`.
fn words(program: &str, note: &str) -> String {
    let names: Vec<String> = note
        .split(',')
        .take(2)
        .map(|name| name.chars().filter(|c| !c.is_control()).take(60).collect::<String>())
        .filter(|name| !name.trim().is_empty())
        .collect();
    match names.last() {
        Some(name) => format!("{program} ({})", name.trim()),
        None => program.to_owned(),
    }
}

/// The path with something behind its name.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(ending);
    path.with_file_name(name)
}

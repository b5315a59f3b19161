//! The file on disk: read with a fingerprint, replaced as a whole or not at all.
//!
//! Beside `FILE` there may be `FILE.bak`, the file as it was before the last replacement; `FILE.lock` during a run;
//! `FILE.conflicts.csv` with what gave way to GitLab. All four lie in the folder of the file that a symlink leads to.
//! Mode and, where the system allows it, owner and group are kept; access lists and hard links are not.

use std::fs::{self, File, Metadata, Permissions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use super::lock::{Lock, beside, opened_by};

/// How often a file is read that changes meanwhile.
const TRIES: usize = 5;
/// How many symlinks are followed.
const LINKS: usize = 40;
/// How much is written at once, at least.
const PIECE: usize = 64 << 10;
/// The ending of a file in the making. One that a killed run left is taken away by the next.
const UNFINISHED: &str = ".vorhoelle-tmp";

/// Why a file cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Another run has it.
    #[error("{path}: another run is at work on this file; try again when it is done", path = path.display())]
    Locked {
        /// The file of the lock.
        path: PathBuf,
    },
    /// A spreadsheet has it open.
    #[error("{path} is open in {program}: please save and close it there, then try again", path = path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// The program, and whoever runs it.
        program: String,
    },
    /// Somebody else wrote it since it was read.
    #[error("{path} was changed meanwhile; it is left as it is and has to be read again", path = path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// Nobody may write it.
    #[error("{path} is read-only; allow writing into it, or take a copy", path = path.display())]
    ReadOnly {
        /// The file.
        path: PathBuf,
    },
    /// There is no such file.
    #[error("{path}: there is no such file", path = path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The system refuses.
    #[error("{path} cannot be {doing}: {error}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What cannot be done with it.
        doing: &'static str,
        /// What the system says.
        error: io::Error,
    },
}

/// What a file was when it was read. Size and time find most changes, the hash finds the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// Bytes.
    pub size: u64,
    /// When it was last written, where the system knows.
    pub modified: Option<SystemTime>,
    /// SHA-256 of what is in it.
    pub hash: [u8; 32],
}

impl Fingerprint {
    fn of(bytes: &[u8], metadata: &Metadata) -> Self {
        Self { size: metadata.len(), modified: metadata.modified().ok(), hash: Sha256::digest(bytes).into() }
    }

    const fn written(&self) -> Written {
        Written { size: self.size, modified: self.modified }
    }

    /// Whether both are of the same content. A file that was only touched is not changed.
    pub fn is_same_content(&self, other: &Self) -> bool {
        self.size == other.size && self.hash == other.hash
    }
}

/// What a file was when it had been written, as far as the system tells without reading it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Bytes.
    pub size: u64,
    /// When it was last written, where the system knows.
    pub modified: Option<SystemTime>,
}

impl Written {
    /// What the file of this name is now; none where it is not there.
    pub fn now(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().map(|metadata| Self::from(&metadata))
    }
}

impl From<&Metadata> for Written {
    fn from(metadata: &Metadata) -> Self {
        Self { size: metadata.len(), modified: metadata.modified().ok() }
    }
}

/// A file that this run alone works on, or only looks at.
#[derive(Debug)]
pub struct CsvFile {
    given: PathBuf,
    path: PathBuf,
    must_be_there: bool,
    /// What it has to be for us to read it, where that matters.
    must_be: Option<Written>,
    /// None where the file is only looked at.
    _lock: Option<Lock>,
}

impl CsvFile {
    /// Claims a file, which need not be there yet.
    ///
    /// # Errors
    ///
    /// Where another run has it, or nothing can be written beside it.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let target = resolved(path)?;
        let lock = Lock::take(&target)?;
        remove_unfinished(&target);
        Ok(Self::at(path, target, Some(lock)))
    }

    /// A file that is only to be looked at: nothing is written beside it, and another run may be at work on it.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn look_at(path: &Path) -> Result<Self, FileError> {
        Ok(Self::at(path, resolved(path)?, None))
    }

    fn at(given: &Path, path: PathBuf, lock: Option<Lock>) -> Self {
        Self { given: given.to_owned(), path, must_be_there: false, must_be: None, _lock: lock }
    }

    /// A file that was there before and is not to be made anew: editors save by taking it away for a moment.
    #[must_use]
    pub const fn that_was_there(mut self) -> Self {
        self.must_be_there = true;
        self
    }

    /// Whether it is one that was there before.
    pub const fn must_be_there(&self) -> bool {
        self.must_be_there
    }

    /// A file of which it is known that nobody was writing it when it was this: should it have become something else by the
    /// time that it is read, it may be half of what somebody is saving.
    #[must_use]
    pub const fn as_it_was(mut self, was: Written) -> Self {
        self.must_be = Some(was);
        self
    }

    /// Where the file is, behind all symlinks.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the file of before the last replacement is kept.
    pub fn backup_path(&self) -> PathBuf {
        beside(&self.path, ".bak")
    }

    /// Where values are kept that gave way to GitLab's.
    pub fn conflicts_path(&self) -> PathBuf {
        beside(&self.path, ".conflicts.csv")
    }

    /// Reads the file; `None` where there is none.
    ///
    /// # Errors
    ///
    /// What the system says, that somebody writes it all the time, or that it is gone or another although it was to be
    /// there or as it was.
    pub fn read(&self) -> Result<Option<(Vec<u8>, Fingerprint)>, FileError> {
        let is_another = |now: &Fingerprint| self.must_be.is_some_and(|was| was != now.written());
        match read(&self.path)? {
            None if self.must_be_there => Err(FileError::Missing { path: self.given.clone() }),
            Some((_, now)) if is_another(&now) => Err(FileError::Changed { path: self.path.clone() }),
            read => Ok(read),
        }
    }

    /// Refuses where a spreadsheet has the file open: it would not see our changes, and overwrite them.
    ///
    /// # Errors
    ///
    /// Which program, and whose.
    pub fn check_closed(&self) -> Result<(), FileError> {
        match opened_by(&self.given).or_else(|| opened_by(&self.path)) {
            Some(program) => Err(FileError::Open { path: self.given.clone(), program }),
            None => Ok(()),
        }
    }

    /// Whether the file could be replaced.
    ///
    /// # Errors
    ///
    /// Where it is read-only.
    pub fn check_writable(&self) -> Result<(), FileError> {
        self.writable().map(drop)
    }

    fn writable(&self) -> Result<Option<Metadata>, FileError> {
        let old = metadata(&self.path)?;
        if old.as_ref().is_some_and(|old| old.permissions().readonly()) {
            return Err(FileError::ReadOnly { path: self.path.clone() });
        }
        Ok(old)
    }

    /// Replaces the file as a whole and tells what it is now. `expected` is what was read; none is a new file.
    ///
    /// The new content is written and synced under another name in the same folder; then the old file becomes the
    /// backup, and one rename puts the new one in its place. Killed anywhere, `FILE` is the old one or the new one.
    ///
    /// # Errors
    ///
    /// Where the file is open in a spreadsheet, read-only or no longer what was read, and what the system says. The
    /// file is as it was then.
    pub fn replace(
        &self,
        expected: Option<&Fingerprint>,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<Written, FileError> {
        self.check_closed()?;
        let old = self.writable()?;
        let new = self.unfinished(old.as_ref(), write)?;
        self.check_unchanged(expected)?;
        // Of an empty file there is nothing to keep; what there was before it may be all that is left.
        if old.is_some_and(|old| old.len() > 0 || !self.backup_path().exists()) {
            self.keep_backup()?;
        }
        let failed = |error| self.failed("replaced", error);
        // Once it is there somebody may write it at once, and that is theirs.
        let written = Written::from(&new.as_file().metadata().map_err(failed)?);
        new.persist(&self.path).map_err(|error| failed(error.error))?;
        sync_folder(&self.path).map_err(failed)?;
        Ok(written)
    }

    /// Replaces the file of conflicts; it is ours alone and needs no backup.
    pub(super) fn replace_conflicts(&self, bytes: &[u8]) -> Result<(), FileError> {
        let path = self.conflicts_path();
        let failed = |error| FileError::Io { path: path.clone(), doing: "written", error };
        // Whoever may read the file may read what gave way in it.
        let like = metadata(&path)?.or(metadata(&self.path)?);
        let new = self.unfinished(like.as_ref(), |writer| writer.write_all(bytes))?;
        new.persist(&path).map_err(|error| failed(error.error))?;
        sync_folder(&path).map_err(failed)
    }

    /// The new content under another name, whole and on disk, with the owner and mode of the old file.
    fn unfinished(
        &self,
        old: Option<&Metadata>,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<NamedTempFile, FileError> {
        let failed = |error| self.failed("written", error);
        let prefix = unfinished_prefix(&self.path);
        let mut builder = tempfile::Builder::new();
        builder.prefix(&prefix).suffix(UNFINISHED);
        let fresh = fresh_permissions();
        // A new file is for whomever the system's mask lets in; another is for nobody until it has the old one's mode.
        if let (None, Some(fresh)) = (old, &fresh) {
            builder.permissions(fresh.clone());
        }
        let file = builder.tempfile_in(folder(&self.path)).map_err(failed)?;
        let mut writer = BufWriter::with_capacity(PIECE, file.as_file());
        write(&mut writer).and_then(|()| writer.flush()).map_err(failed)?;
        drop(writer);
        if let Some(old) = old {
            keep_owner(&file, old);
            file.as_file().set_permissions(old.permissions()).map_err(failed)?;
        }
        file.as_file().sync_all().map_err(failed)?;
        Ok(file)
    }

    /// Whether the file is still what was read.
    fn check_unchanged(&self, expected: Option<&Fingerprint>) -> Result<(), FileError> {
        let same = match (expected, self.read()?) {
            (None, None) => true,
            (Some(expected), Some((_, now))) => expected.is_same_content(&now),
            _ => false,
        };
        if same { Ok(()) } else { Err(FileError::Changed { path: self.path.clone() }) }
    }

    /// Makes the file the backup while it stays where it is. A second name for the same file is best: should a
    /// program still write into it, that is in the backup.
    fn keep_backup(&self) -> Result<(), FileError> {
        let failed = |error| self.failed("backed up", error);
        let mut name = unfinished_prefix(&self.path);
        name.push("bak");
        name.push(UNFINISHED);
        let second = self.path.with_file_name(name);
        if fs::hard_link(&self.path, &second).is_err() {
            fs::copy(&self.path, &second).map_err(failed)?;
            File::open(&second).and_then(|copy| copy.sync_all()).map_err(failed)?;
        }
        fs::rename(&second, self.backup_path()).map_err(failed)?;
        // Where a killed run has made the file its own backup, both names were of one file, and a rename leaves both:
        // what is copied there the next time would be written into the backup.
        match fs::remove_file(&second) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
            _ => Ok(()),
        }
    }

    fn failed(&self, doing: &'static str, error: io::Error) -> FileError {
        FileError::Io { path: self.path.clone(), doing, error }
    }
}

/// Reads a file without a claim on it; `None` where there is none.
///
/// # Errors
///
/// What the system says, or that somebody writes it all the time.
pub fn read(path: &Path) -> Result<Option<(Vec<u8>, Fingerprint)>, FileError> {
    for _ in 0..TRIES {
        let Some(before) = metadata(path)? else { return Ok(None) };
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(FileError::Io { path: path.to_owned(), doing: "read", error }),
        };
        // Somebody who writes while we read leaves another time or size.
        let same = |after: &Metadata| {
            after.len() == bytes.len() as u64 && after.modified().ok() == before.modified().ok()
        };
        if let Some(after) = metadata(path)?
            && same(&after)
        {
            let fingerprint = Fingerprint::of(&bytes, &after);
            return Ok(Some((bytes, fingerprint)));
        }
    }
    Err(FileError::Changed { path: path.to_owned() })
}

/// What the system knows of a file; `None` where there is none.
fn metadata(path: &Path) -> Result<Option<Metadata>, FileError> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(FileError::Io { path: path.to_owned(), doing: "read", error }),
    }
}

/// The file behind all symlinks, which need not be there yet.
fn resolved(path: &Path) -> Result<PathBuf, FileError> {
    let failed = |error| FileError::Io { path: path.to_owned(), doing: "found", error };
    let mut place = path.to_owned();
    for _ in 0..LINKS {
        match fs::read_link(&place) {
            Ok(next) => place = folder(&place).join(next),
            Err(_) => {
                let name = place.file_name().ok_or_else(|| FileError::Missing { path: path.to_owned() })?;
                return Ok(fs::canonicalize(folder(&place)).map_err(failed)?.join(name));
            }
        }
    }
    Err(failed(io::Error::other("too many symbolic links")))
}

/// The folder that a file is in.
fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// How the names of a file's unfinished successors begin.
fn unfinished_prefix(path: &Path) -> std::ffi::OsString {
    let mut prefix = std::ffi::OsString::from(".");
    prefix.push(path.file_name().unwrap_or_default());
    prefix.push(".");
    prefix
}

/// Takes away what a killed run left unfinished. Only who holds the lock may.
fn remove_unfinished(path: &Path) {
    let prefix = unfinished_prefix(path);
    let Ok(entries) = fs::read_dir(folder(path)) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let bytes = name.as_encoded_bytes();
        // What stands between the two is without points, or it belongs to a file with a longer name.
        let ours = bytes
            .strip_prefix(prefix.as_encoded_bytes())
            .and_then(|rest| rest.strip_suffix(UNFINISHED.as_bytes()))
            .is_some_and(|random| !random.contains(&b'.'));
        if ours {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Makes sure that a new name is on disk.
fn sync_folder(path: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder(path))?.sync_all() } else { Ok(()) }
}

/// The mode of a new file, before the system's mask.
#[cfg(unix)]
fn fresh_permissions() -> Option<Permissions> {
    use std::os::unix::fs::PermissionsExt;
    Some(Permissions::from_mode(0o666))
}

/// The mode of a new file is left to the system.
#[cfg(not(unix))]
const fn fresh_permissions() -> Option<Permissions> {
    None
}

/// Gives the new file the owner of the old one, as far as the system allows; only root may give files away.
#[cfg(unix)]
fn keep_owner(file: &NamedTempFile, old: &Metadata) {
    use std::os::unix::fs::{MetadataExt, fchown};
    if fchown(file, Some(old.uid()), Some(old.gid())).is_err() {
        let _ = fchown(file, None, Some(old.gid()));
    }
}

/// Owners are left to the system.
#[cfg(not(unix))]
const fn keep_owner(_: &NamedTempFile, _: &Metadata) {}

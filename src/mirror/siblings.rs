//! What stands beside a mirror's file: SQLite's own files and ours, mirrors that commands made for themselves, and those that
//! were moved aside.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::domain::hex;

/// What the name of a mirror that was moved aside ends with.
const ASIDE: &str = ".unusable";
/// How many digits name the owner of a mirror that a command made for itself.
const DIGITS: usize = 8;

/// Where a command keeps its own mirror where that of the settings is of no use to it.
pub(super) fn beside(database: &Path, owner: &str) -> PathBuf {
    with_suffix(database, &format!(".{}", hex(&Sha256::digest(owner)[..DIGITS / 2])))
}

/// Where a mirror goes that cannot be used.
pub(super) fn laid_aside(database: &Path) -> PathBuf {
    with_suffix(database, ASIDE)
}

pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// The files of earlier mirrors: what was moved aside, and what commands made for themselves for a project of one of these
/// names, but for the one at `open`. Another project's knows nothing of this one's people, and its spreadsheets need it.
pub(super) fn earlier(database: &Path, open: &Path, owners: &[&str]) -> Vec<PathBuf> {
    let ours: Vec<PathBuf> = owners.iter().map(|owner| beside(database, owner)).collect();
    let is_ours = |ending: &str| {
        let of_a_command =
            ending.get(..=DIGITS).is_some_and(|own| ours.contains(&with_suffix(database, own)));
        of_a_command && is_of_a_commands_mirror(ending)
    };
    let is_open = |ending: &str| {
        let of_a_command = ending.get(..=DIGITS).is_some_and(|own| with_suffix(database, own) == open);
        of_a_command && !ending.ends_with(ASIDE)
    };
    let earlier = |ending: &String| (ending == ASIDE || is_ours(ending)) && !is_open(ending);
    endings(database).into_iter().filter(earlier).map(|ending| with_suffix(database, &ending)).collect()
}

/// Whether a name ends as that of a mirror that a command made for itself, or of a file of it.
fn is_of_a_commands_mirror(ending: &str) -> bool {
    let parts = ending.strip_prefix('.').and_then(|rest| rest.split_at_checked(DIGITS));
    parts.is_some_and(|(owner, rest)| {
        let is_owner = owner.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        is_owner && (rest.is_empty() || rest == ASIDE || is_kept_beside(rest))
    })
}

/// Whether a name ends as those that SQLite, or a process of ours, keeps beside the file that it has open.
fn is_kept_beside(ending: &str) -> bool {
    matches!(ending, "-wal" | "-shm" | "-serve") || ending.starts_with("-tracker-")
}

/// How the names go on that begin with this file's.
fn endings(database: &Path) -> Vec<String> {
    let folder = database.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = database.file_name().map(OsStr::as_encoded_bytes).unwrap_or_default();
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let ending = |file: std::fs::DirEntry| {
        let file = file.file_name();
        let ending = file.as_encoded_bytes().strip_prefix(name)?;
        String::from_utf8(ending.to_owned()).ok()
    };
    files.filter_map(ending).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn earlier_mirrors_are_told_from_files_of_others() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("m.sqlite");
        let make = |ending: &String| std::fs::write(with_suffix(&database, ending), "").unwrap();
        let of = |owner: &str, rest: &str| {
            let path = with_suffix(&beside(&database, owner), rest);
            path.to_string_lossy()[database.as_os_str().len()..].to_owned()
        };
        let mut earlier_ones = [
            of("one", ""),
            of("one", "-shm"),
            of("one", "-wal"),
            of("two", ".unusable"),
            ".unusable".to_owned(),
        ];
        let others =
            ["", "-wal", "-shm", "-serve", "-tracker-3", ".bak", ".20261123", ".2026-11-23", ".ÄÄÄÄ"];
        let others =
            others.map(str::to_owned).into_iter().chain([of("another's", ""), of("another's", "-wal")]);
        let open = [of("two", ""), of("two", "-wal"), of("two", "-serve")];
        earlier_ones.iter().chain(&others.collect::<Vec<_>>()).chain(&open).for_each(make);
        let found = |at: &str| {
            let all = earlier(&database, &with_suffix(&database, at), &["one", "two"]);
            let mut all: Vec<String> = all
                .iter()
                .map(|path| path.to_string_lossy()[database.as_os_str().len()..].to_owned())
                .collect();
            all.sort();
            all
        };
        earlier_ones.sort();
        assert_eq!(found(&open[0]), earlier_ones);
        let mut all: Vec<String> = earlier_ones.into_iter().chain(open).collect();
        all.sort();
        assert_eq!(found(""), all);
    }
}

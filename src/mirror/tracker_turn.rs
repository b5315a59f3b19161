//! One process at a time edits the tracker's comment of a match: a command knows nothing of the locks of the service beside
//! it, and either writes the comment as a whole. The system ends a turn with its process, however that ends.

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::Path;

use super::{Mirror, with_suffix};

/// How many files stand for all matches: those that share one wait for each other.
const FILES: u64 = 16;

/// The turn of this process, until it is dropped.
#[derive(Debug, Default)]
pub struct TrackerTurn {
    /// Locked for as long as it is open; none where this file system has no locks.
    _file: Option<File>,
}

impl Mirror {
    /// The turn at the tracker's comment of a match; none while another process has it.
    pub fn tracker_turn(&self, iid: u64) -> Option<TrackerTurn> {
        let path = with_suffix(&self.path, &format!("-tracker-{}", iid % FILES));
        let file = match open(&path, &self.path) {
            Ok(file) => file,
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "processes on one disk cannot wait for each other");
                return Some(TrackerTurn::default());
            }
        };
        match file.try_lock() {
            Ok(()) => Some(TrackerTurn { _file: Some(file) }),
            Err(TryLockError::WouldBlock) => None,
            Err(TryLockError::Error(_)) => Some(TrackerTurn::default()),
        }
    }
}

/// Opens the file of a turn, and makes it where it is not there. It belongs to whom the mirror belongs: a command that
/// somebody runs as root must not keep the service out.
fn open(path: &Path, mirror: &Path) -> io::Result<File> {
    let mut options = File::options();
    let file = options.write(true).create(true).truncate(false).mode(0o600).open(path)?;
    if let Ok(owner) = std::fs::metadata(mirror) {
        let _ = fchown(&file, Some(owner.uid()), Some(owner.gid()));
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mirror::{Care, Shown};

    #[test]
    fn a_turn_is_one_processs_until_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let open = || {
            let shown = Shown { form: 1, cells: |record| record.job.title.clone() };
            Mirror::open(&folder.path().join("mirror.sqlite"), "me", shown, Care::Whole).unwrap().0
        };
        let (mirror, other) = (open(), open());
        let turn = mirror.tracker_turn(1).unwrap();
        assert!(other.tracker_turn(1).is_none(), "it is taken");
        assert!(other.tracker_turn(2).is_some(), "of another match it is not");
        drop(turn);
        assert!(other.tracker_turn(1).is_some());
    }
}

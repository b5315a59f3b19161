//! One process at a time edits the tracker's comment of a match: a command knows nothing of the locks of the service beside
//! it, and either writes the comment as a whole. The system ends a turn with its process, however that ends.

use std::fs::File;
use std::path::Path;

use super::{Mirror, with_suffix};

/// How many files stand for all matches: those that share one wait for each other.
const FILES: u64 = 16;

/// The turn of this process, until it is dropped.
#[derive(Debug)]
pub struct TrackerTurn {
    /// Locked for as long as it is open; none where this file system has no locks.
    _file: Option<File>,
}

impl TrackerTurn {
    fn take(path: &Path) -> Self {
        use std::os::unix::fs::OpenOptionsExt as _;
        let mut options = File::options();
        let file = options.write(true).create(true).truncate(false).mode(0o600).open(path).ok();
        Self { _file: file.filter(|file| file.lock().is_ok()) }
    }
}

impl Mirror {
    /// Waits, and blocks its thread, until no other process on this mirror edits the tracker's comment of a match. Nothing
    /// else may be waited for under it but GitLab and the disk.
    pub fn tracker_turn(&self, iid: u64) -> TrackerTurn {
        TrackerTurn::take(&with_suffix(&self.path, &format!("-tracker-{}", iid % FILES)))
    }
}

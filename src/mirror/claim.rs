//! One service works on a mirror's file at a time, unless two overlap as in a rolling deploy on one volume: then the later one
//! knows that it is not alone. The system ends a claim with its process, however that ends.

use std::fs::{File, TryLockError};
use std::path::Path;

use super::with_suffix;

/// Whether this process is the one service that works on a mirror.
#[derive(Debug)]
pub(super) enum Claim {
    /// It is none: a command looks into it.
    Unasked,
    /// It is.
    #[expect(dead_code, reason = "the file is locked for as long as it is open")]
    Held(File),
    /// Another is.
    Taken,
    /// This file system has no locks.
    Unknown,
}

impl Claim {
    /// Asks for the mirror at this path.
    pub(super) fn ask(path: &Path) -> Self {
        use std::os::unix::fs::OpenOptionsExt as _;
        let mut options = File::options();
        let file =
            options.write(true).create(true).truncate(false).mode(0o600).open(with_suffix(path, "-serve"));
        match file.map(|file| (file.try_lock(), file)) {
            Ok((Ok(()), file)) => Self::Held(file),
            Ok((Err(TryLockError::WouldBlock), _)) => Self::Taken,
            Ok((Err(TryLockError::Error(_)), _)) | Err(_) => Self::Unknown,
        }
    }

    /// Whether another service has it.
    pub(super) const fn is_taken(&self) -> bool {
        matches!(self, Self::Taken)
    }
}

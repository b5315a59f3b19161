//! Mails as files in a folder, in place of a server: for the demo, for tests, and for those who send them themselves.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::Outcome;

/// A folder of `.eml` files.
#[derive(Clone, Debug)]
pub struct MailFolder {
    folder: PathBuf,
}

impl MailFolder {
    /// A folder; it is made when the first mail is written.
    pub const fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Writes a message. The name comes from the message's id, so that a repeat takes the place of the first.
    pub fn send(&self, message_id: &str, recipient: usize, message: &[u8]) -> Outcome {
        let local = message_id.trim_start_matches('<').split('@').next().unwrap_or_default();
        let plain: String = local
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') { c } else { '_' })
            .collect();
        let name = if recipient == 0 { format!("{plain}.eml") } else { format!("{plain}.{recipient}.eml") };
        match self.write(&name, message) {
            Ok(()) => Outcome::Sent { id: None },
            Err(error) => Outcome::TryAgain {
                after: None,
                reason: format!(
                    "the mail cannot be written to {}: {error}; is the folder of VORHOELLE_MAIL_FILE_DIR writable?",
                    self.folder.display()
                ),
                unclear: false,
            },
        }
    }

    /// Whole or not at all.
    fn write(&self, name: &str, message: &[u8]) -> std::io::Result<()> {
        std::fs::create_dir_all(&self.folder)?;
        let mut file = tempfile::Builder::new().prefix(".writing-").tempfile_in(&self.folder)?;
        file.write_all(message)?;
        file.as_file().sync_data()?;
        file.persist(self.folder.join(name)).map_err(|error| error.error)?;
        Ok(())
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.folder
    }
}

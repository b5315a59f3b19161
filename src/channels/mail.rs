//! How mails leave: through a server, Gmail, or into a folder.

use lettre::address::Envelope;

use super::gmail::Gmail;
use super::mime::Mail;
use super::{MailFolder, Outcome, Smtp};
use crate::clock::Clock;
use crate::config::Mailer;

/// A way for mails to leave.
pub struct MailSender {
    way: Way,
}

enum Way {
    Smtp(Smtp),
    Folder(MailFolder),
    Gmail(Gmail),
}

impl MailSender {
    /// The way that the settings name.
    ///
    /// # Errors
    ///
    /// Where TLS cannot be set up.
    pub fn new(mailer: &Mailer, clock: &Clock) -> anyhow::Result<Self> {
        let way = match mailer {
            Mailer::Smtp(smtp) => Way::Smtp(Smtp::new(smtp.clone())),
            Mailer::Folder(folder) => Way::Folder(MailFolder::new(folder.clone())),
            Mailer::Gmail(gmail) => Way::Gmail(Gmail::new(gmail.clone(), clock.clone())?),
        };
        Ok(Self { way })
    }

    /// Hands one mail over; `recipient` tells copies of it to several people apart.
    pub async fn hand_over(&self, mail: &Mail, recipient: usize) -> Outcome {
        let message = match mail.compose() {
            Ok(message) => message,
            Err(error) => {
                return Outcome::GiveUp { reason: format!("the mail cannot be put together: {error}") };
            }
        };
        let envelope: &Envelope = message.envelope();
        match &self.way {
            Way::Smtp(smtp) => smtp.send(envelope, &message.formatted()).await,
            Way::Folder(folder) => folder.send(&mail.message_id, recipient, &message.formatted()),
            Way::Gmail(gmail) => gmail.send(&message.formatted()).await,
        }
    }

    /// Asks the other side whether it would take a mail, and sends none.
    pub async fn check(&self) -> Outcome {
        match &self.way {
            Way::Smtp(smtp) => smtp.check().await,
            Way::Gmail(gmail) => gmail.check().await,
            Way::Folder(_) => Outcome::Sent { id: None },
        }
    }
}

//! The ways out, for messages to the reviewer and applications alike: each takes a message and says what became of it.

pub mod gmail;
pub mod google_oauth;
pub(crate) mod http;
pub mod mail;
mod mail_folder;
pub mod mime;
pub mod slack;
mod smtp;
pub mod whatsapp;

use std::time::Duration;

pub use mail_folder::MailFolder;
pub use smtp::Smtp;

/// What became of a message that was handed to a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The other side has it.
    Sent {
        /// What it calls it: Gmail's Message-ID in place of ours, Twilio's SID.
        id: Option<String>,
    },
    /// The other side does not have it, or nobody knows; trying again is worth it.
    TryAgain {
        /// How long the other side asks to wait.
        after: Option<Duration>,
        /// Why, in words for people.
        reason: String,
        /// Whether the other side may have it all the same: then trying again may repeat it.
        unclear: bool,
    },
    /// The other side does not have it, and will not before a person has done something.
    GiveUp {
        /// What is wrong and what to do, in words for people.
        reason: String,
    },
}

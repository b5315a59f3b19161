//! The channels that are set up, each with what it needs to send.

use std::collections::BTreeMap;

use jiff::Timestamp;
use lettre::address::Envelope;
use lettre::message::Mailbox;

use super::channels::{MailFolder, Outcome, Smtp};
use super::mime::Mail;
use super::{Notice, render};
use crate::config::{ChannelSettings, MailSettings, Mailer};
use crate::domain::Channel;
use crate::templates::Templates;

/// A message on its way: what it says, and what makes a repeat of it recognisable.
pub(super) struct Message<'a> {
    /// What it says.
    pub notice: &'a Notice,
    /// The same for a repeat: letters, digits, points and hyphens.
    pub id: &'a str,
    /// The ids of the messages that it belongs to.
    pub references: &'a [String],
    /// When it was written.
    pub at: Timestamp,
    /// Recipients, by their place, who are done with.
    pub done: &'a mut Vec<usize>,
}

/// One way out.
pub(super) enum Sender {
    Mail(MailSender),
}

pub(super) struct MailSender {
    from: Mailbox,
    to: Vec<Mailbox>,
    way: MailWay,
}

enum MailWay {
    Smtp(Smtp),
    Folder(MailFolder),
}

impl Sender {
    /// The ways out that are set up.
    pub(super) fn all(settings: &ChannelSettings) -> BTreeMap<Channel, Self> {
        let mail = settings.mail.as_ref().and_then(MailSender::new);
        mail.map(|mail| (Channel::Email, Self::Mail(mail))).into_iter().collect()
    }

    /// Renders and sends.
    pub(super) async fn send(&self, templates: &Templates, message: Message<'_>) -> Outcome {
        match self {
            Self::Mail(mail) => mail.send(templates, message).await,
        }
    }
}

impl MailSender {
    fn new(settings: &MailSettings) -> Option<Self> {
        let way = match &settings.mailer {
            Mailer::Smtp(smtp) => MailWay::Smtp(Smtp::new(smtp.clone())),
            Mailer::Folder(folder) => MailWay::Folder(MailFolder::new(folder.clone())),
            Mailer::Gmail(_) => return None,
        };
        Some(Self { from: settings.from.clone(), to: settings.to.clone(), way })
    }

    /// Sends to one recipient after the other: a bad address stops nobody else's mail.
    async fn send(&self, templates: &Templates, message: Message<'_>) -> Outcome {
        let text = match render::mail(templates, message.notice) {
            Ok(text) => text,
            Err(error) => return Outcome::GiveUp { reason: error.to_string() },
        };
        let domain = self.from.email.domain();
        let with_domain = |id: &str| format!("<{id}@{domain}>");
        let mut mail = Mail {
            from: self.from.clone(),
            to: self.from.clone(),
            reply_to: None,
            subject: text.subject,
            html: text.html,
            text: text.text,
            message_id: with_domain(message.id),
            references: message.references.iter().map(|id| with_domain(id)).collect(),
            list_id: Some(format!("<job-match.{domain}>")),
            date: message.at,
            attachments: Vec::new(),
        };
        let (mut delivered, mut failed, mut given_up) = (!message.done.is_empty(), None, None);
        for (index, recipient) in self.to.iter().enumerate() {
            if message.done.contains(&index) {
                continue;
            }
            mail.to = recipient.clone();
            match self.hand_over(&mail, index).await {
                Outcome::Sent { .. } => {
                    delivered = true;
                    message.done.push(index);
                }
                again @ Outcome::TryAgain { .. } => failed = Some(again),
                Outcome::GiveUp { reason } => given_up = Some((index, reason)),
            }
        }
        match (failed, given_up) {
            (Some(again), _) => again,
            (None, Some((index, reason))) if delivered => {
                tracing::error!(recipient = index + 1, %reason, "a recipient's mail is given up, the others have theirs");
                Outcome::Sent { id: None }
            }
            (None, Some((_, reason))) => Outcome::GiveUp { reason },
            (None, None) => Outcome::Sent { id: None },
        }
    }

    async fn hand_over(&self, mail: &Mail, recipient: usize) -> Outcome {
        let message = match mail.compose() {
            Ok(message) => message,
            Err(error) => {
                return Outcome::GiveUp { reason: format!("the mail cannot be put together: {error}") };
            }
        };
        let envelope: &Envelope = message.envelope();
        match &self.way {
            MailWay::Smtp(smtp) => smtp.send(envelope, &message.formatted()).await,
            MailWay::Folder(folder) => folder.send(&mail.message_id, recipient, &message.formatted()),
        }
    }
}

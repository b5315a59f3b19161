//! The channels that are set up, each with what it needs to send.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use lettre::message::Mailbox;

use super::in_flight::Delivered;
use super::{Notice, render};
use crate::channels::Outcome;
use crate::channels::mail::MailSender;
use crate::channels::mime::Mail;
use crate::channels::slack::Slack;
use crate::channels::whatsapp::WhatsApp;
use crate::clock::Clock;
use crate::config::{ChannelSettings, MailSettings};
use crate::domain::Channel;
use crate::domain::masked::masked;
use crate::templates::Templates;

/// A message on its way: what it says, and what makes a repeat of it recognisable.
pub(super) struct Message<'a> {
    /// What it says.
    pub notice: &'a Arc<Notice>,
    /// The same for a repeat: letters, digits, points and hyphens.
    pub id: &'a str,
    /// The ids of the messages that it belongs to.
    pub references: &'a [String],
    /// When it was written.
    pub at: Timestamp,
    /// Who has it already.
    pub delivered: &'a mut Delivered,
    /// Which recipients were refused and why, where others have it.
    pub refused: &'a mut Option<String>,
}

/// One way out.
pub(super) enum Sender {
    Mail(Mails),
    Slack(Slack),
    WhatsApp(WhatsApp),
}

/// Mails to the reviewers.
pub(super) struct Mails {
    from: Mailbox,
    to: Vec<Mailbox>,
    sender: MailSender,
}

impl Sender {
    /// The ways out that are set up.
    ///
    /// # Errors
    ///
    /// Where TLS cannot be set up.
    pub(super) fn all(settings: &ChannelSettings, clock: &Clock) -> anyhow::Result<BTreeMap<Channel, Self>> {
        let mut senders = BTreeMap::new();
        if let Some(mail) = &settings.mail {
            senders.insert(Channel::Email, Self::Mail(Mails::new(mail, clock)?));
        }
        if let Some(webhook) = &settings.slack {
            senders.insert(Channel::Slack, Self::Slack(Slack::new(webhook.clone())?));
        }
        if let Some(whatsapp) = &settings.whatsapp {
            let whatsapp = WhatsApp::new(whatsapp.clone(), clock.clone())?;
            senders.insert(Channel::Whatsapp, Self::WhatsApp(whatsapp));
        }
        Ok(senders)
    }

    /// Renders and sends.
    pub(super) async fn send(&self, templates: &Templates, message: Message<'_>) -> Outcome {
        match self {
            Self::Mail(mail) => mail.send(templates, message).await,
            Self::Slack(slack) => match render::slack(templates, message.notice) {
                Ok(text) => slack.send(&text).await,
                Err(error) => Outcome::GiveUp { reason: error.to_string() },
            },
            Self::WhatsApp(whatsapp) => match render::whatsapp(templates, message.notice) {
                Ok(text) => whatsapp.send(&text).await,
                Err(error) => Outcome::GiveUp { reason: error.to_string() },
            },
        }
    }

    /// Asks the other side whether it would take a message, and sends none.
    pub(super) async fn check(&self) -> Outcome {
        match self {
            Self::Mail(mail) => mail.sender.check().await,
            Self::Slack(slack) => slack.check().await,
            Self::WhatsApp(whatsapp) => whatsapp.check().await,
        }
    }
}

impl Mails {
    fn new(settings: &MailSettings, clock: &Clock) -> anyhow::Result<Self> {
        let sender = MailSender::new(&settings.mailer, clock)?;
        Ok(Self { from: settings.from.clone(), to: settings.to.clone(), sender })
    }

    /// Sends to one recipient after the other: a bad address stops nobody else's mail.
    async fn send(&self, templates: &Templates, message: Message<'_>) -> Outcome {
        let text = match render::mail(templates, message.notice) {
            Ok(text) => text,
            Err(error) => return Outcome::GiveUp { reason: error.to_string() },
        };
        let domain = self.from.email.domain();
        let with_domain = |id: &str| {
            // What a server made up itself is whole.
            if id.starts_with('<') { id.to_owned() } else { format!("<{id}@{domain}>") }
        };
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
        let (mut some_delivered, mut failed, mut given_up) = (!message.delivered.is_empty(), None, None);
        for (index, recipient) in self.to.iter().enumerate() {
            if message.delivered.has(&recipient.email, index) {
                continue;
            }
            mail.to = recipient.clone();
            match self.sender.hand_over(&mail, index).await {
                Outcome::Sent { id } => {
                    some_delivered = true;
                    message.delivered.note(&recipient.email, id);
                }
                again @ Outcome::TryAgain { .. } => failed = Some((index, again)),
                Outcome::GiveUp { reason } => given_up = Some((index, reason)),
            }
        }
        match (failed, given_up) {
            (Some((index, Outcome::TryAgain { after, reason, unclear })), _) if some_delivered => {
                Outcome::TryAgain { after, reason: of_address(index, &reason), unclear }
            }
            (Some((_, again)), _) => again,
            (None, Some((index, reason))) if some_delivered => {
                tracing::error!(recipient = index + 1, reason = %masked(&reason), "a recipient's mail is given up, the others have theirs");
                *message.refused = Some(of_address(index, &reason));
                Outcome::Sent { id: message.delivered.ids() }
            }
            (None, Some((_, reason))) => Outcome::GiveUp { reason },
            (None, None) => Outcome::Sent { id: message.delivered.ids() },
        }
    }
}

/// Why one recipient has no mail, where others have it. They are told apart by their place: who they are stands in no
/// log and no comment.
fn of_address(index: usize, reason: &str) -> String {
    format!("address {} of VORHOELLE_MAIL_TO gets no mail, the others do: {reason}", index + 1)
}

/// Asks a channel that is set up whether it would take a message, and sends none.
///
/// # Errors
///
/// Where TLS cannot be set up, or the channel is not.
pub async fn check(settings: &ChannelSettings, channel: Channel, clock: &Clock) -> anyhow::Result<Outcome> {
    let sender = Sender::all(settings, clock)?.remove(&channel);
    Ok(sender.ok_or_else(|| anyhow::anyhow!("{channel} is not set up"))?.check().await)
}

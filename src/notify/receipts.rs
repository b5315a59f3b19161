//! Receipts: our own reactions to the issues. They are read at the start and given after each message.

use std::collections::BTreeSet;

use http::StatusCode;

use super::Notifier;
use crate::domain::{Channel, State};
use crate::engine::{Connected, EngineError};
use crate::gitlab::GitlabError;
use crate::gitlab::labels::LabelKind;
use crate::mirror::{DeliveryKind, Fact};

/// The names of the reactions that are receipts.
pub(super) const fn receipt(channel: Channel) -> Option<&'static str> {
    match channel {
        Channel::Email => Some("e-mail"),
        Channel::Slack => Some("speech_balloon"),
        Channel::Whatsapp => Some("calling"),
        Channel::Todo => None,
    }
}

/// The reaction that says that a match was reminded of.
pub(super) const REMINDED: &str = "alarm_clock";

impl Notifier {
    /// Reads which matches were told of already: once a start, of the pending ones; where the disk was lost, of all.
    pub(super) async fn read_receipts(&self) -> Result<(), EngineError> {
        let mut read = self.inner.receipts_read.lock().await;
        if *read {
            return Ok(());
        }
        let engine = self.engine();
        let connected = engine.connected().await?;
        let mirror = engine.mirror();
        let everything = mirror.fact(Fact::ReceiptsRead)?.is_none();
        let label = (!everything).then(|| engine.label_name(LabelKind::State(State::Pending)));
        for channel in Channel::MESSAGES {
            let Some(emoji) = receipt(channel) else { continue };
            let iids = connected.project.iids_with_our_reaction(emoji, label.as_deref(), &[]).await?;
            mirror.note_receipts(&iids, channel, DeliveryKind::Match)?;
        }
        let reminded = connected.project.iids_with_our_reaction(REMINDED, label.as_deref(), &[]).await?;
        for channel in self.active() {
            mirror.note_receipts(&reminded, channel, DeliveryKind::Reminder)?;
        }
        self.read_former_receipts(&connected).await?;
        mirror.remember(Fact::ReceiptsRead, "read")?;
        *read = true;
        Ok(())
    }

    /// `my_reaction_emoji` knows only the token's own user: the receipts of earlier ones are read issue by issue, where
    /// it matters.
    async fn read_former_receipts(&self, connected: &Connected) -> Result<(), EngineError> {
        let engine = self.engine();
        if engine.policy().former_users.is_empty() {
            return Ok(());
        }
        let mut untold = BTreeSet::new();
        for channel in Channel::MESSAGES {
            untold.extend(engine.mirror().untold(channel)?.into_iter().map(|one| one.iid));
        }
        for iid in untold {
            let reactions = match connected.project.reactions(iid).await {
                Err(error) if error.is_gone() => continue,
                other => other?,
            };
            let ours = reactions.iter().filter(|reaction| connected.is_us(reaction.user.id));
            for reaction in ours {
                let channel = Channel::MESSAGES.into_iter().find(|one| receipt(*one) == Some(&reaction.name));
                match channel {
                    Some(channel) => engine.mirror().note_receipts(&[iid], channel, DeliveryKind::Match)?,
                    None if reaction.name == REMINDED => {
                        for channel in self.active() {
                            engine.mirror().note_receipts(&[iid], channel, DeliveryKind::Reminder)?;
                        }
                    }
                    None => {}
                }
            }
        }
        Ok(())
    }

    /// Gives receipts. Where the token is a reviewer's own, reacting clears their ToDo: it is put back. One that GitLab
    /// refuses holds up no other; at the last try it is let go, unless GitLab may refuse us everything: so it answers for
    /// an archived project.
    pub(super) async fn give_receipts(
        &self,
        iids: &[u64],
        emoji: &str,
        is_last_try: bool,
    ) -> Result<(), EngineError> {
        let connected = self.engine().connected().await?;
        let (mut refused, mut some_given) = (None, false);
        for iid in iids {
            let own = connected.is_a_reviewers_token();
            let had_todo = own && connected.project.has_pending_todo(*iid).await.unwrap_or(false);
            match connected.project.react(*iid, emoji).await {
                // Deleted meanwhile: nobody will be told of it again.
                Err(error) if error.is_gone() => self.engine().hint(*iid, crate::engine::Hint::default()),
                Err(error) if is_refusal(&error) => {
                    tracing::warn!(iid, emoji, %error, "GitLab refuses the receipt of a message");
                    refused = Some(error);
                }
                other => {
                    other?;
                    some_given = true;
                }
            }
            if had_todo && let Err(error) = connected.project.make_todo(*iid).await {
                tracing::warn!(iid, %error, "the reviewer's own ToDo could not be put back");
            }
        }
        let Some(error) = refused else { return Ok(()) };
        if is_last_try && (some_given || error.status() != Some(StatusCode::FORBIDDEN)) {
            tracing::error!(emoji, %error, "receipts that GitLab refuses are let go; only this disk knows of them");
            return Ok(());
        }
        Err(error.into())
    }
}

/// Whether GitLab refuses this request, and not whoever makes it.
pub(super) fn is_refusal(error: &GitlabError) -> bool {
    error.status().is_some_and(|status| status.is_client_error() && status != StatusCode::UNAUTHORIZED)
}

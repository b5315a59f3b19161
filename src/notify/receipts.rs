//! Receipts: our own reactions to the issues. Those of pending matches are read at the start, all of them once this disk has
//! forgotten them; those of a message's matches before it leaves, and these get its own afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use http::StatusCode;

use super::Notifier;
use crate::domain::{Channel, State};
use crate::engine::{Connected, EngineError};
use crate::gitlab::GitlabError;
use crate::gitlab::labels::LabelKind;
use crate::gitlab::reactions::Reaction;
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
    /// Reads which matches were told of already: once a start, of the pending ones; where this disk knows of none, of all.
    pub(super) async fn read_receipts(&self) -> Result<(), EngineError> {
        let mut read = self.inner.receipts_read.lock().await;
        let (engine, mirror) = (self.engine(), self.engine().mirror());
        // A command beside us that rebuilds the mirror throws them away.
        let everything = mirror.fact(Fact::ReceiptsRead)?.is_none();
        if *read && !everything {
            return Ok(());
        }
        let connected = engine.connected().await?;
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
        let mut untold = BTreeSet::new();
        for channel in Channel::MESSAGES {
            untold.extend(mirror.untold(channel)?.into_iter().map(|one| one.iid));
        }
        self.read_former_receipts(&connected, untold).await?;
        mirror.remember(Fact::ReceiptsRead, "read")?;
        *read = true;
        Ok(())
    }

    /// Which of these matches a channel was told of by now: by another instance, by ourselves before the disk was lost, or
    /// by an earlier bot before somebody put the match back to pending.
    pub(super) async fn told_by_now(
        &self,
        connected: &Connected,
        channel: Channel,
        iids: &[u64],
    ) -> Result<Vec<u64>, EngineError> {
        let Some(emoji) = receipt(channel) else { return Ok(Vec::new()) };
        let mut told = connected.project.iids_with_our_reaction(emoji, None, iids).await?;
        self.engine().mirror().note_receipts(&told, channel, DeliveryKind::Match)?;
        let others: Vec<u64> = iids.iter().copied().filter(|iid| !told.contains(iid)).collect();
        told.extend(self.read_former_receipts(connected, others).await?.remove(&channel).unwrap_or_default());
        Ok(told)
    }

    /// Reads which of these matches each channel was told of by an earlier bot: `my_reaction_emoji` knows only the token's own
    /// user, so that is read issue by issue, where it matters.
    async fn read_former_receipts(
        &self,
        connected: &Connected,
        iids: impl IntoIterator<Item = u64>,
    ) -> Result<BTreeMap<Channel, Vec<u64>>, EngineError> {
        let engine = self.engine();
        let mut told: BTreeMap<Channel, Vec<u64>> = BTreeMap::new();
        if engine.policy().former_users.is_empty() {
            return Ok(told);
        }
        for iid in iids {
            let reactions = match connected.project.reactions(iid).await {
                Err(error) if error.is_gone() => continue,
                other => other?,
            };
            let ours = reactions.iter().filter(|reaction| connected.is_us(reaction.user.id));
            for reaction in ours {
                let channel = Channel::MESSAGES.into_iter().find(|one| receipt(*one) == Some(&reaction.name));
                match channel {
                    Some(channel) => {
                        engine.mirror().note_receipts(&[iid], channel, DeliveryKind::Match)?;
                        told.entry(channel).or_default().push(iid);
                    }
                    None if reaction.name == REMINDED => {
                        for channel in self.active() {
                            engine.mirror().note_receipts(&[iid], channel, DeliveryKind::Reminder)?;
                        }
                    }
                    None => {}
                }
            }
        }
        Ok(told)
    }

    /// Says once where GitLab calls a receipt by another name: by ours it will not be found again after a lost disk.
    fn compare(&self, iid: u64, emoji: &str, given: Option<Reaction>) {
        let other = given.map(|given| given.name).filter(|name| name != emoji);
        if let Some(name) = other
            && !self.inner.is_misnamed_said.swap(true, Ordering::Relaxed)
        {
            tracing::error!(iid, emoji, %name, "GitLab calls the receipt {emoji} {name}: after a lost disk it is not found");
        }
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
            match connected.keeping_todo(*iid, connected.project.react(*iid, emoji)).await {
                // Deleted meanwhile, most likely: then nobody will be told of it again.
                Err(error) if error.is_gone() => {
                    tracing::warn!(iid, emoji, %error, "GitLab does not find what is to get a receipt");
                    self.engine().hint(*iid, crate::engine::Hint::default());
                }
                Err(error) if is_refusal(&error) => {
                    tracing::warn!(iid, emoji, %error, "GitLab refuses the receipt of a message");
                    refused = Some(error);
                }
                other => {
                    self.compare(*iid, emoji, other?);
                    some_given = true;
                }
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

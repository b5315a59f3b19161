//! The one message that a channel is about to send, has sent, or has sent and not acknowledged in GitLab yet.
//!
//! It stands on the disk before the message leaves, so that after a kill only what was between the other side's "yes"
//! and our next write is repeated; with the disk lost GitLab's receipts say what is left to do.

use std::collections::BTreeMap;

use jiff::Timestamp;
use lettre::Address;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::domain::{Channel, hex};
use crate::engine::{Engine, EngineError};
use crate::mirror::Fact;

/// What the message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Cargo {
    /// New matches.
    Matches,
    /// Matches that have waited long.
    Reminder,
    /// A quiet pipeline.
    Quiet,
}

/// A message on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Flight {
    pub cargo: Cargo,
    /// The issues that it tells of.
    pub iids: Vec<u64>,
    /// Whether it was planned as a digest.
    pub digest: bool,
    /// When it was planned; what came after that waits for the next digest. Not known of what an earlier version planned.
    #[serde(default)]
    pub planned_at: Option<Timestamp>,
    /// What a repeat of it has in common with it.
    pub id: String,
    /// Who has it. On disks it stands under the name that it had at first.
    #[serde(default, rename = "done")]
    pub delivered: Delivered,
    /// When the other side took it; receipts are still to be given.
    pub sent_at: Option<Timestamp>,
    /// The Message-IDs that the other side gave the mails in place of ours, with blanks between.
    #[serde(default)]
    pub message_ids: Option<String>,
    /// How often in a row nobody knew whether it arrived.
    #[serde(default)]
    pub unclear: u32,
    /// How often it failed after some had got it.
    #[serde(default)]
    pub partly: u32,
    /// Since when it does.
    #[serde(default)]
    pub partly_since: Option<Timestamp>,
}

/// The recipients who have a message, each with the Message-ID that the other side gave their mail in place of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "DeliveredForm")]
pub(super) struct Delivered(BTreeMap<String, Option<String>>);

/// What stands on the disk: an earlier version wrote places in the list of addresses.
#[derive(Deserialize)]
#[serde(untagged)]
enum DeliveredForm {
    Addresses(BTreeMap<String, Option<String>>),
    Places(Vec<usize>),
}

impl From<DeliveredForm> for Delivered {
    fn from(form: DeliveredForm) -> Self {
        match form {
            DeliveredForm::Addresses(delivered) => Self(delivered),
            DeliveredForm::Places(places) => {
                Self(places.into_iter().map(|place| (format!("place {place}"), None)).collect())
            }
        }
    }
}

impl Delivered {
    /// What stands for an address, whatever its place in the list, so that this fact names no reviewer.
    fn key(address: &Address) -> String {
        hex(&Sha256::digest(address.to_string())[..8])
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the recipient at this place of the list has it.
    pub(super) fn has(&self, address: &Address, place: usize) -> bool {
        self.0.contains_key(&Self::key(address)) || self.0.contains_key(&format!("place {place}"))
    }

    pub(super) fn note(&mut self, address: &Address, id: Option<String>) {
        self.0.insert(Self::key(address), id);
    }

    /// The Message-IDs with blanks between; none where all are ours.
    pub(super) fn ids(&self) -> Option<String> {
        let ids: Vec<&str> = self.0.values().filter_map(Option::as_deref).collect();
        (!ids.is_empty()).then(|| ids.join(" "))
    }
}

impl Flight {
    /// A message that has not left. `home` tells services apart that send from one domain.
    pub(super) fn new(home: &str, cargo: Cargo, iids: Vec<u64>, digest: bool, at: Timestamp) -> Self {
        let mut flight = Self {
            cargo,
            iids,
            digest,
            planned_at: Some(at),
            id: String::new(),
            delivered: Delivered::default(),
            sent_at: None,
            message_ids: None,
            unclear: 0,
            partly: 0,
            partly_since: None,
        };
        flight.id = flight.id_from(home, at);
        flight
    }

    /// A match has one id for ever, so that its second mail is known as a repeat; of digests it is the set of matches
    /// that tells them apart, of reminders and alarms the day as well.
    fn id_from(&self, home: &str, at: Timestamp) -> String {
        let day = at.as_second() / 86_400;
        match (self.cargo, self.iids.as_slice()) {
            (Cargo::Matches, [iid]) => match_id(home, *iid),
            (Cargo::Matches, iids) => format!("digest.{}.{home}", digest_of(iids)),
            (Cargo::Reminder, iids) => format!("reminder.{}.{day}.{home}", digest_of(iids)),
            (Cargo::Quiet, _) => format!("quiet.{day}.{home}"),
        }
    }

    pub(super) fn load(engine: &Engine, channel: Channel) -> Result<Option<Self>, EngineError> {
        let text = engine.mirror().fact(Fact::InFlight(channel))?;
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
    }

    pub(super) fn keep(&self, engine: &Engine, channel: Channel) -> Result<(), EngineError> {
        let text = serde_json::to_string(self).map_err(|error| EngineError::Text(error.to_string()))?;
        Ok(engine.mirror().remember(Fact::InFlight(channel), &text)?)
    }

    /// Whether some of its recipients have it already.
    pub(super) fn is_partly_delivered(&self) -> bool {
        !self.delivered.is_empty()
    }

    /// Whether somebody has it, or may have: then a repeat must be the same message.
    pub(super) fn may_have_arrived(&self) -> bool {
        self.is_partly_delivered() || self.unclear > 0
    }

    /// Lays the message aside behind those that are, so that others can go past it.
    pub(super) fn lay_aside(&self, engine: &Engine, channel: Channel) -> Result<(), EngineError> {
        let mut flights = Self::laid_aside(engine, channel)?;
        flights.push(self.clone());
        Self::keep_aside(&flights, engine, channel)?;
        Self::forget(engine, channel)
    }

    /// Lays the message aside as two halves, the first of which goes next: where it is refused too, that shows what is
    /// refused after the fewest tries, and where everything is, the fewest messages are left of it.
    pub(super) fn split(
        &self,
        engine: &Engine,
        channel: Channel,
        home: &str,
        at: Timestamp,
    ) -> Result<(), EngineError> {
        let (first, second) = self.iids.split_at(self.iids.len() / 2);
        let half = |iids: &[u64]| {
            let half = Self::new(home, self.cargo, iids.to_vec(), self.digest, at);
            Self { planned_at: self.planned_at, ..half }
        };
        let mut flights = vec![half(first), half(second)];
        flights.extend(Self::laid_aside(engine, channel)?);
        Self::keep_aside(&flights, engine, channel)?;
        Self::forget(engine, channel)
    }

    /// The messages that were laid aside.
    pub(super) fn laid_aside(engine: &Engine, channel: Channel) -> Result<Vec<Self>, EngineError> {
        /// An earlier version kept one.
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Several(Vec<Flight>),
            One(Flight),
        }
        let text = engine.mirror().fact(Fact::LaidAside(channel))?;
        Ok(match text.and_then(|text| serde_json::from_str(&text).ok()) {
            None => Vec::new(),
            Some(Form::Several(flights)) => flights,
            Some(Form::One(flight)) => vec![flight],
        })
    }

    /// Takes a message up again that was laid aside.
    pub(super) fn take_up(&self, engine: &Engine, channel: Channel) -> Result<(), EngineError> {
        self.keep(engine, channel)?;
        let mut flights = Self::laid_aside(engine, channel)?;
        flights.retain(|flight| flight != self);
        Self::keep_aside(&flights, engine, channel)
    }

    fn keep_aside(flights: &[Self], engine: &Engine, channel: Channel) -> Result<(), EngineError> {
        if flights.is_empty() {
            return Ok(engine.mirror().forget(Fact::LaidAside(channel))?);
        }
        let text = serde_json::to_string(flights).map_err(|error| EngineError::Text(error.to_string()))?;
        Ok(engine.mirror().remember(Fact::LaidAside(channel), &text)?)
    }

    pub(super) fn forget(engine: &Engine, channel: Channel) -> Result<(), EngineError> {
        Ok(engine.mirror().forget(Fact::InFlight(channel))?)
    }
}

/// The id of the message about one match.
fn match_id(home: &str, iid: u64) -> String {
    format!("match.{iid}.{home}")
}

fn digest_of(iids: &[u64]) -> String {
    let mut sorted = iids.to_vec();
    sorted.sort_unstable();
    let mut hash = Sha256::new();
    for iid in sorted {
        hash.update(iid.to_be_bytes());
    }
    hex(&hash.finalize()[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_earlier_version_wrote_is_understood() {
        let old = r#"{"cargo":"matches","iids":[7],"digest":false,"id":"match.7.ab","done":[1],
                      "sent_at":"2026-11-29T08:00:00Z","message_ids":null,"unclear":0}"#;
        let flight: Flight = serde_json::from_str(old).unwrap();
        let address = "anna@example.com".parse().unwrap();
        assert!(
            flight.sent_at.is_some()
                && flight.delivered.has(&address, 1)
                && !flight.delivered.has(&address, 0)
        );
        let again: Flight = serde_json::from_str(&serde_json::to_string(&flight).unwrap()).unwrap();
        assert_eq!(again, flight);
    }

    #[test]
    fn who_has_it_is_known_by_address_whatever_their_place() {
        let (anna, ben) = ("anna@example.com".parse().unwrap(), "ben@example.com".parse().unwrap());
        let mut delivered = Delivered::default();
        delivered.note(&anna, Some("<1@mail.example>".to_owned()));
        assert!(delivered.has(&anna, 5) && !delivered.has(&ben, 0));
        delivered.note(&ben, None);
        assert_eq!(delivered.ids().as_deref(), Some("<1@mail.example>"));
        assert!(
            !serde_json::to_string(&delivered).unwrap().contains("anna"),
            "no address stands on the disk"
        );
    }
}

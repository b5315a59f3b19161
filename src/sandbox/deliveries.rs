//! Webhooks on their way: sent, held until somebody sends them by hand and in what order, doubled or lost on purpose.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::hooks::{self, Delivery};
use super::{Inner, lock};

/// What becomes of deliveries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HookMode {
    /// Each is sent at once.
    #[default]
    Deliver,
    /// Each waits to be sent by hand.
    Hold,
    /// None is sent, and nobody learns of it.
    Lose,
    /// Each is sent twice, under the same id.
    Twice,
}

#[derive(Default)]
pub(super) struct Deliveries {
    pub(super) mode: HookMode,
    pub(super) held: BTreeMap<u64, Delivery>,
    next: u64,
}

impl Inner {
    /// Sends, holds, doubles or loses what was caused since the last time.
    pub(super) fn dispatch(self: &Arc<Self>) {
        let deliveries = std::mem::take(&mut self.world().outbox);
        let mode = lock(&self.deliveries).mode;
        for delivery in deliveries {
            match mode {
                HookMode::Deliver => self.send(delivery),
                HookMode::Twice => {
                    self.send(delivery.clone());
                    self.send(delivery);
                }
                HookMode::Hold => drop(self.hold(delivery)),
                HookMode::Lose => {}
            }
        }
    }

    fn hold(&self, delivery: Delivery) -> u64 {
        let mut deliveries = lock(&self.deliveries);
        deliveries.next += 1;
        let id = deliveries.next;
        deliveries.held.insert(id, delivery);
        id
    }

    pub(super) fn double_held(&self, id: u64) -> Option<u64> {
        let copy = lock(&self.deliveries).held.get(&id).cloned()?;
        Some(self.hold(copy))
    }

    pub(super) async fn deliver_held(self: &Arc<Self>, id: u64) -> Option<u16> {
        let delivery = lock(&self.deliveries).held.remove(&id)?;
        self.attempt(delivery).await
    }

    /// Each delivery is a job of its own: they overtake each other.
    fn send(self: &Arc<Self>, delivery: Delivery) {
        self.under_way.send_modify(|count| *count += 1);
        let inner = Arc::clone(self);
        self.runtime.spawn(async move {
            inner.attempt(delivery).await;
            inner.under_way.send_modify(|count| *count -= 1);
        });
    }

    /// Makes one attempt and writes it into the log.
    pub(super) async fn attempt(&self, delivery: Delivery) -> Option<u16> {
        let body = Bytes::from(delivery.body.to_string());
        let headers = self.world().delivery_headers(&delivery, &body);
        let answer = hooks::post(&delivery.url, &headers, body).await;
        let status = answer.status();
        self.world().record_delivery(delivery, headers, answer);
        status
    }
}

//! Bodies that are read whole, in a time, and in a room: what is held of all of them at the same time is bounded.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode, header};
use bytes::BytesMut;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tokio::sync::{Semaphore, SemaphorePermit};

/// So much of each body needs no room: small ones come through where large ones hold all of it. A request's head may be
/// larger.
const UNCOUNTED: usize = 4 * 1024;

/// Room for bodies that are being read.
pub(super) struct Room(Semaphore);

/// How large a body may be, how long it may take, and where it is held; one without a room is not counted.
pub(super) struct Bounds<'a> {
    /// In bytes.
    pub(super) limit: usize,
    /// From its first byte to its last.
    pub(super) deadline: Duration,
    /// Shared with others.
    pub(super) room: Option<&'a Room>,
}

/// Why a body was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// It is over the limit.
    TooLarge,
    /// It did not arrive in time.
    TooSlow,
    /// It did not arrive whole.
    Broken,
    /// Others hold all the room.
    NoRoom,
}

impl Unread {
    /// When to come back, where that is worth it.
    pub(super) const RETRY_AFTER: Duration = Duration::from_secs(5);

    /// The status to answer with.
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Broken => StatusCode::BAD_REQUEST,
            Self::NoRoom => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl From<Box<dyn std::error::Error + Send + Sync>> for Unread {
    fn from(error: Box<dyn std::error::Error + Send + Sync>) -> Self {
        if error.is::<LengthLimitError>() { Self::TooLarge } else { Self::Broken }
    }
}

impl Room {
    /// Room for so many kibibytes.
    pub(super) fn of(kibibytes: usize) -> Self {
        Self(Semaphore::new(kibibytes))
    }

    /// Takes room for what a body has by now. Nobody waits for it: bodies that each hold a part and wait for more would
    /// keep each other waiting.
    fn hold<'a>(&'a self, held: &mut Option<SemaphorePermit<'a>>, bytes: usize) -> Result<(), Unread> {
        // What is held, not how often something came: pieces may be of one byte.
        let has = held.as_ref().map_or(0, SemaphorePermit::num_permits);
        let wanted = bytes.saturating_sub(UNCOUNTED).div_ceil(1024).saturating_sub(has);
        if wanted == 0 {
            return Ok(());
        }
        let kibibytes = u32::try_from(wanted).unwrap_or(u32::MAX);
        let taken = self.0.try_acquire_many(kibibytes).map_err(|_| Unread::NoRoom)?;
        match held {
            Some(held) => held.merge(taken),
            None => *held = Some(taken),
        }
        Ok(())
    }
}

/// Most bodies come in one piece, which is read where it is. The pieces of others are gathered in one that grows.
fn joined(before: Bytes, piece: &[u8]) -> Bytes {
    let mut both = before.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
    both.extend_from_slice(piece);
    both.freeze()
}

/// Reads a body whole. Its room is taken as it arrives: who announces much and sends little takes none from others.
pub(super) async fn read(headers: &HeaderMap, body: Body, bounds: Bounds<'_>) -> Result<Bytes, Unread> {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if length.is_some_and(|length: usize| length > bounds.limit) {
        return Err(Unread::TooLarge);
    }
    let reading = async {
        let mut body = Limited::new(body, bounds.limit);
        let (mut whole, mut held) = (Bytes::new(), None);
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame?.into_data() else { continue };
            if let Some(room) = bounds.room {
                room.hold(&mut held, whole.len() + data.len())?;
            }
            whole = if whole.is_empty() { data } else { joined(whole, &data) };
        }
        Ok(whole)
    };
    tokio::time::timeout(bounds.deadline, reading).await.unwrap_or(Err(Unread::TooSlow))
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    async fn read_in(room: &Room, size: usize) -> Result<Bytes, Unread> {
        let bounds = Bounds { limit: 64 * 1024, deadline: MINUTE, room: Some(room) };
        read(&HeaderMap::new(), Body::from("a".repeat(size)), bounds).await
    }

    #[tokio::test]
    async fn what_finds_no_room_is_refused_and_what_is_small_needs_none() {
        let room = Room::of(8);
        assert_eq!(read_in(&room, 12 * 1024).await.unwrap().len(), 12 * 1024);
        assert_eq!(read_in(&room, 12 * 1024 + 1).await, Err(Unread::NoRoom));
        let all = room.0.try_acquire_many(8).unwrap();
        assert!(read_in(&room, UNCOUNTED).await.is_ok());
        assert_eq!(read_in(&room, UNCOUNTED + 1).await, Err(Unread::NoRoom));
        drop(all);
        assert_eq!(read_in(&room, 64 * 1024 + 1).await, Err(Unread::TooLarge));
        // What was held is free again.
        assert_eq!(room.0.available_permits(), 8);
    }

    #[tokio::test]
    async fn a_body_has_its_time_and_holds_room_for_its_bytes_not_for_its_pieces() {
        let room = Room::of(1);
        let bounds = |deadline| Bounds { limit: 64 * 1024, deadline, room: Some(&room) };
        let pieces = || stream::iter((0..5 * 1024).map(|_| Ok::<_, std::io::Error>("a")));
        let whole = read(&HeaderMap::new(), Body::from_stream(pieces()), bounds(MINUTE)).await;
        assert_eq!(whole.unwrap().len(), 5 * 1024);
        let endless = futures_util::StreamExt::chain(pieces(), stream::pending());
        let slow = read(&HeaderMap::new(), Body::from_stream(endless), bounds(MINUTE / 1000)).await;
        assert_eq!(slow, Err(Unread::TooSlow));
        assert_eq!(room.0.available_permits(), 1);
    }
}

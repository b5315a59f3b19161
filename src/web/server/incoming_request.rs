//! A request that is still coming: its connection is busy only once its body has come whole, or is not wanted.
//!
//! Else whoever begins a form and never ends it would keep a place for as long as the form may take. What has an effect
//! runs after the body came: a connection that makes room meanwhile leaves nothing half done.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use hyper::body::{Body, Frame, SizeHint};

use super::connections::{Busy, Place};

/// A request from its head to its answer.
pub(super) struct Request {
    place: Arc<Place>,
    stage: Mutex<Stage>,
}

/// How far a request is.
enum Stage {
    Coming,
    Busy { _until_answered: Busy },
    Answered,
}

impl Request {
    /// A request whose head has come.
    pub(super) fn at(place: &Arc<Place>) -> Arc<Self> {
        place.heard();
        Arc::new(Self { place: Arc::clone(place), stage: Mutex::new(Stage::Coming) })
    }

    /// It is answered; whatever is left of its body keeps nobody busy.
    pub(super) fn answered(&self) {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner) = Stage::Answered;
    }

    fn has_come(&self) {
        let mut stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*stage, Stage::Coming) {
            *stage = Stage::Busy { _until_answered: Arc::clone(&self.place).busy() };
        }
    }
}

/// The body of such a request.
pub(super) struct Coming<B: Body> {
    body: B,
    request: Arc<Request>,
}

impl<B: Body> Coming<B> {
    /// Many requests have no body: they have come with their head.
    pub(super) fn new(body: B, request: &Arc<Request>) -> Self {
        let coming = Self { body, request: Arc::clone(request) };
        coming.look();
        coming
    }

    fn look(&self) {
        if self.body.is_end_stream() {
            self.request.has_come();
        }
    }
}

impl<B: Body + Unpin> Body for Coming<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(context));
        match frame {
            Some(Ok(_)) => self.look(),
            Some(Err(_)) | None => self.request.has_come(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Nobody reads on: what is done now is the answer.
impl<B: Body> Drop for Coming<B> {
    fn drop(&mut self) {
        self.request.has_come();
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::{BodyExt as _, Empty, Full};

    use super::super::connections::Connections;
    use super::*;

    fn is_busy(request: &Request) -> bool {
        matches!(*request.stage.lock().unwrap(), Stage::Busy { .. })
    }

    #[tokio::test]
    async fn a_request_is_busy_once_its_body_has_come_or_is_not_wanted_and_until_it_is_answered() {
        let connections = Connections::of(1);
        let place = connections.enter().await;
        let without = Request::at(&place);
        let _none = Coming::new(Empty::<Bytes>::new(), &without);
        assert!(is_busy(&without));
        let read = Request::at(&place);
        let mut body = Coming::new(Full::new(Bytes::from_static(b"a")), &read);
        assert!(!is_busy(&read));
        // Its last piece is its end; nobody has to ask for another.
        body.frame().await.unwrap().unwrap();
        assert!(is_busy(&read));
        let unread = Request::at(&place);
        drop(Coming::new(Full::new(Bytes::from_static(b"a")), &unread));
        assert!(is_busy(&unread));
        let refused = Request::at(&place);
        let rest = Coming::new(Full::new(Bytes::from_static(b"a")), &refused);
        refused.answered();
        drop(rest);
        assert!(!is_busy(&refused));
    }
}

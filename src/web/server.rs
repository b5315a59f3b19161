//! The accept loop: a deadline on headers, a cap on connections, an end in time. `axum::serve` has none of them.
//!
//! Where the cap is reached, the connection that has waited longest for its next request, or for the rest of it, makes
//! room: whoever opens thousands and says nothing, or never says all, keeps nobody out.

mod connections;
mod incoming_request;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use connections::Connections;
use incoming_request::Coming;

/// Connections at the same time, where the system lets a process have so many.
const CONNECTIONS: u64 = 4096;
/// Files and connections of our own that must find room beside them.
const OWN_FILES: u64 = 128;
/// Largest head of a request in HTTP/1, in bytes; GitLab's have one or two thousand.
const HEAD_LIMIT: usize = 32 * 1024;
/// Requests at the same time on a connection in HTTP/2, and bytes of their bodies that come before somebody reads them:
/// every connection may cost so much.
const STREAMS: u32 = 32;
const WINDOW: u32 = 64 * 1024;
/// How long a request's headers may take, and a kept-alive connection idle.
const HEADER_DEADLINE: Duration = Duration::from_secs(30);
/// How long running requests have when the service stops: platforms kill after ten seconds.
pub const DRAIN: Duration = Duration::from_secs(6);

/// Serves until `stop`, then lets running requests end.
pub async fn serve(listener: TcpListener, app: Router, stop: CancellationToken, clock: Clock) {
    let (_kept, app) = watch::channel(app);
    serve_latest(listener, app, stop, clock).await;
}

/// [`serve`], each request by the router that is the latest when it comes: a service lives before it is put together.
pub async fn serve_latest(
    listener: TcpListener,
    app: watch::Receiver<Router>,
    stop: CancellationToken,
    clock: Clock,
) {
    let connections = Connections::of(most_connections());
    let graceful = GracefulShutdown::new();
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_DEADLINE).max_buf_size(HEAD_LIMIT);
    let mut http2 = builder.http2();
    http2.timer(TokioTimer::new()).keep_alive_interval(HEADER_DEADLINE).max_concurrent_streams(STREAMS);
    http2.initial_connection_window_size(WINDOW).initial_stream_window_size(WINDOW);
    loop {
        let (stream, peer) = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listener, &clock) => accepted,
        };
        let Some(place) = stop.run_until_cancelled(connections.enter()).await else { break };
        let (builder, watcher) = (builder.clone(), graceful.watcher());
        let (seat, app) = (Arc::clone(&place), app.clone());
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            let service = TowerToHyperService::new(app.borrow().clone());
            let coming = incoming_request::Request::at(&seat);
            let answer = service.call(request.map(|body| Coming::new(body, &coming)));
            async move {
                let answer = answer.await;
                coming.answered();
                answer
            }
        });
        tokio::spawn(async move {
            let connection = async {
                // The builder looks at the first bytes to tell HTTP/2 from HTTP/1, and would wait for them for ever.
                let first = tokio::time::timeout(HEADER_DEADLINE, stream.peek(&mut [0; 1])).await;
                if !matches!(first, Ok(Ok(1))) {
                    return;
                }
                let connection =
                    builder.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned();
                if let Err(error) = watcher.watch(connection).await {
                    tracing::debug!(error, "a connection broke");
                }
            };
            place.until_asked_to_leave(connection).await;
        });
    }
    drop(listener);
    let _ = tokio::time::timeout(DRAIN, graceful.shutdown()).await;
}

/// How many connections there may be: most systems let a process have 1024 files only until it asks for more.
fn most_connections() -> usize {
    let files = rlimit::increase_nofile_limit(CONNECTIONS + OWN_FILES).unwrap_or(1024);
    let room = files.saturating_sub(OWN_FILES).clamp(OWN_FILES, CONNECTIONS);
    usize::try_from(room).unwrap_or(usize::MAX)
}

async fn accept(listener: &TcpListener, clock: &Clock) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let _ = stream.set_nodelay(true);
                return (stream, peer);
            }
            Err(error) => {
                // Out of file descriptors, most likely: others close some.
                tracing::warn!(%error, kind = ?io::Error::kind(&error), "a connection could not be accepted");
                clock.sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

//! The accept loop: a deadline on headers, a cap on connections, an end in time. `axum::serve` has none of them.

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
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;

/// Connections at the same time; what comes beyond waits in the system's queue.
const CONNECTIONS: usize = 4096;
/// How long a request's headers may take, and a kept-alive connection idle.
const HEADER_DEADLINE: Duration = Duration::from_secs(30);
/// How long running requests have when the service stops: platforms kill after ten seconds.
pub const DRAIN: Duration = Duration::from_secs(6);

/// Serves until `stop`, then lets running requests end.
pub async fn serve(listener: TcpListener, app: Router, stop: CancellationToken, clock: Clock) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    let graceful = GracefulShutdown::new();
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_DEADLINE);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(HEADER_DEADLINE).max_concurrent_streams(100);
    let service = TowerToHyperService::new(app);
    loop {
        let Ok(permit) = Arc::clone(&connections).acquire_owned().await else { break };
        let (stream, peer) = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listener, &clock) => accepted,
        };
        let (builder, service, watcher) = (builder.clone(), service.clone(), graceful.watcher());
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            service.call(request)
        });
        tokio::spawn(async move {
            let _permit = permit;
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
        });
    }
    drop(listener);
    let _ = tokio::time::timeout(DRAIN, graceful.shutdown()).await;
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

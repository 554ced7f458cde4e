//! The operations listener: `/metrics`, `/livez` and `/readyz`, away from the shoppers.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use seckill_shards::engine::Engine;
use seckill_shards::journal::Takes;
use seckill_shards::shard::{Activity, Phase};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::flow::{Breaker, BreakerState};
use crate::metrics::Metrics;
use crate::peers::Peers;

/// Connections at once: a scraper, a prober and a few people.
const CONNECTIONS_MAX: usize = 64;
/// A connection that lasts longer than this is closed.
const CONNECTION_TIME: Duration = Duration::from_secs(60);

/// What the listener answers from.
#[derive(Debug)]
pub struct Operations {
    /// Once the journal is recovered.
    recovered: OnceLock<Recovered>,
    /// Once shoppers are served.
    serving: AtomicBool,
    draining: AtomicBool,
}

/// What there is to say once the journal is recovered.
#[derive(Debug)]
pub struct Recovered {
    /// Journal and shards.
    pub engine: Arc<Engine>,
    /// What the gateway can sell without, for people, and what stops asking it.
    pub followers: Vec<(&'static str, Arc<Breaker>)>,
    /// The figures.
    pub metrics: Metrics,
    /// The fleet, where the gateway is in one.
    pub peers: Option<Arc<Peers>>,
}

impl Operations {
    /// Answers that the gateway lives, and recovers.
    #[must_use]
    pub fn new() -> Arc<Self> {
        let (serving, draining) = (AtomicBool::new(false), AtomicBool::new(false));
        Arc::new(Self { recovered: OnceLock::new(), serving, draining })
    }

    /// From here on there are figures.
    pub fn recovered(&self, recovered: Recovered) {
        let first = self.recovered.set(recovered);
        assert!(first.is_ok(), "a gateway recovers once");
    }

    /// From here on `/readyz` asks for traffic.
    pub fn serving(&self) {
        // Relaxed: a probe may see it a moment later.
        self.serving.store(true, Ordering::Relaxed);
    }

    /// From here on `/readyz` asks for no more traffic.
    pub fn drain(&self) {
        // Relaxed: a probe may see it a moment later.
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Serves until the runtime ends.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) {
        let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, _)) => {
                    let operations = Arc::clone(&self);
                    tokio::spawn(async move {
                        operations.serve_connection(stream).await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "the operations listener cannot accept");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    async fn serve_connection(&self, stream: TcpStream) {
        let answer = |request: Request<Incoming>| async move {
            Ok::<_, Infallible>(self.answer(request.method(), request.uri().path()))
        };
        let connection =
            http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer));
        match tokio::time::timeout(CONNECTION_TIME, connection).await {
            Ok(Ok(())) | Err(_) => {}
            Ok(Err(error)) => tracing::debug!(%error, "an operations connection broke"),
        }
    }

    fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            return text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n".to_owned());
        }
        match path {
            "/metrics" => match self.recovered.get() {
                Some(recovered) => text(StatusCode::OK, recovered.metrics.text()),
                None => text(StatusCode::SERVICE_UNAVAILABLE, "recovering\n".to_owned()),
            },
            "/livez" => text(StatusCode::OK, "live\n".to_owned()),
            "/readyz" => match self.unready() {
                None => text(StatusCode::OK, format!("{}\n", self.ready())),
                Some(why) => text(StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")),
            },
            _ => text(StatusCode::NOT_FOUND, "no such page\n".to_owned()),
        }
    }

    /// A gateway sells without those that follow it, so it stays ready, and says what is amiss.
    fn ready(&self) -> String {
        let followers = self.recovered.get().into_iter().flat_map(|it| &it.followers);
        let away = followers.filter(|(_, breaker)| breaker.state() != BreakerState::Closed);
        let mut away: Vec<_> = away.map(|(name, _)| *name).collect();
        away.dedup();
        if away.is_empty() {
            "ready".to_owned()
        } else {
            format!("ready, without {}", away.join(" and "))
        }
    }

    fn unready(&self) -> Option<&'static str> {
        if self.draining.load(Ordering::Relaxed) {
            return Some("draining");
        }
        let Some(Recovered { engine, peers, .. }) = self.recovered.get() else {
            return Some("recovering");
        };
        if !self.serving.load(Ordering::Relaxed) {
            return Some("starting");
        }
        if let Some(why) = peers.as_ref().and_then(|peers| peers.membership().unready()) {
            return Some(why);
        }
        let now = engine.clock().now();
        let is_over = |it: &Arc<Activity>| matches!(it.phase(now), Phase::Ended | Phase::Closed);
        if !engine.knows_sales() && engine.activities().values().all(is_over) {
            return Some("no sale is known yet: the store has to be read first");
        }
        let journal = engine.journal();
        if journal.is_latched() {
            return Some("the journal met an I/O error");
        }
        (journal.takes() != Takes::Everything).then_some("the journal takes no new orders")
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let response = Response::builder()
        .status(status)
        .header("content-type", "text/plain; version=0.0.4; charset=utf-8")
        .header("cache-control", "no-store");
    response.body(Full::new(Bytes::from(body))).expect("the headers are valid")
}

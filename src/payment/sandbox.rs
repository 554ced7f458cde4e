//! The sandbox: a provider that takes no money. Its page lets a person play the bank, and it tells
//! the shop what they chose as any provider does, by signed webhooks over HTTP.
//!
//! It tells again until it is answered, with rests that double, and gives up in the end. It must
//! not know orders, nor what the shop makes of its word.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{Request, StatusCode};
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use seckill_shards::clock::Clock;
use seckill_shards::ids::{OrderId, PaymentId};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};

use super::limits::{SANDBOX_ATTEMPT, SANDBOX_ATTEMPTS_MAX, SANDBOX_REST, SANDBOX_UNDER_WAY_MAX};
use super::webhook::WebhookKeys;
use super::{Came, Declined, Provider};

const WEBHOOK_PATH: &str = "/api/v1/webhooks/payments";

/// What the sandbox tells of a payment, and when.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Delivery {
    /// The money that comes; none where the payment fails.
    pub money: Option<(i64, [u8; 3])>,
    /// How long it waits with its word.
    pub delay: Duration,
    /// How often it says the same, as a provider does that was not sure of being heard.
    pub copies: u32,
}

/// Too many deliveries are under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Crowded;

/// The provider without money.
#[derive(Debug)]
pub struct Sandbox {
    keys: WebhookKeys,
    clock: Arc<dyn Clock>,
    runtime: tokio::runtime::Handle,
    shop: SocketAddr,
    room: Arc<Semaphore>,
}

#[async_trait]
impl Provider for Sandbox {
    fn method(&self) -> &'static str {
        "sandbox"
    }

    fn redirect_url(&self, payment: PaymentId) -> String {
        format!("/pay/{payment}")
    }

    /// No money came, so none is missing when it has gone back.
    async fn refund(&self, payment: PaymentId) -> Result<(), Declined> {
        tracing::info!(payment = payment.0, "the sandbox gave the money back");
        Ok(())
    }

    /// No money ever comes here but by a word, which is told again until it is heard.
    async fn came_for(&self, _: OrderId) -> Result<Vec<Came>, Declined> {
        Ok(Vec::new())
    }
}

impl Sandbox {
    /// A sandbox that tells the shop which listens on `shop`, from tasks on `runtime`.
    #[must_use]
    pub fn new(
        keys: WebhookKeys,
        clock: Arc<dyn Clock>,
        runtime: tokio::runtime::Handle,
        shop: SocketAddr,
    ) -> Self {
        let room = Arc::new(Semaphore::new(SANDBOX_UNDER_WAY_MAX));
        Self { keys, clock, runtime, shop: reachable(shop), room }
    }

    /// Tells the shop what became of a payment, each word after its delay.
    ///
    /// # Errors
    /// [`Crowded`], and then nothing is told.
    pub fn tell(self: &Arc<Self>, payment: PaymentId, words: Vec<Delivery>) -> Result<(), Crowded> {
        let count = u32::try_from(words.len()).map_err(|_| Crowded)?;
        let mut room = Arc::clone(&self.room).try_acquire_many_owned(count).map_err(|_| Crowded)?;
        for word in words {
            let place = room.split(1).expect("there is a place for each");
            self.runtime.spawn(Arc::clone(self).deliver(payment, word, place));
        }
        Ok(())
    }

    async fn deliver(
        self: Arc<Self>,
        payment: PaymentId,
        word: Delivery,
        _place: OwnedSemaphorePermit,
    ) {
        sleep(word.delay).await;
        let Ok(random) = crate::random_bytes::<8>() else { return };
        let id = format!("msg_{:016x}", u64::from_le_bytes(random));
        let body = self.body(payment, &word);
        for _ in 0..word.copies {
            if !self.tell_until_heard(&id, &body).await {
                tracing::warn!(payment = payment.0, "the sandbox was not heard and gives up");
                return;
            }
        }
    }

    fn body(&self, payment: PaymentId, word: &Delivery) -> Bytes {
        let timestamp = jiff_instant(self.clock.now().0);
        let text = match word.money {
            Some((amount, currency)) => {
                let currency = String::from_utf8_lossy(&currency);
                format!(
                    r#"{{"type":"payment.succeeded","timestamp":"{timestamp}","data":{{"payment_id":"{payment}","amount":{{"amount":{amount},"currency":"{currency}"}}}}}}"#
                )
            }
            None => format!(
                r#"{{"type":"payment.failed","timestamp":"{timestamp}","data":{{"payment_id":"{payment}"}}}}"#
            ),
        };
        text.into()
    }

    /// Whether the shop took it in the end; what it refuses for good is not repeated. Each attempt is signed anew, since a signature ages.
    async fn tell_until_heard(&self, id: &str, body: &Bytes) -> bool {
        let mut rest = SANDBOX_REST;
        for attempt in 1..=SANDBOX_ATTEMPTS_MAX {
            let status = timeout(SANDBOX_ATTEMPT, self.post(id, body)).await.ok().flatten();
            if let Some(status) = status.filter(|status| !status.is_server_error()) {
                return status.is_success();
            }
            if attempt < SANDBOX_ATTEMPTS_MAX {
                sleep(rest).await;
                rest *= 2;
            }
        }
        false
    }

    /// One attempt: what it was answered, where it was.
    async fn post(&self, id: &str, body: &Bytes) -> Option<StatusCode> {
        let now_s = self.clock.now().0 / 1_000;
        let request = Request::post(WEBHOOK_PATH)
            .header(HOST, self.shop.to_string())
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", now_s)
            .header("webhook-signature", self.keys.sign(id, now_s, body))
            .body(Full::new(body.clone()))
            .expect("a request of plain parts");
        let stream = TcpStream::connect(self.shop).await.ok()?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
        let connection = tokio::spawn(connection);
        let answer = sender.send_request(request).await;
        connection.abort();
        answer.ok().map(|answer| answer.status())
    }
}

/// Where a listener is reached from this machine: one on every address is reached by loopback.
fn reachable(listener: SocketAddr) -> SocketAddr {
    let ip = match listener.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listener.port())
}

fn jiff_instant(ms: u64) -> String {
    let ms = i64::try_from(ms).unwrap_or(i64::MAX);
    let instant = jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::MAX);
    format!("{instant:.3}")
}

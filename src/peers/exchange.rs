//! One request over a connection of its own, within its time.
//!
//! It knows what never went out from what may have arrived. It must not know what is said.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::limits::{ANSWER_BYTES_MAX, CONNECT};

/// Why there is no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Lost {
    /// The request never went out.
    Unreached,
    /// It went out, and was not answered in time, or not to the end.
    Unanswered,
}

/// A connection, closed when it is dropped.
struct Connection {
    sender: SendRequest<Full<Bytes>>,
    task: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Sends a request and reads its answer, all of it in time.
pub(super) async fn exchange(
    address: &str,
    request: Request<Full<Bytes>>,
    patience: Duration,
) -> Result<(StatusCode, HeaderMap, Bytes), Lost> {
    let mut is_out = false;
    let exchanged = timeout(patience, async {
        let connected = timeout(CONNECT, connect(address)).await;
        let mut connection = connected.ok().flatten().ok_or(Lost::Unreached)?;
        is_out = true;
        ask(&mut connection, request).await
    });
    let exchanged = exchanged.await;
    exchanged.unwrap_or(Err(if is_out { Lost::Unanswered } else { Lost::Unreached }))
}

async fn connect(address: &str) -> Option<Connection> {
    let stream = TcpStream::connect(address).await.ok()?;
    stream.set_nodelay(true).ok()?;
    // Closed without a wait: each call has a connection, and ports that wait would run out.
    stream.set_zero_linger().ok()?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
    // A connection that breaks is told to whoever waits for its answer.
    let task = tokio::spawn(async move { drop(connection.await) });
    Some(Connection { sender, task })
}

async fn ask(
    connection: &mut Connection,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, HeaderMap, Bytes), Lost> {
    let answer = connection.sender.try_send_request(request).await;
    let (head, body) = match answer {
        Ok(answer) => answer.into_parts(),
        // hyper gives back what it has written nothing of.
        Err(error) if error.message().is_some() => return Err(Lost::Unreached),
        Err(_) => return Err(Lost::Unanswered),
    };
    let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
    let body = body.map_err(|_| Lost::Unanswered)?.to_bytes();
    Ok((head.status, head.headers, body))
}

//! Raw bytes, as a socket gives them: answered by the hot path, and by hyper before the handlers.

use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::{Rc, Weak};

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use seckill::api::hot::{self, Hot};
use seckill::api::{Told, Waiter, handle};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::task::yield_now;

use super::{Gateway, PEER};

/// Bytes that a pipe to hyper holds.
const PIPE_BYTES: usize = 1 << 20;
/// Headers of an answer that are read at most.
const HEADERS_MAX: usize = 32;

/// Who is told a verdict that takes the disk.
#[derive(Default)]
struct Ear(RefCell<Option<Told>>);

impl Waiter for Ear {
    fn tell(&self, told: Told) {
        self.0.replace(Some(told));
    }
}

/// An answer, taken apart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in lower case and values, sorted.
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl Answer {
    /// Reads the one answer that `bytes` are, or begin with; none where some of it is to come.
    fn read(bytes: &[u8]) -> Option<Self> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut head = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(length) = head.parse(bytes).expect("an answer of HTTP")
        else {
            return None;
        };
        let of = |header: &httparse::Header<'_>| {
            (header.name.to_ascii_lowercase(), header.value.to_vec())
        };
        let mut headers: Vec<_> = head.headers.iter().map(of).collect();
        headers.sort();
        let body_length = headers.iter().find(|(name, _)| name == "content-length");
        let has_body = !matches!(head.code, Some(204 | 304));
        let body_length = body_length.filter(|_| has_body).map_or(0, |(_, value)| {
            let digits = std::str::from_utf8(value).expect("digits");
            digits.parse().expect("a number of bytes")
        });
        let body = bytes[length..].get(..body_length)?.to_vec();
        Some(Self { status: head.code.expect("a status"), headers, body })
    }

    /// Without what differs between two answers to the same question: when it was given, under
    /// which name, and how the crowd is spread.
    pub(crate) fn timeless(mut self) -> Self {
        for (name, value) in &mut self.headers {
            if matches!(name.as_str(), "date" | "x-request-id" | "retry-after") {
                value.clear();
            }
        }
        self
    }
}

impl Gateway {
    /// What the hot path says to these bytes; none where it leaves them to hyper.
    pub(crate) fn hot(&self, bytes: &[u8]) -> Option<Answer> {
        let (ear, mut out) = (Rc::new(Ear::default()), Vec::new());
        let waiter = || {
            let ear = Rc::downgrade(&ear);
            ear as Weak<dyn Waiter>
        };
        match hot::answer(&self.context, bytes, &waiter, &mut out) {
            Hot::NotHere { .. } => {
                assert!(out.is_empty(), "who says nothing writes nothing");
                return None;
            }
            Hot::Answered => {}
            Hot::Waiting(waiting) => {
                let told = self.tasks.block_on(&self.runtime, async {
                    loop {
                        if let Some(told) = ear.0.take() {
                            break told;
                        }
                        yield_now().await;
                    }
                });
                hot::tell(&waiting, &self.context, &told, &mut out);
            }
        }
        Some(Answer::read(&out).expect("a whole answer"))
    }

    /// What hyper and the handlers say to these bytes.
    pub(crate) fn by_hyper(&self, bytes: &[u8]) -> Option<Answer> {
        let context = Rc::clone(&self.context);
        let service = service_fn(move |request: Request<Incoming>| {
            let context = Rc::clone(&context);
            async move { Ok::<_, Infallible>(handle(&context, request, PEER).await) }
        });
        let (mut client, server) = duplex(PIPE_BYTES);
        let connection = http1::Builder::new().serve_connection(TokioIo::new(server), service);
        self.tasks.block_on(&self.runtime, async move {
            // It ends with the client's end of the pipe.
            drop(tokio::task::spawn_local(connection));
            client.write_all(bytes).await.expect("the pipe takes a request");
            let mut told = Vec::new();
            loop {
                if let Some(answer) = Answer::read(&told) {
                    return Some(answer);
                }
                let length = client.read_buf(&mut told).await.expect("a pipe can be read");
                if length == 0 {
                    return None;
                }
            }
        })
    }
}

//! One connection: hyper over a socket that notes where the request is, so that the sweep of the
//! core can end what takes too long without a timer per request.
//!
//! It must not know routes or verdicts.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::rc::{Rc, Weak};
use std::task::{Context as TaskContext, Poll, Waker, ready};

use bytes::Bytes;
use http::Request;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::rt::ReadBufCursor;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use seckill_shards::clock::Timestamp;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::core::Side;
use super::limits::{
    BODY_MS, BUFFER_BYTES_MAX, HANDLING_MS, HEAD_BYTES_MAX, HEAD_MS, HOT_READ_BYTES_MAX, IDLE_MS,
    LINGER_BYTES_MAX, LINGER_MS, WRITE_MS,
};
use crate::api::hot::{self, Hot};
use crate::api::{self, Context, Problem, Slug};

/// Where a connection is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// Between requests.
    Idle,
    /// Some of a head has come.
    Head,
    /// The head has come, some of the body has not.
    Body,
    /// The request is at work. The API has shorter limits of its own for all but the disk.
    Handling,
    /// The answer is on its way.
    Writing,
    /// Answered before all of the request had come; what comes is read and dropped.
    Lingering,
}

impl Stage {
    /// How long it may take, in milliseconds.
    fn limit_ms(self) -> Option<u64> {
        match self {
            Self::Idle => Some(IDLE_MS),
            Self::Head => Some(HEAD_MS),
            Self::Body => Some(BODY_MS),
            Self::Handling => Some(HANDLING_MS),
            Self::Writing => Some(WRITE_MS),
            Self::Lingering => Some(LINGER_MS),
        }
    }
}

/// Who reads the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Reader {
    /// The hot path; hyper is not even asked meanwhile.
    Hot,
    /// hyper, for one request that came whole and alone.
    Hyper,
    /// hyper, which may hold the beginning of a request and so gets all that follows.
    HyperForGood,
}

/// A connection as the sweep sees it.
#[derive(Debug)]
pub(super) struct Link {
    context: Rc<Context>,
    side: Side,
    stream: RefCell<TcpStream>,
    /// What is read goes through it: one buffer for all connections of the core.
    scratch: Rc<RefCell<Box<[u8]>>>,
    /// Answers of the hot path are written into it, likewise.
    out: Rc<RefCell<Vec<u8>>>,
    stage: Cell<Stage>,
    since: Cell<Timestamp>,
    /// A body was not read to its end.
    is_cut: Cell<bool>,
    reader: Cell<Reader>,
    /// What the hot path has read and hyper has not taken yet.
    handed: RefCell<Vec<u8>>,
    /// A buy of the hot path whose verdict is on its way.
    waiting: RefCell<Option<hot::Waiting>>,
    /// The task is woken by the next bytes.
    is_listening: Cell<bool>,
    /// Bytes of an answer of the hot path that the socket has not taken yet.
    unsent: RefCell<Vec<u8>>,
    is_draining: Cell<bool>,
    is_overdue: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Link {
    pub(super) fn new(
        (stream, side): (TcpStream, Side),
        context: Rc<Context>,
        scratch: Rc<RefCell<Box<[u8]>>>,
        out: Rc<RefCell<Vec<u8>>>,
    ) -> Self {
        Self {
            since: Cell::new(context.recently()),
            context,
            side,
            stream: RefCell::new(stream),
            scratch,
            out,
            stage: Cell::new(Stage::Idle),
            is_cut: Cell::new(false),
            reader: Cell::new(match side {
                Side::Public => Reader::Hot,
                Side::Peers => Reader::HyperForGood,
            }),
            handed: RefCell::default(),
            waiting: RefCell::default(),
            is_listening: Cell::new(false),
            unsent: RefCell::default(),
            is_draining: Cell::new(false),
            is_overdue: Cell::new(false),
            waker: RefCell::default(),
        }
    }

    fn enter(&self, stage: Stage) {
        self.stage.set(stage);
        self.since.set(self.context.recently());
    }

    /// Ends the connection if it is overdue; true when it was.
    pub(super) fn sweep(&self, now: Timestamp) -> bool {
        let stage = self.stage.get();
        let is_overdue =
            stage.limit_ms().is_some_and(|limit_ms| now.ms_since(self.since.get()) >= limit_ms);
        if is_overdue && !self.is_overdue.replace(true) {
            let slug = match stage {
                Stage::Head | Stage::Body => Some(Slug::Timeout),
                // A disk that hangs: the order may or may not come to be.
                Stage::Handling => Some(Slug::OutcomeUnknown),
                Stage::Idle | Stage::Writing | Stage::Lingering => None,
            };
            self.waiting.take();
            if let Some(slug) = slug {
                self.cut_short(slug.into());
            }
            self.wake();
        }
        is_overdue
    }

    /// The last answer of a connection, which no handler has made.
    fn cut_short(&self, problem: Problem) {
        let mut out = self.out.borrow_mut();
        out.clear();
        hot::cut_short(&self.context, problem, &mut out);
        // A client that is not read from takes these few bytes or needs none.
        drop(self.stream.borrow().try_write(&out));
    }

    /// Whether no request is at work: what hyper says then, it says by itself.
    fn is_between(&self) -> bool {
        matches!(self.stage.get(), Stage::Idle | Stage::Head)
    }

    /// Answers in hyper's place where `bytes` begin what it says by itself to something that it
    /// cannot read as a request: a bare status, without a body or an id.
    fn speaks_for_hyper(&self, bytes: &[u8]) -> bool {
        if !self.is_between() {
            return false;
        }
        let version = "1.x ".len();
        let status = bytes.strip_prefix(b"HTTP/").and_then(|rest| rest.get(version..version + 3));
        match status {
            Some(b"431" | b"414") => self.refuse(Slug::HeadTooLarge.into()),
            Some([b'4', ..]) => self.refuse(Problem::malformed()),
            _ => return false,
        }
        true
    }

    /// Refuses what is no request. The rest of it is read and dropped, so that the client sees why.
    fn refuse(&self, problem: Problem) {
        self.cut_short(problem);
        self.is_cut.set(true);
    }

    /// Lets the connection finish the request it is at, then end.
    pub(super) fn drain(&self) {
        self.is_draining.set(true);
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// Answers requests until the client or the gateway ends the connection.
    pub(super) async fn serve(self: &Rc<Self>, peer: IpAddr) {
        let service = service_fn(|request| self.answer(request, peer));
        let connection = http1::Builder::new()
            // Who has said all there is to say still listens.
            .half_close(true)
            .max_buf_size(BUFFER_BYTES_MAX)
            .max_header_size(HEAD_BYTES_MAX)
            .serve_connection(Io(Rc::clone(self)), service);
        let mut connection = pin!(connection);
        let mut is_draining = false;
        poll_fn(|task| {
            self.waker.borrow_mut().get_or_insert_with(|| task.waker().clone());
            loop {
                if self.is_overdue.get() {
                    return Poll::Ready(());
                }
                if self.must_end() && !std::mem::replace(&mut is_draining, true) {
                    connection.as_mut().graceful_shutdown();
                }
                // A connection that broke is not worth a word: clients go away all the time.
                if self.is_hot() && !is_draining && ready!(self.poll_hot(task)).is_err() {
                    return Poll::Ready(());
                }
                if let Poll::Ready(ended) = connection.as_mut().poll(task) {
                    // To the preface of HTTP/2, and to nothing else, hyper says not even a status.
                    let is_unread = ended.is_err_and(|error| error.is_parse());
                    if is_unread && self.is_between() && !self.is_cut.get() {
                        self.refuse(Problem::malformed());
                    }
                    return Poll::Ready(());
                }
                // hyper has answered, or the answer that a drain has waited for has just gone out.
                if is_draining || !(self.is_hot() || self.must_end()) {
                    return Poll::Pending;
                }
            }
        })
        .await;
        if self.is_cut.get() && !self.is_overdue.get() {
            self.linger().await;
        }
    }

    /// Whether the hot path reads: hyper then has nothing, and nothing to do.
    fn is_hot(&self) -> bool {
        self.reader.get() == Reader::Hot
    }

    /// Whether a drain may end the connection. An answer of the hot path goes out first: to hyper
    /// the connection is idle meanwhile.
    fn must_end(&self) -> bool {
        self.is_draining.get() && self.waiting.borrow().is_none() && self.unsent.borrow().is_empty()
    }

    async fn answer(
        self: &Rc<Self>,
        request: Request<Incoming>,
        peer: IpAddr,
    ) -> Result<api::HttpResponse, Infallible> {
        self.enter(if request.body().is_end_stream() { Stage::Handling } else { Stage::Body });
        let request = request.map(|body| Arriving { body, link: Rc::clone(self) });
        let response = match self.side {
            Side::Public => api::handle(&self.context, request, peer).await,
            // Boxed: it would make the future of every shopper's request larger.
            Side::Peers => Box::pin(api::handle_forwarded(&self.context, request, peer)).await,
        };
        self.enter(Stage::Writing);
        Ok(response)
    }

    /// Reads and drops what a client still sends: closing with bytes unread would reset the
    /// connection, and the client would never see its answer.
    async fn linger(&self) {
        self.enter(Stage::Lingering);
        // A socket that is gone has no more to say either.
        drop(poll_fn(|task| Pin::new(&mut *self.stream.borrow_mut()).poll_shutdown(task)).await);
        let mut taken = 0;
        poll_fn(|task| {
            while taken < LINGER_BYTES_MAX && !self.is_overdue.get() {
                match ready!(self.poll_read(task, BUFFER_BYTES_MAX, |bytes| bytes.len())) {
                    Ok(length) if length > 0 => taken += length,
                    Ok(_) | Err(_) => break,
                }
            }
            Poll::Ready(())
        })
        .await;
    }

    /// Answers requests of the hot path until something comes that is hyper's, or a drain begins.
    /// An error where the client has ended or gone away.
    fn poll_hot(self: &Rc<Self>, task: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_unsent(task))?;
            if self.waiting.borrow().is_some() {
                return self.listen(task);
            }
            if self.is_draining.get() {
                return Poll::Ready(Ok(()));
            }
            let read = ready!(self.poll_read(task, HOT_READ_BYTES_MAX, |bytes| {
                if bytes.is_empty() {
                    return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
                }
                if !self.answer_hot(bytes) {
                    self.handed.replace(bytes.to_vec());
                }
                Ok(())
            }));
            read??;
            if !self.is_hot() {
                return Poll::Ready(Ok(()));
            }
            if self.waiting.borrow().is_none() {
                let out = self.out.borrow();
                self.keep_unsent(&out, self.try_send(&out)?);
            }
        }
    }

    /// Answers one request of the hot path into the core's buffer, or begins to wait for its
    /// verdict; false where the bytes are hyper's.
    fn answer_hot(self: &Rc<Self>, bytes: &[u8]) -> bool {
        let mut out = self.out.borrow_mut();
        out.clear();
        let waiter = || {
            let link = Rc::downgrade(self);
            link as Weak<dyn api::Waiter>
        };
        match hot::answer(&self.context, bytes, &waiter, &mut out) {
            Hot::NotHere { is_whole } => {
                self.reader.set(if is_whole { Reader::Hyper } else { Reader::HyperForGood });
                return false;
            }
            Hot::Answered => {}
            Hot::Waiting(waiting) => {
                self.enter(Stage::Handling);
                self.waiting.replace(Some(waiting));
            }
        }
        true
    }

    /// Has the task woken by what comes next, which is not read before the verdict is told.
    fn listen(&self, task: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        let is_here = self.stream.borrow().poll_read_ready(task)?.is_ready();
        self.is_listening.set(!is_here);
        Poll::Pending
    }

    /// Sends what the socket takes at once; the number of bytes.
    fn try_send(&self, bytes: &[u8]) -> io::Result<usize> {
        match self.stream.borrow().try_write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            sent => sent,
        }
    }

    /// Keeps what the socket has not taken.
    fn keep_unsent(&self, bytes: &[u8], sent: usize) {
        if sent < bytes.len() {
            self.unsent.borrow_mut().extend_from_slice(&bytes[sent..]);
            self.enter(Stage::Writing);
        } else {
            self.enter(Stage::Idle);
        }
    }

    /// Sends what was kept; ready when nothing is left.
    fn poll_unsent(&self, task: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        let mut unsent = self.unsent.borrow_mut();
        if unsent.is_empty() {
            return Poll::Ready(Ok(()));
        }
        while !unsent.is_empty() {
            let mut stream = self.stream.borrow_mut();
            let sent = ready!(Pin::new(&mut *stream).poll_write(task, &unsent))?;
            unsent.drain(..sent);
            self.enter(Stage::Writing);
        }
        // An idle connection keeps no memory.
        *unsent = Vec::new();
        self.enter(Stage::Idle);
        Poll::Ready(Ok(()))
    }

    /// Gives hyper what was read for it, as far as there is room; the number of bytes.
    fn hand_over(&self, cursor: &mut ReadBufCursor<'_>) -> usize {
        let mut handed = self.handed.borrow_mut();
        let length = handed.len().min(cursor.remaining());
        cursor.put_slice(&handed[..length]);
        handed.drain(..length);
        if handed.is_empty() {
            // An idle connection keeps no memory.
            *handed = Vec::new();
        }
        length
    }

    /// Reads at most `room` bytes and hands them to `take`.
    fn poll_read<T>(
        &self,
        task: &mut TaskContext<'_>,
        room: usize,
        take: impl FnOnce(&[u8]) -> T,
    ) -> Poll<io::Result<T>> {
        let mut scratch = self.scratch.borrow_mut();
        let room = room.min(scratch.len());
        let mut buffer = ReadBuf::new(&mut scratch[..room]);
        ready!(Pin::new(&mut *self.stream.borrow_mut()).poll_read(task, &mut buffer))?;
        Poll::Ready(Ok(take(buffer.filled())))
    }
}

impl api::Waiter for Link {
    fn tell(&self, told: api::Told) {
        // The sweep may have told the client before that nobody knows.
        let Some(waiting) = self.waiting.take() else { return };
        let mut out = self.out.borrow_mut();
        out.clear();
        hot::tell(&waiting, &self.context, &told, &mut out);
        match self.try_send(&out) {
            Ok(sent) => self.keep_unsent(&out, sent),
            Err(_) => self.is_overdue.set(true),
        }
        // The next request wakes the task, where it is asked to; all else is for the task to do.
        if self.stage.get() != Stage::Idle || !self.is_listening.get() || self.is_draining.get() {
            self.wake();
        }
    }
}

/// The socket as hyper wants it.
struct Io(Rc<Link>);

impl hyper::rt::Read for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        task: &mut TaskContext<'_>,
        mut cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let link = &self.0;
        let length = if link.handed.borrow().is_empty() {
            if link.is_hot() && !link.is_draining.get() {
                // Not hyper's to read: it is polled again when there is something for it.
                return Poll::Pending;
            }
            let read = ready!(link.poll_read(task, cursor.remaining(), |bytes| {
                cursor.put_slice(bytes);
                bytes.len()
            }))?;
            // It may have taken more than the rest of a request: what follows is then its own, or it
            // would be answered out of order.
            link.reader.set(Reader::HyperForGood);
            read
        } else {
            link.hand_over(&mut cursor)
        };
        if length > 0 && link.stage.get() == Stage::Idle {
            link.enter(Stage::Head);
        }
        Poll::Ready(Ok(()))
    }
}

impl Io {
    fn note_written(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if written.is_ready() && self.0.stage.get() == Stage::Writing {
            self.0.enter(Stage::Writing);
        }
        written
    }
}

impl hyper::rt::Write for Io {
    fn poll_write(
        self: Pin<&mut Self>,
        task: &mut TaskContext<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.0.speaks_for_hyper(bytes) {
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = Pin::new(&mut *self.0.stream.borrow_mut()).poll_write(task, bytes);
        self.note_written(written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        task: &mut TaskContext<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if slices.first().is_some_and(|first| self.0.speaks_for_hyper(first)) {
            return Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()));
        }
        let written = Pin::new(&mut *self.0.stream.borrow_mut()).poll_write_vectored(task, slices);
        self.note_written(written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        // hyper flushes when it has nothing left to write, and a socket keeps nothing back.
        if self.0.stage.get() == Stage::Writing {
            self.0.enter(Stage::Idle);
            // What hyper has not taken yet of the request it would take for part of the next.
            if self.0.reader.get() == Reader::Hyper && self.0.handed.borrow().is_empty() {
                self.0.reader.set(Reader::Hot);
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.stream.borrow_mut()).poll_shutdown(task)
    }
}

/// A body that notes when all of it has come, and whether it was given up before.
struct Arriving {
    body: Incoming,
    link: Rc<Link>,
}

impl Body for Arriving {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        task: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(task));
        if frame.is_none() || self.body.is_end_stream() {
            self.link.enter(Stage::Handling);
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

impl Drop for Arriving {
    fn drop(&mut self) {
        if self.link.stage.get() == Stage::Body {
            self.link.is_cut.set(true);
        }
    }
}

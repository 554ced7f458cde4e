//! HTTP/1.1 over a plain socket, so that a test decides about every byte and when it is sent.
//!
//! Every answer of the API is held against the document that the gateway serves of it. It must not
//! know what is asked.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;

use crate::contract::{Answer, Contract, DOCUMENT};
use crate::patience::GENEROUS;

/// The host that requests name; pages of it are of the same origin as `http://seckill.test`.
pub const HOST: &str = "seckill.test";
/// The longest head of an answer that is read.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// A request to be.
#[derive(Clone, Debug)]
pub struct Request {
    method: String,
    path: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl Request {
    /// A request without a body; path and query are sent as they are.
    #[must_use]
    pub fn new(method: &str, path: &str) -> Self {
        let (headers, body) = (Vec::new(), Vec::new());
        Self { method: method.to_owned(), path: path.to_owned(), headers, body }
    }

    /// With a header more, sent as it is.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// With a bearer token.
    #[must_use]
    pub fn token(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    /// With an idempotency key.
    #[must_use]
    pub fn key(self, key: impl AsRef<[u8]>) -> Self {
        self.header("idempotency-key", key)
    }

    /// With a body of this media type.
    #[must_use]
    pub fn body(mut self, media_type: &str, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().to_vec();
        let length = self.body.len().to_string();
        self.header("content-type", media_type).header("content-length", length)
    }

    /// With a JSON body.
    #[must_use]
    pub fn json(self, body: &Value) -> Self {
        self.body("application/json", body.to_string())
    }

    /// What goes over the socket.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{} {} HTTP/1.1\r\n", self.method, self.path).into_bytes();
        if !self.headers.iter().any(|(name, _)| name == "host") {
            bytes.extend_from_slice(format!("host: {HOST}\r\n").as_bytes());
        }
        for (name, value) in &self.headers {
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// An answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Response {
    /// Its status.
    pub status: u16,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// Its body, as it came.
    pub body: Vec<u8>,
}

impl Response {
    /// The first header of a name in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(header, _)| header == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// Where it is not.
    #[track_caller]
    #[must_use]
    pub fn json(&self) -> Value {
        let json = serde_json::from_slice(&self.body);
        json.unwrap_or_else(|error| panic!("{error} in {self:?} {}", self.text()))
    }

    /// Itself, where it has the status.
    ///
    /// # Panics
    /// Where it has not.
    #[track_caller]
    #[must_use]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{:?} {}", self.headers, self.text());
        self
    }

    /// Its members, where it is this problem in the form that the contract gives to all.
    ///
    /// # Panics
    /// Where it is not.
    #[track_caller]
    pub fn problem(&self, status: u16, slug: &str) -> Value {
        let shown = format!("{} {:?} {}", self.status, self.headers, self.text());
        assert_eq!(self.status, status, "{shown}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{shown}");
        assert!(self.header("x-request-id").is_some_and(|id| !id.is_empty()), "{shown}");
        let problem = self.json();
        assert_eq!(problem["type"], format!("urn:seckill:{slug}"), "{shown}");
        assert_eq!(problem["status"], status, "{shown}");
        assert!(problem["title"].is_string(), "{shown}");
        problem
    }

    fn is_last(&self) -> bool {
        self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

/// A socket, and what has come on it and was not looked at yet.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Connection {
    /// Opens a connection whose reads and writes wait for [`GENEROUS`] at most.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        Self::over(TcpStream::connect_timeout(&address, GENEROUS)?)
    }

    /// The same over a socket that is open already.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn over(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(GENEROUS))?;
        stream.set_write_timeout(Some(GENEROUS))?;
        Ok(Self { stream, unread: Vec::new() })
    }

    /// Waits so long at most in each read and write.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn patience(&self, patience: Duration) -> io::Result<()> {
        self.stream.set_read_timeout(Some(patience))?;
        self.stream.set_write_timeout(Some(patience))
    }

    /// A second way to write to it, while answers are read through this one.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn writer(&self) -> io::Result<TcpStream> {
        self.stream.try_clone()
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Says that nothing more will be sent.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn half_close(&self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    /// Sends a request and reads its answer.
    ///
    /// # Errors
    /// Those of the socket, or of an answer that is not HTTP/1.1.
    ///
    /// # Panics
    /// Where the gateway's own document does not tell of such an answer.
    #[track_caller]
    pub fn exchange(&mut self, request: &Request) -> io::Result<Response> {
        let response = self.exchange_untold(request)?;
        // Who has gone already cannot be asked for a document.
        let address = self.stream.peer_addr().ok();
        if let Some(objection) = address.and_then(|it| objection(it, request, &response)) {
            let shown = format!("{} {}", request.method, request.path);
            panic!("{shown}: {objection}: {:?} {:.1000}", response.headers, response.text());
        }
        Ok(response)
    }

    fn exchange_untold(&mut self, request: &Request) -> io::Result<Response> {
        self.send(&request.bytes())?;
        self.receive(request.method != "HEAD")
    }

    /// Reads one answer; one to HEAD has no body, whatever its headers say.
    ///
    /// # Errors
    /// Those of the socket, or of an answer that is not HTTP/1.1.
    pub fn receive(&mut self, with_body: bool) -> io::Result<Response> {
        let mut response = self.receive_head()?;
        while response.status < 200 {
            response = self.receive_head()?;
        }
        if !with_body || matches!(response.status, 204 | 304) {
            return Ok(response);
        }
        let is_chunked = response.header("transfer-encoding") == Some("chunked");
        response.body = match response.header("content-length").map(str::parse::<usize>) {
            Some(Ok(length)) => self.take(length)?,
            Some(Err(_)) => return Err(bad("content-length is not a number")),
            None if is_chunked => self.take_chunks()?,
            None => self.take_rest()?,
        };
        Ok(response)
    }

    /// Reads the head of the next answer, an interim one (1xx) included.
    ///
    /// # Errors
    /// Those of the socket, or of a head that is not HTTP/1.1.
    pub fn receive_head(&mut self) -> io::Result<Response> {
        let end = loop {
            if let Some(end) = find(&self.unread, b"\r\n\r\n") {
                break end;
            }
            if self.unread.len() > HEAD_BYTES_MAX {
                return Err(bad("the head does not end"));
            }
            self.fill()?;
        };
        let head = self.take(end + 4)?;
        let head = std::str::from_utf8(&head).map_err(|_| bad("the head is not text"))?;
        head_of(head).ok_or_else(|| bad("the head is not HTTP/1.1"))
    }

    /// What comes until the other side closes; a reset counts as the end.
    ///
    /// # Errors
    /// Those of the socket, a time limit among them.
    pub fn take_rest(&mut self) -> io::Result<Vec<u8>> {
        loop {
            match self.fill() {
                Ok(()) => {}
                Err(error) if is_end(&error) => return Ok(std::mem::take(&mut self.unread)),
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether the other side has closed, and nothing that it sent before is left to be read.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        match self.peek() {
            Ok(length) => length == 0,
            Err(error) => error.kind() != ErrorKind::WouldBlock,
        }
    }

    /// Whether something has come that was not read, the end included.
    #[must_use]
    pub fn has_something(&self) -> bool {
        !matches!(self.peek(), Err(error) if error.kind() == ErrorKind::WouldBlock)
    }

    /// How much of one byte can be read without waiting.
    fn peek(&self) -> io::Result<usize> {
        self.stream.set_nonblocking(true)?;
        let peeked = self.stream.peek(&mut [0]);
        self.stream.set_nonblocking(false)?;
        peeked
    }

    fn take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.unread.len() < length {
            self.fill()?;
        }
        let rest = self.unread.split_off(length);
        Ok(std::mem::replace(&mut self.unread, rest))
    }

    fn take_chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let end = loop {
                match find(&self.unread, b"\r\n") {
                    Some(end) => break end,
                    None => self.fill()?,
                }
            };
            let line = self.take(end + 2)?;
            let digits = std::str::from_utf8(&line).map_err(|_| bad("a chunk has no size"))?;
            let length = usize::from_str_radix(digits.trim_end(), 16);
            let length = length.map_err(|_| bad("a chunk has no size"))?;
            body.extend(self.take(length)?);
            self.take(2)?;
            if length == 0 {
                return Ok(body);
            }
        }
    }

    /// Reads what has come; at least a byte.
    fn fill(&mut self) -> io::Result<()> {
        let mut buffer = [0; 16 << 10];
        match self.stream.read(&mut buffer)? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            length => {
                self.unread.extend_from_slice(&buffer[..length]);
                Ok(())
            }
        }
    }
}

/// What the document has against an answer.
fn objection(address: SocketAddr, request: &Request, response: &Response) -> Option<String> {
    if !request.path.starts_with("/api/") {
        return None;
    }
    if response.header("x-request-id").is_none() {
        return Some("it has no x-request-id".to_owned());
    }
    let is_plain = request.method != "HEAD" && response.header("content-encoding").is_none();
    let answer = Answer {
        status: response.status,
        content_type: response.header("content-type"),
        body: is_plain.then_some(&response.body),
    };
    contract(address)?.objection(&request.method, &request.path, answer)
}

/// The document, which is read once: all gateways of a test run are of one build. None where this
/// one has just gone.
fn contract(address: SocketAddr) -> Option<Arc<Contract>> {
    static CONTRACT: Mutex<Option<Arc<Contract>>> = Mutex::new(None);
    let mut kept = CONTRACT.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.is_none() {
        let mut connection = Connection::open(address).ok()?;
        let document = connection.exchange_untold(&Request::new("GET", DOCUMENT)).ok()?;
        *kept = Some(Arc::new(Contract::new(document.expect(200).json())));
    }
    kept.clone()
}

/// Whether an error says that the other side has gone.
#[must_use]
pub fn is_end(error: &io::Error) -> bool {
    use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    [BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof].contains(&error.kind())
}

fn bad(why: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, why)
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

fn head_of(head: &str) -> Option<Response> {
    let mut lines = head.trim_end().split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let headers = lines.map(|line| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_ascii_lowercase(), value.trim().to_owned()))
    });
    Some(Response { status, headers: headers.collect::<Option<_>>()?, body: Vec::new() })
}

/// Someone who asks, over one connection that is kept alive.
#[derive(Debug)]
pub struct Client {
    address: SocketAddr,
    /// Their bearer token, sent with every request that has no credentials of its own.
    pub token: Option<String>,
    connection: Option<Connection>,
}

impl Client {
    /// A visitor.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self { address, token: None, connection: None }
    }

    /// Someone who has signed in.
    #[must_use]
    pub fn with_token(address: SocketAddr, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..Self::new(address) }
    }

    /// Sends a request and reads its answer.
    ///
    /// # Errors
    /// Those of the socket, or of an answer that is not HTTP/1.1. A request is never sent twice.
    pub fn try_send(&mut self, request: Request) -> io::Result<Response> {
        let has_credentials =
            request.headers.iter().any(|(name, _)| name == "authorization" || name == "cookie");
        let request = match &self.token {
            Some(token) if !has_credentials => request.token(token),
            Some(_) | None => request,
        };
        let mut connection = match self.connection.take().filter(|kept| !kept.is_closed()) {
            Some(kept) => kept,
            None => Connection::open(self.address)?,
        };
        let response = connection.exchange(&request)?;
        self.connection = (!response.is_last()).then_some(connection);
        Ok(response)
    }

    /// Sends a request and reads its answer.
    ///
    /// # Panics
    /// Where none comes.
    #[track_caller]
    pub fn send(&mut self, request: Request) -> Response {
        let shown = format!("{} {}", request.method, request.path);
        self.try_send(request).unwrap_or_else(|error| panic!("{shown} has no answer: {error}"))
    }

    /// `GET`.
    ///
    /// # Panics
    /// Where no answer comes.
    #[track_caller]
    pub fn get(&mut self, path: &str) -> Response {
        self.send(Request::new("GET", path))
    }

    /// `POST` of JSON.
    ///
    /// # Panics
    /// Where no answer comes.
    #[track_caller]
    pub fn post(&mut self, path: &str, body: &Value) -> Response {
        self.send(Request::new("POST", path).json(body))
    }

    /// `DELETE`.
    ///
    /// # Panics
    /// Where no answer comes.
    #[track_caller]
    pub fn delete(&mut self, path: &str) -> Response {
        self.send(Request::new("DELETE", path))
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// Serves canned answers, one connection for each.
    fn canned(answers: Vec<&'static str>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut head = Vec::new();
                while find(&head, b"\r\n\r\n").is_none() {
                    let mut byte = [0];
                    stream.read_exact(&mut byte).unwrap();
                    head.push(byte[0]);
                }
                // Byte by byte, so that nothing arrives whole.
                answer.bytes().for_each(|byte| stream.write_all(&[byte]).unwrap());
            }
        });
        address
    }

    #[test]
    fn bodies_of_every_framing_are_read() {
        let address = canned(vec![
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\nabc",
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc",
        ]);
        for _ in 0..4 {
            let response = Client::new(address).get("/").expect(200);
            assert_eq!(response.text(), "abc");
        }
    }

    #[test]
    fn an_answer_without_a_body_ends_with_its_head() {
        let address = canned(vec![
            "HTTP/1.1 304 Not Modified\r\ncontent-length: 3\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n",
        ]);
        assert_eq!(Client::new(address).get("/").expect(304).text(), "");
        let head = Client::new(address).send(Request::new("HEAD", "/")).expect(200);
        assert_eq!((head.header("content-length"), head.text().as_str()), (Some("3"), ""));
    }

    #[test]
    fn a_cut_answer_is_none() {
        let address = canned(vec!["HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nab", ""]);
        for _ in 0..2 {
            let error = Client::new(address).try_send(Request::new("GET", "/")).unwrap_err();
            assert!(is_end(&error), "{error}");
        }
    }

    #[test]
    fn a_kept_connection_that_was_closed_is_opened_again() {
        let answer = "HTTP/1.1 204 No Content\r\n\r\n";
        let mut client = Client::new(canned(vec![answer, answer]));
        drop(client.get("/").expect(204));
        let kept = client.connection.as_ref().unwrap();
        crate::patience::until("it is closed", GENEROUS, || kept.is_closed().then_some(()));
        drop(client.get("/").expect(204));
    }
}

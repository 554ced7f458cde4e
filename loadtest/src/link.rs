//! A link between two parts: it may fall silent one way or both, be cut, and lead elsewhere.
//!
//! What a silent link was given it keeps, and delivers once it speaks again: late, as a network does,
//! and possibly when whoever sent it has long given up. It must not know what it carries.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use socket2::Socket;

/// Bytes that are read at once, and kept of each connection and way while a link is silent; the
/// sender's own buffers keep the rest.
const CHUNK_BYTES: usize = 64 << 10;

/// Where a link leads.
#[derive(Clone, Debug)]
pub enum Place {
    /// An address.
    Tcp(SocketAddr),
    /// A socket in a folder.
    Unix(PathBuf),
}

/// How a link is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// It carries everything.
    Well,
    /// What callers say is kept.
    SilentThere,
    /// What they are answered is.
    SilentBack,
    /// Both are.
    Silent,
    /// Connections end, and new ones at once.
    Cut,
}

/// A way over a link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    There,
    Back,
}

impl Mode {
    fn keeps(self, way: Way) -> bool {
        match self {
            Self::Well | Self::Cut => false,
            Self::SilentThere => way == Way::There,
            Self::SilentBack => way == Way::Back,
            Self::Silent => true,
        }
    }
}

/// Who calls, by the first bytes that they send: a number below the link's number of callers.
pub type Caller = fn(&[u8]) -> usize;

/// A link; its connections end when it is dropped.
#[derive(Debug)]
pub struct Link {
    address: SocketAddr,
    ends: Arc<Ends>,
}

/// What a link's threads share.
#[derive(Debug)]
struct Ends {
    caller: Caller,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    place: Option<Place>,
    /// By caller.
    modes: Vec<Mode>,
    /// Both ends of each connection, and whose it is.
    open: Vec<(usize, Arc<Socket>, Arc<Socket>)>,
    is_over: bool,
}

impl State {
    fn is_cut(&self, caller: usize) -> bool {
        self.is_over || self.modes[caller] == Mode::Cut
    }

    fn end_of(&mut self, whose: impl Fn(usize) -> bool) {
        for (_, near, far) in self.open.extract_if(.., |(caller, ..)| whose(*caller)) {
            end(&near);
            end(&far);
        }
    }
}

impl Link {
    /// A link that leads nowhere yet.
    ///
    /// # Panics
    /// Where the machine has no port to spare.
    #[must_use]
    pub fn new(callers: usize, caller: Caller) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("some port is free");
        let address = listener.local_addr().expect("it listens");
        let (modes, open) = (vec![Mode::Well; callers], Vec::new());
        let state = Mutex::new(State { place: None, modes, open, is_over: false });
        let ends = Arc::new(Ends { caller, state, changed: Condvar::new() });
        let shared = Arc::clone(&ends);
        thread::spawn(move || accept(&listener, &shared));
        Self { address, ends }
    }

    /// Where callers come.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Leads to another place from now on: what it carried ends.
    pub fn turn(&self, place: Place) {
        let mut state = self.ends.lock();
        state.place = Some(place);
        state.end_of(|_| true);
    }

    /// Is so for one caller from now on.
    pub fn set(&self, caller: usize, mode: Mode) {
        let mut state = self.ends.lock();
        state.modes[caller] = mode;
        if mode == Mode::Cut {
            state.end_of(|it| it == caller);
        }
        self.ends.changed.notify_all();
    }

    /// Whether it carries everything for everybody.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.ends.lock().modes.iter().all(|&mode| mode == Mode::Well)
    }

    /// Is so for all of them.
    pub fn set_all(&self, mode: Mode) {
        let callers = self.ends.lock().modes.len();
        (0..callers).for_each(|caller| self.set(caller, mode));
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let mut state = self.ends.lock();
        state.is_over = true;
        state.end_of(|_| true);
        self.ends.changed.notify_all();
        drop(state);
        // Wakes whoever accepts; the backlog may be full, and then somebody else does.
        drop(TcpStream::connect(self.address));
    }
}

impl Ends {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits while a way is silent for a caller; whether it is there then.
    fn pass(&self, caller: usize, way: Way) -> bool {
        let keeps = |state: &mut State| !state.is_over && state.modes[caller].keeps(way);
        let state = self.changed.wait_while(self.lock(), keeps);
        !state.unwrap_or_else(PoisonError::into_inner).is_cut(caller)
    }

    /// The far end of a connection that has begun, where there is one.
    fn open(&self, caller: usize, near: &Arc<Socket>) -> Option<Arc<Socket>> {
        let place = self.lock().place.clone()?;
        let far = Arc::new(connect(&place).ok()?);
        let mut state = self.lock();
        if state.is_cut(caller) {
            return None;
        }
        state.open.push((caller, Arc::clone(near), Arc::clone(&far)));
        Some(far)
    }

    fn close(&self, near: &Arc<Socket>) {
        self.lock().open.retain(|(_, it, _)| !Arc::ptr_eq(it, near));
    }
}

fn connect(place: &Place) -> io::Result<Socket> {
    match place {
        Place::Tcp(address) => {
            let stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            Ok(stream.into())
        }
        Place::Unix(path) => Ok(UnixStream::connect(path)?.into()),
    }
}

/// Both ways, at once; it may have ended already.
fn end(socket: &Socket) {
    drop(socket.shutdown(Shutdown::Both));
}

fn accept(listener: &TcpListener, ends: &Arc<Ends>) {
    for stream in listener.incoming().map_while(Result::ok) {
        if ends.lock().is_over {
            return;
        }
        // Where it cannot be set the link is a little slower.
        drop(stream.set_nodelay(true));
        let (near, ends) = (Arc::new(Socket::from(stream)), Arc::clone(ends));
        thread::spawn(move || carry(&near, &ends));
    }
}

/// One connection, from its first bytes to its end.
fn carry(near: &Arc<Socket>, ends: &Arc<Ends>) {
    let mut first = vec![0; CHUNK_BYTES];
    let Ok(length @ 1..) = near.as_ref().read(&mut first) else { return };
    first.truncate(length);
    let caller = (ends.caller)(&first);
    if !ends.pass(caller, Way::There) {
        return;
    }
    let Some(far) = ends.open(caller, near) else { return };
    thread::scope(|scope| {
        scope.spawn(|| pump(&far, near, &|| ends.pass(caller, Way::Back)));
        if far.as_ref().write_all(&first).is_ok() {
            pump(near, &far, &|| ends.pass(caller, Way::There));
        }
    });
    ends.close(near);
    end(near);
}

/// Carries bytes one way, and then their end.
fn pump(from: &Socket, to: &Socket, pass: &dyn Fn() -> bool) {
    let (mut from, mut to_write) = (from, to);
    let mut bytes = vec![0; CHUNK_BYTES];
    loop {
        let length = from.read(&mut bytes).unwrap_or(0);
        if !pass() {
            break end(to);
        }
        if length == 0 {
            // The other way may have more to say.
            break drop(to.shutdown(Shutdown::Write));
        }
        if to_write.write_all(&bytes[..length]).is_err() {
            break end(from);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::patience::{GENEROUS, until};

    /// Answers each connection with what it says, and `!`.
    fn echo() -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                thread::spawn(move || {
                    let mut byte = [0];
                    while let Ok(1) = stream.read(&mut byte) {
                        stream.write_all(&[byte[0], b'!']).unwrap();
                    }
                });
            }
        });
        address
    }

    fn call(link: &Link, byte: u8) -> TcpStream {
        let mut stream = TcpStream::connect(link.address()).unwrap();
        stream.set_read_timeout(Some(GENEROUS)).unwrap();
        stream.write_all(&[byte]).unwrap();
        stream
    }

    fn read(stream: &mut TcpStream) -> [u8; 2] {
        let mut answer = [0; 2];
        stream.read_exact(&mut answer).unwrap();
        answer
    }

    fn is_silent(stream: &mut TcpStream) -> bool {
        stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let silent = stream.read(&mut [0]).is_err();
        stream.set_read_timeout(Some(GENEROUS)).unwrap();
        silent
    }

    #[test]
    fn a_silent_link_delivers_late_and_a_cut_one_never() {
        let link = Link::new(2, |first| usize::from(first[0] == b'b'));
        link.turn(Place::Tcp(echo()));
        let mut ann = call(&link, b'a');
        assert_eq!(read(&mut ann), *b"a!");
        for mode in [Mode::SilentThere, Mode::SilentBack, Mode::Silent] {
            link.set(0, mode);
            ann.write_all(b"x").unwrap();
            assert!(is_silent(&mut ann), "{mode:?}");
            assert_eq!(read(&mut call(&link, b'b')), *b"b!", "only one caller's way is silent");
            link.set(0, Mode::Well);
            assert_eq!(read(&mut ann), *b"x!", "{mode:?}");
        }
        link.set(0, Mode::Cut);
        until("its connection has ended", GENEROUS, || {
            (ann.read(&mut [0]).ok()? == 0).then_some(())
        });
        assert_eq!(call(&link, b'a').read(&mut [0]).unwrap_or(0), 0, "nor a new one is carried");
        link.set(0, Mode::Well);
        let mut ann = call(&link, b'a');
        assert_eq!(read(&mut ann), *b"a!");
        link.turn(Place::Tcp(echo()));
        until("its connection has ended", GENEROUS, || {
            (ann.read(&mut [0]).ok()? == 0).then_some(())
        });
        assert_eq!(read(&mut call(&link, b'a')), *b"a!");
    }
}

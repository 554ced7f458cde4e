//! A bare hyper server that answers every request `hello`: the peer that the price of a buy is held against.
//!
//! It must know nothing of the shop, and it stands here at its best: no timer, no router, the body left unread, one pinned
//! thread for each core, and the allocator of the gateway.

use std::{convert::Infallible, net::SocketAddr, thread};

use anyhow::{Context, anyhow};
use bytes::Bytes;
use clap::Parser;
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use mimalloc::MiMalloc;
use rustix::thread::{CpuSet, sched_setaffinity};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{net::TcpListener, runtime};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Connections that the kernel keeps for a listener that has not come to accept them.
const BACKLOG: i32 = 1024;

#[derive(Parser)]
struct Arguments {
    /// The address to listen on.
    #[arg(long)]
    listen: SocketAddr,
    /// How many threads serve; each is pinned to the CPU of its number.
    #[arg(long, default_value_t = 1)]
    cores: usize,
}

fn main() -> anyhow::Result<()> {
    let Arguments { listen, cores } = Arguments::parse();
    let threads = (0..cores)
        .map(|core| {
            thread::Builder::new().name(format!("core-{core}")).spawn(move || serve(listen, core))
        })
        .collect::<Result<Vec<_>, _>>()?;
    for thread in threads {
        thread.join().map_err(|_| anyhow!("a core thread panicked"))??;
    }
    Ok(())
}

fn serve(listen: SocketAddr, core: usize) -> anyhow::Result<()> {
    pin(core)?;
    let runtime = runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(accept(listener(listen)?))
}

/// Without the pin the scheduler would move a thread away from its warm caches.
fn pin(core: usize) -> anyhow::Result<()> {
    let mut cpus = CpuSet::new();
    cpus.set(core);
    sched_setaffinity(None, &cpus).with_context(|| format!("cannot pin to CPU {core}"))
}

/// Each core has a listener of its own on the one port, and the kernel shares the connections out.
fn listener(listen: SocketAddr) -> anyhow::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(listen), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&listen.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

async fn accept(listener: std::net::TcpListener) -> anyhow::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let connection =
            http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(hello));
        // A client that goes away is the end of its connection and of nothing else.
        drop(tokio::spawn(connection));
    }
}

async fn hello(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::new(Bytes::from_static(b"hello"))))
}

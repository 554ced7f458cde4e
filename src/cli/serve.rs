//! `seckill serve`: recover, serve, drain.

use std::net::{SocketAddr, TcpListener};
use std::ops::Deref;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use seckill_shards::clock::{Clock, MachineClock};
use seckill_shards::disk::MachineDisk;
use seckill_shards::engine::{Engine, EngineOptions, KeepError, Parts, Threads};
use seckill_shards::ids::Origin;
use seckill_shards::limits::SEGMENT_BYTES;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::{Serve, Unusable, demo, open_redis, open_store, say};
use crate::api::tokens::Tokens;
use crate::api::{Access, Owners, PageMap, Shared, SharedParts, Site, StoreBreakers};
use crate::config::{Config, PaymentProvider, PeerOptions, RedisUrl};
use crate::control::leases::{REDIS_BREAKER, Settling};
use crate::control::{Control, ControlParts, Ending, HandOverError, Marker};
use crate::flow::Breaker;
use crate::log::{self, causes};
use crate::metrics::{Metrics, Sources};
use crate::operations::{Operations, Recovered};
use crate::payment::PaymentPort;
use crate::payment::sandbox::Sandbox;
use crate::peers::{Peers, PeersParts};
use crate::server::{Server, ServerOptions, pin};
use crate::store::{OutOfStep, Store};

/// How long the last flush may take when the gateway goes down; the rest is flushed at its start.
const LAST_FLUSH: Duration = Duration::from_secs(10);
/// How long what else runs may take to end with the gateway.
const LAST_STEPS: Duration = Duration::from_secs(1);

pub(super) fn run(command: &Serve) -> anyhow::Result<ExitCode> {
    let config = configuration(command)?;
    log::start(filter(&config)?)?;
    raise_file_limit(config.connections_max + crate::peers::limits::CONNECTIONS_MAX);
    let mut gateway = Gateway::start(&config)?;
    if config.demo {
        gateway.control_runtime.block_on(demo::fill(&*gateway.store, &gateway.control))?;
    }
    gateway.server.open()?;
    gateway.operations.serving();
    let (address, operations) = (gateway.server.address(), gateway.operations_address);
    let mut signals = Signals::listen(&gateway.control_runtime)?;
    say(&format!("operations on http://{operations}"))?;
    say(&format!("ready on http://{address}"))?;
    let (address, operations) = (address.to_string(), operations.to_string());
    tracing::info!(address, operations, cores = config.cores, "ready");
    let control = Arc::clone(&gateway.control);
    let ending = gateway.control_runtime.block_on(async {
        tokio::select! {
            () = signals.wait() => None,
            ending = control.must_stop() => Some(ending),
        }
    });
    drop(control);
    match ending {
        None => gateway.drain(&config, None)?,
        Some(Ending::HandOver(to)) => gateway.drain(&config, Some(to))?,
        Some(Ending::Unusable(why)) => {
            gateway.drain(&config, None)?;
            return Err(Unusable(why).into());
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn configuration(command: &Serve) -> Result<Config, crate::config::ConfigError> {
    let mut layers = command.place.layers()?;
    layers.flag("listen", command.listen);
    layers.flag("ops_listen", command.ops_listen);
    layers.flag("cores", command.cores);
    layers.flag("demo", command.demo.then_some(true));
    layers.finish()
}

/// Everything that runs.
struct Gateway {
    server: Server,
    operations: Arc<Operations>,
    control: Arc<Control>,
    tasks: tokio::task::JoinHandle<()>,
    threads: Threads,
    store: Arc<dyn Store>,
    operations_address: SocketAddr,
    control_runtime: ControlRuntime,
}

impl Gateway {
    fn start(config: &Config) -> anyhow::Result<Self> {
        let listener = bind(config.listen)?;
        let control_runtime = ControlRuntime::start()?;
        let ops_listener = bind_operations(&control_runtime, config.ops_listen)?;
        let operations = Operations::new();
        let operations_address = ops_listener.local_addr()?;
        control_runtime.spawn(Arc::clone(&operations).serve(ops_listener));
        let clock = Arc::new(MachineClock::start());
        let Parts { engine, shards, writer, keeper } = open_engine(config, &clock)?;
        let store = open_store(config)?;
        let owners = Owners::new(config.cores);
        let runtime = control_runtime.handle();
        let payment = payment_port(config, &clock, runtime, listener.local_addr()?)?;
        let pages = Arc::new(ArcSwap::from_pointee(PageMap::default()));
        let access = Arc::new(Access::new());
        let breakers = StoreBreakers::default();
        let settling = settling(&config.redis_url, &engine, &control_runtime)?;
        let secret = config.token_secret()?.0;
        let (peer_listener, peers) = peers(config, &secret, &clock, runtime)?.unzip();
        let control = Control::new(ControlParts {
            engine: Arc::clone(&engine),
            store: Arc::clone(&store),
            owners: owners.clone(),
            access: Arc::clone(&access),
            clock: Arc::clone(&clock),
            pages: Arc::clone(&pages),
            journal: config.journal(),
            payment: payment.clone(),
            store_breaker: Arc::clone(&breakers.read),
            settling,
            peers: peers.clone(),
            adopted: config.adopted(),
        });
        meet_redis(&control_runtime, &control)?;
        register(&control_runtime, &control, config)?;
        let cpus = cpus(config.cores);
        // A lone core and the journal wake each other all the time, which costs least on one CPU.
        let beside = cpus[0].filter(|_| config.cores == 1);
        let place = move || beside.into_iter().for_each(pin);
        let threads = Threads::start(writer, keeper, place, tell_fault)?;
        let shared = Arc::new(Shared::new(SharedParts {
            engine: Arc::clone(&engine),
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            store: Arc::clone(&store),
            control: Arc::clone(&control) as Arc<dyn crate::api::Control>,
            runtime: control_runtime.handle().clone(),
            tokens: Tokens::new(&secret, None),
            access,
            pages,
            site: Site::new(config.public_url.as_deref()),
            trusted_proxies: config.trusted_proxies.clone(),
            cores: config.cores,
            payment,
            peers,
            breakers,
        }));
        let connections_max = config.connections_max;
        let options = ServerOptions { listener, peer_listener, cpus, connections_max };
        let server = Server::start(options, shards, owners, Arc::clone(&shared))?;
        prepare(&control_runtime, &control)?;
        let tasks = control_runtime.spawn(Arc::clone(&control).run());
        operations.recovered(sources_of(&control, &shared, engine, clock));
        Ok(Self {
            server,
            operations,
            control,
            tasks,
            threads,
            store,
            operations_address,
            control_runtime,
        })
    }

    /// Finishes what is under way: requests, the last group, the last flush; and hands all over to
    /// another gateway, where there is one.
    fn drain(self, config: &Config, to: Option<u16>) -> Result<(), HandOverError> {
        tracing::info!("draining");
        self.operations.drain();
        self.control.stop();
        self.server.drain();
        let whole = self.server.join(Duration::from_secs(config.drain_seconds));
        let is_whole = self.control_runtime.block_on(self.control.close_adopted(LAST_FLUSH));
        drop(self.threads);
        self.control.finish();
        let tasks = self.tasks;
        let last_flush = async { tokio::time::timeout(LAST_FLUSH, tasks).await };
        let flushed = self.control_runtime.block_on(last_flush);
        let hand_over = async |to| self.control.hand_over(to, is_whole).await;
        let handed = to.map_or(Ok(()), |to| self.control_runtime.block_on(hand_over(to)));
        drop(self.control_runtime);
        // The last hands on the store: it is closed here, and its write-ahead log folded in.
        drop(self.control);
        drop(self.store);
        tracing::info!(whole, flushed = flushed.is_ok(), "stopped");
        handed
    }
}

/// What the operations listener has to say from here on.
fn sources_of(
    control: &Arc<Control>,
    shared: &Shared,
    engine: Arc<Engine>,
    clock: Arc<MachineClock>,
) -> Recovered {
    let StoreBreakers { read, write } = shared.breakers().clone();
    let mut followers = vec![("the store", Arc::clone(&read)), ("the store", Arc::clone(&write))];
    let mut breakers = vec![(("store", "read"), read), (("store", "write"), write)];
    if let Some(settling) = control.settling() {
        breakers.push((("redis", "all"), Arc::clone(&settling.breaker)));
        followers.push(("Redis", Arc::clone(&settling.breaker)));
    }
    let metrics = Metrics::new(Sources {
        engine: Arc::clone(&engine),
        flush: Arc::clone(&control.flush),
        refunds: Arc::clone(&control.refunds),
        http: shared.counters().to_vec(),
        clock,
        sums: Arc::clone(&control.sums),
        breakers,
        control: Arc::clone(control),
    });
    let peers = control.peers().cloned();
    Recovered { engine, followers, metrics, peers }
}

/// Where runs what may be slow or dead without touching a sale. Its end waits for nobody who blocks: a start
/// that goes no further ends, too.
struct ControlRuntime(Option<Runtime>);

impl ControlRuntime {
    fn start() -> std::io::Result<Self> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(2).thread_name("control").enable_all().build().map(Some).map(Self)
    }
}

impl Deref for ControlRuntime {
    type Target = Runtime;

    fn deref(&self) -> &Runtime {
        self.0.as_ref().expect("it is there until it is dropped")
    }
}

impl Drop for ControlRuntime {
    fn drop(&mut self) {
        self.0.take().into_iter().for_each(|it| it.shutdown_timeout(LAST_STEPS));
    }
}

fn open_engine(config: &Config, clock: &Arc<MachineClock>) -> anyhow::Result<Parts> {
    let disk = MachineDisk::open_locked(&config.journal()).map_err(|error| {
        let data = config.data.display();
        Unusable(match error.kind() {
            std::io::ErrorKind::ResourceBusy => format!("another gateway runs on {data}"),
            _ => format!("the data directory {data} cannot be used: {error}"),
        })
    })?;
    if Marker::Retired.path(&config.journal()).exists() {
        return Err(Unusable::from(&OutOfStep::Retired { gateway: config.gateway_id }).into());
    }
    let origin = Origin { gateway: config.gateway_id, epoch: 0 };
    let mut options = EngineOptions::new(config.cores, origin, crate::random_bytes()?);
    options.leases = config.redis_url.is_some();
    options.segments_max = usize::try_from(config.journal_bytes_max / SEGMENT_BYTES)?;
    let begun_us = clock.elapsed_us();
    let parts = Engine::open(&options, Arc::clone(clock) as Arc<dyn Clock>, Arc::new(disk))
        .map_err(|error| Unusable::from(&error))?;
    let recovery = parts.engine.recovery();
    let ms = (clock.elapsed_us() - begun_us) / 1_000;
    let (orders, position) = (recovery.orders, recovery.position);
    tracing::info!(orders, position, bytes = recovery.bytes, ms, "journal recovered");
    Ok(parts)
}

/// A Redis that is there must be one that this gateway can go on with.
fn meet_redis(runtime: &Runtime, control: &Control) -> Result<(), Unusable> {
    let Some(settling) = control.settling() else { return Ok(()) };
    runtime.block_on(settling.meet()).map_err(|fault| Unusable::from(&fault))
}

/// A store that is away does not keep a gateway from its buyers: it is asked again by the flush. But who
/// may have been handed over must hear whether it was.
fn register(runtime: &Runtime, control: &Control, config: &Config) -> Result<(), Unusable> {
    match runtime.block_on(control.register()) {
        Err(error) if error.is_away() && Marker::Leaving.path(&config.journal()).exists() => {
            let what = "it was handing itself over when the store was lost, and the store must say \
                        whether another gateway goes on: start it again once the store is there";
            Err(Unusable(what.to_owned()))
        }
        Err(error) if error.is_away() => {
            let error = causes(&error);
            tracing::warn!(%error, "the store is away: nothing is flushed until it is back");
            Ok(())
        }
        done => done.map_err(|error| Unusable::from(&error)),
    }
}

/// What is to be known before shoppers are served, those of adopted gateways among them.
fn prepare(runtime: &Runtime, control: &Arc<Control>) -> Result<(), Unusable> {
    let prepared = runtime.block_on(prepared(control));
    if prepared.is_err() {
        // What goes on for others by then is not cut off in the middle of a call.
        let _is_whole = runtime.block_on(control.close_adopted(LAST_FLUSH));
    }
    prepared
}

async fn prepared(control: &Arc<Control>) -> Result<(), Unusable> {
    let opened = control.open_adopted().await;
    opened.map_err(|error| Unusable(format!("{error:#}")))?;
    control.prepare().await.map_err(|error| Unusable::from(&error))?;
    // The others were asked: nobody is to be told what is not to stand.
    match control.ending() {
        Some(Ending::Unusable(why)) => Err(Unusable(why)),
        Some(Ending::HandOver(_)) | None => Ok(()),
    }
}

/// What is settled with the other gateways, where a Redis is configured. What this one sells alone
/// it must have sold before: the others would sell the same units.
fn settling(
    url: &Option<RedisUrl>,
    engine: &Engine,
    runtime: &Runtime,
) -> Result<Option<Settling>, Unusable> {
    let activities = engine.activities();
    let open = activities.values().filter(|it| !it.sale().closed);
    let other = open.clone().find(|it| it.sale().lease.is_some() != url.is_some());
    if let Some(activity) = other {
        let id = activity.id;
        return Err(Unusable(match url {
            Some(_) => format!(
                "activity {id} is sold by this gateway alone: it must be closed before redis_url \
                 is given"
            ),
            None => format!("activity {id} is shared with other gateways: redis_url must be given"),
        }));
    }
    let _runtime = runtime.enter();
    let redis = open_redis(url)?;
    Ok(redis.map(|redis| Settling::new(redis, Breaker::new("redis", REDIS_BREAKER))))
}

/// The other gateways, where there may be any, and the listener on which they are answered.
fn peers(
    config: &Config,
    secret: &[u8; 32],
    clock: &Arc<MachineClock>,
    runtime: &tokio::runtime::Handle,
) -> anyhow::Result<Option<(TcpListener, Arc<Peers>)>> {
    let Some(PeerOptions { listen, address, membership_s }) = &config.peers else {
        return Ok(None);
    };
    let listener = bind(*listen)?;
    let listens = listener.local_addr()?;
    let address = address.clone().unwrap_or_else(|| listens.to_string());
    let clock = Arc::clone(clock) as Arc<dyn Clock>;
    let (own, runtime, membership_s) = (config.gateway_id, runtime.clone(), *membership_s);
    let was_bounded = Marker::Bounded.path(&config.journal()).exists();
    let parts = PeersParts { own, address, secret, clock, runtime, membership_s, was_bounded };
    let peers = Peers::new(parts);
    tracing::info!(url = peers.url(), %listens, "answers other gateways");
    Ok(Some((listener, Arc::new(peers))))
}

/// What the configuration says that shoppers pay by, at a shop that listens on `shop`.
fn payment_port(
    config: &Config,
    clock: &Arc<MachineClock>,
    runtime: &tokio::runtime::Handle,
    shop: SocketAddr,
) -> anyhow::Result<Option<PaymentPort>> {
    let Some(PaymentProvider::Sandbox) = config.payment_provider else { return Ok(None) };
    let keys = config.webhook_keys()?;
    let clock = Arc::clone(clock) as Arc<dyn Clock>;
    let sandbox = Arc::new(Sandbox::new(keys.clone(), clock, runtime.clone(), shop));
    tracing::warn!("payments are the sandbox's: orders are paid for without money");
    let provider = Arc::clone(&sandbox) as Arc<dyn crate::payment::Provider>;
    Ok(Some(PaymentPort { provider, keys, sandbox: Some(sandbox) }))
}

fn bind_operations(
    runtime: &Runtime,
    address: SocketAddr,
) -> Result<tokio::net::TcpListener, Unusable> {
    let listener = bind(address)?;
    let _runtime = runtime.enter();
    let ready =
        listener.set_nonblocking(true).and_then(|()| tokio::net::TcpListener::from_std(listener));
    ready.map_err(|error| Unusable(format!("cannot listen on {address}: {error}")))
}

fn bind(address: SocketAddr) -> Result<TcpListener, Unusable> {
    TcpListener::bind(address)
        .map_err(|error| Unusable(format!("cannot listen on {address}: {error}")))
}

/// One CPU for each core thread, in order, where there are as many that this process may use.
fn cpus(cores: usize) -> Vec<Option<usize>> {
    let allowed = rustix::thread::sched_getaffinity(None).ok();
    let allowed: Vec<usize> = allowed.map_or_else(Vec::new, |set| {
        (0..rustix::thread::CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect()
    });
    (0..cores).map(|core| allowed.get(core).copied().filter(|_| cores <= allowed.len())).collect()
}

/// Each connection is a file; the soft limit is often 1,024.
fn raise_file_limit(connections: usize) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let now = getrlimit(Resource::Nofile);
    let wanted = connections as u64 + 1_024;
    let current = now.maximum.map_or(wanted, |most| most.min(wanted));
    if now.current.is_some_and(|soft| soft < current) {
        let raised = Rlimit { current: Some(current), maximum: now.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::warn!(%error, "the limit of open files stays as it is");
        }
    }
}

/// What the log lets through.
fn filter(config: &Config) -> Result<EnvFilter, Unusable> {
    EnvFilter::builder().parse(&config.log).map_err(|error| Unusable(format!("log: {error}")))
}

fn tell_fault(error: &KeepError) {
    tracing::error!(error = %causes(error), "the journal cannot be kept in shape");
}

/// What asks the gateway to stop.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// From here on they end the process no more, but are waited for.
    fn listen(runtime: &Runtime) -> anyhow::Result<Self> {
        let _runtime = runtime.enter();
        let terminate = signal(SignalKind::terminate())?;
        Ok(Self { terminate, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for one, which may have come before.
    async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

//! A control side for tests: the real tasks and store, beside an engine on a simulated disk.

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use seckill_shards::clock::MachineClock;
use seckill_shards::command::{Command, PlaceOrder, Verdict};
use seckill_shards::engine::EngineOptions;
use seckill_shards::ids::{ActivityId, OrderId, UserId};
use seckill_shards::testing::world::{CURRENCY, DISK_BYTES, NOON, options};
use seckill_shards::testing::{SimulatedClock, SimulatedDisk, World};
use tokio::runtime::{Handle, Runtime};
use tokio::task::yield_now;

use super::{Control, ControlParts};
use crate::api::{Access, Owners, Shards, StoreBreakers};
use crate::payment::PaymentPort;
use crate::peers::{Peers, PeersParts};
use crate::store::sqlite::Sqlite;
use crate::store::{NewActivity, NewProduct, Store};

/// A control side with its store, in a directory of its own.
pub(super) struct Desk {
    pub(super) control: Arc<Control>,
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<SimulatedClock>,
    folder: PathBuf,
}

impl Desk {
    /// With room for `activities_max` open sales. Its engine runs in the tasks of this thread.
    pub(super) fn new(activities_max: usize, payment: Option<PaymentPort>) -> Self {
        Self::over(EngineOptions { activities_max, ..options(1) }, payment, None)
    }

    /// In a fleet, under this number.
    pub(super) fn in_fleet(own: u16, payment: Option<PaymentPort>) -> Self {
        Self::over(EngineOptions { activities_max: 4, ..options(1) }, payment, Some(peers(own)))
    }

    /// The same, and its sales are shared.
    pub(super) fn sharing(own: u16) -> Self {
        let options = EngineOptions { activities_max: 4, leases: true, ..options(1) };
        Self::over(options, None, Some(peers(own)))
    }

    /// Where the journals of adopted gateways are.
    pub(super) fn adopted(&self) -> PathBuf {
        self.folder.join("adopted")
    }

    fn over(
        options: EngineOptions,
        payment: Option<PaymentPort>,
        peers: Option<Arc<Peers>>,
    ) -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let name = (std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(format!("seckill-control-{}-{}", name.0, name.1));
        std::fs::create_dir_all(&folder).unwrap();
        let store: Arc<dyn Store> = Arc::new(Sqlite::open(&folder.join("store.db")).unwrap());
        let (disk, clock) = (SimulatedDisk::new(1, DISK_BYTES), Arc::new(SimulatedClock::at(NOON)));
        let world = World::open(disk, Arc::clone(&clock), options).unwrap();
        let World { engine, mut shards, mut writer, .. } = world;
        let owners = Owners::new(1);
        let shards = Rc::new(Shards::new(shards.pop().unwrap(), owners.clone()));
        drop(tokio::task::spawn_local(Rc::clone(&shards).follow_journal()));
        drop(tokio::task::spawn_local(Rc::clone(&shards).submit_turns()));
        drop(tokio::task::spawn_local(shards.serve_hops()));
        drop(tokio::task::spawn_local(async move {
            loop {
                writer.write_group();
                yield_now().await;
            }
        }));
        let control = Control::new(ControlParts {
            engine,
            store: Arc::clone(&store),
            owners,
            access: Arc::new(Access::new()),
            clock: Arc::new(MachineClock::start()),
            pages: Arc::default(),
            journal: PathBuf::new(),
            payment,
            store_breaker: Arc::clone(&StoreBreakers::default().read),
            settling: None,
            peers,
            adopted: folder.join("adopted"),
        });
        Self { control, store, clock, folder }
    }
}

/// A fleet of which nobody else is known, seen from a gateway of this number.
fn peers(own: u16) -> Arc<Peers> {
    let (address, secret, membership_s) = ("own:1".to_owned(), &[7; 32], None);
    let (clock, runtime) = (Arc::new(MachineClock::start()), Handle::current());
    let was_bounded = false;
    let parts = PeersParts { own, address, secret, clock, runtime, membership_s, was_bounded };
    Arc::new(Peers::new(parts))
}

impl Drop for Desk {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

/// A thread that the tasks of a [`Desk`] run in.
pub(super) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// A shopper's order of one unit.
pub(super) async fn buy(control: &Control, activity: ActivityId, user: UserId) -> OrderId {
    let (key, body, quantity) = ([1; 16], [2; 16], 1);
    let order = PlaceOrder { activity, user, quantity, key, body, admitted: false };
    let verdict = control.owners.ask(0, Command::PlaceOrder(order)).await;
    let Verdict::Placed(order) = verdict else { panic!("{verdict:?}") };
    order.id
}

/// A published sale of ten units of a product of its own.
pub(super) async fn sale(store: &dyn Store) -> ActivityId {
    let product = NewProduct {
        title: "Kettle".to_owned(),
        description: String::new(),
        image_url: String::new(),
        price: 2_000,
        currency: CURRENCY,
        stock: 100,
    };
    let product = store.create_product(product, None).await.unwrap().into_inner().id;
    let activity = NewActivity {
        title: "Kettles".to_owned(),
        product,
        sale_price: 1_000,
        stocked: 10,
        per_user_limit: 1,
        pay_window_ms: 60_000,
        starts_at: NOON,
        ends_at: NOON.plus_ms(60_000),
        admission: false,
    };
    let id = store.create_activity(activity, None).await.unwrap().into_inner().id;
    store.publish(id, None).await.unwrap().id
}

//! The store in SQL Server, or in another server that speaks its protocol: for gateways on several
//! machines.
//!
//! This file must not know any table: it says which transaction each method is. The server need not
//! be there when a gateway starts; the schema is looked at in the first session.

mod activities;
mod changes;
mod counters;
mod flush;
mod gateways;
mod leases;
mod once;
mod orders;
mod payments;
mod products;
mod resets;
mod schema;
mod sessions;
mod set_aside;
mod trail;
mod users;
mod values;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use seckill_shards::clock::Timestamp;
use seckill_shards::ids::{ActivityId, OrderId, PaymentId, ProductId, UserId};
use seckill_shards::record::{Digest, PaymentStatus};
use tiberius::{Config, IsolationLevel};
use tokio::sync::{OnceCell, mpsc};

use self::counters::hold_versions;
use self::sessions::{EXCHANGE, Transaction, Transactions, is_deadlock, is_lost};
use super::{
    Act, Activity, ActivityUpdate, Begun, FlushBatch, GatewayRow, JournalFound, JournalPosition,
    LeaseHeld, LeaseMember, LeaseRoll, Migrated, NewActivity, NewProduct, NewUser, Noted, Once,
    OrderCursor, OrderFilter, Outcome, Page, PasswordReset, PaymentRow, Product, ProductUpdate,
    Retired, Revocation, SetAside, Snapshot, StatusSum, Store, StoreError, Stored, StoredOrder,
    User, UserUpdate,
};

/// Chunks of an audit that wait to be taken.
const CHUNKS_WAITING_MAX: usize = 4;
/// How often a transaction is tried that the server chooses to end a deadlock.
const ATTEMPTS_MAX: u32 = 5;

/// A store in a database of SQL Server.
#[derive(Debug)]
pub struct SqlServer {
    transactions: Transactions,
    /// Set once the schema is known to be the newest.
    schema: OnceCell<Migrated>,
}

impl SqlServer {
    /// A store by an ADO connection string, as `Server=tcp:HOST,1433;Database=D;User Id=U;Password=P`.
    /// Nothing is connected yet. The connection is encrypted, and the server's certificate checked,
    /// unless the string says otherwise.
    ///
    /// # Errors
    /// What is wrong with the string; nothing of it is repeated, since it holds a password.
    pub fn new(connection: &str) -> Result<Self, &'static str> {
        Self::with_exchange(connection, EXCHANGE)
    }

    /// The same, with another limit to each exchange with the server.
    fn with_exchange(connection: &str, exchange: Duration) -> Result<Self, &'static str> {
        let config = Config::from_ado_string(connection);
        let config = config.map_err(|_| "is no ADO connection string of SQL Server")?;
        let transactions = Transactions::new(config, exchange);
        Ok(Self { transactions, schema: OnceCell::new() })
    }

    async fn write(&self) -> Stored<Transaction> {
        self.migrate().await?;
        self.transactions.begin(IsolationLevel::ReadCommitted).await
    }

    /// All of it sees the same instant.
    async fn read(&self) -> Stored<Transaction> {
        self.migrate().await?;
        self.transactions.begin(IsolationLevel::Snapshot).await
    }
}

/// Does work in a transaction of a kind, `read` or `write`, and again where that may be.
macro_rules! within {
    ($self:ident.read, |$tx:ident| $work:expr) => {
        within!($self.read while may_read_again, |$tx| $work)
    };
    ($self:ident.write, |$tx:ident| $work:expr) => {
        within!($self.write while may_write_again, |$tx| $work)
    };
    ($self:ident.$kind:ident while $may:ident, |$tx:ident| $work:expr) => {{
        let mut attempt = 1;
        loop {
            let mut transaction = $self.$kind().await?;
            let $tx = &mut transaction;
            let done = $work.await;
            match transaction.end(done).await {
                Err(error) if $may(&error, attempt) => attempt += 1,
                done => break done,
            }
        }
    }};
}

/// Where it was chosen to end a deadlock nothing of it was done.
fn may_write_again(error: &StoreError, attempt: u32) -> bool {
    is_deadlock(error) && attempt < ATTEMPTS_MAX
}

/// What only reads has done nothing, either, where its session was lost: another session is asked, once. Who
/// was late or refused is not asked again, for the server is there.
fn may_read_again(error: &StoreError, attempt: u32) -> bool {
    may_write_again(error, attempt) || (is_lost(error) && attempt == 1)
}

#[async_trait]
impl Store for SqlServer {
    async fn migrate(&self) -> Stored<Migrated> {
        self.schema.get_or_try_init(|| schema::migrate(&self.transactions)).await.copied()
    }

    async fn create_user(&self, user: NewUser) -> Stored<User> {
        within!(self.write, |tx| users::create(tx, &user))
    }

    async fn create_users(&self, prefix: String, count: u32) -> Stored<UserId> {
        within!(self.write, |tx| users::create_many(tx, &prefix, count))
    }

    async fn user(&self, id: UserId) -> Stored<User> {
        within!(self.read, |tx| users::by_id(tx, id))
    }

    async fn user_by_name(&self, username: String) -> Stored<User> {
        within!(self.read, |tx| users::by_name(tx, &username))
    }

    async fn users(&self, prefix: String, page: Page<String>) -> Stored<Vec<User>> {
        within!(self.read, |tx| users::list(tx, &prefix, &page))
    }

    async fn update_user(&self, id: UserId, update: UserUpdate) -> Stored<User> {
        within!(self.write, |tx| users::update(tx, id, &update))
    }

    async fn open_reset(&self, reset: PasswordReset) -> Stored<()> {
        within!(self.write, |tx| resets::open(tx, &reset))
    }

    async fn reset_of(&self, token: Digest, now: Timestamp) -> Stored<UserId> {
        within!(self.read, |tx| resets::user_of(tx, &token, now))
    }

    async fn use_reset(&self, token: Digest, now: Timestamp, update: UserUpdate) -> Stored<User> {
        within!(self.write, |tx| redeem(tx, &token, now, &update))
    }

    async fn revoke_token(&self, token: Digest, until: Timestamp) -> Stored<()> {
        within!(self.write, |tx| users::revoke_token(tx, &token, until))
    }

    async fn revocations(&self, after: u64) -> Stored<Vec<Revocation>> {
        within!(self.read, |tx| users::revocations(tx, after))
    }

    async fn sweep(&self, now: Timestamp) -> Stored<()> {
        within!(self.write, |tx| sweep(tx, now))
    }

    async fn create_product(
        &self,
        product: NewProduct,
        once: Option<Once>,
    ) -> Stored<Outcome<Product>> {
        within!(self.write, |tx| create_product(tx, &product, once))
    }

    async fn product(&self, id: ProductId) -> Stored<Product> {
        within!(self.read, |tx| products::by_id(tx, id))
    }

    async fn products(&self, query: String, page: Page<ProductId>) -> Stored<Vec<Product>> {
        within!(self.read, |tx| products::list(tx, &query, &page))
    }

    async fn products_changed(&self, after: u64) -> Stored<Vec<Product>> {
        within!(self.read, |tx| products::changed(tx, after))
    }

    async fn update_product(
        &self,
        id: ProductId,
        version: u64,
        update: ProductUpdate,
    ) -> Stored<Product> {
        within!(self.write, |tx| products::update(tx, id, version, &update))
    }

    async fn create_activity(
        &self,
        activity: NewActivity,
        once: Option<Once>,
    ) -> Stored<Outcome<Activity>> {
        within!(self.write, |tx| create_activity(tx, &activity, once))
    }

    async fn activity(&self, id: ActivityId) -> Stored<Activity> {
        within!(self.read, |tx| activities::by_id(tx, id))
    }

    async fn activities(
        &self,
        product: Option<ProductId>,
        page: Page<ActivityId>,
    ) -> Stored<Vec<Activity>> {
        within!(self.read, |tx| activities::list(tx, product, &page))
    }

    async fn activities_changed(&self, after: u64) -> Stored<Vec<Activity>> {
        within!(self.read, |tx| activities::changed(tx, after))
    }

    async fn update_activity(
        &self,
        id: ActivityId,
        version: u64,
        update: ActivityUpdate,
    ) -> Stored<Activity> {
        within!(self.write, |tx| activities::update(tx, id, version, &update))
    }

    async fn publish(&self, id: ActivityId, version: Option<u64>) -> Stored<Activity> {
        within!(self.write, |tx| activities::publish(tx, id, version))
    }

    async fn restock(
        &self,
        id: ActivityId,
        quantity: u32,
        once: Option<Once>,
    ) -> Stored<Outcome<Activity>> {
        within!(self.write, |tx| restock(tx, id, quantity, once))
    }

    async fn remember(&self, once: Once, object: u64) -> Stored<Outcome<u64>> {
        within!(self.write, |tx| remember(tx, once, object))
    }

    async fn forget(&self, user: UserId, key: Digest) -> Stored<()> {
        within!(self.write, |tx| once::forget(tx, user, &key))
    }

    async fn begin(&self, once: Once, gateway: u16) -> Stored<Begun> {
        within!(self.write, |tx| begin(tx, &once, gateway))
    }

    async fn register(&self, found: JournalFound) -> Stored<u64> {
        within!(self.write, |tx| flush::register(tx, &found))
    }

    async fn announce(&self, own: Option<GatewayRow>) -> Stored<Vec<GatewayRow>> {
        if let Some(own) = own {
            within!(self.write, |tx| gateways::announce(tx, &own))?;
        }
        // Apart from the writing: gateways that hold their rows and look at each other's would wait.
        within!(self.read, |tx| gateways::all(tx))
    }

    async fn ask_to_drain(&self, gateway: u16, to: Option<u16>) -> Stored<()> {
        within!(self.write, |tx| gateways::ask_to_drain(tx, gateway, to))
    }

    async fn retire(&self, gateway: u16, retired: Retired) -> Stored<()> {
        within!(self.write, |tx| gateways::retire(tx, gateway, retired))
    }

    async fn hand_over(&self, gateway: u16, retired: Retired) -> Stored<()> {
        within!(self.write, |tx| gateways::hand_over(tx, gateway, retired))
    }

    async fn leases_of(&self, gateway: u16) -> Stored<Vec<LeaseHeld>> {
        within!(self.read, |tx| leases::of_gateway(tx, gateway))
    }

    async fn position(&self, gateway: u16) -> Stored<Option<JournalPosition>> {
        within!(self.read, |tx| flush::position(tx, gateway))
    }

    async fn flush(&self, batch: Arc<FlushBatch>) -> Stored<()> {
        within!(self.write, |tx| flush::flush(tx, &batch))
    }

    async fn rehearse(&self, batch: Arc<FlushBatch>) -> Stored<()> {
        let mut tx = self.write().await?;
        let done = flush::flush(&mut tx, &batch).await;
        tx.undo(done).await
    }

    async fn set_aside(&self, gateway: u16, behind: u32) -> Stored<Vec<SetAside>> {
        within!(self.read, |tx| set_aside::of(tx, gateway, behind))
    }

    async fn count_set_aside(&self, gateway: u16) -> Stored<u64> {
        within!(self.read, |tx| set_aside::count(tx, gateway))
    }

    async fn join(
        &self,
        activity: ActivityId,
        gateway: u16,
        journal: JournalPosition,
    ) -> Stored<u64> {
        within!(self.write, |tx| leases::join(tx, activity, gateway, &journal))
    }

    async fn next_generation(&self, activity: ActivityId) -> Stored<u64> {
        within!(self.write, |tx| leases::next_generation(tx, activity))
    }

    async fn roll(&self, activity: ActivityId) -> Stored<LeaseRoll> {
        within!(self.read, |tx| leases::roll(tx, activity))
    }

    async fn rest(
        &self,
        activity: ActivityId,
        member: LeaseMember,
        now: Timestamp,
    ) -> Stored<bool> {
        within!(self.write, |tx| leases::rest(tx, activity, member, now))
    }

    async fn order(&self, id: OrderId) -> Stored<StoredOrder> {
        within!(self.read, |tx| orders::by_id(tx, id))
    }

    async fn payment(&self, id: PaymentId) -> Stored<PaymentRow> {
        within!(self.read, |tx| payments::by_id(tx, id))
    }

    async fn owe_back(
        &self,
        id: PaymentId,
        from: &'static [PaymentStatus],
        at: Timestamp,
    ) -> Stored<StoredOrder> {
        within!(self.write, |tx| owe_back(tx, id, from, at))
    }

    async fn payments_owed_back(
        &self,
        after: Option<PaymentId>,
        limit: u32,
    ) -> Stored<Vec<PaymentId>> {
        within!(self.read, |tx| payments::owed_back(tx, after, limit))
    }

    async fn refunded(&self, id: PaymentId, at: Timestamp) -> Stored<()> {
        within!(self.write, |tx| payments::refunded(tx, id, at))
    }

    async fn orders(
        &self,
        filter: OrderFilter,
        page: Page<OrderCursor>,
    ) -> Stored<Vec<StoredOrder>> {
        within!(self.read, |tx| orders::list(tx, filter, &page))
    }

    async fn note(&self, act: Act) -> Stored<()> {
        within!(self.write, |tx| trail::note(tx, &act))
    }

    async fn trail(&self, page: Page<u64>) -> Stored<Vec<Noted>> {
        within!(self.read, |tx| trail::list(tx, &page))
    }

    async fn sums(&self, activity: ActivityId) -> Stored<Vec<StatusSum>> {
        within!(self.read, |tx| orders::sums(tx, activity))
    }

    async fn snapshot(&self, activity: Option<ActivityId>) -> Stored<Snapshot> {
        let mut tx = self.read().await?;
        let (listener, orders) = mpsc::channel(CHUNKS_WAITING_MAX);
        let begun = begin_snapshot(&mut tx, activity, orders).await;
        let snapshot = match begun {
            Ok(snapshot) => snapshot,
            Err(error) => return tx.end(Err(error)).await,
        };
        let ids: Vec<_> = snapshot.activities.iter().map(|activity| activity.id).collect();
        tokio::spawn(send_orders(tx, ids, listener));
        Ok(snapshot)
    }
}

async fn begin_snapshot(
    tx: &mut Transaction,
    activity: Option<ActivityId>,
    orders: mpsc::Receiver<Stored<super::OrderChunk>>,
) -> Stored<Snapshot> {
    let positions = flush::positions(tx).await?;
    let activities = match activity {
        Some(id) => vec![activities::by_id(tx, id).await?],
        None => activities::published(tx).await?,
    };
    Ok(Snapshot { positions, activities, orders })
}

/// Sends the orders of a snapshot until all are sent or no one listens, in its transaction.
async fn send_orders(
    mut tx: Transaction,
    activities: Vec<ActivityId>,
    listener: mpsc::Sender<Stored<super::OrderChunk>>,
) {
    for id in activities {
        match orders::stream(&mut tx, id, &listener).await {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => return drop(listener.send(Err(error)).await),
        }
    }
    // Nothing was written.
    drop(tx.end(Ok(())).await);
}

async fn redeem(
    tx: &mut Transaction,
    token: &Digest,
    now: Timestamp,
    update: &UserUpdate,
) -> Stored<User> {
    let user = resets::take(tx, token, now).await?;
    users::update(tx, user, update).await
}

async fn sweep(tx: &mut Transaction, now: Timestamp) -> Stored<()> {
    users::sweep_revocations(tx, now).await?;
    resets::sweep(tx, now).await?;
    once::sweep(tx, now).await?;
    trail::sweep(tx, now).await
}

async fn create_product(
    tx: &mut Transaction,
    product: &NewProduct,
    once: Option<Once>,
) -> Stored<Outcome<Product>> {
    hold_versions(tx).await?;
    if let Some(id) = once::recall(tx, once).await? {
        return products::by_id(tx, ProductId(id)).await.map(Outcome::Again);
    }
    let id = products::create(tx, product).await?;
    once::keep(tx, once, id.0).await?;
    products::by_id(tx, id).await.map(Outcome::New)
}

async fn create_activity(
    tx: &mut Transaction,
    activity: &NewActivity,
    once: Option<Once>,
) -> Stored<Outcome<Activity>> {
    hold_versions(tx).await?;
    if let Some(id) = once::recall(tx, once).await? {
        return activities::by_id(tx, ActivityId(id)).await.map(Outcome::Again);
    }
    let id = activities::create(tx, activity).await?;
    once::keep(tx, once, id.0).await?;
    activities::by_id(tx, id).await.map(Outcome::New)
}

async fn restock(
    tx: &mut Transaction,
    id: ActivityId,
    quantity: u32,
    once: Option<Once>,
) -> Stored<Outcome<Activity>> {
    hold_versions(tx).await?;
    if let Some(id) = once::recall(tx, once).await? {
        return activities::by_id(tx, ActivityId(id)).await.map(Outcome::Again);
    }
    activities::restock(tx, id, quantity).await?;
    once::keep(tx, once, id.0).await?;
    activities::by_id(tx, id).await.map(Outcome::New)
}

async fn remember(tx: &mut Transaction, once: Once, object: u64) -> Stored<Outcome<u64>> {
    hold_versions(tx).await?;
    if let Some(object) = once::recall(tx, Some(once)).await? {
        return Ok(Outcome::Again(object));
    }
    once::keep(tx, Some(once), object).await?;
    Ok(Outcome::New(object))
}

async fn begin(tx: &mut Transaction, once: &Once, gateway: u16) -> Stored<Begun> {
    hold_versions(tx).await?;
    once::begin(tx, once, gateway).await
}

async fn owe_back(
    tx: &mut Transaction,
    id: PaymentId,
    from: &[PaymentStatus],
    at: Timestamp,
) -> Stored<StoredOrder> {
    let order = payments::owe_back(tx, id, from, at).await?;
    orders::by_id(tx, order).await
}

/// A gateway's number, below 1,024, as it is kept.
fn gateway_number(gateway: u16) -> i16 {
    i16::try_from(gateway).expect("a gateway's number is below 1,024")
}

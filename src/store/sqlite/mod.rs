//! The embedded store: one SQLite file, for a fresh machine, for tests, and for several gateways
//! of one machine.
//!
//! This file must not know any table: it says which transaction each method is.

mod activities;
mod connections;
mod flush;
mod gateways;
mod leases;
mod once;
mod orders;
mod payments;
mod products;
mod resets;
mod schema;
mod set_aside;
mod trail;
mod users;
mod values;

#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) use self::connections::simulated::{Line, SimulatedStore};

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::{Connection, ErrorCode};
use seckill_shards::clock::Timestamp;
use seckill_shards::ids::{ActivityId, OrderId, PaymentId, ProductId, UserId};
use seckill_shards::record::{Digest, PaymentStatus};
use tokio::sync::{mpsc, oneshot};

use self::connections::Connections;
use super::{
    Act, Activity, ActivityUpdate, Begun, Fault, FlushBatch, GatewayRow, JournalFound,
    JournalPosition, LeaseHeld, LeaseMember, LeaseRoll, Migrated, NewActivity, NewProduct, NewUser,
    Noted, Once, OrderCursor, OrderFilter, Outcome, Page, PasswordReset, PaymentRow, Product,
    ProductUpdate, Retired, Revocation, SetAside, Snapshot, StatusSum, Store, StoreError, Stored,
    StoredOrder, User, UserUpdate,
};

/// Chunks of an audit that wait to be taken.
const CHUNKS_WAITING_MAX: usize = 4;

/// A store in one SQLite file.
#[derive(Debug)]
pub struct Sqlite {
    connections: Connections,
}

impl Sqlite {
    /// Opens the file, makes it where there is none, and brings it to the newest schema. It
    /// blocks: call it before serving.
    ///
    /// # Errors
    /// [`Fault::NewerSchema`] where a newer version made the file, [`Fault::Unusable`] where it is
    /// damaged or another program's, [`Fault::Unavailable`] where it cannot be opened.
    pub fn open(path: &Path) -> Stored<Self> {
        Connections::open(path).map(|connections| Self { connections })
    }
}

/// Copies a store's file as it is at one instant, beside whoever writes it; how far the copy has
/// followed each gateway.
///
/// # Errors
/// [`Fault::Unavailable`] where the one cannot be read or the other be written; the copy must not
/// be there yet.
pub fn copy(from: &Path, to: &Path) -> Stored<Vec<(u16, JournalPosition)>> {
    let name = to.to_str().ok_or_else(|| Fault::unavailable("the copy's name is no text"))?;
    connections::read_only(from)?.execute("VACUUM INTO ?1", [name])?;
    std::fs::File::open(to).and_then(|file| file.sync_all()).map_err(Fault::unavailable)?;
    flush::positions(&connections::read_only(to)?)
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        let code = error.sqlite_error_code();
        if matches!(code, Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)) {
            return Fault::Unusable(error.to_string()).into();
        }
        let lies_in_a_row = matches!(
            code,
            Some(ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig)
        ) || matches!(
            error,
            rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::IntegralValueOutOfRange(..)
                | rusqlite::Error::InvalidColumnType(..)
        );
        match lies_in_a_row {
            true => Fault::Diverged(error.to_string()).into(),
            false => Fault::unavailable(error).into(),
        }
    }
}

#[async_trait]
impl Store for Sqlite {
    async fn migrate(&self) -> Stored<Migrated> {
        Ok(self.connections.migrated)
    }

    async fn create_user(&self, user: NewUser) -> Stored<User> {
        self.connections.write(move |tx| users::create(tx, &user)).await
    }

    async fn create_users(&self, prefix: String, count: u32) -> Stored<UserId> {
        self.connections.write(move |tx| users::create_many(tx, &prefix, count)).await
    }

    async fn user(&self, id: UserId) -> Stored<User> {
        self.connections.read(move |tx| users::by_id(tx, id)).await
    }

    async fn user_by_name(&self, username: String) -> Stored<User> {
        self.connections.read(move |tx| users::by_name(tx, &username)).await
    }

    async fn users(&self, prefix: String, page: Page<String>) -> Stored<Vec<User>> {
        self.connections.read(move |tx| users::list(tx, &prefix, &page)).await
    }

    async fn update_user(&self, id: UserId, update: UserUpdate) -> Stored<User> {
        self.connections.write(move |tx| users::update(tx, id, &update)).await
    }

    async fn open_reset(&self, reset: PasswordReset) -> Stored<()> {
        self.connections.write(move |tx| resets::open(tx, &reset)).await
    }

    async fn reset_of(&self, token: Digest, now: Timestamp) -> Stored<UserId> {
        self.connections.read(move |tx| resets::user_of(tx, &token, now)).await
    }

    async fn use_reset(&self, token: Digest, now: Timestamp, update: UserUpdate) -> Stored<User> {
        let redeem = move |tx: &rusqlite::Transaction<'_>| {
            let user = resets::take(tx, &token, now)?;
            users::update(tx, user, &update)
        };
        self.connections.write(redeem).await
    }

    async fn revoke_token(&self, token: Digest, until: Timestamp) -> Stored<()> {
        self.connections.write(move |tx| users::revoke_token(tx, &token, until)).await
    }

    async fn revocations(&self, after: u64) -> Stored<Vec<Revocation>> {
        self.connections.read(move |tx| users::revocations(tx, after)).await
    }

    async fn sweep(&self, now: Timestamp) -> Stored<()> {
        let sweep = move |tx: &rusqlite::Transaction<'_>| {
            users::sweep_revocations(tx, now)?;
            resets::sweep(tx, now)?;
            once::sweep(tx, now)?;
            trail::sweep(tx, now)
        };
        self.connections.write(sweep).await
    }

    async fn create_product(
        &self,
        product: NewProduct,
        once: Option<Once>,
    ) -> Stored<Outcome<Product>> {
        let create = move |tx: &rusqlite::Transaction<'_>| {
            let id = once::once(tx, once, || Ok(products::create(tx, &product)?.0))?;
            id.try_map(|id| products::by_id(tx, ProductId(id)))
        };
        self.connections.write(create).await
    }

    async fn product(&self, id: ProductId) -> Stored<Product> {
        self.connections.read(move |tx| products::by_id(tx, id)).await
    }

    async fn products(&self, query: String, page: Page<ProductId>) -> Stored<Vec<Product>> {
        self.connections.read(move |tx| products::list(tx, &query, &page)).await
    }

    async fn products_changed(&self, after: u64) -> Stored<Vec<Product>> {
        self.connections.read(move |tx| products::changed(tx, after)).await
    }

    async fn update_product(
        &self,
        id: ProductId,
        version: u64,
        update: ProductUpdate,
    ) -> Stored<Product> {
        self.connections.write(move |tx| products::update(tx, id, version, &update)).await
    }

    async fn create_activity(
        &self,
        activity: NewActivity,
        once: Option<Once>,
    ) -> Stored<Outcome<Activity>> {
        let create = move |tx: &rusqlite::Transaction<'_>| {
            let id = once::once(tx, once, || Ok(activities::create(tx, &activity)?.0))?;
            id.try_map(|id| activities::by_id(tx, ActivityId(id)))
        };
        self.connections.write(create).await
    }

    async fn activity(&self, id: ActivityId) -> Stored<Activity> {
        self.connections.read(move |tx| activities::by_id(tx, id)).await
    }

    async fn activities(
        &self,
        product: Option<ProductId>,
        page: Page<ActivityId>,
    ) -> Stored<Vec<Activity>> {
        self.connections.read(move |tx| activities::list(tx, product, &page)).await
    }

    async fn activities_changed(&self, after: u64) -> Stored<Vec<Activity>> {
        self.connections.read(move |tx| activities::changed(tx, after)).await
    }

    async fn update_activity(
        &self,
        id: ActivityId,
        version: u64,
        update: ActivityUpdate,
    ) -> Stored<Activity> {
        self.connections.write(move |tx| activities::update(tx, id, version, &update)).await
    }

    async fn publish(&self, id: ActivityId, version: Option<u64>) -> Stored<Activity> {
        self.connections.write(move |tx| activities::publish(tx, id, version)).await
    }

    async fn restock(
        &self,
        id: ActivityId,
        quantity: u32,
        once: Option<Once>,
    ) -> Stored<Outcome<Activity>> {
        let restock = move |tx: &rusqlite::Transaction<'_>| {
            let id = once::once(tx, once, || Ok(activities::restock(tx, id, quantity)?.0))?;
            id.try_map(|id| activities::by_id(tx, ActivityId(id)))
        };
        self.connections.write(restock).await
    }

    async fn remember(&self, once: Once, object: u64) -> Stored<Outcome<u64>> {
        self.connections.write(move |tx| once::once(tx, Some(once), || Ok(object))).await
    }

    async fn forget(&self, user: UserId, key: Digest) -> Stored<()> {
        self.connections.write(move |tx| once::forget(tx, user, &key)).await
    }

    async fn begin(&self, once: Once, gateway: u16) -> Stored<Begun> {
        self.connections.write(move |tx| once::begin(tx, &once, gateway)).await
    }

    async fn register(&self, found: JournalFound) -> Stored<u64> {
        self.connections.write(move |tx| flush::register(tx, &found)).await
    }

    async fn announce(&self, own: Option<GatewayRow>) -> Stored<Vec<GatewayRow>> {
        let Some(own) = own else {
            return self.connections.read(|tx| gateways::all(tx)).await;
        };
        let announce = move |tx: &rusqlite::Transaction<'_>| {
            gateways::announce(tx, &own)?;
            gateways::all(tx)
        };
        self.connections.write(announce).await
    }

    async fn ask_to_drain(&self, gateway: u16, to: Option<u16>) -> Stored<()> {
        self.connections.write(move |tx| gateways::ask_to_drain(tx, gateway, to)).await
    }

    async fn retire(&self, gateway: u16, retired: Retired) -> Stored<()> {
        self.connections.write(move |tx| gateways::retire(tx, gateway, retired)).await
    }

    async fn hand_over(&self, gateway: u16, retired: Retired) -> Stored<()> {
        self.connections.write(move |tx| gateways::hand_over(tx, gateway, retired)).await
    }

    async fn leases_of(&self, gateway: u16) -> Stored<Vec<LeaseHeld>> {
        self.connections.read(move |tx| leases::of_gateway(tx, gateway)).await
    }

    async fn position(&self, gateway: u16) -> Stored<Option<JournalPosition>> {
        self.connections.read(move |tx| flush::position(tx, gateway)).await
    }

    async fn flush(&self, batch: Arc<FlushBatch>) -> Stored<()> {
        self.connections.write(move |tx| flush::flush(tx, &batch)).await
    }

    async fn rehearse(&self, batch: Arc<FlushBatch>) -> Stored<()> {
        self.connections.rehearse(move |tx| flush::flush(tx, &batch)).await
    }

    async fn set_aside(&self, gateway: u16, behind: u32) -> Stored<Vec<SetAside>> {
        self.connections.read(move |tx| set_aside::of(tx, gateway, behind)).await
    }

    async fn count_set_aside(&self, gateway: u16) -> Stored<u64> {
        self.connections.read(move |tx| set_aside::count(tx, gateway)).await
    }

    async fn join(
        &self,
        activity: ActivityId,
        gateway: u16,
        journal: JournalPosition,
    ) -> Stored<u64> {
        self.connections.write(move |tx| leases::join(tx, activity, gateway, &journal)).await
    }

    async fn next_generation(&self, activity: ActivityId) -> Stored<u64> {
        self.connections.write(move |tx| leases::next_generation(tx, activity)).await
    }

    async fn roll(&self, activity: ActivityId) -> Stored<LeaseRoll> {
        self.connections.read(move |tx| leases::roll(tx, activity)).await
    }

    async fn rest(
        &self,
        activity: ActivityId,
        member: LeaseMember,
        now: Timestamp,
    ) -> Stored<bool> {
        self.connections.write(move |tx| leases::rest(tx, activity, member, now)).await
    }

    async fn order(&self, id: OrderId) -> Stored<StoredOrder> {
        self.connections.read(move |tx| orders::by_id(tx, id)).await
    }

    async fn payment(&self, id: PaymentId) -> Stored<PaymentRow> {
        self.connections.read(move |tx| payments::by_id(tx, id)).await
    }

    async fn owe_back(
        &self,
        id: PaymentId,
        from: &'static [PaymentStatus],
        at: Timestamp,
    ) -> Stored<StoredOrder> {
        let owe_back = move |tx: &rusqlite::Transaction<'_>| {
            let order = payments::owe_back(tx, id, from, at)?;
            orders::by_id(tx, order)
        };
        self.connections.write(owe_back).await
    }

    async fn payments_owed_back(
        &self,
        after: Option<PaymentId>,
        limit: u32,
    ) -> Stored<Vec<PaymentId>> {
        self.connections.read(move |tx| payments::owed_back(tx, after, limit)).await
    }

    async fn refunded(&self, id: PaymentId, at: Timestamp) -> Stored<()> {
        self.connections.write(move |tx| payments::refunded(tx, id, at)).await
    }

    async fn orders(
        &self,
        filter: OrderFilter,
        page: Page<OrderCursor>,
    ) -> Stored<Vec<StoredOrder>> {
        self.connections.read(move |tx| orders::list(tx, filter, &page)).await
    }

    async fn note(&self, act: Act) -> Stored<()> {
        self.connections.write(move |tx| trail::note(tx, &act)).await
    }

    async fn trail(&self, page: Page<u64>) -> Stored<Vec<Noted>> {
        self.connections.read(move |tx| trail::list(tx, &page)).await
    }

    async fn sums(&self, activity: ActivityId) -> Stored<Vec<StatusSum>> {
        self.connections.read(move |tx| orders::sums(tx, activity)).await
    }

    async fn snapshot(&self, activity: Option<ActivityId>) -> Stored<Snapshot> {
        let (answer, answered) = oneshot::channel();
        self.connections.audit(move |db| snapshot(db, activity, answer))?;
        answered.await.map_err(|_| Fault::unavailable("the audit's thread has ended"))?
    }
}

/// Answers with the head of a snapshot, then sends its orders, all in one transaction.
fn snapshot(
    db: &mut Connection,
    activity: Option<ActivityId>,
    answer: oneshot::Sender<Stored<Snapshot>>,
) {
    let (listener, orders) = mpsc::channel(CHUNKS_WAITING_MAX);
    let begun = db.transaction().map_err(StoreError::from).and_then(|tx| {
        let positions = flush::positions(&tx)?;
        let activities = match activity {
            Some(id) => vec![activities::by_id(&tx, id)?],
            None => activities::published(&tx)?,
        };
        Ok((tx, Snapshot { positions, activities, orders }))
    });
    let (tx, snapshot) = match begun {
        Ok(begun) => begun,
        // A caller that has gone away wants no answer, here and below.
        Err(error) => return drop(answer.send(Err(error))),
    };
    let ids: Vec<_> = snapshot.activities.iter().map(|activity| activity.id).collect();
    if answer.send(Ok(snapshot)).is_err() {
        return;
    }
    for id in ids {
        match orders::stream(&tx, id, &listener) {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => return drop(listener.blocking_send(Err(error))),
        }
    }
}

//! The schema's versions, and how an older database becomes a newer one.
//!
//! It must not know what the tables mean.

use tiberius::IsolationLevel;

use super::sessions::{Transaction, Transactions, is_answer};
use super::values::Columns;
use crate::store::{Fault, Migrated, StoreError, Stored};

/// Each makes the next schema out of the one before: the first, schema 1 out of nothing.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("schema_1.sql"),
    include_str!("schema_2_set_aside.sql"),
    include_str!("schema_3_retired.sql"),
    include_str!("schema_4_withdrawn.sql"),
    include_str!("schema_5_written_off.sql"),
    include_str!("schema_6_begun.sql"),
    include_str!("schema_7_leases_of.sql"),
    include_str!("schema_8_trail.sql"),
    include_str!("schema_9_serves.sql"),
];

/// The oldest schema whose versions of seckill work on the newest one, too: one that knows it and none
/// later may start again while others are replaced. A migration that takes something away raises it.
pub(super) const SERVES_SINCE: u32 = 9;

/// Brings a database to the newest schema, or leaves it with a newer one that serves this version, too.
/// Of gateways that start together one does, and the others wait for it.
///
/// # Errors
/// [`Fault::NewerSchema`] where a newer version of seckill made it, and it does not;
/// [`Fault::Unusable`] where it is another program's.
pub(super) async fn migrate(transactions: &Transactions) -> Stored<Migrated> {
    allow_snapshots(transactions).await?;
    let mut tx = transactions.begin(IsolationLevel::ReadCommitted).await?;
    let done = migrate_within(&mut tx).await;
    tx.end(done).await
}

/// Reads see one instant, which a database of SQL Server has to be told to allow.
async fn allow_snapshots(transactions: &Transactions) -> Stored<()> {
    if allows_snapshots(transactions).await? {
        return Ok(());
    }
    let allow = "ALTER DATABASE CURRENT SET ALLOW_SNAPSHOT_ISOLATION ON";
    match transactions.alone(allow).await {
        // A gateway that starts beside this one may have been quicker.
        Err(error) if is_answer(&error) && !allows_snapshots(transactions).await? => {
            let why = format!("snapshots are not allowed, and could not be ({allow}): {error}");
            Err(Fault::Unusable(why).into())
        }
        Err(error) if !is_answer(&error) => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

async fn allows_snapshots(transactions: &Transactions) -> Stored<bool> {
    let mut tx = transactions.begin(IsolationLevel::ReadCommitted).await?;
    let sql =
        "SELECT CAST(snapshot_isolation_state AS BIGINT) FROM sys.databases WHERE name = DB_NAME()";
    let state = tx.row(sql, &[]).await.map_err(StoreError::from);
    let state = tx.end(state).await?;
    Ok(state.is_some_and(|row| Columns::of(&row).signed().is_ok_and(|it| it == 1)))
}

async fn migrate_within(tx: &mut Transaction) -> Stored<Migrated> {
    // Held until the end of the transaction.
    tx.batch(
        "DECLARE @got INT;
         EXEC @got = sp_getapplock @Resource = N'seckill_schema', @LockMode = 'Exclusive',
             @LockOwner = 'Transaction', @LockTimeout = 20000;
         IF @got < 0 RAISERROR (N'another gateway has been migrating the schema for too long', 16, 1)",
    )
    .await?;
    let found = version(tx).await?;
    let newest = newest();
    if found >= newest {
        return left_as_found(tx, found).await;
    }
    let done = usize::try_from(found).expect("at most the number of migrations");
    for migration in &MIGRATIONS[done..] {
        tx.batch(migration).await?;
    }
    let sql = "UPDATE schema_version SET version = @P1, serves_since = @P2";
    tx.run(sql, &[&i64::from(newest), &i64::from(SERVES_SINCE)]).await?;
    Ok(Migrated { from: found, to: newest })
}

async fn left_as_found(tx: &mut Transaction, found: u32) -> Stored<Migrated> {
    let known = newest();
    if found > known && serves_since(tx).await? > known {
        return Err(Fault::NewerSchema { found, known }.into());
    }
    Ok(Migrated { from: found, to: found })
}

async fn serves_since(tx: &mut Transaction) -> Stored<u32> {
    let row = tx.row("SELECT serves_since FROM schema_version", &[]).await?;
    Columns::of(&row.ok_or_else(no_version)?).count()
}

fn no_version() -> Fault {
    Fault::Unusable("the schema has no version".to_owned())
}

pub(super) fn newest() -> u32 {
    u32::try_from(MIGRATIONS.len()).expect("a few migrations")
}

/// The version of a database; of an empty one, which is given a place to keep it, 0.
async fn version(tx: &mut Transaction) -> Stored<u32> {
    let is_known = "SELECT CAST(CASE WHEN OBJECT_ID(N'schema_version') IS NULL THEN 0 ELSE 1 END AS BIGINT),
                           CAST(CASE WHEN OBJECT_ID(N'account') IS NULL THEN 0 ELSE 1 END AS BIGINT)";
    let row = tx.row(is_known, &[]).await?;
    let row = row.ok_or_else(|| Fault::Unusable("the server does not know itself".to_owned()))?;
    let mut columns = Columns::of(&row);
    match (columns.signed()?, columns.signed()?) {
        (0, 0) => {
            tx.batch(
                "CREATE TABLE schema_version (version BIGINT NOT NULL);
                 INSERT INTO schema_version (version) VALUES (0)",
            )
            .await?;
            Ok(0)
        }
        (0, _) => Err(Fault::Unusable("the database is not one of seckill".to_owned()).into()),
        _ => {
            let row = tx.row("SELECT version FROM schema_version", &[]).await?;
            Columns::of(&row.ok_or_else(no_version)?).count()
        }
    }
}

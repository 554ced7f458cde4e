//! The schema's versions, and how an older database becomes a newer one.
//!
//! It must not know what the tables mean.

use rusqlite::{Connection, TransactionBehavior};

use crate::store::{Fault, Migrated, Stored};

/// Each makes the next schema out of the one before: the first, schema 1 out of nothing.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("schema.sql"),
    include_str!("schema_2_debts.sql"),
    include_str!("schema_3_resets.sql"),
    include_str!("schema_4_given_back.sql"),
    include_str!("schema_5_copied.sql"),
    include_str!("schema_6_leases.sql"),
    include_str!("schema_7_payments.sql"),
    include_str!("schema_8_gateways.sql"),
    include_str!("schema_9_set_aside.sql"),
    include_str!("schema_10_retired.sql"),
    include_str!("schema_11_withdrawn.sql"),
    include_str!("schema_12_written_off.sql"),
    include_str!("schema_13_begun.sql"),
    include_str!("schema_14_leases_of.sql"),
    include_str!("schema_15_trail.sql"),
    include_str!("schema_16_serves.sql"),
];

/// The oldest schema whose versions of seckill work on the newest one, too: one that knows it and none
/// later may start again while others are replaced. A migration that takes something away raises it.
pub(super) const SERVES_SINCE: u32 = 16;

/// Brings a database to the newest schema, or leaves it with a newer one that serves this version, too.
///
/// # Errors
/// [`Fault::NewerSchema`] where a newer version of seckill made it, and it does not;
/// [`Fault::Unusable`] where it is another program's.
pub(super) fn migrate(db: &mut Connection) -> Stored<Migrated> {
    let newest = newest();
    // Where there is nothing to do nobody's transaction is waited for: a gateway that comes back
    // sells while the store is stalled.
    let found = version(db)?;
    if found >= newest {
        return left_as_found(db, found);
    }
    // The version is read again under the write lock: two gateways of one machine may start together.
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found = version(&tx)?;
    if found >= newest {
        return left_as_found(&tx, found);
    }
    if found == 0 && has_tables(&tx)? {
        return Err(Fault::Unusable("the database is not one of seckill".to_owned()).into());
    }
    let done = usize::try_from(found).expect("at most the number of migrations");
    for migration in &MIGRATIONS[done..] {
        tx.execute_batch(migration)?;
    }
    tx.execute("UPDATE schema_serves SET since = ?1", [SERVES_SINCE])?;
    tx.pragma_update(None, "user_version", newest)?;
    tx.commit()?;
    Ok(Migrated { from: found, to: newest })
}

fn left_as_found(db: &Connection, found: u32) -> Stored<Migrated> {
    let known = newest();
    if found > known && serves_since(db)? > known {
        return Err(Fault::NewerSchema { found, known }.into());
    }
    Ok(Migrated { from: found, to: found })
}

fn serves_since(db: &Connection) -> rusqlite::Result<u32> {
    db.query_row("SELECT since FROM schema_serves", [], |row| row.get(0))
}

fn version(db: &Connection) -> rusqlite::Result<u32> {
    db.query_row("PRAGMA user_version", [], |row| row.get(0))
}

pub(super) fn newest() -> u32 {
    u32::try_from(MIGRATIONS.len()).expect("a few migrations")
}

fn has_tables(db: &Connection) -> rusqlite::Result<bool> {
    db.query_row("SELECT EXISTS (SELECT 1 FROM sqlite_schema)", [], |row| row.get(0))
}

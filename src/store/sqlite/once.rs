//! Requests that are carried out once: the key is written in the transaction that carries it out.
//!
//! It must not know what the objects are that it remembers.

use rusqlite::{Connection, OptionalExtension, params};
use seckill_shards::clock::Timestamp;
use seckill_shards::ids::UserId;
use seckill_shards::record::Digest;

use super::values::Number;
use crate::store::{ONCE_MS, Once, Outcome, Refusal, Stored};

/// Does `work` unless a request with the same key was carried out before; the outcome names the
/// object that the work made or changed.
pub(super) fn once(
    db: &Connection,
    once: Option<Once>,
    work: impl FnOnce() -> Stored<u64>,
) -> Stored<Outcome<u64>> {
    let Some(once) = once else {
        return work().map(Outcome::New);
    };
    if let Some(object) = recall(db, &once)? {
        return Ok(Outcome::Again(object));
    }
    let object = work()?;
    let sql = "INSERT OR REPLACE INTO once (user_id, key, body, object, at)
               VALUES (?1, ?2, ?3, ?4, ?5)";
    let values = params![Number(once.user), once.key, once.body, Number(object), Number(once.at)];
    db.prepare_cached(sql)?.execute(values)?;
    Ok(Outcome::New(object))
}

/// The object of an earlier request with the same key, if it is not too old.
fn recall(db: &Connection, once: &Once) -> Stored<Option<u64>> {
    let sql = "SELECT body, object FROM once WHERE user_id = ?1 AND key = ?2 AND at > ?3";
    let forgotten = once.at.0.saturating_sub(ONCE_MS);
    let values = params![Number(once.user), once.key, Number(forgotten)];
    let found = db
        .prepare_cached(sql)?
        .query_row(values, |row| Ok((row.get::<_, Digest>(0)?, row.get::<_, Number<u64>>(1)?.0)))
        .optional()?;
    match found {
        Some((body, _)) if body != once.body => Err(Refusal::Mismatch.into()),
        found => Ok(found.map(|(_, object)| object)),
    }
}

pub(super) fn forget(db: &Connection, user: UserId, key: &Digest) -> Stored<()> {
    let sql = "DELETE FROM once WHERE user_id = ?1 AND key = ?2";
    db.prepare_cached(sql)?.execute(params![Number(user), key])?;
    Ok(())
}

pub(super) fn sweep(db: &Connection, now: Timestamp) -> Stored<()> {
    let sql = "DELETE FROM once WHERE at <= ?1";
    db.prepare_cached(sql)?.execute([Number(now.0.saturating_sub(ONCE_MS))])?;
    Ok(())
}

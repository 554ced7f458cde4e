//! Requests that are carried out once: the key is written in the transaction that carries it out, or,
//! where a gateway's journal does, in the one that begins it.
//!
//! It must not know what the objects are that it remembers.

use rusqlite::{Connection, OptionalExtension, params};
use seckill_shards::clock::Timestamp;
use seckill_shards::ids::UserId;
use seckill_shards::record::Digest;

use super::values::Number;
use crate::store::steps::{self, Beginning};
use crate::store::{Begun, ONCE_MS, Once, Outcome, Refusal, Stored};

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
    keep(db, &once, object, None)?;
    Ok(Outcome::New(object))
}

/// Has a gateway begin a request, unless another may have done it or yet do it.
pub(super) fn begin(db: &Connection, once: &Once, gateway: u16) -> Stored<Begun> {
    let known = recall(db, once)?.map(|_| beginning(db, once)).transpose()?;
    let begun = known.map_or(Begun::Here, |it| steps::begun(&it, gateway));
    if begun == Begun::Here {
        // Whatever comes of it comes now: the key is remembered from here on.
        keep(db, once, gateway.into(), steps::is_done(known, gateway))?;
    }
    Ok(begun)
}

fn beginning(db: &Connection, once: &Once) -> Stored<Beginning> {
    let sql = "SELECT o.object, o.is_done, g.adopter IS NOT NULL
               FROM once o LEFT JOIN gateway g ON g.number = o.object
               WHERE o.user_id = ?1 AND o.key = ?2";
    let mut select = db.prepare_cached(sql)?;
    Ok(select.query_row(params![Number(once.user), once.key], |row| {
        Ok(Beginning { gateway: row.get(0)?, is_done: row.get(1)?, is_retired: row.get(2)? })
    })?)
}

/// The store has what a gateway's journal did under these keys.
pub(super) fn done(db: &Connection, gateway: u16, keys: &[Digest]) -> Stored<()> {
    let mut update =
        db.prepare_cached("UPDATE once SET is_done = 1 WHERE key = ?1 AND object = ?2")?;
    for key in keys {
        update.execute(params![key, gateway])?;
    }
    Ok(())
}

fn keep(db: &Connection, once: &Once, object: u64, is_done: Option<bool>) -> Stored<()> {
    let sql = "INSERT OR REPLACE INTO once (user_id, key, body, object, at, is_done)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let Once { user, key, body, at } = *once;
    let values = params![Number(user), key, body, Number(object), Number(at), is_done];
    db.prepare_cached(sql)?.execute(values)?;
    Ok(())
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

//! Requests that are carried out once: the key is written in the transaction that carries it out, or,
//! where a gateway's journal does, in the one that begins it.
//!
//! It must not know what the objects are that it remembers. Who asks for something once holds the
//! versions, so two requests with one key come one after the other; who retires a gateway and who flushes
//! what was done hold them, too, so neither comes between what is read of a beginning.

use seckill_shards::clock::Timestamp;
use seckill_shards::ids::UserId;
use seckill_shards::record::Digest;

use super::sessions::Transaction;
use super::values::{Columns, number};
use crate::store::steps::{self, Beginning};
use crate::store::{Begun, ONCE_MS, Once, Refusal, Stored};

/// The object of an earlier request with the same key, if it is not too old.
pub(super) async fn recall(tx: &mut Transaction, once: Option<Once>) -> Stored<Option<u64>> {
    let Some(once) = once else { return Ok(None) };
    let sql = "SELECT body, object FROM once WHERE user_id = @P1 AND digest = @P2 AND at > @P3";
    let forgotten = number(once.at.0.saturating_sub(ONCE_MS));
    let Some(row) = tx.row(sql, &[&number(once.user), &&once.key[..], &forgotten]).await? else {
        return Ok(None);
    };
    let mut columns = Columns::of(&row);
    if columns.digest()? != once.body {
        return Err(Refusal::Mismatch.into());
    }
    columns.number().map(Some)
}

/// Remembers the object that a request made or changed.
pub(super) async fn keep(tx: &mut Transaction, once: Option<Once>, object: u64) -> Stored<()> {
    match once {
        Some(once) => insert(tx, &once, object, None).await,
        None => Ok(()),
    }
}

/// Has a gateway begin a request, unless another may have done it or yet do it.
pub(super) async fn begin(tx: &mut Transaction, once: &Once, gateway: u16) -> Stored<Begun> {
    let known = match recall(tx, Some(*once)).await? {
        Some(_) => Some(beginning(tx, once).await?),
        None => None,
    };
    let begun = known.map_or(Begun::Here, |it| steps::begun(&it, gateway));
    if begun == Begun::Here {
        // Whatever comes of it comes now: the key is remembered from here on.
        insert(tx, once, gateway.into(), steps::is_done(known, gateway)).await?;
    }
    Ok(begun)
}

async fn beginning(tx: &mut Transaction, once: &Once) -> Stored<Beginning> {
    let sql = "SELECT CAST(o.object AS SMALLINT), o.is_done, g.adopter
               FROM once o LEFT JOIN gateway g ON g.number = o.object
               WHERE o.user_id = @P1 AND o.digest = @P2";
    let row = tx.row(sql, &[&number(once.user), &&once.key[..]]).await?;
    let row = row.ok_or(Refusal::NotFound)?;
    let mut columns = Columns::of(&row);
    let (gateway, is_done) = (columns.small()?, columns.optional_flag()?);
    let adopter: Option<u16> = columns.optional_small()?;
    Ok(Beginning { gateway, is_done, is_retired: adopter.is_some() })
}

/// The store has what a gateway's journal did under these keys.
pub(super) async fn done(tx: &mut Transaction, gateway: u16, keys: &[Digest]) -> Stored<()> {
    let sql = "UPDATE once SET is_done = 1 WHERE digest = @P1 AND object = @P2";
    for key in keys {
        tx.run(sql, &[&&key[..], &i64::from(gateway)]).await?;
    }
    Ok(())
}

async fn insert(
    tx: &mut Transaction,
    once: &Once,
    object: u64,
    is_done: Option<bool>,
) -> Stored<()> {
    forget(tx, once.user, &once.key).await?;
    let sql = "INSERT INTO once (user_id, digest, body, object, at, is_done)
               VALUES (@P1, @P2, @P3, @P4, @P5, @P6)";
    let (user, object, at) = (number(once.user), number(object), number(once.at));
    tx.run(sql, &[&user, &&once.key[..], &&once.body[..], &object, &at, &is_done]).await?;
    Ok(())
}

pub(super) async fn forget(tx: &mut Transaction, user: UserId, key: &Digest) -> Stored<()> {
    let sql = "DELETE FROM once WHERE user_id = @P1 AND digest = @P2";
    tx.run(sql, &[&number(user), &&key[..]]).await?;
    Ok(())
}

pub(super) async fn sweep(tx: &mut Transaction, now: Timestamp) -> Stored<()> {
    let forgotten = number(now.0.saturating_sub(ONCE_MS));
    tx.run("DELETE FROM once WHERE at <= @P1", &[&forgotten]).await?;
    Ok(())
}

//! Requests that are carried out once: the key is written in the transaction that carries it out.
//!
//! It must not know what the objects are that it remembers. Who asks for something once holds the
//! versions, so two requests with one key come one after the other.

use seckill_shards::clock::Timestamp;
use seckill_shards::ids::UserId;
use seckill_shards::record::Digest;

use super::sessions::Transaction;
use super::values::{Columns, number};
use crate::store::{ONCE_MS, Once, Refusal, Stored};

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
    let Some(once) = once else { return Ok(()) };
    forget(tx, once.user, &once.key).await?;
    let sql = "INSERT INTO once (user_id, digest, body, object, at)
               VALUES (@P1, @P2, @P3, @P4, @P5)";
    let (user, object, at) = (number(once.user), number(object), number(once.at));
    tx.run(sql, &[&user, &&once.key[..], &&once.body[..], &object, &at]).await?;
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

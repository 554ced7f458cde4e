//! Password resets that are open.
//!
//! It must not know how a token is made, or what else changes when one is used.

use seckill_shards::clock::Timestamp;
use seckill_shards::ids::UserId;
use seckill_shards::record::Digest;

use super::sessions::Transaction;
use super::values::{Columns, number};
use crate::store::{PasswordReset, Refusal, Stored};

pub(super) async fn open(tx: &mut Transaction, reset: &PasswordReset) -> Stored<()> {
    // Holds the account: of two who open one at once the later comes after the other.
    let held = "UPDATE account SET roles = roles WHERE id = @P1";
    if tx.run(held, &[&number(reset.user)]).await? == 0 {
        return Err(Refusal::NotFound.into());
    }
    close(tx, reset.user).await?;
    let sql = "INSERT INTO password_reset (user_id, token, until)
               VALUES (@P1, @P2, @P3)";
    tx.run(sql, &[&number(reset.user), &&reset.token[..], &number(reset.until)]).await?;
    Ok(())
}

pub(super) async fn user_of(
    tx: &mut Transaction,
    token: &Digest,
    now: Timestamp,
) -> Stored<UserId> {
    let sql = "SELECT user_id FROM password_reset WHERE token = @P1 AND until > @P2";
    let found = tx.row(sql, &[&&token[..], &number(now)]).await?;
    Columns::of(&found.ok_or(Refusal::NotFound)?).number()
}

/// Closes a reset that is open; whose it was. Of two who use it at once, one closes it.
pub(super) async fn take(tx: &mut Transaction, token: &Digest, now: Timestamp) -> Stored<UserId> {
    let user = user_of(tx, token, now).await?;
    let sql = "DELETE FROM password_reset WHERE user_id = @P1 AND token = @P2";
    match tx.run(sql, &[&number(user), &&token[..]]).await? {
        0 => Err(Refusal::NotFound.into()),
        _ => Ok(user),
    }
}

/// Closes whatever reset a user has.
pub(super) async fn close(tx: &mut Transaction, user: UserId) -> Stored<()> {
    tx.run("DELETE FROM password_reset WHERE user_id = @P1", &[&number(user)]).await?;
    Ok(())
}

pub(super) async fn sweep(tx: &mut Transaction, now: Timestamp) -> Stored<()> {
    tx.run("DELETE FROM password_reset WHERE until <= @P1", &[&number(now)]).await?;
    Ok(())
}

//! Password resets that are open.
//!
//! It must not know how a token is made, or what else changes when one is used.

use rusqlite::{Connection, OptionalExtension, params};
use seckill_shards::clock::Timestamp;
use seckill_shards::ids::UserId;
use seckill_shards::record::Digest;

use super::values::Number;
use crate::store::{PasswordReset, Refusal, Stored};

pub(super) fn open(db: &Connection, reset: &PasswordReset) -> Stored<()> {
    let sql = "INSERT OR REPLACE INTO password_reset (user_id, token, until)
               SELECT id, ?2, ?3 FROM account WHERE id = ?1";
    let values = params![Number(reset.user), reset.token, Number(reset.until)];
    match db.prepare_cached(sql)?.execute(values)? {
        0 => Err(Refusal::NotFound.into()),
        _ => Ok(()),
    }
}

pub(super) fn user_of(db: &Connection, token: &Digest, now: Timestamp) -> Stored<UserId> {
    let sql = "SELECT user_id FROM password_reset WHERE token = ?1 AND until > ?2";
    one(db, sql, token, now)
}

/// Closes a reset that is open; whose it was.
pub(super) fn take(db: &Connection, token: &Digest, now: Timestamp) -> Stored<UserId> {
    let sql = "DELETE FROM password_reset WHERE token = ?1 AND until > ?2 RETURNING user_id";
    one(db, sql, token, now)
}

fn one(db: &Connection, sql: &str, token: &Digest, now: Timestamp) -> Stored<UserId> {
    let mut statement = db.prepare_cached(sql)?;
    let found = statement.query_row(params![token, Number(now)], |row| row.get::<_, Number<_>>(0));
    Ok(found.optional()?.ok_or(Refusal::NotFound)?.0)
}

/// Closes whatever reset a user has.
pub(super) fn close(db: &Connection, user: UserId) -> Stored<()> {
    db.prepare_cached("DELETE FROM password_reset WHERE user_id = ?1")?.execute([Number(user)])?;
    Ok(())
}

pub(super) fn sweep(db: &Connection, now: Timestamp) -> Stored<()> {
    db.prepare_cached("DELETE FROM password_reset WHERE until <= ?1")?.execute([Number(now)])?;
    Ok(())
}

//! Accounts, and the tokens that were taken back.
//!
//! It must not know how passwords are hashed or tokens are made.

use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, params};
use seckill_shards::clock::Timestamp;
use seckill_shards::ids::UserId;
use seckill_shards::record::Digest;

use super::resets;
use super::values::Number;
use crate::store::{
    NewUser, PAGE_ROWS_MAX, Page, Refusal, Revocation, Revoked, Roles, SignOut, Stored,
    USERS_PER_CALL_MAX, User, UserUpdate,
};

const COLUMNS: &str = "id, username, display_name, password_hash, roles";

fn user_of(row: &Row<'_>) -> rusqlite::Result<User> {
    Ok(User {
        id: row.get::<_, Number<_>>(0)?.0,
        username: row.get(1)?,
        display_name: row.get(2)?,
        password_hash: row.get(3)?,
        roles: Roles(row.get(4)?),
    })
}

pub(super) fn create(db: &Connection, user: &NewUser) -> Stored<User> {
    let sql = format!(
        "INSERT INTO account (username, display_name, password_hash, roles)
         VALUES (?1, ?2, ?3, ?4) RETURNING {COLUMNS}"
    );
    let values = params![user.username, user.display_name, user.password_hash, user.roles.0];
    let created = db.prepare_cached(&sql)?.query_row(values, user_of);
    created.or_else(|error| if_unique(error, Refusal::Taken))
}

pub(super) fn create_many(db: &Connection, prefix: &str, count: u32) -> Stored<UserId> {
    let last = "SELECT coalesce(max(id), 0) FROM account";
    let first: u64 = db.query_row(last, [], |row| Ok(row.get::<_, Number<u64>>(0)?.0))? + 1;
    let mut insert = db.prepare_cached(
        "INSERT INTO account (id, username, display_name, roles) VALUES (?1, ?2 || ?1, '', ?3)",
    )?;
    for id in first..first + u64::from(count.min(USERS_PER_CALL_MAX)) {
        let inserted = insert.execute(params![Number(id), prefix, Roles::SHOPPER.0]);
        inserted.or_else(|error| if_unique(error, Refusal::Taken))?;
    }
    Ok(UserId(first))
}

/// Refuses where a row with the same unique name exists; hands every other error on.
fn if_unique<T>(error: rusqlite::Error, refusal: Refusal) -> Stored<T> {
    if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) {
        return Err(refusal.into());
    }
    Err(error.into())
}

pub(super) fn by_id(db: &Connection, id: UserId) -> Stored<User> {
    let sql = format!("SELECT {COLUMNS} FROM account WHERE id = ?1");
    let found = db.prepare_cached(&sql)?.query_row([Number(id)], user_of).optional()?;
    Ok(found.ok_or(Refusal::NotFound)?)
}

pub(super) fn by_name(db: &Connection, username: &str) -> Stored<User> {
    let sql = format!("SELECT {COLUMNS} FROM account WHERE username = ?1");
    let found = db.prepare_cached(&sql)?.query_row([username], user_of).optional()?;
    Ok(found.ok_or(Refusal::NotFound)?)
}

pub(super) fn list(db: &Connection, prefix: &str, page: &Page<String>) -> Stored<Vec<User>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM account WHERE username >= ?1 AND username < ?2
         ORDER BY username LIMIT ?3"
    );
    // The least name that comes after another is that name and a zero byte.
    let after = page.after.as_ref().map(|name| format!("{name}\0")).unwrap_or_default();
    let begin = after.as_str().max(prefix);
    let end = format!("{prefix}{}", char::MAX);
    let limit = page.limit.min(PAGE_ROWS_MAX);
    let mut select = db.prepare_cached(&sql)?;
    let users = select.query_map(params![begin, end, limit], user_of)?;
    Ok(users.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn update(db: &Connection, id: UserId, update: &UserUpdate) -> Stored<User> {
    let sql = format!(
        "UPDATE account SET
             display_name = coalesce(?2, display_name),
             password_hash = coalesce(?3, password_hash),
             roles = coalesce(?4, roles)
         WHERE id = ?1 RETURNING {COLUMNS}"
    );
    let roles = update.roles.map(|roles| roles.0);
    let values = params![Number(id), update.display_name, update.password_hash, roles];
    let updated = db.prepare_cached(&sql)?.query_row(values, user_of).optional()?;
    let user = updated.ok_or(Refusal::NotFound)?;
    if update.password_hash.is_some() {
        resets::close(db, id)?;
    }
    if let Some(sign_out) = update.sign_out {
        sign_out_user(db, id, sign_out)?;
    }
    Ok(user)
}

fn sign_out_user(db: &Connection, id: UserId, sign_out: SignOut) -> Stored<()> {
    let sql = "INSERT INTO revocation (user_id, valid_from, until) VALUES (?1, ?2, ?3)";
    let values = (Number(id), Number(sign_out.valid_from), Number(sign_out.until));
    db.prepare_cached(sql)?.execute(values)?;
    Ok(())
}

pub(super) fn revoke_token(db: &Connection, token: &Digest, until: Timestamp) -> Stored<()> {
    let sql = "INSERT INTO revocation (token, until) VALUES (?1, ?2)";
    db.prepare_cached(sql)?.execute(params![token, Number(until)])?;
    Ok(())
}

pub(super) fn revocations(db: &Connection, after: u64) -> Stored<Vec<Revocation>> {
    let sql = "SELECT number, token, user_id, valid_from, until FROM revocation
               WHERE number > ?1 ORDER BY number LIMIT ?2";
    let mut select = db.prepare_cached(sql)?;
    let found = select.query_map(params![Number(after), PAGE_ROWS_MAX], revocation_of)?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

fn revocation_of(row: &Row<'_>) -> rusqlite::Result<Revocation> {
    let revoked = match row.get(1)? {
        Some(token) => Revoked::Token(token),
        None => Revoked::User {
            user: row.get::<_, Number<_>>(2)?.0,
            valid_from: row.get::<_, Number<_>>(3)?.0,
        },
    };
    let (number, until) = (row.get::<_, Number<_>>(0)?.0, row.get::<_, Number<_>>(4)?.0);
    Ok(Revocation { number, revoked, until })
}

pub(super) fn sweep_revocations(db: &Connection, now: Timestamp) -> Stored<()> {
    let sql = "DELETE FROM revocation WHERE until <= ?1";
    db.prepare_cached(sql)?.execute([Number(now)])?;
    Ok(())
}

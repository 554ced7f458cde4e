//! Accounts, and the tokens that were taken back.
//!
//! It must not know how passwords are hashed or tokens are made.

use seckill_shards::clock::Timestamp;
use seckill_shards::ids::UserId;
use seckill_shards::record::Digest;
use tiberius::{IntoRow, Row};

use super::changes::Changes;
use super::counters::{Counter, draw, draw_many};
use super::resets;
use super::sessions::{Transaction, is_taken};
use super::values::{Columns, number};
use crate::store::{
    NewUser, PAGE_ROWS_MAX, Page, Refusal, Revocation, Revoked, Roles, SignOut, StoreError, Stored,
    USERS_PER_CALL_MAX, User, UserUpdate,
};

const COLUMNS: &str = "id, username, display_name, password_hash, roles";

fn user_of(row: &Row) -> Stored<User> {
    let mut columns = Columns::of(row);
    Ok(User {
        id: columns.number()?,
        username: columns.text()?,
        display_name: columns.text()?,
        password_hash: columns.optional_text()?,
        roles: Roles(columns.byte()?),
    })
}

fn unless_taken(error: tiberius::error::Error) -> StoreError {
    if is_taken(&error) { Refusal::Taken.into() } else { error.into() }
}

pub(super) async fn create(tx: &mut Transaction, user: &NewUser) -> Stored<User> {
    let id = UserId(draw(tx, Counter::Account).await?);
    // A hash is never empty; a value of text cannot be NULL.
    let sql = "INSERT INTO account (id, username, display_name, password_hash, roles)
               VALUES (@P1, @P2, @P3, NULLIF(@P4, N''), @P5)";
    let hash = user.password_hash.as_deref().unwrap_or_default();
    let inserted =
        tx.run(sql, &[&number(id), &user.username, &user.display_name, &hash, &user.roles.0]).await;
    inserted.map_err(unless_taken)?;
    by_id(tx, id).await
}

pub(super) async fn create_many(tx: &mut Transaction, prefix: &str, count: u32) -> Stored<UserId> {
    let count = count.min(USERS_PER_CALL_MAX);
    let last = draw_many(tx, Counter::Account, count).await?;
    let first = last + 1 - u64::from(count);
    let prefix = prefix.to_owned();
    let rows = (first..=last).map(move |id| {
        let (username, none) = (format!("{prefix}{id}"), Option::<String>::None);
        (number(id), username, String::new(), none, Roles::SHOPPER.0).into_row()
    });
    tx.load("account", rows).await.map_err(unless_taken)?;
    Ok(UserId(first))
}

pub(super) async fn by_id(tx: &mut Transaction, id: UserId) -> Stored<User> {
    let sql = format!("SELECT {COLUMNS} FROM account WHERE id = @P1");
    let found = tx.row(&sql, &[&number(id)]).await?;
    user_of(&found.ok_or(Refusal::NotFound)?)
}

pub(super) async fn by_name(tx: &mut Transaction, username: &str) -> Stored<User> {
    // Blanks at the end do not count where two texts are compared, but they have a length.
    let sql = format!(
        "SELECT {COLUMNS} FROM account
         WHERE username = @P1 AND DATALENGTH(username) = DATALENGTH(@P1)"
    );
    let found = tx.row(&sql, &[&username]).await?;
    user_of(&found.ok_or(Refusal::NotFound)?)
}

pub(super) async fn list(
    tx: &mut Transaction,
    prefix: &str,
    page: &Page<String>,
) -> Stored<Vec<User>> {
    let sql = format!(
        "SELECT TOP (@P4) {COLUMNS} FROM account
         WHERE username >= @P1 AND username < @P2 AND username > @P3 ORDER BY username"
    );
    let end = format!("{prefix}{}", char::MAX);
    let after = page.after.as_deref().unwrap_or_default();
    let limit = i64::from(page.limit.min(PAGE_ROWS_MAX));
    let users = tx.rows(&sql, &[&prefix, &end, &after, &limit]).await?;
    users.iter().map(user_of).collect()
}

pub(super) async fn update(tx: &mut Transaction, id: UserId, update: &UserUpdate) -> Stored<User> {
    let (key, roles) = (number(id), update.roles.map(|roles| roles.0));
    let changes = Changes::default()
        .to("display_name", &update.display_name)
        .to("password_hash", &update.password_hash)
        .to("roles", &roles);
    if let Some((sql, values)) = changes.statement("account", &key) {
        tx.run(&sql, &values).await?;
    }
    let user = by_id(tx, id).await?;
    if update.password_hash.is_some() {
        resets::close(tx, id).await?;
    }
    if let Some(sign_out) = update.sign_out {
        sign_out_user(tx, id, sign_out).await?;
    }
    Ok(user)
}

async fn sign_out_user(tx: &mut Transaction, id: UserId, sign_out: SignOut) -> Stored<()> {
    let revocation = number(draw(tx, Counter::Revocation).await?);
    let sql = "INSERT INTO revocation (number, user_id, valid_from, until)
               VALUES (@P1, @P2, @P3, @P4)";
    let (valid_from, until) = (number(sign_out.valid_from), number(sign_out.until));
    tx.run(sql, &[&revocation, &number(id), &valid_from, &until]).await?;
    Ok(())
}

pub(super) async fn revoke_token(
    tx: &mut Transaction,
    token: &Digest,
    until: Timestamp,
) -> Stored<()> {
    let revocation = number(draw(tx, Counter::Revocation).await?);
    let sql = "INSERT INTO revocation (number, token, until) VALUES (@P1, @P2, @P3)";
    tx.run(sql, &[&revocation, &&token[..], &number(until)]).await?;
    Ok(())
}

pub(super) async fn revocations(tx: &mut Transaction, after: u64) -> Stored<Vec<Revocation>> {
    let sql = "SELECT TOP (@P2) number, token, user_id, valid_from, until FROM revocation
               WHERE number > @P1 ORDER BY number";
    let found = tx.rows(sql, &[&number(after), &i64::from(PAGE_ROWS_MAX)]).await?;
    found.iter().map(revocation_of).collect()
}

fn revocation_of(row: &Row) -> Stored<Revocation> {
    let mut columns = Columns::of(row);
    let number = columns.number()?;
    let revoked = match columns.optional_digest()? {
        Some(token) => {
            columns.skip(2);
            Revoked::Token(token)
        }
        None => Revoked::User { user: columns.number()?, valid_from: columns.number()? },
    };
    Ok(Revocation { number, revoked, until: columns.number()? })
}

pub(super) async fn sweep_revocations(tx: &mut Transaction, now: Timestamp) -> Stored<()> {
    tx.run("DELETE FROM revocation WHERE until <= @P1", &[&number(now)]).await?;
    Ok(())
}

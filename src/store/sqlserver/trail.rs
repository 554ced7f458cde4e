//! The operators' trail. Who writes into it holds its counter, so one act comes after the other.
//!
//! It must not know which deeds there are.

use seckill_shards::clock::Timestamp;
use tiberius::Row;

use super::counters::{Counter, draw};
use super::gateway_number;
use super::sessions::Transaction;
use super::values::{Columns, number};
use crate::store::{Act, Deed, Doer, Noted, ONCE_MS, PAGE_ROWS_MAX, Page, Stored, TRAIL_MS};

pub(super) async fn note(tx: &mut Transaction, act: &Act) -> Stored<()> {
    let line = number(draw(tx, Counter::Trail).await?);
    if was_noted(tx, act).await? {
        return Ok(());
    }
    // The name is read by the statement: a value of text cannot be NULL.
    let sql = "INSERT INTO trail
                   (number, at, request, gateway, user_id, username, act, kind, target, detail,
                    is_known)
               SELECT @P1, @P2, @P3, @P4, @P5, (SELECT username FROM account WHERE id = @P5),
                   @P6, @P7, @P8, @P9, @P10";
    let Act { at, request, by, deed: Deed { act, kind, target }, detail, is_known } = act;
    let (gateway, user) = match *by {
        Doer::CommandLine => (None, None),
        Doer::Account { user, gateway } => (Some(gateway_number(gateway)), Some(number(user))),
    };
    let (at, request, target) = (number(*at), &request[..], target.map(number));
    let (act, kind, detail) = (&**act, &**kind, detail.as_str());
    tx.run(sql, &[&line, &at, &request, &gateway, &user, &act, &kind, &target, &detail, is_known])
        .await?;
    Ok(())
}

async fn was_noted(tx: &mut Transaction, act: &Act) -> Stored<bool> {
    let sql = "SELECT TOP (1) number FROM trail WHERE request = @P1 AND at > @P2";
    let before = number(act.at.0.saturating_sub(ONCE_MS));
    Ok(tx.row(sql, &[&&act.request[..], &before]).await?.is_some())
}

pub(super) async fn list(tx: &mut Transaction, page: &Page<u64>) -> Stored<Vec<Noted>> {
    let sql = "SELECT TOP (@P1) number, at, request, gateway, user_id, username, act, kind, target,
                   detail, is_known
               FROM trail WHERE number < @P2 ORDER BY number DESC";
    let limit = i64::from(page.limit.min(PAGE_ROWS_MAX));
    let before = number(page.after.unwrap_or(u64::MAX));
    tx.rows(sql, &[&limit, &before]).await?.iter().map(noted_of).collect()
}

fn noted_of(row: &Row) -> Stored<Noted> {
    let mut columns = Columns::of(row);
    let (number, at, request) = (columns.number()?, columns.number()?, columns.digest()?);
    let by = match (columns.optional_small()?, columns.optional_number()?) {
        (Some(gateway), Some(user)) => Doer::Account { user, gateway },
        _ => Doer::CommandLine,
    };
    let username = columns.optional_text()?;
    let (act, kind) = (columns.text()?.into(), columns.text()?.into());
    let deed = Deed { act, kind, target: columns.optional_number()? };
    let (detail, is_known) = (columns.text()?, columns.flag()?);
    Ok(Noted { number, username, act: Act { at, request, by, deed, detail, is_known } })
}

pub(super) async fn sweep(tx: &mut Transaction, now: Timestamp) -> Stored<()> {
    let forgotten = number(now.0.saturating_sub(TRAIL_MS));
    tx.run("DELETE FROM trail WHERE at <= @P1", &[&forgotten]).await?;
    Ok(())
}

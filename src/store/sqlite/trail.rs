//! The operators' trail.
//!
//! It must not know which deeds there are.

use rusqlite::{Connection, Row, params};
use seckill_shards::clock::Timestamp;

use super::values::Number;
use crate::store::{Act, Deed, Doer, Noted, ONCE_MS, PAGE_ROWS_MAX, Page, Stored, TRAIL_MS};

pub(super) fn note(db: &Connection, act: &Act) -> Stored<()> {
    let sql = "INSERT INTO trail
                   (at, request, gateway, user_id, username, act, kind, target, detail, is_known)
               SELECT ?1, ?2, ?3, ?4, (SELECT username FROM account WHERE id = ?4), ?5, ?6, ?7, ?8, ?9
               WHERE NOT EXISTS (SELECT 1 FROM trail WHERE request = ?2 AND at > ?10)";
    let Act { at, request, by, deed: Deed { act, kind, target }, detail, is_known } = act;
    let (gateway, user) = match *by {
        Doer::CommandLine => (None, None),
        Doer::Account { user, gateway } => (Some(gateway), Some(Number(user))),
    };
    let (at, target, before) = (Number(*at), target.map(Number), Number(asked_before(*at)));
    let values = params![at, request, gateway, user, act, kind, target, detail, is_known, before];
    db.prepare_cached(sql)?.execute(values)?;
    Ok(())
}

/// Another request may have come by the same name until then.
fn asked_before(at: Timestamp) -> Timestamp {
    Timestamp(at.0.saturating_sub(ONCE_MS))
}

pub(super) fn list(db: &Connection, page: &Page<u64>) -> Stored<Vec<Noted>> {
    let sql = "SELECT number, at, request, gateway, user_id, username, act, kind, target, detail,
                   is_known
               FROM trail WHERE number < ?1 ORDER BY number DESC LIMIT ?2";
    let before = Number(page.after.unwrap_or(u64::MAX));
    let mut select = db.prepare_cached(sql)?;
    let found = select.query_map(params![before, page.limit.min(PAGE_ROWS_MAX)], noted_of)?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

fn noted_of(row: &Row<'_>) -> rusqlite::Result<Noted> {
    let by = match (row.get(3)?, row.get::<_, Option<Number<_>>>(4)?) {
        (Some(gateway), Some(Number(user))) => Doer::Account { user, gateway },
        _ => Doer::CommandLine,
    };
    let (act, kind): (String, String) = (row.get(6)?, row.get(7)?);
    let target = row.get::<_, Option<Number<_>>>(8)?.map(|it| it.0);
    let deed = Deed { act: act.into(), kind: kind.into(), target };
    let act = Act {
        at: row.get::<_, Number<_>>(1)?.0,
        request: row.get(2)?,
        by,
        deed,
        detail: row.get(9)?,
        is_known: row.get(10)?,
    };
    Ok(Noted { number: row.get::<_, Number<_>>(0)?.0, username: row.get(5)?, act })
}

pub(super) fn sweep(db: &Connection, now: Timestamp) -> Stored<()> {
    let sql = "DELETE FROM trail WHERE at <= ?1";
    db.prepare_cached(sql)?.execute([Number(now.0.saturating_sub(TRAIL_MS))])?;
    Ok(())
}

//! What a transaction has done with the stand-in's orders, and nobody else sees before it is kept.
//!
//! It must not know what goes wrong.

use super::tokens::{
    BIGINT, DONE_COUNT, DONE_MORE, NULLABLE_BIGINT, TINYINT, columns, done, failed,
};

/// The temporary table of orders.
const PLACED: [(&str, &[u8]); 8] = [
    ("id", BIGINT),
    ("activity_id", BIGINT),
    ("user_id", BIGINT),
    ("quantity", BIGINT),
    ("status", TINYINT),
    ("placed_at", BIGINT),
    ("pay_before", BIGINT),
    ("moved_at", NULLABLE_BIGINT),
];

/// Errors of the server: no such table, and one that is there already.
const NO_TABLE: u32 = 208;
const TABLE_EXISTS: u32 = 2714;

/// The work of one transaction; each statement says its reply.
#[derive(Default)]
pub(super) struct Work {
    /// Where the position is to be.
    to: Option<i64>,
    /// The rows of the temporary table, where there is one.
    staged: Option<Vec<i64>>,
    /// Ids of orders that are inserted.
    orders: Vec<i64>,
}

impl Work {
    pub(super) fn stage(&mut self) -> Vec<u8> {
        match self.staged.replace(Vec::new()) {
            None => done(0, 0),
            Some(_) => failed(TABLE_EXISTS),
        }
    }

    pub(super) fn columns(&self) -> Vec<u8> {
        match self.staged {
            None => failed(NO_TABLE),
            Some(_) => [columns(&PLACED), done(DONE_COUNT, 0)].concat(),
        }
    }

    pub(super) fn load(&mut self, message: &[u8]) -> Vec<u8> {
        let Some(staged) = &mut self.staged else { return failed(NO_TABLE) };
        let mut ids = loaded(message);
        let rows = u64::try_from(ids.len()).unwrap();
        staged.append(&mut ids);
        done(DONE_COUNT, rows)
    }

    /// The temporary table's rows are inserted, and it goes.
    pub(super) fn insert(&mut self) -> Vec<u8> {
        let Some(mut staged) = self.staged.take() else { return failed(NO_TABLE) };
        let rows = u64::try_from(staged.len()).unwrap();
        self.orders.append(&mut staged);
        [done(DONE_MORE | DONE_COUNT, rows), done(0, 0)].concat()
    }

    pub(super) fn lead(&mut self, to: i64) -> Vec<u8> {
        self.to = Some(to);
        done(DONE_COUNT, 1)
    }

    /// What is to be kept; its temporary table stays.
    pub(super) fn keep(&mut self) -> (Option<i64>, Vec<i64>) {
        (self.to.take(), std::mem::take(&mut self.orders))
    }
}

/// The ids of orders that are loaded: the columns as they were told, the rows, and an end.
fn loaded(message: &[u8]) -> Vec<i64> {
    let mut rest = message.strip_prefix(&columns(&PLACED)[..]).expect("the table's columns");
    let mut ids = Vec::new();
    while let Some(row) = rest.strip_prefix(&[0xd1]) {
        let (id, others) = row.split_first_chunk().unwrap();
        ids.push(i64::from_le_bytes(*id));
        // Five numbers and a byte, and the length of the number that may be missing.
        let (_, moved_at) = others.split_at(41);
        rest = &moved_at[1 + usize::from(moved_at[0])..];
    }
    assert_eq!(rest, done(0, 0));
    ids
}

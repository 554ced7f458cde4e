//! What is given in order: ids, numbers and versions.
//!
//! It must not know what is numbered.

use super::sessions::Transaction;
use super::values::{Columns, number};
use crate::store::{Fault, Stored};

/// What a counter counts.
#[derive(Clone, Copy, Debug)]
pub(super) enum Counter {
    Account,
    Revocation,
    /// Of products and activities, in one row of changes.
    Version,
    Product,
    Activity,
    Trail,
}

impl Counter {
    fn name(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Revocation => "revocation",
            Self::Version => "version",
            Self::Product => "product",
            Self::Activity => "activity",
            Self::Trail => "trail",
        }
    }
}

/// Holds the versions until the end of the transaction. Whoever changes what has a version holds them
/// first, so such changes come one after the other, and what is read behind this stays as it is.
pub(super) async fn hold_versions(tx: &mut Transaction) -> Stored<()> {
    tx.run("UPDATE counter SET last = last WHERE name = 'version'", &[]).await?;
    Ok(())
}

/// Draws the next version.
pub(super) async fn next_version(tx: &mut Transaction) -> Stored<i64> {
    draw(tx, Counter::Version).await.map(number)
}

/// Draws the next number. Whoever else draws from the same counter waits for the end of this
/// transaction, so what is drawn becomes visible in its order.
pub(super) async fn draw(tx: &mut Transaction, counter: Counter) -> Stored<u64> {
    draw_many(tx, counter, 1).await
}

/// Draws so many numbers; the last of them.
pub(super) async fn draw_many(tx: &mut Transaction, counter: Counter, count: u32) -> Stored<u64> {
    // Read behind the update: what an update itself gives out may be from before its wait.
    // The name is written out: a value of text is wider than the column, which would be read through.
    let name = counter.name();
    let sql = format!(
        "UPDATE counter SET last = last + @P1 WHERE name = '{name}';
         SELECT last FROM counter WHERE name = '{name}';"
    );
    let drawn = tx.row(&sql, &[&i64::from(count)]).await?;
    let row = drawn.ok_or_else(|| Fault::Diverged(format!("there is no {counter:?} counter")))?;
    Columns::of(&row).number()
}

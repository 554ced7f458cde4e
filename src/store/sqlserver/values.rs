//! How the words of the domain are kept in a column, and read back.
//!
//! It must not know any table.

use seckill_shards::record::{Digest, PaymentStatus, Status};
use tiberius::{ColumnData, FromSql, Row};

use crate::store::{Fault, Stored};

/// An id, an instant or a count as SQL Server keeps it, which has no larger integers. What does not
/// fit is kept as the largest: it is no id that was ever given, and an instant that never comes.
pub(super) fn number(number: impl Into<u64>) -> i64 {
    i64::try_from(number.into()).unwrap_or(i64::MAX)
}

/// A word of a closed list, kept as its number.
pub(super) trait Word: Sized {
    /// The word of a number.
    fn of(number: u8) -> Option<Self>;
}

impl Word for Status {
    fn of(number: u8) -> Option<Self> {
        Self::from_number(number)
    }
}

impl Word for PaymentStatus {
    fn of(number: u8) -> Option<Self> {
        Self::from_number(number)
    }
}

/// The columns of a row, taken one after the other. A column that holds what it cannot hold is
/// [`Fault::Diverged`].
#[derive(Debug)]
pub(super) struct Columns<'a> {
    row: &'a Row,
    next: usize,
}

impl<'a> Columns<'a> {
    pub(super) fn of(row: &'a Row) -> Self {
        Self { row, next: 0 }
    }

    /// Whether the next column is NULL; it stays the next.
    pub(super) fn is_null(&self) -> bool {
        matches!(
            self.row.get_column_data(self.next),
            Ok(ColumnData::I64(None) | ColumnData::String(None) | ColumnData::Binary(None))
        )
    }

    /// Passes over the next columns.
    pub(super) fn skip(&mut self, columns: usize) {
        self.next += columns;
    }

    fn optional<T: FromSql<'a>>(&mut self) -> Stored<Option<T>> {
        let column = self.next;
        self.next += 1;
        self.row.try_get(column).map_err(|error| unreadable(column, &error))
    }

    fn required<T: FromSql<'a>>(&mut self) -> Stored<T> {
        let column = self.next;
        self.optional()?.ok_or_else(|| unreadable(column, &"it is NULL"))
    }

    pub(super) fn signed(&mut self) -> Stored<i64> {
        self.required()
    }

    pub(super) fn number<T: From<u64>>(&mut self) -> Stored<T> {
        let (column, number) = (self.next, self.signed()?);
        unsigned(column, number)
    }

    pub(super) fn optional_number<T: From<u64>>(&mut self) -> Stored<Option<T>> {
        let column = self.next;
        let number: Option<i64> = self.optional()?;
        number.map(|number| unsigned(column, number)).transpose()
    }

    /// A count that fits 32 bits.
    pub(super) fn count(&mut self) -> Stored<u32> {
        let (column, number) = (self.next, self.signed()?);
        u32::try_from(number).map_err(|_| unreadable(column, &number))
    }

    pub(super) fn optional_count(&mut self) -> Stored<Option<u32>> {
        if self.is_null() {
            self.skip(1);
            return Ok(None);
        }
        self.count().map(Some)
    }

    /// A gateway's number or epoch.
    pub(super) fn small<T: TryFrom<i16>>(&mut self) -> Stored<T> {
        let (column, number) = (self.next, self.required::<i16>()?);
        T::try_from(number).map_err(|_| unreadable(column, &number))
    }

    pub(super) fn optional_small<T: TryFrom<i16>>(&mut self) -> Stored<Option<T>> {
        let (column, number) = (self.next, self.optional::<i16>()?);
        number.map(|it| T::try_from(it).map_err(|_| unreadable(column, &it))).transpose()
    }

    pub(super) fn byte(&mut self) -> Stored<u8> {
        self.required()
    }

    pub(super) fn word<T: Word>(&mut self) -> Stored<T> {
        let (column, number) = (self.next, self.byte()?);
        T::of(number).ok_or_else(|| unreadable(column, &number))
    }

    pub(super) fn optional_flag(&mut self) -> Stored<Option<bool>> {
        self.optional()
    }

    pub(super) fn flag(&mut self) -> Stored<bool> {
        self.required()
    }

    pub(super) fn text(&mut self) -> Stored<String> {
        self.required::<&str>().map(str::to_owned)
    }

    pub(super) fn optional_text(&mut self) -> Stored<Option<String>> {
        Ok(self.optional::<&str>()?.map(str::to_owned))
    }

    pub(super) fn currency(&mut self) -> Stored<[u8; 3]> {
        let (column, letters) = (self.next, self.required::<&str>()?);
        letters.as_bytes().try_into().map_err(|_| unreadable(column, &letters))
    }

    pub(super) fn digest(&mut self) -> Stored<Digest> {
        let (column, bytes) = (self.next, self.required::<&[u8]>()?);
        bytes.try_into().map_err(|_| unreadable(column, &"it is no digest"))
    }

    pub(super) fn optional_digest(&mut self) -> Stored<Option<Digest>> {
        if self.is_null() {
            self.skip(1);
            return Ok(None);
        }
        self.digest().map(Some)
    }
}

fn unsigned<T: From<u64>>(column: usize, number: i64) -> Stored<T> {
    u64::try_from(number).map(T::from).map_err(|_| unreadable(column, &number))
}

fn unreadable(column: usize, why: &dyn std::fmt::Display) -> crate::store::StoreError {
    Fault::Diverged(format!("column {column} of a row cannot be read: {why}")).into()
}

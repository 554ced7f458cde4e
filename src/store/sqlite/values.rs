//! How the words of the domain are kept in a column, and read back.
//!
//! It must not know any table.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use seckill_shards::record::{PaymentStatus, Status};

/// SQLite has no larger integers. What does not fit is kept as the largest: it is no id that was
/// ever given, and an instant that never comes.
pub(super) fn signed(number: impl Into<u64>) -> i64 {
    i64::try_from(number.into()).unwrap_or(i64::MAX)
}

/// An id, an instant or a count, kept as a signed integer.
pub(super) struct Number<T>(pub(super) T);

impl<T: Copy + Into<u64>> ToSql for Number<T> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(signed(self.0).into())
    }
}

impl<T: From<u64>> FromSql for Number<T> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let number = value.as_i64()?;
        let number = u64::try_from(number).map_err(|_| FromSqlError::OutOfRange(number))?;
        Ok(Self(T::from(number)))
    }
}

/// A word of a closed list, kept as its number.
pub(super) struct Word<T>(pub(super) T);

macro_rules! words {
    ($($type:ty),+) => {$(
        impl ToSql for Word<$type> {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(self.0.number().into())
            }
        }

        impl FromSql for Word<$type> {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                let number = u8::column_result(value)?;
                let word = <$type>::from_number(number);
                word.map(Self).ok_or(FromSqlError::OutOfRange(number.into()))
            }
        }
    )+};
}
words!(Status, PaymentStatus);

/// A currency, kept as its three letters.
pub(super) struct Currency(pub(super) [u8; 3]);

impl ToSql for Currency {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Text(&self.0)))
    }
}

impl FromSql for Currency {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let letters = value.as_str()?.as_bytes();
        letters.try_into().map(Self).map_err(|_| FromSqlError::InvalidType)
    }
}

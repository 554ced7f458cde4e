//! The columns that an update names.
//!
//! It must not know any table.

use tiberius::ToSql;

/// `SET` of some columns, with their values behind the key that is `@P1`. A column is left out
/// rather than given a NULL that means "as it is".
#[derive(Default)]
pub(super) struct Changes<'a> {
    set: String,
    values: Vec<&'a dyn ToSql>,
}

impl<'a> Changes<'a> {
    /// Changes a column where there is a new value.
    pub(super) fn to<T: ToSql>(mut self, column: &str, value: &'a Option<T>) -> Self {
        if let Some(value) = value {
            let comma = if self.set.is_empty() { "" } else { ", " };
            let place = self.values.len() + 2;
            self.set.push_str(&format!("{comma}{column} = @P{place}"));
            self.values.push(value);
        }
        self
    }

    /// The statement for the row of a key, if anything changes at all, and its values.
    pub(super) fn statement(
        self,
        table: &str,
        key: &'a i64,
    ) -> Option<(String, Vec<&'a dyn ToSql>)> {
        let sql = format!("UPDATE {table} SET {} WHERE id = @P1", self.set);
        let mut values: Vec<&dyn ToSql> = vec![key];
        values.extend(&self.values);
        (!self.values.is_empty()).then_some((sql, values))
    }
}

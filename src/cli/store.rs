//! `seckill store migrate`: the store's schema, brought to the newest.

use std::process::ExitCode;

use super::{Place, Unusable, open_store, runtime, say};
use crate::store::Migrated;

pub(super) fn migrate(place: &Place) -> anyhow::Result<ExitCode> {
    let store = open_store(&place.config()?)?;
    match runtime()?.block_on(store.migrate()) {
        Ok(migrated) => say(&line(migrated))?,
        Err(error) if error.is_away() => return Err(error.into()),
        Err(error) => return Err(Unusable::from(&error).into()),
    }
    Ok(ExitCode::SUCCESS)
}

fn line(Migrated { from, to }: Migrated) -> String {
    match from {
        0 => format!("the store was empty, and has schema {to} now"),
        from if from == to => format!("the store has schema {to} already"),
        from => format!("the store had schema {from}, and has schema {to} now"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_from_which_schema_to_which() {
        let line = |from, to| line(Migrated { from, to });
        assert_eq!(line(0, 9), "the store was empty, and has schema 9 now");
        assert_eq!(line(7, 9), "the store had schema 7, and has schema 9 now");
        assert_eq!(line(9, 9), "the store has schema 9 already");
    }
}

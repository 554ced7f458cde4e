//! What a migration may do while gateways of an older release work on the store: it only adds, and what is not
//! used any more goes one release later, with a schema that no longer serves the older one.
//!
//! It must not know any table. It reads SQL as words, in either dialect.

/// The statements behind the oldest schema that the newest one serves which that one's release does not bear:
/// they take away what it names, or ask for a column that it does not give.
pub(in crate::store) fn taken_away(migrations: &[&str], serves_since: u32) -> Vec<String> {
    let since = usize::try_from(serves_since).unwrap();
    let mut taken_away = Vec::new();
    for migration in &migrations[since..] {
        let code = migration.lines().map(|line| line.split("--").next().unwrap_or_default());
        let code = code.collect::<Vec<_>>().join("\n").to_uppercase();
        let statements = code.split(';').map(str::trim);
        taken_away.extend(statements.filter(|it| takes_away(it)).map(str::to_owned));
    }
    taken_away
}

fn takes_away(statement: &str) -> bool {
    let words = words(statement);
    // An index has a name that no statement says.
    let drops = words.windows(2).any(|pair| pair[0] == "DROP" && pair[1] != "INDEX");
    let renames = words.iter().any(|word| matches!(*word, "RENAME" | "SP_RENAME"));
    let demands = words.starts_with(&["ALTER", "TABLE"]) && statement.split(',').any(demands_value);
    drops || renames || demands
}

/// Whether a column must be given a value by whoever inserts a row.
fn demands_value(column: &str) -> bool {
    let words = words(column);
    words.windows(2).any(|pair| pair == ["NOT", "NULL"]) && !words.contains(&"DEFAULT")
}

fn words(text: &str) -> Vec<&str> {
    let is_between = |char: char| !(char.is_ascii_alphanumeric() || char == '_');
    text.split(is_between).filter(|word| !word.is_empty()).collect()
}

#[test]
fn a_migration_that_takes_something_away_is_caught() {
    for canary in [
        "DROP TABLE part;",
        "ALTER TABLE product DROP COLUMN image_url;",
        "ALTER TABLE product DROP image_url;",
        "ALTER TABLE activity DROP CONSTRAINT left_units_default;",
        "drop table if exists part",
        "ALTER TABLE product RENAME TO thing;",
        "ALTER TABLE product RENAME COLUMN title TO name;",
        "EXEC sp_rename 'product.title', 'name', 'COLUMN';",
        "ALTER TABLE product ADD COLUMN weight INTEGER NOT NULL;",
        "ALTER TABLE product ADD weight BIGINT NULL,\n    height BIGINT NOT NULL;",
        "ALTER TABLE product ALTER COLUMN stock BIGINT NOT NULL;",
        "CREATE INDEX a ON b (c);\n-- It is gone;\nALTER TABLE product DROP COLUMN stock",
    ] {
        assert_eq!(taken_away(&[canary], 0).len(), 1, "{canary}");
        assert!(taken_away(&[canary], 1).is_empty(), "a schema that serves no older one: {canary}");
    }
}

#[test]
fn a_migration_that_adds_is_let_pass() {
    for migration in [
        "CREATE TABLE trail (at BIGINT NOT NULL, act NVARCHAR(64) NOT NULL);",
        "ALTER TABLE once ADD is_done BIT NULL; -- NOT NULL it is not; DROP TABLE once",
        "ALTER TABLE gateway ADD COLUMN is_off INTEGER NOT NULL DEFAULT 0;",
        "ALTER TABLE gateway ADD a BIT NOT NULL DEFAULT 0, b SMALLINT NULL;",
        "DROP INDEX payment_given_back;",
        "UPDATE sales_order SET refunded_at = 1 WHERE moved_at IS NOT NULL;",
    ] {
        assert!(taken_away(&[migration], 0).is_empty(), "{migration}");
    }
}

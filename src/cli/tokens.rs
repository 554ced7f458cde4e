//! `seckill tokens`: load-test shoppers with a token each, in seconds: no password is hashed.

use std::fs::OpenOptions;
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::ExitCode;

use seckill_shards::clock::{Clock, MachineClock};
use seckill_shards::ids::UserId;

use super::{Place, note, open_store, runtime};
use crate::api::tokens::{Claims, Tokens, seconds};
use crate::store::{Deed, Roles};

pub(super) fn run(
    place: &Place,
    users: u32,
    prefix: &str,
    out: Option<&Path>,
) -> anyhow::Result<ExitCode> {
    let config = place.config()?;
    std::fs::create_dir_all(&config.data)?;
    let secret = config.token_secret()?;
    let tokens = Tokens::new(&secret.0, None);
    let store = open_store(&config)?;
    let first = runtime()?.block_on(async {
        let first = store.create_users(prefix.to_owned(), users).await?;
        let detail = format!("{users} load-test shoppers from this one on, and a token for each");
        note(&*store, Deed::new("created", "user", Some(first.0)), detail).await;
        anyhow::Ok(first)
    })?;
    let issued_s = seconds(MachineClock::start().now());
    let mut out: Box<dyn Write> = match out {
        Some(path) => {
            // Whoever reads the file can buy in these shoppers' names.
            let mut options = OpenOptions::new();
            let file = options.create(true).truncate(true).write(true).mode(0o600).open(path)?;
            Box::new(BufWriter::new(file))
        }
        None => Box::new(BufWriter::new(std::io::stdout().lock())),
    };
    for user in first.0..first.0 + u64::from(users) {
        // A session of its own, so that one can be taken back; unique is enough.
        let claims = Claims::new(UserId(user), Roles::SHOPPER, user.to_le_bytes(), issued_s);
        writeln!(out, "{}", tokens.issue(&claims))?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

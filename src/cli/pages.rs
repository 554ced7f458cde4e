//! `seckill pages export`: the pages that a gateway serves from memory, as files for nginx or a CDN.
//!
//! Each file is whole at every instant, and one that is as it is to be is not touched: so what a web
//! server says of it by its time stays true.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use seckill_pages::Page;
use seckill_shards::clock::{Clock, MachineClock};

use super::{Place, Unusable, open_present_store, remove_if_there, runtime, say};
use crate::api::{ORDER_SHELL, PAY_SHELL};
use crate::config::PaymentProvider;
use crate::control::pages_of;

pub(super) fn export(place: &Place, out: &Path) -> anyhow::Result<ExitCode> {
    let config = place.config()?;
    let store = open_present_store(&config)?;
    let has_sandbox = matches!(config.payment_provider, Some(PaymentProvider::Sandbox));
    let now = MachineClock::start().now();
    let pages = runtime()?.block_on(pages_of(&*store, now, has_sandbox));
    let pages = pages.map_err(|error| match error.is_away() {
        true => anyhow::Error::new(error).context("the store cannot be read"),
        false => Unusable::from(&error).into(),
    })?;
    let count = pages.len();
    let mut files: Vec<_> = pages.into_iter().map(|(path, page)| (file_of(&path), page)).collect();
    // What pages load comes before them.
    files.sort_by_key(|(file, _)| (!file.starts_with("assets/"), file.clone()));
    let mut written = 0;
    for (file, page) in files {
        let place = out.join(file);
        let put = put_page(&place, &page);
        written += put.with_context(|| format!("{} cannot be written", place.display()))?;
    }
    say(&format!("{count} pages in {}: {written} files were written", out.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// Where a page is, below the directory; a shell is one page for every id.
fn file_of(path: &str) -> String {
    let name = match path {
        ORDER_SHELL => "/orders/shell.html",
        PAY_SHELL => "/pay/shell.html",
        "/404" => "/404.html",
        path => path,
    };
    let name = name.trim_start_matches('/');
    let last = name.rsplit('/').next().unwrap_or_default();
    match (name, last.contains('.')) {
        ("", _) => "index.html".to_owned(),
        (name, true) => name.to_owned(),
        (name, false) => format!("{name}/index.html"),
    }
}

/// Puts a page and its compressed forms in their places; how many files were written for that.
fn put_page(place: &Path, page: &Page) -> io::Result<usize> {
    if let Some(folder) = place.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut written = usize::from(put(place, &page.identity.body)?);
    for (suffix, encoded) in [("gz", &page.gzip), ("br", &page.br)] {
        let beside = place.with_added_extension(suffix);
        match encoded {
            Some(encoded) => written += usize::from(put(&beside, &encoded.body)?),
            // One of an earlier page would be given in this one's place.
            None => remove_if_there(&beside)?,
        }
    }
    Ok(written)
}

/// Puts bytes in their place at once; false where they were there.
fn put(place: &Path, bytes: &[u8]) -> io::Result<bool> {
    if fs::read(place).is_ok_and(|found| found == bytes) {
        return Ok(false);
    }
    let making = place.with_added_extension("making");
    let mut file = File::create(&making)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&making, place)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_a_file_that_a_web_server_finds() {
        for (path, file) in [
            ("/", "index.html"),
            ("/sign-in", "sign-in/index.html"),
            ("/activities/7", "activities/7/index.html"),
            ("/sales/2", "sales/2/index.html"),
            ("/assets/shop-01234567.css", "assets/shop-01234567.css"),
            ("/api/v1/openapi.json", "api/v1/openapi.json"),
            (ORDER_SHELL, "orders/shell.html"),
            (PAY_SHELL, "pay/shell.html"),
            ("/404", "404.html"),
        ] {
            assert_eq!(file_of(path), file);
        }
    }
}

//! The style sheet, the icon and the scripts, each under a name that holds its fingerprint.
//! It must not know which page shows what: a page asks for an asset by its plain name.

use std::sync::LazyLock;

use crate::prerender::{Page, prerender};

/// One asset as it is served.
#[derive(Clone, Debug)]
struct Asset {
    /// The name in the source tree, for example `clock.js`.
    name: &'static str,
    /// The address, for example `/assets/clock-0123abcd.js`.
    path: String,
    /// The text, with the addresses of what it imports in place of their plain names.
    text: String,
    /// The plain names of what it imports, directly or not.
    imports: Vec<&'static str>,
}

/// Every asset. What is imported stands before what imports it, so that a change in one file
/// changes the name of each file that stands on it.
const SOURCES: [(&str, &str); 36] = [
    ("shop.css", include_str!("../assets/shop.css")),
    ("pages.css", include_str!("../assets/pages.css")),
    ("pay.css", include_str!("../assets/pay.css")),
    ("docs.css", include_str!("../assets/docs.css")),
    ("icon.svg", include_str!("../assets/icon.svg")),
    ("api.js", include_str!("../assets/api.js")),
    ("clock.js", include_str!("../assets/clock.js")),
    ("connection.js", include_str!("../assets/connection.js")),
    ("format.js", include_str!("../assets/format.js")),
    ("key.js", include_str!("../assets/key.js")),
    ("next.js", include_str!("../assets/next.js")),
    ("open_press.js", include_str!("../assets/open_press.js")),
    ("problems.js", include_str!("../assets/problems.js")),
    ("sale.js", include_str!("../assets/sale.js")),
    ("sale_watch.js", include_str!("../assets/sale_watch.js")),
    ("press.js", include_str!("../assets/press.js")),
    ("sandbox.js", include_str!("../assets/sandbox.js")),
    ("session.js", include_str!("../assets/session.js")),
    ("when.js", include_str!("../assets/when.js")),
    ("buy_panel.js", include_str!("../assets/buy_panel.js")),
    ("cancel.js", include_str!("../assets/cancel.js")),
    ("order.js", include_str!("../assets/order.js")),
    ("shell.js", include_str!("../assets/shell.js")),
    ("order_card.js", include_str!("../assets/order_card.js")),
    ("sale_orders.js", include_str!("../assets/sale_orders.js")),
    ("order_facts.js", include_str!("../assets/order_facts.js")),
    ("account_form.js", include_str!("../assets/account_form.js")),
    ("sign_in.js", include_str!("../assets/sign_in.js")),
    ("register.js", include_str!("../assets/register.js")),
    ("account.js", include_str!("../assets/account.js")),
    ("reset.js", include_str!("../assets/reset.js")),
    ("home.js", include_str!("../assets/home.js")),
    ("activity.js", include_str!("../assets/activity.js")),
    ("orders.js", include_str!("../assets/orders.js")),
    ("order_page.js", include_str!("../assets/order_page.js")),
    ("pay.js", include_str!("../assets/pay.js")),
];

static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| fingerprinted(&SOURCES));

/// Every asset as (address, page), to be served for good: the address changes with the bytes.
/// It compresses each time it is called, so call it once.
#[must_use]
pub fn assets() -> Vec<(String, Page)> {
    ASSETS
        .iter()
        .map(|asset| {
            let page = prerender(content_type(asset.name), asset.text.clone());
            (asset.path.clone(), page.immutable())
        })
        .collect()
}

/// The address of an asset of this crate.
pub(crate) fn path(name: &str) -> &'static str {
    &find(&ASSETS, name).path
}

/// The addresses of all that a script imports, directly or not, so that a page can name them
/// ahead and the browser need not discover them one after another.
pub(crate) fn import_paths(name: &str) -> impl Iterator<Item = &'static str> {
    find(&ASSETS, name).imports.iter().map(|import| path(import))
}

fn find<'a>(assets: &'a [Asset], name: &str) -> &'a Asset {
    assets.iter().find(|asset| asset.name == name).expect("a page names only assets listed here")
}

fn fingerprinted(sources: &[(&'static str, &str)]) -> Vec<Asset> {
    let mut assets: Vec<Asset> = Vec::with_capacity(sources.len());
    for (name, source) in sources {
        let asset = import(name, source, &assets);
        assets.push(asset);
    }
    assets
}

/// Puts the addresses of the assets before it in place of their plain names, then names the
/// result by its own bytes.
fn import(name: &'static str, source: &str, before: &[Asset]) -> Asset {
    let mut text = source.to_owned();
    let mut imports: Vec<&'static str> = Vec::new();
    for asset in before {
        let plain = format!("\"./{}\"", asset.name);
        if !text.contains(&plain) {
            continue;
        }
        text = text.replace(&plain, &format!("\"{}\"", asset.path));
        for import in asset.imports.iter().chain([&asset.name]) {
            if !imports.contains(import) {
                imports.push(import);
            }
        }
    }
    let path = fingerprint(name, text.as_bytes());
    Asset { name, path, text, imports }
}

/// `clock.js` and its bytes give `/assets/clock-0123abcd.js`: the first 32 bits of BLAKE3.
fn fingerprint(name: &str, bytes: &[u8]) -> String {
    let (stem, extension) = name.rsplit_once('.').expect("every asset has an extension");
    let hash = blake3::hash(bytes).to_hex();
    format!("/assets/{stem}-{}.{extension}", &hash[..8])
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.') {
        Some((_, "css")) => "text/css; charset=utf-8",
        Some((_, "js")) => "text/javascript; charset=utf-8",
        Some((_, "svg")) => "image/svg+xml",
        _ => unreachable!("SOURCES holds style sheets, scripts and pictures only"),
    }
}

#[cfg(test)]
mod tests {
    use super::{ASSETS, assets, find, fingerprint, fingerprinted};

    #[test]
    fn a_fingerprint_changes_with_the_bytes() {
        let path = fingerprint("shop.css", b"a{}");
        assert!(path.starts_with("/assets/shop-") && path.ends_with(".css"));
        assert_eq!(path.len(), "/assets/shop-01234567.css".len());
        assert_eq!(path, fingerprint("shop.css", b"a{}"));
        assert_ne!(path, fingerprint("shop.css", b"b{}"));
    }

    #[test]
    fn a_change_renames_everything_that_imports_it() {
        let build = |leaf: &'static str| {
            fingerprinted(&[
                ("leaf.js", leaf),
                ("other.js", "2"),
                ("branch.js", "import { a } from \"./leaf.js\";"),
                ("root.js", "import \"x\"; export * from \"./branch.js\";"),
            ])
        };
        let (one, two) = (build("export const a = 1;"), build("export const a = 2;"));
        for name in ["leaf.js", "branch.js", "root.js"] {
            assert_ne!(find(&one, name).path, find(&two, name).path, "{name}");
        }
        assert_eq!(find(&one, "other.js").path, find(&two, "other.js").path);
        assert_eq!(find(&one, "root.js").imports, ["leaf.js", "branch.js"]);
        assert!(find(&one, "root.js").text.contains(&find(&one, "branch.js").path));
    }

    #[test]
    fn no_script_imports_by_a_plain_name() {
        for asset in ASSETS.iter() {
            assert!(!asset.text.contains("\"./"), "{} imports what stands after it", asset.name);
        }
    }

    #[test]
    fn assets_are_served_for_good() {
        let assets = assets();
        assert_eq!(assets.len(), ASSETS.len());
        for (path, page) in assets {
            assert!(page.cache_control.contains("immutable"), "{path}");
            assert!(page.identity.body.len() < 60_000, "{path}");
        }
    }
}

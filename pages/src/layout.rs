//! The shell around every page: head, header, main.
//! It must not know what a page is about.

use maud::{DOCTYPE, Markup, html};

use crate::{assets, parts::still_loading};

/// What a page tells its shell.
pub(crate) struct Shell<'a> {
    /// The window's title, before the shop's name.
    pub(crate) title: &'a str,
    /// One sentence for search engines and previews.
    pub(crate) description: &'a str,
    /// The page's own style sheet, beside the shop's.
    pub(crate) sheet: Option<&'static str>,
    /// The page's own script, beside the shell's.
    pub(crate) script: Option<&'static str>,
}

impl<'a> Shell<'a> {
    /// A page without a sheet and a script of its own.
    pub(crate) fn plain(title: &'a str, description: &'a str) -> Self {
        Self { title, description, sheet: None, script: None }
    }
}

/// A whole document around the content of its `main`.
pub(crate) fn document(shell: &Shell<'_>, main: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(shell))
            body {
                a.skip href="#main" { "Skip to the content" }
                (header())
                (connection())
                main #main tabindex="-1" { (main) }
            }
        }
    }
}

fn head(shell: &Shell<'_>) -> Markup {
    let sheets = ["shop.css"].into_iter().chain(shell.sheet);
    let scripts = ["shell.js"].into_iter().chain(shell.script);
    head_of(shell, sheets, scripts)
}

/// The head of a document with these sheets and scripts.
pub(crate) fn head_of(
    shell: &Shell<'_>,
    sheets: impl Iterator<Item = &'static str>,
    scripts: impl Iterator<Item = &'static str> + Clone,
) -> Markup {
    let mut imports: Vec<&str> = scripts.clone().flat_map(assets::import_paths).collect();
    imports.sort_unstable();
    imports.dedup();
    imports.retain(|import| !scripts.clone().any(|script| assets::path(script) == *import));
    html! {
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            meta name="description" content=(shell.description);
            title { (shell.title) " · Seckill" }
            link rel="icon" type="image/svg+xml" href=(assets::path("icon.svg"));
            @for sheet in sheets {
                link rel="stylesheet" href=(assets::path(sheet));
            }
            @for import in imports {
                link rel="modulepreload" href=(import);
            }
            @for script in scripts {
                script type="module" src=(assets::path(script)) {}
            }
        }
    }
}

/// Who is signed in is filled in by the shell's script: the page itself is the same for everyone,
/// so that one copy in memory serves all.
fn header() -> Markup {
    html! {
        header.bar {
            a.brand href="/" { "Seckill" }
            nav.account aria-label="Account" {
                span #signed-out {
                    a data-keep-next href="/sign-in" { "Sign in" }
                    a data-keep-next href="/register" { "Register" }
                }
                span #signed-in hidden {
                    span #signed-in-name {}
                    a href="/orders" { "Orders" }
                    a href="/account" { "Account" }
                    button #sign-out.quiet type="button" { "Sign out" }
                }
            }
        }
    }
}

/// Where the connection's loss is told.
pub(crate) fn connection() -> Markup {
    html! { p.connection #connection role="status" hidden {} }
}

/// What a page shows that is filled in by its script, while it has nothing to fill in. Each part
/// names the states in which it is seen; a page begins with `loading`.
pub(crate) struct Waiting {
    /// A sentence for the time until the answer is there.
    pub(crate) loading: &'static str,
    /// What a signed-out visitor is told.
    pub(crate) signed_out: &'static str,
    /// What could not be loaded.
    pub(crate) failed: &'static str,
    /// What a browser without scripts is told, and what it can do all the same.
    pub(crate) no_script: &'static str,
}

impl Waiting {
    pub(crate) fn markup(&self) -> Markup {
        html! {
            noscript { p.warning { (self.no_script) } }
            div.waiting aria-live="polite" {
                div.loading data-when="loading" {
                    p { (self.loading) }
                    p { (still_loading()) }
                }
                div.told data-when="signed-out" hidden {
                    p { (self.signed_out) }
                    a.quiet data-keep-next href="/sign-in" { "Sign in" }
                }
                div.told data-when="failed" hidden {
                    p { (self.failed) }
                    button #retry.quiet type="button" { "Try again" }
                }
            }
        }
    }
}

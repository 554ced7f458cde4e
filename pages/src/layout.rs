//! The shell around every page: head, header, main.
//! It must not know what a page is about.

use maud::{DOCTYPE, Markup, html};

use crate::assets;

/// What a page tells its shell.
pub(crate) struct Shell<'a> {
    /// The window's title, before the shop's name.
    pub(crate) title: &'a str,
    /// One sentence for search engines and previews.
    pub(crate) description: &'a str,
    /// The page's own script, beside the shell's.
    pub(crate) script: Option<&'static str>,
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
                main #main tabindex="-1" { (main) }
            }
        }
    }
}

fn head(shell: &Shell<'_>) -> Markup {
    let scripts = ["shell.js"].into_iter().chain(shell.script);
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
            link rel="stylesheet" href=(assets::path("shop.css"));
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
                    button #sign-out.quiet type="button" { "Sign out" }
                }
            }
        }
    }
}

//! A shopper's account: the name, the password, the ways to sign out.
//! It must not know whose it is: one shell serves everyone, and its script asks the API.

use maud::{Markup, html};

use crate::{
    layout::{Shell, Waiting, document},
    prerender::{self, Page},
    sign_in::{Field, field},
};

/// The page of a shopper's account.
#[must_use]
pub fn account() -> Page {
    prerender::html(markup())
}

fn markup() -> Markup {
    let shell = Shell {
        title: "Your account",
        description: "Your name and password in this shop, and the ways to sign out.",
        sheet: Some("pages.css"),
        script: Some("account.js"),
    };
    let main = html! {
        div.account-form {
            h1 { "Your account" }
            (WAITING.markup())
            div.listed data-when="account" hidden {
                p { "Signed in as " strong #username {} "." }
                p #done role="status" {}
                (name_form())
                (password_form())
                (sign_out())
            }
        }
    };
    document(&shell, &main)
}

const WAITING: Waiting = Waiting {
    loading: "Loading your account…",
    signed_out: "Sign in to see your account.",
    failed: "Your account could not be loaded.",
    no_script: "Your account needs JavaScript to be shown and changed. Please allow it for this \
                shop. The sales and products can be read as they are.",
};

fn name_form() -> Markup {
    html! {
        form #name-form method="post" novalidate aria-labelledby="name-title" {
            h2 #name-title { "Your name" }
            (field(&NAME, &html! {
                input #display_name name="display_name" type="text" autocomplete="name"
                    aria-describedby="display_name-hint display_name-error";
            }))
            (submit("Change the name"))
        }
    }
}

fn password_form() -> Markup {
    html! {
        form #password-form method="post" novalidate aria-labelledby="password-title" {
            h2 #password-title { "Your password" }
            (field(&OLD, &html! {
                input #old_password name="old_password" type="password" required
                    autocomplete="current-password" aria-describedby="old_password-error";
            }))
            (field(&NEW, &html! {
                input #password name="password" type="password" required minlength="8"
                    autocomplete="new-password" aria-describedby="password-hint password-error";
            }))
            (submit("Change the password"))
        }
    }
}

fn sign_out() -> Markup {
    html! {
        section.panel aria-labelledby="sign-out-title" {
            h2 #sign-out-title { "Sign out" }
            p { "Sign out everywhere if you have lost a device, or signed in on one that is not yours." }
            p.error #sign-out-error role="alert" {}
            div.choices {
                button.quiet type="button" data-sign-out="/api/v1/sessions/current" { "Sign out here" }
                button.danger type="button" data-sign-out="/api/v1/sessions" { "Sign out everywhere" }
            }
        }
    }
}

/// The end of one of several forms.
fn submit(label: &str) -> Markup {
    html! {
        p.error role="alert" {}
        button.quiet type="submit" disabled { (label) }
    }
}

const NAME: Field =
    Field { name: "display_name", label: "Name", hint: Some("How the shop calls you.") };
const OLD: Field = Field { name: "old_password", label: "Password until now", hint: None };
const NEW: Field =
    Field { name: "password", label: "New password", hint: Some("8 to 128 characters.") };

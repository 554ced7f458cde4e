//! The page on which a shopper makes an account.
//! It must not know which names are taken: its script asks the API.

use maud::{Markup, html};

use crate::{
    layout::{Shell, document},
    prerender::{self, Page},
    sign_in::{Field, field, submit},
};

/// The page on which a shopper makes an account.
#[must_use]
pub fn register() -> Page {
    prerender::html(markup())
}

fn markup() -> Markup {
    let shell = Shell {
        title: "Register",
        description: "Make an account to buy in the flash sales of this shop.",
        sheet: None,
        script: Some("register.js"),
    };
    let main = html! {
        section.account-form {
            h1 { "Register" }
            form #account-form method="post" novalidate {
                (field(&USERNAME, &html! {
                    input #username name="username" type="text" required minlength="3"
                        maxlength="32" pattern="[a-z0-9_.\\-]+" autocomplete="username"
                        autocapitalize="none" spellcheck="false"
                        aria-describedby="username-hint username-error";
                }))
                (field(&DISPLAY_NAME, &html! {
                    input #display_name name="display_name" type="text" autocomplete="name"
                        aria-describedby="display_name-hint display_name-error";
                }))
                (field(&PASSWORD, &html! {
                    input #password name="password" type="password" required minlength="8"
                        autocomplete="new-password" aria-describedby="password-hint password-error";
                }))
                (submit("Register"))
            }
            p { "Have an account? " a data-keep-next href="/sign-in" { "Sign in" } }
        }
    };
    document(&shell, &main)
}

const USERNAME: Field = Field {
    name: "username",
    label: "Username",
    hint: Some("3 to 32 characters: small letters, digits, dot, dash and underscore."),
};

const DISPLAY_NAME: Field = Field {
    name: "display_name",
    label: "Name",
    hint: Some("How the shop calls you. You may leave it empty."),
};

const PASSWORD: Field =
    Field { name: "password", label: "Password", hint: Some("8 to 128 characters.") };

//! The page on which a shopper signs in.
//! It must not know how a password is checked: its script asks the API.

use maud::{Markup, html};

use crate::{
    layout::{Shell, document},
    parts::still_loading,
    prerender::{self, Page},
};

/// The page on which a shopper signs in.
#[must_use]
pub fn sign_in() -> Page {
    prerender::html(markup())
}

fn markup() -> Markup {
    let shell = Shell {
        title: "Sign in",
        description: "Sign in to buy in the flash sales of this shop.",
        sheet: None,
        script: Some("sign_in.js"),
    };
    let main = html! {
        section.account-form {
            h1 { "Sign in" }
            form #account-form method="post" novalidate {
                (field(&Field { name: "username", label: "Username", hint: None }, &html! {
                    input #username name="username" type="text" required autocomplete="username"
                        autocapitalize="none" spellcheck="false" aria-describedby="username-error";
                }))
                (field(&Field { name: "password", label: "Password", hint: None }, &html! {
                    input #password name="password" type="password" required
                        autocomplete="current-password" aria-describedby="password-error";
                }))
                (submit("Sign in"))
            }
            p { "No account yet? " a data-keep-next href="/register" { "Register" } }
        }
    };
    document(&shell, &main)
}

/// A labelled input with room for what is wrong with it.
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) label: &'static str,
    pub(crate) hint: Option<&'static str>,
}

pub(crate) fn field(field: &Field, input: &Markup) -> Markup {
    let name = field.name;
    html! {
        div.field {
            label for=(name) { (field.label) }
            (input)
            @if let Some(hint) = field.hint {
                p.hint id={ (name) "-hint" } { (hint) }
            }
            p.error id={ (name) "-error" } {}
        }
    }
}

/// The end of a form. The button opens when the script is there: before, a press would send the
/// password where no one reads it.
pub(crate) fn submit(label: &str) -> Markup {
    html! {
        p.error #form-error role="alert" {}
        button #submit.primary type="submit" disabled { (label) }
        (still_loading())
        noscript {
            p.warning { "This form needs JavaScript. Please allow it for this shop." }
        }
    }
}

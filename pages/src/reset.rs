//! The page on which a shopper chooses a new password by a one-time link.
//! It must not know the link: what stands behind its "#" is read by the script alone.

use maud::{Markup, html};

use crate::{
    layout::{Shell, document},
    prerender::{self, Page},
    sign_in::{Field, field, submit},
};

/// The page on which a shopper chooses a new password.
#[must_use]
pub fn reset() -> Page {
    prerender::html(markup())
}

fn markup() -> Markup {
    let shell = Shell {
        title: "New password",
        description: "Choose a new password by the link that this shop gave you.",
        sheet: Some("pages.css"),
        script: Some("reset.js"),
    };
    let main = html! {
        section.account-form {
            h1 { "Choose a new password" }
            div.told data-when="no-token" hidden {
                p { "This address lacks the end of its link. Open the whole link, or ask the shop for a new one." }
            }
            form #account-form method="post" novalidate data-when="loading form" {
                (field(&PASSWORD, &html! {
                    input #password name="password" type="password" required minlength="8"
                        autocomplete="new-password" aria-describedby="password-hint password-error";
                }))
                (submit("Set the password"))
            }
            div.told #done tabindex="-1" data-when="done" hidden {
                p { "Your new password is set." }
                a.quiet href="/sign-in" { "Sign in" }
            }
        }
    };
    document(&shell, &main)
}

const PASSWORD: Field =
    Field { name: "password", label: "New password", hint: Some("8 to 128 characters.") };

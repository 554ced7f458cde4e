//! The calls of accounts and sessions, and of what administrators do to accounts.

use http::StatusCode;
use utoipa::openapi::HttpMethod::{Delete, Get, Patch, Post, Put};

use super::operation::{Operation, Who};
use super::shapes::text;
use crate::api::problem::Slug;

const V1_USERS: &str = "/api/v1/users";
const ME: &str = "/api/v1/users/me";
const SESSIONS: &str = "/api/v1/sessions";

/// A shopper's own account.
pub(super) fn own() -> Vec<Operation> {
    let operations = vec![
        Operation::new(Post, V1_USERS, "createUser", "Registers a shopper")
            .takes("NewUser")
            .answers(StatusCode::CREATED, "User")
            .carrying(&["Location"])
            .writes()
            .refuses(&[Slug::Conflict, Slug::RateLimited]),
        Operation::new(Get, ME, "showMe", "Shows one's account")
            .by(Who::Shopper)
            .answers(StatusCode::OK, "User")
            .reads()
            .refuses(&[Slug::NotFound]),
        Operation::new(
            Patch,
            ME,
            "updateMe",
            "Changes one's name, or the password with the old one",
        )
        .says("A new password ends every session; the caller gets another, in the cookie or as `token`.")
        .by(Who::Shopper)
        .takes("UserChanges")
        .answers(StatusCode::OK, "ChangedUser")
        .writes()
        .refuses(&[Slug::NotFound, Slug::RateLimited]),
        Operation::new(Post, SESSIONS, "signIn", "Signs in")
            .says("The token is for `Authorization: Bearer`; a browser keeps the cookie.")
            .takes("Credentials")
            .answers(StatusCode::CREATED, "Session")
            .carrying(&["Location", "Set-Cookie"])
            .reads()
            .refuses(&[Slug::Unauthenticated, Slug::RateLimited]),
        Operation::new(Delete, SESSIONS, "signOutEverywhere", "Ends every session of the user")
            .by(Who::Shopper)
            .answers_nothing(StatusCode::NO_CONTENT)
            .carrying(&["Set-Cookie"]),
        Operation::new(Delete, "/api/v1/sessions/current", "signOut", "Ends this session")
            .by(Who::Shopper)
            .answers_nothing(StatusCode::NO_CONTENT)
            .carrying(&["Set-Cookie"]),
        Operation::new(
            Post,
            "/api/v1/password-resets",
            "resetPassword",
            "Sets a new password by an administrator's one-time link",
        )
        .takes("PasswordReset")
        .answers_nothing(StatusCode::NO_CONTENT)
        .writes()
        .refuses(&[Slug::NotFound, Slug::RateLimited]),
    ];
    operations.into_iter().map(|operation| operation.of("Accounts")).collect()
}

/// Accounts as operators and administrators see them.
pub(super) fn of_others() -> Vec<Operation> {
    let operations = vec![
        Operation::new(Get, "/api/v1/admin/users", "listUsers", "Lists accounts, by name")
            .by(Who::Operator)
            .query("q", text().description(Some("How their names begin")))
            .paged()
            .answers(StatusCode::OK, "UserList")
            .reads(),
        Operation::new(
            Put,
            "/api/v1/admin/users/{user_id}/roles",
            "setRoles",
            "Gives roles, which act at the user's next sign-in",
        )
        .by(Who::Admin)
        .takes("Roles")
        .answers(StatusCode::OK, "User")
        .writes(),
        Operation::new(
            Post,
            "/api/v1/admin/users/{user_id}/unblock",
            "unblockUser",
            "Forgets the failed sign-ins of an account",
        )
        .by(Who::Admin)
        .may_take("Nothing")
        .answers(StatusCode::OK, "User")
        .writes(),
        Operation::new(
            Post,
            "/api/v1/admin/users/{user_id}/password-reset",
            "makePasswordLink",
            "Makes a one-time link with which the user sets a new password",
        )
        .says("Asked again it makes another link, and the one before works no more.")
        .by(Who::Admin)
        .may_take("Nothing")
        .answers(StatusCode::OK, "PasswordLink")
        .writes(),
        Operation::new(
            Get,
            "/api/v1/admin/trail",
            "readTrail",
            "Lists who did what, newest first: the acts of operators, administrators and command lines",
        )
        .says("An act that found done what it asks for is listed, too; one that was refused is not.")
        .by(Who::Admin)
        .paged()
        .answers(StatusCode::OK, "ActList")
        .reads(),
    ];
    operations.into_iter().map(|operation| operation.of("Accounts of others")).collect()
}

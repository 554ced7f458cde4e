//! Accounts as administrators see them.

use http::StatusCode;
use seckill_shards::ids::UserId;

use super::OperatorCall;
use super::trail::Done;
use crate::api::json::Fields;
use crate::api::problem::{Effect, Problem};
use crate::api::query::{Query, cut, page};
use crate::api::reply::Reply;
use crate::api::users::{self, ROLES};
use crate::api::{Answer, password_resets, sessions};
use crate::store::{Page, Roles, UserUpdate};

/// `GET /api/v1/admin/users?q=`: whose names begin so, by name.
pub(super) async fn list(call: OperatorCall<'_>) -> Answer {
    let query = Query::of(call.inner.head.uri.query())?;
    let limit = query.limit()?;
    let prefix = query.value("q").unwrap_or_default().to_owned();
    let rows = Page { after: query.value("cursor").map(str::to_owned), limit: limit + 1 };
    let found =
        call.context.store(Effect::Read, |store| async move { store.users(prefix, rows).await });
    let mut found = found.await?;
    let cursor = cut(&mut found, limit, |last| last.username.clone());
    let body = call.context.desk.bytes(|out| {
        page(out, &found, cursor.as_deref(), users::write);
    });
    Ok(Reply::json(StatusCode::OK, body).no_store())
}

/// `PUT /api/v1/admin/users/{id}/roles`, for administrators. The user signs in again, since a
/// token says what its owner might do when it was issued.
pub(super) async fn set_roles(call: OperatorCall<'_>, id: UserId) -> Result<Done, Problem> {
    call.caller.admin()?;
    let mut fields = Fields::of(call.body)?;
    let roles = fields.required("roles", roles);
    fields.finish()?;
    let sign_out = Some(sessions::sign_out_now(call.inner, id));
    let update = UserUpdate { roles: Some(roles), sign_out, ..UserUpdate::default() };
    let user = call
        .context
        .store(Effect::Write, |store| async move { store.update_user(id, update).await });
    let user = user.await?;
    // Once more: who signed in meanwhile may have been given the old roles.
    sessions::sign_out_now(call.inner, id);
    let told = users::role_words(user.roles).collect::<Vec<_>>().join(", ");
    Ok(Done::from(users::reply(call.inner, StatusCode::OK, &user)).told(told))
}

/// `POST /api/v1/admin/users/{id}/password-reset`, for administrators.
pub(super) async fn reset_password(call: OperatorCall<'_>, id: UserId) -> Result<Done, Problem> {
    call.caller.admin()?;
    call.expect_no_fields()?;
    // The link is its user's alone.
    password_resets::open(call.inner, id).await.map(Done::from)
}

/// `POST /api/v1/admin/users/{id}/unblock`, for administrators: the failed sign-ins that this
/// gateway has counted for the user are forgotten. Those of an address stay, and so do those that
/// another gateway has counted, for a minute at most.
pub(super) async fn unblock(call: OperatorCall<'_>, id: UserId) -> Result<Done, Problem> {
    call.caller.admin()?;
    call.expect_no_fields()?;
    let user = call.context.store(Effect::Read, |store| async move { store.user(id).await });
    let user = user.await?;
    call.context.shared.throttle.forget(&user.username);
    Ok(users::reply(call.inner, StatusCode::OK, &user).into())
}

fn roles(fields: &mut Fields, name: &str) -> Option<Roles> {
    fields.optional(name, "a list of shopper, operator and admin", |value| {
        let words = value.as_array()?;
        words.iter().try_fold(Roles::default(), |roles, word| {
            let (role, _) = ROLES.into_iter().find(|(_, name)| word == name)?;
            Some(roles.with(role))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_words_in_a_list() {
        let read = |json: &str| {
            let body = format!("{{\"roles\":{json}}}");
            roles(&mut Fields::of(body.as_bytes()).unwrap(), "roles")
        };
        assert_eq!(read(r#"["shopper","admin"]"#), Some(Roles::SHOPPER.with(Roles::ADMIN)));
        assert_eq!(read("[]"), Some(Roles::default()));
        for bad in [r#"["root"]"#, r#""admin""#, "[1]", "null"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}

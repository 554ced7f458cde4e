//! Accounts: registering, and one's own.

use http::StatusCode;
use http::header::SET_COOKIE;

use super::json::{Fields, expect_json};
use super::limits::{DISPLAY_NAME_BYTES_MAX, PASSWORD_CHARS, USERNAME_CHARS};
use super::problem::{Effect, Problem};
use super::reply::Reply;
use super::throttle::Attempt;
use super::tokens::seconds;
use super::{Answer, Call, sessions, text};
use crate::store::{NewUser, Roles, User, UserUpdate};

/// `POST /api/v1/users`.
pub(super) async fn create(call: &Call<'_>, body: &[u8]) -> Answer {
    expect_json(&call.head.headers)?;
    let mut fields = Fields::of(body)?;
    let username = fields.required("username", username);
    let password = fields.required("password", password);
    let display_name = display_name(&mut fields).unwrap_or_default();
    fields.finish()?;
    let shared = &call.context.shared;
    call.context.expect_store(Effect::Write)?;
    let user = async {
        let password_hash = Some(shared.passwords.hash(password).await?);
        let user = NewUser { username, display_name, password_hash, roles: Roles::SHOPPER };
        call.context
            .store(Effect::Write, |store| async move { store.create_user(user).await })
            .await
    };
    let attempt = Attempt::Register(call.client());
    let user = shared.throttle.attempt(attempt, shared.now(), user).await?;
    Ok(reply(call, StatusCode::CREATED, &user).at("/api/v1/users/me".to_owned()))
}

/// `GET /api/v1/users/me`.
pub(super) async fn show(call: &Call<'_>) -> Answer {
    let user = call.caller()?.user();
    let user = call.context.store(Effect::Read, |store| async move { store.user(user).await });
    Ok(reply(call, StatusCode::OK, &user.await?))
}

/// `PATCH /api/v1/users/me`: the name; the password with the old one.
pub(super) async fn update(call: &Call<'_>, body: &[u8]) -> Answer {
    let id = call.caller()?.user();
    expect_json(&call.head.headers)?;
    let mut fields = Fields::of(body)?;
    let display_name = display_name(&mut fields);
    let new = password(&mut fields, "password");
    let old = password(&mut fields, "old_password");
    if new.is_some() && old.is_none() {
        fields.reject("old_password", "is missing");
    }
    fields.finish()?;
    let update = UserUpdate { display_name, ..UserUpdate::default() };
    if let Some((new, old)) = new.zip(old) {
        return change_password(call, update, rehash(call, new, old).await?).await;
    }
    let user = call
        .context
        .store(Effect::Write, |store| async move { store.update_user(id, update).await });
    Ok(reply(call, StatusCode::OK, &user.await?))
}

/// A new password ends every session of the user, whoever has them. The caller is given another in
/// place of theirs: in the cookie, where their token came so, or else as `token` beside the user,
/// and never in both, since a script of the page must not see what is in the cookie.
async fn change_password(call: &Call<'_>, update: UserUpdate, hash: String) -> Answer {
    let caller = call.caller()?;
    let id = caller.user();
    let sign_out = Some(sessions::planned_sign_out(call, id));
    let update = UserUpdate { password_hash: Some(hash), sign_out, ..update };
    let shared = &call.context.shared;
    let read_s = seconds(shared.now());
    let user = call
        .context
        .store(Effect::Write, |store| async move { store.update_user(id, update).await });
    let user = user.await?;
    sessions::sign_out_now(call, id);
    // The password is changed; without another session the caller signs in with it.
    let Ok(session) = sessions::open(call, &user, read_s).await else {
        return Ok(reply(call, StatusCode::OK, &user).with(SET_COOKIE, shared.site.no_cookie()));
    };
    if caller.by_cookie {
        let cookie = shared.site.cookie(&session.token);
        return Ok(reply(call, StatusCode::OK, &user).with(SET_COOKIE, cookie));
    }
    let body = call.context.desk.bytes(|out| {
        write(out, &user);
        out.pop();
        text::raw(out, ",\"token\":");
        text::string(out, &session.token);
        out.push(b'}');
    });
    Ok(Reply::json(StatusCode::OK, body).no_store())
}

/// The hash of a new password, where the old one is right.
async fn rehash(call: &Call<'_>, new: String, old: String) -> Result<String, Problem> {
    let id = call.caller()?.user();
    let user = call.context.store(Effect::Read, |store| async move { store.user(id).await });
    let user = user.await?;
    call.context.expect_store(Effect::Write)?;
    let shared = &call.context.shared;
    let attempt = Attempt::SignIn(&user.username, call.client());
    let verified = async {
        let is_right = shared.passwords.verify(old, user.password_hash).await?;
        is_right.then_some(()).ok_or_else(|| Problem::field("/old_password", "is not right"))
    };
    shared.throttle.attempt(attempt, shared.now(), verified).await?;
    shared.passwords.hash(new).await
}

/// Whether a name may be had by an account.
///
/// # Errors
/// What it must be.
pub fn check_username(username: &str) -> Result<(), &'static str> {
    let allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.-".contains(&byte);
    let valid = USERNAME_CHARS.contains(&username.len()) && username.bytes().all(allowed);
    if valid { Ok(()) } else { Err("a username is 3 to 32 of a-z, 0-9, _, . and -") }
}

/// Whether a password is long enough, and not too long.
///
/// # Errors
/// What it must be.
pub fn check_password(password: &str) -> Result<(), &'static str> {
    let valid = PASSWORD_CHARS.contains(&password.chars().count());
    if valid { Ok(()) } else { Err("a password has 8 to 128 characters") }
}

fn username(fields: &mut Fields, name: &str) -> Option<String> {
    checked(fields, name, check_username)
}

/// A password to be.
pub(super) fn password(fields: &mut Fields, name: &str) -> Option<String> {
    checked(fields, name, check_password)
}

fn checked(
    fields: &mut Fields,
    name: &str,
    check: fn(&str) -> Result<(), &'static str>,
) -> Option<String> {
    let text = fields.optional(name, "text", |value| value.as_str().map(str::to_owned))?;
    match check(&text) {
        Ok(()) => Some(text),
        Err(detail) => {
            fields.reject(name, detail);
            None
        }
    }
}

fn display_name(fields: &mut Fields) -> Option<String> {
    fields.text("display_name", 0..=DISPLAY_NAME_BYTES_MAX)
}

/// An account alone.
pub(super) fn reply(call: &Call<'_>, status: StatusCode, user: &User) -> Reply {
    let body = call.context.desk.bytes(|out| write(out, user));
    Reply::json(status, body).no_store()
}

/// Every role and its word.
pub(super) const ROLES: [(Roles, &str); 3] =
    [(Roles::SHOPPER, "shopper"), (Roles::OPERATOR, "operator"), (Roles::ADMIN, "admin")];

/// Writes an account as JSON.
pub(super) fn write(out: &mut Vec<u8>, user: &User) {
    text::raw(out, "{\"id\":");
    text::id(out, user.id);
    text::raw(out, ",\"username\":");
    text::string(out, &user.username);
    text::raw(out, ",\"display_name\":");
    text::string(out, &user.display_name);
    text::raw(out, ",\"roles\":");
    text::list(out, role_words(user.roles), text::string);
    out.push(b'}');
}

/// The words of some roles.
pub(super) fn role_words(roles: Roles) -> impl Iterator<Item = &'static str> {
    ROLES.into_iter().filter(move |(role, _)| roles.has(*role)).map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use seckill_shards::ids::UserId;
    use serde_json::json;

    use super::*;

    #[test]
    fn usernames_are_short_and_plain() {
        let read = |text: &str| {
            let body = json!({ "username": text }).to_string();
            username(&mut Fields::of(body.as_bytes()).unwrap(), "username")
        };
        for good in ["ann", "a.b-c_1", &"x".repeat(32)] {
            assert_eq!(read(good).as_deref(), Some(good));
        }
        for bad in ["", "ab", &"x".repeat(33), "Ann", "a b", "änn", "ann\n"] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn an_account_never_shows_its_hash() {
        let user = User {
            id: UserId(1),
            username: "ann".to_owned(),
            display_name: "Ann".to_owned(),
            password_hash: Some("secret".to_owned()),
            roles: Roles::SHOPPER.with(Roles::ADMIN),
        };
        let mut out = Vec::new();
        write(&mut out, &user);
        let shown: serde_json::Value = serde_json::from_slice(&out).unwrap();
        let roles = ["shopper", "admin"];
        let expected =
            json!({ "id": "1", "username": "ann", "display_name": "Ann", "roles": roles });
        assert_eq!(shown, expected);
    }
}

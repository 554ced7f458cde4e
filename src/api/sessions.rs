//! Signing in and out.

use http::StatusCode;
use http::header::SET_COOKIE;
use seckill_shards::clock::Timestamp;

use super::auth::Caller;
use super::json::{Fields, expect_json};
use super::limits::PASSWORD_CHARS;
use super::problem::{Effect, Problem, Slug};
use super::reply::Reply;
use super::tokens::{Claims, LIFETIME_S, SessionId, seconds};
use super::{Answer, Call, text, users};
use crate::store::{Refusal, SignOut, StoreError, User, UserUpdate};

/// `POST /api/v1/sessions`.
pub(super) async fn create(call: &Call<'_>, body: &[u8]) -> Answer {
    expect_json(&call.head.headers)?;
    let mut fields = Fields::of(body)?;
    let username = fields.required_by("username", |fields| fields.secret("username", 1..=128));
    let password = fields
        .required_by("password", |fields| fields.secret("password", 1..=*PASSWORD_CHARS.end()));
    fields.finish()?;
    let shared = &call.context.shared;
    shared.throttle.take(&username, call.client(), shared.now())?;
    let user = find(call, username.clone()).await?;
    let hash = user.as_ref().and_then(|user| user.password_hash.clone());
    let is_right = shared.passwords.verify(password, hash).await?;
    let wrong = || Problem::new(Slug::Unauthenticated, "The username or the password is wrong.");
    let user = user.filter(|_| is_right).ok_or_else(wrong)?;
    shared.throttle.give(&username, call.client());
    let session = crate::random_bytes().map_err(|_| Slug::Unavailable)?;
    Ok(signed_in(call, &user, session))
}

async fn find(call: &Call<'_>, username: String) -> Result<Option<User>, Problem> {
    let user = call.context.store(Effect::Read, |store| async move {
        match store.user_by_name(username).await {
            Ok(user) => Ok(Some(user)),
            Err(StoreError::Refused(Refusal::NotFound)) => Ok(None),
            Err(error) => Err(error),
        }
    });
    user.await
}

fn signed_in(call: &Call<'_>, user: &User, session: SessionId) -> Reply {
    let shared = &call.context.shared;
    // Who signs in within the second of signing out everywhere is dated a second ahead.
    let issued_s = seconds(shared.now()).max(shared.access.valid_from_s(user.id));
    let claims = Claims::new(user.id, user.roles, session, issued_s);
    let token = shared.tokens.issue(&claims);
    let body = call.context.desk.bytes(|out| {
        text::raw(out, "{\"token\":");
        text::string(out, &token);
        text::raw(out, ",\"expires_at\":");
        text::instant(out, instant(claims.expires_s));
        text::raw(out, ",\"user\":");
        users::write(out, user);
        out.push(b'}');
    });
    let reply = Reply::json(StatusCode::CREATED, body).no_store();
    reply.at("/api/v1/sessions/current".to_owned()).with(SET_COOKIE, shared.site.cookie(&token))
}

/// `DELETE /api/v1/sessions/current`: at once here; elsewhere as soon as the store says so.
pub(super) async fn delete_current(call: &Call<'_>) -> Answer {
    let Caller { claims } = call.caller()?;
    let shared = &call.context.shared;
    shared.access.revoke_session(claims.session, claims.expires_s, seconds(shared.now()));
    let mut token = [0; 16];
    token[..claims.session.len()].copy_from_slice(&claims.session);
    let until = instant(claims.expires_s);
    let stored = call
        .context
        .store(Effect::Write, |store| async move { store.revoke_token(token, until).await });
    Ok(signed_out(call, stored.await))
}

/// `DELETE /api/v1/sessions`: every token of the user.
pub(super) async fn delete_all(call: &Call<'_>) -> Answer {
    let user = call.caller()?.user();
    let sign_out = sign_out_now(call, user);
    let update = UserUpdate { sign_out: Some(sign_out), ..UserUpdate::default() };
    let stored = call
        .context
        .store(Effect::Write, |store| async move { store.update_user(user, update).await });
    Ok(signed_out(call, stored.await.map(drop)))
}

/// Takes back every token of a user on this gateway; what the others are to be told comes back.
pub(super) fn sign_out_now(call: &Call<'_>, user: seckill_shards::ids::UserId) -> SignOut {
    let shared = &call.context.shared;
    let now_s = seconds(shared.now());
    // Tokens count seconds, so those of this very second are taken back as well; and those of a
    // sign-in that an earlier sign-out of this second has dated ahead.
    let valid_from_s = shared.access.valid_from_s(user).max(now_s).saturating_add(1);
    let until_s = valid_from_s.saturating_add(LIFETIME_S);
    shared.access.revoke_user(user, valid_from_s, until_s, now_s);
    SignOut { valid_from: instant(valid_from_s), until: instant(until_s) }
}

/// 204 with the store away as well: the token works no more here, and ends by itself elsewhere.
fn signed_out(call: &Call<'_>, stored: Result<(), Problem>) -> Reply {
    if stored.is_err() {
        tracing::warn!("a sign-out has not come to the store: other gateways do not learn of it");
    }
    let reply = Reply::empty(StatusCode::NO_CONTENT);
    reply.with(SET_COOKIE, call.context.shared.site.no_cookie())
}

fn instant(seconds: u32) -> Timestamp {
    Timestamp(u64::from(seconds) * 1_000)
}

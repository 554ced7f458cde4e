//! Signing in and out.

use http::StatusCode;
use http::header::SET_COOKIE;
use seckill_shards::clock::Timestamp;
use seckill_shards::ids::UserId;

use super::auth::Caller;
use super::json::{Fields, expect_json};
use super::limits::{PASSWORD_CHARS, SIGN_OUT_AHEAD_S};
use super::problem::{Effect, Problem, Slug};
use super::reply::Reply;
use super::throttle::Attempt;
use super::tokens::{Claims, LIFETIME_S, SessionId, seconds};
use super::{Answer, Call, Control, Word, text, users};
use crate::store::{Refusal, Revoked, SignOut, StoreError, User};

/// `POST /api/v1/sessions`.
pub(super) async fn create(call: &Call<'_>, body: &[u8]) -> Answer {
    expect_json(&call.head.headers)?;
    let mut fields = Fields::of(body)?;
    let username = fields.required_by("username", |fields| fields.secret("username", 1..=128));
    let password = fields
        .required_by("password", |fields| fields.secret("password", 1..=*PASSWORD_CHARS.end()));
    fields.finish()?;
    let shared = &call.context.shared;
    call.context.expect_store(Effect::Read)?;
    let attempt = Attempt::SignIn(&username, call.client());
    let read_s = seconds(shared.now());
    let user = recognise(call, username.clone(), password);
    let user = shared.throttle.attempt(attempt, shared.now(), user).await?;
    let session = open(call, &user, read_s).await?;
    Ok(signed_in(call, &user, &session))
}

/// The user of this name, where the password is theirs. An unknown name costs the same work.
async fn recognise(call: &Call<'_>, username: String, password: String) -> Result<User, Problem> {
    let user = find(call, username).await?;
    let hash = user.as_ref().and_then(|user| user.password_hash.clone());
    let is_right = call.context.shared.passwords.verify(password, hash).await?;
    user.filter(|_| is_right).ok_or_else(wrong)
}

fn wrong() -> Problem {
    Problem::new(Slug::Unauthenticated, "The username or the password is wrong.")
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

/// A token that was just made.
pub(super) struct Session {
    /// The token.
    pub(super) token: String,
    expires_s: u32,
}

/// Opens a session of a user whose row was read in second `read_s` or later. It is dated then, so
/// that a change of password or roles since takes it back with all the others.
pub(super) async fn open(call: &Call<'_>, user: &User, read_s: u32) -> Result<Session, Problem> {
    let shared = &call.context.shared;
    let id = user.id;
    let session: SessionId = crate::random_bytes().map_err(|_| Slug::Unavailable)?;
    let valid_from_s = shared.access.valid_from_s(id, session);
    if valid_from_s > read_s {
        // Who signs in within the second of signing out everywhere is dated ahead, where
        // the row is still what it was when the password was looked at.
        let again = call.context.store(Effect::Read, |store| async move { store.user(id).await });
        let again = again.await?;
        if again.password_hash != user.password_hash || again.roles != user.roles {
            return Err(wrong());
        }
    }
    let claims = Claims::new(id, user.roles, session, read_s.max(valid_from_s));
    Ok(Session { token: shared.tokens.issue(&claims), expires_s: claims.expires_s })
}

fn signed_in(call: &Call<'_>, user: &User, session: &Session) -> Reply {
    let body = call.context.desk.bytes(|out| {
        text::raw(out, "{\"token\":");
        text::string(out, &session.token);
        text::raw(out, ",\"expires_at\":");
        text::instant(out, instant(session.expires_s));
        text::raw(out, ",\"user\":");
        users::write(out, user);
        out.push(b'}');
    });
    let reply = Reply::json(StatusCode::CREATED, body).no_store();
    let cookie = call.context.shared.site.cookie(&session.token);
    reply.at("/api/v1/sessions/current".to_owned()).with(SET_COOKIE, cookie)
}

/// `DELETE /api/v1/sessions/current`: at once here, and elsewhere as soon as that is heard.
pub(super) async fn delete_current(call: &Call<'_>) -> Answer {
    let Caller { claims, .. } = call.caller()?;
    let shared = &call.context.shared;
    shared.access.revoke_session(claims.session, claims.expires_s, seconds(shared.now()));
    let mut token = [0; 16];
    token[..claims.session.len()].copy_from_slice(&claims.session);
    Ok(signed_out(call, Revoked::Token(token), instant(claims.expires_s)).await)
}

/// `DELETE /api/v1/sessions`: every token of the user.
pub(super) async fn delete_all(call: &Call<'_>) -> Answer {
    let user = call.caller()?.user();
    let SignOut { valid_from, until } = sign_out_now(call, user);
    Ok(signed_out(call, Revoked::User { user, valid_from }, until).await)
}

/// What takes back every token that a user has now, for the store to keep and to tell.
pub(super) fn planned_sign_out(call: &Call<'_>, user: UserId) -> SignOut {
    let shared = &call.context.shared;
    // Ahead of whatever may be issued by the row as it is now, here or by another gateway's clock,
    // until this is written.
    let ahead_s = seconds(shared.now()).saturating_add(SIGN_OUT_AHEAD_S);
    let valid_from_s = shared.access.user_valid_from_s(user).max(ahead_s).saturating_add(1);
    let until_s = valid_from_s.saturating_add(LIFETIME_S);
    SignOut { valid_from: instant(valid_from_s), until: instant(until_s) }
}

/// The same, carried out on this gateway at once; what the others are to be told comes back.
///
/// Where a row of the store changes with it, this comes after it: whoever signed in meanwhile by
/// the row as it was is signed out as well.
pub(super) fn sign_out_now(call: &Call<'_>, user: UserId) -> SignOut {
    let shared = &call.context.shared;
    let sign_out = planned_sign_out(call, user);
    let (valid_from_s, until_s) = (seconds(sign_out.valid_from), seconds(sign_out.until));
    shared.access.revoke_user(user, valid_from_s, until_s, seconds(shared.now()));
    sign_out
}

/// Has the other gateways take back what works no more here, and the store. 204 with any of them away as
/// well: what the store does not take is written down when it is back.
async fn signed_out(call: &Call<'_>, revoked: Revoked, until: Timestamp) -> Reply {
    let shared = &call.context.shared;
    let mut unwritten = Unwritten { control: &*shared.control, sign_out: Some((revoked, until)) };
    let write = call.context.store_regardless(Effect::Write, move |store| async move {
        store.revoke(revoked, until).await
    });
    let told = call.context.tell(Word::SignOut(revoked, until));
    let (written, ()) = tokio::join!(write, told);
    if written.is_ok() {
        unwritten.sign_out = None;
    }
    Reply::empty(StatusCode::NO_CONTENT).with(SET_COOKIE, shared.site.no_cookie())
}

/// A sign-out that the store may not have: kept, also where the client goes away meanwhile.
struct Unwritten<'a> {
    control: &'a dyn Control,
    sign_out: Option<(Revoked, Timestamp)>,
}

impl Drop for Unwritten<'_> {
    fn drop(&mut self) {
        if let Some((revoked, until)) = self.sign_out {
            self.control.keep(revoked, until);
        }
    }
}

fn instant(seconds: u32) -> Timestamp {
    Timestamp(u64::from(seconds) * 1_000)
}

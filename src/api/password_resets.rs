//! Password resets: an administrator opens one and hands its link on; whoever has the link sets the
//! password, once.
//!
//! The token is told once and kept nowhere: the store has its digest. This file must not know how
//! the link comes to its user.

use http::StatusCode;
use seckill_shards::ids::UserId;
use seckill_shards::record::Digest;

use super::json::{Fields, expect_json};
use super::limits::{PASSWORD_RESET_MS, RESET_TOKEN_BYTES, RESET_TOKEN_CHARS};
use super::problem::{Effect, Problem, Slug};
use super::reply::Reply;
use super::throttle::Attempt;
use super::{Answer, Call, idempotency, sessions, text, tokens, users};
use crate::store::{PasswordReset, User, UserUpdate};

/// Opens a reset of a user's password. Asked again it gives another token, and the one before works
/// no more: an idempotency key could not bring back what nobody keeps.
pub(super) async fn open(call: &Call<'_>, user: UserId) -> Answer {
    let secret: [u8; RESET_TOKEN_BYTES] = crate::random_bytes().map_err(|_| Slug::Unavailable)?;
    let mut token = String::new();
    tokens::encode(&secret, &mut token);
    let until = call.context.shared.now().plus_ms(PASSWORD_RESET_MS);
    let reset = PasswordReset { user, token: digest(&token), until };
    let opened =
        call.context.store(Effect::Write, |store| async move { store.open_reset(reset).await });
    opened.await?;
    let body = call.context.desk.bytes(|out| {
        text::raw(out, "{\"token\":");
        text::string(out, &token);
        text::raw(out, ",\"expires_at\":");
        text::instant(out, until);
        // Behind the hash, so that no browser sends it to a server, nor to the next site.
        text::raw(out, ",\"path\":");
        text::string(out, &format!("/reset#{token}"));
        out.push(b'}');
    });
    Ok(Reply::json(StatusCode::OK, body).no_store())
}

/// `POST /api/v1/password-resets`: sets the password and takes every token of the user back. It
/// needs no cookie, so nothing is lost to another site that sends one along.
pub(super) async fn redeem(call: &Call<'_>, body: &[u8]) -> Answer {
    expect_json(&call.head.headers)?;
    let mut fields = Fields::of(body)?;
    let token = fields.required("token", token);
    let password = fields.required("password", users::password);
    fields.finish()?;
    let shared = &call.context.shared;
    call.context.expect_store(Effect::Write)?;
    let attempt = Attempt::Reset(call.client());
    let user = set_password(call, digest(&token), password);
    let user = shared.throttle.attempt(attempt, shared.now(), user).await.map_err(explained)?;
    sessions::sign_out_now(call, user.id);
    // Whoever has just forgotten a password may have tried a few.
    shared.throttle.forget(&user.username);
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

async fn set_password(call: &Call<'_>, token: Digest, password: String) -> Result<User, Problem> {
    let shared = &call.context.shared;
    let now = shared.now();
    // Looked at before anything is hashed, so that guessing costs the gateway next to nothing.
    let user =
        call.context.store(Effect::Read, |store| async move { store.reset_of(token, now).await });
    let user = user.await?;
    let password_hash = Some(shared.passwords.hash(password).await?);
    let sign_out = Some(sessions::planned_sign_out(call, user));
    let update = UserUpdate { password_hash, sign_out, ..UserUpdate::default() };
    let now = shared.now();
    call.context
        .store(Effect::Write, |store| async move { store.use_reset(token, now, update).await })
        .await
}

/// The digest that the store knows a token by. It is random enough to need no salt.
fn digest(token: &str) -> Digest {
    idempotency::digest(token.as_bytes())
}

fn token(fields: &mut Fields, name: &str) -> Option<String> {
    fields.optional(name, "the text behind the # of the link", |value| {
        let token = value.as_str()?;
        let valid = RESET_TOKEN_CHARS.contains(&token.len())
            && token.bytes().all(|byte| byte.is_ascii_graphic());
        valid.then(|| token.to_owned())
    })
}

/// A reset that is not open, in words for whoever has an old link.
fn explained(problem: Problem) -> Problem {
    if problem.slug != Slug::NotFound {
        return problem;
    }
    Problem::new(Slug::NotFound, "The link was used, has expired, or a newer one replaced it.")
}

//! `seckill user create`: the first administrator, and anyone else without a browser.

use std::io::Read;
use std::process::ExitCode;

use super::{Place, Unusable, note, open_store, runtime, say};
use crate::api::{check_password, check_username, hash_password};
use crate::store::{Deed, NewUser, Roles};

pub(super) fn create(place: &Place, username: &str, role: &str) -> anyhow::Result<ExitCode> {
    let config = place.config()?;
    let password = password()?;
    let usable = check_username(username).and_then(|()| check_password(&password));
    usable.map_err(|why| Unusable(why.to_owned()))?;
    std::fs::create_dir_all(&config.data)?;
    let store = open_store(&config)?;
    let user = NewUser {
        username: username.to_owned(),
        display_name: username.to_owned(),
        password_hash: Some(hash_password(&password)),
        roles: roles(role),
    };
    let user = runtime()?.block_on(async {
        let user = store.create_user(user).await?;
        note(&*store, Deed::new("created", "user", Some(user.id.0)), role.to_owned()).await;
        anyhow::Ok(user)
    })?;
    say(&format!("created {role} {username} with id {}", user.id))?;
    Ok(ExitCode::SUCCESS)
}

/// From the environment, or the first line of standard input.
fn password() -> anyhow::Result<String> {
    if let Ok(password) = std::env::var("SECKILL_PASSWORD") {
        return Ok(password);
    }
    let mut text = String::new();
    std::io::stdin().lock().take(1_024).read_to_string(&mut text)?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// Every account may buy; an administrator may do what an operator may.
pub(super) fn roles(role: &str) -> Roles {
    match role {
        "admin" => Roles::SHOPPER.with(Roles::OPERATOR).with(Roles::ADMIN),
        "operator" => Roles::SHOPPER.with(Roles::OPERATOR),
        _ => Roles::SHOPPER,
    }
}

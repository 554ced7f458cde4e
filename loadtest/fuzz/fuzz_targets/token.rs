//! Tokens: no bytes verify but those that were signed, and a token has one spelling.
#![no_main]

use libfuzzer_sys::fuzz_target;
use seckill::api::tokens::{Claims, Tokens};
use seckill::store::Roles;
use seckill_shards::ids::UserId;

const NOW_S: u32 = 1_795_737_600;
/// The key that signed the tokens among the seeds.
const USED: [u8; 32] = [7; 32];
/// A key that never signed anything.
const UNUSED: [u8; 32] = [8; 32];

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    assert!(Tokens::new(&UNUSED, None).check(&text, NOW_S).is_none(), "forged: {text}");
    let tokens = Tokens::new(&USED, Some(&UNUSED));
    if let Some(claims) = tokens.check(&text, NOW_S) {
        assert_eq!(tokens.issue(&claims), text, "a token has one spelling");
    }
    let Some((said, rest)) = bytes.split_at_checked(21) else { return };
    let user = u64::from_le_bytes(said[..8].try_into().expect("eight bytes"));
    let session = said[8..16].try_into().expect("eight bytes");
    let issued_s = u32::from_le_bytes(said[16..20].try_into().expect("four bytes"));
    let claims = Claims::new(UserId(user), Roles(said[20]), session, issued_s);
    let token = tokens.issue(&claims);
    let found = tokens.check(&token, NOW_S);
    assert_eq!(found, (NOW_S < claims.expires_s).then_some(claims));
    change(&token, rest, &tokens);
});

/// The token with one byte changed is worth nothing.
fn change(token: &str, rest: &[u8], tokens: &Tokens) {
    let [at, byte, ..] = *rest else { return };
    let mut changed = token.as_bytes().to_vec();
    let at = usize::from(at) % changed.len();
    changed[at] = byte;
    let Ok(changed) = String::from_utf8(changed) else { return };
    assert!(changed == token || tokens.check(&changed, NOW_S).is_none(), "taken: {changed}");
}

//! Requests: the whole API over a sale in memory, one request after another. Whatever is asked, the
//! answer is documented JSON or a page, and no handler panics.
#![no_main]

#[expect(dead_code, reason = "another target sends bytes")]
mod gateway;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::Full;
use libfuzzer_sys::fuzz_target;

use gateway::Gateway;

thread_local! {
    static GATEWAY: Gateway = Gateway::start();
}

/// Requests that one input sends at most, as a connection would.
const REQUESTS_MAX: usize = 4;
/// What stands between two requests.
const BETWEEN: &[u8] = b"\n---\n";

fuzz_target!(|bytes: &[u8]| {
    let mut rest = bytes;
    GATEWAY.with(|gateway| {
        for _ in 0..REQUESTS_MAX {
            let end = rest.windows(BETWEEN.len()).position(|window| window == BETWEEN);
            let (first, after) = rest.split_at(end.unwrap_or(rest.len()));
            if let Some(request) = request(first, gateway) {
                gateway.check(request);
            }
            let Some(next) = after.get(BETWEEN.len()..) else { return };
            rest = next;
        }
    });
});

/// `METHOD target`, lines of headers, an empty line, a body. `Shopper` and `Admin` as the value of
/// `authorization` stand for a token that is good.
fn request(bytes: &[u8], gateway: &Gateway) -> Option<Request<Full<Bytes>>> {
    let end = bytes.windows(2).position(|window| window == b"\n\n");
    let (head, body) = bytes.split_at(end.unwrap_or(bytes.len()));
    let mut lines = head.split(|&byte| byte == b'\n');
    let mut first = lines.next()?.splitn(2, |&byte| byte == b' ');
    let mut request = Request::new(Full::new(Bytes::copy_from_slice(body.get(2..).unwrap_or(&[]))));
    *request.method_mut() = Method::from_bytes(first.next()?).ok()?;
    *request.uri_mut() = Uri::try_from(first.next()?).ok()?;
    for line in lines {
        let colon = line.iter().position(|&byte| byte == b':')?;
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        let value = gateway.token(line[colon + 1..].trim_ascii());
        request.headers_mut().append(name, HeaderValue::from_bytes(&value).ok()?);
    }
    Some(request)
}

//! Who asks: from a bearer token or the session cookie, and whether they may.
//!
//! It must not know resources; what needs which role is said where it is done.

use http::header::{AUTHORIZATION, COOKIE, HOST, HeaderName, HeaderValue, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, Method};
use seckill_shards::ids::UserId;

use super::problem::{Problem, Slug};
use super::reply::ascii;
use super::tokens::{Claims, LIFETIME_S};
use crate::store::Roles;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Where the gateway is on the web, and what follows from it for cookies.
#[derive(Clone, Debug)]
pub struct Site {
    /// `https://shop.example`; none: whatever host a request names.
    origin: Option<String>,
    cookie: &'static str,
    attributes: &'static str,
}

impl Site {
    /// The site at a public URL, of which only scheme and host count.
    #[must_use]
    pub fn new(public_url: Option<&str>) -> Self {
        let origin = public_url.map(origin_of);
        // A `__Host-` cookie is refused by browsers unless it came over https.
        if origin.as_ref().is_some_and(|origin| origin.starts_with("https://")) {
            let attributes = "; Path=/; HttpOnly; SameSite=Lax; Secure";
            return Self { origin, cookie: "__Host-seckill_session", attributes };
        }
        Self { origin, cookie: "seckill_session", attributes: "; Path=/; HttpOnly; SameSite=Lax" }
    }

    /// `Set-Cookie` at sign-in.
    #[must_use]
    pub fn cookie(&self, token: &str) -> HeaderValue {
        ascii(format!("{}={token}; Max-Age={LIFETIME_S}{}", self.cookie, self.attributes))
    }

    /// `Set-Cookie` at sign-out.
    #[must_use]
    pub fn no_cookie(&self) -> HeaderValue {
        ascii(format!("{}=; Max-Age=0{}", self.cookie, self.attributes))
    }

    /// The token of a request and whether it came as a cookie, which a browser sends by itself.
    fn token<'a>(&self, headers: &'a HeaderMap) -> Option<(&'a str, bool)> {
        if let Some(authorization) = headers.get(AUTHORIZATION) {
            let (scheme, token) = authorization.to_str().ok()?.split_once(' ')?;
            return scheme.eq_ignore_ascii_case("bearer").then_some((token.trim(), false));
        }
        let mut cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        cookies.find_map(|value| self.cookie_token(value)).map(|token| (token, true))
    }

    /// The token among the cookies of one header.
    pub(super) fn cookie_token<'a>(&self, cookies: &'a str) -> Option<&'a str> {
        let mut cookies = cookies.split(';').filter_map(|cookie| cookie.trim().split_once('='));
        cookies.find(|(name, _)| *name == self.cookie).map(|(_, token)| token)
    }

    /// Whether a request comes from a page of this site.
    pub(super) fn is_same_origin(
        &self,
        origin: Option<&str>,
        host: Option<&str>,
        fetched_by: Option<&str>,
    ) -> bool {
        if fetched_by == Some("same-origin") {
            return true;
        }
        let Some(origin) = origin else { return false };
        match &self.origin {
            Some(own) => origin.eq_ignore_ascii_case(own),
            None => {
                let named = origin.split_once("://").map(|(_, host)| host);
                named.zip(host).is_some_and(|(origin, host)| origin.eq_ignore_ascii_case(host))
            }
        }
    }
}

/// Scheme and host of a URL, in lower case.
fn origin_of(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = match scheme {
        "https" => host.strip_suffix(":443").unwrap_or(host),
        _ => host.strip_suffix(":80").unwrap_or(host),
    };
    format!("{scheme}://{host}").to_ascii_lowercase()
}

/// Someone who has signed in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Caller {
    /// What their token says.
    pub claims: Claims,
    /// It came as a cookie, which the browser sends by itself and no script of its page can read.
    pub by_cookie: bool,
}

impl Caller {
    /// Whose token it is.
    #[must_use]
    pub(super) fn user(&self) -> UserId {
        self.claims.user
    }

    /// Whether they plan and run sales; an administrator may do what an operator may.
    #[must_use]
    pub(super) fn is_operator(&self) -> bool {
        self.claims.roles.has(Roles::OPERATOR) || self.is_admin()
    }

    /// Whether they give roles.
    #[must_use]
    pub(super) fn is_admin(&self) -> bool {
        self.claims.roles.has(Roles::ADMIN)
    }

    /// # Errors
    /// [`Slug::Forbidden`] for anyone but operators and administrators.
    pub(super) fn operator(self) -> Result<Self, Problem> {
        if self.is_operator() { Ok(self) } else { Err(Slug::Forbidden.into()) }
    }

    /// # Errors
    /// [`Slug::Forbidden`] for anyone but administrators.
    pub(super) fn admin(self) -> Result<Self, Problem> {
        if self.is_admin() { Ok(self) } else { Err(Slug::Forbidden.into()) }
    }
}

/// Who a request comes from, by a check of the token that asks no one.
///
/// # Errors
/// [`Slug::Unauthenticated`] without a good token; [`Slug::CrossOrigin`] where a cookie came with
/// a state change that no page of this site sent.
pub(super) fn caller(
    site: &Site,
    head: &Parts,
    check: impl FnOnce(&str) -> Option<Claims>,
) -> Result<Caller, Problem> {
    let (token, by_cookie) = site.token(&head.headers).ok_or(Slug::Unauthenticated)?;
    let claims = check(token).ok_or(Slug::Unauthenticated)?;
    let is_safe = matches!(head.method, Method::GET | Method::HEAD);
    let text = |name| head.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let is_own = || site.is_same_origin(text(ORIGIN), text(HOST), text(SEC_FETCH_SITE));
    if by_cookie && !is_safe && !is_own() {
        return Err(Slug::CrossOrigin.into());
    }
    Ok(Caller { claims, by_cookie })
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn head(method: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().method(method).uri("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn outcome(site: &Site, method: &str, headers: &[(&str, &str)]) -> Result<u64, Slug> {
        let check = |token: &str| {
            (token == "good").then(|| Claims::new(UserId(7), Roles::SHOPPER, [0; 8], 1))
        };
        caller(site, &head(method, headers), check)
            .map(|caller| caller.user().0)
            .map_err(|problem| problem.slug)
    }

    #[test]
    fn a_bearer_token_is_enough_from_anywhere() {
        let site = Site::new(Some("https://shop.example"));
        for headers in [
            &[("authorization", "Bearer good")][..],
            &[("authorization", "bearer good"), ("origin", "https://evil.example")],
            &[("authorization", "Bearer  good "), ("cookie", "__Host-seckill_session=bad")],
        ] {
            assert_eq!(outcome(&site, "POST", headers), Ok(7), "{headers:?}");
        }
        for value in ["Bearer bad", "Bearer", "Basic good", "good", ""] {
            let headers = [("authorization", value), ("cookie", "__Host-seckill_session=good")];
            assert_eq!(outcome(&site, "GET", &headers), Err(Slug::Unauthenticated), "{value}");
        }
        assert_eq!(outcome(&site, "GET", &[]), Err(Slug::Unauthenticated));
    }

    #[test]
    fn a_cookie_changes_nothing_from_another_site() {
        let site = Site::new(Some("https://Shop.example:443/base"));
        let cookie = ("cookie", "a=b; __Host-seckill_session=good");
        assert_eq!(outcome(&site, "GET", &[cookie]), Ok(7));
        for method in ["POST", "PATCH", "PUT", "DELETE"] {
            for (headers, expected) in [
                (&[][..], Err(Slug::CrossOrigin)),
                (&[("origin", "https://shop.example")], Ok(7)),
                (&[("origin", "http://shop.example")], Err(Slug::CrossOrigin)),
                (&[("origin", "https://shop.example.evil")], Err(Slug::CrossOrigin)),
                (&[("origin", "null")], Err(Slug::CrossOrigin)),
                (&[("sec-fetch-site", "same-origin")], Ok(7)),
                (&[("sec-fetch-site", "same-site")], Err(Slug::CrossOrigin)),
                (&[("sec-fetch-site", "cross-site")], Err(Slug::CrossOrigin)),
            ] {
                let headers: Vec<_> = [cookie].iter().chain(headers).copied().collect();
                assert_eq!(outcome(&site, method, &headers), expected, "{method} {headers:?}");
            }
        }
    }

    #[test]
    fn without_a_public_url_the_host_of_the_request_counts() {
        let site = Site::new(None);
        let post = |origin| {
            let cookie = ("cookie", "seckill_session=good");
            let headers = [cookie, ("host", "127.0.0.1:8080"), ("origin", origin)];
            outcome(&site, "POST", &headers)
        };
        assert_eq!(post("http://127.0.0.1:8080"), Ok(7));
        assert_eq!(post("https://127.0.0.1:8080"), Ok(7));
        assert_eq!(post("http://127.0.0.1:8081"), Err(Slug::CrossOrigin));
        assert_eq!(post("http://localhost:8080"), Err(Slug::CrossOrigin));
    }

    #[test]
    fn cookies_are_as_strict_as_the_public_url_allows() {
        let plain = Site::new(Some("http://127.0.0.1:8080"));
        assert_eq!(
            plain.cookie("t"),
            "seckill_session=t; Max-Age=43200; Path=/; HttpOnly; SameSite=Lax"
        );
        let secure = Site::new(Some("https://shop.example"));
        assert_eq!(
            secure.no_cookie(),
            "__Host-seckill_session=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax; Secure"
        );
        assert_eq!(
            outcome(&secure, "GET", &[("cookie", "seckill_session=good")]),
            Err(Slug::Unauthenticated),
            "a cookie without the prefix may come from a neighbouring host"
        );
    }

    #[test]
    fn roles_include_the_smaller_ones() {
        let claims = |roles| Claims::new(UserId(1), roles, [0; 8], 1);
        let caller = |roles| Caller { claims: claims(roles), by_cookie: false };
        assert!(caller(Roles::SHOPPER).operator().is_err());
        assert!(caller(Roles::OPERATOR).operator().is_ok());
        assert!(caller(Roles::OPERATOR).admin().is_err());
        assert!(caller(Roles::ADMIN).operator().is_ok());
        assert!(caller(Roles::ADMIN).admin().is_ok());
    }
}

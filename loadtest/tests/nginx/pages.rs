//! Pages from nginx's own cache, and what is never in it; pages from files.

use std::fs;

use base64ct::{Base64, Encoding};
use seckill_loadtest::client::{Client, Request, Response};
use seckill_loadtest::gateway::{Gateway, Start};
use seckill_loadtest::nginx::{self, Nginx};
use seckill_loadtest::patience::{GENEROUS, until};
use sha2::{Digest, Sha256};

use crate::fake::Fake;
use crate::front::{self, Fleet};

fn page(nginx: &Nginx, path: &str, headers: &[(&str, &str)]) -> Response {
    let request = Request::new("GET", path).header("accept", "text/html");
    let request =
        headers.iter().fold(request, |request, (name, value)| request.header(name, value));
    nginx.answer(&request)
}

#[test]
fn pages_outlive_their_gateways() {
    // A test need not wait as often as shoppers until a gateway counts as silent.
    let quick = [("max_fails=3", "max_fails=1")];
    let Some(mut fleet) = Fleet::start(&quick) else { return };
    let sale = format!("/activities/{}", fleet.activity);
    until("the page of the sale is compressed", GENEROUS, || {
        let shown = page(&fleet.nginx, &sale, &[("accept-encoding", "br")]);
        (shown.header("content-encoding") == Some("br")).then_some(())
    });
    let encodings = ["gzip, deflate, br", "gzip", "identity"];
    let shown = |nginx: &Nginx| {
        encodings.map(|encoding| page(nginx, &sale, &[("accept-encoding", encoding)]).expect(200))
    };
    let before = shown(&fleet.nginx);
    let encoded = before.each_ref().map(|page| page.header("content-encoding"));
    assert_eq!(encoded, [Some("br"), Some("gzip"), None]);
    drop(page(&fleet.nginx, "/orders/12", &[]).expect(200));
    let script = before[2].text();
    let script = script.split('"').find(|text| text.starts_with("/assets/")).unwrap();
    drop(page(&fleet.nginx, script, &[]).expect(200));
    // What is not there is answered by whoever asks, and kept by nobody.
    drop(page(&fleet.nginx, "/nothing", &[]).expect(404));
    let program = Request::new("GET", "/nothing").header("accept", "application/json");
    fleet.nginx.answer(&program).problem(404, "not-found");

    fleet.gateways.iter().for_each(front::stop);
    drop(page(&fleet.nginx, script, &[]).expect(200));
    // What was kept for a second has soon been kept for longer, and its gateways are silent.
    let count = |nginx: &Nginx| nginx.log("access.log").matches("\"cache\":\"STALE\"").count();
    let after = until("the pages are of before", GENEROUS, || {
        let pages = shown(&fleet.nginx);
        (count(&fleet.nginx) >= 3).then_some(pages)
    });
    for gateway in &mut fleet.gateways {
        gateway.kill();
    }
    for (before, after) in before.iter().zip(after.into_iter().chain(shown(&fleet.nginx))) {
        assert_eq!((&before.body, before.header("etag")), (&after.body, after.header("etag")));
    }
    let etag = before[0].header("etag").unwrap();
    let headers = [("accept-encoding", "br"), ("if-none-match", etag), ("x-request-id", "mine")];
    let known = page(&fleet.nginx, &format!("{sale}?utm=mail"), &headers).expect(304);
    assert_eq!((known.header("x-request-id"), known.body.len()), (Some("mine"), 0));
    drop(page(&fleet.nginx, "/orders/77", &[]).expect(200));
    let head = Request::new("HEAD", &sale).header("accept-encoding", "gzip");
    drop(fleet.nginx.answer(&head).expect(200));

    // A page that was never asked for is one of nginx's own, which may be styled as it is.
    for path in ["/nothing", "/cart", "/orders/012"] {
        let away = page(&fleet.nginx, path, &[]).expect(503);
        assert!(away.header("content-type").unwrap().starts_with("text/html"), "{path}");
        assert!(away.header("retry-after").is_some() && away.text().contains("Try again"));
        let text = away.text();
        let (_, style) = text.split_once("<style>").unwrap();
        let (style, _) = style.split_once("</style>").unwrap();
        let hash = Base64::encode_string(&Sha256::digest(style));
        let policy = away.header("content-security-policy").unwrap();
        assert!(policy.contains(&format!("'sha256-{hash}'")), "{policy}");
    }
}

/// Asks twice; how often the gateway was asked.
fn asked(path: &str, answer: &'static str) -> Option<usize> {
    let fake = Fake::start(answer);
    let nginx = Nginx::start(&[fake.address], &[])?;
    let [one, two] = [(), ()].map(|()| page(&nginx, path, &[]));
    assert_eq!(one.body, two.body);
    Some(fake.unseen())
}

#[test]
fn only_what_is_public_and_sets_no_cookie_is_kept() {
    for (path, answer, expected) in [
        ("/", "HTTP/1.1 200 OK\r\ncache-control: public, max-age=99\r\n\r\nx", 1),
        ("/", "HTTP/1.1 200 OK\r\ncache-control: max-age=99\r\n\r\nx", 2),
        ("/", "HTTP/1.1 200 OK\r\ncache-control: private, max-age=99\r\n\r\nx", 2),
        ("/", "HTTP/1.1 200 OK\r\n\r\nx", 2),
        (
            "/",
            "HTTP/1.1 200 OK\r\ncache-control: public, max-age=99\r\nset-cookie: a=b\r\n\r\nx",
            2,
        ),
        ("/", "HTTP/1.1 404 Not Found\r\ncache-control: public, max-age=99\r\n\r\nx", 2),
        ("/api/v1/x", "HTTP/1.1 200 OK\r\ncache-control: public, max-age=99\r\n\r\nx", 2),
        ("//api/v1/x", "HTTP/1.1 200 OK\r\ncache-control: public, max-age=99\r\n\r\nx", 2),
    ] {
        let Some(asked) = asked(path, answer) else { return };
        assert_eq!(asked, expected, "{path} {answer}");
    }
}

const README: &str = include_str!("../../../deploy/nginx/README.md");
const SHOP: &str = include_str!("../../../deploy/nginx/shop.conf");

/// What stands in the `location /` of a text.
fn location(text: &'static str) -> &'static str {
    let (_, block) = text.split_once("\nlocation / {\n").unwrap();
    block.split_once("\n}\n").unwrap().0
}

/// What an answer tells of a page, its tag apart: nginx makes one of a file's time.
fn told(page: &Response) -> [Option<String>; 7] {
    [
        "content-type",
        "content-encoding",
        "cache-control",
        "vary",
        "x-content-type-options",
        "referrer-policy",
        "content-security-policy",
    ]
    .map(|name| page.header(name).map(str::to_ascii_lowercase))
}

/// The README says what to put in the place of which block; here it is done.
#[test]
fn exported_pages_come_as_the_gateway_gives_them() {
    if nginx::program().is_none() {
        return;
    }
    let gateway = Gateway::start(Start::cores(1));
    let from_files = [(location(SHOP), location(README))];
    let nginx = Nginx::start(&[gateway.address()], &from_files).unwrap();
    let out = nginx.folder().join("pages");
    drop(gateway.run(&["pages", "export", "--out", out.to_str().unwrap()]).expect(0));
    let both = |path: &str, encoding: &str| {
        let request = Request::new("GET", path).header("accept", "text/html");
        let request = request.header("accept-encoding", encoding);
        [nginx.answer(&request), Client::new(gateway.address()).send(request)]
    };
    for path in ["/", "/sign-in", "/orders", "/orders/7", "/orders/18446744073709551615"] {
        for encoding in ["identity", "gzip"] {
            let [page, own] = both(path, encoding);
            assert_eq!((page.status, told(&page)), (200, told(&own)), "{path} {encoding}");
            assert_eq!(page.body, own.body, "{path} {encoding}");
        }
    }
    let home = fs::read_to_string(out.join("index.html")).unwrap();
    for kind in [".js", ".css", ".svg"] {
        let path = home.split('"').find(|it| it.starts_with("/assets/") && it.ends_with(kind));
        let [asset, own] = both(path.unwrap(), "identity");
        assert_eq!((asset.status, &asset.body), (200, &own.body), "{kind}");
        assert_eq!(asset.header("content-type"), own.header("content-type"), "{kind}");
    }
    for path in ["/nothing", "/orders/07", "/pay/7", "/404"] {
        let [none, own] = both(path, "identity");
        assert_eq!((none.status, own.status, &none.body), (404, 404, &own.body), "{path}");
        let policy = "content-security-policy";
        assert_eq!(none.header(policy), own.header(policy), "{path}");
        assert_eq!(none.header("cache-control").filter(|it| it.contains("public")), None);
    }
    // What is no page is the gateway's yet.
    drop(nginx.answer(&Request::new("GET", "/api/v1/products")).expect(200));
}

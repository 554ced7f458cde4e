//! Headers: credentials, idempotency keys, versions, what is accepted.

use seckill_loadtest::client::{Client, Request};
use serde_json::json;

use crate::calls::{Who, calls};
use crate::world::{World, answer_or_end, assert_problem, refused};

/// Values of `Authorization` that nobody has.
fn bad_credentials(token: &str) -> Vec<Vec<u8>> {
    let (id, seal) = token.split_once('.').unwrap();
    let flipped = if seal.ends_with('A') { "B" } else { "A" };
    let mut values: Vec<Vec<u8>> = [
        "",
        "Bearer",
        "Bearer ",
        "Bearer  ",
        "Bearer .",
        "Bearer a.b",
        "Basic YWRtaW46YWRtaW4=",
        "Negotiate",
        "Bearer 1.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.",
    ]
    .map(|value| value.as_bytes().to_vec())
    .into();
    let forged = [
        format!("{id}.{}{flipped}", &seal[..seal.len() - 1]),
        format!("{id}.{seal}A"),
        format!("0{id}.{seal}"),
        format!("{id}0.{seal}"),
        format!("18446744073709551616.{seal}"),
        format!("-{id}.{seal}"),
        format!("{id}.{}", "A".repeat(5_000)),
        format!("{id}.{seal} {id}.{seal}"),
        format!("{id}.{seal},{id}.{seal}"),
    ];
    values.extend(forged.map(|forged| format!("Bearer {forged}").into_bytes()));
    values.push(b"Bearer \xff\xfe".to_vec());
    values.push([b"Bearer ", token.as_bytes(), b"\xe9"].concat());
    values
}

#[test]
fn nobody_is_let_in_without_a_good_token() {
    let mut world = World::new();
    let token = world.ann.token.clone().unwrap();
    for call in calls(&world).into_iter().filter(|call| call.who != Who::Anyone) {
        world.unchanged(&call.name(), |world| {
            let mut visitor = Client::new(world.gateway.address());
            let whole = call.whole_to(&call.path);
            refused(&mut visitor, &call.name(), whole.clone(), &[401]);
            for value in bad_credentials(&token) {
                let what = format!("{} with {:?}", call.name(), String::from_utf8_lossy(&value));
                refused(&mut visitor, &what, whole.clone().header("authorization", &value), &[401]);
            }
            let cookie = format!("seckill_session={}", token.replace('.', ".A"));
            refused(&mut visitor, &call.name(), whole.header("cookie", cookie), &[401, 403]);
        });
    }
}

#[test]
fn a_shopper_is_not_let_into_the_office() {
    let mut world = World::new();
    let calls = calls(&world).into_iter();
    for call in calls.filter(|call| matches!(call.who, Who::Operator | Who::Admin)) {
        world.unchanged(&call.name(), |world| {
            refused(&mut world.ann, &call.name(), call.whole_to(&call.path), &[403]);
        });
    }
}

#[test]
fn an_idempotency_key_is_short_and_visible() {
    let mut world = World::new();
    let admin = "/api/v1/admin";
    let (product, live) = (world.product.clone(), world.live.clone());
    let order = world.order.clone();
    let sale = seckill_loadtest::shop::Sale::of(5);
    let calls = [
        (false, format!("/api/v1/activities/{live}/orders"), json!({ "quantity": 1 })),
        (true, format!("{admin}/products"), seckill_loadtest::shop::product(5)),
        (true, format!("{admin}/activities"), seckill_loadtest::shop::activity(&product, sale)),
        (true, format!("{admin}/activities/{live}/restock"), json!({ "quantity": 1 })),
        (true, format!("{admin}/activities/{live}/withdraw"), json!({ "quantity": 1 })),
        (false, format!("/api/v1/orders/{order}/payments"), json!({ "method": "sandbox" })),
        (true, format!("{admin}/orders/{order}/refund"), json!({ "return_units": true })),
    ];
    let long = "x".repeat(256);
    let longer = "x".repeat(8_000);
    for (is_office, path, body) in calls {
        world.unchanged(&path, |world| {
            let client = if is_office { &mut world.shop.admin } else { &mut world.ann };
            for key in ["", &long, &longer, "two words", "tab\there", "\u{e9}", "\u{80}"] {
                let what =
                    format!("{path} with the key {:?}", key.chars().take(20).collect::<String>());
                refused(client, &what, Request::new("POST", &path).key(key).json(&body), &[422]);
            }
        });
    }
}

#[test]
fn a_version_is_one_number_in_quotes() {
    let mut world = World::new();
    let paths = [
        format!("/api/v1/admin/products/{}", world.product),
        format!("/api/v1/admin/activities/{}", world.draft),
    ];
    for path in paths {
        world.unchanged(&path, |world| {
            let admin = &mut world.shop.admin;
            let patch = || Request::new("PATCH", &path).json(&json!({ "title": "Changed" }));
            refused(admin, &path, patch(), &[428]);
            for version in [
                "",
                "1",
                "\"",
                "\"\"",
                "\"abc\"",
                "\"-1\"",
                "\"1.0\"",
                "\"1\", \"2\"",
                "\"99999999999999999999999\"",
                "\"18446744073709551615\"",
                "\"9223372036854775808\"",
                "W/\"1\"",
                "\u{ff}",
            ] {
                let what = format!("{path} at {version}");
                let request = patch().header("if-match", version);
                refused(admin, &what, request, &[409, 422, 428]);
            }
        });
    }
}

#[test]
fn what_is_not_accepted_is_not_sent() {
    let mut world = World::new();
    for call in calls(&world) {
        world.unchanged(&call.name(), |world| {
            for accept in
                ["text/html", "image/*", "application/json;q=0", "nonsense", ";;;", "\u{ff}"]
            {
                let what = format!("{} accepting {accept}", call.name());
                let request = call.whole_to(&call.path).header("accept", accept);
                refused(call.client(world), &what, request, &[406]);
            }
        });
    }
}

#[test]
fn a_flood_of_headers_is_refused() {
    let mut world = World::new();
    let path = format!("/api/v1/activities/{}/orders", world.live);
    world.unchanged("a flood of headers", |world| {
        let buys = || Request::new("POST", &path).json(&json!({ "quantity": 1 }));
        let flood = (0..1_000).fold(buys(), |request, n| request.header(&format!("x-{n}"), "1"));
        let long = buys().header("x-long", "x".repeat(100_000));
        let name = buys().header(&"x".repeat(70_000), "1");
        let cookies = (0..500).fold(buys(), |request, n| {
            request.header("cookie", format!("a{n}={}", "x".repeat(100)))
        });
        let target = Request::new("GET", &format!("/{}", "x".repeat(70_000)));
        for request in [flood, long, name, cookies, target] {
            let answer = answer_or_end("a flood", world.ann.try_send(request));
            if let Some(answer) = answer {
                assert!([400, 414, 431].contains(&answer.status), "{answer:?}");
            }
        }
        // Just below the bounds it is a request like any other.
        let many = (0..60).fold(Request::new("GET", "/api/v1/users/me"), |request, n| {
            request.header(&format!("x-{n}"), "x".repeat(100))
        });
        drop(world.ann.send(many).expect(200));
    });
}

#[test]
fn forwarded_addresses_of_strangers_are_not_believed() {
    let world = World::new();
    let mut visitor = Client::new(world.gateway.address());
    let wrong = json!({ "username": "ann", "password": "not the password" });
    let statuses: Vec<u16> = (0..40)
        .map(|n| {
            let address = format!("203.0.113.{n}");
            let asked = Request::new("POST", "/api/v1/sessions").json(&wrong);
            let asked = asked
                .header("x-forwarded-for", &address)
                .header("forwarded", format!("for={address}"));
            let answer = visitor.send(asked);
            assert_problem("a guess", &answer, &[401, 429]);
            answer.status
        })
        .collect();
    assert!(statuses.contains(&429), "{statuses:?}");
}

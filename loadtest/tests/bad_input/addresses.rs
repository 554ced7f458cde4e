//! Paths and queries that name nothing, or nothing that could be.

use seckill_loadtest::client::{Request, Response};
use serde_json::json;

use crate::calls::calls;
use crate::world::{World, assert_problem, refused};

/// Ids that nothing has, or that are none.
const IDS: &[&str] = &[
    "0",
    "999999999",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "99999999999999999999999999999999",
    "-1",
    "+1",
    "01",
    "1.0",
    "1e3",
    "0x1",
    "null",
    "a",
    "%31",
    "1%00",
    "1%2F..%2F2",
    "%2e%2e",
    "..",
    "1;drop",
    "1'--",
    "%",
    "%zz",
    "%ff",
    "$%7B1%7D",
];

#[test]
fn an_id_that_nothing_has_is_not_found() {
    let mut world = World::new();
    let World { product, draft, live, order, payment, ann_id, .. } = &world;
    let ids = [product, draft, live, order, payment, ann_id].map(String::clone);
    for call in calls(&world) {
        let Some(own) = ids.iter().find(|id| {
            call.path.contains(&format!("/{id}/")) || call.path.ends_with(&format!("/{id}"))
        }) else {
            continue;
        };
        world.unchanged(&call.name(), |world| {
            for id in IDS {
                let path = call.path.replacen(&format!("/{own}"), &format!("/{id}"), 1);
                if path == call.path {
                    continue;
                }
                let request = call.whole_to(&path);
                refused(call.client(world), &format!("{} {path}", call.method), request, &[404]);
            }
        });
    }
}

#[test]
fn a_path_that_is_nearly_one_is_none() {
    let mut world = World::new();
    for call in calls(&world) {
        world.unchanged(&call.name(), |world| {
            let path = call.path.split('?').next().unwrap();
            for near in [
                format!("{path}/"),
                format!("/{path}"),
                path.replacen("/v1/", "/v1//", 1),
                path.replacen("/v1/", "/V1/", 1),
                path.replacen("/v1/", "/v1/../v1/", 1),
                path.replacen("/v1/", "/v1%2f", 1),
                format!("{path}%00"),
                format!("{path}/{}", "x".repeat(5_000)),
                format!("{path}.json"),
            ] {
                let request = call.whole_to(&near);
                // Outside the API there are pages, which are only read.
                refused(
                    call.client(world),
                    &format!("{} {near}", call.method),
                    request,
                    &[404, 405],
                );
            }
        });
    }
}

#[test]
fn a_list_has_a_limit_and_a_place_to_go_on_from() {
    let mut world = World::new();
    let orders = format!("/api/v1/admin/orders?activity_id={}&", world.live);
    let lists = [
        "/api/v1/products?",
        "/api/v1/activities?",
        "/api/v1/orders?",
        "/api/v1/admin/users?",
        &orders,
    ];
    let long = "9".repeat(8_000);
    world.unchanged("a query", |world| {
        let admin = &mut world.shop.admin;
        for list in lists {
            for limit in
                ["0", "-1", "101", "1.5", "1e1", "abc", "99999999999999999999", "1&limit=0"]
            {
                let what = format!("{list}limit={limit}");
                refused(admin, &what, Request::new("GET", &what), &[422]);
            }
            for cursor in [
                "%ff",
                "%",
                "%zz",
                "%00",
                "x",
                "-1",
                "1-",
                "-",
                "1-2-3",
                "18446744073709551616",
                &long,
            ] {
                let what = format!("{list}cursor={cursor}");
                let answer = admin.get(&what);
                // A list by name goes on after any text.
                if !(answer.status == 200 && list.contains("users")) {
                    assert_problem(&what, &answer, &[414, 422, 431]);
                }
            }
        }
    });
}

#[test]
fn a_filter_is_of_the_contract() {
    let mut world = World::new();
    world.unchanged("a filter", |world| {
        let admin = &mut world.shop.admin;
        for query in [
            "/api/v1/activities?phase=unknown",
            "/api/v1/activities?phase=LIVE",
            "/api/v1/orders?status=unknown",
            "/api/v1/orders?status=awaiting_payment%00",
            "/api/v1/admin/orders?activity_id=-1",
            "/api/v1/admin/orders?activity_id=x",
            "/api/v1/admin/orders?activity_id=18446744073709551616",
        ] {
            refused(admin, query, Request::new("GET", query), &[422]);
        }
        for query in [
            "/api/v1/admin/orders?user=nobody",
            "/api/v1/admin/orders?user=%27%20OR%201=1",
            "/api/v1/admin/orders?user=18446744073709551615",
            "/api/v1/admin/orders?activity_id=18446744073709551615",
            "/api/v1/admin/orders?activity_id=9223372036854775808",
        ] {
            finds_nothing(query, &admin.get(query), &[404, 422]);
        }
    });
}

#[test]
fn a_search_finds_what_is_written_and_no_more() {
    let mut world = World::new();
    let long = format!("/api/v1/products?q={}", "x".repeat(8_000));
    world.unchanged("a search", |world| {
        let admin = &mut world.shop.admin;
        for query in [
            "/api/v1/products?q=%00",
            "/api/v1/products?q=%27;DROP%20TABLE%20product;--",
            "/api/v1/products?q=%25",
            "/api/v1/products?q=_",
            "/api/v1/products?q=%5c",
            "/api/v1/products?q=%22*",
            &long,
            "/api/v1/admin/users?q=%25",
            "/api/v1/admin/users?q=%00",
        ] {
            finds_nothing(query, &admin.get(query), &[414, 422, 431]);
        }
        let all = admin.get("/api/v1/products?&&&=&=1&unknown=1").expect(200).json();
        assert_eq!(all["items"].as_array().unwrap().len(), 1);
    });
}

/// A list without items, or one of these problems.
#[track_caller]
fn finds_nothing(query: &str, answer: &Response, statuses: &[u16]) {
    if answer.status == 200 {
        assert_eq!(answer.json()["items"], json!([]), "{query}");
    } else {
        assert_problem(query, answer, statuses);
    }
}

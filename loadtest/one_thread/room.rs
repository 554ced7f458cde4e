//! A gateway with as many open sales as it has room for.

use bytes::Bytes;
use http::{Request, header};
use http_body_util::Full;
use seckill_shards::engine::EngineOptions;
use seckill_shards::testing::world::options;
use serde_json::{Value, json};

use crate::gateway::Gateway;

fn ask(gateway: &Gateway, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let token = gateway.token(b"Admin").into_owned();
    let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
    let request = Request::builder().method(method).uri(path);
    let request = request.header(header::AUTHORIZATION, token);
    let request = request.header(header::CONTENT_TYPE, "application/json");
    let (head, body) = gateway.ask(request.body(Full::new(body)).unwrap());
    (head.status.as_u16(), serde_json::from_slice(&body).unwrap())
}

/// Its units left the product, the engine refused it, and the answer was that nobody knows; they
/// came back when somebody closed another sale, and published, and closed this one.
#[test]
fn u7_a_sale_that_there_is_no_room_for_keeps_its_units_with_the_product() {
    let gateway = Gateway::with(EngineOptions { activities_max: 1, ..options(1) });
    let money = |amount: u64| json!({ "amount": amount, "currency": "USD" });
    let product = json!({ "title": "Kettle", "price": money(2_000), "stock": 10 });
    let (status, product) = ask(&gateway, "POST", "/api/v1/admin/products", &product);
    assert_eq!(status, 201, "{product}");
    let sale = json!({
        "title": "Kettles", "product_id": product["id"], "sale_price": money(1_000),
        "stock_total": 4, "per_user_limit": 1, "pay_within_seconds": 60,
        "starts_at": "2025-06-15T13:00:00.000Z", "ends_at": "2025-06-15T14:00:00.000Z",
    });
    // The engine has a sale with the first id already.
    let drafts = [(); 2].map(|()| ask(&gateway, "POST", "/api/v1/admin/activities", &sale));
    let (status, sale) = &drafts[1];
    assert_eq!(*status, 201, "{sale}");
    let publish = format!("/api/v1/admin/activities/{}/publish", sale["id"].as_str().unwrap());
    let (status, refused) = ask(&gateway, "POST", &publish, &Value::Null);
    assert_eq!((status, &refused["type"]), (503, &json!("urn:seckill:overloaded")), "{refused}");
    let path = format!("/api/v1/products/{}", product["id"].as_str().unwrap());
    let (_, product) = ask(&gateway, "GET", &path, &Value::Null);
    assert_eq!(product["stock"], 10);
}

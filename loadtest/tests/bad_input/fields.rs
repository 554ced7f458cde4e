//! Fields that are missing, unknown, of another type, or out of range.

use serde_json::{Map, Value};

use crate::calls::{Call, calls};
use crate::world::{World, refused};

/// Values, as JSON text, that no field takes.
const OF_NO_FIELD: &[&str] = &["{}", "[]", "[[1]]", "{\"a\":{\"b\":[]}}", "1e300", "-1e300", "1.5"];
/// Values that none but a text takes.
const OF_TEXT_ONLY: &[&str] = &["\"\"", "\"1\"", "\"x\"", "\"null\"", "\" 1\""];
/// Values that no text takes.
const OF_NO_TEXT: &[&str] = &["0", "1", "-1", "true", "false"];
/// Texts that no field takes: a NUL, an escape, a lone surrogate, a NUL that is not escaped.
const OF_NO_TEXT_FIELD: &[&str] = &["\"a\\u0000b\"", "\"\\u001b[31m\"", "\"\\ud800\"", "\"a\0b\""];
/// Numbers that are out of every range.
const OUT_OF_RANGE: &[&str] =
    &["-1", "-9223372036854775808", "9223372036854775808", "1e19", "99999999999999999999999"];
const MONEY: &[&str] = &[
    "5",
    "\"5\"",
    "{\"amount\":5}",
    "{\"currency\":\"USD\"}",
    "{\"amount\":-1,\"currency\":\"USD\"}",
    "{\"amount\":1.5,\"currency\":\"USD\"}",
    "{\"amount\":\"5\",\"currency\":\"USD\"}",
    "{\"amount\":9223372036854775807,\"currency\":\"USD\"}",
    "{\"amount\":1e400,\"currency\":\"USD\"}",
    "{\"amount\":5,\"currency\":\"usd\"}",
    "{\"amount\":5,\"currency\":\"US\"}",
    "{\"amount\":5,\"currency\":\"US\u{0141}\"}",
    "{\"amount\":5,\"currency\":7}",
    "{\"amount\":5,\"currency\":\"USD\",\"tax\":1}",
];
const INSTANTS: &[&str] = &[
    "\"yesterday\"",
    "\"2026-13-45T00:00:00Z\"",
    "\"2026-11-27\"",
    "\"-009999-01-01T00:00:00Z\"",
    "\"1969-12-31T23:59:59Z\"",
    "\"2026-11-27T00:00:00\"",
    "\"99999999-01-01T00:00:00Z\"",
];
const IDS: &[&str] = &[
    "\"-1\"",
    "\"01\"",
    "\"+1\"",
    "\"1.0\"",
    "\"18446744073709551616\"",
    "\"9223372036854775808\"",
    "\"１\"",
];
const USERNAMES: &[&str] = &[
    "\"ab\"",
    "\"Ann\"",
    "\"a b\"",
    "\"\u{e4}nn\"",
    "\"../ann\"",
    "\"ann\\n\"",
    "\"abcdefghijklmnopqrstuvwxyz-01234567\"",
];
const PASSWORDS: &[&str] = &["\"1234567\"", "\"\u{20ac}\u{20ac}\u{20ac}\""];
const TOKENS: &[&str] = &["\"\"", "\"a b\"", "\"\u{e4}\""];
const DELIVERIES: &[&str] = &[
    "[null]",
    "[\"payment.failed\"]",
    "[{\"type\":\"payment.lost\"}]",
    "[{\"type\":\"payment.failed\",\"x\":1}]",
    "[{\"type\":\"payment.failed\",\"copies\":0}]",
    "[{\"type\":\"payment.failed\",\"copies\":1.5}]",
    "[{\"type\":\"payment.failed\",\"delay_ms\":-1}]",
    "[{\"type\":\"payment.failed\",\"delay_ms\":99999999}]",
    "[{\"type\":\"payment.succeeded\",\"amount\":-1}]",
    "[{\"type\":\"payment.succeeded\",\"amount\":\"5\"}]",
    "[{\"type\":\"payment.succeeded\",\"amount\":9223372036854775808}]",
];
const ROLES: &[&str] =
    &["[\"root\"]", "[\"ADMIN\"]", "[1]", "[null]", "\"admin\"", "[[\"admin\"]]"];

/// What a field must not be, as JSON text.
fn bad_values(call: &Call, field: &str) -> Vec<String> {
    let groups: &[&[&str]] = match field {
        // Any name and password may be tried at sign-in.
        "username" | "password" if call.path.ends_with("/sessions") => &[OF_NO_TEXT],
        "username" => &[OF_NO_TEXT, OF_NO_TEXT_FIELD, USERNAMES],
        "token" => &[OF_NO_TEXT, OF_NO_TEXT_FIELD, TOKENS],
        "password" | "old_password" => &[OF_NO_TEXT, PASSWORDS],
        "method" => &[OF_NO_TEXT, OF_NO_TEXT_FIELD, OF_TEXT_ONLY],
        "deliveries" => &[OF_NO_TEXT, OF_TEXT_ONLY, DELIVERIES],
        "title" | "display_name" | "description" => &[OF_NO_TEXT, OF_NO_TEXT_FIELD],
        "price" | "sale_price" => &[OF_NO_TEXT, OF_TEXT_ONLY, MONEY],
        "starts_at" | "ends_at" => &[OF_NO_TEXT, OF_TEXT_ONLY, INSTANTS],
        "product_id" => &[OF_NO_TEXT, IDS],
        "admission" | "return_units" => &[OF_TEXT_ONLY, &["0", "1"]],
        "roles" => &[OF_NO_TEXT, OF_TEXT_ONLY, ROLES],
        "stock" => &[OF_TEXT_ONLY, OUT_OF_RANGE, &["true"]],
        "stock_total" | "per_user_limit" | "pay_within_seconds" | "quantity" => {
            &[OF_TEXT_ONLY, OUT_OF_RANGE, &["0", "true", "1000000000"]]
        }
        other => panic!("{other} is no field of the contract"),
    };
    // A list of roles may be empty, and some of these are lists.
    let of_none = OF_NO_FIELD.iter().filter(|value| field != "roles" || **value != "[]");
    let bad = groups.iter().copied().flatten().chain(of_none);
    let mut values: Vec<String> = bad.map(|value| (*value).to_owned()).collect();
    if call.required.contains(&field) {
        values.push("null".to_owned());
    }
    if matches!(field, "title" | "display_name" | "username" | "password" | "description") {
        values.push(format!("\"{}\"", "x".repeat(20_000)));
    }
    values
}

/// The body with one field's value replaced by a text that need not be JSON.
fn with_field(body: &Map<String, Value>, name: &str, value: &str) -> String {
    let fields = body.iter().map(|(field, valid)| {
        let value = if field == name { value.to_owned() } else { valid.to_string() };
        format!("\"{field}\":{value}")
    });
    format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
}

#[test]
fn every_field_is_checked() {
    let mut world = World::new();
    for call in calls(&world) {
        let Some(Value::Object(body)) = call.body.clone() else { continue };
        world.unchanged(&call.name(), |world| {
            for field in body.keys() {
                for value in bad_values(&call, field) {
                    let text = with_field(&body, field, &value);
                    let request = call.request().body("application/json", &text);
                    let short: String = value.chars().take(40).collect();
                    let what = format!("{} with {field} {short}", call.name());
                    refused(call.client(world), &what, request, &[422, 400]);
                }
            }
        });
    }
}

#[test]
fn every_required_field_must_be_there() {
    let mut world = World::new();
    for call in calls(&world) {
        let Some(Value::Object(body)) = call.body.clone() else { continue };
        world.unchanged(&call.name(), |world| {
            for field in call.required {
                let mut body = body.clone();
                body.remove(*field);
                let what = format!("{} without {field}", call.name());
                let request = call.request().json(&Value::Object(body));
                let answer = call.client(world).send(request).problem(422, "invalid-request");
                let pointers = answer["errors"].as_array().expect(&what);
                let named = pointers.iter().any(|error| error["pointer"] == format!("/{field}"));
                assert!(named, "{what} is told where: {answer}");
            }
        });
    }
}

#[test]
fn no_field_is_passed_over() {
    let mut world = World::new();
    for call in calls(&world) {
        world.unchanged(&call.name(), |world| {
            let body = call.body.clone().unwrap_or_else(|| Value::Object(Map::new()));
            if call.method == "GET" || call.method == "DELETE" {
                return;
            }
            for field in
                ["unknown", "id", "user_id", "version", "__proto__", "", "a/b~c", "Quantity"]
            {
                let mut body = body.clone();
                body[field] = Value::from(1);
                let what = format!("{} with {field:?}", call.name());
                refused(call.client(world), &what, call.request().json(&body), &[422]);
            }
        });
    }
}

/// Two readers of such a body need not agree on what it says.
#[test]
fn a_field_is_given_once() {
    let mut world = World::new();
    for call in calls(&world) {
        let Some(Value::Object(body)) = call.body.clone() else { continue };
        world.unchanged(&call.name(), |world| {
            for (field, value) in &body {
                let twice = format!("{{\"{field}\":{value},");
                let text = Value::Object(body.clone()).to_string().replacen('{', &twice, 1);
                let request = call.request().body("application/json", text);
                let what = format!("{} with {field} twice", call.name());
                refused(call.client(world), &what, request, &[422, 400]);
            }
        });
    }
}

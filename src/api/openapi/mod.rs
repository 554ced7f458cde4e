//! The API told to programs and people: an OpenAPI document and its page, from the code's own
//! tables: routes, problems, limits.
//!
//! It tells what the resources do and must not know how. A resource that answers with a status
//! that is not told here fails every test that meets it through a socket.

mod accounts;
mod answers;
mod bodies;
mod operation;
mod page;
mod selling;
mod shapes;
mod shopping;
#[cfg(test)]
mod templates;

use http::StatusCode;
use seckill_pages::Page;
use utoipa::openapi::path::PathItemBuilder;
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    AllOfBuilder, Components, ComponentsBuilder, ContentBuilder, HeaderBuilder, InfoBuilder,
    OpenApi, OpenApiBuilder, PathsBuilder, Response, Tag,
};

use self::operation::{Operation, negative_name};
use self::shapes::{named, number, object, word};
use super::problem::Slug;

/// Where the document is.
const DOCUMENT: &str = "/api/v1/openapi.json";
/// Where its page is.
const PAGE: &str = "/docs";

/// What is said of the API as a whole.
const ABOUT: &str = "Ids are decimal strings, instants RFC 3339 in UTC, money is in minor units. \
    HEAD works where GET does. Every answer carries `x-request-id`. Every refusal is \
    `application/problem+json` (RFC 9457): its `type` is `urn:seckill:<slug>`, a stable name and \
    no address; `/docs#problem-<slug>` says when it comes and what to do about it.";

/// The document and its page by their paths, as they are: small enough to be made at a start, too
/// large to be compressed there.
#[must_use]
pub fn pages() -> Vec<(String, Page)> {
    let document = document();
    let json = serde_json::to_value(&document).expect("the document is plain data");
    let page = seckill_pages::docs(&page::view(&json));
    let document = Page::plain("application/json", json.to_string());
    vec![(DOCUMENT.to_owned(), document), (PAGE.to_owned(), page)]
}

/// Every call.
fn operations() -> Vec<Operation> {
    [
        shopping::catalogue(),
        shopping::orders(),
        shopping::payments(),
        accounts::own(),
        selling::plans(),
        selling::steps(),
        selling::oversight(),
        accounts::of_others(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// All that programs may know.
fn document() -> OpenApi {
    let mut components = components();
    let mut paths = PathsBuilder::new();
    let mut tags: Vec<&str> = Vec::new();
    for operation in operations() {
        if !tags.contains(&operation.tag) {
            tags.push(operation.tag);
        }
        for (status, slugs) in operation.negative() {
            let response = negative(status, &slugs).into();
            components.responses.insert(negative_name(status, &slugs), response);
        }
        let (path, method) = (operation.path, operation.method.clone());
        let item = PathItemBuilder::new().operation(method, operation.build());
        paths = paths.path(path, item.build());
    }
    let info = InfoBuilder::new().title("Seckill").version(env!("CARGO_PKG_VERSION"));
    OpenApiBuilder::new()
        .info(info.description(Some(ABOUT)).build())
        .paths(paths)
        .components(Some(components))
        .tags(Some(tags.into_iter().map(Tag::new)))
        .build()
}

fn components() -> Components {
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    let cookie = ApiKey::Cookie(ApiKeyValue::with_description(
        "seckill_session",
        "From the sign-in; `__Host-seckill_session` over https. A change needs an `Origin` of \
         this site with it.",
    ));
    let components = ComponentsBuilder::new()
        .security_scheme("bearer", SecurityScheme::Http(bearer))
        .security_scheme("cookie", SecurityScheme::ApiKey(cookie));
    let schemas = answers::schemas().into_iter().chain(bodies::schemas());
    schemas.fold(components, |components, (name, schema)| components.schema(name, schema)).build()
}

/// A negative answer: one of these problems.
fn negative(status: StatusCode, slugs: &[Slug]) -> Response {
    let types = slugs.iter().map(|slug| format!("urn:seckill:{}", slug.word()));
    let kind = shapes::text().enum_values(Some(types));
    let schema =
        AllOfBuilder::new().item(named("Problem")).item(object([("type", true, kind.into())]));
    let texts: Vec<_> =
        slugs.iter().map(|slug| format!("`{}`: {}", slug.word(), slug.when())).collect();
    let content = ContentBuilder::new().schema(Some(schema)).build();
    let response = ResponseBuilder::new()
        .description(texts.join(" "))
        .content("application/problem+json", content);
    let header = match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            Some(("Retry-After", number(1..=i64::from(u16::MAX) * 2)))
        }
        StatusCode::UNAUTHORIZED => Some(("WWW-Authenticate", word(["Bearer"]))),
        _ => None,
    };
    let response = match header {
        Some((name, schema)) => {
            response.header(name, HeaderBuilder::new().schema(Some(schema)).build())
        }
        None => response,
    };
    response.build()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use serde_json::Value;

    use super::templates::{TEMPLATES, sample, template};
    use super::*;
    use crate::api::route::Route;

    fn json() -> Value {
        serde_json::to_value(document()).unwrap()
    }

    /// The methods of each path as the document has them.
    fn documented() -> BTreeMap<String, BTreeSet<String>> {
        let json = json();
        let paths = json["paths"].as_object().unwrap();
        let methods = |item: &Value| item.as_object().unwrap().keys().cloned().collect();
        paths.iter().map(|(path, item)| (path.clone(), methods(item))).collect()
    }

    #[test]
    fn every_route_has_its_operations_and_no_others() {
        let documented = documented();
        assert_eq!(documented.len(), TEMPLATES.len());
        for path in TEMPLATES {
            let route = Route::of(&sample(path)).expect("a template is of a route");
            assert_eq!(template(route), Some(*path));
            let allowed = route.allow().split(", ").filter(|method| *method != "HEAD");
            let allowed: BTreeSet<_> = allowed.map(str::to_ascii_lowercase).collect();
            assert_eq!(documented.get(*path), Some(&allowed), "{path}");
        }
    }

    #[test]
    fn every_operation_has_its_route() {
        for Operation { path, .. } in operations() {
            assert!(Route::of(&sample(path)).is_some(), "{path}");
        }
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_name_is_used() {
        fn visit<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
            match value {
                Value::Object(members) => {
                    found.extend(members.get("$ref").and_then(Value::as_str));
                    members.values().for_each(|member| visit(member, found));
                }
                Value::Array(items) => items.iter().for_each(|item| visit(item, found)),
                _ => {}
            }
        }
        let json = json();
        let mut found = Vec::new();
        visit(&json, &mut found);
        assert!(!found.is_empty());
        for reference in found {
            let pointer = reference.trim_start_matches('#');
            assert!(json.pointer(pointer).is_some(), "{reference}");
        }
    }

    #[test]
    fn names_of_operations_are_their_own() {
        let json = json();
        let items = json["paths"].as_object().unwrap().values();
        let operations = items.flat_map(|item| item.as_object().unwrap().values());
        let names: Vec<_> = operations.map(|it| it["operationId"].as_str().unwrap()).collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
        assert_eq!(json["openapi"], "3.1.0");
    }

    #[test]
    fn the_page_explains_every_problem_and_shows_every_call() {
        let [_, (_, page)] = <[_; 2]>::try_from(pages()).unwrap();
        let html = String::from_utf8(page.identity.body.to_vec()).unwrap();
        for slug in Slug::ALL {
            assert_eq!(html.matches(&format!("id=\"problem-{}\"", slug.word())).count(), 1);
            assert!(html.contains(slug.title()));
        }
        for path in TEMPLATES {
            assert!(html.contains(&format!("<code>{path}</code>")), "{path}");
        }
        for place in html.split("href=\"#").skip(1) {
            let (place, _) = place.split_once('"').unwrap();
            assert!(html.contains(&format!("id=\"{place}\"")), "{place}");
        }
    }
}

//! The document that a gateway serves of its API, and answers held against it: a status that is
//! not told there, a member that is missing, one that is unknown.
//!
//! It must not know how answers come, nor any call by name.

use std::collections::BTreeSet;

use serde_json::Value;

/// Where the document is.
pub const DOCUMENT: &str = "/api/v1/openapi.json";
/// What the document tells about.
const TOLD: &str = "/api/v1/";
/// A request that breaks off is told so, whatever it was for.
const TIMEOUT: u16 = 408;

/// An OpenAPI document.
#[derive(Debug)]
pub struct Contract(Value);

/// An answer as far as it is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// Its status.
    pub status: u16,
    /// Its media type.
    pub content_type: Option<&'a str>,
    /// Its body; none for an answer to HEAD, and for one that is compressed.
    pub body: Option<&'a [u8]>,
}

impl Contract {
    /// A document as it was served.
    #[must_use]
    pub fn new(document: Value) -> Self {
        Self(document)
    }

    /// What is wrong with an answer to this method and path, its query included; none where it is
    /// as the document tells, or not told about at all.
    #[must_use]
    pub fn objection(&self, method: &str, path: &str, answer: Answer<'_>) -> Option<String> {
        let path = path.split('?').next().unwrap_or_default();
        if !path.starts_with(TOLD) || answer.status == TIMEOUT {
            return None;
        }
        let Some(item) = self.item(path) else {
            return expect(404, answer.status, "there is no such path");
        };
        let method = if method == "HEAD" { "get" } else { &method.to_ascii_lowercase() };
        let Some(operation) = item.get(method) else {
            return expect(405, answer.status, "the path has no such method");
        };
        let Some(response) = operation["responses"].get(answer.status.to_string()) else {
            return Some(format!("status {} is not documented", answer.status));
        };
        self.body(self.resolved(response), answer).err()
    }

    /// The path item whose template has this path.
    fn item(&self, path: &str) -> Option<&Value> {
        let mut items = self.0["paths"].as_object().into_iter().flatten();
        items.find(|(template, _)| is_of(template, path)).map(|(_, item)| item)
    }

    fn body(&self, response: &Value, answer: Answer<'_>) -> Result<(), String> {
        let told = response["content"].as_object();
        let Some(content_type) = answer.content_type else {
            return match told {
                None => Ok(()),
                Some(_) => Err("a body is documented and none came".to_owned()),
            };
        };
        let content = told.and_then(|told| told.get(content_type));
        let content = content.ok_or_else(|| format!("{content_type} is not documented"))?;
        let Some(body) = answer.body else { return Ok(()) };
        let value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        self.value(&content["schema"], &value, "")
    }

    /// Whether a value has the shape of a schema; `at` is where it is.
    fn value(&self, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
        self.part(schema, value, at)?;
        let known = self.members(schema);
        // An object without members in the document may have any.
        let mut names = value.as_object().filter(|_| !known.is_empty()).into_iter().flatten();
        match names.find(|(name, _)| !known.contains(name.as_str())) {
            Some((name, _)) => Err(format!("{at}/{name} is not documented")),
            None => Ok(()),
        }
    }

    fn part(&self, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
        let schema = self.resolved(schema);
        for part in elements(&schema["allOf"]) {
            self.part(part, value, at)?;
        }
        let kinds = &schema["type"];
        let mut kinds = kinds.as_str().into_iter().chain(elements(kinds).filter_map(Value::as_str));
        if !schema["type"].is_null() && !kinds.any(|kind| is_kind(kind, value)) {
            return Err(format!("{at} is {value}, not {}", schema["type"]));
        }
        if schema["enum"].as_array().is_some_and(|words| !words.contains(value)) {
            return Err(format!("{at} is {value}, none of {}", schema["enum"]));
        }
        if let Some(name) = elements(&schema["required"])
            .filter_map(Value::as_str)
            .find(|name| value.get(name).is_none())
        {
            return Err(format!("{at}/{name} is missing"));
        }
        for (name, member) in schema["properties"].as_object().into_iter().flatten() {
            if let Some(value) = value.get(name) {
                self.value(member, value, &format!("{at}/{name}"))?;
            }
        }
        let mut items = elements(value).enumerate();
        items.try_for_each(|(index, item)| {
            self.value(&schema["items"], item, &format!("{at}/{index}"))
        })
    }

    /// The names of the members that a schema tells of.
    fn members<'a>(&'a self, schema: &'a Value) -> BTreeSet<&'a str> {
        let schema = self.resolved(schema);
        let mut names: BTreeSet<&str> = schema["properties"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, _)| name.as_str())
            .collect();
        for part in elements(&schema["allOf"]) {
            names.extend(self.members(part));
        }
        names
    }

    fn resolved<'a>(&'a self, value: &'a Value) -> &'a Value {
        let pointer = value["$ref"].as_str().map(|reference| reference.trim_start_matches('#'));
        pointer.and_then(|pointer| self.0.pointer(pointer)).unwrap_or(value)
    }
}

fn elements(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn expect(expected: u16, status: u16, why: &str) -> Option<String> {
    (status != expected).then(|| format!("{why}, so the status is {expected} and not {status}"))
}

/// Whether a path is one that a template stands for: ids are digits without leading zeros.
fn is_of(template: &str, path: &str) -> bool {
    let is_id = |part: &str| part.parse::<u64>().is_ok_and(|id| id.to_string() == part);
    let (template, path) = (template.split('/'), path.split('/'));
    template.clone().count() == path.clone().count()
        && template.zip(path).all(
            |(told, part)| {
                if told.starts_with('{') { is_id(part) } else { told == part }
            },
        )
}

fn is_kind(kind: &str, value: &Value) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn contract() -> Contract {
        let lamp = json!({
            "type": "object",
            "required": ["id"],
            "properties": {
                "id": { "type": "string" },
                "image": { "type": ["string", "null"] },
                "colours": { "type": "array", "items": { "type": "string", "enum": ["red"] } },
            },
        });
        let more = json!({ "type": "object", "properties": { "more": { "type": "integer" } } });
        let both = json!({ "allOf": [{ "$ref": "#/components/schemas/Lamp" }, more] });
        let content = json!({ "application/json": { "schema": both } });
        let responses = json!({ "200": { "content": content }, "204": {} });
        Contract::new(json!({
            "paths": { "/api/v1/lamps/{lamp_id}": { "get": { "responses": responses } } },
            "components": { "schemas": { "Lamp": lamp } },
        }))
    }

    fn objection(method: &str, path: &str, status: u16, body: &str) -> Option<String> {
        let content_type = (!body.is_empty()).then_some("application/json");
        let body = (method != "HEAD").then_some(body.as_bytes());
        contract().objection(method, path, Answer { status, content_type, body })
    }

    #[test]
    fn what_is_told_is_taken() {
        for (method, path, status, body) in [
            ("GET", "/api/v1/lamps/7?a=b", 200, r#"{"id":"7","colours":["red"],"more":1}"#),
            ("GET", "/api/v1/lamps/7", 200, r#"{"id":"7","image":null}"#),
            ("HEAD", "/api/v1/lamps/7", 200, "{"),
            ("GET", "/api/v1/lamps/7", 204, ""),
            ("GET", "/api/v1/lamps/7", 408, ""),
            ("GET", "/api/v1/lamps/07", 404, ""),
            ("PUT", "/api/v1/lamps/7", 405, ""),
            ("GET", "/lamps", 302, ""),
        ] {
            assert_eq!(objection(method, path, status, body), None, "{method} {path} {body}");
        }
    }

    #[test]
    fn what_is_not_told_is_objected_to() {
        for (method, path, status, body, says) in [
            ("GET", "/api/v1/lamps/7", 201, "", "status 201"),
            ("GET", "/api/v1/lamps", 200, "", "no such path"),
            ("PUT", "/api/v1/lamps/7", 200, "", "no such method"),
            ("GET", "/api/v1/lamps/7", 200, "", "none came"),
            ("GET", "/api/v1/lamps/7", 204, "{}", "application/json"),
            ("GET", "/api/v1/lamps/7", 200, "{", "EOF"),
            ("GET", "/api/v1/lamps/7", 200, "[]", "not \"object\""),
            ("GET", "/api/v1/lamps/7", 200, "{}", "/id is missing"),
            ("GET", "/api/v1/lamps/7", 200, r#"{"id":7}"#, "/id is 7"),
            ("GET", "/api/v1/lamps/7", 200, r#"{"id":"7","size":1}"#, "/size is not"),
            ("GET", "/api/v1/lamps/7", 200, r#"{"id":"7","colours":["x"]}"#, "/colours/0 is"),
        ] {
            let objection = objection(method, path, status, body).expect(says);
            assert!(objection.contains(says), "{objection}");
        }
    }
}

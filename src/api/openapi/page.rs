//! The document as a person reads it: what its page shows, read from the document itself.
//!
//! It must not know how the page looks, nor any call by name.

use std::collections::BTreeSet;

use seckill_pages::{
    AnswerView, CallGroup, CallView, DocsView, MemberView, ProblemView, ShapeView,
};
use serde_json::Value;

use crate::api::problem::Slug;

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// What the page of a document shows.
pub(super) fn view(document: &Value) -> DocsView {
    let everywhere = everywhere(document);
    let tags = document["tags"].as_array().into_iter().flatten();
    let groups = tags.map(|tag| {
        let tag = text(&tag["name"]);
        let of_tag = calls(document).filter(|(_, _, operation)| operation["tags"][0] == tag);
        let calls = of_tag.map(|(path, method, operation)| {
            call(document, &everywhere, operation, (path, method))
        });
        CallGroup { calls: calls.collect(), title: tag }
    });
    DocsView {
        about: text(&document["info"]["description"]),
        groups: groups.collect(),
        shapes: members_of(&document["components"]["schemas"]).map(shape).collect(),
        problems: Slug::ALL.iter().map(|slug| problem(*slug)).collect(),
        everywhere: everywhere.into_iter().collect(),
    }
}

fn problem(slug: Slug) -> ProblemView {
    ProblemView {
        slug: slug.word().to_owned(),
        status: slug.status().as_u16(),
        title: slug.title().to_owned(),
        when: slug.when().to_owned(),
        remedy: slug.remedy().to_owned(),
    }
}

/// Path, method and operation of every call.
fn calls(document: &Value) -> impl Iterator<Item = (&str, &'static str, &Value)> {
    members_of(&document["paths"]).flat_map(|(path, item)| {
        let found = move |method: &'static str| item.get(method).map(|call| (path, method, call));
        METHODS.into_iter().filter_map(found)
    })
}

/// The problems that any call may answer, which are told once.
fn everywhere(document: &Value) -> BTreeSet<String> {
    let of_calls = calls(document).map(|(_, _, operation)| {
        let responses = members_of(&operation["responses"]);
        responses.flat_map(|(_, response)| slugs(resolved(document, response))).collect()
    });
    of_calls.reduce(|all: BTreeSet<_>, some| &all & &some).unwrap_or_default()
}

fn call(
    document: &Value,
    everywhere: &BTreeSet<String>,
    operation: &Value,
    (path, method): (&str, &str),
) -> CallView {
    let parameters =
        operation["parameters"].as_array().into_iter().flatten().map(|parameter| MemberView {
            name: text(&parameter["name"]),
            place: text(&parameter["in"]),
            shape: described(&parameter["schema"]),
            is_required: parameter["required"] == true,
        });
    let answers = members_of(&operation["responses"]).map(|(status, response)| {
        let response = resolved(document, response);
        let mut problems = slugs(response);
        problems.retain(|slug| !everywhere.contains(slug));
        let schema = &response["content"]["application/json"]["schema"];
        let is_told = problems.is_empty() && slugs(response).is_empty();
        let text = if is_told { text(&response["description"]) } else { String::new() };
        AnswerView { status: status.to_owned(), text, shape: name_of(schema), problems }
    });
    CallView {
        id: text(&operation["operationId"]),
        method: method.to_ascii_uppercase(),
        path: path.to_owned(),
        summary: text(&operation["summary"]),
        description: text(&operation["description"]),
        takes: parameters.collect(),
        body: name_of(&operation["requestBody"]["content"]["application/json"]["schema"]),
        answers: answers.filter(|it| !it.text.is_empty() || !it.problems.is_empty()).collect(),
    }
}

/// The problems that a response may be.
fn slugs(response: &Value) -> Vec<String> {
    let schema = &response["content"]["application/problem+json"]["schema"];
    let types = schema["allOf"][1]["properties"]["type"]["enum"].as_array();
    let types = types.into_iter().flatten().filter_map(Value::as_str);
    types.filter_map(|urn| urn.rsplit(':').next()).map(str::to_owned).collect()
}

fn shape((name, schema): (&str, &Value)) -> ShapeView {
    let required = schema["required"].as_array();
    let is_required =
        |name: &str| required.is_some_and(|names| names.iter().any(|required| required == name));
    let members = members_of(&schema["properties"]).map(|(name, member)| MemberView {
        name: name.to_owned(),
        place: String::new(),
        shape: described(member),
        is_required: is_required(name),
    });
    let members: Vec<_> = members.collect();
    let text = match schema["properties"].is_object() {
        true => text(&schema["description"]),
        false => described(schema),
    };
    ShapeView { name: name.to_owned(), text, members }
}

/// A schema in a few words.
fn described(schema: &Value) -> String {
    if let Some(name) = name_of(schema) {
        return name;
    }
    let mut words = vec![match &schema["type"] {
        Value::Array(kinds) => kinds.iter().map(text).collect::<Vec<_>>().join(" or "),
        kind if *kind == "array" => format!("list of {}", described(&schema["items"])),
        kind if *kind == "object" && schema["properties"].is_object() => {
            let members = members_of(&schema["properties"]);
            let members = members.map(|(name, member)| format!("{name}: {}", described(member)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
        }
        kind => text(kind),
    }];
    if let Some(choices) = schema["enum"].as_array() {
        words =
            vec![choices.iter().map(|it| format!("`{}`", text(it))).collect::<Vec<_>>().join(", ")];
    }
    for (name, word) in [
        ("format", ""),
        ("pattern", "as "),
        ("minimum", "from "),
        ("maximum", "to "),
        ("minLength", "of at least "),
        ("maxLength", "of at most "),
        ("description", ""),
    ] {
        match &schema[name] {
            Value::Null => {}
            Value::String(value) if name == "pattern" => words.push(format!("as `{value}`")),
            Value::String(value) => words.push(format!("({value})")),
            value => words.push(format!("{word}{value}")),
        }
    }
    words.join(" ")
}

/// The name of a schema that is told elsewhere.
fn name_of(schema: &Value) -> Option<String> {
    schema["$ref"].as_str()?.rsplit('/').next().map(str::to_owned)
}

fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    let pointer = value["$ref"].as_str().map(|reference| reference.trim_start_matches('#'));
    pointer.and_then(|pointer| document.pointer(pointer)).unwrap_or(value)
}

fn members_of(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(name, member)| (name.as_str(), member))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

//! The shapes that values have in JSON and in headers, with their bounds from the files of limits.
//!
//! It must not know what has which shape.

use std::ops::RangeInclusive;

use utoipa::openapi::schema::{AdditionalProperties, ArrayBuilder, SchemaType};
use utoipa::openapi::{KnownFormat, ObjectBuilder, Ref, RefOr, Schema, SchemaFormat, Type};

use crate::api::limits::{IDEMPOTENCY_KEY_BYTES_MAX, LIST_ITEMS, LIST_ITEMS_MAX};

/// Digits without leading zeros.
const ID: &str = "^(0|[1-9][0-9]{0,19})$";
/// Text without control characters other than line breaks.
const CLEAN: &str = "^[^\\x00-\\x09\\x0b-\\x1f\\x7f-\\x9f]*$";

/// A member of an object: its name, whether it is always there, its shape.
pub(super) type Member = (&'static str, bool, RefOr<Schema>);

/// A member that is always there.
pub(super) fn must(name: &'static str, schema: impl Into<RefOr<Schema>>) -> Member {
    (name, true, schema.into())
}

/// A member that may be missing.
pub(super) fn may(name: &'static str, schema: impl Into<RefOr<Schema>>) -> Member {
    (name, false, schema.into())
}

/// An object that may get more members some day.
pub(super) fn object(members: impl IntoIterator<Item = Member>) -> ObjectBuilder {
    let object = ObjectBuilder::new().schema_type(Type::Object);
    members.into_iter().fold(object, |object, (name, is_required, schema)| {
        let object = object.property(name, schema);
        if is_required { object.required(name) } else { object }
    })
}

/// An object that takes no other members.
pub(super) fn closed(members: impl IntoIterator<Item = Member>) -> ObjectBuilder {
    object(members).additional_properties(Some(AdditionalProperties::FreeForm(false)))
}

/// An object of values of one shape, by their names.
pub(super) fn by_name(value: impl Into<RefOr<Schema>>) -> ObjectBuilder {
    object([]).additional_properties(Some(AdditionalProperties::RefOr(value.into())))
}

/// One of the named schemas.
pub(super) fn named(name: &str) -> Ref {
    Ref::from_schema_name(name)
}

/// A list.
pub(super) fn list(item: impl Into<RefOr<Schema>>) -> ArrayBuilder {
    ArrayBuilder::new().items(item.into())
}

/// A part of a list, and where it goes on.
pub(super) fn page(item: &str) -> ObjectBuilder {
    let schema = [Type::String, Type::Null].into_iter().collect::<SchemaType>();
    let next_cursor = ObjectBuilder::new().schema_type(schema);
    object([must("items", list(named(item))), must("next_cursor", next_cursor)])
}

/// Any text.
pub(super) fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

/// Text of so many characters at most, as a person would write it. The gateway counts bytes.
pub(super) fn clean(length: RangeInclusive<usize>) -> ObjectBuilder {
    secret(length).pattern(Some(CLEAN))
}

/// Text of so many characters, whatever they are.
pub(super) fn secret(length: RangeInclusive<usize>) -> ObjectBuilder {
    text().min_length(Some(*length.start())).max_length(Some(*length.end()))
}

/// Text of a form.
pub(super) fn formed(pattern: &str) -> ObjectBuilder {
    text().pattern(Some(pattern))
}

/// Text, or nothing.
pub(super) fn nullable_text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type([Type::String, Type::Null].into_iter().collect::<SchemaType>())
}

/// One of these words.
pub(super) fn word(words: impl IntoIterator<Item = &'static str>) -> ObjectBuilder {
    text().enum_values(Some(words))
}

/// An id.
pub(super) fn id() -> ObjectBuilder {
    formed(ID).examples(["1"])
}

/// An instant in UTC.
pub(super) fn instant() -> ObjectBuilder {
    text().format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
}

/// Yes or no.
pub(super) fn flag() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::Boolean)
}

/// A whole number that is not negative.
pub(super) fn count() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0_u32))
}

/// A whole number in a range.
pub(super) fn number(range: RangeInclusive<i64>) -> ObjectBuilder {
    let [least, most] = [range.start(), range.end()]
        .map(|bound| isize::try_from(*bound).expect("a machine of 64 bits"));
    ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(least)).maximum(Some(most))
}

/// ISO 4217.
pub(super) fn currency() -> ObjectBuilder {
    formed("^[A-Z]{3}$").examples(["USD"])
}

/// How many items of a list are wanted.
pub(super) fn limit() -> ObjectBuilder {
    number(1..=LIST_ITEMS_MAX.into()).default(Some(LIST_ITEMS.into()))
}

/// Where a list goes on: from an answer, and else of no meaning.
pub(super) fn cursor() -> ObjectBuilder {
    text()
}

/// An idempotency key.
pub(super) fn key() -> ObjectBuilder {
    formed("^[!-~]+$").min_length(Some(1)).max_length(Some(IDEMPOTENCY_KEY_BYTES_MAX))
}

/// A version as an entity tag.
pub(super) fn version_tag() -> ObjectBuilder {
    formed("^\"(0|[1-9][0-9]{0,19})\"$").examples(["\"1\""])
}

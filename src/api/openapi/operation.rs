//! One call as it is told about: what it takes, what it answers, what it refuses and why.
//!
//! It knows what follows from what: a call with a body may get one that is not valid, a call of
//! the store may find it away. It must not know any call by name.

use http::StatusCode;
use utoipa::openapi::path::{OperationBuilder, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{
    ContentBuilder, HeaderBuilder, HttpMethod, Ref, RefOr, Required, Response, ResponseBuilder,
    Schema,
};

use super::shapes;
use crate::api::problem::Slug;

/// Who may call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Who {
    /// Anyone at all.
    Anyone,
    /// Whoever has signed in.
    Shopper,
    /// Who plans and runs sales.
    Operator,
    /// Who gives roles.
    Admin,
    /// The payment provider, which signs what it sends.
    Provider,
}

impl Who {
    /// The word in the document and on its page.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Anyone => "anyone",
            Self::Shopper => "a signed-in shopper",
            Self::Operator => "an operator",
            Self::Admin => "an administrator",
            Self::Provider => "the payment provider",
        }
    }

    fn signs_in(self) -> bool {
        matches!(self, Self::Shopper | Self::Operator | Self::Admin)
    }
}

/// A positive answer.
#[derive(Clone, Copy, Debug)]
struct Positive {
    status: StatusCode,
    text: &'static str,
    /// The schema of its body; none for no body.
    schema: Option<&'static str>,
    headers: &'static [&'static str],
}

/// What any call may answer, for reasons that have nothing to do with it.
const ALWAYS: [Slug; 5] =
    [Slug::NotAcceptable, Slug::Timeout, Slug::TooLarge, Slug::HeadTooLarge, Slug::Internal];
/// What a read of the store may come to; nothing happened.
const AWAY: [Slug; 2] = [Slug::Overloaded, Slug::Unavailable];

/// A call.
pub(super) struct Operation {
    pub(super) method: HttpMethod,
    pub(super) path: &'static str,
    id: &'static str,
    summary: &'static str,
    description: &'static str,
    pub(super) tag: &'static str,
    who: Who,
    parameters: Vec<Parameter>,
    body: Option<(&'static str, Required)>,
    positive: Vec<Positive>,
    slugs: Vec<Slug>,
}

impl Operation {
    /// A call that anyone may make and that says nothing yet.
    pub(super) fn new(
        method: HttpMethod,
        path: &'static str,
        id: &'static str,
        summary: &'static str,
    ) -> Self {
        let ids = path.split(['{', '}']).skip(1).step_by(2);
        let operation = Self {
            method,
            path,
            id,
            summary,
            description: "",
            tag: "",
            who: Who::Anyone,
            parameters: Vec::new(),
            body: None,
            positive: Vec::new(),
            slugs: ALWAYS.to_vec(),
        };
        ids.fold(operation, |operation, id| {
            operation
                .with(ParameterIn::Path, id, Required::True, shapes::id())
                .refuses(&[Slug::NotFound])
        })
    }

    /// Under which heading it is told about.
    pub(super) fn of(self, tag: &'static str) -> Self {
        Self { tag, ..self }
    }

    /// More about it than its summary.
    pub(super) fn says(self, description: &'static str) -> Self {
        Self { description, ..self }
    }

    /// Who may call it.
    pub(super) fn by(self, who: Who) -> Self {
        let operation = Self { who, ..self };
        let is_read = operation.method == HttpMethod::Get;
        let operation = match who {
            Who::Anyone | Who::Provider => operation,
            Who::Shopper => operation.refuses(&[Slug::Unauthenticated]),
            // Below `/admin/` a body is looked at even where it means nothing.
            Who::Operator | Who::Admin => operation.refuses(&[
                Slug::Unauthenticated,
                Slug::Forbidden,
                Slug::UnsupportedMediaType,
            ]),
        };
        if who.signs_in() && !is_read { operation.refuses(&[Slug::CrossOrigin]) } else { operation }
    }

    /// A parameter of the query.
    pub(super) fn query(self, name: &str, schema: impl Into<RefOr<Schema>>) -> Self {
        self.with(ParameterIn::Query, name, Required::False, schema)
            .refuses(&[Slug::InvalidRequest])
    }

    /// A list is cut into pages.
    pub(super) fn paged(self) -> Self {
        self.query("limit", shapes::limit()).query("cursor", shapes::cursor())
    }

    /// A header that must be there.
    pub(super) fn header(self, name: &str, schema: impl Into<RefOr<Schema>>) -> Self {
        self.with(ParameterIn::Header, name, Required::True, schema)
    }

    /// The same key again gets the same thing again.
    pub(super) fn once(self) -> Self {
        self.with(ParameterIn::Header, "Idempotency-Key", Required::False, shapes::key())
            .refuses(&[Slug::InvalidRequest, Slug::IdempotencyMismatch])
    }

    /// Only the version that is named is changed.
    pub(super) fn versioned(self, required: Required) -> Self {
        let slugs: &[Slug] = match required {
            Required::True => &[Slug::PreconditionRequired, Slug::Conflict],
            Required::False => &[Slug::Conflict],
        };
        self.with(ParameterIn::Header, "If-Match", required, shapes::version_tag())
            .refuses(slugs)
            .refuses(&[Slug::InvalidRequest])
    }

    /// A body of this schema.
    pub(super) fn takes(self, schema: &'static str) -> Self {
        Self { body: Some((schema, Required::True)), ..self }
            .refuses(&[Slug::InvalidRequest, Slug::UnsupportedMediaType])
    }

    /// A body of this schema, or none.
    pub(super) fn may_take(self, schema: &'static str) -> Self {
        let operation = self.takes(schema);
        Self { body: Some((schema, Required::False)), ..operation }
    }

    /// It reads the store, which may be away.
    pub(super) fn reads(self) -> Self {
        self.refuses(&AWAY)
    }

    /// It changes the store or the journal, and may not learn whether it did.
    pub(super) fn writes(self) -> Self {
        self.refuses(&AWAY).refuses(&[Slug::OutcomeUnknown])
    }

    /// A positive answer with a body of this schema.
    pub(super) fn answers(self, status: StatusCode, schema: &'static str) -> Self {
        self.positive(Positive { status, text: "", schema: Some(schema), headers: &[] })
    }

    /// A positive answer without a body.
    pub(super) fn answers_nothing(self, status: StatusCode) -> Self {
        self.positive(Positive { status, text: "", schema: None, headers: &[] })
    }

    /// The last positive answer has these headers.
    pub(super) fn carrying(mut self, headers: &'static [&'static str]) -> Self {
        if let Some(last) = self.positive.last_mut() {
            last.headers = headers;
        }
        self
    }

    /// The ways to say no that are its own.
    pub(super) fn refuses(mut self, slugs: &[Slug]) -> Self {
        self.slugs.extend(slugs);
        self.slugs.sort_unstable_by_key(|slug| slug.index());
        self.slugs.dedup();
        self
    }

    fn positive(mut self, positive: Positive) -> Self {
        let text = positive.status.canonical_reason().unwrap_or_default();
        self.positive.push(Positive { text, ..positive });
        self
    }

    fn with(
        mut self,
        place: ParameterIn,
        name: &str,
        required: Required,
        schema: impl Into<RefOr<Schema>>,
    ) -> Self {
        let parameter = ParameterBuilder::new().name(name).parameter_in(place);
        let parameter = parameter.required(required).schema(Some(schema));
        self.parameters.push(parameter.build());
        self
    }

    /// The negative answers, each status with its slugs.
    pub(super) fn negative(&self) -> Vec<(StatusCode, Vec<Slug>)> {
        // What is no JSON, or no HTTP at all.
        let mut negative = vec![(StatusCode::BAD_REQUEST, vec![Slug::InvalidRequest])];
        for slug in &self.slugs {
            match negative.iter_mut().find(|(status, _)| *status == slug.status()) {
                Some((_, slugs)) => slugs.push(*slug),
                None => negative.push((slug.status(), vec![*slug])),
            }
        }
        negative
    }

    /// The call as the document has it.
    pub(super) fn build(self) -> utoipa::openapi::path::Operation {
        let mut operation = OperationBuilder::new()
            .operation_id(Some(self.id))
            .tag(self.tag)
            .summary(Some(self.summary))
            .description(Some(format!("For {}. {}", self.who.word(), self.description).trim_end()))
            .parameters((!self.parameters.is_empty()).then(|| self.parameters.clone()));
        if self.who.signs_in() {
            let none: [&str; 0] = [];
            operation = operation
                .security(SecurityRequirement::new("bearer", none))
                .security(SecurityRequirement::new("cookie", none));
        }
        if let Some((schema, required)) = &self.body {
            let body = RequestBodyBuilder::new().content("application/json", content(schema));
            operation = operation.request_body(Some(body.required(Some(required.clone())).build()));
        }
        for positive in &self.positive {
            operation = operation.response(positive.status.as_str(), positive.build());
        }
        for (status, slugs) in self.negative() {
            let name = negative_name(status, &slugs);
            operation = operation.response(status.as_str(), Ref::from_response_name(name));
        }
        operation.build()
    }
}

impl Positive {
    fn build(self) -> Response {
        let mut response = ResponseBuilder::new().description(self.text);
        if let Some(schema) = self.schema {
            response = response.content("application/json", content(schema));
        }
        for name in self.headers {
            let header = HeaderBuilder::new().schema(Some(shapes::text()));
            response = response.header(*name, header.build());
        }
        response.build()
    }
}

/// Under which name the document has a negative answer: equal ones are there once.
pub(super) fn negative_name(status: StatusCode, slugs: &[Slug]) -> String {
    let words: Vec<_> = slugs.iter().map(|slug| slug.word()).collect();
    format!("{}_{}", status.as_str(), words.join("_"))
}

fn content(schema: &str) -> utoipa::openapi::Content {
    ContentBuilder::new().schema(Some(Ref::from_schema_name(schema))).build()
}

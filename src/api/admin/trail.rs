//! The operators' trail: whatever changes something is noted here, and read.
//!
//! A new route does not compile before it is said here what it does; where that is said to be nothing, it
//! cannot change anything. It must not know how a resource does what it does.

use http::StatusCode;
use seckill_shards::record::Digest;
use tokio::time::timeout;

use super::OperatorCall;
use crate::api::limits::NOTED;
use crate::api::problem::{Effect, Problem, Slug};
use crate::api::query::{Query, cut, page};
use crate::api::reply::Reply;
use crate::api::route::{AdminRoute, OrderStep, Step};
use crate::api::{Answer, idempotency, route, text};
use crate::store::{Act, Deed, Doer, Noted, Once, Page};

/// What a changing call has come to.
#[derive(Debug)]
pub(super) struct Done {
    reply: Reply,
    /// The id of what was made, where the route does not name what was changed.
    made: Option<u64>,
    /// How much, or which, as a reader of the trail wants to know; never a secret.
    detail: String,
    /// The request, where it is carried out once however often it comes.
    once: Option<Once>,
}

impl From<Reply> for Done {
    fn from(reply: Reply) -> Self {
        Self { reply, made: None, detail: String::new(), once: None }
    }
}

impl Done {
    /// It has made something.
    pub(super) fn made(self, id: impl Into<u64>) -> Self {
        Self { made: Some(id.into()), ..self }
    }

    /// With what a reader of the trail wants to know.
    pub(super) fn told(self, detail: String) -> Self {
        Self { detail, ..self }
    }

    /// It is done once for this key: who repeats it does nothing.
    pub(super) fn once(self, once: Option<Once>) -> Self {
        Self { once, ..self }
    }
}

/// What there is of some parts, in one line.
pub(super) fn listed(parts: impl IntoIterator<Item = Option<String>>) -> String {
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// What a route does where it is not read, and to what; none where it is only read.
pub(super) fn deed(route: AdminRoute) -> Option<Deed> {
    let (act, kind, target) = match route {
        AdminRoute::Products => ("created", "product", None),
        AdminRoute::Product(id) => ("changed", "product", Some(id.0)),
        AdminRoute::Activities => ("created", "activity", None),
        AdminRoute::Activity(id) => ("changed", "activity", Some(id.0)),
        AdminRoute::Step(id, step) => (step_done(step), "activity", Some(id.0)),
        AdminRoute::OrderStep(id, OrderStep::Cancel) => ("cancelled", "order", Some(id.0)),
        AdminRoute::OrderStep(id, OrderStep::Refund) => ("refunded", "order", Some(id.0)),
        AdminRoute::Roles(id) => ("roles_set", "user", Some(id.0)),
        AdminRoute::Unblock(id) => ("unblocked", "user", Some(id.0)),
        AdminRoute::PasswordReset(id) => ("password_link_made", "user", Some(id.0)),
        AdminRoute::Orders | AdminRoute::Users | AdminRoute::Audit(_) | AdminRoute::Trail => {
            return None;
        }
    };
    Some(Deed::new(act, kind, target))
}

fn step_done(step: Step) -> &'static str {
    match step {
        Step::Publish => "published",
        Step::Pause => "paused",
        Step::Resume => "resumed",
        Step::End => "ended",
        Step::Restock => "restocked",
        Step::Withdraw => "withdrawn",
    }
}

/// Carries out a change, and notes it once it is done. What was done is not told as failed because it
/// could not be noted yet: whoever did it waits a moment, and the control side goes on trying.
pub(super) async fn noted(
    call: OperatorCall<'_>,
    route: AdminRoute,
    change: impl Future<Output = Result<Done, Problem>>,
) -> Answer {
    let deed = deed(route).ok_or(Slug::NotFound)?;
    let mut open = Open::begin(call, deed)?;
    let answer = change.await;
    match answer {
        Ok(Done { reply, made, detail, once }) => {
            if let Some(mut act) = open.act.take() {
                act.is_known = true;
                act.deed.target = act.deed.target.or(made);
                act.detail = detail;
                act.request = once.map_or(act.request, named);
                let noted = call.context.shared.control.note(act);
                // Late, or lost with the control runtime: the log has it.
                drop(timeout(NOTED, noted).await);
            }
            Ok(reply)
        }
        Err(problem) => {
            if problem.slug != Slug::OutcomeUnknown {
                open.act = None;
            }
            Err(problem)
        }
    }
}

/// A request that is carried out once, as one; its key alone may name another one elsewhere.
fn named(once: Once) -> Digest {
    idempotency::digest(&[once.key, once.body].concat())
}

/// A change of which it is not known whether it is done: noted like that where its handler ends, or the
/// client goes away, before it is.
struct Open<'a> {
    call: OperatorCall<'a>,
    act: Option<Act>,
}

impl<'a> Open<'a> {
    fn begin(call: OperatorCall<'a>, deed: Deed) -> Result<Self, Problem> {
        let shared = &call.context.shared;
        let gateway = shared.engine.origin().gateway;
        let act = Act {
            at: shared.now(),
            request: crate::random_bytes().map_err(|_| Slug::Unavailable)?,
            by: Doer::Account { user: call.caller.user(), gateway },
            deed,
            detail: String::new(),
            is_known: false,
        };
        Ok(Self { call, act: Some(act) })
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if let Some(act) = self.act.take() {
            drop(self.call.context.shared.control.note(act));
        }
    }
}

/// `GET /api/v1/admin/trail`, for administrators: newest first.
pub(super) async fn list(call: OperatorCall<'_>) -> Answer {
    call.caller.admin()?;
    let query = Query::of(call.inner.head.uri.query())?;
    let limit = query.limit()?;
    let after = query.read("cursor", "must come from an answer", route::id)?;
    let rows = Page { after, limit: limit + 1 };
    let found = call.context.store(Effect::Read, |store| async move { store.trail(rows).await });
    let mut found = found.await?;
    let cursor = cut(&mut found, limit, |last| last.number.to_string());
    let body = call.context.desk.bytes(|out| page(out, &found, cursor.as_deref(), write));
    Ok(Reply::json(StatusCode::OK, body).no_store())
}

fn write(out: &mut Vec<u8>, noted: &Noted) {
    let Noted { number, username, act } = noted;
    text::raw(out, "{\"id\":");
    text::id(out, *number);
    text::raw(out, ",\"at\":");
    text::instant(out, act.at);
    text::raw(out, ",\"by\":");
    match act.by {
        Doer::CommandLine => text::raw(out, "\"command line\""),
        Doer::Account { user, gateway } => {
            text::string(out, username.as_deref().unwrap_or_default());
            text::raw(out, ",\"user_id\":");
            text::id(out, user);
            text::raw(out, ",\"gateway\":");
            text::number(out, gateway.into());
        }
    }
    text::raw(out, ",\"act\":");
    text::string(out, &act.deed.act);
    text::raw(out, ",\"target\":{\"kind\":");
    text::string(out, &act.deed.kind);
    if let Some(target) = act.deed.target {
        text::raw(out, ",\"id\":");
        text::id(out, target);
    }
    text::raw(out, "}");
    if !act.detail.is_empty() {
        text::raw(out, ",\"detail\":");
        text::string(out, &act.detail);
    }
    text::raw(out, ",\"outcome\":");
    text::string(out, OUTCOMES[usize::from(act.is_known)]);
    out.push(b'}');
}

/// Whether it is known to be done.
pub(in crate::api) const OUTCOMES: [&str; 2] = ["unknown", "done"];

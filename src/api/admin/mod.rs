//! What operators and administrators do: a transaction of the store first, then the engine's copy.

mod activities;
mod audit;
mod orders;
mod products;
mod trail;
mod users;

use http::Method;
use http::header::IF_MATCH;

use self::trail::Done;
pub(super) use self::trail::OUTCOMES;
use super::auth::Caller;
use super::problem::{Problem, Slug};
use super::route::AdminRoute;
use super::{Answer, Call, Context, json, route};

/// An operator's request at work.
#[derive(Clone, Copy, Debug)]
struct OperatorCall<'a> {
    inner: &'a Call<'a>,
    context: &'a Context,
    caller: Caller,
    body: &'a [u8],
}

/// Answers the routes below `/api/v1/admin/`.
pub(super) async fn answer(call: &Call<'_>, body: &[u8], route: AdminRoute) -> Answer {
    let caller = call.caller()?.operator()?;
    if !body.is_empty() || matches!(call.head.method, Method::PATCH | Method::PUT) {
        json::expect_json(&call.head.headers)?;
    }
    let call = OperatorCall { inner: call, context: call.context, caller, body };
    match call.inner.head.method {
        Method::GET | Method::HEAD => read(call, route).await,
        _ => trail::noted(call, route, change(call, route)).await,
    }
}

async fn read(call: OperatorCall<'_>, route: AdminRoute) -> Answer {
    match route {
        AdminRoute::Orders => orders::list(call).await,
        AdminRoute::Users => users::list(call).await,
        AdminRoute::Audit(activity) => audit::show(call, activity).await,
        AdminRoute::Trail => trail::list(call).await,
        // Their methods have been looked at.
        AdminRoute::Products
        | AdminRoute::Product(_)
        | AdminRoute::Activities
        | AdminRoute::Activity(_)
        | AdminRoute::Step(..)
        | AdminRoute::OrderStep(..)
        | AdminRoute::Roles(_)
        | AdminRoute::Unblock(_)
        | AdminRoute::PasswordReset(_) => Err(Slug::NotFound.into()),
    }
}

/// Whatever changes something says what it has done.
async fn change(call: OperatorCall<'_>, route: AdminRoute) -> Result<Done, Problem> {
    match route {
        AdminRoute::Products => products::create(call).await,
        AdminRoute::Product(product) => products::update(call, product).await,
        AdminRoute::Activities => activities::create(call).await,
        AdminRoute::Activity(activity) => activities::update(call, activity).await,
        AdminRoute::Step(activity, step) => activities::step(call, activity, step).await,
        AdminRoute::OrderStep(order, step) => orders::step(call, order, step).await,
        AdminRoute::Roles(user) => users::set_roles(call, user).await,
        AdminRoute::Unblock(user) => users::unblock(call, user).await,
        AdminRoute::PasswordReset(user) => users::reset_password(call, user).await,
        AdminRoute::Orders | AdminRoute::Users | AdminRoute::Audit(_) | AdminRoute::Trail => {
            Err(Slug::NotFound.into())
        }
    }
}

impl OperatorCall<'_> {
    /// The version that `If-Match` names, where there is one.
    fn version(&self) -> Result<Option<u64>, Problem> {
        let Some(value) = self.inner.head.headers.get(IF_MATCH) else { return Ok(None) };
        let version = value.to_str().ok().and_then(version_of);
        let invalid = || Problem::field("", "If-Match must be one version in quotes");
        version.map(Some).ok_or_else(invalid)
    }

    /// The same, which must be there.
    fn required_version(&self) -> Result<u64, Problem> {
        let missing = || Problem::new(Slug::PreconditionRequired, "Send If-Match: \"<version>\".");
        self.version()?.ok_or_else(missing)
    }

    /// A call that needs nothing may come with no body or an empty object.
    fn expect_no_fields(&self) -> Result<(), Problem> {
        if self.body.is_empty() { Ok(()) } else { json::Fields::of(self.body)?.finish() }
    }
}

fn version_of(value: &str) -> Option<u64> {
    route::id(value.trim().strip_prefix('"')?.strip_suffix('"')?)
}

#[cfg(test)]
mod tests {
    use super::version_of;

    #[test]
    fn a_version_is_one_strong_entity_tag() {
        assert_eq!(version_of("\"7\""), Some(7));
        for bad in ["7", "W/\"7\"", "*", "\"7\", \"8\"", "\"\"", "\"x\"", "\"07\""] {
            assert_eq!(version_of(bad), None, "{bad}");
        }
    }
}

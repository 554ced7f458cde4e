//! HTTP to commands, verdicts to HTTP: one file per resource, one table of statuses.
//!
//! It must not know sockets, SQL or Redis, and decides nothing about a sale by itself.

mod access;
mod activities;
mod admin;
mod adopted;
mod auth;
mod breakers;
mod context;
mod counters;
mod elsewhere;
mod forwarded;
pub mod hot;
mod idempotency;
mod json;
#[cfg(test)]
mod lapsed;
pub mod limits;
pub mod openapi;
mod orders;
mod pages;
mod password_resets;
mod passwords;
mod payments;
pub mod problem;
mod products;
mod query;
mod reply;
mod route;
mod sandbox;
mod sessions;
mod shards;
mod strict;
mod text;
mod throttle;
pub mod tokens;
mod users;
mod words;

use std::future::poll_fn;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request};
use hyper::body::Body;

pub use self::access::Access;
pub use self::adopted::Adopted;
pub use self::auth::Site;
pub use self::breakers::StoreBreakers;
pub use self::context::{Context, Control, Shared, SharedParts};
pub use self::counters::{Counters, add_one};
pub use self::pages::{NOT_YET, ORDER_SHELL, PAY_SHELL, PageMap};
pub use self::passwords::hash as hash_password;
pub use self::problem::{Problem, Slug};
pub use self::reply::HttpResponse;
pub use self::shards::{Owners, Shards, Told, Waiter};
pub use self::tokens::seconds;
pub use self::users::{check_password, check_username};
pub use self::words::{Said, WORDS, Word};

use tokio::time::{Interval, MissedTickBehavior};

use self::auth::Caller;
use self::reply::Reply;
use self::route::Route;

/// What a resource answers with.
type Answer = Result<Reply, Problem>;

/// One request at work, its body aside.
#[derive(Debug)]
struct Call<'a> {
    context: &'a Context,
    head: &'a Parts,
    peer: IpAddr,
    came: Came,
}

/// By which way a request came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Came {
    /// To the listener that shoppers, operators and the provider know.
    ToShoppers,
    /// From another gateway, which has authenticated who sends it, if anybody has signed in.
    Forwarded(Option<Caller>),
}

impl Call<'_> {
    /// Who asks.
    fn caller(&self) -> Result<Caller, Problem> {
        if let Came::Forwarded(caller) = self.came {
            return caller.ok_or_else(|| Slug::Unauthenticated.into());
        }
        let shared = &self.context.shared;
        let now_s = seconds(self.context.recently());
        auth::caller(&shared.site, self.head, |token| {
            shared.tokens.check(token, now_s).filter(|claims| shared.access.allows(claims))
        })
    }

    /// Where the request comes from.
    fn client(&self) -> IpAddr {
        let trusted = &self.context.shared.trusted_proxies;
        forwarded::client(&self.head.headers, self.peer, trusted)
    }
}

/// Answers one request. A panic on the way is counted and answered like any problem.
pub async fn handle<B>(context: &Context, request: Request<B>, peer: IpAddr) -> HttpResponse
where
    B: Body<Data = Bytes> + Unpin,
{
    let (head, body) = request.into_parts();
    let answer = {
        let call = Call { context, head: &head, peer, came: Came::ToShoppers };
        caught(answer(&call, body)).await
    };
    // What another gateway has refused that one has counted.
    if !answer.as_ref().is_ok_and(Reply::is_refusal) {
        context.counters().count(&answer);
    }
    context.desk.respond(head.headers, answer)
}

/// Answers one request that came to the listener for other gateways.
pub async fn handle_forwarded<B>(
    context: &Context,
    request: Request<B>,
    peer: IpAddr,
) -> HttpResponse
where
    B: Body<Data = Bytes> + Unpin,
{
    let (mut head, body) = request.into_parts();
    let answer = caught(elsewhere::receive(context, &mut head, body, peer)).await;
    if answer.is_err() {
        context.counters().count(&answer);
    }
    context.desk.respond(head.headers, answer)
}

/// The answer of a handler, or [`Slug::Internal`] where it panics.
async fn caught(handler: impl Future<Output = Answer>) -> Answer {
    let mut handler = pin!(handler);
    poll_fn(|context| {
        catch_unwind(AssertUnwindSafe(|| handler.as_mut().poll(context)))
            .unwrap_or_else(|_| Poll::Ready(Err(Slug::Internal.into())))
    })
    .await
}

async fn answer<B>(call: &Call<'_>, body: B) -> Answer
where
    B: Body<Data = Bytes> + Unpin,
{
    let Some(route) = Route::of(call.head.uri.path()) else {
        return Err(Slug::NotFound.into());
    };
    if !route.allows(&call.head.method) {
        return Err(Problem::method_not_allowed(route.allow()));
    }
    if matches!(route, Route::Page | Route::Document) {
        no_body(call, body).await?;
        return pages::serve(call);
    }
    json::accept_json(&call.head.headers)?;
    if let Route::ActivityOrders(activity) = route {
        return orders::place(call, body, activity).await;
    }
    if let Route::ActivityState(activity) = route {
        no_body(call, body).await?;
        return activities::state(call.context, activity);
    }
    // What a sale does not make by the hundred thousand is boxed, so that the future of the rest
    // stays small: hyper moves one for every request.
    Box::pin(answer_seldom(call, body, route)).await
}

/// Reads a body that means nothing, so that the connection can go on behind it.
async fn no_body<B>(call: &Call<'_>, body: B) -> Result<(), Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    if !body.is_end_stream() {
        json::read(&call.head.headers, body).await?;
    }
    Ok(())
}

async fn answer_seldom<B>(call: &Call<'_>, body: B, route: Route) -> Answer
where
    B: Body<Data = Bytes> + Unpin,
{
    let body = json::read(&call.head.headers, body).await?;
    match elsewhere::owner(call, route) {
        Some(owner) => elsewhere::answer(call, &body, route, owner).await,
        None => dispatch(call, &body, route).await,
    }
}

/// Has the resource of a route answer.
async fn dispatch(call: &Call<'_>, body: &Bytes, route: Route) -> Answer {
    // GET and HEAD are one; where a resource has several methods, this tells them apart.
    let method = &call.head.method;
    let is_read = matches!(*method, Method::GET | Method::HEAD);
    match route {
        Route::Users => users::create(call, body).await,
        Route::Me if is_read => users::show(call).await,
        Route::Me => users::update(call, body).await,
        Route::Sessions if method == Method::POST => sessions::create(call, body).await,
        Route::Sessions => sessions::delete_all(call).await,
        Route::CurrentSession => sessions::delete_current(call).await,
        Route::PasswordResets => password_resets::redeem(call, body).await,
        Route::Products => products::list(call).await,
        Route::Product(product) => products::show(call, product).await,
        Route::Activities => activities::list(call).await,
        Route::Activity(activity) => activities::show(call, activity).await,
        Route::Orders => orders::list(call).await,
        Route::Order(order) if is_read => orders::show(call, order).await,
        Route::Order(order) => orders::cancel(call, order).await,
        Route::Payments(order) => payments::start(call, body, order).await,
        Route::Payment(order, payment) => payments::give_up(call, order, payment).await,
        Route::PaymentWebhook => payments::webhook(call, body).await,
        Route::SandboxPayment(payment) if is_read => sandbox::show(call, payment).await,
        Route::SandboxPayment(payment) => sandbox::choose(call, body, payment).await,
        Route::Admin(route) => admin::answer(call, body, route).await,
        // Answered before they could come here.
        Route::ActivityOrders(_) | Route::ActivityState(_) | Route::Document | Route::Page => {
            Err(Slug::NotFound.into())
        }
    }
}

/// Looks again and again, the first time at once. After a pause of this thread they are as far apart as ever:
/// what is waited for has paused with it.
fn looks(apart: Duration) -> Interval {
    let mut looks = tokio::time::interval(apart);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    looks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_answered_without_details() {
        let problem = caught(async { panic!("secret") }).await.unwrap_err();
        assert_eq!((problem.slug, problem.detail.as_ref()), (Slug::Internal, ""));
    }
}

//! Calls about an order that another gateway owns: forwarded to it, once; with it away, answered
//! from the store as far as that goes. And the same from the other side.
//!
//! It must not know how gateways reach each other, nor how a resource answers.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, LOCATION};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use hyper::body::Body;
use seckill_shards::clock::Timestamp;
use seckill_shards::ids::OrderId;

use super::auth::Caller;
use super::problem::{Effect, Problem, Slug};
use super::reply::Reply;
use super::route::{AdminRoute, Route};
use super::tokens::{Claims, seconds};
use super::{Answer, Call, Came, Context, Said, WORDS, dispatch, idempotency, json, orders};
use crate::peers::{self, Peer, Peers, Proven, Unanswered, Vouched};

/// Why an order cannot be found or moved now.
const AWAY: &str = "The gateway that has this order is away.";
/// Why a call of another gateway's is not carried out.
const STALE: &str = "The call has been under way for too long, or the gateways' clocks differ.";

/// The order that a call is about, where the gateway that owns it is the one to answer.
fn order_of(route: Route) -> Option<OrderId> {
    match route {
        Route::Order(order)
        | Route::Payments(order)
        | Route::Payment(order, _)
        | Route::Admin(AdminRoute::OrderStep(order, _)) => Some(order),
        Route::SandboxPayment(payment) => Some(OrderId(payment.0)),
        _ => None,
    }
}

impl Call<'_> {
    /// The gateway that owns an order, where it is another one and this one may ask it: a call that
    /// was forwarded goes no further.
    pub(super) fn owner_elsewhere(&self, order: OrderId) -> Option<u16> {
        let peers = self.context.shared.peers.as_ref()?;
        if self.came != Came::ToShoppers || self.context.speaks_for(order) {
            return None;
        }
        let gateway = order.origin().gateway;
        let speaker = peers.speaker_of(gateway);
        // One that this gateway is yet to adopt is away until then.
        Some(if speaker == peers.own() { gateway } else { speaker })
    }

    fn peers(&self) -> Result<&Arc<Peers>, Problem> {
        self.context.shared.peers.as_ref().ok_or_else(|| Slug::Internal.into())
    }

    /// A gateway that may have joined since the fleet was looked at last.
    async fn peer(&self, number: u16) -> Result<Arc<Peer>, Problem> {
        let peers = self.peers()?;
        if let Some(peer) = peers.find(number) {
            return Ok(peer);
        }
        let all =
            self.context.store(Effect::Read, |store| async move { store.announce(None).await });
        peers.learn(&all.await?);
        // No gateway has made such an id.
        peers.find(number).ok_or_else(|| Slug::NotFound.into())
    }
}

/// Up to when the store has all of an order's gateway, where that is another one.
pub(super) fn as_of(call: &Call<'_>, order: OrderId) -> Option<Timestamp> {
    let peers = call.context.shared.peers.as_ref()?;
    // Of one that has joined just now nothing is known yet.
    let owner = order.origin().gateway;
    let of_peer = || peers.find(owner).map_or(Timestamp(0), |peer| peer.as_of());
    (!call.context.speaks_for(order)).then(of_peer)
}

/// The gateway that answers a route, where it is another one.
pub(super) fn owner(call: &Call<'_>, route: Route) -> Option<u16> {
    call.owner_elsewhere(order_of(route)?)
}

/// Answers a call whose order another gateway owns.
pub(super) async fn answer(call: &Call<'_>, body: &Bytes, route: Route, owner: u16) -> Answer {
    let caller = call.caller()?;
    if matches!(route, Route::Admin(_)) {
        caller.operator()?;
    }
    let peer = call.peer(owner).await?;
    let is_read = matches!(call.head.method, Method::GET | Method::HEAD);
    match forward(call, &peer, headers_of(call, route), body, Some(caller)).await {
        Ok(reply) => Ok(reply),
        Err(Unanswered::NotSent) => match route {
            Route::Order(order) if is_read => orders::show_as_of(call, order, peer.as_of()).await,
            _ => Err(away()),
        },
        Err(Unanswered::Unknown) if is_read => Err(away()),
        Err(Unanswered::Unknown) => Err(Slug::OutcomeUnknown.into()),
    }
}

/// Hands the provider's word on to the gateway that has to write it down. Whatever keeps that from
/// saying that it has, the provider tells again.
pub(super) async fn deliver(call: &Call<'_>, body: &Bytes, owner: u16) -> Answer {
    let peer = call.peer(owner).await.map_err(|_| away())?;
    let answer = forward(call, &peer, call.head.headers.clone(), body, None).await;
    // Its keys may be older or newer ones, while they are changed.
    let is_taken =
        |status: StatusCode| !status.is_server_error() && status != StatusCode::UNAUTHORIZED;
    answer.ok().filter(|reply| is_taken(reply.status)).ok_or_else(away)
}

/// An order that the store does not have may be with its gateway still.
pub(super) fn unless_away(problem: Problem) -> Problem {
    if problem.slug == Slug::NotFound { away() } else { problem }
}

fn away() -> Problem {
    Problem::new(Slug::Unavailable, AWAY)
}

async fn forward(
    call: &Call<'_>,
    peer: &Arc<Peer>,
    headers: HeaderMap,
    body: &Bytes,
    caller: Option<Caller>,
) -> Result<Reply, Unanswered> {
    let head = call.head;
    let method = if head.method == Method::HEAD { Method::GET } else { head.method.clone() };
    let forwarded = peers::Call {
        patience: peers::Call::patience_of(&method),
        method,
        path: head.uri.path().to_owned(),
        headers,
        body: body.clone(),
        vouched: caller.map(|it| Vouched { user: it.user(), roles: it.claims.roles }),
        said_at: None,
    };
    let peers = call.peers().map_err(|_| Unanswered::NotSent)?;
    peers.call(peer, forwarded).await.map(reply_of)
}

/// The headers of a call. A payment that is started without a key gets one, so that a call that is
/// heard twice starts one.
fn headers_of(call: &Call<'_>, route: Route) -> HeaderMap {
    let mut headers = call.head.headers.clone();
    if matches!(route, Route::Payments(_)) && !headers.contains_key(idempotency::IDEMPOTENCY_KEY) {
        let random = crate::random_bytes::<16>().map(u128::from_le_bytes);
        let key = random.ok().and_then(|it| HeaderValue::from_str(&format!("{it:032x}")).ok());
        headers.extend(key.map(|key| (idempotency::IDEMPOTENCY_KEY, key)));
    }
    headers
}

fn reply_of(answered: peers::Answered) -> Reply {
    let peers::Answered { status, mut headers, body } = answered;
    let mut reply = Reply { body, ..Reply::empty(status) };
    reply.content_type = headers.remove(CONTENT_TYPE);
    reply.location = headers.remove(LOCATION);
    reply.headers = headers.into_iter().filter_map(|(name, value)| Some((name?, value))).collect();
    reply
}

/// A call of another gateway's, whose signature is good.
struct Received {
    body: Bytes,
    proven: Proven,
}

/// Answers what another gateway forwards, signed for it alone.
pub(super) async fn receive<B>(context: &Context, head: &mut Parts, body: B, peer: IpAddr) -> Answer
where
    B: Body<Data = Bytes> + Unpin,
{
    let peers = context.shared.peers.as_ref().ok_or(Slug::NotFound)?;
    let Received { body, proven } = received(peers, head, body).await?;
    let now_s = seconds(context.shared.now());
    let caller = proven.vouched.map(|Vouched { user, roles }| Caller {
        claims: Claims::new(user, roles, [0; 8], now_s),
        by_cookie: false,
    });
    let call = Call { context, head, peer, came: Came::Forwarded(caller) };
    let said = Said { at: proven.sent_at, by: proven.from };
    let answer = match proven.is_fresh {
        true => super::caught(carry_out(&call, &body, said)).await,
        // Signed as any answer, so that whoever sent it knows that nothing happened.
        false => Err(Problem::new(Slug::Unavailable, STALE)),
    };
    context.counters().count(&answer);
    let reply = context.desk.reply(answer);
    let headers = all_headers(&reply);
    let seal = peers.seal(&proven, (reply.status, &headers, &reply.body));
    Ok(reply.with(HeaderName::from_static(peers::SEAL), seal))
}

async fn received<B>(peers: &Peers, head: &mut Parts, body: B) -> Result<Received, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    let refused = || Problem::new(Slug::Unauthenticated, "Only gateways are answered here.");
    let claim = peers.claim(head).ok_or_else(refused)?;
    let body = json::read(&head.headers, body).await?;
    let proven = peers.prove(&claim, head, &body).ok_or_else(refused)?;
    Ok(Received { body, proven })
}

/// Carries out one of the calls that gateways make: about what this one owns, or what it has of a sale,
/// or to tell it something.
async fn carry_out(call: &Call<'_>, body: &Bytes, said: Said) -> Answer {
    if call.head.uri.path() == WORDS && call.head.method == Method::POST {
        return call.context.hear(body, said).await;
    }
    let route = Route::of(call.head.uri.path()).filter(|route| route.allows(&call.head.method));
    match route.map(|route| (route, order_of(route))) {
        Some((route @ (Route::PaymentWebhook | Route::Admin(AdminRoute::Audit(_))), _)) => {
            dispatch(call, body, route).await
        }
        Some((route, Some(order))) if call.context.speaks_for(order) => {
            dispatch(call, body, route).await
        }
        // The caller knows better, or worse, who speaks for the order's gateway, perhaps from a word
        // that has not come here yet: that there is no such order is not for this gateway to say.
        Some((_, Some(_))) => Err(away()),
        _ => Err(Slug::NotFound.into()),
    }
}

fn all_headers(reply: &Reply) -> HeaderMap {
    let fixed = [(CONTENT_TYPE, &reply.content_type), (LOCATION, &reply.location)];
    let fixed = fixed.into_iter().filter_map(|(name, value)| Some((name, value.clone()?)));
    fixed.chain(reply.headers.iter().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_about_one_order_are_its_owners_and_no_others() {
        for (path, order) in [
            ("/api/v1/orders/7", Some(7)),
            ("/api/v1/orders/7/payments", Some(7)),
            ("/api/v1/orders/7/payments/8", Some(7)),
            ("/api/v1/sandbox/payments/8", Some(8)),
            ("/api/v1/admin/orders/7/cancel", Some(7)),
            ("/api/v1/admin/orders/7/refund", Some(7)),
            // Its body says whose it is.
            ("/api/v1/webhooks/payments", None),
            ("/api/v1/orders", None),
            ("/api/v1/activities/7/orders", None),
            ("/api/v1/admin/orders", None),
            ("/api/v1/admin/activities/7/end", None),
            ("/api/v1/users/me", None),
            ("/orders/7", None),
        ] {
            let found = Route::of(path).and_then(order_of);
            assert_eq!(found, order.map(OrderId), "{path}");
        }
    }
}

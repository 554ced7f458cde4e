//! A sale as gateways see it through Redis, with short words for what tests say again and again.
//!
//! It must not know what a test expects.

use seckill_shards::ids::{ActivityId, OrderId, UserId};

use super::server::Server;
use crate::reconcile::{
    Answer, Declaration, Era, Holder, LeaseReply, LeaseRequest, Leases, Member, Place, Release,
    Resumed, Roll, Status, Stock,
};

pub(super) const ACTIVITY: ActivityId = ActivityId(7);
/// Its key.
pub(super) const KEY: &str = "seckill:lease:7";

/// A gateway in its first epoch.
pub(super) const fn gateway(number: u16) -> Holder {
    Holder { member: Member::Gateway(number), epoch: 0 }
}

/// Whoever has adopted it.
pub(super) const fn adopted(number: u16) -> Holder {
    Holder { member: Member::Gateway(number), epoch: 1 }
}

pub(super) const G0: Holder = gateway(0);
pub(super) const G1: Holder = gateway(1);

pub(super) fn place(user: u64, order: u64, quantity: u32) -> Place {
    Place { user: UserId(user), order: OrderId(order), quantity }
}

pub(super) fn release(user: u64, order: u64) -> Release {
    Release { user: UserId(user), order: OrderId(order) }
}

pub(super) fn orders(ids: &[u64]) -> Vec<OrderId> {
    ids.iter().map(|&id| OrderId(id)).collect()
}

pub(super) fn declaration(era: Era, holder: Holder, n: u64, net: u32) -> Declaration {
    Declaration { era, holder, n, net, places: Vec::new() }
}

pub(super) struct Sale {
    pub(super) leases: Leases,
    pub(super) stock: Stock,
    pub(super) limit: u32,
}

impl Sale {
    pub(super) fn of(server: &Server, stocked: u32) -> Self {
        let stock = Stock { version: 1, stocked, open: true };
        Self { leases: server.leases(), stock, limit: 1 }
    }

    pub(super) async fn status(&self) -> Answer<Status> {
        self.leases.status(&[ACTIVITY]).await.unwrap().remove(0).unwrap()
    }

    pub(super) async fn begin(&self, seen: Option<Era>, generation: u64) -> Answer<Era> {
        self.leases.begin(ACTIVITY, seen, generation, 42).await.unwrap()
    }

    pub(super) async fn declare(&self, declaration: Declaration) -> Answer<()> {
        self.leases.declare(ACTIVITY, &declaration).await.unwrap()
    }

    pub(super) async fn resume(&self, era: Era, members: &[Holder]) -> Answer<Resumed> {
        let roll = Roll { era, stock: self.stock, members: members.to_vec() };
        self.leases.resume(ACTIVITY, &roll).await.unwrap()
    }

    /// An era in which everybody has declared that they have nothing, and which is live.
    pub(super) async fn live(&self, members: &[Holder]) -> Era {
        let era = self.begin(None, 1).await.unwrap();
        for &member in members {
            self.declare(declaration(era, member, 0, 0)).await.unwrap();
        }
        assert_eq!(self.resume(era, members).await, Ok(Resumed { excess: 0 }));
        era
    }

    /// A request that asks for nothing.
    pub(super) fn request(&self, era: Era, holder: Holder, n: u64) -> LeaseRequest {
        LeaseRequest {
            era,
            holder,
            n,
            have: 0,
            want: 0,
            stock: self.stock,
            limit: self.limit,
            releases: Vec::new(),
            confirms: Vec::new(),
        }
    }

    pub(super) async fn lease(&self, request: LeaseRequest) -> Answer<LeaseReply> {
        self.leases.lease(&[(ACTIVITY, request)]).await.unwrap().remove(0).unwrap()
    }

    /// Has some units and wants more of them; how many it is granted.
    pub(super) async fn take(&self, request: LeaseRequest, have: u32, want: u32) -> Answer<u32> {
        let request = LeaseRequest { have, want, ..request };
        self.lease(request).await.map(|reply| reply.granted)
    }

    /// Confirms places beside units that it has; which are confirmed.
    pub(super) async fn confirm(
        &self,
        request: LeaseRequest,
        have: u32,
        places: &[Place],
    ) -> Answer<Vec<OrderId>> {
        let request = LeaseRequest { have, confirms: places.to_vec(), ..request };
        self.lease(request).await.map(|reply| reply.yes)
    }
}

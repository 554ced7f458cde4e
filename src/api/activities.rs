//! Activities as shoppers see them: from memory, so an unknown id costs nothing and the store may
//! be away. Operators see drafts as well, which only the store has.

use std::sync::Arc;

use http::StatusCode;
use http::header::{CACHE_CONTROL, HeaderValue};
use seckill_shards::clock::Timestamp;
use seckill_shards::ids::ActivityId;
use seckill_shards::record::Terms;
use seckill_shards::shard::{Activity, Phase};

use super::problem::{Effect, Problem, Slug};
use super::query::{Query, cut, page};
use super::reply::Reply;
use super::{Answer, Call, Context, route, text};
use crate::store;

/// Shown by any cache for a second at most: what is left of a sale changes all the time.
const ONE_SECOND: HeaderValue = HeaderValue::from_static("public, max-age=1");

/// An activity as it is shown.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    id: ActivityId,
    version: u64,
    terms: Terms,
    phase: &'static str,
}

impl Shown {
    /// An activity that is in memory.
    pub(super) fn in_memory(activity: &Activity, now: Timestamp) -> Self {
        let sale = activity.sale();
        let phase = phase(activity, now);
        Self { id: activity.id, version: sale.version, terms: sale.terms.clone(), phase }
    }

    /// A row of the store, with the phase that memory knows better.
    pub(super) fn stored(call: &Call<'_>, row: &store::Activity) -> Self {
        let now = call.context.shared.now();
        let published = row.publication(now);
        let phase = match call.context.shared.engine.activity(row.id) {
            Some(activity) => phase(&activity, now),
            None => phase_of_row(row, now),
        };
        Self { id: row.id, version: row.version, terms: published.terms, phase }
    }

    /// Writes it as JSON.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let terms = &self.terms;
        text::raw(out, "{\"id\":");
        text::id(out, self.id);
        text::raw(out, ",\"title\":");
        text::string(out, &terms.title);
        text::raw(out, ",\"product\":{\"id\":");
        text::id(out, terms.product);
        text::raw(out, ",\"title\":");
        text::string(out, &terms.product_title);
        text::raw(out, "},\"sale_price\":");
        text::money(out, terms.sale_price, terms.currency);
        text::raw(out, ",\"list_price\":");
        text::money(out, terms.list_price, terms.currency);
        for (name, number) in [
            (",\"stock_total\":", terms.stocked.into()),
            (",\"per_user_limit\":", terms.per_user_limit.into()),
            (",\"pay_within_seconds\":", terms.pay_window_ms / 1_000),
            (",\"version\":", self.version),
        ] {
            text::raw(out, name);
            text::number(out, number);
        }
        text::raw(out, ",\"starts_at\":");
        text::instant(out, terms.starts_at);
        text::raw(out, ",\"ends_at\":");
        text::instant(out, terms.ends_at);
        text::raw(out, ",\"admission\":");
        text::raw(out, if terms.admission { "true" } else { "false" });
        text::raw(out, ",\"phase\":\"");
        text::raw(out, self.phase);
        text::raw(out, "\"}");
    }

    /// It alone, with its version as entity tag.
    pub(super) fn reply(&self, call: &Call<'_>, status: StatusCode) -> Reply {
        let body = call.context.desk.bytes(|out| self.write(out));
        Reply::json(status, body).version(self.version)
    }
}

/// The word for where a sale stands; sold out is a live one that has nothing to take now.
fn phase(activity: &Activity, now: Timestamp) -> &'static str {
    match activity.phase(now) {
        Phase::Scheduled => "scheduled",
        Phase::Live if activity.is_sold_out() => "sold_out",
        Phase::Live => "live",
        Phase::Paused => "paused",
        Phase::Ended => "ended",
        Phase::Closed => "closed",
    }
}

/// The same by a row alone: a draft, a sale that has left memory, or one that has yet to come.
fn phase_of_row(row: &store::Activity, now: Timestamp) -> &'static str {
    match row {
        row if !row.published => "draft",
        row if row.closed => "closed",
        row if row.ended || now >= row.ends_at => "ended",
        row if row.paused => "paused",
        row if now < row.starts_at => "scheduled",
        _ => "live",
    }
}

pub(super) const PHASES: [&str; 7] =
    ["draft", "scheduled", "live", "paused", "sold_out", "ended", "closed"];

/// `GET /api/v1/activities/{id}/state`: from memory.
pub(super) fn state(context: &Context, id: ActivityId) -> Answer {
    let activity = context.shared.find_activity(id)?;
    let (now, sale) = (context.shared.now(), activity.sale());
    let body = context.desk.bytes(|out| {
        text::raw(out, "{\"phase\":\"");
        text::raw(out, phase(&activity, now));
        text::raw(out, "\",\"remaining\":");
        text::number(out, activity.remaining().into());
        text::raw(out, ",\"may_return\":");
        text::raw(out, if activity.may_return() { "true" } else { "false" });
        text::raw(out, ",\"starts_at\":");
        text::instant(out, sale.terms.starts_at);
        text::raw(out, ",\"ends_at\":");
        text::instant(out, sale.terms.ends_at);
        text::raw(out, ",\"server_time\":");
        text::instant(out, now);
        out.push(b'}');
    });
    Ok(Reply::json(StatusCode::OK, body).with(CACHE_CONTROL, ONE_SECOND))
}

/// `GET /api/v1/activities/{id}`.
pub(super) async fn show(call: &Call<'_>, id: ActivityId) -> Answer {
    let now = call.context.shared.now();
    let problem = match call.context.shared.find_activity(id) {
        Ok(activity) => {
            let reply = Shown::in_memory(&activity, now).reply(call, StatusCode::OK);
            return Ok(reply.with(CACHE_CONTROL, ONE_SECOND));
        }
        Err(problem) => problem,
    };
    // A draft is nobody's business but an operator's; and for the sake of sales that were forgotten
    // not every visitor's unknown id is asked of the store.
    if !is_operator(call) {
        return Err(problem);
    }
    let row = call.context.store(Effect::Read, |store| async move { store.activity(id).await });
    Ok(Shown::stored(call, &row.await?).reply(call, StatusCode::OK).no_store())
}

/// `GET /api/v1/activities?phase=`: by id.
pub(super) async fn list(call: &Call<'_>) -> Answer {
    let query = Query::of(call.head.uri.query())?;
    let limit = query.limit()?;
    let after: Option<ActivityId> = query.read("cursor", "must come from an answer", route::id)?;
    let wanted = query.read("phase", "must be a phase of activities", |word| {
        PHASES.into_iter().find(|phase| *phase == word)
    })?;
    let (engine, now) = (&call.context.shared.engine, call.context.shared.now());
    // Before they are looked for.
    let knows_sales = engine.knows_sales();
    let mut shown: Vec<Shown> = {
        let activities = engine.activities();
        let activities = activities.values().map(Arc::as_ref);
        activities.map(|activity| Shown::in_memory(activity, now)).collect()
    };
    let with_drafts = is_operator(call);
    if with_drafts && wanted.is_none_or(|phase| phase == "draft") {
        shown.extend(drafts(call, after).await?);
    }
    shown.retain(|activity| {
        after.is_none_or(|after| activity.id > after)
            && wanted.is_none_or(|phase| activity.phase == phase)
    });
    if shown.is_empty() && !knows_sales {
        return Err(Slug::Unavailable.into());
    }
    shown.sort_unstable_by_key(|activity| activity.id);
    let cursor = cut(&mut shown, limit, |last| last.id.to_string());
    let body = call.context.desk.bytes(|out| {
        page(out, &shown, cursor.as_deref(), |out, activity| activity.write(out));
    });
    let reply = Reply::json(StatusCode::OK, body);
    Ok(if with_drafts { reply.no_store() } else { reply.with(CACHE_CONTROL, ONE_SECOND) })
}

/// Drafts behind `after`, as far as one read of the store goes.
async fn drafts(call: &Call<'_>, after: Option<ActivityId>) -> Result<Vec<Shown>, Problem> {
    let rows = store::Page { after, limit: store::PAGE_ROWS_MAX };
    let rows =
        call.context.store(Effect::Read, |store| async move { store.activities(None, rows).await });
    let rows = rows.await?;
    let drafts = rows.iter().filter(|row| !row.published);
    Ok(drafts.map(|row| Shown::stored(call, row)).collect())
}

/// Whether the request comes from an operator; no token, or a bad one, is a visitor's.
fn is_operator(call: &Call<'_>) -> bool {
    call.caller().is_ok_and(|caller| caller.is_operator())
}

#[cfg(test)]
mod tests {
    use seckill_shards::ids::ProductId;

    use super::*;

    #[test]
    fn a_row_alone_has_a_phase() {
        let row = store::Activity {
            id: ActivityId(1),
            title: "A sale".to_owned(),
            product: ProductId(1),
            product_title: "A thing".to_owned(),
            sale_price: 1,
            list_price: 2,
            currency: *b"USD",
            stocked: 1,
            left: 0,
            per_user_limit: 1,
            pay_window_ms: 1_000,
            starts_at: Timestamp(10),
            ends_at: Timestamp(20),
            admission: false,
            published: true,
            paused: false,
            ended: false,
            closed: false,
            version: 1,
        };
        let phase = |row: store::Activity, now| phase_of_row(&row, Timestamp(now));
        assert_eq!(phase(store::Activity { published: false, ..row.clone() }, 15), "draft");
        assert_eq!(phase(row.clone(), 9), "scheduled");
        assert_eq!(phase(row.clone(), 10), "live");
        assert_eq!(phase(store::Activity { paused: true, ..row.clone() }, 15), "paused");
        assert_eq!(phase(row.clone(), 20), "ended");
        assert_eq!(phase(store::Activity { ended: true, ..row.clone() }, 15), "ended");
        assert_eq!(phase(store::Activity { closed: true, ..row }, 15), "closed");
    }
}

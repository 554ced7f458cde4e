//! Activities as operators plan and run them.

use http::StatusCode;
use seckill_shards::clock::Timestamp;
use seckill_shards::command::{Command, PhaseChange, Refusal, Verdict, Withdraw};
use seckill_shards::engine::Phase;
use seckill_shards::ids::{ActivityId, ProductId};
use seckill_shards::limits::{
    PAY_WINDOW_MS_MAX, PAY_WINDOW_MS_MIN, PER_USER_LIMIT_MAX, STOCKED_MAX, TITLE_BYTES_MAX,
};
use seckill_shards::record::NO_KEY;

use super::OperatorCall;
use super::trail::{Done, listed};
use crate::api::activities::Shown;
use crate::api::json::{Fields, Money};
use crate::api::limits::{COPIED_LOOK, COPIED_LOOKS, GATHERED_LOOK, GATHERED_LOOKS};
use crate::api::problem::{Effect, Problem, Slug, denied};
use crate::api::reply::Reply;
use crate::api::route::Step;
use crate::api::{Answer, Word, idempotency, looks, text};
use crate::store::{Activity, ActivityUpdate, Begun, NewActivity, Once};

/// `POST /api/v1/admin/activities`.
pub(super) async fn create(call: OperatorCall<'_>) -> Result<Done, Problem> {
    let mut fields = Fields::of(call.body)?;
    let title = fields.required("title", title);
    let product: ProductId = fields.required("product_id", Fields::id);
    let price = fields.required("sale_price", Fields::money);
    let stocked = fields.required("stock_total", stock_total);
    let per_user_limit = fields.required("per_user_limit", per_user_limit);
    let pay_window_ms = fields.required("pay_within_seconds", pay_within_seconds);
    let starts_at = fields.required("starts_at", Fields::instant);
    let ends_at = fields.required("ends_at", Fields::instant);
    let admission = fields.flag("admission").unwrap_or(false);
    fields.finish()?;
    let activity = NewActivity {
        title,
        product,
        sale_price: price.amount,
        stocked,
        per_user_limit,
        pay_window_ms,
        starts_at,
        ends_at,
        admission,
    };
    if ends_at <= starts_at {
        return Err(Problem::field("/ends_at", "must be after starts_at"));
    }
    expect_product(call, product, price).await?;
    let once = idempotency::once(call.inner, call.caller.user(), call.body)?;
    let row = call
        .context
        .store(Effect::Write, |store| async move { store.create_activity(activity, once).await });
    let row = row.await?.into_inner();
    let reply = Shown::stored(call.inner, &row).reply(call.inner, StatusCode::CREATED).no_store();
    let reply = reply.at(format!("/api/v1/activities/{}", row.id));
    let told = format!("sale_price {}, stock_total {stocked}", price.amount);
    Ok(Done::from(reply).made(row.id).told(told).once(once))
}

/// A sale is of a product that exists, in that product's currency.
async fn expect_product(
    call: OperatorCall<'_>,
    id: ProductId,
    price: Money,
) -> Result<(), Problem> {
    let product = call.context.store(Effect::Read, |store| async move { store.product(id).await });
    match product.await {
        Ok(product) if product.currency == price.currency => Ok(()),
        Ok(_) => Err(Problem::field("/sale_price/currency", "must be the product's currency")),
        Err(problem) if problem.slug == Slug::NotFound => {
            Err(Problem::field("/product_id", "there is no such product"))
        }
        Err(problem) => Err(problem),
    }
}

/// `PATCH /api/v1/admin/activities/{id}` with `If-Match`.
pub(super) async fn update(call: OperatorCall<'_>, id: ActivityId) -> Result<Done, Problem> {
    let version = call.required_version()?;
    let mut fields = Fields::of(call.body)?;
    let price = fields.money("sale_price");
    let update = ActivityUpdate {
        title: title(&mut fields, "title"),
        sale_price: price.map(|price| price.amount),
        stocked: stock_total(&mut fields, "stock_total"),
        per_user_limit: per_user_limit(&mut fields, "per_user_limit"),
        pay_window_ms: pay_within_seconds(&mut fields, "pay_within_seconds"),
        starts_at: fields.instant("starts_at"),
        ends_at: fields.instant("ends_at"),
        admission: fields.flag("admission"),
    };
    fields.finish()?;
    let before = call.context.store(Effect::Read, |store| async move { store.activity(id).await });
    let before = before.await?;
    expect_consistent(&before, &update, price)?;
    expect_forward(&before, &update, call.context.shared.now())?;
    let (told, forgotten) = (told(&update), call.context.shared.engine.forgotten());
    let row = call.context.store(Effect::Write, |store| async move {
        store.update_activity(id, version, update).await
    });
    changed(call, &row.await?, forgotten).await.map(|reply| Done::from(reply).told(told))
}

/// What of an activity changes: its title by name, the rest with its values.
fn told(update: &ActivityUpdate) -> String {
    let instant = |at: Timestamp| text::quoted_instant(at).replace('"', "");
    let pay_within_seconds = update.pay_window_ms.map(|ms| ms / 1_000);
    listed([
        update.title.is_some().then(|| "title".to_owned()),
        update.sale_price.map(|it| format!("sale_price {it}")),
        update.stocked.map(|it| format!("stock_total {it}")),
        update.per_user_limit.map(|it| format!("per_user_limit {it}")),
        pay_within_seconds.map(|it| format!("pay_within_seconds {it}")),
        update.starts_at.map(|it| format!("starts_at {}", instant(it))),
        update.ends_at.map(|it| format!("ends_at {}", instant(it))),
        update.admission.map(|it| format!("admission {it}")),
    ])
}

/// The phase of a published sale never goes back: what has begun has begun, what is over is over.
fn expect_forward(row: &Activity, update: &ActivityUpdate, now: Timestamp) -> Result<(), Problem> {
    if row.published && now >= row.ends_at {
        return Err(Problem::new(Slug::Ended, "The sale is over."));
    }
    let starts_again = update.starts_at.is_some_and(|at| at != row.starts_at);
    if row.published && now >= row.starts_at && starts_again {
        return Err(Problem::field("/starts_at", "the sale has begun"));
    }
    Ok(())
}

/// What a change leaves must make sense together with what it does not touch.
fn expect_consistent(
    row: &Activity,
    update: &ActivityUpdate,
    price: Option<Money>,
) -> Result<(), Problem> {
    let starts_at = update.starts_at.unwrap_or(row.starts_at);
    if update.ends_at.unwrap_or(row.ends_at) <= starts_at {
        return Err(Problem::field("/ends_at", "must be after starts_at"));
    }
    if price.is_some_and(|price| price.currency != row.currency) {
        return Err(Problem::field("/sale_price/currency", "must be the product's currency"));
    }
    Ok(())
}

/// `POST /api/v1/admin/activities/{id}/{step}`.
pub(super) async fn step(
    call: OperatorCall<'_>,
    id: ActivityId,
    step: Step,
) -> Result<Done, Problem> {
    match step {
        Step::Publish => publish(call, id).await.map(Done::from),
        Step::Pause => change_phase(call, id, PhaseChange::Pause).await.map(Done::from),
        Step::Resume => change_phase(call, id, PhaseChange::Resume).await.map(Done::from),
        Step::End => change_phase(call, id, PhaseChange::End).await.map(Done::from),
        Step::Restock => restock(call, id).await,
        Step::Withdraw => withdraw(call, id).await,
    }
}

async fn publish(call: OperatorCall<'_>, id: ActivityId) -> Answer {
    call.expect_no_fields()?;
    let version = call.version()?;
    let engine = &call.context.shared.engine;
    // Before its units leave the product: they would wait with it until another sale is closed.
    if engine.activity(id).is_none() && !engine.has_room() {
        return Err(Problem::new(Slug::Overloaded, "There is no room for another open sale."));
    }
    let forgotten = engine.forgotten();
    let row =
        call.context.store(Effect::Write, |store| async move { store.publish(id, version).await });
    changed(call, &row.await?, forgotten).await
}

async fn restock(call: OperatorCall<'_>, id: ActivityId) -> Result<Done, Problem> {
    let quantity = quantity(call)?;
    let once = idempotency::once(call.inner, call.caller.user(), call.body)?;
    let now = call.context.shared.now();
    let known = call.context.shared.engine.activity(id);
    if known.is_some_and(|it| matches!(it.phase(now), Phase::Ended | Phase::Closed)) {
        // Its units may be on their way back already.
        return Err(Problem::new(Slug::Ended, "The sale is over."));
    }
    let forgotten = call.context.shared.engine.forgotten();
    let row = call
        .context
        .store(Effect::Write, |store| async move { store.restock(id, quantity, once).await });
    let reply = changed(call, &row.await?.into_inner(), forgotten).await?;
    Ok(moved(reply, quantity, once))
}

fn moved(reply: Reply, quantity: u32, once: Option<Once>) -> Done {
    Done::from(reply).told(format!("quantity {quantity}")).once(once)
}

/// Answers with a row that has changed, once the engine has its copy where it sells by it;
/// `forgotten` is what the engine had forgotten before the row was read.
async fn changed(call: OperatorCall<'_>, row: &Activity, forgotten: u64) -> Answer {
    if row.is_copied() {
        // The store has it and the engine will, but this gateway does not sell by it yet.
        if !is_copied(call, row, forgotten).await {
            return Err(Slug::OutcomeUnknown.into());
        }
        call.context.republish().await;
    }
    Ok(Shown::stored(call.inner, row).reply(call.inner, StatusCode::OK).no_store())
}

/// Whether the engine sells by a row, or by a newer one. It takes one copy of a sale at a time: where
/// another operator's, or the news of the store, is on its way to the disk, this one comes again.
async fn is_copied(call: OperatorCall<'_>, row: &Activity, forgotten: u64) -> bool {
    let mut look = looks(COPIED_LOOK);
    for _ in 0..COPIED_LOOKS {
        look.tick().await;
        let copy = Box::new(row.publication(call.context.shared.now()));
        match ask(call, row.id, Command::Publish { row: copy, forgotten }).await {
            Verdict::ActivityChanged | Verdict::Refused(Refusal::Stale) => return true,
            Verdict::Refused(Refusal::Overloaded) => {}
            _ => return false,
        }
    }
    false
}

/// Pause, resume and end act at once, with the store away as well: the other gateways are told, and the
/// flush carries them there.
async fn change_phase(call: OperatorCall<'_>, id: ActivityId, change: PhaseChange) -> Answer {
    call.expect_no_fields()?;
    let verdict = ask(call, id, Command::ChangePhase { activity: id, change }).await;
    if verdict == Verdict::ActivityChanged {
        call.context.tell(Word::Phase(id, change)).await;
    }
    shown_after(call, id, verdict).await
}

/// Only the journal knows what is unsold, so it moves the units, and remembers the key beside them.
async fn withdraw(call: OperatorCall<'_>, id: ActivityId) -> Result<Done, Problem> {
    let quantity = quantity(call)?;
    let once = idempotency::once(call.inner, call.caller.user(), call.body)?;
    let (key, body) = once.map_or((NO_KEY, NO_KEY), |once| (once.key, once.body));
    let withdraw = Withdraw { activity: id, quantity, key, body };
    let sale = call.context.shared.engine.activity(id);
    if sale.is_none_or(|sale| sale.sale().lease.is_none()) {
        let verdict = ask(call, id, Command::Withdraw(withdraw)).await;
        return Ok(moved(shown_after(call, id, verdict).await?, quantity, once));
    }
    let was_made = match once {
        Some(once) => was_made(call, once).await?,
        None => false,
    };
    let verdict = match was_made {
        true => Verdict::ActivityChanged,
        false => gather(call, withdraw).await,
    };
    Ok(moved(shown_after(call, id, verdict).await?, quantity, once))
}

/// Whether a withdrawal was made by a gateway that was retired. A journal remembers its own gateway's
/// keys alone, so the one that meets a key first has it, and no other withdraws anything by it; but
/// of one that is retired nothing more comes, and the store knows what has.
async fn was_made(call: OperatorCall<'_>, once: Once) -> Result<bool, Problem> {
    let own = call.context.shared.engine.origin().gateway;
    let begun =
        call.context.store(Effect::Write, |store| async move { store.begin(once, own).await });
    match begun.await? {
        Begun::Here => Ok(false),
        Begun::Done => Ok(true),
        Begun::By(gateway) => {
            let detail = format!(
                "Gateway {gateway} has begun this withdrawal, and may have made it: \
                 until it is retired only there the same key says what came of it."
            );
            Err(Problem::new(Slug::Unavailable, detail))
        }
        Begun::Unknown(gateway) => {
            let detail = format!(
                "Gateway {gateway} had begun this withdrawal, and was retired; nobody knows \
                 whether it was made. See what the sale has, and withdraw the rest by another key."
            );
            Err(Problem::new(Slug::Conflict, detail))
        }
    }
}

/// Withdraws from what this gateway was lent. Where that is too little it asks for more, as for a
/// shopper, and waits a moment for what the others give back.
async fn gather(call: OperatorCall<'_>, withdraw: Withdraw) -> Verdict {
    let mut look = looks(GATHERED_LOOK);
    for _ in 0..GATHERED_LOOKS {
        look.tick().await;
        let verdict = ask(call, withdraw.activity, Command::Withdraw(withdraw)).await;
        let is_short = matches!(
            verdict,
            Verdict::Refused(Refusal::InsufficientStock { .. } | Refusal::SoldOut { .. })
        );
        if !is_short {
            return verdict;
        }
    }
    ask(call, withdraw.activity, Command::Withdraw(withdraw)).await
}

async fn shown_after(call: OperatorCall<'_>, id: ActivityId, verdict: Verdict) -> Answer {
    if verdict != Verdict::ActivityChanged {
        return Err(denied(&verdict, call.context.shared.now()));
    }
    call.context.republish().await;
    shown(call, id)
}

async fn ask(call: OperatorCall<'_>, id: ActivityId, command: Command) -> Verdict {
    call.context.ask_activity(id, command).await
}

fn shown(call: OperatorCall<'_>, id: ActivityId) -> Answer {
    let activity = call.context.shared.find_activity(id)?;
    let shown = Shown::in_memory(&activity, call.context.shared.now());
    Ok(shown.reply(call.inner, StatusCode::OK).no_store())
}

fn quantity(call: OperatorCall<'_>) -> Result<u32, Problem> {
    let mut fields = Fields::of(call.body)?;
    let quantity =
        fields.required_by("quantity", |fields| fields.count("quantity", 1..=STOCKED_MAX));
    fields.finish()?;
    Ok(quantity)
}

fn title(fields: &mut Fields, name: &str) -> Option<String> {
    fields.text(name, 1..=TITLE_BYTES_MAX)
}

fn stock_total(fields: &mut Fields, name: &str) -> Option<u32> {
    fields.count(name, 1..=STOCKED_MAX)
}

fn per_user_limit(fields: &mut Fields, name: &str) -> Option<u32> {
    fields.count(name, 1..=PER_USER_LIMIT_MAX)
}

/// Read in seconds, kept in milliseconds.
fn pay_within_seconds(fields: &mut Fields, name: &str) -> Option<u64> {
    const RANGE: [u64; 2] = [PAY_WINDOW_MS_MIN / 1_000, PAY_WINDOW_MS_MAX / 1_000];
    let [least, most] = RANGE.map(|seconds| i64::try_from(seconds).expect("a few days"));
    let seconds = fields.number(name, least..=most)?;
    u64::try_from(seconds).ok().map(|seconds| seconds * 1_000)
}

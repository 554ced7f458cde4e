//! The audit of an activity, made by the control side.

use std::sync::Arc;

use http::StatusCode;
use seckill_shards::ids::ActivityId;
use tokio::time::timeout;

use super::OperatorCall;
use crate::api::limits::AUDIT;
use crate::api::problem::{Problem, Slug};
use crate::api::reply::Reply;
use crate::api::{Answer, Came};
use crate::log::causes;
use crate::peers::Vouched;

/// `GET /api/v1/admin/audit/{activity_id}`.
pub(super) async fn show(call: OperatorCall<'_>, id: ActivityId) -> Answer {
    let shared = &call.context.shared;
    let control = Arc::clone(&shared.control);
    // Who is asked by another gateway answers for itself alone.
    let is_asked = call.inner.came == Came::ToShoppers;
    let asks = Vouched { user: call.caller.user(), roles: call.caller.claims.roles };
    let asks = is_asked.then_some(asks);
    let audit = shared.runtime.spawn(timeout(AUDIT, async move { control.audit(id, asks).await }));
    match audit.await {
        Ok(Ok(Ok(Some(json)))) => Ok(Reply::json(StatusCode::OK, json.into()).no_store()),
        Ok(Ok(Ok(None))) => {
            let detail = "There is no such sale, or it was closed so long ago that the journal has \
                          forgotten it.";
            Err(Problem::new(Slug::NotFound, detail))
        }
        Ok(Ok(Err(error))) => {
            tracing::warn!(error = %causes(error.as_ref()), activity = id.0, "an audit could not compare");
            Err(Slug::Unavailable.into())
        }
        Ok(Err(_)) | Err(_) => Err(Slug::Unavailable.into()),
    }
}

//! Registering: the store is asked whether this is the journal that it follows, and from where to
//! flush. A store that is away is asked until it answers; until then nothing is flushed, and the
//! journal keeps everything.

use std::sync::atomic::Ordering;
use std::time::Duration;

use seckill_shards::ids::ActivityId;
use tokio::runtime::Handle;

use super::Control;
use super::markers::Marker;
use crate::log::causes;
use crate::store::sift::Subject;
use crate::store::{Fault, JournalFound, OutOfStep, Refusal, StoreError};

/// Rest before a store that is away is asked again.
const REST: Duration = Duration::from_millis(500);

/// Why a gateway is not registered.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// What the store says: that it is away, or that the journal is another.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store is behind what the journal has taken from it.
    #[error(
        "the store lacks what the journal has copied of activity {0}: an older copy of the store was \
         restored, or it is another store"
    )]
    Lacks(ActivityId),
}

impl RegisterError {
    /// Whether it may go well later.
    #[must_use]
    pub fn is_away(&self) -> bool {
        match self {
            Self::Store(error) => error.is_away(),
            Self::Lacks(_) => false,
        }
    }

    /// Whether a gateway that sells already goes on beside it: a server that has come back may not let it in
    /// yet, or have another database in the place of its own.
    pub(super) fn may_pass(&self) -> bool {
        self.is_away() || matches!(self, Self::Store(StoreError::Fault(Fault::Unusable(_))))
    }
}

impl Control {
    /// Registers this gateway's journal with the store.
    ///
    /// # Errors
    /// [`RegisterError`]; the gateway must not run on unless the store is away.
    pub async fn register(&self) -> Result<(), RegisterError> {
        let (recovery, origin) = (self.engine.recovery(), self.engine.origin());
        let found = JournalFound {
            gateway: origin.gateway,
            journal_id: self.engine.journal_id(),
            epoch: origin.epoch,
            begin: recovery.begin,
            end: recovery.position,
        };
        let flushed = self.store.register(found).await.inspect_err(|error| {
            if matches!(error, StoreError::OutOfStep(OutOfStep::Retired { .. })) {
                self.note_retired();
            }
        })?;
        for activity in self.engine.activities().values() {
            let known = activity.sale().version;
            let row = match self.store.activity(activity.id).await {
                Ok(row) => Some(row),
                Err(StoreError::Refused(Refusal::NotFound)) => None,
                Err(error) => return Err(error.into()),
            };
            if row.is_none_or(|row| row.version < known) {
                return Err(RegisterError::Lacks(activity.id));
            }
        }
        if let Some(settling) = &self.settling {
            let aside = self.store.all_set_aside(origin.gateway).await?;
            settling.put_aside(aside.iter().filter_map(|it| Subject::order_named(&it.subject)));
        }
        // The store follows this journal, so nobody else speaks for this gateway.
        if !self.is_adopted()
            && let Err(error) = Marker::Leaving.unset(&self.journal)
        {
            let error = causes(&error);
            tracing::warn!(%error, "a start with the store away will wait for it");
        }
        self.engine.set_flushed(flushed);
        self.registered.store(true, Ordering::Release);
        Ok(())
    }

    /// Whether the store has said so.
    pub(super) fn is_registered(&self) -> bool {
        // Acquire, paired with the store above: where to flush from was set before.
        self.registered.load(Ordering::Acquire)
    }

    /// Asks a store that was away at the start until it answers; false where the gateway goes down
    /// before. Where the journal is not the one, the gateway must stop.
    pub(super) fn registers(&self, runtime: &Handle) -> bool {
        while !self.is_registered() {
            match runtime.block_on(self.register()) {
                Ok(()) => tracing::info!("the store is there, and follows this journal"),
                Err(error) if error.may_pass() && !self.is_last() => {
                    // Somebody has to mend it, and sees it; that the store is away was told at the start.
                    if !error.is_away() {
                        self.flush_fault(&error, "the store cannot be used");
                    }
                    std::thread::sleep(REST);
                }
                Err(error) if error.may_pass() => return false,
                Err(error) => {
                    self.give_up(&error);
                    return false;
                }
            }
        }
        true
    }
}

//! The thread of an adopted gateway's shard: its tasks and its time, without sockets.
//!
//! It must not know what the shard is asked.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use seckill_shards::shard::Shard;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::Notify;
use tokio::task::{spawn_local, yield_now};
use tokio::time::{MissedTickBehavior, interval};

use crate::api::{Owners, Shards};

/// How often the shard's timing wheel is moved.
const TICK: Duration = Duration::from_millis(10);

/// The running thread.
#[derive(Debug)]
pub(super) struct Core {
    ends: Arc<Notify>,
    thread: JoinHandle<io::Result<()>>,
}

impl Core {
    /// Starts it.
    ///
    /// # Errors
    /// What the operating system says of a thread.
    pub(super) fn start(shard: Shard, owners: Owners) -> io::Result<Self> {
        let ends = Arc::new(Notify::new());
        let ended = Arc::clone(&ends);
        let thread = std::thread::Builder::new().name("adopted".to_owned());
        let thread = thread.spawn(move || run(shard, owners, &ended))?;
        Ok(Self { ends, thread })
    }

    /// Ends it. Who asks the shard from then on hears that the outcome is unknown.
    pub(super) fn end(self) {
        self.ends.notify_one();
        if self.thread.join().is_err() {
            std::process::abort();
        }
    }
}

fn run(shard: Shard, owners: Owners, ended: &Notify) -> io::Result<()> {
    let runtime =
        Builder::new_current_thread().enable_time().build_local(LocalOptions::default())?;
    runtime.block_on(async {
        let shards = Rc::new(Shards::new(shard, owners));
        drop(spawn_local(Rc::clone(&shards).follow_journal()));
        drop(spawn_local(Rc::clone(&shards).submit_turns()));
        drop(spawn_local(Rc::clone(&shards).serve_hops()));
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => while shards.tick() { yield_now().await },
                () = ended.notified() => return,
            }
        }
    });
    Ok(())
}

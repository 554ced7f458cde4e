//! The engine's own threads: the journal's writer and its keeper.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{KeepError, Keeper};
use crate::journal::{JournalStatus, JournalWriter, Written};

/// How long the keeper rests when there is nothing to do.
const KEEPER_REST: Duration = Duration::from_millis(20);
/// How long it rests after a fault, before it tries again.
const KEEPER_REST_AFTER_FAULT: Duration = Duration::from_millis(500);

/// The running threads; dropping this stops them after what was handed over is written.
#[derive(Debug)]
pub struct Threads {
    stop: Arc<AtomicBool>,
    status: Arc<JournalStatus>,
    journal: Option<JoinHandle<()>>,
    keeper: Option<JoinHandle<()>>,
}

impl Threads {
    /// Starts the writer and the keeper. `place` is called first on the writer's thread, to give it
    /// a CPU; `on_fault` hears of the keeper's faults.
    ///
    /// # Errors
    /// What the operating system says of a thread.
    pub fn start(
        writer: JournalWriter,
        keeper: Keeper,
        place: impl FnOnce() + Send + 'static,
        on_fault: impl Fn(&KeepError) + Send + 'static,
    ) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let status = Arc::clone(writer.status());
        let stops = Arc::clone(&stop);
        let journal = std::thread::Builder::new().name("journal".to_owned()).spawn(move || {
            place();
            write_groups(writer, &stops);
        })?;
        let stops = Arc::clone(&stop);
        let keeper = std::thread::Builder::new()
            .name("keeper".to_owned())
            .spawn(move || keep(keeper, &stops, &on_fault))?;
        Ok(Self { stop, status, journal: Some(journal), keeper: Some(keeper) })
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // SeqCst: seen by the journal thread when `notify` wakes it.
        self.stop.store(true, Ordering::SeqCst);
        self.status.notify();
        for thread in [self.journal.take(), self.keeper.take()].into_iter().flatten() {
            thread.thread().unpark();
            if thread.join().is_err() {
                std::process::abort();
            }
        }
    }
}

fn write_groups(mut writer: JournalWriter, stop: &AtomicBool) {
    let _abort = AbortOnPanic;
    let status = Arc::clone(writer.status());
    status.adopt_thread();
    loop {
        match writer.write_group() {
            Written::Group => {}
            _ if stop.load(Ordering::SeqCst) => return,
            Written::Nothing => status.sleep(|| stop.load(Ordering::SeqCst) || writer.has_work()),
            Written::NoRoom => std::thread::park_timeout(KEEPER_REST),
            // What is under way stays so for good: there is nothing to wake up for but the end.
            Written::Latched => status.sleep(|| stop.load(Ordering::SeqCst)),
        }
    }
}

fn keep(mut keeper: Keeper, stop: &AtomicBool, on_fault: &dyn Fn(&KeepError)) {
    let _abort = AbortOnPanic;
    while !stop.load(Ordering::SeqCst) {
        match keeper.step() {
            Ok(true) => {}
            Ok(false) => std::thread::park_timeout(KEEPER_REST),
            Err(error) => {
                on_fault(&error);
                std::thread::park_timeout(KEEPER_REST_AFTER_FAULT);
            }
        }
    }
}

/// While it lives, a panic ends the process, which recovers from its journal: a broken invariant of
/// the engine must not be caught and forgotten.
#[derive(Debug)]
pub struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::process::abort();
        }
    }
}

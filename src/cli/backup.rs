//! `seckill backup` and `seckill restore`: a data directory, copied whole beside the gateway that
//! runs on it, and put back.
//!
//! A copy is read before it is called one. The store is copied first, so no journal is behind it; where
//! a checkpoint was made between, all is copied again. The journals of adopted gateways come last: units
//! go from them to the own one and never back, so none that moved meanwhile is in both.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use seckill_shards::disk::MachineDisk;
use seckill_shards::engine::read_fold;
use seckill_shards::ids::Origin;
use seckill_shards::journal::copy_journal;

use super::{Place, Unusable, note, open_store, remove_if_there, runtime, say};
use crate::config::{Config, KEPT_SECRETS, StorePlace};
use crate::control::adopted_journals;
use crate::store::{
    Deed, GatewayRow, JournalFound, JournalPosition, OutOfStep, Store, resume, sqlite,
};

/// Times that the files of a running gateway are copied again after they changed meanwhile.
const COPIES_MAX: usize = 5;
const STORE: &str = "store.db";
/// Lines of text with what is in a backup, one for each journal, the own one first.
const LABEL: &str = "backup";
const DATA: &str = "the data directory";
/// What helps where the store has more than a backup.
const NEWEST: &str = "start on the newest copy of the data directory";

/// Where the journals are in a data directory or a backup, and where they are until all are known to be
/// whole: what was given up half-way is no backup, and no start goes on from it.
const JOURNAL: [&str; 2] = ["journal", "journal.making"];
const ADOPTED: [&str; 2] = ["adopted", "adopted.making"];

/// A gateway's journal in a data directory or a backup.
struct Journal {
    origin: Origin,
    disk: MachineDisk,
    /// Where it is copied to, in another folder.
    half: PathBuf,
}

pub(super) fn backup(place: &Place, out: &Path) -> anyhow::Result<ExitCode> {
    let config = place.config()?;
    // Nothing is written where there is nothing to copy.
    drop(journals(&config, &config.data, DATA)?);
    must_be_empty(out)?;
    let lines = lines(&config, &copy_all(&config, out)?);
    for name in KEPT_SECRETS {
        copy_file(&config.data.join(name), &out.join(name))?;
    }
    fs::write(out.join(LABEL), lines.join("\n"))?;
    finish(out)?;
    for line in &lines {
        say(&format!("backup: {line}"))?;
    }
    if let StorePlace::SqlServer(_) = config.store {
        say("the store is not in it: a database of SQL Server has backups of its own")?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn restore(place: &Place, from: &Path) -> anyhow::Result<ExitCode> {
    let config = place.config()?;
    let journals = journals(&config, from, "the backup")?;
    let found: anyhow::Result<Vec<_>> = journals.iter().map(|it| it.read(&it.disk)).collect();
    let found = found?;
    let lines = lines(&config, &found);
    must_be_as_it_was(&fs::read_to_string(from.join(LABEL)).unwrap_or_default(), &lines)?;
    must_be_empty(&config.data)?;
    let store_stays = has_store(&config);
    if store_stays {
        let store = open_store(&config)?;
        runtime()?.block_on(must_be_followed(&*store, config.gateway_id, &found))?;
    }
    for journal in &journals {
        journal.copy_into(&config.data)?;
    }
    match &config.store {
        StorePlace::Sqlite(path) if !store_stays => copy_file(&from.join(STORE), path)?,
        StorePlace::Sqlite(_) | StorePlace::SqlServer(_) => {}
    }
    for name in KEPT_SECRETS {
        copy_file(&from.join(name), &config.data.join(name))?;
    }
    finish(&config.data)?;
    for line in &lines {
        say(&format!("restored: {line}"))?;
    }
    note_restored(&config, lines.into_iter().next().unwrap_or_default())?;
    if store_stays {
        say("the store that is there stays as it is")?;
    }
    if config.redis_url.is_some() {
        say(
            "Redis and the other gateways remember what came behind that position: where they do, \
             `seckill serve` stops and says so, and only a newer copy helps",
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

/// In the store that was restored, or that was there all the time.
fn note_restored(config: &Config, own: String) -> anyhow::Result<()> {
    let store = open_store(config)?;
    let deed = Deed::new("restored", "gateway", Some(config.gateway_id.into()));
    runtime()?.block_on(note(&*store, deed, own));
    Ok(())
}

/// All journals in a folder, the gateway's own first.
fn journals(config: &Config, folder: &Path, of: &str) -> anyhow::Result<Vec<Journal>> {
    let ([own, own_half], [adopted, adopted_half]) = (JOURNAL, ADOPTED);
    let disk = MachineDisk::open_beside(&folder.join(own))
        .map_err(|_| Unusable(format!("there is no journal in {of}")))?;
    let origin = Origin { gateway: config.gateway_id, epoch: 0 };
    let mut all = vec![Journal { origin, disk, half: own_half.into() }];
    for (origin, journal) in adopted_journals(&folder.join(adopted))? {
        let name = journal.file_name().expect("it was listed by its name");
        let half = Path::new(adopted_half).join(name);
        all.push(Journal { origin, disk: MachineDisk::open_beside(&journal)?, half });
    }
    Ok(all)
}

impl Journal {
    /// Copies it into a folder, and reads the copy; what is there.
    fn copy_into(&self, folder: &Path) -> anyhow::Result<JournalFound> {
        let copy = MachineDisk::open_locked(&folder.join(&self.half))?;
        copy_journal(&self.disk, &copy).with_context(|| self.name())?;
        self.read(&copy)
    }

    /// Reads it, or a copy of it.
    fn read(&self, disk: &MachineDisk) -> anyhow::Result<JournalFound> {
        let Origin { gateway, epoch } = self.origin;
        let (found, _) = read_fold(disk, None).with_context(|| self.name())?;
        let none = || Unusable(format!("{}: there is nothing in it", self.name()));
        let journal_id = found.journal.ok_or_else(none)?;
        let (begin, end) = (found.checkpoint_position, found.position);
        Ok(JournalFound { gateway, journal_id, epoch, begin, end })
    }

    fn name(&self) -> String {
        format!("the journal of gateway {}", self.origin.gateway)
    }
}

fn must_be_empty(folder: &Path) -> anyhow::Result<()> {
    let shown = folder.display();
    fs::create_dir_all(folder).with_context(|| format!("{shown} cannot be made"))?;
    match fs::read_dir(folder)?.next() {
        None => Ok(()),
        Some(_) => Err(Unusable(format!("{shown} is not empty")).into()),
    }
}

/// Copies the embedded store, then the journals, until these fit it.
fn copy_all(config: &Config, out: &Path) -> anyhow::Result<Vec<JournalFound>> {
    let mut tries = 1;
    loop {
        match copy_once(config, out) {
            Err(error) if tries < COPIES_MAX && !error.is::<Unusable>() => tries += 1,
            done => return done,
        }
        for [_, half] in [ADOPTED, JOURNAL] {
            let half = out.join(half);
            if half.exists() {
                fs::remove_dir_all(half)?;
            }
        }
    }
}

fn copy_once(config: &Config, out: &Path) -> anyhow::Result<Vec<JournalFound>> {
    let followed = copy_store(config, out)?;
    // Looked for behind the store: whom it knows to be adopted is there.
    let journals = journals(config, &config.data, DATA)?;
    let found: anyhow::Result<Vec<_>> = journals.iter().map(|it| it.copy_into(out)).collect();
    let found = found?;
    if let Some(followed) = followed {
        found.iter().try_for_each(|it| must_fit(it, &followed))?;
    }
    Ok(found)
}

/// Copies the store, where it is embedded; how far the copy has followed each gateway.
fn copy_store(config: &Config, out: &Path) -> anyhow::Result<Option<Vec<(u16, JournalPosition)>>> {
    let StorePlace::Sqlite(path) = &config.store else { return Ok(None) };
    let copy = out.join(STORE);
    remove_if_there(&copy)?;
    Ok(Some(sqlite::copy(path, &copy).map_err(|error| Unusable::from(&error))?))
}

/// The store's copy must be one that a start on this journal takes.
fn must_fit(found: &JournalFound, followed: &[(u16, JournalPosition)]) -> anyhow::Result<()> {
    let JournalFound { gateway, epoch, begin, end, .. } = *found;
    let stored = followed.iter().find(|(number, _)| *number == gateway).map(|(_, it)| *it);
    // An adopted gateway's journal begins with what the store had once it was retired.
    let is_before = stored.is_some_and(|it| it.epoch < epoch);
    anyhow::ensure!(!is_before, "gateway {gateway} was adopted while the store was copied");
    match resume(found, stored) {
        Ok(_) => Ok(()),
        Err(OutOfStep::BeforeBegin { stored, .. }) => anyhow::bail!(
            "the journal of gateway {gateway} moves faster than it can be copied: it is from position \
             {begin} to {end}, and the store stands at {stored}"
        ),
        Err(error) => Err(Unusable::from(&error).into()),
    }
}

/// A backup must have what it had when it was made.
fn must_be_as_it_was(label: &str, lines: &[String]) -> Result<(), Unusable> {
    if label == lines.join("\n") {
        return Ok(());
    }
    let had = label.lines().find(|had| !lines.iter().any(|has| has == had));
    let has = lines.iter().find(|has| !label.lines().any(|had| had == *has));
    let none = "no such journal";
    let (had, has) = (had.unwrap_or(none), has.map_or(none, String::as_str));
    Err(Unusable(format!("the backup is damaged: it had {had}, and it has {has}")))
}

/// Whether the store is there already: that of a gateway of several, or a database of SQL Server.
fn has_store(config: &Config) -> bool {
    match &config.store {
        StorePlace::Sqlite(path) => path.exists(),
        StorePlace::SqlServer(_) => true,
    }
}

/// A store that is not in the backup may have gone on behind it.
async fn must_be_followed(
    store: &dyn Store,
    own: u16,
    found: &[JournalFound],
) -> Result<(), Unusable> {
    must_have_adopted(store, own, found).await?;
    for it in found {
        let stored = store.position(it.gateway).await.map_err(|error| Unusable::from(&error))?;
        if stored.is_none() {
            return Err(Unusable(format!(
                "the store that is there knows nothing of gateway {}: it is not the one of this backup; put \
                 that one in its place, or move this one away where the backup has it",
                it.gateway
            )));
        }
        match resume(it, stored) {
            Ok(_) => {}
            Err(OutOfStep::BeyondEnd { stored, end }) => {
                return Err(Unusable(format!(
                    "the store has followed gateway {} to position {stored}, and this backup ends at \
                     {end}: a start on it would be refused, and orders since then would be lost; {NEWEST}",
                    it.gateway
                )));
            }
            Err(error) => return Err(Unusable::from(&error)),
        }
    }
    Ok(())
}

/// Whom the gateway has adopted, and begun a journal of, must be among what was found.
async fn must_have_adopted(
    store: &dyn Store,
    own: u16,
    found: &[JournalFound],
) -> Result<(), Unusable> {
    let rows = store.announce(None).await.map_err(|error| Unusable::from(&error))?;
    let is_its = |row: &&GatewayRow| row.retired.is_some_and(|it| it.adopter == own);
    for GatewayRow { number, epoch, .. } in rows.iter().filter(is_its) {
        let stored = store.position(*number).await.map_err(|error| Unusable::from(&error))?;
        let is_begun = stored.is_some_and(|it| it.is_followed() && it.epoch == *epoch);
        if is_begun && !found.iter().any(|it| (it.gateway, it.epoch) == (*number, *epoch)) {
            return Err(Unusable(format!(
                "gateway {own} has adopted gateway {number}, and this backup has no journal of it (it was \
                 adopted later, or its folder was moved away): a start on it could not go on with the \
                 orders of gateway {number}; {NEWEST}"
            )));
        }
    }
    Ok(())
}

/// Copies a file where it is there, durably and for its owner alone.
fn copy_file(from: &Path, to: &Path) -> anyhow::Result<()> {
    if !from.exists() {
        return Ok(());
    }
    if to.exists() {
        return Err(Unusable(format!("{} is there already", to.display())).into());
    }
    fs::copy(from, to).with_context(|| format!("{} cannot be copied", from.display()))?;
    Ok(File::open(to)?.sync_all()?)
}

/// Gives the journals their names, the own one's last: what is there is whole.
fn finish(folder: &Path) -> io::Result<()> {
    for [name, half] in [ADOPTED, JOURNAL] {
        let half = folder.join(half);
        if half.exists() {
            File::open(&half)?.sync_all()?;
            fs::rename(half, folder.join(name))?;
        }
    }
    File::open(folder)?.sync_all()
}

/// What is told of journals, each in a line.
fn lines(config: &Config, found: &[JournalFound]) -> Vec<String> {
    let line = |it: &JournalFound| {
        let JournalFound { gateway, journal_id, begin, end, .. } = it;
        let id: String = journal_id.iter().map(|byte| format!("{byte:02x}")).collect();
        let is_own = *gateway == config.gateway_id;
        let of = if is_own { String::new() } else { format!("adopted gateway {gateway}: ") };
        format!("{of}journal {id} from position {begin} to {end}")
    };
    found.iter().map(line).collect()
}

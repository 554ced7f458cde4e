//! An adopter's data: backed up with whom it has adopted, put back, and damaged.

use std::fs;
use std::path::{Path, PathBuf};

use seckill_loadtest::client::Client;
use seckill_loadtest::gateway::{Ended, Scratch, copy};
use seckill_loadtest::order::Status;
use seckill_loadtest::patience::{GENEROUS, until};
use seckill_loadtest::shop::Sale;

use crate::fleet::{Fleet, SERVE, START, await_status, buy};
use crate::retiring::{
    ADOPTER, LOST, OTHER, audit, await_adoption, await_adoption_by, pay, payable, retire, tell_paid,
};

/// The folder of the lost one's journal, among those of the adopted.
const JOURNAL: &str = "adopted/1-1";

/// Changes a byte of the checkpoint of a journal: its file, and what was in it.
fn damage(journal: &Path) -> (PathBuf, Vec<u8>) {
    let mut files = fs::read_dir(journal).unwrap().map(|entry| entry.unwrap().path());
    let file = files.find(|file| file.extension().is_some_and(|it| it == "checkpoint")).unwrap();
    let whole = fs::read(&file).unwrap();
    let mut bytes = whole.clone();
    bytes[600] ^= 1;
    fs::write(&file, bytes).unwrap();
    (file, whole)
}

/// Runs `backup` or `restore` on the adopter's data.
fn run(fleet: &Fleet, [command, option]: [&str; 2], folder: &Path) -> Ended {
    fleet.gateways[ADOPTER].run(&[command, option, folder.to_str().unwrap()])
}

fn back_up(fleet: &Fleet, out: &Path) -> Ended {
    run(fleet, ["backup", "--out"], out)
}

fn restore(fleet: &Fleet, from: &Path) -> Ended {
    run(fleet, ["restore", "--from"], from)
}

fn lose(fleet: &mut Fleet) {
    fleet.gateways[LOST].kill();
    fs::remove_dir_all(fleet.gateways[LOST].data()).unwrap();
    drop(retire(fleet, &["--machine-is-off"]).expect(0));
    await_adoption(fleet);
}

fn cancel(client: &mut Client, order: &str) {
    let cancelled = until("its gateway is there", GENEROUS, || {
        let answer = client.delete(&format!("/api/v1/orders/{order}"));
        (answer.status != 503).then_some(answer)
    });
    drop(cancelled.expect(204));
}

/// A backup that left them out was restored well, and nobody could reach those orders any more.
#[test]
fn an_adopters_backup_has_whom_it_has_adopted() {
    let mut fleet = Fleet::start(2);
    let activity = fleet.sale(Sale { limit: 2, ..Sale::of(200) });
    let tokens = fleet.tokens("buyer", 2);
    let place = |token: &String| payable(&mut fleet.clients(token), &activity, "here");
    let orders: Vec<String> = tokens.iter().map(place).collect();
    let mut crowd = fleet.shoppers("crowd", 60);
    let scratch = Scratch::new();
    let [early, late, lost] = ["early", "late", "lost"].map(|name| scratch.path().join(name));
    let told = back_up(&fleet, &early).expect(0);
    assert!(!told.contains("adopted"), "{told}");
    lose(&mut fleet);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for shopper in &mut crowd {
                // What comes of it, and whether it is in the backup, is open.
                drop(buy(&mut shopper[ADOPTER], &activity, "meanwhile"));
            }
        });
        let told = back_up(&fleet, &late).expect(0);
        assert!(told.contains("backup: adopted gateway 1: journal "), "{told}");
    });

    // Its data is gone, and the store is there yet.
    fleet.gateways[ADOPTER].kill();
    fs::rename(fleet.gateways[ADOPTER].data(), &lost).unwrap();
    restore(&fleet, &early).refused("has adopted gateway 1, and this backup has no journal of it");
    let [journal, away] = [late.join(JOURNAL), scratch.path().join("away")];
    fs::rename(&journal, &away).unwrap();
    restore(&fleet, &late).refused("the backup is damaged: it had adopted gateway 1: journal ");
    fs::rename(&away, &journal).unwrap();
    let (file, whole) = damage(&journal);
    let ended = restore(&fleet, &late);
    assert_ne!(ended.code, Some(0), "{}", ended.stdout);
    assert!(ended.stderr.contains("the journal of gateway 1: "), "{}", ended.stderr);
    fs::write(file, whole).unwrap();
    assert!(!fleet.gateways[ADOPTER].data().join("journal").exists(), "nothing to start on");

    // So are the store and what Redis knew. A server has backups of its own.
    let Some(store) = fleet.store.file() else { return };
    for file in fs::read_dir(store.parent().unwrap()).unwrap() {
        fs::remove_file(file.unwrap().path()).unwrap();
    }
    fleet.redis.flush();
    let told = restore(&fleet, &late).expect(0);
    assert!(told.contains("restored: adopted gateway 1: journal "), "{told}");
    fleet.gateways[ADOPTER].restart(START);
    await_adoption(&fleet);
    let address = fleet.gateways[ADOPTER].address();
    let mut buyers = tokens.iter().map(|token| Client::with_token(address, token));
    let [mut payer, mut other] = [buyers.next().unwrap(), buyers.next().unwrap()];
    let payment = pay(&mut payer, &orders[0]);
    until("the provider is thanked", GENEROUS, || {
        (tell_paid(&fleet, ADOPTER, &payment).status == 204).then_some(())
    });
    cancel(&mut other, &orders[1]);
    await_status(&mut payer, &orders[0], Status::Paid);
    await_status(&mut other, &orders[1], Status::Cancelled);
    audit(&fleet);
}

/// Without it the adopter would go on as if nothing were amiss, but for some who do not find their orders.
#[test]
fn a_damaged_journal_of_an_adopted_gateway_stops_the_start_until_it_is_mended_or_taken_away() {
    let mut fleet = Fleet::start(3);
    let activity = fleet.sale(Sale { limit: 3, ..Sale::of(24) });
    let token = fleet.tokens("buyer", 1).remove(0);
    let mut buyer = fleet.clients(&token);
    let orders = ["first", "second"].map(|key| payable(&mut buyer, &activity, key));
    lose(&mut fleet);
    fleet.gateways[ADOPTER].stop();
    let data = fleet.gateways[ADOPTER].data().to_owned();
    let journal = data.join(JOURNAL);
    // Behind one that is open by then, which ends with it.
    let foreign = journal.with_file_name("2-7");
    copy(&journal, &foreign);
    let says = format!("adopted gateway 2 cannot go on by {}", foreign.display());
    fleet.gateways[ADOPTER].run(&SERVE).refused(&says);
    fs::remove_dir_all(&foreign).unwrap();
    let scratch = Scratch::new();
    let [out, damaged, newer] = ["out", "damaged", "newer"].map(|name| scratch.path().join(name));
    drop(back_up(&fleet, &out).expect(0));
    damage(&journal);
    let says = format!("adopted gateway 1 cannot go on by {}", journal.display());
    fleet.gateways[ADOPTER].run(&SERVE).refused(&says);
    // The newest copy of all is one that the store and Redis go on with.
    fs::rename(&data, damaged).unwrap();
    let told = restore(&fleet, &out).expect(0);
    assert!(told.contains("the store that is there stays as it is"), "{told}");
    fleet.gateways[ADOPTER].restart(START);
    await_adoption(&fleet);
    cancel(&mut buyer[OTHER], &orders[0]);
    audit(&fleet);
    fleet.gateways[ADOPTER].stop();
    fs::rename(&data, &newer).unwrap();
    restore(&fleet, &out).refused("and this backup ends at");
    fs::remove_dir(&data).unwrap();
    fs::rename(newer, &data).unwrap();

    // Lost for good, it goes along with its adopter, by what the store has of it.
    fs::remove_dir_all(&journal).unwrap();
    fleet.gateways[ADOPTER].restart(START);
    let mut own = Client::with_token(fleet.gateways[ADOPTER].address(), &token);
    own.delete(&format!("/api/v1/orders/{}", orders[1])).problem(503, "unavailable");
    drop(until("it sells", GENEROUS, || buy(&mut own, &activity, "own").ok()));
    let [adopter, other] = [ADOPTER, OTHER].map(|it| it.to_string());
    let drain = ["gateway", "drain", &adopter, "--to", &other];
    drop(fleet.gateways[OTHER].run(&drain).expect(0));
    assert_eq!(fleet.gateways[ADOPTER].wait(), Some(0));
    await_adoption_by(&fleet, [LOST, OTHER]);
    cancel(&mut buyer[OTHER], &orders[1]);
    await_status(&mut buyer[OTHER], &orders[0], Status::Cancelled);
    let told = fleet.gateways[OTHER].audited(&["audit"]);
    assert!(told.contains(&format!("adopted gateway {LOST}: activity")), "{told}");
}

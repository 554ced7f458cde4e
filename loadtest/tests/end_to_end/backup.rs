//! Backups: taken of a gateway that sells, put back in the place of one that is lost.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

use seckill_loadtest::client::Client;
use seckill_loadtest::gateway::{Gateway, Scratch, Start};
use seckill_loadtest::patience::{GENEROUS, until};
use seckill_loadtest::shop::{self, Sale, Shop, buy};

/// One of three ways in which data is lost; what was acknowledged before the backup is there again.
#[test]
fn a_running_gateway_is_backed_up_and_put_back_with_what_it_had() {
    let mut gateway = Gateway::start(Start::cores(2));
    let mut shop = Shop::open(&gateway);
    let activity = shop.sale(Sale::of(10_000));
    let mut early: [Client; 5] = shop::shoppers(&gateway, "early");
    for buyer in &mut early {
        drop(buyer.send(buy(&activity, "a", 1)).expect(202));
    }
    let tokens = shop::tokens(&gateway, "late", 2_000);
    let place = Scratch::new();
    let out = place.path().join("backup");
    let out = out.to_str().unwrap();
    let (is_over, sold) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for token in &tokens {
                let mut buyer = Client::with_token(gateway.address(), token);
                drop(buyer.send(buy(&activity, "a", 1)).expect(202));
                sold.store(true, Ordering::Relaxed);
                if is_over.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        until("it sells", GENEROUS, || sold.load(Ordering::Relaxed).then_some(()));
        let told = gateway.run(&["backup", "--out", out]).expect(0);
        assert!(told.starts_with("backup: journal "), "{told}");
        is_over.store(true, Ordering::Relaxed);
    });
    gateway.run(&["backup", "--out", out]).refused("is not empty");
    gateway.run(&["restore", "--from", out]).refused("is not empty");

    gateway.kill();
    let lost = place.path().join("lost");
    fs::rename(gateway.data(), &lost).unwrap();
    let told = gateway.run(&["restore", "--from", out]).expect(0);
    assert!(told.starts_with("restored: journal "), "{told}");
    gateway.restart(Start::cores(1));
    for buyer in &early {
        let mut buyer = Client::with_token(gateway.address(), buyer.token.as_ref().unwrap());
        assert_eq!(shop::orders(&mut buyer).len(), 1, "signed in still, and the order is there");
    }
    // The audit tells what the store has, whose copy may be from before it had them.
    let held = until("the store has them, too", GENEROUS, || {
        gateway.audit(&activity)["held"].as_u64().filter(|held| *held >= 5)
    });
    assert!(held <= 2_005, "{held}");
    gateway.run(&["audit"]).expect(0);
    let mut admin = Client::with_token(gateway.address(), shop.admin.token.as_ref().unwrap());
    let acts = shop::items(&mut admin, "/api/v1/admin/trail?");
    let acts: Vec<_> = acts.iter().map(|act| act["act"].as_str().unwrap()).collect();
    assert_eq!(acts[0], "restored");
    assert!(acts.contains(&"published"), "the trail is in the copy: {acts:?}");
}

/// A copy that was cut off, or damaged since, is none.
#[test]
fn what_is_no_whole_backup_is_refused() {
    let mut gateway = Gateway::start(Start::cores(1));
    let mut shop = Shop::open(&gateway);
    drop(shop.sale(Sale::of(10)));
    let place = Scratch::new();
    let [out, nothing] = ["backup", "nothing"].map(|name| place.path().join(name));
    gateway.run(&["backup", "--out", out.to_str().unwrap()]).expect(0);
    gateway.stop();
    fs::rename(gateway.data(), place.path().join("lost")).unwrap();
    let restore =
        |from: &std::path::Path| gateway.run(&["restore", "--from", from.to_str().unwrap()]);
    restore(&nothing).refused("there is no journal in the backup");
    let (whole, half) = (out.join("journal"), out.join("journal.making"));
    fs::rename(&whole, &half).unwrap();
    restore(&out).refused("there is no journal in the backup");
    fs::rename(&half, &whole).unwrap();
    let segment = fs::read_dir(&whole).unwrap().map(|entry| entry.unwrap().path());
    let segment = segment.filter(|path| path.extension().is_some_and(|it| it == "segment")).min();
    let segment = segment.unwrap();
    let mut bytes = fs::read(&segment).unwrap();
    let kept = bytes.clone();
    bytes[600] ^= 1;
    fs::write(&segment, &bytes).unwrap();
    let ended = restore(&out);
    assert_ne!(ended.code, Some(0), "{}", ended.stdout);
    assert!(!gateway.data().join("journal").exists(), "nothing to start on");
    fs::write(&segment, kept).unwrap();
    drop(fs::remove_dir_all(gateway.data()));
    // An empty store that somebody has made elsewhere is not the one of the backup.
    let elsewhere = format!("sqlite:{}", place.path().join("other.db").display());
    let elsewhere = [("SECKILL_STORE_URL", &*elsewhere)];
    gateway.run_with(&["store", "migrate"], &elsewhere).expect(0);
    let to_it = ["restore", "--from", out.to_str().unwrap()];
    gateway
        .run_with(&to_it, &elsewhere)
        .refused("the store that is there knows nothing of gateway");
    drop(fs::remove_dir_all(gateway.data()));
    restore(&out).expect(0);
}

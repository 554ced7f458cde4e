//! The gateway as a process: its operations listener, its way down, its command line.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rusqlite::Connection as Store;
use seckill_loadtest::client::{Client, Connection, Request};
use seckill_loadtest::gateway::{self, Gateway, Scratch, Start};
use seckill_loadtest::patience::{GENEROUS, until};
use seckill_loadtest::shop::{self, Sale, Shop, buy};
use serde_json::Value;

/// The flags that let any free port be listened to.
const ANY_PORT: [&str; 4] = ["--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"];

#[track_caller]
fn serve(gateway: &Gateway) -> gateway::Ended {
    gateway.run(&[&["serve"], &ANY_PORT[..]].concat())
}

/// The value of a figure with exactly these labels.
fn figure(metrics: &str, name_and_labels: &str) -> u64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(name_and_labels));
    let value = line.unwrap_or_else(|| panic!("no {name_and_labels} in {metrics}"));
    value.trim().parse().unwrap()
}

#[test]
fn the_figures_of_a_sale_add_up() {
    let gateway = Gateway::start(Start::cores(2));
    let mut shop = Shop::open(&gateway);
    let mut buyers: [Client; 6] = shop::shoppers(&gateway, "buyer");
    let activity = shop.sale(Sale { limit: 2, ..Sale::of(20) });
    for buyer in &mut buyers {
        drop(buyer.send(buy(&activity, "a", 2)).expect(202));
    }
    let order = &shop::orders(&mut buyers[0])[0].id;
    drop(buyers[0].delete(&format!("/api/v1/orders/{order}")).expect(204));
    let path = format!("/api/v1/admin/activities/{activity}/withdraw");
    drop(shop.admin.post(&path, &serde_json::json!({ "quantity": 3 })).expect(200));

    let mut operations = Client::new(gateway.operations());
    let metrics = operations.get("/metrics").expect(200).text();
    let units = |state: &str| {
        figure(&metrics, &format!("seckill_units{{activity=\"{activity}\",state=\"{state}\"}}"))
    };
    assert_eq!([units("stocked"), units("held"), units("free")], [20, 10, 7]);
    let parts = ["free", "held", "sold", "written_off", "returned"].map(units);
    assert_eq!(parts.iter().sum::<u64>(), units("stocked"));
    let orders = |outcome: &str| {
        let labels = format!("{{activity=\"{activity}\",outcome=\"{outcome}\"}}");
        figure(&metrics, &format!("seckill_orders_total{labels}"))
    };
    assert_eq!([orders("placed"), orders("cancelled"), orders("expired")], [6, 1, 0]);
    for name in ["process_cpu_seconds_total", "process_resident_memory_bytes"] {
        assert!(metrics.contains(&format!("\n{name} ")), "{name} in {metrics}");
    }
    let page = operations.get("/metrics");
    assert!(page.header("content-type").unwrap().starts_with("text/plain"), "{page:?}");
}

/// What an operator is to see of a gateway at work, by the names that dashboards know.
#[test]
fn a_gateway_at_work_shows_its_figures() {
    let gateway = Gateway::start(Start::cores(2));
    let mut shop = Shop::open(&gateway);
    let mut buyers: [Client; 6] = shop::shoppers(&gateway, "buyer");
    let activity = shop.sale(Sale::of(20));
    let brief = shop.sale(Sale { pay_within_s: 8, ..Sale::of(1) });
    for buyer in &mut buyers {
        drop(buyer.send(buy(&activity, "a", 1)).expect(202));
        buyer.send(buy(&activity, "b", 1)).problem(409, "limit-reached");
    }
    drop(buyers[0].send(buy(&brief, "a", 1)).expect(202));
    buyers[1].send(buy(&brief, "a", 1)).problem(409, "sold-out");
    Client::new(gateway.address()).get("/api/v1/orders").problem(401, "unauthenticated");
    let mut operations = Client::new(gateway.operations());
    let expired = format!("seckill_orders_total{{activity=\"{brief}\",outcome=\"expired\"}}");
    let metrics = until("the brief order has expired and is flushed", GENEROUS, || {
        let metrics = operations.get("/metrics").expect(200).text();
        let is_flushed = figure(&metrics, "seckill_flush_lag_records") == 0;
        (figure(&metrics, &expired) == 1 && is_flushed).then_some(metrics)
    });
    for (slug, count) in [("limit-reached", 6), ("sold-out", 1), ("unauthenticated", 1)] {
        let name = format!("seckill_http_refusals_total{{slug=\"{slug}\"}}");
        assert_eq!(figure(&metrics, &name), count, "{slug}");
        let by_shards = format!("seckill_refusals_total{{reason=\"{slug}\"}}");
        assert_eq!(metrics.contains(&by_shards), slug != "unauthenticated");
    }
    assert_eq!(figure(&metrics, "seckill_refusals_total{reason=\"limit-reached\"}"), 6);
    for name in ["group_records", "sync_seconds", "durable_seconds"] {
        assert!(figure(&metrics, &format!("seckill_journal_{name}_count")) > 0, "{name}");
    }
    assert!(figure(&metrics, "seckill_flush_records_total") >= 8, "7 orders and an expiry");
    let cores =
        |name: &str| ["0", "1"].map(|core| figure(&metrics, &format!("{name}{{core=\"{core}\"}}")));
    let all_cores = |name: &str| cores(name).iter().sum::<u64>();
    assert_eq!(all_cores("seckill_timers"), 6, "the wheels hold the orders that wait");
    assert_eq!(all_cores("seckill_expiry_lateness_seconds_count"), 1);
    assert!(all_cores("seckill_orders_in_memory") >= 6, "the expired one leaves later");
    assert_eq!(all_cores("seckill_in_flight"), 0);
    assert!(all_cores("seckill_http_connections") >= 6);
    assert!(cores("seckill_http_answers_total").iter().all(|answers| *answers > 0), "{metrics}");
}

#[test]
fn probes_say_that_it_lives_and_serves() {
    let gateway = Gateway::start(Start::cores(1));
    let mut operations = Client::new(gateway.operations());
    drop(operations.get("/livez").expect(200));
    drop(operations.get("/readyz").expect(200));
    drop(operations.get("/nothing").expect(404));
    // What operators see is not for shoppers.
    let mut visitor = Client::new(gateway.address());
    for path in ["/metrics", "/livez", "/readyz"] {
        drop(visitor.get(path).expect(404));
    }
}

/// Each buyer has sent a head and is asked to go on when the signal comes.
#[test]
fn a_drain_answers_what_is_under_way() {
    let mut gateway = Gateway::start(Start::cores(2));
    let mut shop = Shop::open(&gateway);
    let activity = shop.sale(Sale::of(50));
    let tokens = shop::tokens(&gateway, "buyer", 8);
    let body = "{\"quantity\": 1}";
    let mut under_way: Vec<Connection> = tokens
        .iter()
        .map(|token| {
            let mut connection = Connection::open(gateway.address()).unwrap();
            let request = buy(&activity, "drain", 1).token(token).header("expect", "100-continue");
            let bytes = request.bytes();
            let head = bytes.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
            connection.send(&bytes[..head]).unwrap();
            assert_eq!(connection.receive_head().unwrap().status, 100);
            connection.send(&bytes[head..head + 1]).unwrap();
            connection
        })
        .collect();
    let mut operations = Client::new(gateway.operations());
    gateway.terminate();
    until("it asks for no more traffic", GENEROUS, || {
        (operations.get("/readyz").status == 503).then_some(())
    });
    drop(operations.get("/livez").expect(200));
    let sent: Value = serde_json::from_str(body).unwrap();
    let rest = &sent.to_string()[1..];
    let orders: Vec<String> = under_way
        .iter_mut()
        .map(|connection| {
            connection.send(rest.as_bytes()).unwrap();
            let answer = connection.receive(true).unwrap().expect(202);
            assert!(connection.take_rest().unwrap().is_empty(), "it is closed behind the answer");
            shop::id_of(&answer.json())
        })
        .collect();
    assert_eq!(gateway.wait(), Some(0));

    gateway.restart(Start::cores(1));
    for (token, order) in tokens.iter().zip(orders) {
        let found = shop::orders(&mut Client::with_token(gateway.address(), token));
        assert_eq!((found.len(), &found[0].id), (1, &order));
    }
    assert_eq!(gateway.audit(&activity)["held"], 8);
}

#[test]
fn idle_connections_do_not_hold_a_drain_up() {
    let mut gateway = Gateway::start(Start::cores(2));
    let mut kept = Client::new(gateway.address());
    drop(kept.get("/").expect(200));
    let silent = Connection::open(gateway.address()).unwrap();
    gateway.terminate();
    // The limit of a drain is 20 s, that of this wait 30 s: the connections decide which it is.
    until("the silent one is closed", std::time::Duration::from_secs(10), || {
        silent.is_closed().then_some(())
    });
    assert_eq!(gateway.wait(), Some(0));
}

#[test]
fn a_data_directory_has_one_gateway() {
    let gateway = Gateway::start(Start::cores(1));
    serve(&gateway).refused(gateway.data().to_str().unwrap());
    drop(Client::new(gateway.address()).get("/").expect(200));
}

#[test]
fn a_gateway_that_is_alone_has_no_peers() {
    let gateway = Gateway::start(Start::cores(1));
    let list = gateway.run(&["gateway", "list"]).expect(0);
    assert_eq!(list, "gateway 0, epoch 0: alone, or not seen yet\n");
    let metrics = Client::new(gateway.operations()).get("/metrics").expect(200).text();
    assert!(!metrics.contains("seckill_peer"), "{metrics}");
    let nowhere = Scratch::new();
    let data = nowhere.path().to_str().unwrap();
    gateway::run(&["gateway", "list", "--data", data], &[]).refused("there is no store");
}

#[test]
fn a_taken_port_is_one_clear_line() {
    let gateway = Gateway::start(Start::cores(1));
    let data = Scratch::new();
    let taken = gateway.address().to_string();
    let arguments = ["serve", "--data", data.path().to_str().unwrap(), "--listen", &taken];
    gateway::run(&[&arguments[..], &ANY_PORT[2..]].concat(), &[]).refused(&taken);
}

#[test]
fn a_configuration_that_cannot_be_used_is_one_clear_line() {
    let data = Scratch::new();
    let path = data.path().to_str().unwrap();
    let config = data.path().join("seckill.toml");
    fs::write(&config, "coars = 2\n").unwrap();
    let serve = [&["serve", "--data", path], &ANY_PORT[..]].concat();
    let run = |flags: &[&str], variables: &[(&str, &str)]| {
        gateway::run(&[&serve, flags].concat(), variables)
    };
    run(&[], &[("SECKILL_COARS", "3")]).refused("coars");
    run(&[], &[("SECKILL_CORES", "none")]).refused("cores");
    run(&[], &[("SECKILL_STORE_URL", "mysql:x")]).refused("sqlite:");
    run(&["--config", config.to_str().unwrap()], &[]).refused("coars");
    run(&["--config", "/nowhere.toml"], &[]).refused("/nowhere.toml");
    run(&["--cores", "0"], &[]).refused("cores");
    let secret = "not to be printed";
    let ended = run(&[], &[("SECKILL_SECRET", secret)]);
    assert!(!ended.stderr.contains(secret), "{}", ended.stderr);
    ended.refused("at least");
    let everywhere = ["serve", "--data", path, "--demo", "--listen", "0.0.0.0:0"];
    gateway::run(&[&everywhere[..], &ANY_PORT[2..]].concat(), &[]).refused("loopback");
    let unknown = gateway::run(&["serve", "--no-such-flag"], &[]);
    assert_eq!(unknown.code, Some(2), "{}", unknown.stderr);
}

/// What a gateway keeps in its data directory is its owner's alone.
#[test]
fn a_generated_secret_is_kept_and_private() {
    use std::os::unix::fs::PermissionsExt;
    let mut gateway = Gateway::start(Start::cores(1));
    let ann = shop::register(&gateway, "ann").token.unwrap();
    let secret = gateway.data().join("secret");
    assert_eq!(fs::metadata(&secret).unwrap().permissions().mode() & 0o777, 0o600);
    gateway.stop();
    gateway.restart(Start::cores(1));
    drop(Client::with_token(gateway.address(), &ann).get("/api/v1/users/me").expect(200));
}

/// A gateway that has sold something, killed and so with everything still in its journal.
fn killed_gateway() -> (Gateway, String) {
    let mut gateway = Gateway::start(Start::cores(2));
    let mut shop = Shop::open(&gateway);
    let mut buyers: [Client; 20] = shop::shoppers(&gateway, "buyer");
    let activity = shop.sale(Sale::of(100));
    for buyer in &mut buyers {
        drop(buyer.send(buy(&activity, "a", 1)).expect(202));
    }
    until("the store has the orders", GENEROUS, || {
        (gateway.audit(&activity)["held"] == 20).then_some(())
    });
    gateway.kill();
    (gateway, activity)
}

#[test]
fn the_journal_is_verified_and_dumped() {
    let (gateway, _) = killed_gateway();
    drop(gateway.run(&["journal", "verify"]).expect(0));
    let dumped = gateway.run(&["journal", "dump"]).expect(0);
    let records: Vec<Value> =
        dumped.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let placed = records.iter().filter(|record| record["record"] == "OrderPlaced").count();
    assert_eq!(placed, 20, "{dumped}");
    assert!(records.is_sorted_by_key(|record| record["position"].as_u64().unwrap()));
    let nothing = Scratch::new();
    let empty = nothing.path().to_str().unwrap();
    for word in ["verify", "dump"] {
        let ended = gateway::run(&["journal", word, "--data", empty], &[]);
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    }
}

/// The files of a journal, and what is in each before nothing but zeros follows.
fn written(journal: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = fs::read_dir(journal).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.is_file()).map(|path| {
        let mut bytes = fs::read(&path).unwrap();
        let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        bytes.truncate(end);
        (path, bytes)
    });
    files.collect()
}

/// The segment of a journal that has the most in it, and where that ends.
fn written_segment(journal: &Path) -> (PathBuf, Vec<u8>) {
    written(journal).into_iter().max_by_key(|(_, bytes)| bytes.len()).unwrap()
}

/// A bad group with a good one of the same run behind it is no torn tail.
#[test]
fn a_damaged_journal_stops_the_start_and_says_where() {
    let (gateway, _) = killed_gateway();
    let (segment, bytes) = written_segment(&gateway.data().join("journal"));
    let middle = bytes.len() / 2;
    let at = middle + bytes[middle..].iter().position(|byte| *byte != 0).unwrap();
    let file = fs::OpenOptions::new().write(true).open(&segment).unwrap();
    file.write_all_at(&[bytes[at] ^ 0xff], at.try_into().unwrap()).unwrap();
    let verified = gateway.run(&["journal", "verify"]);
    assert!(verified.code.is_some_and(|code| code != 0), "{}", verified.stdout);
    serve(&gateway).refused("");
    file.write_all_at(&[bytes[at]], at.try_into().unwrap()).unwrap();
    drop(gateway.run(&["journal", "verify"]).expect(0));
}

/// A torn tail is dropped, and only that.
#[test]
fn a_torn_tail_is_dropped_whole() {
    let (mut gateway, activity) = killed_gateway();
    let (segment, bytes) = written_segment(&gateway.data().join("journal"));
    let file = fs::OpenOptions::new().write(true).open(&segment).unwrap();
    // Behind the last group: half a sector of what was never a whole group.
    let at = u64::try_from(bytes.len().next_multiple_of(512)).unwrap();
    file.write_all_at(&[0xa5; 256], at).unwrap();
    gateway.restart(Start::cores(1));
    assert_eq!(gateway.audit(&activity)["held"], 20);
}

/// CRC32C of a segment's number and of some bytes of it, bit by bit.
fn checksum(segment: u64, bytes: &[u8]) -> u32 {
    let all = segment.to_le_bytes().into_iter().chain(bytes.iter().copied());
    let bit = |crc: u32| (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
    !all.fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(byte), |crc, _| bit(crc)))
}

/// A header, or a group with its records, as somebody would have written it who has another byte there.
fn written_otherwise(segment: u64, whole: &[u8], at: usize, byte: u8) -> Vec<u8> {
    let sum = |bytes: &[u8]| checksum(segment, &bytes[8..]).to_le_bytes();
    assert_eq!(whole[4..8], sum(whole), "as shards/JOURNAL.md says");
    let mut bytes = whole.to_vec();
    bytes[at] = byte;
    let sum = sum(&bytes);
    bytes[4..8].copy_from_slice(&sum);
    bytes
}

/// Damage is a person's to look at; a newer release only has to be put back.
#[test]
fn a_journal_of_a_newer_release_stops_the_start_and_stays_as_it_is() {
    let (mut gateway, activity) = killed_gateway();
    let journal = gateway.data().join("journal");
    let (segment, bytes) = written_segment(&journal);
    let number = u64::from_le_bytes(bytes[32..40].try_into().unwrap());
    let records: [u8; 4] = bytes[520..524].try_into().unwrap();
    let group = 512..552 + usize::try_from(u32::from_le_bytes(records)).unwrap();
    let file = fs::OpenOptions::new().write(true).open(&segment).unwrap();
    for (part, at, byte, says) in [
        (0..48, 8, 2, "it has format 2, and this version of seckill reads format 1"),
        (group, 40, 99, "record kind 99 is not known: a newer version of seckill"),
    ] {
        let (whole, from) = (&bytes[part.clone()], part.start.try_into().unwrap());
        file.write_all_at(&written_otherwise(number, whole, at, byte), from).unwrap();
        let newer = written(&journal);
        let ended = serve(&gateway);
        assert_eq!(ended.stderr.matches(says).count(), 1, "{}", ended.stderr);
        ended.refused(" is needed");
        assert!(written(&journal) == newer, "nothing is written after {says:?}");
        file.write_all_at(whole, from).unwrap();
    }
    gateway.restart(Start::cores(1));
    assert_eq!(gateway.audit(&activity)["held"], 20);
}

#[test]
fn a_store_is_migrated_by_a_command_and_a_newer_one_that_does_not_serve_us_stops_the_start() {
    let mut gateway = Gateway::start(Start::cores(1));
    gateway.stop();
    let told = gateway.run(&["store", "migrate"]).expect(0);
    assert!(told.contains("already"), "{told}");
    let path = gateway.data().join("store.db");
    let empty = format!("sqlite:{}", gateway.data().join("empty.db").display());
    let told = gateway.run_with(&["store", "migrate"], &[("SECKILL_STORE_URL", &empty)]).expect(0);
    assert!(told.contains("was empty, and has schema"), "{told}");
    let store = Store::open(&path).unwrap();
    let version: u32 = store.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    store.pragma_update(None, "user_version", version + 1).unwrap();
    gateway.restart(Start::cores(1));
    drop(Shop::open(&gateway).sale(Sale::of(1)));
    gateway.stop();
    store.execute("UPDATE schema_serves SET since = ?1", [version + 1]).unwrap();
    drop(store);
    let needed = format!("one that knows schema {} is needed", version + 1);
    gateway.run(&["store", "migrate"]).refused(&needed);
    gateway
        .run(&["serve", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"])
        .refused(&needed);
}

#[test]
fn the_audit_finds_what_was_changed_behind_its_back() {
    let (gateway, activity) = killed_gateway();
    let audit = ["audit", "--json"];
    drop(gateway.run(&audit).expect(0));
    let store = Store::open(gateway.data().join("store.db")).unwrap();
    for (change, back) in [
        (
            "UPDATE sales_order SET quantity = quantity + 1 WHERE id = (SELECT min(id) FROM sales_order)",
            "UPDATE sales_order SET quantity = quantity - 1 WHERE id = (SELECT min(id) FROM sales_order)",
        ),
        ("DELETE FROM sales_order WHERE id = (SELECT min(id) FROM sales_order)", ""),
    ] {
        assert_eq!(store.execute(change, []).unwrap(), 1);
        let told = gateway.run(&audit).expect(1);
        let audits: Value = serde_json::from_str(&told).unwrap();
        assert_eq!(audits[&activity]["balanced"], false, "{told}");
        if !back.is_empty() {
            assert_eq!(store.execute(back, []).unwrap(), 1);
            drop(gateway.run(&audit).expect(0));
        }
    }
}

/// An audit that compared nothing must not say that all is well.
#[test]
fn d9_an_audit_that_cannot_compare_says_so() {
    let nothing = Scratch::new();
    let empty = nothing.path().to_str().unwrap();
    let ended = gateway::run(&["audit", "--data", empty], &[]);
    assert_eq!(ended.code, Some(2), "{}", ended.stdout);
    let (gateway, _) = killed_gateway();
    let ended = gateway.run(&["audit", "--activity", "999999"]);
    assert_eq!(ended.code, Some(2), "{}", ended.stdout);
    let [journal, aside] = ["journal", "aside"].map(|name| gateway.data().join(name));
    fs::rename(&journal, &aside).unwrap();
    let ended = gateway.run(&["audit"]);
    assert_eq!(ended.code, Some(2), "without a journal: {}", ended.stdout);
    fs::rename(&aside, &journal).unwrap();
    let [store, aside] = ["store.db", "aside"].map(|name| gateway.data().join(name));
    fs::rename(&store, &aside).unwrap();
    let ended = gateway.run(&["audit"]);
    assert_eq!(ended.code, Some(2), "without a store: {}", ended.stdout);
}

/// A gateway that has stopped, and its data as it was before the last order.
fn gateway_and_older_data() -> (Gateway, String, Scratch) {
    let mut gateway = Gateway::start(Start::cores(1));
    let mut shop = Shop::open(&gateway);
    let [mut ann, bob] = shop::shoppers(&gateway, "buyer");
    let activity = shop.sale(Sale::of(10));
    drop(ann.send(buy(&activity, "a", 1)).expect(202));
    gateway.stop();
    let older = Scratch::copy_of(gateway.data());
    gateway.restart(Start::cores(1));
    let mut bob = Client::with_token(gateway.address(), &bob.token.unwrap());
    drop(bob.send(buy(&activity, "b", 1)).expect(202));
    gateway.stop();
    (gateway, activity, older)
}

/// Going on from it would give the ids of lost orders to new ones.
#[test]
fn a_restored_or_lost_journal_stops_the_start() {
    let (gateway, _, older) = gateway_and_older_data();
    gateway.put_back(&older, "journal");
    serve(&gateway).refused("journal");
    fs::remove_dir_all(gateway.data().join("journal")).unwrap();
    serve(&gateway).refused("journal");
}

/// The journal still has what such a store lacks.
#[test]
fn a_store_that_lacks_orders_only_is_caught_up() {
    let (mut gateway, activity, older) = gateway_and_older_data();
    gateway.put_back(&older, "store.db");
    gateway.restart(Start::cores(1));
    until("the store has both orders", GENEROUS, || {
        (gateway.audit(&activity)["held"] == 2).then_some(())
    });
}

/// Sales, accounts and stock are the store's alone, so nothing can bring them back.
#[test]
fn a_store_that_lacks_sales_stops_the_start() {
    let mut gateway = Gateway::start(Start::cores(1));
    let mut shop = Shop::open(&gateway);
    shop.sale(Sale::of(10));
    gateway.stop();
    let older = Scratch::copy_of(gateway.data());
    gateway.restart(Start::cores(1));
    let mut shop = Shop { admin: shop::sign_in(&gateway, shop::ADMIN) };
    let [mut ann] = shop::shoppers(&gateway, "buyer");
    let activity = shop.sale(Sale::of(10));
    drop(ann.send(buy(&activity, "a", 1)).expect(202));
    gateway.stop();
    gateway.put_back(&older, "store.db");
    serve(&gateway).refused("store");
}

#[test]
fn accounts_are_made_on_the_command_line_once() {
    let gateway = Gateway::start(Start::cores(1));
    shop::create_user(&gateway, "olga", "operator");
    let mut olga = shop::sign_in(&gateway, "olga");
    drop(olga.post("/api/v1/admin/products", &shop::product(1)).expect(201));
    let create = |username: &str, password: &str| {
        let arguments = ["user", "create", "--username", username, "--role", "shopper"];
        gateway.run_with(&arguments, &[("SECKILL_PASSWORD", password)]).code
    };
    assert_ne!(create("olga", shop::PASSWORD), Some(0), "the name is taken");
    assert_eq!(create("Olga!", shop::PASSWORD), Some(2));
    assert_eq!(create("olga2", "short"), Some(2));
    let mut visitor = Client::new(gateway.address());
    visitor.send(Request::new("GET", "/api/v1/users/me")).problem(401, "unauthenticated");
}

// One press is one order.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import test from "node:test";
import { dropEveryKey, hasBought, newKey, PurchaseKey } from "../../assets/key.js";

function tab() {
  const kept = new Map();
  return {
    kept,
    getItem: (name) => kept.get(name) ?? null,
    setItem: (name, value) => kept.set(name, value),
    removeItem: (name) => kept.delete(name),
  };
}

function keyIn(storage, activity = "7") {
  return new PurchaseKey(activity, storage);
}

test("the key is stored before it is handed out and outlives a reload", () => {
  const storage = tab();
  const key = keyIn(storage).take(new Set());
  assert.ok([...storage.kept.values()].join().includes(key));
  assert.equal(keyIn(storage).take(new Set()), key);
  assert.notEqual(keyIn(storage, "8").take(new Set()), key);
});

test("a press is a new purchase only when the shopper sees what the last one bought", () => {
  const key = keyIn(tab());
  const first = key.take(new Set());
  key.bind(first, "11");
  assert.equal(key.take(new Set()), first);
  const second = key.take(new Set(["11"]));
  assert.notEqual(second, first);
  assert.equal(key.take(new Set(["11"])), second);
});

test("a closed order takes its key with it, and no other", () => {
  const key = keyIn(tab());
  const first = key.take(new Set());
  key.close("11");
  assert.equal(key.take(new Set()), first);
  key.adopt("11");
  key.adopt("12");
  assert.equal(key.last.order, "11");
  key.close("12");
  assert.equal(key.take(new Set()), first);
  key.close("11");
  assert.equal(key.last, null);
  assert.notEqual(key.take(new Set()), first);
});

test("damaged storage is no key", () => {
  const storage = tab();
  storage.setItem("seckill.key.7", "{");
  assert.equal(keyIn(storage).last, null);
  storage.setItem("seckill.key.7", '{"key":5}');
  assert.equal(keyIn(storage).last, null);
});

test("without randomUUID the key is still a random UUID", () => {
  const source = { getRandomValues: (bytes) => bytes.fill(0xff) };
  assert.equal(newKey(source), "ffffffff-ffff-4fff-bfff-ffffffffffff");
  assert.match(newKey(), /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
});

test("a payment has a key of its own, which ends when it has failed", () => {
  const storage = tab();
  keyIn(storage).bind("bought", "11");
  const pay = keyIn(storage, "pay.11");
  const first = pay.take(new Set());
  pay.bind(first, "5");
  assert.equal(keyIn(storage, "pay.11").take(new Set()), first);
  assert.notEqual(pay.take(new Set(["5"])), first);
  assert.equal(keyIn(storage).last.key, "bought");
});

test("signing out leaves no key of any sale or payment, and nothing else goes", () => {
  const names = ["seckill.key.7", "seckill.key.pay.11", "seckill.theme"];
  const storage = Object.fromEntries(names.map((name) => [name, "kept"]));
  Object.defineProperty(storage, "removeItem", { value: (name) => delete storage[name] });
  dropEveryKey(storage);
  assert.deepEqual(Object.keys(storage), ["seckill.theme"]);
});

test("a session that ran out keeps its unanswered key: nothing but signing out drops them all", () => {
  const assets = new URL("../../assets/", import.meta.url);
  const scripts = readdirSync(assets).filter((name) => name.endsWith(".js"));
  const callers = scripts.filter((name) => /(?<!function )dropEveryKey\(/.test(readFileSync(new URL(name, assets), "utf8")));
  assert.deepEqual(callers, ["shell.js"]);
  const endSession = /async function endSession\([^]*?\n}/.exec(readFileSync(new URL("shell.js", assets), "utf8"))[0];
  assert.match(endSession, /dropEveryKey\(/);
});

test("an order is said to be a press's only where it cannot be an older one", () => {
  const order = (id, at) => ({ id, created_at: new Date(at).toISOString() });
  const [older, newer, newest] = [order("1", 98_000), order("2", 100_050), order("3", 160_000)];
  const press = { key: "a", order: null, at: 100_000 };
  for (const [orders, limit, bought] of [
    [[], 1, false],
    [[older], 1, true],
    [[], 3, false],
    [[older], 3, false],
    [[newer], 3, true],
    [[newer, older], 3, true],
    // One of them is another tab's, and it cannot be told which.
    [[newest, newer], 3, false],
  ]) {
    assert.equal(hasBought(press, orders, limit), bought, JSON.stringify([orders, limit]));
  }
  // The shop's clock is known to about a second.
  assert.equal(hasBought(press, [order("2", 99_500)], 3), true);
  // A key of an older page does not say when.
  assert.equal(hasBought({ ...press, at: NaN }, [newer], 3), false);
  // What a key is known to have bought needs no guess.
  assert.equal(hasBought({ ...press, order: "1" }, [older, newer, newest], 3), true);
  assert.equal(hasBought({ ...press, order: "4" }, [newer], 3), false);
});

test("a key remembers when its first press was, through a reload and a second press", () => {
  const storage = tab();
  keyIn(storage).take(new Set(), 1000);
  keyIn(storage).take(new Set(), 2000);
  assert.equal(keyIn(storage).last.at, 1000);
  const pay = keyIn(storage, "pay.11");
  pay.take(new Set());
  assert.ok(Number.isNaN(pay.last.at));
});

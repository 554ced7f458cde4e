// One press is one order, whoever sends it again.
import assert from "node:assert/strict";
import test from "node:test";
import { keyAfter, oldestFirst } from "../../assets/key.js";

const order = (id, at) => ({ id, created_at: new Date(at).toISOString() });

/** The key of a press on Buy by whoever sees these orders of sale 7. */
const keySeeing = (orders) => keyAfter("7", oldestFirst(orders).at(-1));

test("whoever sees the same orders sends the same key, and keeps nothing for it", () => {
  const [first, second] = [order("11", 1000), order("12", 2000)];
  assert.equal(keySeeing([]), keySeeing([]));
  assert.equal(keySeeing([second, first]), keySeeing([first, second]));
  // What is missing of the older ones, in a list that is not whole, makes no other purchase.
  assert.equal(keySeeing([second]), keySeeing([first, second]));
});

test("a press is a new purchase only when the shopper sees what the last one bought", () => {
  const orders = [order("11", 1000), order("12", 2000), order("13", 3000)];
  const keys = [0, 1, 2, 3].map((seen) => keySeeing(orders.slice(0, seen)));
  assert.equal(new Set(keys).size, 4);
});

test("each sale and each payment has keys of its own", () => {
  const keys = ["7", "8", "71", "pay.7"].flatMap((what) => [keyAfter(what), keyAfter(what, "1"), keyAfter(what, "11")]);
  assert.equal(new Set(keys).size, keys.length);
});

test("a key is what the API takes for one", () => {
  const longest = "18446744073709551615";
  for (const key of [keyAfter("7"), keyAfter(`pay.${longest}`, longest)]) assert.match(key, /^[!-~]{1,255}$/);
});

test("orders of one instant have one order in every tab: that of their numbers", () => {
  const [nine, ten] = [order("9", 1000), order("10", 1000)];
  assert.deepEqual(oldestFirst([ten, nine]), ["9", "10"]);
  assert.deepEqual(oldestFirst([nine, ten]), ["9", "10"]);
  assert.deepEqual(oldestFirst([order("1", 3000), order("20", 1000)]), ["20", "1"]);
});

// The shop's clock from samples.
import assert from "node:assert/strict";
import test from "node:test";
import { ShopClock } from "../../assets/clock.js";

test("the middle of the quickest exchange wins", () => {
  const clock = new ShopClock();
  assert.ok(Number.isNaN(clock.now(0)));
  clock.take({ sent: 0, received: 400, server: 10_300 });
  assert.equal(clock.now(0), 10_100);
  clock.take({ sent: 1000, received: 1020, server: 11_010 });
  assert.equal(clock.now(0), 10_000);
  clock.take({ sent: 2000, received: 2600, server: 12_100 });
  assert.equal(clock.now(5000), 15_000);
});

test("a reading from a cache on the way does not hold the clock back", () => {
  const clock = new ShopClock();
  clock.take({ sent: 0, received: 10, server: 9_105 });
  assert.equal(clock.now(0), 9_100);
  clock.take({ sent: 1000, received: 1040, server: 11_020 });
  assert.equal(clock.now(0), 9_980);
});

test("after a sleep the next sample replaces all", () => {
  const clock = new ShopClock();
  clock.take({ sent: 0, received: 10, server: 10_005 });
  clock.distrust();
  assert.equal(clock.sampleCount, 0);
  assert.equal(clock.now(0), 10_000);
  clock.take({ sent: 100, received: 300, server: 70_200 });
  assert.equal(clock.now(0), 70_000);
  assert.equal(clock.sampleCount, 1);
});

test("what is no reading is passed over, and old samples go", () => {
  const clock = new ShopClock();
  clock.take({ sent: 0, received: 10, server: NaN });
  assert.equal(clock.ready, false);
  for (let at = 0; at < 20_000; at += 1000) clock.take({ sent: at, received: at + 10, server: at + 5 });
  assert.equal(clock.sampleCount, 8);
});

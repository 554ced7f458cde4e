// What the sandbox bank tells the shop.
import assert from "node:assert/strict";
import test from "node:test";
import { CHOICE_NAMES, deliveriesOf, wrongAmount } from "../../assets/sandbox.js";

const payment = { payment_id: "5", order_id: "7", amount: { amount: 1990, currency: "USD" }, status: "started" };

test("every choice keeps to the bounds of a call, in the order of its delays", () => {
  for (const choice of CHOICE_NAMES) {
    const deliveries = deliveriesOf(choice, payment);
    assert.ok(deliveries.length >= 1 && deliveries.length <= 8, choice);
    const delays = deliveries.map(({ delay_ms: delay }) => delay);
    assert.deepEqual(delays, [...delays].sort((a, b) => a - b), choice);
    for (const { type, delay_ms: delay, copies = 1, amount = 1 } of deliveries) {
      assert.match(type, /^payment\.(succeeded|failed)$/);
      assert.ok(delay >= 0 && delay <= 60_000 && copies >= 1 && copies <= 3 && amount > 0, choice);
    }
  }
});

test("the endings are what they are called", () => {
  const types = (choice) => deliveriesOf(choice, payment).map(({ type }) => type.split(".")[1]);
  assert.deepEqual(types("pay"), ["succeeded"]);
  assert.deepEqual(types("decline"), ["failed"]);
  assert.deepEqual(types("disorder"), ["succeeded", "failed"]);
  assert.equal(deliveriesOf("late", payment)[0].delay_ms, 5000);
  assert.equal(deliveriesOf("twice", payment)[0].copies, 2);
  assert.equal(deliveriesOf("wrong", payment)[0].amount, 1989);
});

test("a wrong amount is never the right one, and never nothing", () => {
  for (const amount of [0, 1, 2, 1990]) assert.ok(wrongAmount(amount) !== amount && wrongAmount(amount) > 0);
});

// How a sale stands, how often to ask, what to say of a refusal, what an order means.
import assert from "node:assert/strict";
import test from "node:test";
import { holdsUnits, isOpen, leftToPay, lookDelay, orderSentence, unitsOf } from "../../assets/order.js";
import { advise, waitFor } from "../../assets/problems.js";
import { failureDelay, lookAgainDelay, pollDelay, sells, stageOf, STAGE_SENTENCES, STAGE_WORDS } from "../../assets/sale.js";

const state = { phase: "scheduled", remaining: 10, mayReturn: false, startsAt: 1000, endsAt: 9000 };

test("the shop's time opens and ends a sale by itself", () => {
  for (const [change, now, stage] of [
    [{}, 999, "before"],
    [{}, 999.9, "before"],
    [{}, 1000, "open"],
    [{}, 9000, "over"],
    [{ phase: "live" }, 990, "open"],
    [{ phase: "live", remaining: 0 }, 2000, "sold-out"],
    [{ phase: "live", remaining: 0, mayReturn: true }, 2000, "taken"],
    [{ phase: "sold_out", mayReturn: true }, 2000, "taken"],
    [{ phase: "sold_out" }, 2000, "sold-out"],
    [{ phase: "paused" }, 2000, "paused"],
    [{ phase: "ended" }, 2000, "over"],
    [{ phase: "closed" }, 2000, "over"],
  ]) {
    assert.equal(stageOf({ ...state, ...change }, now), stage);
    assert.ok(STAGE_SENTENCES[stage] && STAGE_WORDS[stage]);
  }
  assert.deepEqual(["before", "open", "taken", "paused", "sold-out", "over", null].filter(sells), ["open", "taken"]);
});

test("questions are at least a second apart, rarer from afar and when no one looks", () => {
  const delay = (change) => pollDelay({ stage: "before", untilStart: 1e7, hidden: false, sampleCount: 3, random: 0.5, ...change });
  for (const stage of ["before", "open", "taken", "paused", "sold-out", "over", null]) {
    for (const untilStart of [1e9, 1e6, 1e5, 1e4, 0, -1e6]) {
      for (const sampleCount of [0, 3]) assert.ok(delay({ stage, untilStart, sampleCount, random: 0 }) >= 1000);
    }
  }
  assert.ok(delay({ untilStart: 1e7 }) > delay({ untilStart: 1e6 }));
  assert.ok(delay({ untilStart: 1e6 }) > delay({ untilStart: 1e5 }));
  assert.ok(delay({ untilStart: 1e5 }) > delay({ untilStart: 1e4 }));
  assert.ok(delay({ untilStart: 1e4, hidden: true }) > delay({ untilStart: 1e4 }));
  assert.notEqual(delay({ random: 0 }), delay({ random: 1 }));
  assert.ok(failureDelay(1, 20_000, 0) >= 20_000);
  assert.ok(failureDelay(50, null, 1) <= 45_000);
});

test("every refusal of the contract has its sentence and its act", () => {
  const act = (slug, problem = {}, retryAfterMs = null) => {
    const advice = advise({ slug, problem, retryAfterMs }, 1, 0);
    assert.ok(advice.say.length > 10, slug);
    return advice.act;
  };
  assert.equal(act("not-started"), "wait");
  for (const slug of ["ended", "paused", "sold-out", "insufficient-stock"]) assert.equal(act(slug), "look");
  for (const slug of ["rate-limited", "overloaded", "unavailable", "outcome-unknown", "lost"]) assert.equal(act(slug), "retry");
  assert.equal(act("limit-reached", { orders: ["1"] }), "orders");
  assert.equal(act("limit-reached", { pending: true }), "retry");
  assert.equal(act("unauthenticated"), "sign-in");
  assert.equal(act("idempotency-mismatch"), "look-up");
  for (const slug of ["cross-origin", "admission-required", "not-found", "forbidden", "anything-new"]) assert.equal(act(slug), "stop");
  const sold = (mayReturn) => advise({ slug: "sold-out", problem: { may_return: mayReturn } }, 1, 0).say;
  assert.match(sold(true), /unpaid ones come back/);
  assert.doesNotMatch(sold(false), /come back/);
  assert.equal(advise({ slug: "forbidden", problem: { detail: "Not for you, sorry." } }, 1, 0).say, "Not for you, sorry.");
});

test("a retry never comes before it was asked for", () => {
  assert.equal(waitFor(3000, 1, 0), 3000);
  assert.ok(waitFor(3000, 1, 1) > 3000);
  assert.equal(waitFor(0, 1, 0), 500);
  assert.deepEqual([1, 2, 3, 9].map((unprompted) => waitFor(null, unprompted, 0)), [1000, 2000, 4000, 8000]);
});

test("an order is watched until it is closed", () => {
  const order = (status, more = {}) => ({ status, lines: [{ quantity: 2 }, { quantity: 1 }], ...more });
  const waiting = order("awaiting_payment", { pay_before: new Date(10_000).toISOString() });
  const quiet = { hidden: false, random: 0 };
  assert.equal(unitsOf(waiting), 3);
  assert.equal(leftToPay(waiting, 4000), 6000);
  assert.equal(leftToPay(order("accepted"), 4000), null);
  assert.equal(lookDelay(waiting, 4000, quiet), 6300);
  assert.equal(lookDelay(waiting, 11_000, quiet), 2250);
  assert.equal(lookDelay(order("accepted"), 0, quiet), 1500);
  for (const status of ["paid", "expired", "cancelled", "rejected", "refunded"]) {
    assert.equal(lookDelay(order(status), 0, quiet), null);
    assert.equal(isOpen(order(status)), false);
    assert.equal(holdsUnits(order(status)), status === "paid");
    assert.ok(orderSentence(order(status), 0));
  }
  assert.notEqual(orderSentence(waiting, 9_999), orderSentence(waiting, 10_000));
});

test("an order that cannot be read is asked for ever less often, and not at all where that cannot help", () => {
  const delay = (slug, failures, { retryAfterMs = null, hidden = false, random = 0 } = {}) =>
    lookAgainDelay({ slug, retryAfterMs }, failures, { hidden, random });
  for (const slug of ["unauthenticated", "not-found"]) {
    for (const hidden of [false, true]) assert.equal(delay(slug, 1, { hidden, retryAfterMs: 1000 }), null);
  }
  for (const slug of ["lost", "unavailable", "overloaded", "rate-limited", "outcome-unknown", "anything-new"]) {
    assert.deepEqual([1, 2, 3, 4].map((failures) => delay(slug, failures)), [2000, 4000, 8000, 16_000]);
    assert.ok(delay(slug, 1, { hidden: true }) >= 45_000);
    assert.ok(delay(slug, 1, { retryAfterMs: 90_000, hidden: true }) >= 90_000);
    assert.notEqual(delay(slug, 9, { hidden: true }), delay(slug, 9, { hidden: true, random: 1 }));
  }
});

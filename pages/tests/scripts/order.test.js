// What an order and its payments mean, and what to say when paying was refused.
import assert from "node:assert/strict";
import test from "node:test";
import * as order from "../../assets/order.js";
import { payAdvice } from "../../assets/problems.js";

const EVERY_STATUS = ["accepted", "awaiting_payment", "paid", "expired", "cancelled", "rejected", "refunded"];
const EVERY_PAYMENT = ["started", "succeeded", "failed", "refund_due", "refunded"];
const quiet = { hidden: false, random: 0.5 };

function made(status, ...payments) {
  const line = { title: "Lamp", quantity: 1 };
  return { status, lines: [line], payments: payments.map((payment) => ({ status: payment })), pay_before: new Date(10_000).toISOString() };
}

test("every status has its word and its sentence, and none is another's", () => {
  const words = EVERY_STATUS.map((status) => order.statusWord(made(status)));
  const sentences = EVERY_STATUS.map((status) => order.orderSentence(made(status), 0));
  const payments = EVERY_PAYMENT.map((status) => order.paymentSentence({ status }));
  for (const texts of [words, sentences, payments]) {
    assert.equal(new Set(texts).size, texts.length);
    for (const text of texts) assert.doesNotMatch(text, /_|undefined/);
  }
  assert.equal(order.statusWord({ status: "sent_away" }), "Sent away");
  assert.equal(order.orderSentence({ status: "sent_away" }, 0), "This order is sent away.");
});

test("a reason is said where there is one", () => {
  assert.equal(order.reasonSentence({}), "");
  assert.equal(order.reasonSentence({ reason: "" }), "");
  assert.match(order.reasonSentence({ reason: "unconfirmed" }), /in time/);
  assert.equal(order.reasonSentence({ reason: "fraud-check failed." }), "Fraud check failed.");
});

test("an order is named by its first line", () => {
  const line = (title) => ({ title, quantity: 1 });
  assert.equal(order.titleOf({ lines: [line("Lamp")] }), "Lamp");
  assert.equal(order.titleOf({ lines: [line("Lamp"), line("Bulb"), line("Shade")] }), "Lamp and 2 more");
  assert.equal(order.titleOf({ lines: [] }), "Order");
});

test("a list that lacks older orders is never called all of them, and can be tried again", () => {
  assert.deepEqual(order.endOfList({ more: false, partial: false }), { say: "These are all your orders.", button: "" });
  assert.deepEqual(order.endOfList({ more: false, partial: true }), { say: "Older orders cannot be shown right now.", button: "Try again" });
  for (const partial of [false, true]) assert.deepEqual(order.endOfList({ more: true, partial }), { say: "", button: "Show more" });
});

test("an order can be paid until its time is over, and while that time is not known", () => {
  assert.equal(order.canBePaid(made("awaiting_payment"), 9_999), true);
  assert.equal(order.canBePaid(made("awaiting_payment"), 10_000), false);
  assert.equal(order.canBePaid(made("awaiting_payment"), NaN), true);
  for (const status of EVERY_STATUS.filter((status) => status !== "awaiting_payment")) {
    assert.equal(order.canBePaid(made(status), 0), false);
  }
});

test("units that went back may be free again", () => {
  assert.deepEqual(EVERY_STATUS.filter((status) => order.gaveUnitsBack({ status })), ["expired", "cancelled"]);
});

test("a payment under way is waited for, closely at first", () => {
  const waiting = made("awaiting_payment", "failed", "started");
  assert.match(order.orderSentence(waiting, 0), /waiting for the payment to be confirmed/);
  assert.doesNotMatch(order.orderSentence(made("awaiting_payment", "failed"), 0), /waiting for the payment/);
  const delay = (looks) => order.lookDelay({ ...waiting, pay_before: new Date(1e7).toISOString() }, 0, { ...quiet, looks });
  assert.equal(delay(0), 1000);
  assert.ok(delay(5) > delay(1));
  assert.equal(delay(100), 20_000);
});

test("money that comes for an order that is closed, or comes wrong, is watched too", () => {
  assert.equal(order.lookDelay(made("expired", "started"), 0, quiet), 1000);
  assert.ok(order.lookDelay(made("expired", "started"), 0, { ...quiet, looks: 100 }) <= 60_000);
  const wrong = { ...made("awaiting_payment", "refund_due"), pay_before: new Date(1e7).toISOString() };
  assert.equal(order.lookDelay(wrong, 0, quiet), 1000);
});

test("money on its way back is watched until it has arrived", () => {
  for (const status of ["paid", "expired", "refunded"]) {
    assert.ok(order.lookDelay(made(status, "refund_due"), 0, quiet) >= 1000);
    assert.equal(order.lookDelay(made(status, "refunded"), 0, quiet), null);
  }
  assert.match(order.orderSentence(made("refunded", "refund_due"), 0), /on its way/);
});

test("an order that still waits says how its last payment ended", () => {
  const sentence = (...payments) => order.orderSentence(made("awaiting_payment", ...payments), 0);
  assert.match(sentence("failed"), /did not go through.*pay again/);
  assert.match(sentence("failed", "refund_due"), /goes back to you/);
  assert.match(sentence("refunded"), /went back to you/);
  assert.match(sentence("failed", "started"), /waiting for the payment/);
  assert.match(sentence(), /kept for you until/);
});

test("every refusal to pay has its sentence", () => {
  for (const slug of [
    "order-state", "idempotency-mismatch", "unavailable", "overloaded", "rate-limited", "limit-reached", "outcome-unknown", "lost",
    "unauthenticated", "not-found", "cross-origin", "anything-new",
  ]) {
    assert.ok(payAdvice({ slug, problem: {}, retryAfterMs: null }).length > 10, slug);
  }
  const unavailable = (problem, retryAfterMs) => payAdvice({ slug: "unavailable", problem, retryAfterMs });
  assert.match(unavailable({}, 3000), /for a moment\..* Press again in 3 seconds\.$/);
  assert.match(unavailable({}, null), /Press again in a moment\.$/);
  assert.doesNotMatch(unavailable({}, 3000), /switched off/);
  assert.match(unavailable({ detail: "Paying is switched off here." }, 3000), /^Paying is switched off here\. .*try again later\.$/);
  assert.match(payAdvice({ slug: "overloaded", problem: {}, retryAfterMs: 2500 }), /in 3 seconds/);
  assert.equal(payAdvice({ slug: "refused", problem: { detail: "Not like this." }, retryAfterMs: null }), "Not like this.");
});

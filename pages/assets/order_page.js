// The page of one order: what became of it, the time left to pay, the ways to pay and to cancel.
// It decides nothing by itself: what an order means, when to ask again and which key to send are
// asked of the files it imports.

import { request } from "./api.js";
import { cancelIsMeant, cancelOrder } from "./cancel.js";
import { LONGEST_SLEEP_MS, ShopClock } from "./clock.js";
import { countdownHolds, countdownText } from "./format.js";
import { keyAfter } from "./key.js";
import { payAddress } from "./next.js";
import { canBePaid, isOpen, leftToPay, lookDelay, orderSentence, paymentsUnderWay } from "./order.js";
import { showFacts } from "./order_facts.js";
import { payAdvice } from "./problems.js";
import { failureDelay } from "./sale.js";
import { mark } from "./session.js";
import { showUser } from "./shell.js";
import { setText, showState, stateOfRefusal } from "./when.js";

const $ = (id) => document.getElementById(id);
const id = location.pathname.split("/").pop();
const api = `/api/v1/orders/${encodeURIComponent(id)}`;

const clock = new ShopClock();

let order = null;
let busy = false; // a press is under way
let looking = false;
let looks = 0; // since something changed
let failures = 0;
let lookTimer, tickTimer;

// ---- the order as it is ---------------------------------------------------------------------

async function look() {
  if (looking) return;
  if (!mark.isSet) return showState("signed-out");
  looking = true;
  const answer = await request("GET", api);
  looking = false;
  if (answer.ok) return found(answer);
  if (answer.slug === "unauthenticated") showUser(null);
  // What was shown stays, and is looked at again.
  if (order === null || answer.slug === "unauthenticated" || answer.slug === "not-found") return showState(stateOfRefusal(answer));
  failures += 1;
  if (failures > 1) setText($("trouble"), "The shop cannot be reached. This page keeps trying.");
  lookIn(failureDelay(failures, answer.retryAfterMs, Math.random()));
}

async function found({ body, sent, received, date }) {
  const was = order && meaning(order);
  failures = 0;
  setText($("trouble"), "");
  order = body;
  looks = was === meaning(order) ? looks + 1 : 0;
  if (was !== null && looks === 0) say("");
  showFacts(order);
  showState("order");
  tick();
  // A clock is needed by an open order alone, and while it is open so is its sale.
  if (isOpen(order) && clock.sampleCount === 0) await askTheTime({ sent, received, date });
  lookIn(lookDelay(order, clock.now(), { hidden: document.hidden, random: Math.random(), looks }));
  tick();
}

/** What must change before something new is to be said. */
function meaning({ status, payments = [] }) {
  return JSON.stringify([status, payments.map((payment) => [payment.payment_id, payment.status])]);
}

/** From its sale to the millisecond; where an order is of none, from the last answer to the second. */
async function askTheTime({ sent, received, date }) {
  if (order.activity_id) {
    const state = await request("GET", `/api/v1/activities/${encodeURIComponent(order.activity_id)}/state`);
    if (state.ok) clock.take({ sent: state.sent, received: state.received, server: Date.parse(state.body.server_time) });
  }
  if (clock.sampleCount === 0) clock.take({ sent, received, server: date + 500 });
}

function lookIn(delay) {
  clearTimeout(lookTimer);
  if (delay !== null) lookTimer = setTimeout(look, Math.min(Number.isNaN(delay) ? 3000 : delay, LONGEST_SLEEP_MS));
}

/** Shows everything as of now, and comes back when the first thing shown is no longer right. */
function tick() {
  clearTimeout(tickTimer);
  if (order === null) return;
  const now = clock.now();
  const left = leftToPay(order, now);
  const runs = left !== null && left > 0;
  setText($("sentence"), orderSentence(order, now));
  $("countdown").hidden = !runs;
  if (runs) setText($("clock"), countdownText(left));
  $("pay").hidden = !canBePaid(order, now);
  const isUnderWay = paymentsUnderWay(order).length > 0;
  $("under-way").hidden = $("pay-anew").hidden = !(isUnderWay && canBePaid(order, now));
  $("pay").disabled = $("pay-anew").disabled = $("cancel").disabled = busy;
  setText($("pay"), isUnderWay ? "Go on paying" : "Pay");
  $("cancel").hidden = !isOpen(order);
  if (runs) tickTimer = setTimeout(tick, countdownHolds(left));
}

function say(text) {
  setText($("notice"), text);
}

// ---- what a shopper can do ------------------------------------------------------------------

/** One press at a time, and the order is looked at afterwards. */
async function press(act) {
  if (busy) return;
  busy = true;
  tick();
  let leaves = false;
  try {
    leaves = await act();
  } finally {
    // A page that is being left stays closed, or a second press could slip in.
    busy = Boolean(leaves);
  }
  if (leaves) return;
  tick();
  await look();
}

async function pay() {
  say("One moment…");
  // Another tab may have begun to pay: then this one goes on with the same payment.
  const now = await request("GET", api);
  if (now.ok) order = now.body;
  const [underWay] = paymentsUnderWay(order);
  const payments = order.payments ?? [];
  const address = payAddress(underWay?.redirect_url, location.origin)
    ?? (await startPayment(payments.filter(({ status }) => status !== "started")))?.address;
  return address && leaveFor(address);
}

/** The payments that lead nowhere are given up when there is another, so that the order is never without. */
async function payAnew() {
  say("One moment…");
  const left = paymentsUnderWay(order);
  const started = await startPayment(order.payments);
  if (!started) return;
  for (const { payment_id: payment } of left.filter((it) => it.payment_id !== started.id)) {
    const { slug } = await request("DELETE", `${api}/payments/${payment}`);
    // Its money has come meanwhile: nothing more is to be paid.
    if (slug === "order-state") return say("");
  }
  return leaveFor(started.address);
}

/**
 * Starts a payment: `{ id, address }`, or undefined when it has said why not. It follows those that are
 * `over`: whoever else begins the one after them begins this very payment.
 */
async function startPayment(over) {
  const key = keyAfter(`pay.${id}`, over.at(-1)?.payment_id);
  const answer = await request("POST", `${api}/payments`, { body: { method: "sandbox" }, headers: { "idempotency-key": key } });
  if (answer.ok) {
    const { payment_id: id, status, redirect_url: url } = answer.body;
    const address = payAddress(url, location.origin);
    if (status === "started" && address) return { id, address };
    // It ended in the meantime: the order is shown as it is, and the next press is another payment.
    return say("");
  }
  if (answer.slug === "unauthenticated") showUser(null);
  say(payAdvice(answer));
}

function leaveFor(address) {
  location.assign(address);
  return true;
}

async function cancel() {
  if (!(await cancelIsMeant())) return;
  await press(async () => say(await cancelOrder(id)));
  // The button that had the focus is gone.
  if ($("cancel").hidden && document.activeElement === document.body) $("order-title").focus();
}

/** A page that was away has an old order and a clock that may have slept. */
function comeBack() {
  if (document.hidden) return;
  clock.distrust();
  looks = 0;
  look();
}

$("pay").addEventListener("click", () => press(pay));
$("pay-anew").addEventListener("click", () => press(payAnew));
$("cancel").addEventListener("click", cancel);
$("retry").addEventListener("click", () => {
  showState("loading");
  look();
});
document.addEventListener("visibilitychange", comeBack);
addEventListener("online", comeBack);
addEventListener("pageshow", ({ persisted }) => {
  if (!persisted) return;
  // The browser has kept the page as it was when it was left to pay.
  busy = false;
  say("");
  comeBack();
});
look();

// The page of one sale: opens Buy on the shop's clock, places the order once, shows what became of it.
// It decides nothing by itself: how a sale stands, what a refusal means and which key to send are
// asked of the files it imports.

import { request } from "./api.js";
import { cancelIsMeant, cancelOrder } from "./cancel.js";
import { ShopClock } from "./clock.js";
import { counted, countdownHolds, countdownText } from "./format.js";
import { hasBought, PurchaseKey, tabStorage } from "./key.js";
import { holdsUnits, lookDelay, unitsOf } from "./order.js";
import { OrderCard } from "./order_card.js";
import { advise } from "./problems.js";
import { failureDelay, lookAgainDelay, pollDelay, sells, STAGE_SENTENCES, stageOf, stateFrom } from "./sale.js";
import { lookWhoIsSignedIn, signedInAtLoad } from "./shell.js";
import { setText } from "./when.js";

// How long one press goes on by itself before it is given back to the shopper.
const PRESS_LASTS_MS = 90_000;
// After an answer the button rests, so that the second half of a double click buys nothing.
const REST_MS = 1500;
// A press that was a little early by the shop's clock waits for the opening by itself.
const EARLY_PRESS_MS = 10_000;
// The longest that `setTimeout` is trusted with at once.
const LONGEST_SLEEP_MS = 60_000;

const $ = (id) => document.getElementById(id);
const { activityId, stockTotal, perUserLimit } = $("sale").dataset;
const api = `/api/v1/activities/${activityId}`;

const clock = new ShopClock();
const key = new PurchaseKey(activityId, tabStorage());
const cards = new Map(); // order id -> OrderCard
const looks = new Map(); // order id -> { timer, failures } of its next look

let user; // undefined until the shop has said who it is
let state = null; // the latest answer of /state
let pressed = false; // a press is under way
let restsUntil = 0; // monotonic
let focusIsOwed = false; // Buy had the focus when it closed
let shownStage = null;
let pollTimer, tickTimer;
let polling = false;
let polledAt = -Infinity;
let failures = 0;

// ---- the sale -------------------------------------------------------------------------------

function stage() {
  return state && clock.ready ? stageOf(state, clock.now()) : null;
}

async function poll() {
  if (polling) return;
  polling = true;
  polledAt = performance.now();
  const answer = await request("GET", `${api}/state`);
  polling = false;
  if (answer.ok) {
    failures = 0;
    state = stateFrom(answer.body);
    learnTime(answer, answer.body.server_time);
  } else {
    failures += 1;
  }
  pollIn(answer.ok ? nextPoll() : failureDelay(failures, answer.retryAfterMs, Math.random()));
  tick();
}

function nextPoll() {
  return pollDelay({
    stage: stage(),
    untilStart: state.startsAt - clock.now(),
    hidden: document.hidden,
    sampleCount: clock.sampleCount,
    random: Math.random(),
  });
}

/** Asks after `delay`, and never twice within a second. */
function pollIn(delay) {
  clearTimeout(pollTimer);
  pollTimer = setTimeout(poll, Math.max(delay, polledAt + 1000 - performance.now(), 0));
}

function learnTime({ sent, received }, serverTime) {
  clock.take({ sent, received, server: Date.parse(serverTime) });
}

// ---- what the page shows --------------------------------------------------------------------

/** Shows everything as of now, and comes back when the first thing shown is no longer right. */
function tick() {
  clearTimeout(tickTimer);
  const holds = [showCountdown(), ...[...cards.values()].map((card) => card.tick(clock.now())), restsUntil - performance.now()];
  showStage();
  showWaysToBuy();
  tickTimer = setTimeout(tick, Math.min(LONGEST_SLEEP_MS, ...holds.filter((hold) => hold > 0)));
}

function showCountdown() {
  const now = stage();
  const counts = now === "before" || sells(now);
  $("countdown").toggleAttribute("data-waiting", !counts);
  if (!counts) return Infinity;
  const left = (now === "before" ? state.startsAt : state.endsAt) - clock.now();
  setText($("countdown-label"), now === "before" ? "Opens in" : "Ends in");
  setText($("countdown-clock"), countdownText(left));
  return countdownHolds(left);
}

function showStage() {
  const now = stage();
  if (now === null) {
    setText($("stage"), failures > 0 ? "The shop cannot be reached. This page keeps trying." : "");
    return;
  }
  // What was said of a press holds no longer when the sale has gone on.
  if (shownStage !== null && shownStage !== now && !pressed) notice("");
  shownStage = now;
  setText($("stage"), STAGE_SENTENCES[now]);
  // A sale that was ended early has not ended when it was to.
  $("ends").hidden = now === "over" && clock.now() < state.endsAt;
  setText($("left"), `${state.remaining.toLocaleString("en")} of ${counted(Number(stockTotal), "unit")} left`);
  $("left-bar").value = state.remaining;
}

function showWaysToBuy() {
  const atLimit = unitsHeld() >= Number(perUserLimit);
  const mustSignIn = user === null;
  const buy = $("buy");
  const hadFocus = document.activeElement === buy;
  buy.hidden = mustSignIn || atLimit;
  buy.disabled = pressed || performance.now() < restsUntil || !sells(stage());
  setText(buy, pressed ? "One moment…" : unitsHeld() > 0 ? "Buy another" : "Buy");
  $("sign-in-to-buy").hidden = !mustSignIn;
  // A disabled button loses the focus; whoever waits at it with the keyboard gets it back.
  focusIsOwed = !buy.hidden && (focusIsOwed || (hadFocus && buy.disabled));
  if (focusIsOwed && !buy.disabled) {
    focusIsOwed = false;
    if (document.activeElement === document.body) buy.focus();
  }
}

function unitsHeld() {
  return [...cards.values()].map(({ order }) => order).filter(holdsUnits).reduce((units, order) => units + unitsOf(order), 0);
}

function notice(text) {
  setText($("notice"), text);
}

// ---- a press --------------------------------------------------------------------------------

async function press() {
  if (pressed || performance.now() < restsUntil || !sells(stage())) return;
  pressed = true;
  notice("Placing your order…");
  // The key is in the tab's storage before the request goes out: whatever happens, this press is one order.
  const pressKey = key.take(new Set(cards.keys()), clock.now());
  tick();
  try {
    await placeOrder(pressKey);
  } finally {
    pressed = false;
    restsUntil = performance.now() + REST_MS;
    tick();
  }
}

/** Sends one press, as often as it takes, always with the same key. */
async function placeOrder(pressKey) {
  const givesUpAt = performance.now() + PRESS_LASTS_MS;
  let unprompted = 0;
  for (;;) {
    const answer = await request("POST", `${api}/orders`, { body: { quantity: 1 }, headers: { "idempotency-key": pressKey } });
    if (answer.ok) return placed(pressKey, answer.body);
    if (answer.retryAfterMs === null) unprompted += 1;
    const advice = advise(answer, unprompted, Math.random());
    const waitMs = advice.act === "wait" ? untilOpening(answer) : advice.waitMs;
    const goesOn = waitMs !== undefined && performance.now() + waitMs < givesUpAt;
    if (!goesOn) return refused(advice, answer);
    notice(`${advice.say} Trying again by itself in ${counted(Math.ceil(waitMs / 1000), "second")}; it stays one order.`);
    await new Promise((resolve) => setTimeout(resolve, waitMs));
  }
}

/** The shop said that it is too early: its clock is right and ours is set by it. */
function untilOpening(answer) {
  const { starts_at: startsAt, server_time: serverTime } = answer.problem;
  learnTime(answer, serverTime);
  if (state && startsAt) state = { ...state, startsAt: Date.parse(startsAt) };
  const wait = Date.parse(startsAt) - clock.now();
  return wait < EARLY_PRESS_MS ? Math.max(wait, 250) : undefined;
}

function placed(pressKey, order) {
  const seen = cards.has(order.id);
  key.bind(pressKey, order.id);
  showOrder(order);
  pollIn(0);
  if (!holdsUnits(order)) {
    notice("Your earlier press had already been answered, and that order is closed. Press again to buy.");
    return;
  }
  notice(seen ? "That press had already bought the order shown here. Press again to buy another." : "Your order is placed.");
  cards.get(order.id).focus();
}

async function refused(advice, { slug }) {
  switch (advice.act) {
    case "sign-in":
      signedOut();
      break;
    case "orders":
      await showOrders(advice.orders);
      break;
    case "new-key":
      // What the old key bought, if anything, is shown before a new one can buy again.
      if ((await loadOrders())?.partial === false) key.drop();
      break;
    case "retry":
      return gaveUp(advice, slug);
  }
  notice(advice.say);
  pollIn(0);
}

/** The shopper gets the press back; if its outcome is open, their orders may tell. */
async function gaveUp(advice, slug) {
  const press = key.last;
  const uncertain = slug === "lost" || slug === "outcome-unknown";
  const read = uncertain ? await loadOrders() : null;
  if (press && read && hasBought(press, read.orders, Number(perUserLimit))) {
    // With a higher limit the key is kept: should it have been another order, the next press is still this one.
    if (perUserLimit === "1") key.adopt(read.orders[0].id);
    notice("Your order went through.");
    return;
  }
  notice(uncertain
    ? "The shop has not answered. Press again when you like: it cannot become a second order."
    : `${advice.say} Nothing was ordered yet. Press again when you like.`);
}

// ---- orders ---------------------------------------------------------------------------------

/**
 * Shows the shopper's orders in this sale that still count. They come back as `{ orders, partial }`, null
 * where they could not be read; with `partial` older ones may be missing.
 */
async function loadOrders() {
  const answer = await request("GET", "/api/v1/orders?limit=100");
  if (!answer.ok) return null;
  const orders = answer.body.items.filter((order) => order.activity_id === activityId);
  for (const order of [...orders].reverse()) {
    if (holdsUnits(order)) showOrder(order);
    else key.close(order.id);
  }
  return { orders: orders.filter(holdsUnits), partial: answer.body.partial === true };
}

async function showOrders(ids) {
  const answers = await Promise.all(ids.slice(0, 10).map((id) => request("GET", `/api/v1/orders/${encodeURIComponent(id)}`)));
  for (const { ok, body } of answers) {
    if (ok) showOrder(body);
  }
}

/** Shows an order as it is now, newest first, and goes on watching it until it is closed. */
function showOrder(order) {
  const card = cards.get(order.id);
  const was = card?.order.status;
  if (card) {
    card.show(order);
  } else {
    const newCard = new OrderCard($("order-template"), order, cancel);
    cards.set(order.id, newCard);
    $("orders").prepend(newCard.element);
  }
  if (!holdsUnits(order)) closed(order, was);
  // With a limit of one, an order that counts is all that an unanswered press can have bought.
  else if (!pressed && perUserLimit === "1") key.adopt(order.id);
  lookIn(order.id, lookDelay(order, clock.now(), { hidden: document.hidden, random: Math.random() }));
  tick();
}

/** The stored key has done its work: the next press is a new purchase. */
function closed(order, was) {
  key.close(order.id);
  if (was === undefined || was === order.status) return;
  notice(sells(stage()) ? "You can buy again." : "");
  pollIn(0);
}

function lookIn(id, delay, failures = 0) {
  clearTimeout(looks.get(id)?.timer);
  if (delay === null) looks.delete(id);
  else looks.set(id, { failures, timer: setTimeout(look, Math.min(Number.isNaN(delay) ? 3000 : delay, LONGEST_SLEEP_MS), id) });
}

function lookAtAll() {
  for (const id of looks.keys()) lookIn(id, Math.random() * 1000);
}

async function look(id) {
  const answer = await request("GET", `/api/v1/orders/${encodeURIComponent(id)}`);
  if (answer.ok) return showOrder(answer.body);
  if (answer.slug === "unauthenticated") {
    if (!pressed) notice("You are signed out. Sign in again to see what becomes of your order.");
    return signedOut();
  }
  const failures = (looks.get(id)?.failures ?? 0) + 1;
  lookIn(id, lookAgainDelay(answer, failures, { hidden: document.hidden, random: Math.random() }), failures);
  if (answer.slug === "not-found") removeOrder(id);
}

/** It is not this shopper's. */
function removeOrder(id) {
  cards.get(id)?.element.remove();
  cards.delete(id);
  tick();
}

/** No order is looked at until somebody is signed in again; what was shown stays. */
function signedOut() {
  for (const { timer } of looks.values()) clearTimeout(timer);
  if (user !== null) lookWhoIsSignedIn();
  user = null;
  tick();
}

async function cancel(id) {
  if (!(await cancelIsMeant())) return;
  const card = cards.get(id);
  card.cancelling = true;
  const failure = await cancelOrder(id);
  card.cancelling = false;
  if (failure) notice(failure);
  await look(id);
  // The button that had the focus is gone.
  if (document.activeElement === document.body) card.focus();
}

// ---- coming and coming back -----------------------------------------------------------------

async function arrive(who) {
  const wasSignedOut = user === null;
  user = await who;
  tick();
  if (!user) return;
  if (wasSignedOut) notice("");
  lookAtAll();
  const press = key.last;
  const read = await loadOrders();
  if (press?.order !== null) return;
  if (read && hasBought(press, read.orders, Number(perUserLimit))) notice("Your last press went through.");
  else notice("An earlier press was not answered. Press Buy again: it cannot become a second order.");
}

/** A page that was away has an old state, a clock that may have slept, and perhaps a new session. */
function comeBack() {
  if (document.hidden) return;
  clock.distrust();
  pollIn(0);
  if (user) lookAtAll();
  else arrive(lookWhoIsSignedIn());
  tick();
}

/** The order may be there before the second half of a double click, which was not meant for it. */
function ignoreSecondHalf(event) {
  if (event.detail < 2) return;
  event.preventDefault();
  event.stopPropagation();
}

$("buy").addEventListener("click", press);
$("orders").addEventListener("click", ignoreSecondHalf, { capture: true });
document.addEventListener("visibilitychange", comeBack);
addEventListener("online", comeBack);
addEventListener("pageshow", ({ persisted }) => persisted && comeBack());
arrive(signedInAtLoad);
poll();

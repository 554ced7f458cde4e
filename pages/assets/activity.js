// The page of one sale: opens Buy on the shop's clock, places the order once, shows what became of it.
// It brings its parts together and decides nothing by itself: how the sale stands, what a press comes to,
// what an order means and which key to send are asked of the files it imports.

import { BuyPanel } from "./buy_panel.js";
import { LONGEST_SLEEP_MS, ShopClock } from "./clock.js";
import { keyAfter } from "./key.js";
import { OpenPress } from "./open_press.js";
import { holdsUnits } from "./order.js";
import { placeOrder } from "./press.js";
import { failureDelay, sells } from "./sale.js";
import { SaleOrders } from "./sale_orders.js";
import { SaleWatch } from "./sale_watch.js";
import { lookWhoIsSignedIn, signedInAtLoad } from "./shell.js";
import { setText } from "./when.js";

// After an answer the button rests, so that the second half of a double click buys nothing.
const REST_MS = 1500;
// A press that comes before the shopper's orders waits for them, but not for long.
const ORDERS_WAIT_MS = 2000;
// The shop's clock is known to about a second from afar.
const CLOCK_ERROR_MS = 1000;
// Answers after which the shop may have placed the order, or be about to.
const UNCERTAIN = ["lost", "outcome-unknown", "limit-reached"];

const $ = (id) => document.getElementById(id);
const { activityId, stockTotal, perUserLimit } = $("sale").dataset;
const limit = Number(perUserLimit);
const api = `/api/v1/activities/${activityId}`;

const clock = new ShopClock();
const openPress = new OpenPress(activityId);
const panel = new BuyPanel(Number(stockTotal));
const sale = new SaleWatch(api, clock, tick);
const orders = new SaleOrders(activityId, clock, { shown, gone: tick, signedOut: sessionEnded, say: notice });

let arrival; // settles when the shopper's orders have been read, or could not be
let user; // undefined until the shop has said who it is
let pressed = false; // a press is under way
let restsUntil = 0; // monotonic
let tickTimer, ordersTimer;

/** Shows everything as of now, and comes back when the first thing shown is no longer right. */
function tick() {
  clearTimeout(tickTimer);
  const now = clock.now();
  const holds = [panel.showCountdown(sale, now), ...orders.tick(now), restsUntil - performance.now()];
  // What was said of a press holds no longer when the sale has gone on.
  if (panel.showStage(sale, now) && !pressed) notice("");
  const held = orders.unitsHeld;
  panel.showWaysToBuy({ mustSignIn: user === null, atLimit: held >= limit, hasBought: held > 0, pressed, waits: !opensToPresses() });
  tickTimer = setTimeout(tick, Math.min(LONGEST_SLEEP_MS, ...holds.filter((hold) => hold > 0)));
}

function opensToPresses() {
  return performance.now() >= restsUntil && sells(sale.stage);
}

function notice(text) {
  setText($("notice"), text);
}

// ---- a press --------------------------------------------------------------------------------

async function press() {
  if (pressed || !opensToPresses()) return;
  pressed = true;
  notice("Placing your order…");
  tick();
  try {
    await Promise.race([arrival, new Promise((resolve) => setTimeout(resolve, ORDERS_WAIT_MS))]);
    const [key, pressedAt] = [nextKey(), clock.now()];
    openPress.open(key);
    const { order, advice, slug } = await placeOrder(api, key, { say: notice, learnOpening: (answer) => sale.learnOpening(answer) });
    if (order) placed(order, pressedAt);
    else await refused(advice, slug, key);
  } finally {
    pressed = false;
    restsUntil = performance.now() + REST_MS;
    tick();
  }
}

/** The key of a press now: whoever sees the same orders, in whatever tab, has the same. */
function nextKey() {
  return keyAfter(activityId, orders.ids.at(-1));
}

function placed(order, pressedAt) {
  openPress.close();
  orders.show(order);
  sale.askIn(0);
  if (!holdsUnits(order)) {
    notice("An earlier press had bought this order, and it is closed by now. Press again to buy.");
    return;
  }
  const isOlder = Date.parse(order.created_at) < pressedAt - CLOCK_ERROR_MS;
  notice(isOlder ? "An earlier press had already bought this order. Press again to buy another." : "Your order is placed.");
  orders.focus(order.id);
}

async function refused(advice, slug, key) {
  switch (advice.act) {
    case "sign-in":
      // An earlier attempt of this press may have bought all the same.
      notice(advice.say);
      return signedOut();
    case "orders":
      await orders.loadNamed(advice.orders);
      break;
    case "look-up":
      await readOrders();
      break;
    case "retry":
      return gaveUp(advice, slug, key);
  }
  openPress.close();
  notice(advice.say);
  sale.askIn(0);
}

/** The shopper gets the press back; if its outcome is open, their orders may tell. */
async function gaveUp(advice, slug, key) {
  if (!UNCERTAIN.includes(slug)) {
    openPress.close();
    notice(`${advice.say} Nothing was ordered yet. Press again when you like.`);
    return;
  }
  notice((await outcomeOf(key)) || "The shop has not answered. Press again when you like: it cannot become a second order.");
}

/** Reads the shopper's orders: what they tell of a press that was not answered, "" where they do not. */
async function outcomeOf(key) {
  const areAll = await readOrders();
  const newest = orders.ids.at(-1);
  // What comes after an order is bought by one key, so an order that has come was bought by this one.
  if (!areAll || newest === undefined || key === nextKey()) return "";
  openPress.close();
  return orders.shows(newest) ? "Your last press went through." : "Your last press went through, but that order is closed by now.";
}

// ---- orders ---------------------------------------------------------------------------------

/** Reads the shopper's orders, and goes on by itself until all are known. Returns whether they are by now. */
async function readOrders(failures = 1) {
  clearTimeout(ordersTimer);
  const areAll = await orders.load();
  // A page that no one looks at reads them when it comes back.
  if (!areAll && user && !document.hidden) {
    ordersTimer = setTimeout(readOrders, failureDelay(failures, null, Math.random()), failures + 1);
  }
  return areAll;
}

/** An order is shown as it is now; `was` is its status as it was shown before. */
function shown(order, was) {
  if (!holdsUnits(order) && was !== undefined && was !== order.status) {
    notice(sells(sale.stage) ? "You can buy again." : "");
    sale.askIn(0);
  }
  tick();
}

function sessionEnded() {
  if (!pressed) notice("You are signed out. Sign in again to see what becomes of your order.");
  signedOut();
}

/** No order is looked at until somebody is signed in again. */
function signedOut() {
  orders.rest();
  if (user !== null) lookWhoIsSignedIn();
  user = null;
  tick();
}

// ---- coming and coming back -----------------------------------------------------------------

async function arrive(who) {
  const wasSignedOut = user === null;
  user = await who;
  tick();
  if (!user) return;
  if (wasSignedOut) notice("");
  orders.lookAtAll();
  const { key } = openPress;
  if (key === null) return readOrders();
  const outcome = await outcomeOf(key);
  if (!pressed) notice(outcome || "An earlier press was not answered. Press Buy again: it cannot become a second order.");
}

/** A page that was away has an old state, a clock that may have slept, and perhaps a new session. */
function comeBack() {
  if (document.hidden) return;
  clock.distrust();
  sale.askIn(0);
  if (user) lookAgain();
  else arrival = arrive(lookWhoIsSignedIn());
  tick();
}

/** Another tab may have bought in the meantime. */
function lookAgain() {
  orders.lookAtAll();
  readOrders();
}

/** The order may be there before the second half of a double click, which was not meant for it. */
function ignoreSecondHalf(event) {
  if (event.detail < 2) return;
  event.preventDefault();
  event.stopPropagation();
}

$("buy").addEventListener("click", press);
$("retry").addEventListener("click", comeBack);
$("orders").addEventListener("click", ignoreSecondHalf, { capture: true });
document.addEventListener("visibilitychange", comeBack);
addEventListener("online", comeBack);
addEventListener("pageshow", ({ persisted }) => persisted && comeBack());
arrival = arrive(signedInAtLoad);
sale.ask();

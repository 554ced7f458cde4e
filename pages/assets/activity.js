// The page of one sale: opens Buy on the shop's clock, places the order once, shows what became of it.
// It brings its parts together and decides nothing by itself: how the sale stands, what a press comes to,
// what an order means and which key to send are asked of the files it imports.

import { BuyPanel } from "./buy_panel.js";
import { LONGEST_SLEEP_MS, ShopClock } from "./clock.js";
import { hasBought, PurchaseKey, tabStorage } from "./key.js";
import { holdsUnits } from "./order.js";
import { placeOrder } from "./press.js";
import { sells } from "./sale.js";
import { SaleOrders } from "./sale_orders.js";
import { SaleWatch } from "./sale_watch.js";
import { lookWhoIsSignedIn, signedInAtLoad } from "./shell.js";
import { setText } from "./when.js";

// After an answer the button rests, so that the second half of a double click buys nothing.
const REST_MS = 1500;

const $ = (id) => document.getElementById(id);
const { activityId, stockTotal, perUserLimit } = $("sale").dataset;
const limit = Number(perUserLimit);
const api = `/api/v1/activities/${activityId}`;

const clock = new ShopClock();
const key = new PurchaseKey(activityId, tabStorage());
const panel = new BuyPanel(Number(stockTotal));
const sale = new SaleWatch(api, clock, tick);
const orders = new SaleOrders(activityId, clock, { shown, gone: tick, signedOut: sessionEnded, say: notice });

let user; // undefined until the shop has said who it is
let pressed = false; // a press is under way
let restsUntil = 0; // monotonic
let tickTimer;

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
  // The key is in the tab's storage before the request goes out: whatever happens, this press is one order.
  const pressKey = key.take(orders.ids, clock.now());
  tick();
  try {
    const { order, advice, slug } = await placeOrder(api, pressKey, { say: notice, learnOpening: (answer) => sale.learnOpening(answer) });
    if (order) placed(pressKey, order);
    else await refused(advice, slug);
  } finally {
    pressed = false;
    restsUntil = performance.now() + REST_MS;
    tick();
  }
}

function placed(pressKey, order) {
  const seen = orders.ids.has(order.id);
  key.bind(pressKey, order.id);
  orders.show(order);
  sale.askIn(0);
  if (!holdsUnits(order)) {
    notice("Your earlier press had already been answered, and that order is closed. Press again to buy.");
    return;
  }
  notice(seen ? "That press had already bought the order shown here. Press again to buy another." : "Your order is placed.");
  orders.focus(order.id);
}

async function refused(advice, slug) {
  switch (advice.act) {
    case "sign-in":
      signedOut();
      break;
    case "orders":
      await orders.loadNamed(advice.orders);
      break;
    case "new-key":
      // What the old key bought, if anything, is shown before a new one can buy again.
      if ((await loadOrders())?.partial === false) key.drop();
      break;
    case "retry":
      return gaveUp(advice, slug);
  }
  notice(advice.say);
  sale.askIn(0);
}

/** The shopper gets the press back; if its outcome is open, their orders may tell. */
async function gaveUp(advice, slug) {
  const press = key.last;
  const uncertain = slug === "lost" || slug === "outcome-unknown";
  const read = uncertain ? await loadOrders() : null;
  if (press && read && hasBought(press, read.held, limit)) {
    // With a higher limit the key is kept: should it have been another order, the next press is still this one.
    if (limit === 1) key.adopt(read.held[0].id);
    notice("Your order went through.");
    return;
  }
  notice(uncertain
    ? "The shop has not answered. Press again when you like: it cannot become a second order."
    : `${advice.say} Nothing was ordered yet. Press again when you like.`);
}

// ---- orders ---------------------------------------------------------------------------------

async function loadOrders() {
  const read = await orders.load();
  for (const { id } of read?.closed ?? []) key.close(id);
  return read;
}

/** An order is shown as it is now; `was` is its status as it was shown before. */
function shown(order, was) {
  if (holdsUnits(order)) {
    // With a limit of one, an order that counts is all that an unanswered press can have bought.
    if (!pressed && limit === 1) key.adopt(order.id);
  } else {
    // The stored key has done its work: the next press is a new purchase.
    key.close(order.id);
    if (was !== undefined && was !== order.status) {
      notice(sells(sale.stage) ? "You can buy again." : "");
      sale.askIn(0);
    }
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
  const press = key.last;
  const read = await loadOrders();
  if (press?.order !== null) return;
  if (read && hasBought(press, read.held, limit)) notice("Your last press went through.");
  else notice("An earlier press was not answered. Press Buy again: it cannot become a second order.");
}

/** A page that was away has an old state, a clock that may have slept, and perhaps a new session. */
function comeBack() {
  if (document.hidden) return;
  clock.distrust();
  sale.askIn(0);
  if (user) orders.lookAtAll();
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
sale.ask();

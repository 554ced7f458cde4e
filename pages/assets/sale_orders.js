// The shopper's orders in one sale: shown, newest first, and each watched until it is closed.
// It must not know keys, nor how the sale stands: it tells what it has shown.

import { request } from "./api.js";
import { cancelIsMeant, cancelOrder } from "./cancel.js";
import { LONGEST_SLEEP_MS } from "./clock.js";
import { oldestFirst } from "./key.js";
import { holdsUnits, lookDelay, unitsOf } from "./order.js";
import { OrderCard } from "./order_card.js";
import { lookAgainDelay } from "./sale.js";

// Orders that a refusal names are few; of more, the first tell enough.
const NAMED_MAX = 10;

const $ = (id) => document.getElementById(id);

export class SaleOrders {
  #activityId;
  #clock;
  #tell;
  #cards = new Map(); // order id -> OrderCard
  #known = new Map(); // order id -> the order, of those too that were closed before they could be shown
  #looks = new Map(); // order id -> { timer, failures } of its next look

  /**
   * `tell` has `shown(order, was)`, where `was` is the status that was shown before, `gone()`,
   * `signedOut()` and `say(text)`.
   */
  constructor(activityId, clock, tell) {
    this.#activityId = activityId;
    this.#clock = clock;
    this.#tell = tell;
  }

  /** The ids of all that are known, the oldest first. */
  get ids() {
    return oldestFirst(this.#known.values());
  }

  /** Whether the order is shown. */
  shows(id) {
    return this.#cards.has(id);
  }

  /** Units of those that count against the shopper's limit. */
  get unitsHeld() {
    const orders = [...this.#cards.values()].map(({ order }) => order);
    return orders.filter(holdsUnits).reduce((units, order) => units + unitsOf(order), 0);
  }

  /** Shows the shop's time; returns how long what each shows stays right. */
  tick(now) {
    return [...this.#cards.values()].map((card) => card.tick(now));
  }

  focus(id) {
    this.#cards.get(id).focus();
  }

  /**
   * Shows the shopper's orders in this sale that still count; those that count no more are known from here
   * on. Returns whether all are known now.
   */
  async load() {
    const answer = await request("GET", "/api/v1/orders?limit=100");
    if (!answer.ok) return false;
    const orders = answer.body.items.filter((order) => order.activity_id === this.#activityId);
    for (const order of orders.reverse()) {
      if (holdsUnits(order) || this.shows(order.id)) this.show(order);
      else this.#known.set(order.id, order);
    }
    return answer.body.partial !== true;
  }

  /** Shows orders that are known by their ids alone. */
  async loadNamed(ids) {
    const answers = await Promise.all(ids.slice(0, NAMED_MAX).map(ask));
    for (const { ok, body } of answers) {
      if (ok) this.show(body);
    }
  }

  /** Shows an order as it is now, and goes on watching it until it is closed. */
  show(order) {
    this.#known.set(order.id, order);
    const card = this.#cards.get(order.id);
    const was = card?.order.status;
    if (card) {
      card.show(order);
    } else {
      const newCard = new OrderCard($("order-template"), order, (id) => this.#cancel(id));
      this.#cards.set(order.id, newCard);
      $("orders").prepend(newCard.element);
    }
    this.#lookIn(order.id, lookDelay(order, this.#clock.now(), { hidden: document.hidden, random: Math.random() }));
    this.#tell.shown(order, was);
  }

  /** Looks at all that are watched, soon. */
  lookAtAll() {
    for (const id of this.#looks.keys()) this.#lookIn(id, Math.random() * 1000);
  }

  /** None is looked at until they are all looked at again; what is shown stays. */
  rest() {
    for (const { timer } of this.#looks.values()) clearTimeout(timer);
  }

  #lookIn(id, delay, failures = 0) {
    clearTimeout(this.#looks.get(id)?.timer);
    if (delay === null) return this.#looks.delete(id);
    const sleep = Math.min(Number.isNaN(delay) ? 3000 : delay, LONGEST_SLEEP_MS);
    this.#looks.set(id, { failures, timer: setTimeout(() => this.#look(id), sleep) });
  }

  async #look(id) {
    const answer = await ask(id);
    if (answer.ok) return this.show(answer.body);
    if (answer.slug === "unauthenticated") return this.#tell.signedOut();
    const failures = (this.#looks.get(id)?.failures ?? 0) + 1;
    this.#lookIn(id, lookAgainDelay(answer, failures, { hidden: document.hidden, random: Math.random() }), failures);
    if (answer.slug === "not-found") this.#remove(id);
  }

  /** It is not this shopper's. */
  #remove(id) {
    this.#cards.get(id)?.element.remove();
    this.#cards.delete(id);
    this.#known.delete(id);
    this.#tell.gone();
  }

  async #cancel(id) {
    if (!(await cancelIsMeant())) return;
    const card = this.#cards.get(id);
    card.cancelling = true;
    const failure = await cancelOrder(id);
    card.cancelling = false;
    if (failure) this.#tell.say(failure);
    await this.#look(id);
    // The button that had the focus is gone.
    if (document.activeElement === document.body) card.focus();
  }
}

function ask(id) {
  return request("GET", `/api/v1/orders/${encodeURIComponent(id)}`);
}

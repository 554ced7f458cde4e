// One order on the page.
// It must not know the network: it shows what it is given.

import { counted, countdownHolds, countdownText, localInstantText, moneyText } from "./format.js";
import { canBePaid, isOpen, leftToPay, orderSentence, unitsOf } from "./order.js";
import { copyOf, setText } from "./when.js";

export class OrderCard {
  #order;
  #parts;

  constructor(template, order, onCancel) {
    const { element, parts } = copyOf(template, "order");
    this.element = element;
    this.#parts = parts;
    this.#parts.link.href = `/orders/${encodeURIComponent(order.id)}`;
    this.#parts.cancel.addEventListener("click", () => onCancel(this.#order.id));
    this.show(order);
  }

  get order() {
    return this.#order;
  }

  show(order) {
    this.#order = order;
    this.element.dataset.status = order.status;
    this.#parts.id.textContent = order.id;
    this.#parts.units.textContent = counted(unitsOf(order), "unit");
    this.#parts.total.textContent = moneyText(order.total);
    this.#parts["pay-before-row"].hidden = !(isOpen(order) && order.pay_before);
    if (order.pay_before) this.#parts["pay-before"].textContent = localInstantText(order.pay_before);
    this.#parts.cancel.hidden = !isOpen(order);
  }

  /** Shows the shop's time; returns how long what it shows stays right. */
  tick(now) {
    const left = leftToPay(this.#order, now);
    const runs = left !== null && left > 0;
    setText(this.#parts.sentence, orderSentence(this.#order, now));
    setText(this.#parts.link, canBePaid(this.#order, now) ? "Pay for this order" : "See this order");
    this.#parts.countdown.hidden = !runs;
    if (!runs) return Infinity;
    setText(this.#parts.clock, countdownText(left));
    return countdownHolds(left);
  }

  /** While a cancellation is under way, a second one cannot be sent. */
  set cancelling(underWay) {
    this.#parts.cancel.disabled = underWay;
  }

  focus() {
    this.element.querySelector("h2").focus();
  }
}

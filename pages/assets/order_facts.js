// What an order holds, filled into its page: lines, total, instants, payments, the way to its sale.
// It must not know the network or the time: it shows what it is given.

import { counted, localInstantText, moneyText } from "./format.js";
import { gaveUnitsBack, paymentSentence, reasonSentence, statusWord, titleOf, unitsOf } from "./order.js";
import { copyOf, setText } from "./when.js";

const $ = (id) => document.getElementById(id);

export function showFacts(order) {
  setText($("order-title"), titleOf(order));
  setText($("order-id"), order.id);
  setText($("status"), statusWord(order));
  $("status").dataset.status = order.status;
  setText($("reason"), reasonSentence(order));
  $("lines").replaceChildren(...order.lines.map(line));
  setText($("units"), counted(unitsOf(order), "unit"));
  setText($("total"), moneyText(order.total));
  showInstant("placed", order.created_at);
  for (const name of ["pay_before", "paid_at", "closed_at"]) showInstant(name, order[name]);
  $("as-of").hidden = !order.as_of;
  if (order.as_of) setText($("as-of"), `This is how the order stood at ${localInstantText(order.as_of)}. It may have changed since.`);
  showPayments(order.payments ?? []);
  showSale(order);
}

function line({ title, product_id: product, quantity, unit_price: price }) {
  const { element, parts } = copyOf($("line-template"), "line");
  parts.title.textContent = title;
  parts.title.href = `/products/${encodeURIComponent(product)}`;
  parts.count.textContent = `${quantity.toLocaleString("en")} × ${moneyText(price)}`;
  return element;
}

function showInstant(name, instant) {
  $(`${name}-row`).hidden = !instant;
  if (!instant) return;
  setText($(name), localInstantText(instant));
  $(name).dateTime = instant;
}

/** A payment that is shown already keeps its place, so that only what is new of it is read aloud. */
function showPayments(payments) {
  $("payments-part").hidden = payments.length === 0;
  const rows = new Map([...$("payments").children].map((row) => [row.dataset.paymentId, row]));
  for (const payment of payments) {
    const row = rows.get(payment.payment_id) ?? newPayment(payment);
    rows.delete(payment.payment_id);
    setText(row.querySelector("[data-payment=status]"), paymentSentence(payment));
    row.dataset.status = payment.status;
  }
  for (const gone of rows.values()) gone.remove();
}

function newPayment({ payment_id: id, amount }) {
  const { element, parts } = copyOf($("payment-template"), "payment");
  element.dataset.paymentId = id;
  parts.id.textContent = id;
  parts.amount.textContent = moneyText(amount);
  $("payments").append(element);
  return element;
}

function showSale(order) {
  $("sale-part").hidden = !order.activity_id;
  if (!order.activity_id) return;
  $("sale-link").href = `/activities/${encodeURIComponent(order.activity_id)}`;
  setText($("sale-hint"), gaveUnitsBack(order) ? "What this order held went back on sale: a unit may be free again." : "");
}

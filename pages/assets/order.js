// What an order means to its shopper.
// It must not know the page or the network: an order of the API goes in.

/** Whether the order may still become something else by itself. */
export function isOpen({ status }) {
  return status === "accepted" || status === "awaiting_payment";
}

/** Whether the order counts against the shopper's limit. */
export function holdsUnits(order) {
  return isOpen(order) || order.status === "paid";
}

/** Units in all lines. */
export function unitsOf({ lines }) {
  return lines.reduce((units, { quantity }) => units + quantity, 0);
}

/** Milliseconds left to pay, or null where no such clock runs. */
export function leftToPay(order, now) {
  return order.status === "awaiting_payment" && order.pay_before ? Date.parse(order.pay_before) - now : null;
}

export function orderSentence(order, now) {
  switch (order.status) {
    case "accepted":
      return "Your order is in. It is being confirmed; the time to pay has not begun.";
    case "awaiting_payment":
      return leftToPay(order, now) <= 0
        ? "The time to pay is over. Asking the shop how this order ended."
        : "It is kept for you until the time to pay is over.";
    case "paid":
      return "This order is paid.";
    case "expired":
      return "This order was not paid in time, so it ended and its units went back on sale.";
    case "cancelled":
      return "This order is cancelled; its units went back on sale.";
    case "rejected":
      return "This order could not be confirmed, so it ended. Nothing is to be paid.";
    case "refunded":
      return "This order was paid back.";
    default:
      return `This order is ${String(order.status).replaceAll("_", " ")}.`;
  }
}

/** Milliseconds until it is worth asking for the order again; null when it is closed. */
export function lookDelay(order, now, { hidden, random }) {
  if (!isOpen(order)) return null;
  const jitter = 0.75 + random / 2;
  if (order.status === "accepted") return (hidden ? 20_000 : 2000) * jitter;
  const left = leftToPay(order, now);
  if (left === null || left <= 0) return (hidden ? 20_000 : 3000) * jitter;
  // A little after its end, so that the shop has ended it too.
  return Math.min((hidden ? 60_000 : 20_000) * jitter, left + 300 + 700 * random);
}

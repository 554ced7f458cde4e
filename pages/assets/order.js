// What an order and its payments mean to their shopper.
// It must not know the page or the network: an order of the API goes in.

/** Whether the order may still become something else by itself. */
export function isOpen({ status }) {
  return status === "accepted" || status === "awaiting_payment";
}

/** Whether the order counts against the shopper's limit. */
export function holdsUnits(order) {
  return isOpen(order) || order.status === "paid";
}

/** Whether its units went back, so that they may be on sale again for this shopper too. */
export function gaveUnitsBack({ status }) {
  return status === "expired" || status === "cancelled";
}

/** Units in all lines. */
export function unitsOf({ lines }) {
  return lines.reduce((units, { quantity }) => units + quantity, 0);
}

/** What was ordered, in one line. */
export function titleOf({ lines }) {
  const more = lines.length - 1;
  return lines.length === 0 ? "Order" : lines[0].title + (more > 0 ? ` and ${more} more` : "");
}

/**
 * What stands below a list of orders: `{ say, button }`, "" for none. `more` is whether the list goes
 * on; a `partial` one, which lacks what only the shop's store knows, is never called all there is.
 */
export function endOfList({ more, partial }) {
  if (more) return { say: "", button: "Show more" };
  return partial ? { say: OLDER_ARE_AWAY, button: "Try again" } : { say: "These are all your orders.", button: "" };
}

export const OLDER_ARE_AWAY = "Older orders cannot be shown right now.";

/** Milliseconds left to pay, or null where no such clock runs. */
export function leftToPay(order, now) {
  return order.status === "awaiting_payment" && order.pay_before ? Date.parse(order.pay_before) - now : null;
}

/** Whether the order can be paid now; while the shop's time is not known yet, it is asked all the same. */
export function canBePaid(order, now) {
  return order.status === "awaiting_payment" && !(order.pay_before && leftToPay(order, now) <= 0);
}

/** The payments that are under way. */
export function paymentsUnderWay({ payments = [] }) {
  return payments.filter(({ status }) => status === "started");
}

function isBeingPaid(order) {
  return paymentsUnderWay(order).length > 0;
}

function owes({ payments = [] }) {
  return payments.some(({ status }) => status === "refund_due");
}

// An order that waits on, by how its last payment ended.
const KEPT = {
  failed: "The payment did not go through. The order is still kept for you, and you can pay again.",
  refund_due: "What was paid was not what is due, so it goes back to you. The order is still kept for you.",
  refunded: "What was paid was not what is due, so it went back to you. The order is still kept for you.",
};

const STATUS_WORDS = {
  accepted: "Being confirmed",
  awaiting_payment: "Waiting for payment",
  paid: "Paid",
  expired: "Not paid in time",
  cancelled: "Cancelled",
  rejected: "Not confirmed",
  refunded: "Paid back",
};

/** The status in a word or two, for a list. */
export function statusWord({ status }) {
  return STATUS_WORDS[status] ?? asWords(status);
}

export function orderSentence(order, now) {
  switch (order.status) {
    case "accepted":
      return "Your order is in. It is being confirmed; the time to pay has not begun.";
    case "awaiting_payment":
      return leftToPay(order, now) <= 0
        ? "The time to pay is over. Asking the shop how this order ended."
        : isBeingPaid(order)
          ? "We are waiting for the payment to be confirmed."
          : KEPT[order.payments?.at(-1)?.status] ?? "It is kept for you until the time to pay is over.";
    case "paid":
      return "This order is paid.";
    case "expired":
      return "This order was not paid in time, so it ended and its units went back on sale.";
    case "cancelled":
      return "This order is cancelled; its units went back on sale.";
    case "rejected":
      return "This order could not be confirmed, so it ended. Nothing is to be paid.";
    case "refunded":
      return owes(order) ? "This order is given back. The money is on its way back to you." : "This order was paid back.";
    default:
      return `This order is ${asWords(order.status).toLowerCase()}.`;
  }
}

const REASONS = {
  limit_reached: "You already hold the most that one shopper may buy in this sale.",
  unconfirmed: "It could not be confirmed in time.",
};

/** Why the order is as it is, where the shop says so; else "". */
export function reasonSentence({ reason }) {
  if (typeof reason !== "string" || reason === "") return "";
  return REASONS[reason.replaceAll("-", "_")] ?? `${asWords(reason)}.`;
}

const PAYMENT_SENTENCES = {
  started: "Waiting for the payment to be confirmed",
  succeeded: "Paid",
  failed: "The payment did not go through",
  refund_due: "The money is on its way back",
  refunded: "The money went back",
};

export function paymentSentence({ status }) {
  return PAYMENT_SENTENCES[status] ?? asWords(status);
}

function asWords(name) {
  const words = String(name).replaceAll(/[_-]/g, " ").replace(/\.$/, "");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/**
 * Milliseconds until it is worth asking for the order again; null when nothing of it can change by
 * itself. `looks` counts those that found nothing new.
 */
export function lookDelay(order, now, { hidden, random, looks = 0 }) {
  const jitter = 0.75 + random / 2;
  const settling = settlingDelay(order, looks);
  const atMost = (longest) => (hidden ? 60_000 : Math.min(settling ?? longest, longest)) * jitter;
  // Money may come late, for an order that is closed, and goes back in the provider's own time.
  if (!isOpen(order)) return settling === null ? null : atMost(60_000);
  if (order.status === "accepted") return (hidden ? 20_000 : 2000) * jitter;
  const left = leftToPay(order, now);
  if (left === null || left <= 0) return (hidden ? 20_000 : 3000) * jitter;
  // A little after its end, so that the shop has ended it too.
  return Math.min(atMost(20_000), left + 300 + 700 * random);
}

/** The news of a payment comes soon, or is long in coming; null where no payment has news to come. */
function settlingDelay(order, looks) {
  return isBeingPaid(order) || owes(order) ? 1000 * 1.25 ** Math.min(looks, 30) : null;
}

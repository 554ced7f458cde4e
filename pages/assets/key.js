// The idempotency key of a purchase or a payment. It is made of what is bought and of the newest order of it
// that the shopper sees, and of nothing else: so a second press, a reload, another tab and another device all
// send the same key and end at the same order, and a press is meant for another order only where the shopper
// sees the one before. Keys are each shopper's own, and the shop remembers them as long as it sells.
// It must not know requests or the page, and keeps nothing.

/** `what` is bought or paid; `newest` is the id of the newest order (or payment) of it, undefined where none is seen. */
export function keyAfter(what, newest) {
  return `page.${what}.${newest === undefined ? "first" : `after.${newest}`}`;
}

/** The ids of orders, the oldest first: in one order for all who see the same. */
export function oldestFirst(orders) {
  const instant = ({ created_at: at }) => Date.parse(at);
  const byAge = (a, b) => instant(a) - instant(b) || a.id.localeCompare(b.id, "en", { numeric: true });
  return [...orders].sort(byAge).map(({ id }) => id);
}

// What the sandbox bank can be asked to do with a payment, and the news that the shop then gets of it.
// It must not know the page or the network: a payment goes in, deliveries come out.

export const LATE_MS = 5000;
const GAP_MS = 500;

const news = (type, more) => ({ type: `payment.${type}`, delay_ms: 0, ...more });

/** Each choice of the page, by its name. */
const CHOICES = {
  pay: () => [news("succeeded")],
  decline: () => [news("failed")],
  late: () => [news("succeeded", { delay_ms: LATE_MS })],
  twice: () => [news("succeeded", { copies: 2 })],
  // Declined at first, then paid; the shop hears it the other way round.
  disorder: () => [news("succeeded"), news("failed", { delay_ms: GAP_MS })],
  wrong: ({ amount }) => [news("succeeded", { amount: wrongAmount(amount.amount) })],
};

export const CHOICE_NAMES = Object.keys(CHOICES);

/** The deliveries that a choice causes, in the order in which they arrive. */
export function deliveriesOf(choice, payment) {
  return CHOICES[choice](payment);
}

/** A little less, where there is less. */
export function wrongAmount(amount) {
  return amount > 1 ? amount - 1 : amount + 1;
}

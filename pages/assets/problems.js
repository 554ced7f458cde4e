// What to tell a shopper whose press on Buy or Pay was refused, and what to do about it.
// It must not know the page or the network: an answer goes in, advice comes out.

const STEP_MS = 1000;
const LONGEST_STEP_MS = 8000;

/**
 * Advice on an answer that is no success: `{ say, act, waitMs? }`. `act` is one of
 *   "retry"    the same key again after `waitMs`: nothing happened, or it may have happened
 *   "wait"     the sale is not open yet; press again by itself when it is
 *   "sign-in"  show the way to sign in
 *   "orders"   show the orders that the shopper has, which `orders` names
 *   "look"     ask how the sale stands now
 *   "look-up"  read the orders that the shopper has: one is not known yet
 *   "stop"     there is nothing to do but read
 * `unprompted` counts the answers to this press, this one included, that did not say when to come
 * back; `random` lies in 0..1.
 */
export function advise({ slug, problem, retryAfterMs }, unprompted, random) {
  const retry = (say) => ({ act: "retry", say, waitMs: waitFor(retryAfterMs, unprompted, random) });
  switch (slug) {
    case "not-started":
      return { act: "wait", say: "The sale is not open yet." };
    case "ended":
      return { act: "look", say: "This sale has ended, so no order was placed." };
    case "paused":
      return { act: "look", say: "The shop has paused this sale. You can buy as soon as it goes on." };
    case "sold-out":
    case "insufficient-stock":
      return { act: "look", say: soldOut(problem) };
    case "limit-reached":
      return problem.pending === true
        ? retry("Your earlier press is still being worked on.")
        : { act: "orders", orders: problem.orders ?? [], say: "You already have the most that one shopper may buy here." };
    case "rate-limited":
      return retry("That was a little too fast.");
    case "overloaded":
      return retry("Very many people are buying right now.");
    case "unavailable":
      return retry("The shop takes no orders for a moment.");
    case "outcome-unknown":
      return retry("It is not certain yet whether your order went through.");
    case "lost":
      return retry("The connection was lost before the shop could answer.");
    case "unauthenticated":
      return { act: "sign-in", say: "Sign in first, then you come back here." };
    case "cross-origin":
      return { act: "stop", say: "The browser sent this press from another address. Open the shop by its own address and try again." };
    case "admission-required":
      return { act: "stop", say: "This sale lets shoppers in a few at a time, and it is not your turn yet." };
    case "not-found":
      return { act: "stop", say: "The shop does not know this sale any more." };
    case "idempotency-mismatch":
      return { act: "look-up", say: "An earlier press got in the way. Press again." };
    default:
      return { act: "stop", say: plain(problem.detail ?? problem.title) };
  }
}

/** What to say of a payment that was not begun. One that may have been begun stays one payment. */
export function payAdvice({ slug, problem, retryAfterMs }) {
  const again = retryAfterMs ? `in ${Math.ceil(retryAfterMs / 1000)} seconds` : "in a moment";
  switch (slug) {
    case "order-state":
      return "No payment can be begun for this order any more; it is shown as it is now.";
    case "idempotency-mismatch":
      return "An earlier press got in the way. Press again.";
    case "unavailable":
      // What the shop says of it itself, as that paying is switched off, is not over in a few seconds.
      return problem.detail
        ? `${problem.detail} Your order stays as it is; try again later.`
        : `The shop cannot take payments for a moment. Your order stays as it is. Press again ${again}.`;
    case "rate-limited":
      return `That was a little too fast. Press again ${again}.`;
    case "overloaded":
      return `Very many people are paying right now. Press again ${again}.`;
    case "limit-reached":
      return "Your earlier press is still being worked on. Press again in a moment.";
    case "outcome-unknown":
    case "lost":
      return "The shop has not answered. Press again when you like: it stays one payment.";
    case "unauthenticated":
      return "You are signed out. Sign in again to pay; the order is kept for you.";
    case "not-found":
      return "The shop does not know this order any more.";
    case "cross-origin":
      return "This page is open under another address than the shop's, so it cannot pay. Open the shop under its own address.";
    default:
      return problem.detail || problem.title || "The payment could not be begun. Try again in a moment.";
  }
}

function soldOut({ may_return: mayReturn }) {
  return mayReturn === false
    ? "Sold out: the last unit is gone for good."
    : "All units are taken right now; unpaid ones come back. Try again in a moment.";
}

function plain(detail) {
  return typeof detail === "string" && detail !== "" ? detail : "The shop could not take this order. Try again in a moment.";
}

/**
 * How long to wait: never less than asked for, longer each time where nothing was asked for, and
 * not the same for everyone, or all would come back in one instant.
 */
export function waitFor(retryAfterMs, unprompted, random) {
  const least = retryAfterMs ?? Math.min(STEP_MS * 2 ** (unprompted - 1), LONGEST_STEP_MS);
  return Math.max(least, STEP_MS / 2) * (1 + random / 4);
}

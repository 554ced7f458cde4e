// One press on Buy: sent as often as it takes, always with the same key, so it stays one order.
// It must not know the page: it says what it waits for, and returns what the press came to.

import { request } from "./api.js";
import { counted } from "./format.js";
import { advise } from "./problems.js";

// How long one press goes on by itself before it is given back to the shopper.
const PRESS_LASTS_MS = 90_000;
// A press that was a little early by the shop's clock waits for the opening by itself.
const EARLY_PRESS_MS = 10_000;

/**
 * Places an order of one unit at the sale of the address `api`: `{ order }`, or `{ advice, slug }` where the press
 * is given back. `say` shows a sentence; `learnOpening` takes an answer that is too early and returns
 * the milliseconds until the sale opens.
 */
export async function placeOrder(api, key, { say, learnOpening }) {
  const givesUpAt = performance.now() + PRESS_LASTS_MS;
  let unprompted = 0;
  for (;;) {
    const answer = await request("POST", `${api}/orders`, { body: { quantity: 1 }, headers: { "idempotency-key": key } });
    if (answer.ok) return { order: answer.body };
    if (answer.retryAfterMs === null) unprompted += 1;
    const advice = advise(answer, unprompted, Math.random());
    const waitMs = advice.act === "wait" ? untilOpening(learnOpening(answer)) : advice.waitMs;
    const goesOn = waitMs !== undefined && performance.now() + waitMs < givesUpAt;
    if (!goesOn) return { advice, slug: answer.slug };
    say(`${advice.say} Trying again by itself in ${counted(Math.ceil(waitMs / 1000), "second")}; it stays one order.`);
    await new Promise((resolve) => setTimeout(resolve, waitMs));
  }
}

function untilOpening(wait) {
  return wait < EARLY_PRESS_MS ? Math.max(wait, 250) : undefined;
}

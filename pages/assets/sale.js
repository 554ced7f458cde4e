// How a sale stands, and how often to ask.
// It must not know the page or the network: the latest answer and the shop's time go in.

const MINUTE_MS = 60_000;
const LEAST_DELAY_MS = 1000;
const LONGEST_BACKOFF_MS = 30_000;
const SAMPLES_WANTED = 3;

/**
 * The stage that a shopper sees, from an answer of `/state` with its instants in milliseconds:
 * "before", "open", "taken" (nothing now, unpaid units come back), "paused", "sold-out", "over".
 * The answer may be a moment old, so the shop's time opens and ends the sale by itself.
 */
export function stageOf({ phase, remaining, mayReturn, startsAt, endsAt }, now) {
  if (phase === "ended" || phase === "closed" || now >= endsAt) return "over";
  if (phase === "paused") return "paused";
  if (phase === "sold_out" || (phase === "live" && remaining === 0)) return mayReturn ? "taken" : "sold-out";
  if (phase === "live") return "open";
  return now < startsAt ? "before" : "open";
}

/** An answer of `/state`, with what this page needs of it. */
export function stateFrom(body) {
  return {
    phase: body.phase,
    remaining: body.remaining,
    mayReturn: body.may_return === true,
    startsAt: Date.parse(body.starts_at),
    endsAt: Date.parse(body.ends_at),
  };
}

/** Whether a press makes sense. With all units taken it does: the one that comes back goes to whoever asks. */
export function sells(stage) {
  return stage === "open" || stage === "taken";
}

export const STAGE_SENTENCES = {
  before: "Not open yet. The button opens by itself when the sale starts.",
  open: "The sale is open.",
  taken: "No unit is free at this moment, but some may come back. Keep this page open.",
  paused: "The shop has paused this sale. This page notices when it goes on.",
  "sold-out": "Sold out.",
  over: "This sale has ended.",
};

/** The stage in a word or two. */
export const STAGE_WORDS = {
  before: "Coming",
  open: "Open now",
  taken: "All taken for now",
  paused: "Paused",
  "sold-out": "Sold out",
  over: "Ended",
};

/**
 * Milliseconds until the next question, at least a second. `random` in 0..1 spreads the visitors,
 * so that they do not all ask in one instant; the opening itself needs no question.
 */
export function pollDelay({ stage, untilStart, hidden, sampleCount, random }) {
  const delay = hidden ? MINUTE_MS : sampleCount < SAMPLES_WANTED ? 1500 : stageDelay(stage, untilStart);
  return Math.max(LEAST_DELAY_MS, delay * (0.75 + random / 2));
}

function stageDelay(stage, untilStart) {
  switch (stage) {
    case "before":
      if (untilStart > 60 * MINUTE_MS) return MINUTE_MS;
      if (untilStart > 5 * MINUTE_MS) return 20_000;
      return untilStart > MINUTE_MS / 2 ? 8000 : 3000;
    case "open":
    case "taken":
      return 3000;
    case "paused":
      return 5000;
    default:
      return MINUTE_MS;
  }
}

/** Milliseconds until the next question after `failures` in a row; never less than the shop asked for. */
export function failureDelay(failures, retryAfterMs, random) {
  const backoff = Math.min(LEAST_DELAY_MS * 2 ** failures, LONGEST_BACKOFF_MS);
  return Math.max(backoff, retryAfterMs ?? 0) * (1 + random / 2);
}

/**
 * Milliseconds until an order is looked at again after `failures` looks in a row that failed, this
 * one included; rarer when no one looks. Null where asking again cannot help: nobody is signed in,
 * or the order is not theirs.
 */
export function lookAgainDelay({ slug, retryAfterMs }, failures, { hidden, random }) {
  if (slug === "unauthenticated" || slug === "not-found") return null;
  return Math.max(failureDelay(failures, retryAfterMs, random), hidden ? MINUTE_MS * (0.75 + random / 2) : 0);
}

// Waiting for what happens instead of for time.
// It must not know what is waited for.

/** How long anything may take on a machine that is busy with other things, in milliseconds. */
export const GENEROUS_MS = 30_000;
const BETWEEN_LOOKS_MS = 50;

/** What `look` gives as soon as it is neither undefined nor false; fails with `what` where it stays so. */
export async function until(what, look, withinMs = GENEROUS_MS) {
  const givesUpAt = performance.now() + withinMs;
  for (;;) {
    const seen = await look();
    if (seen !== undefined && seen !== false) return seen;
    if (performance.now() > givesUpAt) throw new Error(`waited ${withinMs} ms in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, BETWEEN_LOOKS_MS));
  }
}

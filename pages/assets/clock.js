// The shop's clock, as it can be known from afar.
// It must not know the visitor's own time of day, which may be minutes off: it is fed with samples
// and read against a monotonic clock. All numbers are milliseconds.

const SAMPLES_KEPT = 8;
// The longest that `setTimeout` is trusted with at once.
export const LONGEST_SLEEP_MS = 60_000;

export class ShopClock {
  #samples = [];
  #stale = false;

  /** Takes one sample: the shop read `server` between `sent` and `received`. */
  take({ sent, received, server }) {
    if (!Number.isFinite(server) || received < sent) return;
    if (this.#stale) this.#samples = [];
    this.#stale = false;
    this.#samples = [...this.#samples, { sent, received, server }].slice(-SAMPLES_KEPT);
  }

  /** The next sample replaces all: while a machine sleeps its monotonic clock may stand still. */
  distrust() {
    this.#stale = true;
  }

  get sampleCount() {
    return this.#stale ? 0 : this.#samples.length;
  }

  get ready() {
    return this.#samples.length > 0;
  }

  /** The shop's time at a monotonic reading; NaN before the first sample. */
  now(monotonic = performance.now()) {
    return monotonic + offsetOf(this.#samples);
  }
}

/**
 * What to add to a monotonic reading. The quickest exchange says most, and the shop most likely
 * read its clock in the middle of it. A cache on the way may have handed out a reading up to a
 * second old; but no reading is newer than its arrival, so each sample also gives a least offset.
 */
export function offsetOf(samples) {
  if (samples.length === 0) return NaN;
  const quickest = samples.reduce((best, sample) => (roundTrip(sample) < roundTrip(best) ? sample : best));
  const middle = quickest.server - (quickest.sent + quickest.received) / 2;
  return Math.max(middle, ...samples.map(({ received, server }) => server - received));
}

function roundTrip({ sent, received }) {
  return received - sent;
}

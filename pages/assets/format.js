// Money, instants, lengths of time and counts, as a shopper reads them.
// It must not know the page: it turns values into text and nothing else.

// ISO 4217; src/format.rs holds the same table, since browsers differ in theirs.
const NO_DIGITS = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF".split(" ");
const THREE_DIGITS = "BHD IQD JOD KWD LYD OMR TND".split(" ");

/** `{ amount, currency }` in minor units, as text. */
export function moneyText({ amount, currency }) {
  const digits = NO_DIGITS.includes(currency) ? 0 : THREE_DIGITS.includes(currency) ? 3 : 2;
  return new Intl.NumberFormat("en", {
    style: "currency",
    currency,
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  }).format(amount / 10 ** digits);
}

/** What a countdown shows: whole seconds, rounded up, so that it reaches zero when the time is over. */
export function countdownText(ms) {
  const seconds = Math.max(0, Math.ceil(ms / 1000));
  const parts = [Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60, seconds % 60];
  const clock = parts.map((part) => String(part).padStart(2, "0")).join(":");
  const days = Math.floor(seconds / 86_400);
  return days > 0 ? `${days} d ${clock}` : clock;
}

/** How long a countdown's text stays right: until its next whole second. */
export function countdownHolds(ms) {
  return ms % 1000 || 1000;
}

/** `1 unit`, `2 units`, `1,000 units`. */
export function counted(count, noun) {
  return `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
}

/** An instant in the visitor's time zone. */
export function localInstantText(iso) {
  return new Intl.DateTimeFormat("en-GB", {
    dateStyle: "medium",
    timeStyle: Date.parse(iso) % 60_000 === 0 ? "short" : "medium",
  }).format(new Date(iso));
}

// Asks the shop's API and reads its answers.
// It must not know what a question is for: it retries nothing and shows nothing.

const TIME_LIMIT_MS = 15_000;

// A status whose body is not a problem comes from a proxy on the way, not from the shop.
const SLUG_OF_STATUS = { 401: "unauthenticated", 404: "not-found", 429: "rate-limited", 503: "unavailable" };

/**
 * Asks once. The answer is `{ ok: true, status, body }`, or `{ ok: false, status, slug, problem, retryAfterMs }`;
 * the slug is "lost" where no answer came at all. `sent` and `received` are readings of the monotonic clock,
 * `date` is the shop's time to the second, NaN where it did not say.
 */
export async function request(method, path, { body, headers } = {}) {
  const sent = performance.now();
  const aborter = new AbortController();
  const timer = setTimeout(() => aborter.abort(), TIME_LIMIT_MS);
  try {
    const response = await fetch(path, {
      method,
      cache: "no-store",
      credentials: "same-origin",
      headers: { accept: "application/json", ...(body && { "content-type": "application/json" }), ...headers },
      body: body && JSON.stringify(body),
      signal: aborter.signal,
    });
    const received = performance.now();
    const text = await response.text();
    return { sent, received, date: Date.parse(response.headers.get("date") ?? ""), ...answer(response, text) };
  } catch {
    return { ok: false, status: 0, slug: "lost", problem: {}, retryAfterMs: null, sent, received: performance.now(), date: NaN };
  } finally {
    clearTimeout(timer);
  }
}

/** Reads a response whose body is `text`. */
export function answer(response, text) {
  const { status, headers } = response;
  const body = parsed(text);
  if (status >= 200 && status < 300) {
    // A success that cannot be read may have done its work all the same.
    return body === undefined ? { ok: false, status, slug: "lost", problem: {}, retryAfterMs: null } : { ok: true, status, body };
  }
  const problem = body && typeof body === "object" ? body : {};
  const retryAfterMs = retryAfter(headers.get("retry-after"), headers.get("date"));
  return { ok: false, status, slug: slugOf(status, problem), problem, retryAfterMs };
}

function parsed(text) {
  if (text === "") return null;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function slugOf(status, problem) {
  const prefix = "urn:seckill:";
  if (typeof problem.type === "string" && problem.type.startsWith(prefix)) return problem.type.slice(prefix.length);
  return SLUG_OF_STATUS[status] ?? (status >= 500 ? "outcome-unknown" : "refused");
}

/**
 * `Retry-After` in milliseconds, or null. A date counts from the response's own `Date`, since the
 * visitor's clock may be wrong.
 */
export function retryAfter(value, date) {
  if (!value) return null;
  if (/^\d+$/.test(value.trim())) return Number(value) * 1000;
  const wait = Date.parse(value) - Date.parse(date ?? "");
  return Number.isNaN(wait) ? null : Math.max(0, wait);
}

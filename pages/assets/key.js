// The idempotency key of a purchase or a payment. One key buys one order, or pays once, however
// often it is sent, so it is kept where a reload cannot lose it, before the request goes out.
// It must not know requests: it says which key to send and remembers what came of it.

const PREFIX = "seckill.key.";
// The shop's clock is known to about a second from afar; two presses of one tab are further apart.
const CLOCK_ERROR_MS = 1000;

export class PurchaseKey {
  #name;
  #storage;
  #make;

  /** `what` is bought or paid: an activity's id, or `pay.` and an order's. What it makes is called its order here. */
  constructor(what, storage, make = newKey) {
    this.#name = PREFIX + what;
    this.#storage = storage;
    this.#make = make;
  }

  /**
   * `{ key, order, at }` of the last press, or null. `order` is null while its outcome is not known, `at`
   * the shop's time when the key was first taken, NaN where that is not known.
   */
  get last() {
    try {
      const last = JSON.parse(this.#storage.getItem(this.#name));
      return typeof last?.key === "string" ? { key: last.key, order: last.order ?? null, at: last.at ?? NaN } : null;
    } catch {
      return null;
    }
  }

  /**
   * The key to send for a press. It is the last one again, unless the order that it bought is among
   * those the shopper sees: only then is the press meant for another order. `at` is the shop's time,
   * where it is known.
   */
  take(seenOrders, at) {
    const last = this.last;
    if (last && !(last.order !== null && seenOrders.has(last.order))) return last.key;
    const key = this.#make();
    this.#write({ key, order: null, at });
    return key;
  }

  /** The key bought this order. */
  bind(key, order) {
    this.#write({ key, order });
  }

  /** The next press is a new purchase. */
  drop() {
    this.#storage.removeItem(this.#name);
  }

  /** The press whose outcome was not known turns out to have bought this order. */
  adopt(order) {
    const last = this.last;
    if (last?.order === null) this.bind(last.key, order);
  }

  /** An order is closed: the key that bought it is done with. */
  close(order) {
    if (this.last?.order === order) this.drop();
  }

  #write(last) {
    this.#storage.setItem(this.#name, JSON.stringify(last));
  }
}

/**
 * Whether a press that was not answered, a `last` of above, can be told to have bought one of
 * `orders`, those of its sale that count for its shopper. With a limit of one it cannot have been
 * another; else an order may be older, or another tab's, so it must be the only one made since.
 */
export function hasBought(press, orders, perUserLimit) {
  if (press.order !== null) return orders.some(({ id }) => id === press.order);
  if (perUserLimit === 1) return orders.length > 0;
  return orders.filter((order) => Date.parse(order.created_at) >= press.at - CLOCK_ERROR_MS).length === 1;
}

/**
 * Another shopper may sign in after this one: no key of theirs stays behind. Only for whoever signs out
 * on purpose: a session that has merely run out comes back, and its unanswered press must stay one order.
 */
export function dropEveryKey(storage) {
  for (const name of Object.keys(storage)) {
    if (name.startsWith(PREFIX)) storage.removeItem(name);
  }
}

/** The tab's own storage; where the browser forbids it, memory, which at least outlives a second press. */
export function tabStorage() {
  try {
    const probe = PREFIX + "probe";
    sessionStorage.setItem(probe, "");
    sessionStorage.removeItem(probe);
    return sessionStorage;
  } catch {
    const kept = new Map();
    return {
      getItem: (name) => kept.get(name) ?? null,
      setItem: (name, value) => kept.set(name, value),
      removeItem: (name) => kept.delete(name),
    };
  }
}

/** A random UUID, version 4. On plain http a browser has no `randomUUID`, but it has random bytes. */
export function newKey(source = crypto) {
  if (typeof source.randomUUID === "function") return source.randomUUID();
  const bytes = source.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

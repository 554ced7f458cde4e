// The idempotency key of a purchase or a payment. One key buys one order, or pays once, however
// often it is sent, so it is kept where a reload cannot lose it, before the request goes out.
// It must not know requests: it says which key to send and remembers what came of it.

const PREFIX = "seckill.key.";

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

  /** `{ key, order }` of the last press, `order` null while its outcome is not known; or null. */
  get last() {
    try {
      const last = JSON.parse(this.#storage.getItem(this.#name));
      return typeof last?.key === "string" ? { key: last.key, order: last.order ?? null } : null;
    } catch {
      return null;
    }
  }

  /**
   * The key to send for a press. It is the last one again, unless the order that it bought is among
   * those the shopper sees: only then is the press meant for another order.
   */
  take(seenOrders) {
    const last = this.last;
    if (last && !(last.order !== null && seenOrders.has(last.order))) return last.key;
    const key = this.#make();
    this.#write({ key, order: null });
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

// A press that has gone out and was not answered yet. The tab remembers it, so that a page that is loaded again
// can say what became of it; that it stays one order does not depend on it.
// It must not know requests or orders: it holds the key that was sent.

const PREFIX = "seckill.press.";

export class OpenPress {
  #name;
  #storage;

  /** `what` is bought: an activity's id. */
  constructor(what, storage = tabStorage()) {
    this.#name = PREFIX + what;
    this.#storage = storage;
  }

  /** The key that was sent, null where every press has been answered. */
  get key() {
    return this.#try(() => this.#storage.getItem(this.#name)) ?? null;
  }

  open(key) {
    this.#try(() => this.#storage.setItem(this.#name, key));
  }

  close() {
    this.#try(() => this.#storage.removeItem(this.#name));
  }

  /** A full or forbidden storage is no reason to stop. */
  #try(act) {
    try {
      return act();
    } catch {
      return undefined;
    }
  }
}

/** Another shopper may sign in after this one, and is to hear nothing of their presses. */
export function forgetOpenPresses(storage = tabStorage()) {
  for (const name of Object.keys(storage ?? {})) {
    if (name.startsWith(PREFIX)) storage.removeItem(name);
  }
}

/** The tab's own storage; null where the browser forbids it. */
function tabStorage() {
  try {
    return sessionStorage;
  } catch {
    return null;
  }
}

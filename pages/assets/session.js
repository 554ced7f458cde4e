// Whether it is worth asking who is signed in. The session itself is a cookie that no script can
// read, so a mark stands beside it; the mark holds no secret and opens nothing.
// It must not know requests: whoever signs in or out, or is told that nobody is, says so here.

const NAME = "seckill.signed-in";

export class SignedInMark {
  #storage;

  /** `storage` outlives the tab and is shared by all; null where the browser forbids it. */
  constructor(storage) {
    this.#storage = storage;
  }

  /** False only where nobody can be signed in. Without storage the shop must be asked. */
  get isSet() {
    return this.#storage === null || this.#try(() => this.#storage.getItem(NAME) !== null) !== false;
  }

  set() {
    this.#try(() => this.#storage?.setItem(NAME, "yes"));
  }

  clear() {
    this.#try(() => this.#storage?.removeItem(NAME));
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

/** The browser's own storage, or null where it is forbidden. */
export function sharedStorage() {
  try {
    return localStorage;
  } catch {
    return null;
  }
}

/** The mark of this browser. */
export const mark = new SignedInMark(typeof window === "undefined" ? null : sharedStorage());

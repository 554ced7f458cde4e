// A shop on a running gateway, asked through its API: its administrator, sales and other shoppers.
// It must not know a browser or what a test does with it.

import { until } from "./patience.js";

export const PASSWORD = "correct horse battery";
const ADMIN = "admin";
const SALE_LASTS_MS = 3_600_000;

export class Shop {
  #origin;
  #admin;
  #shoppers = 0;

  /** Makes the administrator of a fresh gateway. */
  static async open(gateway) {
    await gateway.run(["user", "create", "--username", ADMIN, "--role", "admin"], { SECKILL_PASSWORD: PASSWORD });
    const shop = new Shop();
    shop.#origin = gateway.origin;
    shop.#admin = await shop.#signIn(ADMIN);
    return shop;
  }

  /**
   * A published sale of a product of its own, and its page is there: so many units, so many for each
   * shopper, so long to pay. It opens in so many milliseconds; a negative number has it open already.
   * `terms` may replace anything that the API takes for an activity, `goods` for its product.
   */
  async sale({ stock = 100, limit = 1, payWithinS = 3600, opensInMs = -1000, lastsMs = SALE_LASTS_MS, terms, goods } = {}) {
    const product = await this.#product(stock, goods);
    const activity = await this.#publish(product, {
      stock_total: stock,
      per_user_limit: limit,
      pay_within_seconds: payWithinS,
      starts_at: instant(opensInMs),
      ends_at: instant(opensInMs + lastsMs),
      ...terms,
    });
    const path = `/activities/${activity.id}`;
    await until("the page of the sale is there", async () => (await this.#page(path)).includes(`data-activity-id="${activity.id}"`));
    return { id: activity.id, path, startsAt: Date.parse(activity.starts_at), endsAt: Date.parse(activity.ends_at) };
  }

  /** One product in so many published sales that start one after the other, and they are listed; its page. */
  async manySales(count) {
    const product = await this.#product(count);
    for (let night = 1; night <= count; night += 1) {
      const startsInMs = night * SALE_LASTS_MS;
      await this.#publish(product, {
        title: `Kettles for a song, night ${night}`,
        starts_at: instant(startsInMs),
        ends_at: instant(startsInMs + SALE_LASTS_MS),
      });
    }
    const path = `/products/${product.id}`;
    const last = `night ${count}<`;
    await until("all sales are listed", async () => {
      const pages = await Promise.all([1, 2, 3].map((number) => this.#page(number === 1 ? "/" : `/sales/${number}`)));
      return pages.some((page) => page.includes(last)) && (await this.#page(path)).includes("more sale");
    });
    return path;
  }

  async #page(path) {
    return (await fetch(this.#origin + path)).text();
  }

  async #product(stock, goods) {
    return this.admin("POST", "/admin/products", {
      title: "Kettle",
      description: "Pours where you point it.",
      price: { amount: 5900, currency: "USD" },
      stock,
      ...goods,
    });
  }

  async #publish(product, terms) {
    const activity = await this.admin("POST", "/admin/activities", {
      title: "Kettles for a song",
      product_id: product.id,
      sale_price: { amount: 1000, currency: "USD" },
      stock_total: 1,
      per_user_limit: 1,
      pay_within_seconds: 3600,
      ...terms,
    });
    await this.step(activity.id, "publish");
    return activity;
  }

  /** Takes a step of an activity: `publish`, `pause`, `resume` or `end`. */
  async step(id, step) {
    await this.admin("POST", `/admin/activities/${id}/${step}`);
  }

  /** What an administrator asks. */
  async admin(method, path, body) {
    return this.#ask(this.#admin, method, path, body);
  }

  /** Registers a shopper with a name that no one had before. */
  async register() {
    this.#shoppers += 1;
    const username = `shopper-${process.pid}-${this.#shoppers}`;
    await this.#ask(null, "POST", "/users", { username, password: PASSWORD, display_name: `Ann ${this.#shoppers}` });
    return username;
  }

  /** The path of a one-time link by which a shopper sets a new password. */
  async resetLink(username) {
    const { id } = await (await this.as(username)).ask("GET", "/users/me");
    return (await this.admin("POST", `/admin/users/${id}/password-reset`)).path;
  }

  /** A shopper who needs no browser; `ask` is the API as they have it. */
  async shopper() {
    return this.as(await this.register());
  }

  /** The API as a shopper has it who is registered already. */
  async as(username) {
    const token = await this.#signIn(username);
    const ask = (method, path, body) => this.#ask(token, method, path, body);
    return {
      ask,
      buy: (sale, quantity = 1) => ask("POST", `/activities/${sale.id}/orders`, { quantity }),
      pay: async (order) => {
        const { payment_id: payment } = await ask("POST", `/orders/${order.id}/payments`, { method: "sandbox" });
        await ask("POST", `/sandbox/payments/${payment}`, { deliveries: [{ type: "payment.succeeded" }] });
      },
      orders: async () => (await ask("GET", "/orders?limit=100")).items,
    };
  }

  async #signIn(username) {
    const { token } = await this.#ask(null, "POST", "/sessions", { username, password: PASSWORD });
    return token;
  }

  async #ask(token, method, path, body) {
    const response = await fetch(`${this.#origin}/api/v1${path}`, {
      method,
      headers: {
        ...(token && { authorization: `Bearer ${token}` }),
        ...(body && { "content-type": "application/json" }),
        ...(method === "POST" && { "idempotency-key": crypto.randomUUID() }),
      },
      body: body && JSON.stringify(body),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return text === "" ? null : JSON.parse(text);
  }
}

/** An instant so many milliseconds from now, as the API writes it. */
export function instant(fromNowMs) {
  return new Date(Date.now() + fromNowMs).toISOString();
}

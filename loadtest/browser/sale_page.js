// The page of one sale as a shopper finds their way about it: by what it says and what can be pressed.
// It must not know what a journey expects of it.

export class SalePage {
  constructor(page) {
    this.page = page;
    this.buy = page.getByRole("button", { name: /^Buy/ });
    this.orders = page.locator("article.order");
  }

  /** Waits until the page says this, anywhere. */
  async says(text) {
    await this.page.getByText(text).first().waitFor();
  }

  /** Waits until a press makes sense, and presses. */
  async press() {
    await this.buy.click();
  }

  /** Waits until one order is shown; its id. */
  async orderShown() {
    const heading = this.orders.first().getByRole("heading");
    await heading.waitFor();
    return (await heading.textContent()).replace(/\D/g, "");
  }

  /** The rows of an order shown, for example `Total`. */
  async row(term) {
    const row = this.orders.first().locator("dl > div").filter({ hasText: term }).locator("dd");
    await row.waitFor();
    return row.textContent();
  }

  /** Seconds that a countdown shows under this label. */
  async countdown(label) {
    const counts = this.page.locator(".countdown:visible").filter({ hasText: label }).getByRole("timer");
    await counts.filter({ hasText: /\d\d:\d\d:\d\d/ }).waitFor();
    return secondsOf(await counts.textContent());
  }
}

/** `2 d 03:04:05` or `03:04:05`, in seconds. */
export function secondsOf(text) {
  const [, days = 0, hours, minutes, seconds] = /^(?:(\d+) d )?(\d\d):(\d\d):(\d\d)$/.exec(text.trim());
  return ((Number(days) * 24 + Number(hours)) * 60 + Number(minutes)) * 60 + Number(seconds);
}

// The page of one order and the bank's page behind it, as a shopper finds their way about them.
// It must not know what a journey expects of them.

export class OrderPage {
  constructor(page) {
    this.page = page;
    this.pay = page.getByRole("button", { name: /^(Pay|Go on paying)$/ });
    this.payAnew = page.getByRole("button", { name: "Start a new payment" });
    this.cancel = page.getByRole("button", { name: "Cancel this order" });
    this.payments = page.getByRole("region", { name: "Payments" });
  }

  /** Waits until the page says this, anywhere. */
  async says(text) {
    await this.page.getByText(text).first().waitFor();
  }

  /** Goes to the bank and chooses there; comes back to the order. */
  async payBy(choice) {
    await this.pay.click();
    await this.atBank(choice);
  }

  /** At the bank's page: chooses, and is led back to the order. */
  async atBank(choice) {
    await this.page.waitForURL("**/pay/*");
    const button = this.page.getByRole("button", { name: choice });
    const unusual = this.page.getByText("Unusual endings");
    await unusual.waitFor();
    if (!(await button.isVisible())) await unusual.click();
    await button.click();
    await this.page.waitForURL("**/orders/*");
  }
}

/** Choices of the bank's page. */
export const BANK = {
  pay: /^Pay \$/,
  decline: "Decline",
  late: /^Pay after 5 seconds/,
  twice: "Pay, and tell the shop twice",
  disorder: /^Decline, then pay/,
  wrong: "Pay a wrong amount",
};

/** A shopper who is signed in, with an order of a fresh sale, at the order's page. */
export async function atOrder({ shop, visitor }, terms = {}) {
  const sale = await shop.sale(terms);
  const username = await shop.register();
  const api = await shop.as(username);
  const ann = await visitor({ as: username });
  const { id } = await api.buy(sale);
  await ann.open(`/orders/${id}`);
  const order = async () => api.ask("GET", `/orders/${id}`);
  return { sale, username, api, ann, id, order, there: new OrderPage(ann.page) };
}

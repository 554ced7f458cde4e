// Where the shop does not answer for once, a page says that nothing is lost, and "Try again" brings it.

import assert from "node:assert/strict";

import { journey } from "../journey.js";
import { atOrder } from "../order_page.js";
import { SalePage } from "../sale_page.js";
import { unavailable } from "../unavailable.js";

const LIST = "**/api/v1/orders?*";

/** What each page asks the API for, what it says without an answer, and what with one. */
const PAGES = [
  { name: "the list of orders", at: () => "/orders", asks: LIST, lost: "Your orders could not be loaded.", found: "Waiting for payment" },
  { name: "an order", at: ({ id }) => `/orders/${id}`, asks: "**/api/v1/orders/*", lost: "The order could not be loaded.", found: "What you ordered" },
  { name: "the account", at: () => "/account", asks: "**/api/v1/users/me", lost: "Your account could not be loaded.", found: "Signed in as" },
  { name: "the bank", at: ({ payment }) => `/pay/${payment}`, asks: "**/api/v1/sandbox/payments/*", lost: "The payment could not be shown.", found: "Unusual endings" },
  { name: "a sale", at: ({ sale }) => sale.path, asks: "**/state", lost: "The shop cannot be reached.", found: "The sale is open." },
];

for (const { name, at, asks, lost, found } of PAGES) {
  journey(`"Try again" brings ${name}, with the keyboard too`, async (world) => {
    const order = await atOrder(world);
    const { ann, api, id } = order;
    const { payment_id: payment } = await api.ask("POST", `/orders/${id}/payments`, { method: "sandbox" });
    await unavailable(ann, asks);
    await ann.open(at({ ...order, payment }));
    await ann.page.getByText(lost).waitFor();
    await ann.unroute(asks);
    await ann.page.getByRole("button", { name: "Try again" }).press("Enter");
    await ann.page.getByText(found).first().waitFor();
    assert.ok(await ann.page.evaluate(() => document.activeElement !== document.body), "the focus is lost");
    await ann.page.getByText(lost).waitFor({ state: "hidden" });
  });
}

journey("an order that a sale's page could not read at first comes by itself", async ({ shop, visitor }) => {
  const sale = await shop.sale({ limit: 2 });
  const username = await shop.register();
  const { id } = await (await shop.as(username)).buy(sale);
  const ann = await visitor({ as: username });
  const there = new SalePage(ann.page);
  await unavailable(ann, LIST);
  await ann.open(sale.path);
  await there.says("The sale is open.");
  await ann.unroute(LIST);
  assert.equal(await there.orderShown(), id);
  await ann.page.getByRole("button", { name: "Buy another" }).waitFor();
});

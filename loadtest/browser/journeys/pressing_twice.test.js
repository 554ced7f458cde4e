// However often and however fast a shopper presses, one purchase is one order.

import assert from "node:assert/strict";

import { journey } from "../journey.js";
import { SalePage } from "../sale_page.js";

journey("a double press is one order", async ({ shop, visitor }) => {
  const sale = await shop.sale({ limit: 5 });
  const username = await shop.register();
  const ann = await visitor({ as: username });
  const there = new SalePage(ann.page);
  await ann.open(sale.path);
  await there.buy.and(ann.page.locator(":enabled")).waitFor();
  // Twice in one turn of the page's script, then as a hand does it.
  await there.buy.evaluate((buy) => [buy.click(), buy.click()]);
  await there.buy.dblclick({ force: true });
  await there.says("Your order is placed.");
  const id = await there.orderShown();
  const orders = await (await shop.as(username)).orders();
  assert.deepEqual(orders.map((order) => order.id), [id]);
});

journey("another press, after the answer, is another order", async ({ shop, visitor }) => {
  const sale = await shop.sale({ limit: 2 });
  const username = await shop.register();
  const ann = await visitor({ as: username });
  const there = new SalePage(ann.page);
  await ann.open(sale.path);
  await there.press();
  await there.orderShown();
  await ann.page.getByRole("button", { name: "Buy another" }).click();
  await there.orders.nth(1).waitFor();
  // At the limit there is nothing left to press.
  await there.buy.waitFor({ state: "hidden" });
  assert.equal((await (await shop.as(username)).orders()).length, 2);
});

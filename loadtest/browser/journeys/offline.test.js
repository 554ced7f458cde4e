// A connection that goes away takes no order with it and makes none.

import assert from "node:assert/strict";

import { journey } from "../journey.js";
import { SalePage } from "../sale_page.js";

journey("a press without a network goes out when it is back, once", async ({ shop, visitor }) => {
  const sale = await shop.sale({ limit: 3 });
  const username = await shop.register();
  const ann = await visitor({ as: username });
  const there = new SalePage(ann.page);
  await ann.open(sale.path);
  await there.says("The sale is open.");
  await ann.losesNetwork();
  await there.press();
  await there.says("Trying again by itself");
  await ann.hasNetworkAgain();
  await there.says("Your order is placed.");
  const orders = await (await shop.as(username)).orders();
  assert.deepEqual(orders.map((order) => order.id), [await there.orderShown()]);
});

journey("what happened while the network was away is shown when it is back", async ({ shop, visitor }) => {
  // The network has to go before the time to pay does.
  const sale = await shop.sale({ payWithinS: 12 });
  const ann = await visitor({ as: await shop.register() });
  const there = new SalePage(ann.page);
  await ann.open(sale.path);
  await there.press();
  await there.orderShown();
  await ann.losesNetwork();
  await there.says("Asking the shop how this order ended.");
  await shop.step(sale.id, "end");
  await ann.hasNetworkAgain();
  await there.says("This order was not paid in time");
  await there.says("This sale has ended.");
});

journey("a form without a network says so, and works when it is back", async ({ shop, visitor }) => {
  const username = await shop.register();
  const ann = await visitor();
  const { page } = ann;
  await ann.open("/sign-in");
  await ann.losesNetwork();
  await page.getByLabel("Username").fill(username);
  await page.getByLabel("Password").fill("correct horse battery");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("alert").getByText("The shop could not be reached.").waitFor();
  await ann.hasNetworkAgain();
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.waitForURL("**/");
});

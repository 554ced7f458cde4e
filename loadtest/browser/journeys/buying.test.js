// A stranger registers, waits for the opening, buys, and sees how long there is to pay.

import assert from "node:assert/strict";

import { journey } from "../journey.js";
import { SalePage } from "../sale_page.js";
import { PASSWORD } from "../shop.js";

journey("from registering to an order with its pay clock", async ({ shop, visitor, width }) => {
  const sale = await shop.sale({ opensInMs: 20_000 });
  const ann = await visitor();
  const { page } = ann;
  const username = `ann-${width}`;

  await ann.open("/");
  await page.locator(`a[href="${sale.path}"]`).click();
  const there = new SalePage(page);
  await there.says("Not open yet");
  await page.getByRole("link", { name: "Register" }).click();
  await page.getByLabel("Username").fill(username);
  await page.getByLabel("Password").fill(PASSWORD);
  await page.getByRole("button", { name: "Register" }).click();

  // Whoever came from a sale is led back to it.
  await page.waitForURL(`**${sale.path}`);
  await page.getByRole("button", { name: "Sign out" }).waitFor();
  await there.countdown("Opens in");
  assert.ok(await there.buy.isDisabled(), "Buy is closed before the opening");
  await there.press();
  await there.says("Your order is placed.");

  const id = await there.orderShown();
  assert.equal(await there.row("Total"), "$10.00");
  const left = await there.countdown("Time left to pay");
  assert.ok(left > 3500 && left <= 3600, `an hour to pay: ${left} s`);
  const [order, ...more] = await (await shop.as(username)).orders();
  assert.deepEqual([order.id, order.status, more], [id, "awaiting_payment", []]);
  assert.ok(Date.parse(order.created_at) >= sale.startsAt, "nothing was sold before the opening");
});

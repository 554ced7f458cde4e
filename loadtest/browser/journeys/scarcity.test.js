// Who comes when every unit is taken is told so, and buys the one that comes back.

import assert from "node:assert/strict";

import { journey } from "../journey.js";
import { SalePage } from "../sale_page.js";

journey("with all units unpaid, a shopper is told that some may return", async ({ shop, visitor }) => {
  const sale = await shop.sale({ stock: 1 });
  await (await shop.shopper()).buy(sale);
  const bea = await visitor({ as: await shop.register() });
  const there = new SalePage(bea.page);
  await bea.open(sale.path);
  await there.says("No unit is free at this moment, but some may come back.");
  await there.says("0 of 1 unit left");
  bea.expects(409, "/orders");
  await there.press();
  await there.says("All units are taken right now; unpaid ones come back.");
});

journey("when the last unit is paid, a shopper is told that it is gone", async ({ shop, visitor }) => {
  const sale = await shop.sale({ stock: 1 });
  const ann = await shop.shopper();
  const order = await ann.buy(sale);
  const bea = await visitor({ as: await shop.register() });
  const there = new SalePage(bea.page);
  await bea.open(sale.path);
  await there.says("No unit is free at this moment, but some may come back.");
  await ann.pay(order);
  await there.says("Sold out.");
  assert.ok(await there.buy.isDisabled(), "there is nothing left to press for");
});

journey("an order that is not paid in time ends, and another shopper buys its unit", async ({ shop, visitor }) => {
  const sale = await shop.sale({ stock: 1, payWithinS: 3 });
  const [ann, bea] = [await visitor({ as: await shop.register() }), await visitor({ as: await shop.register() })];
  const [first, second] = [new SalePage(ann.page), new SalePage(bea.page)];
  await bea.open(sale.path);
  await second.says("The sale is open.");
  await ann.open(sale.path);
  await first.press();
  // Whether its end comes before anyone has seen it open is the machine's affair.
  const id = await first.orderShown();
  await first.says("This order was not paid in time, so it ended and its units went back on sale.");
  await second.says("The sale is open.");
  await second.press();
  assert.notEqual(await second.orderShown(), id);
});

journey("a cancelled order gives its unit to another shopper", async ({ shop, visitor }) => {
  const sale = await shop.sale({ stock: 1 });
  const [ann, bea] = [await visitor({ as: await shop.register() }), await visitor({ as: await shop.register() })];
  const [first, second] = [new SalePage(ann.page), new SalePage(bea.page)];
  await ann.open(sale.path);
  await first.press();
  await first.orderShown();
  await bea.open(sale.path);
  await second.says("No unit is free at this moment, but some may come back.");
  await ann.page.getByRole("button", { name: "Cancel this order" }).click();
  await ann.page.getByRole("dialog").getByRole("button", { name: "Keep the order" }).click();
  await ann.page.getByRole("dialog").waitFor({ state: "hidden" });
  assert.equal(await first.countdown("Time left to pay") > 0, true, "a kept order is kept");
  await ann.page.getByRole("button", { name: "Cancel this order" }).click();
  await ann.page.getByRole("dialog").getByRole("button", { name: "Cancel the order" }).click();
  await first.says("This order is cancelled; its units went back on sale.");
  await first.says("You can buy again.");
  await second.says("The sale is open.");
  await second.press();
  await second.orderShown();
});

journey("an operator pauses, resumes and ends a sale under a shopper's eyes", async ({ shop, visitor }) => {
  const sale = await shop.sale();
  const ann = await visitor({ as: await shop.register() });
  const there = new SalePage(ann.page);
  await ann.open(sale.path);
  await there.says("The sale is open.");
  await shop.step(sale.id, "pause");
  await there.says("The shop has paused this sale.");
  assert.ok(await there.buy.isDisabled(), "Buy is closed in a pause");
  await shop.step(sale.id, "resume");
  await there.says("The sale is open.");
  await shop.step(sale.id, "end");
  await there.says("This sale has ended.");
  assert.ok(await there.buy.isDisabled(), "Buy is closed after the end");
});

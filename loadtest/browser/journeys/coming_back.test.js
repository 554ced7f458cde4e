// A shopper who reloads, goes back or opens a second tab finds the same order, and gets no second one.

import assert from "node:assert/strict";

import { journey } from "../journey.js";
import { SalePage } from "../sale_page.js";

const ORDERS = "**/api/v1/activities/*/orders";

/** A shopper at the page of a sale that would sell them more than one unit. */
async function atSale({ shop, visitor }, terms = {}) {
  const sale = await shop.sale({ limit: 3, ...terms });
  const username = await shop.register();
  const ann = await visitor({ as: username });
  await ann.open(sale.path);
  const orders = async () => (await (await shop.as(username)).orders()).map((order) => order.id);
  return { sale, username, ann, orders, there: new SalePage(ann.page) };
}

/** The same shopper at the same sale once more, in another tab. */
async function inAnotherTab({ ann, sale }) {
  const tab = new SalePage(await ann.tab());
  await tab.page.goto(sale.path);
  return tab;
}

/** And in another browser, on another machine as it were. */
async function inAnotherBrowser({ username, sale }, { visitor }) {
  const other = await visitor({ as: username });
  other.expects(409, "/orders");
  await other.open(sale.path);
  return new SalePage(other.page);
}

journey("a reload after a buy shows the same order", async (world) => {
  const { ann, orders, there } = await atSale(world);
  await there.press();
  const id = await there.orderShown();
  await ann.page.reload();
  assert.equal(await there.orderShown(), id);
  assert.deepEqual(await orders(), [id]);
});

journey("a reload while the answer is on its way finds the order", async (world) => {
  const { ann, orders, there } = await atSale(world);
  let reached;
  const placed = new Promise((resolve) => (reached = resolve));
  // The press reaches the shop; its answer never reaches the page.
  await ann.route(ORDERS, async (route) => {
    await route.fetch();
    reached();
  });
  await there.press();
  await placed;
  await ann.page.reload();
  await there.says("Your last press went through.");
  assert.deepEqual(await orders(), [await there.orderShown()]);
});

journey("a press that never arrived can be pressed again", async (world) => {
  const { ann, orders, there } = await atSale(world);
  let held;
  const sent = new Promise((resolve) => (held = resolve));
  await ann.route(ORDERS, () => held());
  await there.press();
  await sent;
  await ann.page.reload();
  await ann.unroute(ORDERS);
  await there.says("An earlier press was not answered.");
  await there.press();
  assert.deepEqual(await orders(), [await there.orderShown()]);
});

journey("an answer that was lost is asked for again, and stays one order", async (world) => {
  const { ann, orders, there } = await atSale(world);
  let lost = 0;
  await ann.route(ORDERS, async (route) => {
    if (lost === 2) return route.continue();
    lost += 1;
    await route.fetch();
    return route.abort("connectionreset");
  });
  ann.expects("net::ERR_CONNECTION_RESET", "/orders");
  await there.press();
  await there.says("Your order is placed.");
  assert.deepEqual([await orders(), lost], [[await there.orderShown()], 2]);
});

journey("back and forward show the same order", async (world) => {
  const { ann, sale, orders, there } = await atSale(world);
  await there.press();
  const id = await there.orderShown();
  await ann.page.evaluate(() => addEventListener("pageshow", ({ persisted }) => (globalThis.wasKept = persisted)));
  await ann.page.getByRole("link", { name: "Seckill" }).click();
  await ann.page.waitForURL("**/");
  await ann.goBack();
  assert.equal(await there.orderShown(), id);
  assert.ok(await ann.page.evaluate(() => globalThis.wasKept), "the browser has kept the page");
  await ann.goForward();
  await ann.goBack();
  assert.equal(await there.orderShown(), id);
  assert.equal(new URL(ann.page.url()).pathname, sale.path);
  // A page that was kept goes on.
  await world.shop.step(sale.id, "end");
  await there.says("This sale has ended.");
  assert.deepEqual(await orders(), [id]);
});

for (const [place, comes] of [["tabs", inAnotherTab], ["browsers", inAnotherBrowser]]) {
  for (const limit of [1, 3]) {
    journey(`two ${place} that press at once end at one order, with a limit of ${limit}`, async (world) => {
      const at = await atSale(world, { limit });
      const pages = [at.there, await comes(at, world)];
      // The second finds the first at work: it waits by itself.
      at.ann.expects(409, "/orders");
      for (const { buy, page } of pages) await buy.and(page.locator(":enabled")).waitFor();
      await Promise.all(pages.map(({ buy }) => buy.evaluate((button) => button.click())));
      const ids = await Promise.all(pages.map((it) => it.orderShown()));
      assert.equal(ids[0], ids[1], "both show the one order");
      assert.deepEqual(await at.orders(), [ids[0]]);
    });
  }
}

journey("a second tab that has not seen the order ends at it, and then buys another", async (world) => {
  const at = await atSale(world);
  const { there, orders } = at;
  const second = await inAnotherTab(at);
  await second.buy.and(second.page.locator(":enabled")).waitFor();
  await there.press();
  const id = await there.orderShown();
  await second.press();
  assert.equal(await second.orderShown(), id, "both show the one order");
  assert.deepEqual(await orders(), [id]);

  await second.page.getByRole("button", { name: "Buy another" }).click();
  await second.orders.nth(1).waitFor();
  assert.equal((await orders()).length, 2);
  // The first has not seen that one either.
  await there.page.getByRole("button", { name: "Buy another" }).click();
  await there.orders.nth(1).waitFor();
  assert.equal(await there.orderShown(), await second.orderShown());
  assert.equal((await orders()).length, 2);
});

journey("a cancelled order can be bought again, after a reload too", async (world) => {
  const { ann, there, orders } = await atSale(world, { limit: 1 });
  await there.press();
  const ids = [await there.orderShown()];
  await ann.page.getByRole("button", { name: "Cancel this order" }).click();
  await ann.page.getByRole("dialog").getByRole("button", { name: "Cancel the order" }).click();
  await there.says("This order is cancelled");
  await Promise.all([ann.page.waitForResponse("**/api/v1/orders?*"), ann.page.reload()]);
  await there.press();
  ids.unshift(await there.orderShown());
  assert.deepEqual(await orders(), ids);
  assert.notEqual(ids[0], ids[1]);
});

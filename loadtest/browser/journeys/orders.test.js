// A shopper finds their orders, and only theirs; cancels one; pays in time or sees that they did not.

import assert from "node:assert/strict";

import { journey } from "../journey.js";
import { atOrder } from "../order_page.js";
import { fillSignIn } from "../sign_in_page.js";

/** More than one page of the list. */
const MANY = 25;

journey("every order is listed, newest first", async ({ shop, visitor }) => {
  const sale = await shop.sale({ limit: 100 });
  const username = await shop.register();
  const api = await shop.as(username);
  for (let made = 0; made < MANY; made += 1) await api.buy(sale);
  const ann = await visitor({ as: username });
  await ann.open("/orders");
  const rows = ann.page.getByRole("list", { name: "Your orders" }).getByRole("listitem");
  await ann.page.getByRole("button", { name: "Show more" }).click();
  await rows.nth(MANY - 1).waitFor();
  const shown = await rows.getByRole("link").evaluateAll((links) => links.map((link) => link.getAttribute("href")));
  assert.deepEqual(shown, (await api.orders()).map(({ id }) => `/orders/${id}`));
  await rows.first().getByRole("link").click();
  await ann.page.getByText("It is kept for you until the time to pay is over.").waitFor();
});

journey("a shopper without orders is told so", async ({ shop, visitor }) => {
  const ann = await visitor({ as: await shop.register() });
  await ann.open("/orders");
  await ann.page.getByText("You have no orders yet.").waitFor();
});

journey("an order is cancelled on its page, and its unit is on sale again", async (world) => {
  const { sale, order, there } = await atOrder(world, { stock: 1 });
  await there.cancel.click();
  await there.page.getByRole("dialog").getByRole("button", { name: "Cancel the order" }).click();
  await there.says("This order is cancelled; its units went back on sale.");
  await there.pay.waitFor({ state: "hidden" });
  assert.equal((await order()).status, "cancelled");
  const bea = await world.shop.shopper();
  assert.equal((await bea.buy(sale)).status, "awaiting_payment");
});

journey("an order that is not paid in time says so under the shopper's eyes", async (world) => {
  const { there } = await atOrder(world, { payWithinS: 2 });
  await there.says("This order was not paid in time");
  await there.pay.waitFor({ state: "hidden" });
  await there.cancel.waitFor({ state: "hidden" });
});

journey("an order of someone else is not there", async (world) => {
  const { id } = await atOrder(world);
  const bea = await world.visitor({ as: await world.shop.register() });
  bea.expects(404, `/orders/${id}`);
  await bea.open(`/orders/${id}`);
  await bea.page.getByText("There is no such order, or it is not yours.").waitFor();
});

journey("a stranger signs in and is led to the order", async (world) => {
  const { id, username } = await atOrder(world);
  const ann = await world.visitor();
  await ann.open(`/orders/${id}`);
  await ann.page.getByText("Sign in to see this order.").waitFor();
  await ann.page.getByRole("main").getByRole("link", { name: "Sign in" }).click();
  await fillSignIn(ann.page, username);
  await ann.page.waitForURL(`**/orders/${id}`);
  await ann.page.getByText("It is kept for you until the time to pay is over.").waitFor();
});

journey("an order whose page loses the network goes on when it is back", async (world) => {
  const { ann, there, api, id } = await atOrder(world);
  await there.says("It is kept for you");
  await ann.losesNetwork();
  await there.says("You are offline");
  await api.ask("DELETE", `/orders/${id}`);
  await ann.hasNetworkAgain();
  await there.says("This order is cancelled");
});

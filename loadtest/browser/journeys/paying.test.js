// Money that reaches the shop pays an order once, or goes back; the page tells which.

import assert from "node:assert/strict";

import { journey } from "../journey.js";
import { atOrder, BANK, OrderPage } from "../order_page.js";
import { until } from "../patience.js";
import { SalePage } from "../sale_page.js";

const GOES_BACK = /The money (is on its way|went) back/;

journey("from the button to a paid order", async ({ shop, visitor }) => {
  const sale = await shop.sale();
  const ann = await visitor({ as: await shop.register() });
  const there = new SalePage(ann.page);
  await ann.open(sale.path);
  await there.press();
  const id = await there.orderShown();
  await ann.page.getByRole("link", { name: "Pay for this order" }).click();
  const order = new OrderPage(ann.page);
  await order.payBy(BANK.pay);
  await order.says("This order is paid.");
  assert.equal(new URL(ann.page.url()).pathname, `/orders/${id}`);
  await order.pay.waitFor({ state: "hidden" });
  await order.cancel.waitFor({ state: "hidden" });
  // The sale's page knows it too.
  await ann.open(sale.path);
  await there.says("This order is paid.");
});

journey("a payment that is declined can be made again", async (world) => {
  const { order, there } = await atOrder(world);
  await there.payBy(BANK.decline);
  await there.says("The payment did not go through");
  await there.payBy(BANK.pay);
  await there.says("This order is paid.");
  const { status, payments } = await order();
  assert.deepEqual([status, ...payments.map((payment) => payment.status)], ["paid", "failed", "succeeded"]);
});

journey("news that comes twice pays once", async (world) => {
  const { order, there } = await atOrder(world);
  await there.payBy(BANK.twice);
  await there.says("This order is paid.");
  const { status, payments } = await order();
  assert.deepEqual([status, ...payments.map((payment) => payment.status)], ["paid", "succeeded"]);
});

journey("news that comes out of order leaves a paid order paid", async (world) => {
  const { order, there } = await atOrder(world);
  await there.payBy(BANK.disorder);
  await there.says("This order is paid.");
  assert.equal((await order()).status, "paid");
});

journey("a second tab goes on with the payment that the first began", async (world) => {
  const { ann, id, order, there } = await atOrder(world);
  const second = new OrderPage(await ann.tab());
  await second.page.goto(`/orders/${id}`);
  await second.pay.waitFor();
  for (const tab of [there, second]) {
    await tab.pay.click();
    await tab.page.waitForURL("**/pay/*");
  }
  assert.equal(second.page.url(), there.page.url());
  await there.atBank(BANK.pay);
  await there.says("This order is paid.");
  const { payments } = await order();
  assert.deepEqual(payments.map(({ status }) => status), ["succeeded"]);
});

journey("an order that is paid twice is paid once, and the rest goes back", async (world) => {
  const { ann, api, id, order, there } = await atOrder(world);
  const pay = async () => (await api.ask("POST", `/orders/${id}/payments`, { method: "sandbox" })).redirect_url;
  const [first, other] = [await pay(), await pay()];
  const second = new OrderPage(await ann.tab());
  await there.page.goto(first);
  await second.page.goto(other);
  await there.atBank(BANK.pay);
  await there.says("This order is paid.");
  await second.atBank(BANK.pay);
  await second.says("This order is paid.");
  await second.payments.getByText(GOES_BACK).waitFor();
  const { status, payments } = await order();
  assert.equal(status, "paid");
  assert.equal(payments.filter((payment) => payment.status === "succeeded").length, 1);
});

journey("a wrong amount goes back, and the order can still be paid", async (world) => {
  const { order, there } = await atOrder(world);
  await there.payBy(BANK.wrong);
  await there.payments.getByText(GOES_BACK).waitFor();
  assert.equal((await order()).status, "awaiting_payment");
  await there.payBy(BANK.pay);
  await there.says("This order is paid.");
});

journey("money that comes late, but in time, pays", async (world) => {
  const { order, there } = await atOrder(world);
  await there.payBy(BANK.late);
  await there.says("This order is paid.");
  assert.equal((await order()).status, "paid");
});

journey("money that comes after the time to pay goes back", async ({ shop, visitor }) => {
  const sale = await shop.sale({ payWithinS: 10 });
  const username = await shop.register();
  const [ann, api] = [await visitor({ as: username }), await shop.as(username)];
  // Nothing but these two calls must happen in time.
  const { id } = await api.buy(sale);
  const { redirect_url: bank } = await api.ask("POST", `/orders/${id}/payments`, { method: "sandbox" });
  await until("the time to pay is over", async () => (await api.ask("GET", `/orders/${id}`)).status === "expired");
  await ann.open(bank);
  const there = new OrderPage(ann.page);
  await there.atBank(BANK.pay);
  await there.says("This order was not paid in time");
  await there.payments.getByText(GOES_BACK).waitFor();
  assert.equal((await api.ask("GET", `/orders/${id}`)).status, "expired");
});

journey("a shopper who comes back from the bank undecided can go on", async (world) => {
  const { ann, there } = await atOrder(world);
  await there.pay.click();
  await ann.page.waitForURL("**/pay/*");
  await ann.page.getByRole("link", { name: "Back to the shop without paying" }).click();
  await there.says("If you have not finished paying, you can go on.");
  await there.payBy(BANK.pay);
  await there.says("This order is paid.");
});

journey("a payment that leads nowhere is left for a new one", async (world) => {
  const { ann, order, there } = await atOrder(world);
  await there.pay.click();
  await ann.page.waitForURL("**/pay/*");
  const dead = ann.page.url();
  await ann.goBack();
  await there.says("If that leads nowhere, start a new payment");
  await there.payAnew.click();
  await ann.page.waitForURL((url) => url.pathname.startsWith("/pay/") && url.href !== dead);
  await there.atBank(BANK.pay);
  await there.says("This order is paid.");
  await there.payAnew.waitFor({ state: "hidden" });
  const { status, payments } = await order();
  assert.deepEqual([status, ...payments.map((payment) => payment.status)], ["paid", "failed", "succeeded"]);
});

journey("money of a payment that was left pays the order all the same", async (world) => {
  const { ann, order, there } = await atOrder(world);
  await there.pay.click();
  await ann.page.waitForURL("**/pay/*");
  const old = new OrderPage(await ann.tab());
  await old.page.goto(ann.page.url());
  await old.page.getByRole("button", { name: BANK.pay }).waitFor();
  await ann.goBack();
  await there.payAnew.click();
  await ann.page.waitForURL((url) => url.pathname.startsWith("/pay/") && url.href !== old.page.url());
  await old.atBank(BANK.pay);
  await old.says("This order is paid.");
  const { status, payments } = await order();
  assert.deepEqual([status, ...payments.map((payment) => payment.status)], ["paid", "succeeded", "started"]);
});

journey("the back button from the bank leads to the order, and it can be paid", async (world) => {
  const { ann, there } = await atOrder(world);
  await there.pay.click();
  await ann.page.waitForURL("**/pay/*");
  await ann.goBack();
  await there.says("If you have not finished paying, you can go on.");
  await there.payBy(BANK.pay);
  await there.says("This order is paid.");
  // Back from here leads to the order as it is, not to a bank that would be paid once more.
  await ann.goBack();
  await there.says("This order is paid.");
});

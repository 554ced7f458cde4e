// The pages around an order, the account and a product in every state that a visitor can find them in, and
// how to get there. It must not know what is examined there.

import { atOrder, BANK } from "./order_page.js";
import { until } from "./patience.js";
import { strangerAt } from "./sale_states.js";
import { PASSWORD } from "./shop.js";
import { silent, STILL_LOADING, unavailable } from "./unavailable.js";

/** As the states of a sale. */
export const ORDER_STATES = [
  { name: "product", reach: product },
  { name: "orders-empty", reach: shopperAt("/orders", "You have no orders yet.") },
  { name: "orders", reach: orders },
  { name: "orders-signed-out", reach: strangerAt("/orders", "Sign in to see your orders.") },
  { name: "order-signed-out", reach: strangerAt("/orders/1", "Sign in to see this order.") },
  { name: "order-not-found", reach: orderNotFound },
  { name: "order-open", reach: orderAfter(async () => {}, "It is kept for you") },
  { name: "order-offline", reach: orderAfter(({ ann }) => ann.losesNetwork(), "You are offline") },
  { name: "order-under-way", reach: orderUnderWay },
  { name: "order-declined", reach: orderAfter(({ there }) => there.payBy(BANK.decline), "The payment did not go through") },
  { name: "order-paid", reach: orderAfter(({ there }) => there.payBy(BANK.pay), "This order is paid.") },
  { name: "order-wrong-amount", reach: orderAfter(({ there }) => there.payBy(BANK.wrong), /The money (is on its way|went) back/) },
  { name: "order-page-cancelled", reach: orderAfter(cancelElsewhere, "This order is cancelled") },
  { name: "order-page-expired", reach: orderAfter(async () => {}, "This order was not paid in time", { payWithinS: 1 }) },
  { name: "bank", reach: bank },
  { name: "bank-unusual", reach: bankUnusual },
  { name: "bank-settled", reach: bankSettled },
  { name: "order-refunded", reach: orderRefunded },
  { name: "orders-loading", reach: withoutAnswer(silent, "/orders", "**/api/v1/orders?*", STILL_LOADING) },
  { name: "orders-failed", reach: withoutAnswer(unavailable, "/orders", "**/api/v1/orders?*", "Your orders could not be loaded.") },
  { name: "order-loading", reach: withoutAnswer(silent, "/orders/1", "**/api/v1/orders/1", STILL_LOADING) },
  { name: "order-failed", reach: withoutAnswer(unavailable, "/orders/1", "**/api/v1/orders/1", "The order could not be loaded.") },
  { name: "account-loading", reach: withoutAnswer(silent, "/account", "**/api/v1/users/me", STILL_LOADING) },
  { name: "account-failed", reach: withoutAnswer(unavailable, "/account", "**/api/v1/users/me", "Your account could not be loaded.") },
  { name: "account-changed", reach: accountChanged },
  { name: "bank-loading", reach: withoutAnswer(silent, "/pay/1", "**/sandbox/payments/1", STILL_LOADING) },
  { name: "bank-failed", reach: withoutAnswer(unavailable, "/pay/1", "**/sandbox/payments/1", "The payment could not be shown.") },
  { name: "account", reach: shopperAt("/account", "Signed in as") },
  { name: "account-invalid", reach: accountInvalid },
  { name: "account-signed-out", reach: strangerAt("/account", "Sign in to see your account.") },
  { name: "reset", reach: strangerAt("/reset#something", "8 to 128 characters.") },
  { name: "reset-used", reach: resetUsed },
  { name: "reset-no-token", reach: strangerAt("/reset", "This address lacks the end of its link.") },
];

function shopperAt(path, says) {
  return async (shop, visitor) => {
    const ann = await visitor({ as: await shop.register() });
    await ann.open(path);
    await ann.page.getByText(says).first().waitFor();
    return ann;
  };
}

/** A shopper at a page whose question to the API, which fits the address, is not answered. */
function withoutAnswer(goesWrong, path, address, says) {
  return async (shop, visitor) => {
    const ann = await visitor({ as: await shop.register() });
    await goesWrong(ann, address);
    await ann.open(path);
    await ann.page.getByText(says).filter({ visible: true }).waitFor();
    return ann;
  };
}

async function product(shop, visitor) {
  const sale = await shop.sale();
  const ann = await visitor();
  await ann.open(sale.path);
  await ann.page.getByRole("main").getByRole("link", { name: "Kettle", exact: true }).click();
  await ann.page.waitForURL("**/products/*");
  return ann;
}

async function orders(shop, visitor) {
  const [sale, soon] = [await shop.sale({ limit: 30 }), await shop.sale({ payWithinS: 1 })];
  const username = await shop.register();
  const api = await shop.as(username);
  await api.buy(soon);
  for (let made = 0; made < 22; made += 1) await api.buy(sale);
  const ann = await visitor({ as: username });
  await ann.open("/orders");
  await ann.page.getByRole("button", { name: "Show more" }).click();
  await ann.page.getByText("These are all your orders.").waitFor();
  return ann;
}

async function orderNotFound(shop, visitor) {
  const ann = await visitor({ as: await shop.register() });
  ann.expects(404, "/orders/");
  await ann.open("/orders/999999");
  await ann.page.getByText("There is no such order, or it is not yours.").waitFor();
  return ann;
}

function orderAfter(act, says, terms) {
  return async (shop, visitor) => {
    const world = await atOrder({ shop, visitor }, terms);
    await act(world);
    await world.there.says(says);
    return world.ann;
  };
}

async function cancelElsewhere({ ann, api, id }) {
  await api.ask("DELETE", `/orders/${id}`);
  await ann.page.reload();
}

async function orderRefunded(shop, visitor) {
  const { ann, api, id, order, there } = await atOrder({ shop, visitor });
  await api.pay({ id });
  await until("the order is paid", async () => (await order()).status === "paid");
  await shop.admin("POST", `/admin/orders/${id}/refund`, { return_units: false });
  await until("the money is back", async () => (await order()).payments.every(({ status }) => status === "refunded"));
  await ann.page.reload();
  await there.says("This order was paid back.");
  return ann;
}

async function bank(shop, visitor) {
  const { ann, there } = await atOrder({ shop, visitor });
  await there.pay.click();
  await ann.page.getByText("Unusual endings").waitFor();
  return ann;
}

async function bankUnusual(shop, visitor) {
  const ann = await bank(shop, visitor);
  await ann.page.getByText("Unusual endings").click();
  await ann.page.getByRole("button", { name: BANK.wrong }).waitFor();
  return ann;
}

async function bankSettled(shop, visitor) {
  const ann = await bank(shop, visitor);
  const address = ann.page.url();
  await ann.page.getByRole("button", { name: BANK.pay }).click();
  await ann.page.getByText("This order is paid.").waitFor();
  await ann.open(address);
  await ann.page.getByText("There is nothing more to decide here.").waitFor();
  return ann;
}

async function orderUnderWay(shop, visitor) {
  const ann = await bank(shop, visitor);
  await ann.page.getByRole("link", { name: "Back to the shop without paying" }).click();
  await ann.page.getByText("you can go on.").waitFor();
  return ann;
}

async function accountInvalid(shop, visitor) {
  const ann = await shopperAt("/account", "Signed in as")(shop, visitor);
  await ann.page.getByRole("button", { name: "Change the password" }).click();
  await ann.page.locator("#password-error:not(:empty)").waitFor();
  return ann;
}

async function accountChanged(shop, visitor) {
  const ann = await shopperAt("/account", "Signed in as")(shop, visitor);
  await ann.page.getByLabel("Password until now").fill(PASSWORD);
  await ann.page.getByLabel("New password").fill("another horse battery");
  await ann.page.getByRole("button", { name: "Change the password" }).click();
  await ann.page.getByText("Your password is changed.").waitFor();
  return ann;
}

async function resetUsed(shop, visitor) {
  const link = await shop.resetLink(await shop.register());
  const set = async (ann) => {
    await ann.open(link);
    await ann.page.getByLabel("New password").fill("another horse battery");
    await ann.page.getByRole("button", { name: "Set the password" }).click();
  };
  const [first, late] = [await visitor(), await visitor()];
  await set(first);
  await first.page.getByText("Your new password is set.").waitFor();
  late.expects(404, "/api/v1/password-resets");
  await set(late);
  await late.page.getByText("This link was used already, or it is too old.").waitFor();
  return late;
}

// A script that is slow to come, or never does, leaves no dead button: the page says that it is still loading
// and what to do, and works as soon as the script is there.

import assert from "node:assert/strict";

import { journey } from "../journey.js";
import { atOrder } from "../order_page.js";
import { SalePage } from "../sale_page.js";
import { fillSignIn } from "../sign_in_page.js";
import { refused, STILL_LOADING } from "../unavailable.js";

/** Holds what a script's address fits, until the function that comes back is called. */
async function holdBack(ann, address) {
  let release;
  const released = new Promise((resolve) => (release = resolve));
  await ann.route(address, async (route) => {
    await released;
    await route.continue();
  });
  return release;
}

/** Goes to a page without waiting for its scripts. */
async function openBare(ann, path) {
  await ann.page.goto(path, { waitUntil: "commit" });
}

for (const script of ["activity", "clock", "shell"]) {
  journey(`a sale whose ${script}.js is slow says that it is loading, then sells`, async ({ shop, visitor }) => {
    const sale = await shop.sale();
    const ann = await visitor({ as: await shop.register() });
    const there = new SalePage(ann.page);
    const release = await holdBack(ann, `**/assets/${script}-*.js`);
    await openBare(ann, sale.path);
    await there.says(STILL_LOADING);
    assert.ok(await there.buy.isDisabled(), "Buy is closed while nobody would hear it");
    release();
    await there.says("The sale is open.");
    assert.equal(await ann.page.getByText(STILL_LOADING).count(), 0);
    await there.press();
    await there.orderShown();
  });

  journey(`a sale whose ${script}.js is refused says what to do, and it helps`, async ({ shop, visitor }) => {
    const sale = await shop.sale();
    const ann = await visitor({ as: await shop.register() });
    const there = new SalePage(ann.page);
    const address = `**/assets/${script}-*.js`;
    await refused(ann, address);
    await ann.open(sale.path);
    await there.says(STILL_LOADING);
    assert.ok(await there.buy.isDisabled(), "Buy is closed where nobody hears it");
    await ann.unroute(address);
    await ann.page.reload();
    await there.press();
    await there.orderShown();
  });
}

journey("a form whose script is slow says so, and can be sent when it is there", async ({ shop, visitor }) => {
  const username = await shop.register();
  const ann = await visitor();
  const release = await holdBack(ann, "**/assets/sign_in-*.js");
  await openBare(ann, "/sign-in");
  await ann.page.getByText(STILL_LOADING).waitFor();
  await ann.page.locator("#submit:disabled").waitFor();
  release();
  await fillSignIn(ann.page, username);
  await ann.page.waitForURL("**/");
});

journey("every page that needs its script says so where it is refused", async (world) => {
  const { id, ann, api } = await atOrder(world);
  const { payment_id: payment } = await api.ask("POST", `/orders/${id}/payments`, { method: "sandbox" });
  await refused(ann, "**/assets/api-*.js");
  for (const path of ["/sign-in", "/register", "/reset#something", "/orders", `/orders/${id}`, "/account", `/pay/${payment}`]) {
    await ann.open(path);
    await ann.page.getByText(STILL_LOADING).waitFor();
  }
});

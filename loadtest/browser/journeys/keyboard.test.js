// A shop without a mouse: Tab, Enter and Escape are enough, and the focus is never lost.

import assert from "node:assert/strict";

import { journey } from "../journey.js";
import { BANK, OrderPage } from "../order_page.js";
import { until } from "../patience.js";
import { SalePage } from "../sale_page.js";
import { PASSWORD } from "../shop.js";

// More stops than any page has.
const STOPS_MAX = 40;

/** Presses Tab until what has the focus says this; each stop on the way must be seen to have it. */
async function tabTo(page, wanted) {
  for (let stop = 0; stop < STOPS_MAX; stop += 1) {
    await page.keyboard.press("Tab");
    const { name, outlined } = await focus(page);
    assert.ok(outlined, `${name} shows no focus`);
    if (name === wanted) return;
  }
  assert.fail(`Tab does not lead to ${wanted}`);
}

/** What has the focus, and whether it is seen to. */
async function focus(page) {
  return page.evaluate(() => {
    const element = document.activeElement;
    const rings = [getComputedStyle(element), getComputedStyle(element, "::after")];
    return {
      name: (element.labels?.[0] ?? element).textContent.trim(),
      outlined: element === document.body || rings.some((style) => style.outlineStyle !== "none" && style.outlineWidth !== "0px"),
    };
  });
}

async function assertHasFocus(page) {
  assert.ok(await page.evaluate(() => document.activeElement !== document.body), "the focus is lost");
}

async function focusLandsOn(page, wanted) {
  await until(`the focus is on ${wanted}`, async () => wanted.test((await focus(page)).name));
}

journey("registering, buying and cancelling with the keyboard alone", async ({ shop, visitor, width }) => {
  const sale = await shop.sale({ opensInMs: 12_000, terms: { title: "Kettles for keyboards" } });
  const ann = await visitor();
  const { page } = ann;
  const there = new SalePage(page);
  await ann.open(sale.path);
  await page.keyboard.press("Tab");
  assert.equal((await focus(page)).name, "Skip to the content");
  await tabTo(page, "Register");
  await page.keyboard.press("Enter");
  await page.waitForURL("**/register**");
  await tabTo(page, "Username");
  await page.keyboard.type(`keys-${width}`);
  await tabTo(page, "Password");
  await page.keyboard.type(PASSWORD);
  await page.keyboard.press("Enter");
  await page.waitForURL(`**${sale.path}`);

  await there.buy.and(page.locator(":enabled")).waitFor();
  await tabTo(page, "Buy");
  await page.keyboard.press("Enter");
  await focusLandsOn(page, /^Order \d+$/);
  await tabTo(page, "Cancel this order");
  await page.keyboard.press("Enter");
  await focusLandsOn(page, /^Keep the order$/);
  await page.keyboard.press("Escape");
  await focusLandsOn(page, /^Cancel this order$/);
  await page.keyboard.press("Enter");
  await tabTo(page, "Cancel the order");
  await page.keyboard.press("Enter");
  await there.says("This order is cancelled");
  await assertHasFocus(page);
});

journey("the skip link leads past the header", async ({ visitor }) => {
  const ann = await visitor();
  await ann.open("/sign-in");
  await ann.page.keyboard.press("Tab");
  await ann.page.keyboard.press("Enter");
  await ann.page.keyboard.press("Tab");
  assert.equal((await focus(ann.page)).name, "Username");
});

journey("signing in, paying and signing out with the keyboard alone", async ({ shop, visitor }) => {
  const username = await shop.register();
  const { id } = await (await shop.as(username)).buy(await shop.sale());
  const ann = await visitor();
  const { page } = ann;
  const there = new OrderPage(page);
  await ann.open(`/orders/${id}`);
  await there.says("Sign in to see this order.");
  await tabTo(page, "Sign in");
  await page.keyboard.press("Enter");
  await page.waitForURL("**/sign-in**");
  await tabTo(page, "Username");
  await page.keyboard.type(username);
  await tabTo(page, "Password");
  await page.keyboard.type(PASSWORD);
  await page.locator("#submit:enabled").waitFor();
  await page.keyboard.press("Enter");
  await page.waitForURL(`**/orders/${id}`);

  await there.pay.waitFor();
  await tabTo(page, "Pay");
  await page.keyboard.press("Enter");
  await page.waitForURL("**/pay/*");
  await page.getByRole("button", { name: BANK.pay }).waitFor();
  await tabTo(page, "Pay $10.00");
  await page.keyboard.press("Enter");
  await page.waitForURL(`**/orders/${id}`);
  await there.says("This order is paid.");

  await page.getByRole("button", { name: "Sign out" }).waitFor();
  await tabTo(page, "Sign out");
  await page.keyboard.press("Enter");
  await there.says("Sign in to see this order.");
});

journey("name and password are changed with the keyboard alone", async ({ shop, visitor }) => {
  const ann = await visitor({ as: await shop.register() });
  const { page } = ann;
  await ann.open("/account");
  await page.getByText("Signed in as").waitFor();
  await tabTo(page, "Name");
  await page.keyboard.type("Ann of the Keys");
  await page.keyboard.press("Enter");
  await page.getByText("Your name is changed.").waitFor();
  await assertHasFocus(page);
  await tabTo(page, "Password until now");
  await page.keyboard.type(PASSWORD);
  await tabTo(page, "New password");
  await page.keyboard.type("another horse battery");
  await page.keyboard.press("Enter");
  await page.getByText("Your password is changed.").waitFor();
  await assertHasFocus(page);
  await tabTo(page, "Sign out here");
  await page.keyboard.press("Enter");
  await page.waitForURL("**/");
});

journey("a forgotten password is set anew with the keyboard alone", async ({ shop, visitor }) => {
  const ann = await visitor();
  const { page } = ann;
  await ann.open(await shop.resetLink(await shop.register()));
  await page.locator("#submit:enabled").waitFor();
  await tabTo(page, "New password");
  await page.keyboard.type("another horse battery");
  await page.keyboard.press("Enter");
  await focusLandsOn(page, /^Your new password is set\./);
  await tabTo(page, "Sign in");
  await page.keyboard.press("Enter");
  await page.waitForURL("**/sign-in");
});

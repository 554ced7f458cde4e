// A shop with many sales shows those that come next, and leads to the rest.

import assert from "node:assert/strict";

import { journey } from "../journey.js";

const MANY = 30;
// So many are on one page.
const ON_A_PAGE = 24;

let product;

/** The same sales for every width: each one more takes a while to be made. */
async function manySales(shop) {
  product ??= shop.manySales(MANY);
  return product;
}

async function shown(page) {
  return page.getByRole("main").getByRole("heading", { level: 2 }).allTextContents();
}

journey("the first page shows the sales that come next, and the way to the rest", async ({ shop, visitor }) => {
  await manySales(shop);
  const nights = Array.from({ length: MANY }, (_, index) => `Kettles for a song, night ${index + 1}`);
  const ann = await visitor();
  const { page } = ann;
  await ann.open("/");
  assert.deepEqual(await shown(page), nights.slice(0, ON_A_PAGE));
  await page.getByText(`Sales 1 to ${ON_A_PAGE} of ${MANY}`).waitFor();
  await page.getByRole("link", { name: "Later sales" }).click();
  await page.getByRole("heading", { name: "Flash sales, page 2" }).waitFor();
  assert.deepEqual(await shown(page), nights.slice(ON_A_PAGE));
  await page.getByText("Coming").nth(MANY - ON_A_PAGE - 1).waitFor();
  assert.equal(await page.getByRole("link", { name: "Later sales" }).count(), 0, "the last page leads no further");
  await page.getByRole("link", { name: nights.at(-1) }).click();
  await page.getByText("Not open yet").waitFor();
  await ann.goBack();
  await page.getByRole("link", { name: "Sooner sales" }).click();
  await page.getByRole("heading", { name: "Flash sales", exact: true }).waitFor();
});

journey("a product in many sales shows those that come next, and counts the rest", async ({ shop, visitor }) => {
  const ann = await visitor();
  await ann.open(await manySales(shop));
  const sales = ann.page.getByRole("region", { name: "Flash sales" });
  assert.equal(await sales.getByRole("listitem").count(), 10);
  await sales.getByText(`And ${MANY - 10} more sales of it`).waitFor();
  await sales.getByRole("link", { name: "See all sales" }).click();
  await ann.page.waitForURL("**/");
});

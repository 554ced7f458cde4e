// Who is not signed in may look, is led to the sign-in and back, and is told what was wrong.

import assert from "node:assert/strict";

import { journey } from "../journey.js";
import { SalePage } from "../sale_page.js";
import { PASSWORD } from "../shop.js";
import { fillSignIn } from "../sign_in_page.js";

journey("a stranger signs in to buy and comes back to the sale", async ({ shop, visitor }) => {
  const sale = await shop.sale();
  const username = await shop.register();
  const { page } = await visitor();
  const there = new SalePage(page);
  await page.goto(sale.path);
  await there.says("The sale is open.");
  await page.getByRole("link", { name: "Sign in to buy" }).click();
  await fillSignIn(page, username, PASSWORD);
  await page.waitForURL(`**${sale.path}`);
  await there.press();
  await there.orderShown();
});

journey("a wrong password is told, without saying which half is wrong", async ({ shop, visitor }) => {
  const username = await shop.register();
  const ann = await visitor();
  ann.expects(401, "/api/v1/sessions");
  await ann.open("/sign-in");
  for (const name of [username, "nobody-at-all"]) {
    await fillSignIn(ann.page, name, "not the password");
    await ann.page.getByRole("alert").getByText("Username or password is wrong.").waitFor();
  }
  await fillSignIn(ann.page, username, PASSWORD);
  await ann.page.waitForURL("**/");
  await ann.page.getByRole("button", { name: "Sign out" }).waitFor();
});

journey("a form says beside each field what is wrong with it", async ({ shop, visitor }) => {
  const taken = await shop.register();
  const ann = await visitor();
  const { page } = ann;
  const [username, password] = [page.getByLabel("Username"), page.getByLabel("Password")];
  const register = page.getByRole("button", { name: "Register" });
  await ann.open("/register");
  await register.click();
  await page.locator("#username-error:not(:empty)").waitFor();
  await page.locator("#password-error:not(:empty)").waitFor();
  assert.ok(await username.evaluate((input) => input === document.activeElement), "the first wrong field has the focus");
  await username.fill(taken);
  await password.fill(PASSWORD);
  ann.expects(409, "/api/v1/users");
  await register.click();
  await page.getByText("This username is taken.").waitFor();
  assert.equal(await username.getAttribute("aria-invalid"), "true");
});

journey("who signs out is a stranger again, in every tab that looks", async ({ shop, visitor }) => {
  const sale = await shop.sale();
  const ann = await visitor({ as: await shop.register() });
  await ann.open(sale.path);
  await ann.page.getByRole("button", { name: "Sign out" }).click();
  await ann.page.getByRole("link", { name: "Sign in to buy" }).waitFor();
  const second = await ann.tab();
  await second.goto("/");
  await second.getByRole("link", { name: "Sign in" }).waitFor();
});

journey("an address with nothing at it says so and leads home", async ({ visitor }) => {
  const ann = await visitor();
  for (const path of ["/nothing", "/activities/999999"]) {
    ann.expects(404, path);
    const answer = await ann.open(path);
    assert.equal(answer.status(), 404);
    await ann.page.getByRole("heading", { name: "There is nothing here" }).waitFor();
  }
  await ann.page.getByRole("link", { name: "See all sales" }).click();
  await ann.page.getByRole("heading", { name: "Flash sales" }).waitFor();
});

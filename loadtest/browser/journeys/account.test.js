// A shopper changes name and password, signs out everywhere, and comes back by a link when all is forgotten.

import assert from "node:assert/strict";

import { journey } from "../journey.js";
import { PASSWORD } from "../shop.js";
import { fillSignIn } from "../sign_in_page.js";

const NEW_PASSWORD = "another horse battery";

async function changePassword(page, old, next) {
  await page.getByLabel("Password until now").fill(old);
  await page.getByLabel("New password").fill(next);
  await page.getByRole("button", { name: "Change the password" }).click();
}

journey("a changed name is the name everywhere", async ({ shop, visitor, width }) => {
  const ann = await visitor({ as: await shop.register() });
  const { page } = ann;
  await ann.open("/account");
  await page.getByLabel("Name", { exact: true }).fill("Ann of Green Gables");
  await page.getByRole("button", { name: "Change the name" }).click();
  await page.getByText("Your name is changed.").waitFor();
  // A phone has no room for it in the header.
  const state = width < 768 ? "attached" : "visible";
  await page.getByText("Ann of Green Gables").waitFor({ state });
  await ann.open("/");
  await page.getByText("Ann of Green Gables").waitFor({ state });
});

journey("a password is changed by whoever knows the old one", async ({ shop, visitor }) => {
  const username = await shop.register();
  const ann = await visitor({ as: username });
  ann.expects(422, "/api/v1/users/me");
  await ann.open("/account");
  await changePassword(ann.page, "not the password", NEW_PASSWORD);
  await ann.page.getByText("This is not your password.").waitFor();
  await changePassword(ann.page, PASSWORD, NEW_PASSWORD);
  await ann.page.getByText("Your password is changed.").waitFor();

  const later = await visitor();
  later.expects(401, "/api/v1/sessions");
  await later.open("/sign-in");
  await fillSignIn(later.page, username, PASSWORD);
  await later.page.getByText("Username or password is wrong.").waitFor();
  await fillSignIn(later.page, username, NEW_PASSWORD);
  await later.page.waitForURL("**/");
});

journey("signing out everywhere ends the session of another browser", async ({ shop, visitor }) => {
  const username = await shop.register();
  const [here, lost] = [await visitor({ as: username }), await visitor({ as: username })];
  await lost.open("/orders");
  await lost.page.getByText("You have no orders yet.").waitFor();
  await here.open("/account");
  await here.page.getByRole("button", { name: "Sign out everywhere" }).click();
  await here.page.waitForURL("**/");
  await here.page.getByRole("link", { name: "Sign in" }).waitFor();
  lost.expects(401, "/api/v1/");
  await lost.page.reload();
  await lost.page.getByText("Sign in to see your orders.").waitFor();
});

journey("a forgotten password is set anew by a link, once", async ({ shop, visitor }) => {
  const username = await shop.register();
  const path = await shop.resetLink(username);
  const ann = await visitor();
  const { page } = ann;
  await ann.open(path);
  await page.getByLabel("New password").fill(NEW_PASSWORD);
  await page.getByRole("button", { name: "Set the password" }).click();
  await page.getByText("Your new password is set.").waitFor();
  assert.equal(new URL(page.url()).hash, "", "the token does not stay in the address");
  await page.getByRole("main").getByRole("link", { name: "Sign in" }).click();
  await fillSignIn(page, username, NEW_PASSWORD);
  await page.waitForURL("**/");

  const late = await visitor();
  late.expects(404, "/api/v1/password-resets");
  await late.open(path);
  await late.page.getByLabel("New password").fill("a third horse battery");
  await late.page.getByRole("button", { name: "Set the password" }).click();
  await late.page.getByText("This link was used already, or it is too old.").waitFor();
});

journey("a link without its end says so", async ({ visitor }) => {
  const ann = await visitor();
  await ann.open("/reset");
  await ann.page.getByText("This address lacks the end of its link.").waitFor();
});

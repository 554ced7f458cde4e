// The form by which a shopper signs in.
// It must not know what comes of it.

import { PASSWORD } from "./shop.js";

/** Fills in the form and sends it. */
export async function fillSignIn(page, username, password = PASSWORD) {
  await page.getByLabel("Username").fill(username);
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Sign in" }).click();
}

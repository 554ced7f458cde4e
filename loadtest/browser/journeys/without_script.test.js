// Without JavaScript the shop shows what is sold, when and for how much, and says what cannot be done.

import { journey } from "../journey.js";

/** What only a browser without scripts shows; text searches leave it out. */
function instead(page, text) {
  return page.locator("noscript p:visible").filter({ hasText: text });
}

journey("without JavaScript a sale is shown, and that buying needs it", async ({ shop, visitor }) => {
  const sale = await shop.sale();
  const ann = await visitor({ javaScript: false });
  const { page } = ann;
  await ann.open("/");
  await page.locator(`a[href="${sale.path}"]`).click();
  await page.getByRole("heading", { name: "Kettles for a song" }).waitFor();
  await page.getByText("$10.00").waitFor();
  await page.getByText("Starts ").waitFor();
  await instead(page, "Buying needs JavaScript.").waitFor();
  await page.getByText("At most 1 unit for each shopper.").waitFor();
});

journey("without JavaScript a form says that it needs it", async ({ visitor }) => {
  const ann = await visitor({ javaScript: false });
  for (const path of ["/sign-in", "/register"]) {
    await ann.open(path);
    await instead(ann.page, "This form needs JavaScript.").waitFor();
    await ann.page.locator("#submit:disabled").waitFor();
  }
});

journey("without JavaScript a page that is filled in says that it needs it", async ({ visitor }) => {
  const ann = await visitor({ javaScript: false });
  for (const path of ["/orders", "/orders/1", "/account", "/reset#something", "/pay/1"]) {
    await ann.open(path);
    await instead(ann.page, /needs? JavaScript/).waitFor();
  }
});

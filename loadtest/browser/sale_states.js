// The home page, the forms and the page of a sale in every state that a visitor can find them in, and how
// to get there. It must not know what is examined there.

import { until } from "./patience.js";
import { SalePage } from "./sale_page.js";
import { refused, STILL_LOADING, unavailable } from "./unavailable.js";

const WORD_WITHOUT_BREAKS = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft";

/** `{ name, reach }`; `reach` is given the shop and `visitor(options)` and returns whoever is there. */
export const SALE_STATES = [
  // Before any sale is made; the order of this list matters to it alone.
  { name: "home-empty", reach: strangerAt("/", /No sale is planned/) },
  { name: "home", reach: home },
  { name: "home-of-many", reach: ofMany(() => "/", "Sales 1 to 24") },
  { name: "home-further", reach: ofMany(() => "/sales/2", "Sales 25 to") },
  { name: "product-in-many-sales", reach: ofMany((product) => product, "more sales of it") },
  { name: "docs", reach: docs },
  { name: "not-found", reach: notFound },
  { name: "sign-in", reach: strangerAt("/sign-in", "No account yet?") },
  { name: "sign-in-still-loading", reach: withoutScript(() => "/sign-in") },
  { name: "sign-in-wrong", reach: signInWrong },
  { name: "register", reach: strangerAt("/register", "Have an account?") },
  { name: "register-invalid", reach: registerInvalid },
  { name: "sale-before", reach: saleSaying({ opensInMs: 3_600_000 }, "Not open yet") },
  { name: "sale-in-days", reach: saleSaying({ opensInMs: 300_000_000 }, "Not open yet") },
  { name: "sale-open", reach: saleSaying({}, "The sale is open.") },
  { name: "sale-open-stranger", reach: saleStranger },
  { name: "sale-long-words", reach: saleSaying(longWords(), "The sale is open.") },
  { name: "sale-taken", reach: saleTaken },
  { name: "sale-sold-out", reach: saleSoldOut },
  { name: "sale-paused", reach: saleAfter("pause", "The shop has paused this sale.") },
  { name: "sale-ended", reach: saleAfter("end", "This sale has ended.") },
  { name: "sale-refused", reach: saleRefused },
  { name: "sale-still-loading", reach: withoutScript(async (shop) => (await shop.sale()).path) },
  { name: "sale-unreachable", reach: saleUnreachable },
  { name: "sale-offline", reach: saleOffline },
  { name: "order-placed", reach: bought({ limit: 1 }) },
  { name: "order-and-another", reach: bought({ limit: 5 }) },
  { name: "order-cancelling", reach: orderCancelling },
  { name: "order-cancelled", reach: orderCancelled },
  { name: "order-expired", reach: orderExpired },
];

export function strangerAt(path, says) {
  return async (shop, visitor) => {
    const ann = await visitor();
    await ann.open(path);
    await ann.page.getByText(says).waitFor();
    return ann;
  };
}

async function home(shop, visitor) {
  await shop.sale();
  await shop.sale({ opensInMs: 60_000, terms: { title: "Umbrellas before the rain" } });
  await shop.sale(longWords());
  const ann = await visitor({ as: await shop.register() });
  await ann.open("/");
  await ann.page.getByRole("button", { name: "Sign out" }).waitFor();
  return ann;
}

// Made once for all the states with many sales.
let manySales;

function ofMany(pathOf, says) {
  return async (shop, visitor) => {
    manySales ??= shop.manySales(30);
    return strangerAt(pathOf(await manySales), says)(shop, visitor);
  };
}

/** At a problem of the API, as its address has it. */
async function docs(shop, visitor) {
  const ann = await visitor();
  await ann.open("/docs#problem-sold-out");
  const isInSight = (problem) => problem.getBoundingClientRect().top < innerHeight && problem.getBoundingClientRect().bottom > 0;
  await until("the problem is in sight", () => ann.page.locator("#problem-sold-out").evaluate(isInSight));
  return ann;
}

/** A stranger at a page whose script cannot be had. */
function withoutScript(pathOf) {
  return async (shop, visitor) => {
    const ann = await visitor();
    await refused(ann, "**/assets/api-*.js");
    await ann.open(await pathOf(shop));
    await ann.page.getByText(STILL_LOADING).waitFor();
    return ann;
  };
}

async function saleUnreachable(shop, visitor) {
  const sale = await shop.sale();
  const ann = await visitor({ as: await shop.register() });
  await unavailable(ann, "**/state");
  await ann.open(sale.path);
  await new SalePage(ann.page).says("The shop cannot be reached.");
  return ann;
}

async function notFound(shop, visitor) {
  const ann = await visitor();
  ann.expects(404, "/nothing");
  await ann.open("/nothing");
  return ann;
}

async function signInWrong(shop, visitor) {
  const ann = await visitor();
  ann.expects(401, "/api/v1/sessions");
  await ann.open("/sign-in");
  await ann.page.getByLabel("Username").fill("nobody-at-all");
  await ann.page.getByLabel("Password").fill("not the password");
  await ann.page.getByRole("button", { name: "Sign in" }).click();
  await ann.page.getByRole("alert").filter({ hasText: "wrong" }).waitFor();
  return ann;
}

async function registerInvalid(shop, visitor) {
  const ann = await visitor();
  await ann.open("/register");
  await ann.page.getByLabel("Username").fill("No Such Name");
  await ann.page.getByRole("button", { name: "Register" }).click();
  await ann.page.locator("#password-error:not(:empty)").waitFor();
  return ann;
}

function longWords() {
  return {
    terms: { title: `${WORD_WITHOUT_BREAKS} at half price` },
    goods: { title: WORD_WITHOUT_BREAKS, description: `${WORD_WITHOUT_BREAKS}\nAnd a second paragraph.`, price: { amount: 123_456_789_000, currency: "USD" } },
    stock: 1_000_000,
  };
}

/** A shopper at the page of a sale, as soon as it says this. */
async function shopperAt(sale, shop, visitor, says) {
  const ann = await visitor({ as: await shop.register() });
  await ann.open(sale.path);
  await new SalePage(ann.page).says(says);
  return ann;
}

function saleSaying(terms, says) {
  return async (shop, visitor) => shopperAt(await shop.sale(terms), shop, visitor, says);
}

async function saleStranger(shop, visitor) {
  const sale = await shop.sale();
  const ann = await visitor();
  await ann.open(sale.path);
  await ann.page.getByRole("link", { name: "Sign in to buy" }).waitFor();
  return ann;
}

async function saleTaken(shop, visitor) {
  const sale = await shop.sale({ stock: 1 });
  await (await shop.shopper()).buy(sale);
  return shopperAt(sale, shop, visitor, "No unit is free at this moment");
}

async function saleSoldOut(shop, visitor) {
  const sale = await shop.sale({ stock: 1 });
  const bea = await shop.shopper();
  await bea.pay(await bea.buy(sale));
  return shopperAt(sale, shop, visitor, "Sold out.");
}

function saleAfter(step, says) {
  return async (shop, visitor) => {
    const sale = await shop.sale();
    await shop.step(sale.id, step);
    return shopperAt(sale, shop, visitor, says);
  };
}

async function saleRefused(shop, visitor) {
  const ann = await saleTaken(shop, visitor);
  ann.expects(409, "/orders");
  const there = new SalePage(ann.page);
  await there.press();
  await there.says("All units are taken right now");
  return ann;
}

async function saleOffline(shop, visitor) {
  const ann = await shopperAt(await shop.sale(), shop, visitor, "The sale is open.");
  await ann.losesNetwork();
  const there = new SalePage(ann.page);
  await there.press();
  await there.says("Trying again by itself");
  return ann;
}

function bought(terms) {
  return async (shop, visitor) => {
    const ann = await shopperAt(await shop.sale(terms), shop, visitor, "The sale is open.");
    const there = new SalePage(ann.page);
    await there.press();
    await there.orderShown();
    return ann;
  };
}

async function orderCancelling(shop, visitor) {
  const ann = await bought({})(shop, visitor);
  await ann.page.getByRole("button", { name: "Cancel this order" }).click();
  await ann.page.getByRole("dialog").waitFor();
  return ann;
}

async function orderCancelled(shop, visitor) {
  const ann = await orderCancelling(shop, visitor);
  await ann.page.getByRole("button", { name: "Cancel the order" }).click();
  await new SalePage(ann.page).says("This order is cancelled");
  return ann;
}

async function orderExpired(shop, visitor) {
  const ann = await bought({ payWithinS: 1 })(shop, visitor);
  await new SalePage(ann.page).says("This order was not paid in time");
  return ann;
}

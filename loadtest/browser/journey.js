// A journey: a promise to a shopper, walked by a real browser at a real gateway, at each width.
// It must not know what is promised.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { after, before, test } from "node:test";

import { chromium } from "playwright-core";

import { Gateway } from "./gateway.js";
import { Shop } from "./shop.js";
import { Visitor } from "./visitor.js";

const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
// Pages are kept behind the back button, as in a browser at home.
const LAUNCH = { executablePath: CHROMIUM, ignoreDefaultArgs: ["--disable-back-forward-cache"] };
/** A phone and a desk. */
export const WIDTHS = [390, 1280];
const JOURNEY_LASTS_MS = 180_000;

let gateway, shop, browser;

before(async () => {
  assert.ok(existsSync(CHROMIUM), `${CHROMIUM} is missing: run \`make tools-browser\`, or name it in CHROMIUM`);
  gateway = await Gateway.start({ SECKILL_PAYMENT_PROVIDER: "sandbox" });
  [shop, browser] = await Promise.all([Shop.open(gateway), chromium.launch(LAUNCH)]);
});

after(async () => {
  await browser?.close();
  await gateway?.stop();
});

/**
 * Walks a journey at each of the widths. `walk` is given the shop, `visitor(options)` which lets someone
 * come, and the width. Whatever a browser complains of that the journey did not expect fails it.
 */
export function journey(promise, walk, widths = WIDTHS) {
  for (const width of widths) {
    test(`${promise} (${width} px)`, { timeout: JOURNEY_LASTS_MS }, () => walkOnce(promise, walk, width));
  }
}

/** Walks it once; fails where the journey does, and where a browser complained. */
export async function walkOnce(promise, walk, width) {
  const visitors = [];
  const visitor = async (options = {}) => {
    const { as, ...rest } = options;
    const comes = await Visitor.come(browser, gateway.origin, { width, ...rest });
    visitors.push(comes);
    if (as) await comes.signIn(as);
    return comes;
  };
  let complaints = [];
  try {
    await walk({ shop, visitor, width });
  } catch (error) {
    const name = promise.replaceAll(/[^a-z0-9]+/gi, "-");
    await Promise.allSettled(visitors.map((each, index) => each.shoot(`failed-${name}-${width}-${index + 1}`)));
    throw error;
  } finally {
    for (const each of visitors) complaints = complaints.concat(await each.leave());
  }
  assert.deepEqual(complaints, [], "the browser complained");
}

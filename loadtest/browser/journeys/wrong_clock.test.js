// A visitor whose clock is wrong by hours sees the shop's time, and buys on it.

import assert from "node:assert/strict";

import { journey } from "../journey.js";
import { SalePage } from "../sale_page.js";

const HOUR_MS = 3_600_000;
// A whole second is shown, and reading it takes a moment.
const TOLERANCE_S = 3;

for (const hours of [-7, 5]) {
  const howWrong = `${Math.abs(hours)} hours ${hours < 0 ? "slow" : "fast"}`;

  journey(`a clock that is ${howWrong} counts down to the opening all the same`, async ({ shop, visitor }) => {
    const sale = await shop.sale({ opensInMs: HOUR_MS });
    const ann = await visitor({ as: await shop.register(), clockOffMs: hours * HOUR_MS });
    const there = new SalePage(ann.page);
    await ann.open(sale.path);
    const [shown, right] = [await there.countdown("Opens in"), (sale.startsAt - Date.now()) / 1000];
    assert.ok(Math.abs(shown - right) < TOLERANCE_S, `${shown} s are shown, ${right} s are right`);
    assert.ok(await there.buy.isDisabled(), "the sale is not open yet");
  });

  journey(`with a clock that is ${howWrong} Buy opens on time, and the pay clock is right`, async ({ shop, visitor }) => {
    const sale = await shop.sale({ opensInMs: 6000, payWithinS: 600 });
    const username = await shop.register();
    const ann = await visitor({ as: username, clockOffMs: hours * HOUR_MS });
    const there = new SalePage(ann.page);
    await ann.open(sale.path);
    await there.press();
    await there.orderShown();
    const [order] = await (await shop.as(username)).orders();
    const [shown, right] = [await there.countdown("Time left to pay"), (Date.parse(order.pay_before) - Date.now()) / 1000];
    assert.ok(Math.abs(shown - right) < TOLERANCE_S, `${shown} s are shown, ${right} s are right`);
    const late = Date.parse(order.created_at) - sale.startsAt;
    assert.ok(late >= 0, "nothing was sold before the opening");
  });
}

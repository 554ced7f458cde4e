// Every page comes with the strict policy: nothing runs, styles or sends from within a page or from elsewhere.

import assert from "node:assert/strict";

import { journey } from "../journey.js";
import { atOrder } from "../order_page.js";

const POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: https:; connect-src 'self'; " +
  "form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/** The addresses of this shop that a page leads to, without its assets and the API. */
function ledTo(html) {
  const paths = [...html.matchAll(/href="(\/[^"#]*)/g)].map(([, path]) => path);
  return paths.filter((path) => !path.startsWith("/assets/") && !path.startsWith("/api/"));
}

journey("each page has the strict policy, and whatever it leads to", async (world) => {
  const { ann, api, sale, id } = await atOrder(world);
  await world.shop.manySales(30);
  const { payment_id: payment } = await api.ask("POST", `/orders/${id}/payments`, { method: "sandbox" });
  const toGo = ["/", sale.path, `/orders/${id}`, `/pay/${payment}`, "/reset", "/docs", "/404", "/nothing"];
  const seen = new Set();
  while (toGo.length > 0) {
    const path = toGo.pop();
    if (seen.has(path)) continue;
    seen.add(path);
    const response = await ann.get(path);
    const headers = response.headers();
    assert.equal(response.status(), ["/404", "/nothing"].includes(path) ? 404 : 200, path);
    assert.match(headers["content-type"], /^text\/html/, path);
    assert.equal(headers["content-security-policy"], POLICY, path);
    assert.equal(headers["x-content-type-options"], "nosniff", path);
    toGo.push(...ledTo(await response.text()));
  }
  // The way through the pages has met each kind.
  for (const path of ["/sign-in", "/register", "/account", "/orders", "/sales/2"]) assert.ok(seen.has(path), path);
  assert.ok([...seen].some((path) => path.startsWith("/products/")), "a product");
}, [390]);

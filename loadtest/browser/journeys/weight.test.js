// A page costs a phone little, the first time too.

import assert from "node:assert/strict";

import { journey } from "../journey.js";
import { atOrder } from "../order_page.js";
import { weigh } from "../scales.js";

const PAGE_BYTES_MAX = 60_000;

journey("each page, with all it needs, is under 60 KB", async (world) => {
  const { sale, id, api, ann } = await atOrder(world);
  const { payment_id: payment } = await api.ask("POST", `/orders/${id}/payments`, { method: "sandbox" });
  const { product } = await api.ask("GET", `/activities/${sale.id}`);
  ann.expects(404, "/nothing");
  const pages = ["/", sale.path, `/products/${product.id}`, "/sign-in", "/register", "/nothing"];
  for (const path of [...pages, "/orders", `/orders/${id}`, `/pay/${payment}`, "/account", "/reset#something"]) {
    const bytes = await weigh(ann, path);
    assert.ok(bytes > 1000, `${path} was weighed: ${bytes}`);
    assert.ok(bytes < PAGE_BYTES_MAX, `${path} is ${bytes} bytes`);
  }
}, [390]);

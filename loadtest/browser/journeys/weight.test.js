// A page costs a phone little, the first time too, and however much there is to show.

import assert from "node:assert/strict";

import { journey } from "../journey.js";
import { atOrder } from "../order_page.js";
import { weigh } from "../scales.js";

const PAGE_BYTES_MAX = 60_000;
// It is for programs, which fetch it once.
const DOCUMENT = "/api/v1/openapi.json";
const DOCUMENT_BYTES_MAX = 60_000;
// More than the first page shows, by far.
const MANY = 60;

async function assertLight(visitor, path) {
  const bytes = await weigh(visitor, path);
  assert.ok(bytes > 1000, `${path} was weighed: ${bytes}`);
  assert.ok(bytes < PAGE_BYTES_MAX, `${path} is ${bytes} bytes`);
}

journey("each page, with all it needs, is under 60 KB", async (world) => {
  const { sale, id, api, ann } = await atOrder(world);
  const { payment_id: payment } = await api.ask("POST", `/orders/${id}/payments`, { method: "sandbox" });
  const { product } = await api.ask("GET", `/activities/${sale.id}`);
  ann.expects(404, "/nothing");
  const pages = ["/", sale.path, `/products/${product.id}`, "/docs", "/sign-in", "/docs#problem-sold-out", "/register", "/nothing"];
  for (const path of [...pages, "/orders", `/orders/${id}`, `/pay/${payment}`, "/account", "/reset#something"]) {
    await assertLight(ann, path);
  }
}, [390]);

journey("with many sales the pages that list them are under 60 KB", async ({ shop, visitor }) => {
  const product = await shop.manySales(MANY);
  const ann = await visitor({ as: await shop.register() });
  for (const path of ["/", "/sales/2", product]) await assertLight(ann, path);
}, [390]);

journey("the document of the API is light for a program", async ({ visitor }) => {
  const ann = await visitor();
  // A browser wants an icon for what is no page.
  ann.expects(404, "/favicon.ico");
  const bytes = await weigh(ann, DOCUMENT);
  assert.ok(bytes > 1000 && bytes < DOCUMENT_BYTES_MAX, `${DOCUMENT} is ${bytes} bytes`);
}, [390]);

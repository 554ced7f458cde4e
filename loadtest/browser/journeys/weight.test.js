// A page costs a phone little, the first time too.

import assert from "node:assert/strict";

import { journey } from "../journey.js";
import { weigh } from "../scales.js";

const PAGE_BYTES_MAX = 60_000;

journey("each page, with all it needs, is under 60 KB", async ({ shop, visitor }) => {
  const sale = await shop.sale();
  const username = await shop.register();
  for (const path of ["/", sale.path, "/sign-in", "/register", "/nothing"]) {
    const ann = await visitor({ as: username });
    ann.expects(404, "/nothing");
    const bytes = await weigh(ann, path);
    assert.ok(bytes > 1000, `${path} was weighed: ${bytes}`);
    assert.ok(bytes < PAGE_BYTES_MAX, `${path} is ${bytes} bytes`);
  }
}, [390]);

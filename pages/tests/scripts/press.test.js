// One press at a shop on this machine: one key, however often it is sent, and given back when nothing more can come of it.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import test from "node:test";
import { placeOrder } from "../../assets/press.js";

const EARLY = { status: 409, body: { type: "urn:seckill:not-started" } };
const PLACED = { status: 202, body: { id: "7" } };

/** Presses once at a shop that gives these answers in turn; `opensIn` is what the page makes of one that is early. */
async function pressAt(answers, { opensIn } = {}) {
  const seen = [];
  const said = [];
  const shop = createServer((request, response) => {
    const { status, body } = answers[seen.length];
    seen.push({ method: request.method, url: request.url, key: request.headers["idempotency-key"] });
    response.writeHead(status, { "content-type": "application/json", connection: "close" }).end(JSON.stringify(body));
  });
  await once(shop.listen(0, "127.0.0.1"), "listening");
  const api = `http://127.0.0.1:${shop.address().port}/sale`;
  const result = await placeOrder(api, "one", { say: (text) => said.push(text), learnOpening: () => opensIn });
  shop.close();
  return { result, seen, said };
}

test("a press that is answered is an order", async () => {
  const { result, seen, said } = await pressAt([PLACED]);
  assert.deepEqual(result, { order: PLACED.body });
  assert.deepEqual(seen, [{ method: "POST", url: "/sale/orders", key: "one" }]);
  assert.deepEqual(said, []);
});

test("a press that is a little early waits for the opening, and stays one order", async () => {
  const { result, seen, said } = await pressAt([EARLY, PLACED], { opensIn: -20 });
  assert.deepEqual(result, { order: PLACED.body });
  assert.deepEqual(seen.map(({ key }) => key), ["one", "one"]);
  assert.equal(said.length, 1);
  assert.match(said[0], /not open yet\. Trying again by itself in 1 second; it stays one order\.$/);
});

test("a press of which nothing more can come is given back with what to do", async () => {
  for (const [answer, act, slug] of [
    [EARLY, "wait", "not-started"],
    [{ status: 409, body: { type: "urn:seckill:sold-out", may_return: false } }, "look", "sold-out"],
    [{ status: 409, body: { type: "urn:seckill:limit-reached", orders: ["7"] } }, "orders", "limit-reached"],
    [{ status: 401, body: { type: "urn:seckill:unauthenticated" } }, "sign-in", "unauthenticated"],
  ]) {
    const { result, seen, said } = await pressAt([answer], { opensIn: 60_000 });
    assert.deepEqual([result.order, result.advice.act, result.slug], [undefined, act, slug]);
    assert.deepEqual([seen.length, said.length], [1, 0]);
  }
});

// How answers are read, those of a proxy on the way included.
import assert from "node:assert/strict";
import test from "node:test";
import { answer, retryAfter } from "../../assets/api.js";

const response = (status, headers = {}) => ({ status, headers: new Headers(headers) });

test("a success carries its body, or null where there is none", () => {
  assert.deepEqual(answer(response(202), '{"id":"1"}'), { ok: true, status: 202, body: { id: "1" } });
  assert.deepEqual(answer(response(204), ""), { ok: true, status: 204, body: null });
});

test("a success that cannot be read is a lost answer", () => {
  assert.equal(answer(response(202), '{"id":').slug, "lost");
});

test("a problem has its slug, a stranger's error is told by its status", () => {
  const sold = answer(response(409), '{"type":"urn:seckill:sold-out","may_return":true}');
  assert.equal(sold.slug, "sold-out");
  assert.equal(sold.problem.may_return, true);
  for (const [status, slug] of [[502, "outcome-unknown"], [500, "outcome-unknown"], [503, "unavailable"], [429, "rate-limited"], [401, "unauthenticated"], [418, "refused"]]) {
    assert.equal(answer(response(status), "<html>").slug, slug);
  }
});

test("Retry-After is seconds, or a date on the shop's clock", () => {
  assert.equal(retryAfter("3"), 3000);
  assert.equal(retryAfter("0"), 0);
  assert.equal(retryAfter(null), null);
  assert.equal(retryAfter("soon", null), null);
  assert.equal(retryAfter("Fri, 27 Nov 2026 00:00:05 GMT", "Fri, 27 Nov 2026 00:00:00 GMT"), 5000);
  assert.equal(retryAfter("Fri, 27 Nov 2026 00:00:05 GMT", null), null);
});

// Signing in leads nowhere but into this shop.
import assert from "node:assert/strict";
import test from "node:test";
import { payAddress, safeNext, withNext } from "../../assets/next.js";

const origin = "http://shop.test:8080";

test("a path of this shop is followed", () => {
  for (const path of ["/", "/activities/7", "/activities/7?a=b#c", "/orders?next=//evil.test"]) {
    assert.equal(safeNext(path, origin), path);
  }
});

test("anything else leads home", () => {
  for (const wish of [
    null, undefined, "", "activities/7", "//evil.test", "///evil.test", "/\\evil.test", "\\\\evil.test",
    "/\t/evil.test", "/\n/evil.test", " //evil.test", "/ /evil.test", "http://evil.test/", "javascript:alert(1)",
    "JavaScript:alert(1)", "data:text/html,x", "/.//evil.test", "/a/..//evil.test", "/%2e//evil.test", "/sign-in", "/register?next=/", "/reset", "/\u0000/evil",
  ]) {
    assert.equal(safeNext(wish, origin), "/", String(wish));
  }
});

test("a payment is made in this shop or at a provider's page", () => {
  for (const address of ["/pay/7", "https://bank.test/pay?id=7"]) assert.equal(payAddress(address, origin), address);
  for (const address of [undefined, "", "/", "//evil.test", "http://bank.test/", "javascript:alert(1)", "https://", "https://a b", "https://%", "https://a:b:c", "https://me@bank.test/"]) {
    assert.equal(payAddress(address, origin), null, String(address));
  }
});

test("a form leads back to where it was opened from", () => {
  const at = (path) => ({ ...Object.fromEntries(["origin", "pathname", "search"].map((part) => [part, new URL(path, origin)[part]])) });
  assert.equal(withNext("/sign-in", at("/")), "/sign-in");
  assert.equal(withNext("/sign-in", at("/activities/7")), "/sign-in?next=%2Factivities%2F7");
  assert.equal(withNext("/register", at("/sign-in?next=%2Factivities%2F7")), "/register?next=%2Factivities%2F7");
  assert.equal(withNext("/register", at("/sign-in?next=%2F%2Fevil.test")), "/register");
});

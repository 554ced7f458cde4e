// Text that a shopper reads. `src/format.rs` holds the same cases of money.
import assert from "node:assert/strict";
import test from "node:test";
import { counted, countdownHolds, countdownText, moneyText } from "../../assets/format.js";

test("money reads as the server writes it", () => {
  for (const [amount, currency, text] of [
    [19900, "USD", "$199.00"],
    [5, "USD", "$0.05"],
    [0, "EUR", "€0.00"],
    [-150, "GBP", "-£1.50"],
    [123456789, "USD", "$1,234,567.89"],
    [1200, "JPY", "¥1,200"],
    [1200, "CNY", "CN¥12.00"],
    [12345, "KWD", "KWD\u00a012.345"],
    [9900, "CHF", "CHF\u00a099.00"],
  ]) {
    assert.equal(moneyText({ amount, currency }), text);
  }
});

test("a countdown rounds up and says when it changes", () => {
  for (const [ms, text] of [[0, "00:00:00"], [-5, "00:00:00"], [1, "00:00:01"], [1000, "00:00:01"], [1001, "00:00:02"], [3_600_000, "01:00:00"], [90_061_000, "1 d 01:01:01"]]) {
    assert.equal(countdownText(ms), text);
  }
  assert.equal(countdownHolds(1500), 500);
  assert.equal(countdownHolds(2000), 1000);
});

test("one unit, two units", () => {
  assert.equal(counted(1, "unit"), "1 unit");
  assert.equal(counted(1000, "unit"), "1,000 units");
});

// A press that was not answered is told of after a reload, and to nobody else.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { forgetOpenPresses, OpenPress } from "../../assets/open_press.js";

/** Holds names as a browser's storage does: they are its own properties. */
function storageWith(kept = {}) {
  const method = (value) => ({ value, enumerable: false });
  return Object.defineProperties({ ...kept }, {
    getItem: method(function (name) { return this[name] ?? null; }),
    setItem: method(function (name, value) { this[name] = value; }),
    removeItem: method(function (name) { delete this[name]; }),
  });
}

test("a press stays open through a reload until it is answered, each sale's by itself", () => {
  const storage = storageWith();
  new OpenPress("7", storage).open("a");
  assert.equal(new OpenPress("7", storage).key, "a");
  assert.equal(new OpenPress("8", storage).key, null);
  new OpenPress("7", storage).close();
  assert.equal(new OpenPress("7", storage).key, null);
});

test("where nothing can be kept there is nothing to tell, and a press goes on", () => {
  const forbid = () => {
    throw new Error("forbidden");
  };
  for (const storage of [null, { getItem: forbid, setItem: forbid, removeItem: forbid }]) {
    const press = new OpenPress("7", storage);
    press.open("a");
    assert.equal(press.key, null);
    press.close();
  }
  forgetOpenPresses(null);
});

test("signing out forgets every open press, and nothing else goes", () => {
  const storage = storageWith({ "seckill.press.7": "a", "seckill.press.8": "b", "seckill.theme": "dark" });
  forgetOpenPresses(storage);
  assert.deepEqual(Object.keys(storage), ["seckill.theme"]);
  const shell = readFileSync(new URL("../../assets/shell.js", import.meta.url), "utf8");
  const endSession = /async function endSession\([^]*?\n}/.exec(shell)[0];
  assert.match(endSession, /forgetOpenPresses\(\)/);
});

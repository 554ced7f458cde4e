// Nobody is asked for who cannot be there.
import assert from "node:assert/strict";
import test from "node:test";
import { SignedInMark } from "../../assets/session.js";

function shared() {
  const kept = new Map();
  return {
    kept,
    getItem: (name) => kept.get(name) ?? null,
    setItem: (name, value) => kept.set(name, value),
    removeItem: (name) => kept.delete(name),
  };
}

test("the mark says that somebody may be signed in, in every tab, and nothing else", () => {
  const storage = shared();
  const [mark, other] = [new SignedInMark(storage), new SignedInMark(storage)];
  assert.equal(mark.isSet, false);
  mark.set();
  assert.equal(other.isSet, true);
  assert.deepEqual([...storage.kept.values()], ["yes"]);
  other.clear();
  assert.equal(mark.isSet, false);
});

test("where nothing can be kept, the shop is asked", () => {
  const forbid = () => {
    throw new Error("forbidden");
  };
  for (const storage of [null, { getItem: forbid, setItem: forbid, removeItem: forbid }]) {
    const mark = new SignedInMark(storage);
    mark.set();
    mark.clear();
    assert.equal(mark.isSet, true);
  }
});

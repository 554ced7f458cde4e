// Registering once makes one account, and is told to be so, whatever is lost on the way.
import assert from "node:assert/strict";
import test from "node:test";

// The script opens its form when it is loaded; here nobody presses it.
globalThis.document = { getElementById: () => ({ querySelector: () => ({ remove() {} }), addEventListener() {} }) };
const { registration } = await import("../../assets/register.js");

const ANN = { username: "ann", password: "correct horse" };
const REGISTER = "POST /api/v1/users";
const SIGN_IN = "POST /api/v1/sessions";

const yes = { ok: true, problem: {} };
const no = (slug) => ({ ok: false, slug, problem: {} });

/** A form whose questions get these answers, and the questions that were asked. */
function formGetting(...answers) {
  const asked = [];
  const send = registration(async (method, path, { body }) => {
    asked.push([`${method} ${path}`, body.username, body.password]);
    return answers.shift();
  });
  return { send, paths: () => asked.map(([path]) => path), asked };
}

function isTaken(refusal) {
  return refusal.problem.errors?.[0].detail.startsWith("This username is taken.") ?? false;
}

test("a new shopper is registered and signed in", async () => {
  const { send, paths } = formGetting(yes, yes);
  assert.equal(await send(ANN), null);
  assert.deepEqual(paths(), [REGISTER, SIGN_IN]);
});

test("a name that is someone else's is taken, and nobody is signed in", async () => {
  const { send, paths } = formGetting(no("conflict"));
  assert.ok(isTaken(await send(ANN)));
  assert.deepEqual(paths(), [REGISTER]);
});

test("one's own account of an answer that was lost is signed in to, not called taken", async () => {
  for (const slug of ["lost", "outcome-unknown"]) {
    const { send, asked } = formGetting(no(slug), no("conflict"), yes);
    assert.equal((await send(ANN)).slug, slug);
    assert.equal(await send(ANN), null);
    assert.deepEqual(asked.at(-1), [SIGN_IN, ANN.username, ANN.password]);
  }
});

test("after a lost answer a name that the password does not open is taken", async () => {
  const { send } = formGetting(no("lost"), no("conflict"), no("unauthenticated"));
  await send(ANN);
  assert.ok(isTaken(await send(ANN)));
});

test("a sign-in that could not be tried says so, and is tried again", async () => {
  const { send, paths } = formGetting(no("lost"), no("conflict"), no("overloaded"), no("conflict"), yes);
  await send(ANN);
  const refusal = await send(ANN);
  assert.deepEqual([refusal.slug, isTaken(refusal)], ["overloaded", false]);
  assert.equal(await send(ANN), null);
  assert.deepEqual(paths(), [REGISTER, REGISTER, SIGN_IN, REGISTER, SIGN_IN]);
});

test("a lost answer says nothing of another name, nor does a refusal of its own", async () => {
  const lost = formGetting(no("lost"), no("conflict"));
  await lost.send(ANN);
  assert.ok(isTaken(await lost.send({ ...ANN, username: "bob" })));
  const refused = formGetting(no("rate-limited"), no("conflict"));
  await refused.send(ANN);
  assert.ok(isTaken(await refused.send(ANN)));
  assert.deepEqual(refused.paths(), [REGISTER, REGISTER]);
});

test("an account that was made is not made again when its sign-in failed", async () => {
  const { send, paths } = formGetting(yes, no("lost"), yes);
  assert.equal((await send(ANN)).slug, "lost");
  assert.equal(await send(ANN), null);
  assert.deepEqual(paths(), [REGISTER, SIGN_IN, SIGN_IN]);
});

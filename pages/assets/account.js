// A shopper's account: the name, the password, the ways to sign out.
// It must not know how a form is shown.

import { openForm } from "./account_form.js";
import { request } from "./api.js";
import { endSession, lookWhoIsSignedIn, showUser, signedInAtLoad } from "./shell.js";
import { setText, showState } from "./when.js";

const $ = (id) => document.getElementById(id);

let failedAtStart = false;

async function arrive(who) {
  const user = await who;
  failedAtStart = user === undefined;
  if (user === null) return showState("signed-out");
  if (user === undefined) return showState("failed");
  $("username").textContent = user.username;
  $("display_name").value = user.display_name;
  showState("account");
}

function again() {
  showState("loading");
  arrive(lookWhoIsSignedIn());
}

async function change(fields) {
  setText($("done"), "");
  const answer = await request("PATCH", "/api/v1/users/me", { body: fields });
  if (!answer.ok) return answer;
  showUser(answer.body);
  return null;
}

openForm(({ display_name: name = "" }) => change({ display_name: name }), {
  form: $("name-form"),
  done: () => setText($("done"), "Your name is changed."),
});

openForm(async (fields) => {
  const answer = await change(fields);
  return answer === null ? null : withNames(answer);
}, {
  form: $("password-form"),
  done() {
    $("password-form").reset();
    setText($("done"), "Your password is changed. Whoever was signed in elsewhere is signed out.");
  },
});

/** What the shop says of the old password reads as a sentence. */
function withNames(answer) {
  const errors = answer.problem.errors?.map((error) =>
    error.pointer.endsWith("old_password") && error.detail === "is not right" ? { ...error, detail: "This is not your password." } : error);
  return { ...answer, problem: { ...answer.problem, errors } };
}

async function signOut({ currentTarget: button }) {
  button.disabled = true;
  if (await endSession(button.dataset.signOut)) return location.assign("/");
  button.disabled = false;
  setText($("sign-out-error"), "The shop could not be reached, so you are still signed in. Try again.");
}

for (const button of document.querySelectorAll("[data-sign-out]")) button.addEventListener("click", signOut);
$("retry").addEventListener("click", again);
addEventListener("online", () => failedAtStart && again());
addEventListener("pageshow", ({ persisted }) => persisted && again());
arrive(signedInAtLoad);

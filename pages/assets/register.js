// Makes an account and signs its shopper in.
// It must not know how a form is shown.

import { openForm } from "./account_form.js";
import { request } from "./api.js";
import { mark } from "./session.js";

openForm(registration(request));

/** What sends the filled-in fields, for `openForm`; `ask` asks the API as `request` does. */
export function registration(ask) {
  // A sign-in that failed after the account was made must not make it again.
  let made = null;
  // The name that a press asked for without an answer: it may be taken by that very press.
  let unanswered = null;

  return async function send(fields) {
    const { username } = fields;
    if (made === username) return signIn(ask, fields);
    const answer = await ask("POST", "/api/v1/users", { body: fields });
    if (answer.slug === "conflict") return unanswered === username ? signInIfOwn(ask, fields, answer) : taken(answer);
    if (answer.slug === "lost" || answer.slug === "outcome-unknown") unanswered = username;
    if (!answer.ok) return answer;
    made = username;
    return signIn(ask, fields);
  };
}

async function signIn(ask, { username, password }) {
  const answer = await ask("POST", "/api/v1/sessions", { body: { username, password } });
  if (!answer.ok) return answer;
  mark.set();
  return null;
}

/** Whose account it is, its password tells. */
async function signInIfOwn(ask, fields, conflict) {
  const refusal = await signIn(ask, fields);
  return refusal?.slug === "unauthenticated" ? taken(conflict) : refusal;
}

function taken(answer) {
  const errors = [{ pointer: "/username", detail: "This username is taken. Please choose another one." }];
  return { ...answer, problem: { ...answer.problem, errors } };
}

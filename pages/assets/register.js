// Makes an account and signs its shopper in.
// It must not know how a form is shown.

import { openForm } from "./account_form.js";
import { request } from "./api.js";
import { mark } from "./session.js";

// A sign-in that failed after the account was made must not make it again.
let made = null;

openForm(async (fields) => {
  const { username, password } = fields;
  if (made !== username) {
    const answer = await request("POST", "/api/v1/users", { body: fields });
    if (!answer.ok) return answer.slug === "conflict" ? taken(answer) : answer;
    made = username;
  }
  const answer = await request("POST", "/api/v1/sessions", { body: { username, password } });
  if (!answer.ok) return answer;
  mark.set();
  return null;
});

function taken(answer) {
  const errors = [{ pointer: "/username", detail: "This username is taken. Please choose another one." }];
  return { ...answer, problem: { ...answer.problem, errors } };
}

// Signs a shopper in.
// It must not know how a form is shown.

import { openForm } from "./account_form.js";
import { request } from "./api.js";
import { mark } from "./session.js";

openForm(async (fields) => {
  const answer = await request("POST", "/api/v1/sessions", { body: fields });
  if (answer.ok) {
    mark.set();
    return null;
  }
  if (answer.slug !== "unauthenticated") return answer;
  return { ...answer, problem: { detail: "Username or password is wrong." } };
});

// Sets a new password by a one-time link. The link's token stands behind "#", which a browser sends
// to nobody by itself.
// It must not know how a form is shown.

import { openForm } from "./account_form.js";
import { request } from "./api.js";
import { showState } from "./when.js";

const SPENT = "This link was used already, or it is too old. Ask the shop for a new one.";
const token = location.hash.slice(1);

showState(token === "" ? "no-token" : "form");
// Another link that is opened in this very tab changes nothing but what stands behind "#".
addEventListener("hashchange", () => location.reload());

openForm(async ({ password }) => {
  const answer = await request("POST", "/api/v1/password-resets", { body: { token, password } });
  return answer.ok ? null : helpful(answer);
}, {
  done() {
    history.replaceState(null, "", "/reset");
    showState("done");
    document.getElementById("done").focus();
  },
});

/** What is wrong with the password stands beside it; anything else is the link's fault. */
function helpful(answer) {
  const { slug, problem } = answer;
  const aboutPassword = (problem.errors ?? []).filter(({ pointer }) => pointer.endsWith("password"));
  if (slug === "not-found" || slug === "conflict") return { ...answer, problem: { detail: SPENT } };
  if (slug === "invalid-request" && aboutPassword.length === 0) return { ...answer, problem: { detail: SPENT } };
  return { ...answer, problem: { ...problem, errors: aboutPassword } };
}

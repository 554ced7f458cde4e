// A form that sends JSON and shows what was wrong beside each field.
// It must not know what the form is for: the page's own script sends it.

import { safeNext } from "./next.js";

/**
 * Opens a form. `send` gets the filled-in fields and returns null when all is done, or the refusal;
 * `done` is what follows then.
 */
export function openForm(send, { form = document.getElementById("account-form"), done = goOn } = {}) {
  const button = form.querySelector("[type=submit]");
  button.disabled = false;
  form.querySelector(".slow")?.remove();
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (button.disabled) return;
    clearErrors(form);
    if (showWhatIsInvalid(form)) return;
    button.disabled = true;
    const fields = Object.fromEntries([...new FormData(form)].filter(([, value]) => value !== ""));
    const refusal = await send(fields);
    button.disabled = refusal === null && done === goOn;
    if (refusal === null) done();
    else showRefusal(form, refusal);
  });
}

function goOn() {
  location.replace(safeNext(new URLSearchParams(location.search).get("next"), location.origin));
}

function showWhatIsInvalid(form) {
  const invalid = inputs(form).filter((input) => !input.checkValidity());
  for (const input of invalid) showError(input, input.validity.patternMismatch ? "Please use only the characters named above." : input.validationMessage);
  invalid[0]?.focus();
  return invalid.length > 0;
}

/** Errors that name a field go beside it, the rest above the button. */
function showRefusal(form, refusal) {
  const rest = [];
  for (const { pointer, detail } of refusal.problem.errors ?? []) {
    const input = inputs(form).find(({ name }) => name === fieldOf(pointer));
    if (input) showError(input, detail);
    else rest.push(detail);
  }
  const first = inputs(form).find((input) => input.hasAttribute("aria-invalid"));
  if (!first || rest.length > 0) form.querySelector("[role=alert]").textContent = rest.join(" ") || sentence(refusal);
  (first ?? form.querySelector("[type=submit]")).focus();
}

/** `/username`, and `#/username` as RFC 9457 writes it, name the field `username`. */
function fieldOf(pointer) {
  return String(pointer).replace(/^#?\//, "");
}

function sentence({ slug, problem, retryAfterMs }) {
  const wait = retryAfterMs ? ` Try again in ${Math.ceil(retryAfterMs / 1000)} seconds.` : " Try again in a moment.";
  switch (slug) {
    case "lost":
      return "The shop could not be reached. Check the connection and try again.";
    case "rate-limited":
      return "That was tried too often." + wait;
    case "overloaded":
    case "unavailable":
    case "outcome-unknown":
      return "The shop is very busy." + wait;
    case "unauthenticated":
      return problem.detail || "You are signed out. Sign in again, then come back.";
    default:
      return problem.detail || problem.title || "That did not work. Try again in a moment.";
  }
}

function inputs(form) {
  return [...form.querySelectorAll("input")];
}

function showError(input, text) {
  input.setAttribute("aria-invalid", "true");
  document.getElementById(`${input.name}-error`).textContent = text;
}

function clearErrors(form) {
  for (const input of inputs(form)) input.removeAttribute("aria-invalid");
  for (const error of form.querySelectorAll(".error")) error.textContent = "";
}

// A page that is filled in later shows one of its states at a time: loading, signed out, and so on.
// It must not know what the states mean: the page's own script says which one it is.

/** Shows what belongs to `state`, and hides what belongs to the others. */
export function showState(state) {
  for (const part of document.querySelectorAll("[data-when]")) {
    setHidden(part, !part.dataset.when.split(" ").includes(state));
  }
}

/** Hides a part or shows it. Whoever is at something in it, as with the keyboard, goes on at the top of the content. */
export function setHidden(part, hidden) {
  const takesFocus = hidden && part.contains(document.activeElement);
  part.hidden = hidden;
  if (takesFocus) document.querySelector("main").focus({ preventScroll: true });
}

/** The state for an answer that is no success. */
export function stateOfRefusal({ slug }) {
  return slug === "unauthenticated" ? "signed-out" : slug === "not-found" ? "not-found" : "failed";
}

/** Text that has not changed is left alone, so that a screen reader does not read it again. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** A copy of what a template holds, and its parts by the names that they carry in `attribute`. */
export function copyOf(template, attribute) {
  const element = template.content.firstElementChild.cloneNode(true);
  const parts = {};
  for (const part of element.querySelectorAll(`[data-${attribute}]`)) parts[part.dataset[attribute]] = part;
  return { element, parts };
}

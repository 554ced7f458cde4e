// Where to go after signing in: an address of this shop and of no one else.
// It must not know the page: it is given the wish and the shop's origin.

const FORMS = ["/sign-in", "/register", "/reset"];

/**
 * The wished path where it is safe, else "/". A browser reads "\" as "/" and drops tabs and line
 * breaks, and "/.//evil" becomes "//evil" when it is resolved, so the resolved path is what counts.
 */
export function safeNext(wish, origin) {
  if (typeof wish !== "string" || !/^\/(?!\/)[^\\\s\p{Cc}]*$/u.test(wish)) return "/";
  let url;
  try {
    url = new URL(wish, origin);
  } catch {
    return "/";
  }
  const elsewhere = url.origin !== origin || url.pathname.startsWith("//");
  return elsewhere || FORMS.includes(url.pathname) ? "/" : url.pathname + url.search + url.hash;
}

/** Where the shop says a payment is made: a path of its own, or a provider's page; null for neither. */
export function payAddress(address, origin) {
  const path = safeNext(address, origin);
  if (path !== "/") return path;
  const url = URL.canParse(address) ? new URL(address) : null;
  return url?.protocol === "https:" && url.username === "" && url.password === "" ? url.href : null;
}

/** The address of a form that leads back here; from a form, to where that form leads. */
export function withNext(form, location) {
  const here = FORMS.includes(location.pathname)
    ? new URLSearchParams(location.search).get("next")
    : location.pathname + location.search;
  const next = safeNext(here, location.origin);
  return next === "/" ? form : `${form}?next=${encodeURIComponent(next)}`;
}

// What every page has: who is signed in, signing out, times in the visitor's zone.
// It must not know what a page is about.

import { request } from "./api.js";
import "./connection.js";
import { localInstantText } from "./format.js";
import { withNext } from "./next.js";
import { forgetOpenPresses } from "./open_press.js";
import { mark } from "./session.js";

/**
 * Who is signed in: a user, null for no one, undefined where the shop did not say. Asked again each
 * time, unless nothing says that somebody may be.
 */
export async function lookWhoIsSignedIn() {
  const answer = mark.isSet ? await request("GET", "/api/v1/users/me") : { ok: false, slug: "unauthenticated" };
  const user = answer.ok ? answer.body : answer.slug === "unauthenticated" ? null : undefined;
  if (user !== undefined) showUser(user);
  return user;
}

/** The same, as it was when the page was loaded. */
export const signedInAtLoad = lookWhoIsSignedIn();

/** Shows in the header who is signed in, null for no one. */
export function showUser(user) {
  if (user) mark.set();
  else mark.clear();
  document.getElementById("signed-out").hidden = user !== null;
  document.getElementById("signed-in").hidden = user === null;
  document.getElementById("signed-in-name").textContent = user ? user.display_name || user.username : "";
}

/** Ends a session, or all of them, and everything that this tab kept of it. False where the shop could not be asked. */
export async function endSession(path) {
  const answer = await request("DELETE", path);
  if (!answer.ok && answer.slug !== "unauthenticated") return false;
  mark.clear();
  forgetOpenPresses();
  return true;
}

async function signOut(event) {
  const button = event.currentTarget;
  button.disabled = true;
  if (await endSession("/api/v1/sessions/current")) {
    location.reload();
    return;
  }
  button.disabled = false;
  button.textContent = "Sign out (try again)";
}

document.getElementById("sign-out").addEventListener("click", signOut);
for (const link of document.querySelectorAll("a[data-keep-next]")) {
  link.href = withNext(link.getAttribute("href"), location);
}
for (const time of document.querySelectorAll("time[datetime]")) {
  time.title = time.textContent;
  time.textContent = localInstantText(time.dateTime);
}

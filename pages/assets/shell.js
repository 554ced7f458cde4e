// What every page has: who is signed in, signing out, times in the visitor's zone.
// It must not know what a page is about.

import { request } from "./api.js";
import { localInstantText } from "./format.js";
import { dropEveryKey, tabStorage } from "./key.js";
import { withNext } from "./next.js";

/** Who is signed in: a user, null for no one, undefined where the shop did not say. Asked again each time. */
export async function lookWhoIsSignedIn() {
  const answer = await request("GET", "/api/v1/users/me");
  const user = answer.ok ? answer.body : answer.slug === "unauthenticated" ? null : undefined;
  if (user !== undefined) showUser(user);
  return user;
}

/** The same, as it was when the page was loaded. */
export const signedInAtLoad = lookWhoIsSignedIn();

function showUser(user) {
  document.getElementById("signed-out").hidden = user !== null;
  document.getElementById("signed-in").hidden = user === null;
  document.getElementById("signed-in-name").textContent = user ? user.display_name || user.username : "";
}

async function signOut(event) {
  const button = event.currentTarget;
  button.disabled = true;
  const answer = await request("DELETE", "/api/v1/sessions/current");
  if (answer.ok || answer.slug === "unauthenticated") {
    dropEveryKey(tabStorage());
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
for (const time of document.querySelectorAll("time")) {
  time.title = time.textContent;
  time.textContent = localInstantText(time.dateTime);
}

// The list of a shopper's orders: newest first, more of them by a button. While the shop's store is away
// it holds the open ones alone, and says so.
// It must not know what one order can do: each row leads to its own page.

import { request } from "./api.js";
import { counted, localInstantText, moneyText } from "./format.js";
import { endOfList, isOpen, OLDER_ARE_AWAY, statusWord, titleOf, unitsOf } from "./order.js";
import { mark } from "./session.js";
import { showUser } from "./shell.js";
import { copyOf, setText, showState, stateOfRefusal } from "./when.js";

const $ = (id) => document.getElementById(id);
const shown = new Set(); // ids: an order that moved between two pages of the list is shown once

let cursor = null;
let partial = false; // of the answer that the list began with
let failedAtStart = false;

async function start() {
  if (!mark.isSet) return showState("signed-out");
  showState("loading");
  const answer = await ask(null);
  failedAtStart = !answer.ok;
  if (!answer.ok) return refused(answer);
  begin(answer.body);
  // A list that is whole at once needs no words.
  if (!partial) setText($("more-status"), "");
}

/** Shows the first orders in place of all that were shown; the first row comes back. */
function begin(body) {
  $("order-rows").replaceChildren();
  shown.clear();
  partial = body.partial === true;
  const first = add(body);
  showState(shown.size === 0 && cursor === null && !partial ? "empty" : "list");
  return first;
}

function refused(answer) {
  const state = stateOfRefusal(answer);
  if (state === "signed-out") showUser(null);
  showState(state);
}

function ask(after) {
  return request("GET", `/api/v1/orders?limit=20${after === null ? "" : `&cursor=${encodeURIComponent(after)}`}`);
}

/** The rows that there are stay, whatever becomes of the next ones. */
async function showMore() {
  if ($("more").disabled) return;
  $("more").disabled = true;
  setText($("more-status"), "Loading more orders…");
  const answer = await ask(cursor);
  $("more").disabled = false;
  if (answer.slug === "unauthenticated") return refused(answer);
  if (!answer.ok) return setText($("more-status"), "More orders could not be loaded. Press again.");
  // A list that was whole so far goes on where it stopped, once the store is back.
  if (answer.body.partial === true && !partial) return setText($("more-status"), `${OLDER_ARE_AWAY} Press again in a moment.`);
  // The end of a partial list is no end: it begins anew, since what it lacks stands between its rows.
  const first = cursor === null ? begin(answer.body) : add(answer.body);
  // The button lost the focus while it was closed.
  const goesOn = partial && cursor === null ? $("more") : first?.querySelector("a");
  goesOn?.focus();
}

/** Adds the orders of one answer and says what follows them; the first row that is new comes back. */
function add({ items, next_cursor: next }) {
  const rows = items.filter(({ id }) => !shown.has(id)).map(row);
  for (const { id } of items) shown.add(id);
  $("order-rows").append(...rows);
  cursor = next;
  const { say, button } = endOfList({ more: cursor !== null, partial });
  setText($("more-status"), say);
  setText($("more"), button);
  $("more").hidden = button === "";
  return rows[0];
}

function row(order) {
  const { element, parts } = copyOf($("row-template"), "row");
  parts.link.href = `/orders/${encodeURIComponent(order.id)}`;
  parts.link.textContent = titleOf(order);
  parts.status.textContent = statusWord(order);
  parts.status.dataset.status = order.status;
  parts.units.textContent = counted(unitsOf(order), "unit");
  parts.total.textContent = moneyText(order.total);
  parts.number.textContent = order.id;
  parts.placed.textContent = localInstantText(order.created_at);
  parts.placed.dateTime = order.created_at;
  parts["pay-before-row"].hidden = !(isOpen(order) && order.pay_before);
  if (order.pay_before) parts["pay-before"].textContent = localInstantText(order.pay_before);
  return element;
}

$("retry").addEventListener("click", start);
$("more").addEventListener("click", showMore);
addEventListener("online", () => failedAtStart && start());
// A list that the browser kept is old.
addEventListener("pageshow", ({ persisted }) => persisted && start());
start();

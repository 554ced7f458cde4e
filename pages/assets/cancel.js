// Asks before an order is cancelled, then has it cancelled.
// It must not know the page around the dialog.

import { request } from "./api.js";

/** Whether the shopper means it. */
export function cancelIsMeant() {
  const dialog = document.getElementById("cancel-dialog");
  dialog.returnValue = "keep";
  return new Promise((resolve) => {
    // The browser tells of a closing late: one that comes while the dialog is open is of an earlier time.
    dialog.onclose = () => dialog.open || resolve(dialog.returnValue === "cancel");
    dialog.showModal();
  });
}

/** Has an order cancelled: "" when it is, else what to say. */
export async function cancelOrder(id) {
  const { ok, slug } = await request("DELETE", `/api/v1/orders/${encodeURIComponent(id)}`);
  if (ok) return "";
  return slug === "order-state"
    ? "This order could not be cancelled any more; it is shown as it is now."
    : "The shop could not be asked to cancel. Look at the order and try again.";
}

// The sandbox bank's page: shows one payment and does with it what the visitor chooses.
// It must not know the shop's pages: it leads back to the order's address and that is all.

import { request } from "./api.js";
import "./connection.js";
import { moneyText } from "./format.js";
import { paymentSentence } from "./order.js";
import { deliveriesOf } from "./sandbox.js";
import { setText, showState, stateOfRefusal } from "./when.js";

const $ = (id) => document.getElementById(id);
const api = `/api/v1/sandbox/payments/${encodeURIComponent(location.pathname.split("/").pop())}`;
const choices = document.querySelectorAll("button[data-choice]");

let payment = null;
let failedAtStart = false;

async function look() {
  showState("loading");
  const answer = await request("GET", api);
  failedAtStart = !answer.ok;
  if (!answer.ok) return showState(stateOfRefusal(answer));
  payment = answer.body;
  const isOpen = payment.status === "started";
  for (const amount of document.querySelectorAll("[data-amount]")) amount.textContent = moneyText(payment.amount);
  setText($("order-id"), payment.order_id);
  setText($("payment-id"), payment.payment_id);
  setText($("status"), isOpen ? "Not decided yet" : paymentSentence(payment));
  for (const link of document.querySelectorAll("a[data-back]")) link.href = orderAddress();
  open(true);
  showState(isOpen ? "open" : "settled");
}

function orderAddress() {
  return `/orders/${encodeURIComponent(payment.order_id)}`;
}

function open(isOpen) {
  for (const button of choices) button.disabled = !isOpen;
}

async function choose({ currentTarget }) {
  open(false);
  setText($("notice"), "One moment…");
  const deliveries = deliveriesOf(currentTarget.dataset.choice, payment);
  const answer = await request("POST", api, { body: { deliveries } });
  if (answer.ok) return location.replace(orderAddress());
  open(true);
  setText($("notice"), "The sandbox bank could not be reached. Choose again; nothing is paid twice by it.");
}

for (const button of choices) button.addEventListener("click", choose);
$("retry").addEventListener("click", look);
addEventListener("online", () => failedAtStart && look());
addEventListener("pageshow", ({ persisted }) => persisted && look());
look();

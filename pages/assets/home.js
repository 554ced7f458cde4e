// A page of sales: says of each how it stands now.
// It must not know how a sale is bought: each card leads to its own page. Where the shop does not
// answer, a card stays as it was rendered.

import { request } from "./api.js";
import { ShopClock } from "./clock.js";
import { stageOf, STAGE_WORDS, stateFrom } from "./sale.js";
import { setText } from "./when.js";

const REST_MS = 60_000;
const LEAST_MS = 1000;

const clock = new ShopClock();
const cards = document.querySelectorAll("[data-activity-id]");

let timer;

async function look() {
  clearTimeout(timer);
  const states = await Promise.all([...cards].map(lookAt));
  // The next opening is shown when it comes; anything else is no hurry here.
  const openings = states.map((state) => (state ? state.startsAt - clock.now() : NaN)).filter((wait) => wait > 0);
  const wait = Math.min(REST_MS, ...openings) + LEAST_MS * Math.random();
  if (!document.hidden && cards.length > 0) timer = setTimeout(look, Math.max(LEAST_MS, wait));
}

async function lookAt(card) {
  const answer = await request("GET", `/api/v1/activities/${encodeURIComponent(card.dataset.activityId)}/state`);
  if (!answer.ok) return null;
  clock.take({ sent: answer.sent, received: answer.received, server: Date.parse(answer.body.server_time) });
  const state = stateFrom(answer.body);
  const stage = stageOf(state, clock.now());
  const badge = card.querySelector(".badge");
  setText(badge, STAGE_WORDS[stage]);
  badge.dataset.stage = stage;
  setText(card.querySelector("[data-starts]"), stage === "before" ? "Starts" : "Started");
  return state;
}

document.addEventListener("visibilitychange", () => {
  clock.distrust();
  if (!document.hidden) look();
});
addEventListener("online", look);
look();

// How one sale stands: asked again and again, often while it matters and seldom from afar.
// It must not know what a page shows of it: whoever is told looks it up here.

import { request } from "./api.js";
import { failureDelay, pollDelay, stageOf, stateFrom } from "./sale.js";

const LEAST_REST_MS = 1000;

export class SaleWatch {
  #api;
  #clock;
  #tell;
  #timer;
  #asking = false;
  #askedAt = -Infinity; // monotonic

  /** The latest answer of `/state`, or null. */
  state = null;
  /** Questions in a row that were not answered. */
  failures = 0;

  /** `api` is the sale's address; `clock` learns the shop's time; `tell` is called after each question. */
  constructor(api, clock, tell) {
    this.#api = api;
    this.#clock = clock;
    this.#tell = tell;
  }

  /** The stage by the shop's time of now, or null while neither is known. */
  get stage() {
    return this.state && this.#clock.ready ? stageOf(this.state, this.#clock.now()) : null;
  }

  /** Asks after `delay` milliseconds, and never twice within a second. */
  askIn(delay) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.ask(), Math.max(delay, this.#askedAt + LEAST_REST_MS - performance.now(), 0));
  }

  async ask() {
    if (this.#asking) return;
    this.#asking = true;
    this.#askedAt = performance.now();
    const answer = await request("GET", `${this.#api}/state`);
    this.#asking = false;
    if (answer.ok) {
      this.failures = 0;
      this.state = stateFrom(answer.body);
      this.#learnTime(answer, answer.body.server_time);
    } else {
      this.failures += 1;
    }
    this.askIn(answer.ok ? this.#nextDelay() : failureDelay(this.failures, answer.retryAfterMs, Math.random()));
    this.#tell();
  }

  /** The shop said that it is too early: its clock is right. Milliseconds until it opens. */
  learnOpening(answer) {
    const { starts_at: startsAt, server_time: serverTime } = answer.problem;
    this.#learnTime(answer, serverTime);
    if (this.state && startsAt) this.state = { ...this.state, startsAt: Date.parse(startsAt) };
    return Date.parse(startsAt) - this.#clock.now();
  }

  #nextDelay() {
    return pollDelay({
      stage: this.stage,
      untilStart: this.state.startsAt - this.#clock.now(),
      hidden: document.hidden,
      sampleCount: this.#clock.sampleCount,
      random: Math.random(),
    });
  }

  #learnTime({ sent, received }, serverTime) {
    this.#clock.take({ sent, received, server: Date.parse(serverTime) });
  }
}

// The panel of a sale: its countdown, what is left of it, and the button.
// It must not know the network, nor what a press comes to: it shows what it is given.

import { counted, countdownHolds, countdownText } from "./format.js";
import { sells, STAGE_SENTENCES } from "./sale.js";
import { setHidden, setText } from "./when.js";

const $ = (id) => document.getElementById(id);

export class BuyPanel {
  #stockTotal;
  #shownStage = null;
  #focusIsOwed = false; // Buy had the focus when it closed

  constructor(stockTotal) {
    this.#stockTotal = stockTotal;
  }

  /** Shows the shop's time; returns how long what it shows stays right. */
  showCountdown({ stage, state }, now) {
    const counts = stage === "before" || sells(stage);
    $("countdown").toggleAttribute("data-waiting", !counts);
    if (!counts) return Infinity;
    const left = (stage === "before" ? state.startsAt : state.endsAt) - now;
    setText($("countdown-label"), stage === "before" ? "Opens in" : "Ends in");
    setText($("countdown-clock"), countdownText(left));
    return countdownHolds(left);
  }

  /** Shows how the sale stands; returns whether it has gone on from another stage. */
  showStage({ stage, state, failures }, now) {
    const isUnknown = stage === null && failures > 0;
    setHidden($("retry"), !isUnknown);
    if (stage === null) {
      setText($("stage"), isUnknown ? "The shop cannot be reached. This page keeps trying." : "");
      return false;
    }
    const goesOn = this.#shownStage !== null && this.#shownStage !== stage;
    this.#shownStage = stage;
    setText($("stage"), STAGE_SENTENCES[stage]);
    // A sale that was ended early has not ended when it was to.
    $("ends").hidden = stage === "over" && now < state.endsAt;
    setText($("left"), `${state.remaining.toLocaleString("en")} of ${counted(this.#stockTotal, "unit")} left`);
    $("left-bar").value = state.remaining;
    return goesOn;
  }

  /** Shows the button, or the way to sign in. One that `waits` is closed for the moment. */
  showWaysToBuy({ mustSignIn, atLimit, hasBought, pressed, waits }) {
    const buy = $("buy");
    const hadFocus = document.activeElement === buy;
    buy.hidden = mustSignIn || atLimit;
    buy.disabled = pressed || waits;
    setText(buy, pressed ? "One moment…" : hasBought ? "Buy another" : "Buy");
    $("sign-in-to-buy").hidden = !mustSignIn;
    // A disabled button loses the focus; whoever waits at it with the keyboard gets it back.
    this.#focusIsOwed = !buy.hidden && (this.#focusIsOwed || (hadFocus && buy.disabled));
    if (this.#focusIsOwed && !buy.disabled) {
      this.#focusIsOwed = false;
      if (document.activeElement === document.body) buy.focus();
    }
  }
}

// Someone at a browser of their own: tabs, a session, what the browser complained of.
// It must not know the shop's rules: a journey says what they do and what they should see.

import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { GENEROUS_MS, until } from "./patience.js";
import { fillSignIn } from "./sign_in_page.js";

const SCREENSHOTS = fileURLToPath(new URL("../../target/screenshots/", import.meta.url));
const HEIGHTS = { 320: 640, 390: 844, 768: 1024, 1280: 800, 1440: 900 };

export class Visitor {
  #context;
  #origin;
  #expected = [];
  #complaints = [];

  /** Comes with a fresh browser profile: no cookies, nothing cached. */
  static async come(browser, origin, { width, javaScript = true, clockOffMs = 0 }) {
    const visitor = new Visitor();
    visitor.#origin = origin;
    visitor.#context = await browser.newContext({
      baseURL: origin,
      viewport: { width, height: HEIGHTS[width] },
      // Colours that fade in would be measured half way.
      reducedMotion: "reduce",
      javaScriptEnabled: javaScript,
    });
    visitor.#context.setDefaultTimeout(GENEROUS_MS);
    if (javaScript) await visitor.#context.addInitScript(tellOfViolations);
    if (clockOffMs !== 0) await visitor.#context.addInitScript(setClock, clockOffMs);
    visitor.#context.on("console", (message) => visitor.#hear(message));
    visitor.#context.on("weberror", (error) => visitor.#complaints.push(`thrown: ${error.error().stack}`));
    visitor.page = await visitor.tab();
    return visitor;
  }

  /** One more tab of the same profile. */
  async tab() {
    return this.#context.newPage();
  }

  /** Turns the first tab into a screen so wide. */
  async resize(width) {
    await this.page.setViewportSize({ width, height: HEIGHTS[width] });
  }

  /** Goes to a path in the first tab. */
  async open(path) {
    return this.page.goto(path);
  }

  /** What a path answers to a browser, without anything of it being run. */
  async get(path) {
    return this.#context.request.get(path, { headers: { accept: "text/html" } });
  }

  /** The back button, and the other one. A page that the browser has kept is there without loading. */
  async goBack() {
    await this.page.goBack({ waitUntil: "commit" });
  }

  async goForward() {
    await this.page.goForward({ waitUntil: "commit" });
  }

  /** Signs in as a person does, and is at the first page. */
  async signIn(username) {
    await this.open("/sign-in");
    await fillSignIn(this.page, username);
    await this.page.waitForURL(`${this.#origin}/`);
  }

  /** A browser reports each answer from 400 up, and each one lost; this one is part of the journey. */
  expects(what, path) {
    const said = typeof what === "number" ? `status of ${what} ` : what;
    this.#expected.push((text, url) => text.includes(said) && url.includes(path));
  }

  /** Waits for the first complaint that no one expected. */
  async complaint() {
    return until("the browser complains", () => this.#complaints[0]);
  }

  async losesNetwork() {
    this.expects("net::ERR_INTERNET_DISCONNECTED", this.#origin);
    await this.#context.setOffline(true);
  }

  async hasNetworkAgain() {
    await this.#context.setOffline(false);
  }

  /** The network from here on: a handler for the requests whose address fits. */
  async route(address, handler) {
    await this.#context.route(address, handler);
  }

  async unroute(address) {
    await this.#context.unroute(address);
  }

  /** What the browser's network layer tells of the first tab. */
  async devtools() {
    return this.#context.newCDPSession(this.page);
  }

  /** The first tab as it looks, from top to bottom, kept for whoever wants to see it. */
  async shoot(name) {
    mkdirSync(SCREENSHOTS, { recursive: true });
    await this.page.screenshot({ path: `${SCREENSHOTS}${name}.png`, fullPage: true, timeout: GENEROUS_MS });
  }

  /** Leaves; what the browser complained of in the meantime and no one expected. */
  async leave() {
    await this.#context.close();
    return this.#complaints;
  }

  #hear(message) {
    if (!["error", "warning"].includes(message.type())) return;
    const [text, { url }] = [message.text(), message.location()];
    if (!this.#expected.some((fits) => fits(text, url))) this.#complaints.push(`${message.type()}: ${text} (${url})`);
  }
}

/** Runs in the page before anything else: what the page's policy forbids it is told, whatever the browser makes of it. */
function tellOfViolations() {
  addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) => {
    console.error(`the policy was violated: ${violatedDirective}: ${blockedURI}`);
  });
}

/** Runs in the page before anything else: the visitor's time of day is off, the monotonic clock is not. */
function setClock(offMs) {
  const RealDate = Date;
  globalThis.Date = class extends RealDate {
    constructor(...parts) {
      super(...(parts.length === 0 ? [RealDate.now() + offMs] : parts));
    }

    static now() {
      return RealDate.now() + offMs;
    }
  };
}

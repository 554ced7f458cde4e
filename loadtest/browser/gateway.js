// The real gateway as a process of its own, on a fresh data directory: both end with the tests.
// It must not know what is asked of it over HTTP.

import { execFile, spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { GENEROUS_MS } from "./patience.js";

const BINARY = process.env.SECKILL_BIN ?? fileURLToPath(new URL("../../target/checked/seckill", import.meta.url));
const READY = "ready on ";
// What is shown of a log where something went wrong, in characters.
const LOG_SHOWN = 4000;

export class Gateway {
  #child;
  #data;
  #log = "";

  /** Starts one and waits until it serves; `variables` are settings beside the defaults. */
  static async start(variables = {}) {
    if (!existsSync(BINARY)) throw new Error(`${BINARY} is missing: build it, or name it in SECKILL_BIN`);
    const gateway = new Gateway();
    gateway.#data = mkdtempSync(join(tmpdir(), "seckill-browser-"));
    process.once("exit", gateway.#end);
    const addresses = ["--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"];
    const child = spawn(BINARY, ["serve", ...addresses, "--cores", "1", "--data", gateway.#data], {
      env: environment(variables),
      stdio: ["ignore", "pipe", "pipe"],
    });
    gateway.#child = child;
    child.stderr.on("data", (text) => (gateway.#log = (gateway.#log + text).slice(-LOG_SHOWN)));
    gateway.origin = await gateway.#ready();
    return gateway;
  }

  #ready() {
    return new Promise((resolve, reject) => {
      const fail = (why) => {
        clearTimeout(timer);
        reject(new Error(`the gateway ${why}: ${this.#log}`));
      };
      const timer = setTimeout(fail, GENEROUS_MS, "does not get ready");
      this.#child.once("exit", (code) => fail(`ended with ${code}`));
      this.#child.once("error", fail);
      createInterface({ input: this.#child.stdout }).on("line", (line) => {
        if (!line.startsWith(READY)) return;
        clearTimeout(timer);
        resolve(line.slice(READY.length).trim().replace(/\/$/, ""));
      });
    });
  }

  /** Runs a command of the binary on its data. */
  async run(words, variables = {}) {
    await promisify(execFile)(BINARY, [...words, "--data", this.#data], { env: environment(variables) });
  }

  /** Ends it as a power cut would; nothing of it stays behind. */
  async stop() {
    const ended = new Promise((resolve) => this.#child.once("exit", resolve));
    const runs = this.#child.exitCode === null && this.#child.signalCode === null;
    this.#child.kill("SIGKILL");
    if (runs) await ended;
    process.off("exit", this.#end);
    this.#end();
  }

  /** It may not wait for anything: it is also what is done when the tests are cut short. */
  #end = () => {
    this.#child?.kill("SIGKILL");
    rmSync(this.#data, { recursive: true, force: true });
  };
}

/** The environment without the settings of whoever runs the tests. */
function environment(variables) {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith("SECKILL_"));
  return { ...Object.fromEntries(inherited), ...variables };
}

// A test run that is asked to stop ends as one that is over.
for (const [signal, code] of [["SIGINT", 130], ["SIGTERM", 143], ["SIGHUP", 129]]) {
  process.once(signal, () => process.exit(code));
}

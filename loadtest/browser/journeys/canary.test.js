// What is broken on purpose is caught: a check that cannot fail proves nothing.

import assert from "node:assert/strict";

import { graveFindings } from "../axe.js";
import { journey, walkOnce } from "../journey.js";
import { weigh } from "../scales.js";
import { sticksOut } from "../screen.js";

/** A page that does this, when it is broken. */
const BROKEN = {
  "writes an error to the console": () => console.error("broken"),
  "writes a warning to the console": () => console.warn("broken"),
  "throws": () => setTimeout(() => {
    throw new Error("broken");
  }),
  "has a script within": () => document.body.append(Object.assign(document.createElement("script"), { textContent: "broken" })),
  "asks elsewhere": () => fetch("https://elsewhere.example/").catch(() => {}),
  "asks for what is not there": () => fetch("/api/v1/nothing"),
};

for (const [what, breaks] of Object.entries(BROKEN)) {
  journey(`a page that ${what} fails its journey`, async () => {
    const walk = async ({ visitor }) => {
      const ann = await visitor();
      await ann.open("/");
      const noticed = ann.complaint();
      await ann.page.evaluate(breaks);
      await noticed;
    };
    await assert.rejects(walkOnce("canary", walk, 390), /the browser complained/);
  }, [390]);
}

journey("what the policy forbids is told by the page itself", async () => {
  const walk = async ({ visitor }) => {
    const ann = await visitor();
    // Even if the browser's own words were expected.
    ann.expects("", "");
    await ann.open("/");
    const told = ann.page.waitForEvent("console", (message) => message.text().startsWith("the policy was violated: img-src"));
    await ann.page.evaluate(() => (new Image().src = "ftp://elsewhere.example/"));
    await told;
  };
  await walkOnce("canary", walk, 390);
}, [390]);

journey("axe minds a picture without a text and grey on grey", async ({ visitor }) => {
  const ann = await visitor();
  await ann.open("/");
  await ann.page.evaluate(() => {
    const picture = document.createElement("img");
    picture.src = "data:image/gif;base64,R0lGODlhAQABAAAAACw=";
    const grey = document.createElement("p");
    grey.textContent = "hardly to be read";
    grey.setAttribute("class", "canary");
    grey.style.color = "#999";
    document.querySelector("main").append(picture, grey);
  });
  const findings = await graveFindings(ann.page);
  assert.deepEqual(findings.map((finding) => finding.split(":")[0]).sort(), ["color-contrast", "image-alt"]);
}, [390]);

journey("what is wider than the screen is found", async ({ visitor }) => {
  const ann = await visitor();
  await ann.open("/");
  assert.deepEqual(await sticksOut(ann.page), []);
  await ann.page.locator("main").evaluate((main) => (main.style.width = "2000px"));
  assert.match((await sticksOut(ann.page)).join(), /px of content,<main/);
}, [390]);

journey("a heavy answer weighs", async ({ visitor }) => {
  const ann = await visitor();
  await ann.route("**/shop-*.css", (route) => route.fulfill({ contentType: "text/css", body: "a{}".repeat(30_000) }));
  assert.ok((await weigh(ann, "/sign-in")) > 90_000);
}, [390]);

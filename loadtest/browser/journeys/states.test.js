// T2: every page in every state: readable by everyone, light and dark, on any screen from 320 px. The
// screenshots that are taken on the way lie in target/screenshots/.

import assert from "node:assert/strict";

import { graveFindings } from "../axe.js";
import { journey, WIDTHS } from "../journey.js";
import { ORDER_STATES } from "../order_states.js";
import { SALE_STATES } from "../sale_states.js";
import { sticksOut } from "../screen.js";

const SCREENS = [320, 390, 768, 1280, 1440];

for (const { name, reach } of [...SALE_STATES, ...ORDER_STATES]) {
  journey(`${name}: no scrolling sideways, and nothing that axe minds`, async ({ shop, visitor }) => {
    const ann = await reach(shop, visitor);
    const problems = [];
    for (const screen of SCREENS) {
      await ann.resize(screen);
      problems.push(...(await sticksOut(ann.page)).map((what) => `${screen} px: ${what} is wider than the screen`));
      if (WIDTHS.includes(screen)) problems.push(...(await inBothSchemes(ann, `${name}-${screen}`)));
    }
    assert.deepEqual(problems, []);
  }, [1280]);
}

async function inBothSchemes(ann, name) {
  const findings = [];
  for (const scheme of ["light", "dark"]) {
    await ann.page.emulateMedia({ colorScheme: scheme });
    await ann.shoot(`${name}-${scheme}`);
    findings.push(...(await graveFindings(ann.page)).map((finding) => `${name}, ${scheme}: ${finding}`));
  }
  return findings;
}

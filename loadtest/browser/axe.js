// What axe-core finds on a page.
// It must not know which page it is.

import { createRequire } from "node:module";

const { source } = createRequire(import.meta.url)("axe-core");
const GRAVE = ["serious", "critical"];

/** The serious and critical findings, one line each with the elements they are about. */
export async function graveFindings(page) {
  // Evaluated from outside the page, so that its Content-Security-Policy stays as it is.
  if (!(await page.evaluate(() => "axe" in globalThis))) await page.evaluate(source);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  return violations
    .filter(({ impact }) => GRAVE.includes(impact))
    .map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map((node) => `${node.target.join(" ")} ${node.failureSummary ?? ""}`).join("; ")}`);
}

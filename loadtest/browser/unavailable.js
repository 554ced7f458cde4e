// A shop that is there and does not answer, or not as it should.
// It must not know which page asks.

/** What a page says when it has waited for a moment. */
export const STILL_LOADING = "The page is still loading. If that goes on, load it again.";

/** From here on whatever fits the address is answered that the shop cannot, and to come back much later. */
export async function unavailable(visitor, address) {
  visitor.expects(503, "/api/");
  const problem = { type: "urn:seckill:unavailable", title: "The shop cannot answer right now", status: 503 };
  await visitor.route(address, (route) => route.fulfill({
    status: 503,
    contentType: "application/problem+json",
    headers: { "retry-after": "600" },
    body: JSON.stringify(problem),
  }));
}

/** From here on whatever fits the address gets no answer at all. */
export async function silent(visitor, address) {
  await visitor.route(address, () => {});
}

/** From here on whatever fits the address, a script, cannot be had. */
export async function refused(visitor, address) {
  visitor.expects("net::ERR_FAILED", "/assets/");
  await visitor.route(address, (route) => route.abort());
}

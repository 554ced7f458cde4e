// A shop that is there and cannot answer.
// It must not know which page asks.

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

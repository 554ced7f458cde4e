// How much a page and all that it asks for cost on the wire.
// It must not know which page it is.

/** Bytes that came over the wire, headers included, until the page had nothing more to ask. */
export async function weigh(visitor, path) {
  const devtools = await visitor.devtools();
  let bytes = 0;
  devtools.on("Network.loadingFinished", ({ encodedDataLength }) => (bytes += encodedDataLength));
  await devtools.send("Network.enable");
  // Whoever has signed in has been here before.
  await devtools.send("Network.clearBrowserCache");
  await visitor.page.goto(path, { waitUntil: "networkidle" });
  await devtools.detach();
  return bytes;
}

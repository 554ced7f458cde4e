// What does not fit a screen.
// It must not know which page it is.

/** What makes the page scroll sideways; empty where it does not. */
export async function sticksOut(page) {
  return page.evaluate(() => {
    const { scrollWidth, clientWidth } = document.documentElement;
    if (scrollWidth <= clientWidth) return [];
    const wide = [...document.body.querySelectorAll("*")].filter((element) => element.getBoundingClientRect().right > clientWidth + 1);
    return [`${scrollWidth} px of content`, ...wide.slice(0, 3).map((element) => element.outerHTML.slice(0, 80))];
  });
}

// Says when the browser has no connection, and that nothing is lost by it.
// It must not know what a page is about: a page listens for `online` itself, and goes on.

const line = document.getElementById("connection");

function show() {
  line.hidden = navigator.onLine;
  line.textContent = navigator.onLine ? "" : "You are offline; nothing is lost. This page goes on by itself when you are back.";
}

addEventListener("online", show);
addEventListener("offline", show);
show();

// What pages do besides, where script is allowed: parts that show news by themselves, and a box that chooses all rows. Without it
// everything works, and a page is loaded again to see what is new.
"use strict";

for (const part of document.querySelectorAll("[data-live]")) {
  const word = document.querySelector("[data-live-word]");
  const say = (text) => { if (word) word.textContent = text; };
  const news = new EventSource(part.dataset.live);
  let waiting = null;
  const show = () => {
    // Nothing moves under a finger that is pressing it.
    if (waiting === null || part.querySelector(":active")) return;
    const chosen = new Set(Array.from(part.querySelectorAll("input:checked"), (box) => box.value));
    const here = part.contains(document.activeElement) ? document.activeElement.id : "";
    part.innerHTML = waiting;
    waiting = null;
    for (const box of part.querySelectorAll("input[type=checkbox]")) box.checked = chosen.has(box.value);
    if (here) document.getElementById(here)?.focus();
    chooseAll(part);
  };
  news.onopen = () => say("Shown as it happens.");
  news.onerror = () => say("The connection to the server is lost; it is tried again.");
  news.onmessage = (event) => { waiting = JSON.parse(event.data); show(); };
  document.addEventListener("pointerup", () => setTimeout(show));
}

function chooseAll(part) {
  for (const head of part.querySelectorAll("[data-choose-all]")) {
    const boxes = Array.from(head.closest("form").querySelectorAll("input[name=k]"));
    if (boxes.length < 2 || head.firstChild) continue;
    const all = document.createElement("input");
    all.type = "checkbox";
    all.id = "choose-all";
    all.setAttribute("aria-label", "Choose all rows of this page");
    all.addEventListener("change", () => { for (const box of boxes) box.checked = all.checked; });
    head.append(all);
  }
}
chooseAll(document);

// The page at /: two tabs, one customer or a file of them.

import { byId } from "./dom.js";
import { begin, show } from "./customer.js";
import { listen } from "./file.js";

const tabs = [...document.querySelectorAll("[role=tab]")];

function choose(tab, focus = true) {
  for (const each of tabs) {
    const chosen = each === tab;
    each.setAttribute("aria-selected", chosen);
    each.tabIndex = chosen ? 0 : -1;
    byId(each.getAttribute("aria-controls")).hidden = !chosen;
  }
  if (focus) tab.focus();
  history.replaceState(null, "", tab === tabs[1] ? "#file" : location.pathname);
}

const KEYS = { ArrowRight: 1, ArrowLeft: -1 };

for (const [at, tab] of tabs.entries()) {
  tab.addEventListener("click", () => choose(tab));
  tab.addEventListener("keydown", (event) => {
    let to = null;
    if (event.key in KEYS) to = (at + KEYS[event.key] + tabs.length) % tabs.length;
    if (event.key === "Home") to = 0;
    if (event.key === "End") to = tabs.length - 1;
    if (to === null) return;
    event.preventDefault();
    choose(tabs[to]);
  });
}

begin();
listen((customer) => {
  choose(tabs[0], false);
  show(customer);
  byId("answer-title").focus();
});
if (location.hash === "#file") choose(tabs[1], false);

// The page's tabs, the address of each, and the API key.

import { askForKey, forgetKey, hasKey } from "./api.js";
import { $, h, moveFocus } from "./dom.js";
import * as translate from "./translate.js";

const tabs = [...document.querySelectorAll("[role=tab]")];
const NAMES = tabs.map((tab) => tab.getAttribute("aria-controls"));
// The other views are loaded when they are first opened. A view has `show(parameters)`, and `hide()` if it must stop.
const views = { translate };
let current = null;

// The address is #VIEW or #VIEW?PARAMETERS. What follows # is not sent to any server.
function readAddress() {
  const [name, query = ""] = location.hash.slice(1).split(/\?(.*)/s);
  return { name: NAMES.includes(name) ? name : "translate", parameters: new URLSearchParams(query) };
}

async function open({ name, parameters }) {
  const previous = current;
  current = name;
  tabs.forEach((tab, k) => {
    const selected = NAMES[k] === name;
    tab.setAttribute("aria-selected", selected);
    tab.tabIndex = selected ? 0 : -1;
    $(NAMES[k]).hidden = !selected;
  });
  document.title = `${$(`tab-${name}`).textContent} · Attendant`;
  if (previous && previous !== name) views[previous]?.hide?.();
  try {
    views[name] ??= await import(`./${name}.js`);
    if (current === name) await views[name].show(parameters);
  } catch (error) {
    showFailure($(name), error);
  }
}

function showFailure(panel, error) {
  panel.querySelector(":scope > .failure")?.remove();
  const again = () => open(readAddress());
  panel.prepend(
    h(
      "div.problem.failure",
      { role: "alert" },
      h("p", {}, error.message),
      h("button.small", { type: "button", onclick: again }, "Try again"),
    ),
  );
}

const choose = (tab) => {
  const name = tab.getAttribute("aria-controls");
  if (name !== current) location.hash = name;
};
for (const tab of tabs) {
  tab.addEventListener("click", () => choose(tab));
  tab.addEventListener("keydown", (event) => moveFocus(event, tabs, choose));
}
addEventListener("hashchange", () => open(readAddress()));

$("key-button").hidden = !hasKey();
$("key-button").addEventListener("click", async () => {
  forgetKey();
  await askForKey().catch(() => {});
  open(readAddress());
});

open(readAddress());

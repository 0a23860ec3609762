// Elements and small helpers. Text enters the page as text nodes only: nothing here parses HTML.

export const $ = (id) => document.getElementById(id);

// Make an element: `h("p.note", { title: "x", onclick: f, data: { n: 1 } }, "text", child)`.
export function h(selector, properties = {}, ...children) {
  const [tag, ...classes] = selector.split(".");
  const element = document.createElement(tag);
  if (classes.length) element.className = classes.join(" ");
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "vars") for (const [key, v] of Object.entries(value)) element.style.setProperty(`--${key}`, v);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

export function debounce(milliseconds, run) {
  let timer = 0;
  const later = (...given) => {
    clearTimeout(timer);
    timer = setTimeout(run, milliseconds, ...given);
  };
  later.cancel = () => clearTimeout(timer);
  return later;
}

export const number = (value, digits = 0) =>
  value.toLocaleString("en", { maximumFractionDigits: digits, minimumFractionDigits: digits });

export const percent = (share) => (share > 0 && share < 0.01 ? "<\u00a01\u00a0%" : `${number(100 * share)}\u00a0%`);

export const plural = (count, one, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;

const languages = new Intl.DisplayNames(["en"], { type: "language", fallback: "none" });

export function languageName(code) {
  try {
    return languages.of(code) ?? code;
  } catch {
    return code;
  }
}

// Copy text, and say on the button that it is done.
export async function copy(button, text) {
  const label = button.textContent;
  let said = "Copied";
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = h("textarea.offscreen", { "aria-hidden": "true" }); // a page that was not loaded over HTTPS
    area.value = text;
    (button.closest("dialog") ?? document.body).append(area);
    area.select();
    said = document.execCommand("copy") ? said : "Not allowed";
    area.remove();
    button.focus();
  }
  button.textContent = said;
  setTimeout(() => (button.textContent = label), 1200);
}

// A function that runs once, also when it is called again meanwhile; after an error it may run again.
export function onlyOnce(run) {
  let done = null;
  const fail = (error) => {
    done = null;
    throw error;
  };
  return () => (done ??= run().catch(fail));
}

const LINK = 6000; // characters of an address

// Write what a view shows into the address, unless the reader goes to another view: the event of that comes later.
export function replaceAddress(view, hash) {
  const next = $(location.hash.slice(1).split("?")[0]);
  const leaves = next?.role === "tabpanel" && next.id !== view;
  if (hash.length <= LINK && !leaves && !$(view).hidden) history.replaceState(null, "", hash);
}

// A row of buttons of which one is chosen; `choose(value)` is called on a change. Arrow keys move.
export function segmented(group, choose) {
  const buttons = [...group.querySelectorAll("button")];
  const set = (value) => {
    for (const button of buttons) {
      const chosen = button.value === value;
      button.setAttribute("aria-checked", chosen);
      button.tabIndex = chosen ? 0 : -1;
    }
  };
  group.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) (set(button.value), choose(button.value));
  });
  group.addEventListener("keydown", (event) => moveFocus(event, buttons, (button) => button.click()));
  return set;
}

// Move the focus among elements with arrow keys, Home and End; call `reached` with the element.
export function moveFocus(event, elements, reached = () => {}) {
  const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -Infinity, End: Infinity };
  const step = steps[event.key];
  if (step === undefined || !elements.length || event.altKey || event.ctrlKey || event.metaKey) return;
  const at = elements.indexOf(document.activeElement);
  const to = Number.isFinite(step)
    ? (at + step + elements.length) % elements.length
    : step < 0
      ? 0
      : elements.length - 1;
  event.preventDefault();
  elements[to].focus();
  reached(elements[to]);
}

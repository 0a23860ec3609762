// The translation as words: shaded by doubt, linked to the text, with alternatives on click.

import { sendJson } from "./api.js";
import { $, h, moveFocus, percent } from "./dom.js";
import { linksOf, sentencesOf, withProbabilities, wordsOf } from "./words.js";

const BEAM = 4;
const output = $("output");
const popover = $("alternatives");
let shown = null; // { text, result, body, choose, signal }: what is in `output`
let links = null; // a promise of the links of its words

// Show a translation that is complete. `choose(alternative)` is called when the reader prefers another one.
export function showResult(next) {
  shown = next;
  links = null;
  popover.hidePopover();
  const { result, body } = shown;
  output.lang = result.target;
  output.classList.toggle("code", body.format !== undefined);
  output.tabIndex = body.format ? 0 : -1; // without words to reach by keyboard, it must scroll by keyboard itself
  if (body.format || !result.tokens) return showText(result.text, result.target);
  const words = withProbabilities(wordsOf(result.text), result.tokens, result.text);
  const parts = [];
  let at = 0;
  for (const word of words) {
    parts.push(result.text.slice(at, word.start), wordElement(word));
    at = word.end;
  }
  parts.push(result.text.slice(at));
  output.replaceChildren(h("p", {}, parts));
  const first = output.querySelector(".word");
  if (first) first.tabIndex = 0;
  return words;
}

// Show text that is not complete, or that has no words to choose.
export function showText(text, language) {
  output.lang = language;
  if (output.firstChild?.className === "plain-text") output.firstChild.textContent = text;
  else output.replaceChildren(h("p.plain-text", {}, text));
}

function wordElement(word) {
  const doubt = word.held ? 0 : Math.min(1, Math.max(0, (0.75 - word.probability) / 0.75));
  const said = word.held ? "kept from the text" : `${percent(word.probability)} sure`;
  const element = h(
    "span.word",
    { role: "button", tabindex: -1, title: said, "aria-haspopup": "true", vars: { doubt: doubt.toFixed(2) } },
    word.text,
  );
  element.word = word;
  return element;
}

const wordAt = (event) => event.target.closest?.(".word");

// Links between words

async function fetchLinks() {
  const { body, result, signal, text } = shown;
  const single = sentencesOf(text).length === 1;
  const answer = result.chosen
    ? single && (await sendJson("v1/score", { json: scoreBody(text, result), signal })).scores[0]
    : (await sendJson("v1/translate", { json: { ...body, stream: false, include: ["alignment"] }, signal }))
        .translations[0];
  // With links, marks such as **bold** are translated differently: then there are none.
  if (!answer?.alignment || (answer.text ?? result.text) !== result.text) return [];
  return linksOf(answer.alignment, text, result.text);
}

const scoreBody = (text, { text: translation, source, target }) => ({
  text,
  translation,
  source,
  target,
  include: ["alignment"],
});

// Mark a word of the translation and the words of the text that it comes from.
async function showLinks(element) {
  const given = shown;
  links ??= fetchLinks().catch(() => []);
  const found = (await links).filter(
    ({ target: [start, end] }) => start < element.word.end && end > element.word.start,
  );
  if (shown !== given || !element.matches(":hover, :focus")) return;
  mark(found.map((link) => link.source));
  element.classList.add("linked");
}

function mark(ranges) {
  const mirror = $("mirror");
  const { text } = shown;
  const parts = [];
  let at = 0;
  for (const [start, end] of ranges.sort((a, b) => a[0] - b[0])) {
    if (start < at) continue;
    parts.push(text.slice(at, start), h("mark", {}, text.slice(start, end)));
    at = end;
  }
  mirror.replaceChildren(...parts, `${text.slice(at)}\u200b`);
}

function clearLinks() {
  for (const element of output.querySelectorAll(".linked")) element.classList.remove("linked");
  if (shown && $("mirror").querySelector("mark")) mark([]);
}

output.addEventListener("pointerover", (event) => {
  const element = wordAt(event);
  if (element) showLinks(element);
});
output.addEventListener("pointerout", clearLinks);
output.addEventListener("focusin", (event) => wordAt(event) && showLinks(wordAt(event)));
output.addEventListener("focusout", clearLinks);
output.addEventListener("keydown", (event) => {
  const words = [...output.querySelectorAll(".word")];
  moveFocus(event, words, (word) => {
    for (const one of words) one.tabIndex = one === word ? 0 : -1;
  });
  if ((event.key === "Enter" || event.key === " ") && wordAt(event)) {
    event.preventDefault();
    wordAt(event).click();
  }
});

// Alternatives

output.addEventListener("click", (event) => {
  const element = wordAt(event);
  if (element) showAlternatives(element, element.word);
});

// Offer other translations in a menu near an element: those that go on differently from a word on, or any.
export async function showAlternatives(near, word) {
  const given = shown;
  const { text, body, result, signal } = shown;
  const from = word && sentencesOf(text).length === 1 ? word.start : 0;
  place(near, [h("p.quiet", {}, "Looking for alternatives …")]);
  const base = { ...body, stream: false, include: ["score", "tokens"], beam_size: BEAM, n_best: BEAM };
  const prefix = result.text.slice(0, from).trimEnd();
  const bodies = [{ ...base, prefix }];
  // A beam differs mostly at the end of a sentence; without the word's first token it must differ here.
  if (from || word?.start === 0)
    bodies.unshift({ ...base, prefix, suppress: word.token === undefined ? [] : [word.token] });
  try {
    const replies = await Promise.all(bodies.map((json) => sendJson("v1/translate", { json, signal })));
    if (shown !== given) return;
    const found = new Map();
    for (const {
      translations: [best],
    } of replies) {
      for (const one of [best, ...(best.alternatives ?? [])]) {
        if (one.text !== result.text && one.text.startsWith(prefix) && !found.has(one.text)) {
          found.set(one.text, { ...best, alternatives: undefined, ...one, chosen: true });
        }
      }
    }
    place(near, menu([...found.values()].slice(0, 6), prefix));
  } catch (error) {
    if (error.name === "AbortError") return;
    place(near, [h("p", { role: "alert" }, error.message)]);
  }
}

function menu(found, prefix) {
  if (!found.length) return [h("p.quiet", {}, "The model has no alternative here.")];
  const choose = (one) => {
    popover.hidePopover();
    shown.choose(one);
    output.querySelector(".word")?.focus();
  };
  return found.map((one) =>
    h(
      "button.choice",
      { type: "button", lang: one.target, dir: "auto", onclick: () => choose(one) },
      prefix && h("span.quiet", {}, prefix),
      one.text.slice(prefix.length),
    ),
  );
}

function place(near, content) {
  popover.replaceChildren(...content);
  if (!popover.matches(":popover-open")) popover.showPopover();
  const box = near.getBoundingClientRect();
  const width = popover.offsetWidth;
  const left = Math.max(8, Math.min(box.left, document.documentElement.clientWidth - width - 8));
  const below = box.bottom + 6 + popover.offsetHeight <= innerHeight;
  popover.style.left = `${left}px`;
  popover.style.top = `${below ? box.bottom + 6 : Math.max(8, box.top - 6 - popover.offsetHeight)}px`;
  popover.querySelector("button")?.focus();
  popover.opener = near;
}

popover.addEventListener("keydown", (event) => moveFocus(event, [...popover.querySelectorAll("button")]));
popover.addEventListener("toggle", (event) => {
  if (event.newState === "closed" && popover.contains(document.activeElement)) popover.opener?.focus();
});

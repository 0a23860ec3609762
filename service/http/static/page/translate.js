// The view that translates while one types.

import { events, send, sendJson, showProblem } from "./api.js";
import { $, copy, debounce, h, languageName, number, onlyOnce, replaceAddress, segmented } from "./dom.js";
import { showAlternatives, showResult, showText } from "./output.js";
import { extras } from "./extras.js";
import { warningSentence } from "./words.js";

const TYPING = 120; // milliseconds without a key until a request is sent
const STREAMED = 240; // characters; a shorter text is translated before a stream would show its first words
const EXAMPLES = ["I have a big dog and three cats.", "Where is the station?", "Write to info@example.com by May 5."];
const field = $("text");
const state = { format: "text", pairs: [], last: null, result: null };
let running = new AbortController();
const ready = onlyOnce(start);

export async function show(parameters) {
  await ready();
  if ([...parameters].length) apply(parameters);
  else if (state.last) updateAddress();
  else run();
}

// The text and the languages, for other views.
export const current = () => ({
  text: field.value,
  source: $("source").value,
  target: $("target").value,
  detected: state.result?.source,
});

async function start() {
  state.pairs = await sendJson("languages");
  const targets = [...new Set(state.pairs.flatMap((source) => source.targets))];
  $("source").append(...state.pairs.map(option));
  $("target").append(...targets.map((code) => option({ code })).sort((a, b) => a.text.localeCompare(b.text)));
  if (!targets.length) {
    showProblem($("problem"), new Error("No translator is served here. The view “Models” says which models are."));
    field.disabled = true;
    return;
  }
  $("target").value = preferred(targets);
}

// The language that a reader probably wants: the browser's own, unless that is English, or German.
export function preferred(targets) {
  const own = navigator.languages.map((tag) => tag.split("-")[0]).find((code) => targets.includes(code) && code !== "en");
  return own ?? (targets.includes("de") ? "de" : targets[0]);
}

const option = ({ code }) => h("option", { value: code }, languageName(code));

// State and address

function apply(parameters) {
  const has = (select, value) => [...select.options].some((one) => one.value === value);
  for (const [name, select] of [
    ["from", $("source")],
    ["to", $("target")],
  ]) {
    const value = parameters.get(name);
    if (value && has(select, value)) select.value = value;
  }
  setFormat(["text", "markdown", "html"].includes(parameters.get("format")) ? parameters.get("format") : "text");
  more.setTerms(
    parameters
      .getAll("term")
      .map((term) => term.split("="))
      .filter((pair) => pair.length === 2),
  );
  field.value = parameters.get("text") ?? "";
  onText();
  run();
}

export function address() {
  const parameters = new URLSearchParams({ from: $("source").value, to: $("target").value });
  if (state.format !== "text") parameters.set("format", state.format);
  for (const [term, translation] of Object.entries(more.terms())) parameters.append("term", `${term}=${translation}`);
  if (field.value) parameters.set("text", field.value);
  return `#translate?${parameters}`;
}

const updateAddress = () => replaceAddress("translate", address());

// Requests

function requestBody() {
  const terms = more.terms();
  return {
    text: field.value,
    ...($("source").value !== "auto" && { source: $("source").value }),
    target: $("target").value,
    ...(state.format !== "text" && { format: state.format }),
    ...(Object.keys(terms).length && { glossary: terms }),
  };
}

const later = debounce(TYPING, run);

function onText() {
  running.abort();
  later.cancel();
  const text = field.value;
  $("mirror").textContent = `${text}\u200b`;
  $("count").textContent = text ? `${number([...text].length)} characters` : "";
  $("clear").hidden = !text;
  $("output").classList.add("stale");
}

async function run() {
  running.abort();
  later.cancel();
  const controller = (running = new AbortController());
  const body = requestBody();
  showProblem($("problem"), null);
  if (!body.text.trim()) return reset();
  const { signal } = controller;
  try {
    const reply = body.text.length > STREAMED ? await stream(body, signal) : await once(body, signal);
    if (signal.aborted) return;
    finish(reply, body, signal);
  } catch (error) {
    if (signal.aborted || error.name === "AbortError") return;
    fail(error);
  }
}

const detailed = (body) => (body.format ? body : { ...body, include: ["score", "tokens"] });

async function once(body, signal) {
  const reply = await sendJson("v1/translate", { json: detailed(body), signal });
  return { ...reply, result: reply.translations[0] };
}

async function stream(body, signal) {
  const response = await send("v1/translate", { json: { ...detailed(body), stream: true }, signal });
  let text = "";
  let result = null;
  for await (const { name, data } of events(response)) {
    if (signal.aborted) throw signal.reason;
    if (name === "delta") {
      if (!text) $("output").classList.remove("stale");
      showText((text += data.delta), body.target);
    } else if (name === "translation") result = data;
    else return { ...data, result };
  }
  throw new Error("The connection ended before the translation was complete. Try again.");
}

function finish({ result, model, timings_ms: timings }, body, signal) {
  state.result = result;
  state.last = body;
  $("output").classList.remove("stale");
  present(result, body, signal);
  $("timing").replaceChildren(`${number(timings.total)} ms`);
  if (result.source !== result.target) $("timing").append(h("span.model", {}, ` · ${model}`)); // else none was needed
  $("timing").title = `waited ${number(timings.queue, 1)} ms, computed ${number(timings.compute, 1)} ms`;
  showDetected(result);
  showWarnings(result);
  more.showRequest(body);
  for (const id of ["copy", "explain", "other"]) $(id).hidden = false;
  $("explain").hidden = $("hint").hidden = $("other").hidden = Boolean(body.format) || result.source === result.target;
  updateAddress();
  announce(result.text);
}

function present(result, body, signal) {
  const choose = (alternative) => {
    state.result = alternative;
    present(alternative, body, signal);
    announce(alternative.text);
  };
  showResult({ text: body.text, result, body, signal, choose });
}

const announce = debounce(900, (text) => ($("announce").textContent = text));

function showDetected({ detected }) {
  const auto = $("source").options[0];
  auto.textContent = detected ? `${languageName(detected.language)} (detected)` : "Detect language";
}

function showWarnings(result) {
  const found = (result.warnings ?? []).map(warningSentence);
  if (result.finish_reason === "length")
    found.push("The translation reached its limit of length. Send the text in sentences.");
  if (result.source === result.target)
    found.push(`The text is in ${languageName(result.target)} already. Choose another language at “To”.`);
  $("warnings").replaceChildren(...found.map((text) => h("li", {}, text)));
  $("warnings").hidden = !found.length;
}

function reset() {
  state.result = state.last = null;
  $("output").classList.remove("stale", "code");
  $("output").replaceChildren(h("p.placeholder", {}, "The translation appears here while you type."), examples());
  $("timing").textContent = $("announce").textContent = "";
  showDetected({});
  for (const id of ["warnings", "copy", "explain", "other", "hint"]) $(id).hidden = true;
  more.showRequest(requestBody());
  updateAddress();
}

function examples() {
  if (!state.pairs.some(({ code }) => code === "en")) return "";
  const use = (text) => {
    if ($("target").value !== "en") $("source").value = "auto";
    field.value = text;
    onText();
    run();
    field.focus();
  };
  return h(
    "div.examples",
    {},
    EXAMPLES.map((text) => h("button.small", { type: "button", lang: "en", onclick: () => use(text) }, text)),
  );
}

function fail(error) {
  showProblem($("problem"), error, run);
  $("output").replaceChildren();
  for (const id of ["warnings", "copy", "explain", "other", "hint"]) $(id).hidden = true;
  $("timing").textContent = "";
  if (error.retryAfter && error.retryAfter <= 10)
    setTimeout(() => running.signal.aborted || $("problem").hidden || run(), 1000 * error.retryAfter);
}

// Controls

function swap() {
  const { result } = state;
  const [source, target] = [$("source").value, $("target").value];
  const from = source === "auto" ? result?.source : source;
  const pair = state.pairs.find((one) => one.code === target);
  $("source").value = pair ? target : "auto";
  if (from && (!pair || pair.targets.includes(from))) $("target").value = from;
  if (result && from) field.value = result.text;
  onText();
  run();
}

const markFormat = segmented($("format"), (value) => {
  setFormat(value);
  run();
});

function setFormat(value) {
  state.format = value;
  markFormat(value);
  for (const element of [field, $("mirror")]) element.classList.toggle("code", value !== "text");
}

setFormat(state.format);
const more = extras({ changed: run, address, current, setText: (text) => ((field.value = text), onText(), run()) });

field.addEventListener("input", () => (onText(), later()));
for (const id of ["source", "target"]) $(id).addEventListener("change", run);
$("swap").addEventListener("click", swap);
$("clear").addEventListener("click", () => {
  field.value = "";
  onText();
  run();
  field.focus();
});
$("copy").addEventListener("click", () => copy($("copy"), state.result.text));
$("other").addEventListener("click", () => showAlternatives($("other")));
$("explain").addEventListener("click", () => {
  const parameters = new URLSearchParams({ from: state.result.source, to: state.result.target, text: state.last.text });
  location.hash = `why?${parameters}`;
});

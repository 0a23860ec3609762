// The view that classifies: one text with its labels as bars, or several lines as a table.

import { sendJson, showProblem } from "./api.js";
import { $, debounce, h, languageName, number, onlyOnce, percent, plural, replaceAddress } from "./dom.js";

const UNSURE = 0.5; // below this probability of the best label
const SHOWN = 5; // labels of one text
const OUTSIDE = /^(out[_ -]?of[_ -]?scope|oos|none|other|unknown)$/i;
const field = $("lines");
const ready = onlyOnce(load);
let models = [];
let running = new AbortController();

export async function show(parameters) {
  models = await ready();
  if (!models.length) return;
  if (parameters.has("text")) field.value = parameters.get("text");
  if (models.some((one) => one.name === parameters.get("model"))) $("classifier").value = parameters.get("model");
  update();
}

async function load() {
  const found = (await sendJson("v1/models")).models.filter((model) => model.task === "classify");
  $("classifier").append(...found.map(({ name }) => h("option", { value: name }, name)));
  field.disabled = !found.length;
  if (!found.length) {
    showProblem(
      $("classify-problem"),
      new Error("No classifier is served here. The view “Models” says which models are."),
    );
  }
  return found;
}

const chosen = () => models.find((model) => model.name === $("classifier").value);
const isLanguages = ({ labels }) =>
  labels.length > 1 && labels.every((label) => /^[a-z]{2,3}(-\w+)*$/.test(label) && languageName(label) !== label);

function labelText(label) {
  if (isLanguages(chosen())) return `${languageName(label)} (${label})`;
  return label.replaceAll("_", " ");
}

function update() {
  const model = chosen();
  $("classifier-note").textContent =
    `${plural(model.labels.length, "label")}${model.description ? ` · ${model.description.split(/[;:]/)[0]}` : ""}`;
  const lines = field.value.split("\n").filter((line) => line.trim());
  $("lines-count").textContent = lines.length > 1 ? plural(lines.length, "line") : "";
  $("lines-clear").hidden = !field.value;
  run(lines);
}

async function run(lines) {
  running.abort();
  const { signal } = (running = new AbortController());
  showProblem($("classify-problem"), null);
  const parameters = new URLSearchParams({ model: $("classifier").value, ...(field.value && { text: field.value }) });
  replaceAddress("classify", `#classify?${parameters}`);
  if (!lines.length) return empty();
  try {
    const json = { text: lines, model: chosen().name, top_k: Math.min(SHOWN, chosen().labels.length) };
    const reply = await sendJson("v1/classify", { json, signal });
    const results = reply.results.map(({ labels }) => labels);
    $("labels").replaceChildren(lines.length > 1 ? table(lines, results) : bars(results[0]));
    $("classify-timing").textContent = `${number(reply.timings_ms.total)} ms`;
    announce(lines.length > 1 ? `${plural(lines.length, "line")} classified` : verdict(results[0]));
  } catch (error) {
    if (signal.aborted || error.name === "AbortError") return;
    $("labels").replaceChildren();
    $("classify-timing").textContent = "";
    showProblem($("classify-problem"), error, update);
  }
}

function empty() {
  $("labels").replaceChildren(h("p.placeholder", {}, "The labels appear here while you type."));
  $("classify-timing").textContent = "";
}

const announce = debounce(900, (text) => ($("classify-announce").textContent = text));

// What the labels say, as a sentence.
function verdict([best]) {
  const share = percent(best.score);
  if (OUTSIDE.test(best.label)) return `Outside what this model knows (“${best.label}”, ${share}).`;
  if (best.score < UNSURE) return `Not sure: the best label, ${labelText(best.label)}, has only ${share}.`;
  return `${labelText(best.label)}, ${share} sure.`;
}

const doubtful = ([best]) => best.score < UNSURE || OUTSIDE.test(best.label);

function bars(labels) {
  const rows = labels.map(({ label, score }) =>
    h(
      "li",
      {},
      h("span.name", {}, labelText(label)),
      h("span.value", {}, percent(score)),
      h("span.track", { "aria-hidden": "true", vars: { share: score.toFixed(4) } }),
    ),
  );
  return h(
    "div.stack",
    {},
    h(doubtful(labels) ? "p.verdict.unsure" : "p.verdict", {}, verdict(labels)),
    h("ol.bars", { "aria-label": "Labels" }, rows),
  );
}

function table(lines, results) {
  const head = h(
    "tr",
    {},
    ["Text", "Label", "How sure"].map((text) => h("th", { scope: "col" }, text)),
  );
  const rows = results.map((labels, k) => {
    const [best, second] = labels;
    const label = h(
      "td",
      {},
      labelText(best.label),
      doubtful(labels) &&
        h(
          "span.unsure",
          {},
          OUTSIDE.test(best.label) ? "outside what it knows" : second ? `or ${labelText(second.label)}` : "not sure",
        ),
    );
    const meter = h(
      "span.meter",
      {},
      h("i", { vars: { share: best.score.toFixed(3) }, "aria-hidden": "true" }),
      percent(best.score),
    );
    return h("tr", {}, h("th", { scope: "row", dir: "auto" }, lines[k]), label, h("td", {}, meter));
  });
  return h(
    "div.scroll",
    { tabindex: 0, role: "group", "aria-label": "Labels of the lines" },
    h("table.list", {}, h("thead", {}, head), h("tbody", {}, rows)),
  );
}

const later = debounce(150, update);
field.addEventListener("input", () => (running.abort(), later()));
$("classifier").addEventListener("change", update);
$("lines-clear").addEventListener("click", () => {
  field.value = "";
  update();
  field.focus();
});

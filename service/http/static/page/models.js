// The view of the models: a card for each.

import { sendJson } from "./api.js";
import { $, h, languageName, number, plural } from "./dom.js";

const STATES = { ready: "serving", not_ready: "not ready", faulty: "faulty" };
const METRICS = { bleu: "BLEU", chrf: "chrF", accuracy: "Accuracy", macro_f1: "Macro F1" };

export async function show() {
  const { models } = await sendJson("v1/models");
  const order = (model) =>
    ["faulty", "not_ready", "translate", "classify"].indexOf(model.state === "ready" ? model.task : model.state);
  $("model-list").replaceChildren(...models.sort((a, b) => order(a) - order(b)).map(card));
  if (!models.length)
    $("model-list").append(
      h("p.quiet", {}, "No model is served. Put an artifact into the models folder and restart the service."),
    );
}

function card(model) {
  const state = h(`span.state.${model.state}`, {}, STATES[model.state] ?? model.state);
  return h(
    "article.card.stack",
    { "aria-label": model.name },
    h("div.row.between", {}, h("h2", {}, model.name), state),
    model.reason && h("p.problem", {}, `${model.reason}.`),
    model.description && h("p", {}, `${model.description.charAt(0).toUpperCase()}${model.description.slice(1)}.`),
    model.state === "faulty" ? null : facts(model),
    model.state === "faulty" ? null : figures(model),
    Object.keys(model.files).length > 0 && hashes(model.files),
  );
}

function facts(model) {
  const rows = [
    ["Task", model.task === "translate" ? "translation" : "classification"],
    ["Version", model.version],
    ["Precision", model.precision],
    model.directions.length && ["Directions", directions(model.directions)],
    model.labels.length && ["Labels", labels(model.labels)],
    ["Reads", plural(model.limits.source_length, "token")],
    model.task === "translate" && ["Writes", plural(model.limits.target_length, "token")],
    model.licence && ["Licence", model.licence],
  ];
  return h(
    "dl.facts",
    {},
    rows.filter(Boolean).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
  );
}

function directions(found) {
  const bySource = Map.groupBy ? Map.groupBy(found, (one) => one.source) : group(found);
  return h(
    "ul",
    {},
    [...bySource].map(([source, ones]) =>
      h("li", {}, `${languageName(source)} → ${ones.map((one) => languageName(one.target)).join(", ")}`),
    ),
  );
}

function group(found) {
  const groups = new Map();
  for (const one of found) groups.set(one.source, [...(groups.get(one.source) ?? []), one]);
  return groups;
}

function labels(found) {
  if (found.length <= 8) return found.join(", ");
  return h("details.inline", {}, h("summary", {}, number(found.length)), h("p.quiet", {}, found.join(", ")));
}

// The figures of the test data in the precision that is served, or else of what there is.
function figures(model) {
  const known = model.evaluation.filter(({ metric }) => METRICS[metric]);
  const best = [
    (one) => one.split.startsWith("test") && one.precision === model.precision,
    (one) => one.split.startsWith("test"),
    (one) => one.precision === model.precision,
    () => true,
  ]
    .map((test) => known.filter(test))
    .find((found) => found.length);
  if (!best) return null;
  const rows = best.map(({ split, metric, value, precision }) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, split.replace(/^(test|valid|gate) ?/, "") || split),
      h("td", {}, METRICS[metric]),
      h("td.n", {}, number(value, 1)),
      h("td", {}, precision ?? model.precision),
    ),
  );
  const head = h(
    "tr",
    {},
    ["Test", "Metric", "Value", "Precision"].map((text) => h("th", { scope: "col" }, text)),
  );
  return h(
    "div.scroll",
    { tabindex: 0, role: "group", "aria-label": `Figures of ${model.name}` },
    h("table.list", {}, h("thead", {}, head), h("tbody", {}, rows)),
  );
}

function hashes(files) {
  const rows = Object.entries(files).map(([name, hash]) => h("div", {}, h("dt", {}, name), h("dd.hash", {}, hash)));
  return h(
    "details.inline",
    {},
    h("summary", {}, `SHA-256 of ${plural(rows.length, "file")}`),
    h("dl.facts", {}, rows),
  );
}

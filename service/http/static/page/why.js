// The view that explains a translation: cross-attention as a heat map, and each word with its origin.

import { sendJson, showProblem } from "./api.js";
import { $, debounce, h, languageName, number, onlyOnce, percent, segmented } from "./dom.js";
import { current, preferred } from "./translate.js";
import { linksOf, sentencesOf, spell, warningSentence, withProbabilities, wordsOf } from "./words.js";

const EXAMPLE = "I have a big dog, and my address is info@example.com.";
const VALUES_IN_CELLS = 24; // columns; in a wider map the squares are too small for numbers
const field = $("why-text");
let running = new AbortController();
const pairs = onlyOnce(loadPairs);
let sentence = "";
let map = null; // { source, target, weights } of the shown sentence
let values = "relative";

export async function show(parameters) {
  if (!(await pairs()).length) return;
  const given = parameters.get("text") ? Object.fromEntries(parameters) : current();
  const text = given.text || field.value || EXAMPLE;
  if (text !== field.value) {
    field.value = text;
    select($("why-source"), given.from ?? given.source);
    select($("why-target"), given.to ?? given.target);
  }
  run();
}

async function loadPairs() {
  const found = await sendJson("languages");
  const option = (code) => h("option", { value: code }, languageName(code));
  $("why-source").append(...found.map(({ code }) => option(code)));
  const targets = [...new Set(found.flatMap((one) => one.targets))];
  $("why-target").append(...targets.sort((a, b) => languageName(a).localeCompare(languageName(b))).map(option));
  $("why-target").value = preferred(targets);
  if (!found.length)
    showProblem($("why-problem"), new Error("No translator is served here. The view “Models” says which models are."));
  return found;
}

function select(element, value) {
  if (value && [...element.options].some((one) => one.value === value)) element.value = value;
}

async function run() {
  running.abort();
  const { signal } = (running = new AbortController());
  const found = sentencesOf(field.value);
  showSentences(found);
  showProblem($("why-problem"), null);
  if (!sentence) {
    $("why-result").hidden = true;
    return;
  }
  try {
    await explain(signal);
  } catch (error) {
    if (signal.aborted || error.name === "AbortError") return;
    $("why-result").hidden = true;
    showProblem($("why-problem"), error, run);
  }
}

function showSentences(found) {
  if (!found.includes(sentence)) sentence = found[0] ?? "";
  $("why-sentences").hidden = found.length < 2;
  $("why-sentences").replaceChildren(
    ...found.slice(0, 20).map((text) => {
      const pick = () => ((sentence = text), run());
      return h(
        "button.small.sentence",
        { type: "button", "aria-pressed": text === sentence ? "true" : "false", onclick: pick },
        text,
      );
    }),
  );
}

async function explain(signal) {
  const source = $("why-source").value;
  const asked = {
    text: sentence,
    target: $("why-target").value,
    ...(source !== "auto" && { source }),
    include: ["score", "tokens", "alignment"],
  };
  const reply = await sendJson("v1/translate", { json: asked, signal });
  const [result] = reply.translations;
  $("why-result").hidden = false;
  $("why-translation").textContent = result.text;
  $("why-translation").lang = result.target;
  showWords(result);
  map = await attention(result, signal);
  if (signal.aborted) return;
  $("why-summary").textContent = summary(reply, result);
  drawMap();
}

function summary({ model, usage, timings_ms: timings }, result) {
  if (result.source === result.target) return `The text is in ${languageName(result.target)} already.`;
  const parts = [`${languageName(result.source)} to ${languageName(result.target)} by ${model}`];
  if (result.score !== undefined) parts.push(`${percent(Math.exp(result.score))} sure per token`);
  parts.push(`${usage.source_tokens} tokens read, ${usage.target_tokens} written`, `${number(timings.total)} ms`);
  const texts = [`${parts.join(" · ")}.`];
  // In one step, every token that was written beyond those of the answer belongs to another try.
  const again = !map.problem && usage.target_tokens > (result.tokens?.length ?? Infinity);
  if (again) texts.push("The first try looked wrong, so the sentence was translated again.");
  return [...texts, ...(result.warnings ?? []).map(warningSentence)].join(" ");
}

async function attention(result, signal) {
  if (result.source === result.target) return { problem: "Nothing was translated. Choose another language at “To”." };
  const json = {
    text: sentence,
    translation: result.text,
    source: result.source,
    target: result.target,
    include: ["attention"],
  };
  try {
    const [score] = (await sendJson("v1/score", { json, signal })).scores;
    return score.attention ?? { problem: "This model has no cross-attention." };
  } catch (error) {
    if (error.code !== "unknown_model") throw error;
    return {
      problem: `No model translates ${languageName(result.source)} to ${languageName(result.target)} in one step, so there is no single map. Choose a direction to or from English to see one.`,
    };
  }
}

// The heat map

function drawMap() {
  const table = $("map");
  table.replaceChildren();
  for (const id of ["map-readout", "map-values", "map-scale"]) $(id).hidden = Boolean(map.problem);
  if (map.problem) {
    $("map-note").textContent = map.problem;
    return;
  }
  $("map-note").textContent =
    values === "raw"
      ? "How much each token of the translation (rows) attends to each token of the text (columns); a row adds up to 100."
      : "Each value is divided by how much its column is attended to on average, which removes tokens that are always looked at. By these values words are aligned; rows are scaled to their highest.";
  const [source, target] = [map.source, map.target].map((tokens) => spell(tokens).map((text) => text.trim() || "␣"));
  const shown = values === "raw" ? map.weights : relative(map.weights);
  const numbers = source.length <= VALUES_IN_CELLS;
  table.classList.toggle("numbers", numbers);
  const head = h(
    "tr",
    {},
    h("th", { scope: "col" }, h("span.offscreen", {}, "Token")),
    source.map((text) => h("th", { scope: "col" }, h("span", {}, text))),
  );
  table.append(h("thead", {}, head));
  table.append(
    h(
      "tbody",
      {},
      target.map((text, t) =>
        h(
          "tr",
          {},
          h("th", { scope: "row" }, text),
          source.map((_, s) => cell(shown[t][s], s, t)),
        ),
      ),
    ),
  );
  const read = (event) => {
    const at = event.target.closest("td");
    if (!at) return;
    const value = `${number(100 * map.weights[at.t][at.s], 1)} %`;
    $("map-readout").textContent = `“${target[at.t]}” attends to “${source[at.s]}” with ${value}.`;
  };
  table.onpointerover = table.onclick = read;
}

function cell(value, s, t) {
  const element = h("td", { vars: { value: value.toFixed(3) } }, number(100 * value));
  // Where black and white are equally well read on the square's colour, in a dark and in a light page.
  if (value >= 0.59) element.className = value >= 0.93 ? "high" : "middle";
  return Object.assign(element, { s, t });
}

function relative(weights) {
  const means = weights[0].map((_, s) => weights.reduce((sum, row) => sum + row[s], 0) / weights.length);
  return weights.map((row) => {
    const scaled = row.map((value, s) => value / Math.max(means[s], 1e-9));
    const most = Math.max(...scaled);
    return scaled.map((value) => value / most);
  });
}

const setValues = segmented($("map-values"), (value) => {
  values = value;
  drawMap();
});
setValues(values);

// The words

function showWords(result) {
  $("why-words-card").hidden = !result.tokens?.length; // as where nothing was translated
  const words = result.tokens ? withProbabilities(wordsOf(result.text), result.tokens, result.text) : [];
  const links = linksOf(result.alignment ?? [], sentence, result.text);
  const rows = words.map((word) => {
    const origins = links.filter(({ target: [start, end] }) => start < word.end && end > word.start);
    const from = [...new Set(origins.map(({ source }) => sentence.slice(...source)))].join(" ");
    return h(
      "tr",
      {},
      h("th", { scope: "row" }, h("bdi", {}, word.text)),
      h("td", {}, h("bdi", {}, from || "–"), note(word, from)),
      h("td", {}, sure(word)),
    );
  });
  const head = h(
    "tr",
    {},
    ["Word", "Comes from", "How sure"].map((text) => h("th", { scope: "col" }, text)),
  );
  $("why-words").replaceChildren(h("thead", {}, head), h("tbody", {}, rows));
}

const sure = (word) =>
  word.held
    ? "–"
    : h(
        "span.meter",
        {},
        h("i", { vars: { share: word.probability.toFixed(3) }, "aria-hidden": "true" }),
        percent(word.probability),
      );

function note(word, from) {
  const copied = from && from.toLowerCase() === word.text.toLowerCase();
  return (word.held || copied) && h("span.note", {}, word.held ? " · held" : " · copied");
}

field.addEventListener("input", debounce(250, run));
for (const id of ["why-source", "why-target"]) $(id).addEventListener("change", run);

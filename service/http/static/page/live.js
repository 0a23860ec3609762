// The view of the running service: its own metrics as charts, and its batches as a picture.

import { BASE, sendJson, showProblem } from "./api.js";
import { batchView } from "./batch.js";
import { chart } from "./charts.js";
import { $, h, number } from "./dom.js";

const WINDOW = 10; // seconds of requests that the response times are of
const RETRY = 3000; // milliseconds
const CHARTS = {
  requests: chart("Requests", "a second", [""], (value) => number(value, value < 10 ? 1 : 0)),
  tokens: chart("Tokens written", "a second", [""], (value) => number(value)),
  rows: chart("Rows per step", "", [""], (value) => number(value, 1)),
  waiting: chart("Waiting sentences", "", [""], (value) => number(value)),
  latency: chart("Response time", "ms", ["p50", "p95"], (value) => number(value)),
  refused: chart("Refused", "a second", [""], (value) => number(value, value < 10 ? 1 : 0)),
};
const batches = batchView($("batches"));
let source = null;
let timer = 0;
let history = []; // figures of the last seconds
let drawn = false;

export async function show() {
  if (!drawn) $("charts").append(...Object.values(CHARTS).map(({ element }) => element));
  drawn = true;
  connect();
}

export function hide() {
  clearTimeout(timer);
  source?.close();
  source = null;
  batches.stop();
}

// The browser's own reconnecting gives up when the service answers with an error, as it does while it restarts.
function connect() {
  source?.close();
  source = new EventSource(new URL("metrics/live", BASE));
  source.addEventListener("open", () => {
    $("live-state").textContent = "Connected";
    showProblem($("live-problem"), null);
    history = [];
  });
  source.addEventListener("figures", ({ data }) => onFigures(JSON.parse(data)));
  source.addEventListener("batches", ({ data }) => batches.add(JSON.parse(data)));
  source.addEventListener("error", (event) => {
    if (event.data) return; // the service's last word before it stops
    source.close();
    $("live-state").textContent = "Not connected";
    showProblem(
      $("live-problem"),
      new Error(
        "The live figures do not arrive: the service stops, does not answer, or eight viewers watch it already. The page tries again every three seconds.",
      ),
    );
    timer = setTimeout(connect, RETRY);
  });
}

function onFigures(now) {
  const before = history.at(-1);
  history = [...history, now].filter((one) => one.time >= now.time - WINDOW);
  if (!before) return;
  const seconds = now.time - before.time;
  const rate = (name) => (now[name] - before[name]) / seconds;
  const steps = now.steps - before.steps;
  CHARTS.requests.push([rate("requests")]);
  CHARTS.tokens.push([rate("tokens")]);
  CHARTS.rows.push([steps ? (now.rows - before.rows) / steps : null]);
  CHARTS.waiting.push([now.waiting]);
  CHARTS.latency.push([0.5, 0.95].map((share) => quantile(history[0], now, share)));
  CHARTS.refused.push([rate("refused")]);
}

// A quantile of the times of the requests between two moments in milliseconds, interpolated in its bucket.
function quantile(before, now, share) {
  const rank = share * (now.answered - before.answered);
  if (!rank) return null;
  let [low, below] = [0, 0];
  for (const [k, [bound, count]] of now.latency.entries()) {
    const within = count - (before.latency[k]?.[1] ?? 0);
    if (within >= rank) return 1000 * (low + ((rank - below) / (within - below)) * (bound - low));
    [low, below] = [bound, within];
  }
  return 1000 * low;
}

// 64 sentences of different lengths, in requests of eight that follow each other, so that rows join a running batch.

const BEGINNINGS = [
  "Good morning",
  "I have a big dog",
  "Where is the station",
  "She reads a book",
  "We are looking for a hotel",
  "It is late",
  "My brother lives in London",
  "The train leaves at eight",
];
const ENDINGS = [
  "",
  " today",
  " and I am very happy about it",
  " but nobody told me",
  " because the weather is nice and the children want to play outside",
  " now",
  " with my friends",
  " again, as I have said many times before",
];

async function burst() {
  const button = $("burst");
  button.disabled = true;
  $("burst-state").textContent = "Sending 64 sentences …";
  try {
    const pairs = await sendJson("languages");
    const pair = pairs.find((one) => one.code === "en") ?? pairs[0];
    if (!pair) throw new Error("No translator is served here.");
    const texts = ENDINGS.map((ending, k) =>
      BEGINNINGS.map((beginning, j) => `${beginning}${ENDINGS[(j + k) % 8] || ending}.`),
    );
    const started = performance.now();
    await Promise.all(
      texts.map((text) => sendJson("v1/translate", { json: { text, source: pair.code, target: pair.targets[0] } })),
    );
    const milliseconds = performance.now() - started;
    $("burst-state").textContent =
      `64 sentences in ${number(milliseconds)} ms: ${number(64_000 / milliseconds)} a second.`;
  } catch (error) {
    $("burst-state").replaceChildren(h("span.unsure", {}, error.message));
  }
  button.disabled = false;
}

$("burst").addEventListener("click", burst);

// A figure with a small line chart of its last minute.

import { h, svg } from "./dom.js";

const POINTS = 60;
const [WIDTH, HEIGHT] = [240, 56];

// `series` has a name per line (one unnamed line: [""]); `push([numbers])` adds a point to each, null for no value.
export function chart(title, unit, series, format) {
  const lines = series.map((_, k) =>
    svg("path", { class: `line series-${k + 1}`, "vector-effect": "non-scaling-stroke" }),
  );
  const area = svg("path", { class: "area" });
  const texts = series.map((name) => ({ name, value: h("b", {}, "–") }));
  const top = h("span.quiet.top-value", { "aria-hidden": "true" });
  const data = series.map(() => Array(POINTS).fill(null));
  const element = h(
    "figure.card.chart",
    {},
    h("figcaption", {}, title),
    h(
      "p.values",
      {},
      texts.map(({ name, value }, k) =>
        h(
          "span",
          {},
          name && h(`i.key.series-${k + 1}`, { "aria-hidden": "true" }),
          name && `${name} `,
          value,
          h("small", {}, ` ${unit}`),
        ),
      ),
    ),
    h(
      "div.plot",
      {},
      top,
      svg(
        "svg",
        { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" },
        area,
        ...lines,
      ),
    ),
  );
  const push = (values) => {
    values.forEach((value, k) => {
      data[k].push(value);
      data[k].shift();
      texts[k].value.textContent = value === null ? "–" : format(value);
    });
    const most = Math.max(...data.flat().filter((value) => value !== null), 0);
    const high = ceiling(most);
    top.textContent = most ? format(high) : "";
    lines.forEach((line, k) => line.setAttribute("d", path(data[k], high)));
    area.setAttribute(
      "d",
      series.length === 1 && !data[0].slice(data[0].findIndex((one) => one !== null)).includes(null)
        ? closed(data[0], high)
        : "",
    );
  };
  return { element, push };
}

// The next round number: 1, 2 or 5 times a power of ten.
function ceiling(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].find((one) => one * power >= value) * power;
}

const x = (k) => ((k / (POINTS - 1)) * WIDTH).toFixed(1);
const y = (value, high) => (HEIGHT - 1 - (value / high) * (HEIGHT - 3)).toFixed(1);

function path(values, high) {
  let drawn = "";
  values.forEach((value, k) => {
    if (value === null) return;
    drawn += `${k && values[k - 1] !== null ? "L" : "M"}${x(k)} ${y(value, high)}`;
    if ((values[k - 1] ?? null) === null && (values[k + 1] ?? null) === null) drawn += "m-1.5 0h3"; // a point of its own
  });
  return drawn;
}

function closed(values, high) {
  const first = values.findIndex((value) => value !== null);
  return first < 0 ? "" : `${path(values, high)}L${WIDTH} ${HEIGHT}L${x(first)} ${HEIGHT}Z`;
}

// The picture of the running batches: rows that join, grow and leave, step by step and in slow motion.

import { h, plural } from "./dom.js";

const [JOINED, STEP] = [0, 1]; // service/api/live/trace.py has the events
const SPEED = 30; // steps a second, unless the service is far ahead
const BEHIND = 600; // steps; more are shown faster
const [CELL_Y, MAX_SLOTS] = [7, 96];
const still = matchMedia("(prefers-reduced-motion: reduce)");

// Shows the batches of all workers in `container`. `add({ POOL: [events] })` takes what happened.
export function batchView(container) {
  const pending = []; // [pool, event]
  const lanes = new Map(); // by pool and worker
  const rows = new Map(); // by pool and row: { lane, slots, from, to }
  let ahead = 0; // steps in `pending`
  let frame = 0;
  let last = 0;
  let due = 0;

  container.append(h("p.placeholder", {}, "Nothing is running. Send 64 sentences to see the batch at work."));

  function lane(pool, worker) {
    const key = `${pool} ${worker}`;
    if (!lanes.has(key)) {
      container.querySelector(".placeholder")?.remove();
      lanes.set(key, makeLane(container, pool, worker));
    }
    return lanes.get(key);
  }

  function apply([pool, event]) {
    const [kind, first, row, , width] = event;
    if (kind === STEP) lane(pool, first).step += 1;
    else if (kind === JOINED) join(lane(pool, first), `${pool} ${row}`, width);
    else leave(`${pool} ${first}`);
  }

  function join(where, key, width) {
    const slots = [];
    for (let slot = 0; slots.length < width; slot++) if (!where.used.has(slot)) slots.push(slot);
    for (const slot of slots) where.used.add(slot);
    const bar = { slots, from: where.step, to: null };
    where.bars.push(bar);
    rows.set(key, { where, bar });
  }

  function leave(key) {
    const found = rows.get(key);
    if (!found) return;
    rows.delete(key);
    found.bar.to = found.where.step;
    for (const slot of found.bar.slots) found.where.used.delete(slot);
  }

  function play(now) {
    const seconds = Math.min(0.1, (now - last) / 1000);
    last = now;
    due += still.matches ? Infinity : seconds * Math.max(SPEED, ahead > BEHIND ? ahead / 2 : 0);
    let played = 0;
    while (pending.length && due >= 1) {
      const next = pending.shift();
      apply(next);
      if (next[1][0] === STEP) {
        ahead -= 1;
        due -= 1;
        played += 1;
      }
    }
    while (pending.length && pending[0][1][0] !== STEP) apply(pending.shift());
    if (!Number.isFinite(due)) due = 0;
    if (played) for (const one of lanes.values()) draw(one);
    frame = pending.length ? requestAnimationFrame(play) : 0;
    if (!frame) for (const one of lanes.values()) draw(one);
  }

  function add(batches) {
    for (const [pool, events] of Object.entries(batches)) {
      for (const event of events) {
        pending.push([pool, event]);
        if (event[0] === STEP) ahead += 1;
      }
    }
    if (!frame) {
      last = performance.now();
      due = 0;
      frame = requestAnimationFrame(play);
    }
  }

  const redraw = () => lanes.forEach((one) => draw(one));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  new ResizeObserver(redraw).observe(container);
  const stop = () => {
    cancelAnimationFrame(frame);
    frame = ahead = 0;
    pending.length = 0;
    for (const key of [...rows.keys()]) leave(key);
  };
  return { add, stop };
}

function makeLane(container, pool, worker) {
  const text = h("span.quiet", {});
  const canvas = h("canvas", { role: "img" });
  container.append(
    h("div.lane", { vars: { order: worker } }, h("h3", {}, `${pool}, worker ${worker + 1}`), text, canvas),
  );
  return { canvas, text, used: new Set(), bars: [], step: 0 };
}

function draw(one) {
  const width = Math.max(120, one.canvas.parentElement.clientWidth);
  const cell = width < 560 ? 5 : 9;
  const columns = Math.floor(width / cell);
  const first = Math.max(0, one.step - columns);
  one.bars = one.bars.filter((bar) => bar.to === null || bar.to >= first);
  const slots = Math.min(MAX_SLOTS, 1 + Math.max(7, ...one.bars.map((bar) => Math.max(...bar.slots))));
  const height = slots * CELL_Y + 2;
  const scale = devicePixelRatio;
  Object.assign(one.canvas, { width: width * scale, height: height * scale });
  one.canvas.style.width = `${width}px`;
  one.canvas.style.height = `${height}px`;
  const pen = one.canvas.getContext("2d");
  const colours = getComputedStyle(one.canvas);
  const colour = (name) => colours.getPropertyValue(`--${name}`);
  pen.scale(scale, scale);
  pen.fillStyle = colour("sunken");
  pen.fillRect(0, 0, width, height);
  for (const bar of one.bars) {
    const from = Math.max(bar.from, first);
    const to = bar.to ?? one.step;
    for (const slot of bar.slots) {
      const [x, y, w] = [(from - first) * cell, slot * CELL_Y + 2, Math.max(2, (to - from) * cell - 2)];
      pen.fillStyle = colour(bar.to === null ? "series-1" : "done");
      pen.fillRect(x, y, w, CELL_Y - 2);
      if (bar.from >= first) {
        pen.fillStyle = colour("series-2");
        pen.fillRect(x, y, 4, CELL_Y - 2);
      }
    }
  }
  const running = one.bars.filter((bar) => bar.to === null).length;
  one.text.textContent = `${plural(running, "row")} running, step ${one.step}`;
  one.canvas.setAttribute(
    "aria-label",
    `The last ${plural(Math.min(columns, one.step), "step")}: ${plural(running, "row")} running, ${plural(one.bars.length - running, "row")} done`,
  );
}

// Glossary, documents, and the request as a program: what the translation view has below the text.

import { BASE, Problem, hasKey, headers, send, sendJson, showProblem } from "./api.js";
import { $, copy, debounce, h, number, plural, segmented } from "./dom.js";
import { programs } from "./programs.js";

const MAX_TERMS = 200;

// `changed()` is called when the glossary has changed, `setText(text)` when a plain text was dropped.
export function extras({ changed, address, current, setText }) {
  const glossary = glossaryEditor(changed);
  documents(current, setText);
  return { ...glossary, showRequest: requestView(address) };
}

function glossaryEditor(changed) {
  const later = debounce(300, changed);
  const rows = () => [...$("terms").children];
  const pair = (row) => [...row.querySelectorAll("input")].map((input) => input.value.trim());
  const terms = () =>
    Object.fromEntries(
      rows()
        .map(pair)
        .filter(([term, translation]) => term && translation),
    );
  const update = () => {
    const count = Object.keys(terms()).length;
    $("glossary-count").textContent = count ? plural(count, "term") : "";
    $("add-term").disabled = rows().length >= MAX_TERMS;
  };
  const add = ([term, translation]) => {
    const input = (label, value) => {
      const element = h("input", {
        type: "text",
        maxlength: 100,
        "aria-label": label,
        placeholder: label,
        oninput: () => (update(), later()),
      });
      element.value = value;
      return element;
    };
    const remove = () => {
      row.remove();
      update();
      later();
      $("add-term").focus();
    };
    const row = h(
      "div.term",
      {},
      input("Term", term),
      h("span", { "aria-hidden": "true" }, "→"),
      input("Translation", translation),
      h(
        "button.plain",
        { type: "button", "aria-label": "Remove this term", title: "Remove this term", onclick: remove },
        "×",
      ),
    );
    $("terms").append(row);
    update();
    return row;
  };
  $("add-term").addEventListener("click", () => add(["", ""]).querySelector("input").focus());
  const setTerms = (pairs) => {
    $("terms").replaceChildren();
    pairs.slice(0, MAX_TERMS).forEach(add);
    if (pairs.length) $("glossary").open = true;
    update();
  };
  return { terms, setTerms };
}

function requestView(address) {
  let body = null;
  let program = "curl";
  const write = () => {
    if (body)
      $("snippet").textContent = programs[program]({ url: new URL("v1/translate", BASE).href, body, key: hasKey() });
  };
  segmented($("program"), (value) => ((program = value), write()))(program);
  $("copy-request").addEventListener("click", () => copy($("copy-request"), $("snippet").textContent));
  $("copy-link").addEventListener("click", () => copy($("copy-link"), new URL(address(), BASE).href));
  return (next) => {
    body = next;
    write();
  };
}

function documents(current, setText) {
  let formats = [];
  let running = null;
  const state = $("document-state");
  const pane = $("source-pane");

  const show = async () => {
    if (formats.length) return;
    try {
      formats = (await sendJson("frontend/settings")).supportedFilesFormat;
      $("file").accept = formats.join(",");
      $("formats").textContent = `A document keeps its format: ${formats.map((one) => one.slice(1)).join(", ")}.`;
    } catch (error) {
      showProblem(state, error, show);
    }
  };
  $("document").addEventListener("toggle", show);

  const say = (...content) => {
    showProblem(state, null);
    state.hidden = false;
    state.append(h("p", {}, ...content));
  };

  async function translate(file) {
    running?.abort();
    const { signal } = (running = new AbortController());
    const { source, target } = current();
    const form = new FormData();
    form.append("source", source);
    form.append("target", target);
    form.append("file", file);
    say(h("span.busy", { "aria-hidden": "true" }), `Translating ${file.name} (${size(file.size)}) …`);
    $("cancel-document").hidden = false;
    try {
      const reply = await (await send("translate_file", { body: form, signal })).json();
      // The path alone: behind a proxy the service may know itself under another name.
      const { pathname } = new URL(reply.translatedFileUrl);
      const path = pathname.slice(pathname.indexOf("download_file/"));
      const link = h(
        "a.button",
        { href: "#", onclick: (event) => download(event, path, translatedName(file.name, target)) },
        "Download the translation",
      );
      say(`${file.name} is translated. `, link);
    } catch (error) {
      if (error.name === "AbortError") say(`Cancelled: ${file.name}.`);
      else showProblem(state, error, () => translate(file));
    }
    if (running?.signal === signal) $("cancel-document").hidden = true;
  }

  async function download(event, path, name) {
    event.preventDefault();
    try {
      const response = await fetch(new URL(path, BASE), { headers: headers() });
      if (!response.ok) throw new Problem("The document is no longer there. Translate it again.");
      const url = URL.createObjectURL(await response.blob());
      h("a", { href: url, download: name }).click();
      setTimeout(() => URL.revokeObjectURL(url), 10_000);
    } catch (error) {
      showProblem(state, error);
    }
  }

  $("cancel-document").addEventListener("click", () => running?.abort());
  $("file").addEventListener("change", () => {
    const [file] = $("file").files;
    $("file").value = "";
    if (file) translate(file);
  });
  pane.addEventListener("dragover", (event) => {
    if (![...event.dataTransfer.types].includes("Files")) return;
    event.preventDefault();
    pane.classList.add("drop");
  });
  pane.addEventListener("dragleave", () => pane.classList.remove("drop"));
  pane.addEventListener("drop", async (event) => {
    const [file] = event.dataTransfer.files;
    pane.classList.remove("drop");
    if (!file) return;
    event.preventDefault();
    if (file.name.endsWith(".txt") && file.size < 20_000) return setText(await file.text());
    $("document").open = true;
    translate(file);
  });
}

const size = (bytes) => (bytes < 1e6 ? `${number(bytes / 1e3, 1)} kB` : `${number(bytes / 1e6, 1)} MB`);

const translatedName = (name, target) => name.replace(/(\.[^.]*)?$/, (ending) => `.${target}${ending}`);

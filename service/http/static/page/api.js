// Requests to the service, with the API key of this tab; errors become sentences with a remedy.

import { $, h } from "./dom.js";

const KEY = "attendant-key";
// Relative to the page, so that it also works below a path of a reverse proxy.
export const BASE = new URL(".", document.baseURI);

export class Problem extends Error {
  constructor(message, { status = 0, code = "", retryAfter = 0 } = {}) {
    super(message);
    Object.assign(this, { status, code, retryAfter });
  }
}

export const hasKey = () => sessionStorage.getItem(KEY) !== null;

export function headers(extra = {}) {
  const key = sessionStorage.getItem(KEY);
  return key ? { ...extra, Authorization: `Bearer ${key}` } : extra;
}

// Send a request; ask for a key and try again where one is needed. Throws a Problem, or an AbortError.
export async function send(path, { json, body, signal, method = json || body ? "POST" : "GET" } = {}) {
  const content = json ? { "Content-Type": "application/json" } : {};
  for (;;) {
    let response;
    try {
      response = await fetch(new URL(path, BASE), {
        method,
        headers: headers(content),
        body: json ? JSON.stringify(json) : body,
        signal,
      });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Problem(`The service at ${BASE.host} does not answer. Check that it runs, then try again.`);
    }
    if (response.ok) return response;
    const problem = await readProblem(response);
    if (!needsKey(problem)) throw problem;
    await askForKey(problem.message);
    signal?.throwIfAborted();
  }
}

export const sendJson = async (path, options) => (await send(path, options)).json();

// Yield the events of a response that is a stream of server-sent events.
export async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    let end;
    while ((end = text.indexOf("\n\n")) >= 0) {
      const lines = text.slice(0, end).split("\n");
      text = text.slice(end + 2);
      const field = (name) =>
        lines.filter((line) => line.startsWith(`${name}: `)).map((line) => line.slice(name.length + 2));
      const data = JSON.parse(field("data").join("\n"));
      const name = field("event")[0];
      if (name === "error") throw problemOf(data, data.status, 0);
      yield { name, data };
    }
  }
}

// LibreTranslate's paths, which take documents, have other statuses and words for a missing and an unknown key.
const needsKey = ({ status, message }) =>
  status === 401 || (status < 404 && /^(Please contact .* API key|Invalid API key)/.test(message));

async function readProblem(response) {
  const retryAfter = Number(response.headers.get("Retry-After")) || 0;
  let body = {};
  try {
    body = JSON.parse(await response.text());
  } catch {
    // a proxy's page, for one
  }
  return problemOf(body, response.status, retryAfter);
}

function problemOf(body, status, retryAfter) {
  const detail = body.detail ?? body.error ?? body.message;
  const text = typeof detail === "string" && detail ? detail : `the service answered with status ${status}`;
  return new Problem(sentence(text, body.title, retryAfter), { status, code: body.code, retryAfter });
}

// "text 0 has 9 characters; at most 5 are accepted: split it" -> "Too large: text 0 has 9 ... split it."
function sentence(detail, title, retryAfter) {
  const upper = (text) => text.charAt(0).toUpperCase() + text.slice(1);
  const text = title ? `${title}: ${detail}` : upper(detail);
  const end = /[.!?]$/.test(text) ? "" : ".";
  return text + end + (retryAfter && !/try again/i.test(text) ? ` Try again in ${retryAfter} s.` : "");
}

let asking = null;

// Ask for the API key of this service; it stays in this tab's session storage.
export function askForKey(reason = "") {
  asking ??= new Promise((resolve, reject) => {
    const dialog = $("key-dialog");
    const field = $("key-field");
    $("key-reason").textContent = hasKey() ? reason : "This service answers only with an API key.";
    field.value = "";
    dialog.returnValue = "";
    dialog.addEventListener(
      "close",
      () => {
        asking = null;
        if (dialog.returnValue !== "use" || !field.value.trim()) {
          reject(new Problem("An API key is needed. Choose “API key” at the top to give one.", { status: 401 }));
          return;
        }
        sessionStorage.setItem(KEY, field.value.trim());
        field.value = "";
        $("key-button").hidden = false;
        resolve();
      },
      { once: true },
    );
    dialog.showModal();
  });
  return asking;
}

export function forgetKey() {
  sessionStorage.removeItem(KEY);
}

// Statuses of requests that may be accepted another time, or with a key; the others stay wrong however often they are sent.
const AGAIN = [401, 403, 408, 425, 429];
const mayPass = ({ status = 0 }) => status < 400 || status >= 500 || AGAIN.includes(status);

// Show a problem in a container, with a button to try again where that can help; null clears it.
export function showProblem(container, problem, retry) {
  container.hidden = !problem;
  container.classList.toggle("problem", Boolean(problem));
  container.replaceChildren();
  if (!problem) return;
  container.append(h("p", {}, problem.message));
  if (retry && mayPass(problem)) container.append(h("button.small", { type: "button", onclick: retry }, "Try again"));
}

// Asks the service. Where it wants a key, the person is asked for one, once, and the question waits.

import { byId, explains } from "./dom.js";

const KEPT = "churn-api-key";
const form = byId("key");
const input = byId("key-input");
let asking = null;

/** An answer other than 200: `problem` is the problem document, as far as there is one. */
export class Refusal extends Error {
  constructor(status, problem) {
    super(problem.detail || `The service answered ${status}.`);
    this.status = status;
    this.errors = problem.errors || [];
    this.id = problem.request_id;
  }
}

/** Return the service's estimate for one customer. */
export async function estimate(customer, signal) {
  return (await sent(JSON.stringify(customer), "application/json", signal)).json();
}

/** Return the CSV with the service's columns added. */
export async function scored(csv, signal) {
  return (await sent(csv, "text/csv", signal)).text();
}

async function sent(body, type, signal) {
  for (;;) {
    const headers = { "Content-Type": type, Accept: "application/json, text/csv" };
    const key = sessionStorage.getItem(KEPT);
    if (key) headers["X-API-Key"] = key;
    let response;
    try {
      response = await fetch(explains ? "predict?explain=true" : "predict", { method: "POST", headers, body, signal });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Refusal(0, { detail: "The service can't be reached. Is this computer still connected to it?" });
    }
    if (response.ok) return response;
    if (response.status !== 401) throw new Refusal(response.status, await response.json().catch(() => ({})));
    await keyGiven(key, signal);
  }
}

/** Resolve when the person has given another key than `refused`. */
function keyGiven(refused, signal) {
  if (sessionStorage.getItem(KEPT) !== refused) return Promise.resolve();
  asking ||= new Promise((resolve) => {
    byId("key-title").textContent = refused ? "The service refused this key" : "This service asks for a key";
    input.toggleAttribute("aria-invalid", Boolean(refused));
    form.hidden = false;
    form.scrollIntoView({ block: "nearest" });
    if (refused) input.select();
    input.focus();
    form.onsubmit = (event) => {
      event.preventDefault();
      sessionStorage.setItem(KEPT, input.value.trim());
      form.hidden = true;
      asking = null;
      resolve();
    };
  });
  return Promise.race([asking, new Promise((_, reject) => {
    const stop = () => reject(new DOMException("stopped", "AbortError"));
    if (signal?.aborted) stop();
    signal?.addEventListener("abort", stop);
  })]);
}

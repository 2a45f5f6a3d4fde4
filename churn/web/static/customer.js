// The first tab: a form that answers at once. The form is the model's schema; all is read from it.

import { byId, make, normalise } from "./dom.js";
import { estimate } from "./service.js";
import { told, refused } from "./answer.js";

const form = byId("customer");

/** The fields, by name: each with its control, its words, and where its problems are shown. */
export const fields = new Map(
  [...form.querySelectorAll(".field")].map((box) => {
    const control = box.querySelector("select, input");
    const label = box.querySelector("label").firstChild.textContent.trim();
    return [box.dataset.field, { name: box.dataset.field, box, control, label, slider: box.querySelector(".slider") }];
  }),
);

const together = JSON.parse(byId("never-together").textContent);

let waiting = 0;
let question = new AbortController();
let before = null;

/** Return what a value is called: `one_year` is "One year". */
export function worded(name, value) {
  const control = fields.get(name)?.control;
  const option = control?.options && [...control.options].find((each) => each.value === String(value));
  if (option) return option.text;
  return typeof value === "number" ? value.toLocaleString("en", { maximumFractionDigits: 2 }) : String(value);
}

export const labelled = (name) => fields.get(name)?.label ?? name;

/** Return the customer in the form, as the service is asked. */
export function customer() {
  return Object.fromEntries([...fields.values()].map(({ name, control }) => [name, control.value.trim()]));
}

/** Put a customer in the form, whatever the spelling of its fields and values, and ask. */
export function show(record) {
  const given = new Map(Object.entries(record).map(([name, value]) => [normalise(name), value]));
  for (const field of fields.values()) {
    const value = given.get(normalise(field.name));
    if (value !== undefined) put(field, String(value));
  }
  ask();
}

function put({ control, slider }, text) {
  if (control.options) {
    const wanted = [...control.options].find((each) => each.value === text)
      || [...control.options].find((each) => normalise(each.value) === normalise(text))
      || [...control.options].find((each) => each.value === "missing" && !text.trim());
    if (wanted) control.value = wanted.value;
  } else {
    control.value = text;
    if (slider) slider.value = text;
  }
}

/** Change fields as advised; `undo` takes it back. */
export function apply(changes) {
  before = customer();
  for (const [name, value] of Object.entries(changes)) {
    const field = fields.get(name);
    put(field, String(value));
    field.box.classList.remove("changed");
    void field.box.offsetWidth; // starts the highlight again
    field.box.classList.add("changed");
  }
  const words = Object.entries(changes).map(([name, value]) => `${labelled(name)} is now ${worded(name, value)}.`);
  byId("undo-words").textContent = words.join(" ");
  byId("undone").hidden = false;
  byId("answer-title").focus({ preventScroll: true });
  ask();
}

export function begin() {
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", (event) => {
    const field = fields.get(event.target.closest(".field").dataset.field);
    if (event.target === field.slider) field.control.value = rounded(field.slider);
    else if (field.slider) field.slider.value = field.control.value;
    byId("undone").hidden = true;
    ask(event.target.matches("select") ? 0 : 150);
  });
  byId("reset").addEventListener("click", () => {
    form.reset();
    byId("undone").hidden = true;
    ask();
  });
  byId("undo").addEventListener("click", () => {
    byId("undone").hidden = true;
    byId("answer-title").focus({ preventScroll: true });
    show(before);
  });
  ask();
}

/** A slider's value with no more digits than the range deserves. */
function rounded(slider) {
  const [low, high, value] = [slider.min, slider.max, slider.value].map(Number);
  if (slider.step !== "any" || value === low || value === high) return slider.value;
  return String(Number(value.toFixed(high - low > 1000 ? 0 : high - low > 10 ? 1 : 3)));
}

function ask(delay = 0) {
  clearTimeout(waiting);
  question.abort();
  question = new AbortController();
  noteOutside();
  waiting = setTimeout(answer, delay, question.signal);
}

async function answer(signal) {
  const asked = customer();
  byId("answer").setAttribute("aria-busy", "true");
  try {
    const found = await estimate(asked, signal);
    showProblems([]);
    noteTogether(asked);
    told(found, asked);
  } catch (error) {
    if (error.name === "AbortError") return;
    showProblems(error.errors || []);
    const here = (error.errors || []).filter(({ field }) => fields.has(field));
    refused(error, here.map(({ field }) => labelled(field)));
  }
  byId("answer").removeAttribute("aria-busy");
}

/** Show each problem at its field, with what was probably meant one click away. */
function showProblems(problems) {
  for (const { name, box, control } of fields.values()) {
    const problem = problems.find(({ field }) => field === name);
    const wrong = box.querySelector(".wrong");
    wrong.hidden = !problem;
    wrong.replaceChildren();
    describe(control, wrong, Boolean(problem));
    control.toggleAttribute("aria-invalid", Boolean(problem));
    if (!problem) continue;
    control.setAttribute("aria-invalid", "true");
    const allowed = typeof problem.allowed === "string" ? problem.allowed : "";
    wrong.append(`This ${problem.message}.${allowed ? ` It takes ${allowed}.` : ""}`);
    if (problem.did_you_mean === undefined) continue;
    const meant = String(problem.did_you_mean);
    wrong.append(" ", make("button", { type: "button", class: "link", onclick: () => apply({ [name]: meant }) }, `Use ${worded(name, meant)}`));
  }
}

/** Say gently where a number lies outside what training saw. */
function noteOutside() {
  for (const { box, control } of fields.values()) {
    const { low, high, missing } = control.dataset;
    const text = control.value.trim();
    const value = Number(text);
    const outside = low !== undefined && text !== "" && text !== missing && Number.isFinite(value)
      && (value < Number(low) || value > Number(high)) && !(missing !== undefined && value === Number(missing));
    const gentle = box.querySelector(".gentle");
    gentle.hidden = !outside;
    gentle.textContent = outside
      ? `The model never saw a customer ${value < Number(low) ? "below" : "above"} ${Number(value < Number(low) ? low : high).toLocaleString("en")}; take the estimate with care.`
      : "";
    describe(control, gentle, outside);
  }
}

/** Say that two values stand together that never did in training. */
function noteTogether(asked) {
  const odd = together.filter(([one, is, other, was]) => asked[one] === is && asked[other] === was);
  const note = byId("together");
  note.hidden = !odd.length;
  if (!odd.length) return;
  const [one, is, other, was] = odd[0];
  const more = odd.length > 1 ? ` (and ${odd.length - 1} more such pair${odd.length > 2 ? "s" : ""})` : "";
  note.textContent = `No customer ever had ${labelled(one)} “${worded(one, is)}” together with ${labelled(other)} “${worded(other, was)}”${more}; take the estimate with care.`;
}

function describe(control, note, on) {
  const ids = new Set((control.getAttribute("aria-describedby") || "").split(" ").filter(Boolean));
  if (on) ids.add(note.id);
  else ids.delete(note.id);
  if (ids.size) control.setAttribute("aria-describedby", [...ids].join(" "));
  else control.removeAttribute("aria-describedby");
}

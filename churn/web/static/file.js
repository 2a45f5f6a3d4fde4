// The second tab: a file of customers, scored a slice at a time, ranked, drawn, and given back.

import { byId, count, drawn, explains, main, make, normalise, percent, plural, save, threshold } from "./dom.js";
import { customer, fields, labelled, worded } from "./customer.js";
import { cell, decoded, read, Unreadable } from "./csv.js";
import { Refusal, scored } from "./service.js";

/** Customers a request: small enough that the bar moves, large enough to be quick. */
const SLICE = Math.min(500, Number(main.dataset.maxCustomers));
/** Bytes a request: a little less than the service takes. */
const BYTES = Number(main.dataset.maxBody) * 0.95;

const PAGE = 50;
const BINS = 20;

const encoder = new TextEncoder();
const state = { rows: [], shown: [], page: 0, sort: "risk", down: true, named: false, name: "", parts: [] };
let running = new AbortController();
let open = () => {};

const table = byId("table");
const head = table.tHead.rows[0];
const body = table.tBodies[0];

/** Listen to the tab; `opened` is given the record of a row that a person wants to look into. */
export function listen(opened) {
  open = opened;
  const input = byId("file");
  input.addEventListener("change", () => {
    if (input.files[0]) score(input.files[0]);
    input.value = ""; // so that the same file can be chosen again
  });
  byId("template").addEventListener("click", () => save("customers.csv", [example()]));
  byId("cancel").addEventListener("click", () => running.abort());
  byId("download").addEventListener("click", () => save(state.name, state.parts));
  byId("which").addEventListener("input", filter);
  byId("search").addEventListener("input", filter);
  byId("before").addEventListener("click", () => turn(-1));
  byId("after").addEventListener("click", () => turn(1));
  const drop = byId("drop");
  for (const name of ["dragenter", "dragover", "dragleave", "drop"]) {
    document.addEventListener(name, (event) => {
      event.preventDefault(); // a file dropped beside the box must not replace the page
      drop.classList.toggle("over", name.startsWith("drage") || name === "dragover");
      const file = event.dataTransfer?.files[0];
      if (name === "drop" && file && !byId("panel-file").hidden) score(file);
    });
  }
}

/** Return a CSV of the customer in the form: the right columns, and one row to go by. */
function example() {
  const values = customer();
  return ["\ufeff", Object.keys(values).map((name) => cell(name)).join(","), "\r\n",
    Object.values(values).map((value) => cell(value)).join(","), "\r\n"].join("");
}

async function score(file) {
  running.abort();
  const mine = new AbortController();
  running = mine;
  for (const id of ["file-wrong", "scored"]) byId(id).hidden = true;
  byId("progress").hidden = false;
  try {
    const { text, encoding } = decoded(new Uint8Array(await file.arrayBuffer()));
    const found = read(text);
    if (!found.records.length) throw new Unreadable("The file has a line of column names, but no customers below it.");
    const answers = await everySlice(found, file.name, mine.signal);
    keep(found, answers, file.name);
    const note = byId("file-note");
    note.hidden = !encoding;
    note.textContent = `The file was written in ${encoding}; the scored one is in UTF-8.`;
    present();
  } catch (error) {
    if (mine !== running) return; // another file was chosen meanwhile
    if (error.name === "AbortError") byId("file-said").textContent = "Stopped.";
    else complain(error);
  }
  if (mine === running) byId("progress").hidden = true;
}

/** Return the service's answer to each slice, as a table. */
async function everySlice(found, name, signal) {
  const answers = [];
  let done = 0;
  progress(0, found.records.length, name);
  for (const slice of slices(found)) {
    const lines = [found.header.text, ...slice.map((record) => record.text)].join(found.end) + found.end;
    const answer = read(await scored(lines, signal), found.delimiter);
    if (answer.records.length !== slice.length) throw new Error("The service answered for another number of rows than it was sent.");
    answers.push(answer);
    done += slice.length;
    progress(done, found.records.length, name);
  }
  return answers;
}

function* slices({ header, records }) {
  const overhead = encoder.encode(header.text).length + 2;
  let slice = [];
  let bytes = overhead;
  for (const record of records) {
    const more = encoder.encode(record.text).length + 2;
    if (slice.length && (slice.length === SLICE || bytes + more > BYTES)) {
      yield slice;
      [slice, bytes] = [[], overhead];
    }
    slice.push(record);
    bytes += more;
  }
  yield slice;
}

function progress(done, all, name) {
  byId("bar").max = all;
  byId("bar").value = done;
  byId("progress-words").textContent = `${name}: ${count(done)} of ${plural(all, "customer", "customers")} scored`;
}

/** Keep the rows for the table, and the scored file as it will be downloaded. */
function keep({ mark, header, records }, answers, name) {
  const width = header.cells.length;
  // only slices with a row in error have the column that says so
  const widest = answers.reduce((best, answer) => (answer.header.cells.length > best.header.cells.length ? answer : best));
  const added = widest.header.cells.length - width;
  state.parts = [mark, widest.header.text, widest.end];
  state.rows = [];
  const stranger = identifier(header.cells, records);
  for (const answer of answers) {
    const missing = widest.delimiter.repeat(widest.header.cells.length - answer.header.cells.length);
    for (const record of answer.records) {
      state.parts.push(record.text, missing, widest.end);
      const own = records[state.rows.length];
      const [risk, churn, ...more] = record.cells.slice(width);
      const failed = risk === "";
      state.rows.push({
        row: state.rows.length + 1,
        name: stranger < 0 ? "" : own.cells[stranger],
        risk: failed ? -1 : Number(risk),
        verdict: failed ? "error" : churn === "true" ? "leave" : "stay",
        why: failed ? more.at(-1) : explains ? reasons(more[0]) : "",
        text: own.text.toLowerCase(),
        record: () => Object.fromEntries(header.cells.map((column, at) => [column, own.cells[at] ?? ""])),
      });
    }
  }
  state.named = stranger >= 0;
  state.column = state.named ? header.cells[stranger] : "";
  state.name = `${name.replace(/\.[^.]*$/, "")}-scored.csv`;
  state.errors = added > (explains ? 3 : 2);
}

/** Return the first column that is no field of the model and names every row, or -1. */
function identifier(header, records) {
  const known = new Set([...fields.keys(), main.dataset.target].map(normalise));
  return header.findIndex((column, at) => !known.has(normalise(column))
    && new Set(records.map((record) => record.cells[at])).size === records.length && records.length > 1);
}

/** Return the service's short reasons, `tenure 1 (+1.14), …`, in the form's words. */
function reasons(short) {
  const names = [...fields.keys()];
  return short.split(/(?<=\([+-]\d+\.\d\d\)), /).map((each) => {
    const name = names.filter((one) => each.startsWith(`${one} `)).sort((a, b) => b.length - a.length)[0];
    const parts = name && /^(.*) \(([+-])\d+\.\d\d\)$/.exec(each.slice(name.length + 1));
    return parts ? { words: `${labelled(name)}: ${worded(name, parts[1])}`, side: parts[2] === "+" ? "leave" : "stay" } : { words: each, side: "" };
  });
}

function complain(error) {
  const box = byId("file-wrong");
  const known = error instanceof Unreadable || error instanceof Refusal;
  const wrong = error.errors || [];
  const why = wrong.length ? "Its columns are not those the model knows:" : known ? error.message : String(error);
  box.replaceChildren(make("p", {}, make("strong", {}, "This file could not be scored.")), make("p", {}, why));
  if (wrong.length) {
    box.append(make("ul", {}, ...wrong.map(({ field, message, did_you_mean: meant }) =>
      make("li", {}, `${labelled(field)}${labelled(field) === field ? "" : ` (column ${field})`} ${message}${meant ? `; did you mean ${meant}?` : ""}`))));
    box.append(make("p", {}, "The example file above has every column the model needs."));
  }
  box.hidden = false;
  box.focus();
  if (!known) throw error;
}

function present() {
  byId("scored").hidden = false;
  byId("search").value = "";
  byId("which").value = "";
  Object.assign(state, { sort: "risk", down: true });
  overview();
  headers();
  filter();
  byId("scored-title").focus();
}

function overview() {
  const good = state.rows.filter((row) => row.risk >= 0);
  const leaving = good.filter((row) => row.verdict === "leave").length;
  const failed = state.rows.length - good.length;
  const expected = good.reduce((total, row) => total + row.risk, 0);
  const tiles = [
    ["Customers", count(state.rows.length), ""],
    ["Likely to leave", count(leaving), good.length ? `${percent(leaving / good.length)} of them` : ""],
    ["Average risk", good.length ? percent(expected / good.length) : "–", `about ${count(Math.round(expected))} would leave`],
    ...(failed ? [["Not scored", count(failed), "see the rows for why"]] : []),
  ];
  byId("tiles").replaceChildren(...tiles.map(([name, figure, more]) =>
    make("div", { class: "card" }, make("dt", {}, name), make("dd", {}, make("b", {}, figure), " ", make("span", { class: "soft" }, more)))));
  byId("file-said").textContent = `${plural(state.rows.length, "customer", "customers")} scored, ${count(leaving)} likely to leave${failed ? `, ${count(failed)} not scored` : ""}.`;
  spread(good);
}

/** Draw how many customers there are at each risk. */
function spread(good) {
  const bins = Array(BINS).fill(0);
  for (const { risk } of good) bins[Math.min(BINS - 1, Math.floor(risk * BINS))] += 1;
  const most = Math.max(...bins, 1);
  const x = (share) => 20 + 440 * share;
  const bars = bins.map((number, at) => {
    const tall = (100 * number) / most;
    return drawn("rect", { class: (at + 0.5) / BINS >= threshold ? "leave" : "stay", x: x(at / BINS) + 1, width: 440 / BINS - 2, y: 112 - tall, height: tall, rx: 1.5 });
  });
  const line = x(threshold);
  byId("spread").replaceChildren(
    ...bars,
    drawn("path", { class: "axis", d: "M20 112 H460" }),
    ...[0, 0.25, 0.5, 0.75, 1].map((at) => drawn("text", { class: "tick middle", x: x(at), y: 130 }, `${100 * at}%`)),
    drawn("path", { class: "line", d: `M${line} 4 V118` }),
    drawn("text", { class: threshold > 0.6 ? "tick end" : "tick", x: line + (threshold > 0.6 ? -6 : 6), y: 12 }, "likely to leave from here"),
  );
  byId("spread-words").textContent = bins.map((number, at) => `${at * 5} to ${at * 5 + 5}%: ${number}`).join("; ");
}

const COLUMNS = [
  ["row", "Row"],
  ["name", "Customer"],
  ["risk", "Risk"],
  ["verdict", "Verdict"],
  ["why", "Mainly because"],
  ["open", ""],
];

const columns = () => COLUMNS.filter(([key]) => (key !== "name" || state.named) && (key !== "why" || explains || state.errors));

function headers() {
  head.replaceChildren(...columns().map(([key, words]) => {
    if (key === "open") return make("th", { scope: "col" }, make("span", { class: "unseen" }, "Look into it"));
    if (!["row", "name", "risk"].includes(key)) return make("th", { scope: "col", class: key }, words);
    const sorted = key === state.sort ? (state.down ? "descending" : "ascending") : "none";
    return make("th", { scope: "col", class: key === "row" ? "at" : key, "aria-sort": sorted },
      make("button", { type: "button", "data-sort": key, onclick: () => sortBy(key) }, key === "name" ? state.column : words));
  }));
}

function sortBy(key) {
  state.down = key === state.sort ? !state.down : key === "risk";
  state.sort = key;
  headers();
  filter();
  head.querySelector(`[data-sort="${key}"]`).focus();
}

const VERDICTS = { leave: "Likely to leave", stay: "Likely to stay", error: "Not scored" };
const inOrder = new Intl.Collator("en", { numeric: true });

function filter() {
  const which = byId("which").value;
  const words = byId("search").value.trim().toLowerCase();
  const key = state.sort;
  const sign = state.down ? -1 : 1;
  state.shown = state.rows
    .filter((row) => (!which || row.verdict === which) && (!words || row.text.includes(words)))
    .sort((a, b) => sign * (key === "name" ? inOrder.compare(a.name, b.name) : a[key] - b[key]) || a.row - b.row);
  byId("found").textContent = state.shown.length === state.rows.length
    ? plural(state.rows.length, "customer", "customers")
    : `${count(state.shown.length)} of ${plural(state.rows.length, "customer", "customers")}`;
  state.page = 0;
  draw();
}

function turn(by) {
  state.page += by;
  draw();
  byId("table-box").scrollIntoView({ block: "start" });
}

function draw() {
  const begun = state.page * PAGE;
  const rows = state.shown.slice(begun, begun + PAGE);
  const keys = columns().map(([key]) => key);
  body.replaceChildren(...rows.map((row) => make("tr", { class: row.verdict }, ...keys.map((key) => CELLS[key](row)))));
  if (!rows.length) body.replaceChildren(make("tr", {}, make("td", { colspan: keys.length, class: "soft" }, "No customer is like that.")));
  byId("page-words").textContent = rows.length ? `${count(begun + 1)}–${count(begun + rows.length)} of ${count(state.shown.length)}` : "";
  byId("before").disabled = begun === 0;
  byId("after").disabled = begun + PAGE >= state.shown.length;
}

const CELLS = {
  row: (row) => make("td", { class: "num at" }, count(row.row)),
  name: (row) => make("th", { scope: "row", class: "name" }, row.name),
  risk: (row) => {
    if (row.risk < 0) return make("td", { class: "risk" }, "–");
    const bar = make("i", { "aria-hidden": "true" });
    bar.style.setProperty("--high", row.risk);
    return make("td", { class: "risk" }, make("span", {}, percent(row.risk)), bar);
  },
  verdict: (row) => make("td", { class: "verdict" }, make("span", { class: "mark" }, VERDICTS[row.verdict])),
  why: (row) => make("td", { class: "why" }, ...(row.verdict === "error" ? [row.why] : explains ? row.why.map(({ words, side }) => make("span", { class: `reason ${side}` }, words, make("span", { class: "unseen" }, side === "leave" ? " (towards leaving);" : " (towards staying);"))) : [])),
  open: (row) => make("td", { class: "open" }, make("button", { type: "button", class: "link", "aria-label": `Look into row ${row.row}`, onclick: () => open(row.record()) }, "Look")),
};

// The answer to one customer: the dial, the verdict, the reasons as a waterfall, what would help.

import { byId, explains, main, make, percent, sigmoid, threshold } from "./dom.js";
import { apply, labelled, worded } from "./customer.js";

/** Steps drawn one by one; what is left is drawn as one. */
const MOST_STEPS = 7;

/** Where every estimate starts, in words: of some models nobody knows the average customer. */
const middle = main.dataset.middle;

/** A move of less than this is not worth a sentence. */
const WORTH_SAYING = 0.005;

export function told(answer, asked) {
  const { churn_probability: risk, churn } = answer;
  const verdict = churn ? "Likely to leave" : "Likely to stay";
  const panel = byId("answer");
  panel.classList.remove("failed");
  panel.classList.toggle("leave", churn);
  panel.classList.toggle("stay", !churn);
  byId("dial-value").setAttribute("stroke-dasharray", `${100 * risk} 200`);
  byId("dial-number").textContent = percent(risk);
  byId("verdict").replaceChildren(
    make("p", { class: "verdict-words" }, verdict),
    make("p", { class: "soft" }, `A risk of ${percent(risk)}, ${churn ? "at or above" : "below"} the line at ${percent(threshold)}.`),
  );
  peek(percent(risk), verdict, churn ? "leave" : "stay");
  if (!explains) return;
  waterfall(answer.base, answer.reasons);
  help(answer, asked);
}

/** Say why there is no estimate; `labels` names the fields to look at. */
export function refused(error, labels) {
  const panel = byId("answer");
  panel.classList.remove("leave", "stay");
  panel.classList.add("failed");
  byId("dial-value").setAttribute("stroke-dasharray", "0 200");
  byId("dial-number").textContent = "–";
  const words = labels.length
    ? `The model can't read ${labels.join(" and ")}. See the form.`
    : `${error.message}${error.id ? ` (request ${error.id})` : ""}`;
  byId("verdict").replaceChildren(make("p", { class: "verdict-words" }, "No estimate"), make("p", {}, words));
  peek("–", "No estimate", "");
  for (const id of ["why", "help", "together"]) byId(id).hidden = true;
}

function peek(number, verdict, side) {
  byId("peek").className = `peek ${side}`;
  byId("peek-number").textContent = number;
  byId("peek-verdict").textContent = verdict;
}

/** Draw each reason from where the one above it ended, from the average customer to this one. */
function waterfall(base, reasons) {
  const shown = reasons.slice(0, MOST_STEPS);
  const rest = reasons.slice(MOST_STEPS);
  const steps = shown.map(({ field, value, points }) => ({ label: labelled(field), value: worded(field, value), points }));
  if (rest.length) {
    const points = rest.reduce((total, reason) => total + reason.points, 0);
    steps.push({ label: `${rest.length} other facts`, value: "", points });
  }
  let logit = base;
  const items = [end(middle[0].toUpperCase() + middle.slice(1), sigmoid(base))];
  for (const step of steps) {
    const from = sigmoid(logit);
    logit += step.points;
    items.push(move(step, from, sigmoid(logit)));
  }
  items.push(end("This customer", sigmoid(logit)));
  byId("waterfall").replaceChildren(...items);
  byId("why-words").textContent = inWords(base, logit, shown);
  byId("why").hidden = false;
}

function end(label, risk) {
  return make("li", { class: "end" },
    make("span", { class: "what" }, label),
    track(0, risk),
    make("span", { class: "by" }, percent(risk)));
}

function move({ label, value, points }, from, to) {
  const by = Math.round(100 * to) - Math.round(100 * from);
  const short = Math.abs(to - from) < WORTH_SAYING ? "±0" : `${to > from ? "+" : "−"}${Math.abs(by) || "under 1"}`;
  return make("li", { class: points > 0 ? "leave" : "stay" },
    make("span", { class: "what" }, label, ...(value ? [make("b", {}, value)] : [])),
    track(Math.min(from, to), Math.max(from, to)),
    make("span", { class: "by", "aria-hidden": "true" }, short),
    make("span", { class: "unseen" }, ` ${points > 0 ? "raises" : "lowers"} the risk from ${percent(from)} to ${percent(to)}`));
}

function track(low, high) {
  const bar = make("i", {});
  bar.style.setProperty("--low", low);
  bar.style.setProperty("--high", high);
  const line = make("u", {});
  line.style.setProperty("--at", threshold);
  return make("span", { class: "track", "aria-hidden": "true" }, bar, line);
}

function inWords(base, logit, reasons) {
  const average = sigmoid(base);
  const risk = sigmoid(logit);
  const strong = (raising) => reasons.filter(({ points }) => (raising ? points > 0.1 : points < -0.1)).slice(0, 3)
    .map(({ field, value }) => `${labelled(field)} (${worded(field, value)})`);
  const [up, down] = [strong(true), strong(false)];
  const against = risk > average ? "more" : "less";
  const start = Math.abs(risk - average) < 0.02
    ? `About as likely to leave as ${middle} (${percent(average)}).`
    : `${against === "more" ? "More" : "Less"} likely to leave than ${middle} (${percent(average)}).`;
  const parts = [start];
  if (up.length) parts.push(`Towards leaving: ${listed(up)}.`);
  if (down.length) parts.push(`Towards staying: ${listed(down)}.`);
  return parts.join(" ");
}

const listed = (words) => new Intl.ListFormat("en").format(words);

function help({ churn, churn_probability: risk, changes }, asked) {
  byId("help").hidden = !churn;
  if (!churn) return;
  byId("help-words").textContent = changes.length
    ? "Single changes that the company can make, the strongest first. Try one:"
    : "No single change that the company can make would lower the risk.";
  byId("changes").replaceChildren(...changes.map(({ field, value, churn_probability: then }) => {
    const enough = then < threshold;
    return make("li", {},
      make("button", { type: "button", class: enough ? "change enough" : "change", onclick: () => apply({ [field]: value }) },
        make("span", { class: "what" }, labelled(field), make("b", {}, `${worded(field, shownNow(asked[field]))} → ${worded(field, value)}`)),
        make("span", { class: "then" }, make("s", { "aria-label": `risk now ${percent(risk)},` }, percent(risk)), " → ", make("b", {}, percent(then)),
          make("span", { class: "soft" }, enough ? "would stay" : ""))));
  }));
}

const shownNow = (text) => (text === "" ? "empty" : text);

// Small tools for the page: elements, SVG and numbers in words.

export const byId = (id) => document.getElementById(id);

export const main = byId("main");
export const threshold = Number(main.dataset.threshold);
export const explains = main.dataset.explains === "true";

/** Return an element; texts and elements in `inside` go in as they are, never as HTML. */
export function make(tag, attributes = {}, ...inside) {
  return filled(document.createElement(tag), attributes, inside);
}

export function drawn(tag, attributes = {}, ...inside) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, inside);
}

function filled(element, attributes, inside) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...inside);
  return element;
}

/** Return a probability in whole percents, never rounded to none or all. */
export function percent(share) {
  if (share > 0 && share <= 0.005) return "under 1%";
  if (share >= 0.995 && share < 1) return "over 99%";
  return `${Math.round(100 * share)}%`;
}

export const count = (number) => number.toLocaleString("en");

export const plural = (number, one, many) => `${count(number)} ${number === 1 ? one : many}`;

export const sigmoid = (logit) => 1 / (1 + Math.exp(-logit));

/** As the service does it: lower case, spaces to underscores. */
export const normalise = (text) => text.trim().toLowerCase().replaceAll(" ", "_");

/** Hand a file to the person, as if it had been downloaded. */
export function save(name, parts) {
  const address = URL.createObjectURL(new Blob(parts, { type: "text/csv;charset=utf-8" }));
  const link = make("a", { href: address, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

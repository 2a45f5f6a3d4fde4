// CSV as the service reads it: records are kept as the text they came in, so none is rewritten.

/** A table that can't be read; `line` is where, from 1. */
export class Unreadable extends Error {}

/**
 * Return { mark, delimiter, end, header, records }; a record is { cells, text }, `text` without its
 * line end. Comma, semicolon, tab and bar may divide the cells, unless `known` is what does.
 */
export function read(text, known) {
  const mark = text.startsWith("\ufeff") ? "\ufeff" : "";
  text = text.slice(mark.length);
  const first = text.split("\n", 1)[0];
  const times = (character) => first.split(character).length;
  const delimiter = known ?? [...",;\t|"].reduce((best, each) => (times(each) > times(best) ? each : best));
  const [header, ...records] = parsed(text, delimiter);
  if (!header) throw new Unreadable("The file is empty; its first line must name the columns.");
  return { mark, delimiter, end: first.endsWith("\r") ? "\r\n" : "\n", header, records };
}

function parsed(text, delimiter) {
  const records = [];
  let at = 0;
  let line = 1;
  while (at < text.length) {
    const begun = at;
    const startLine = line;
    const cells = [];
    for (;;) {
      let cell;
      if (text[at] === '"') {
        [cell, at] = quoted(text, at, startLine);
        if (at < text.length && ![delimiter, "\n", "\r"].includes(text[at]))
          throw new Unreadable(`Line ${startLine + lines(text, begun, at)} has something behind a closing quote. Check its quotes.`);
      } else {
        const from = at;
        while (at < text.length && text[at] !== delimiter && text[at] !== "\n" && text[at] !== "\r") at += 1;
        cell = text.slice(from, at);
      }
      cells.push(cell);
      if (text[at] !== delimiter) break;
      at += 1;
    }
    const ended = at;
    if (text[at] === "\r") at += 1;
    if (text[at] === "\n") at += 1;
    line += lines(text, begun, at) || 1;
    if (ended > begun) records.push({ cells, text: text.slice(begun, ended) });
  }
  return records;
}

/** Return a quoted cell and where it ends. */
function quoted(text, at, line) {
  let cell = "";
  let from = at + 1;
  for (;;) {
    const close = text.indexOf('"', from);
    if (close < 0) throw new Unreadable(`The quote that opens in line ${line} is never closed.`);
    cell += text.slice(from, close);
    if (text[close + 1] !== '"') return [cell, close + 1];
    cell += '"';
    from = close + 2;
  }
}

function lines(text, from, to) {
  let found = 0;
  for (let at = text.indexOf("\n", from); at >= 0 && at < to; at = text.indexOf("\n", at + 1)) found += 1;
  return found;
}

/** Return a cell as it stands in a CSV, in quotes where it must. */
export function cell(value, delimiter = ",") {
  const text = String(value);
  return /["\r\n]/.test(text) || text.includes(delimiter) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** Return the text of a file, which spreadsheets write in several encodings. */
export function decoded(bytes) {
  const [a, b] = bytes;
  if (a === 0xff && b === 0xfe) return { text: new TextDecoder("utf-16le").decode(bytes), encoding: "UTF-16" };
  if (a === 0xfe && b === 0xff) return { text: new TextDecoder("utf-16be").decode(bytes), encoding: "UTF-16" };
  try {
    return { text: new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes), encoding: "" };
  } catch {
    return { text: new TextDecoder("windows-1252").decode(bytes), encoding: "Windows-1252" };
  }
}

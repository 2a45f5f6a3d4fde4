"""A CSV of customers as it came, and the same with columns added: no cell of it is rewritten."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from churn.errors import RequestError

_DELIMITERS = ",;\t|"

#: Most columns. Rows too short are made as wide as the header, so that without a limit a small body
#: could ask for an answer of gigabytes.
MOST_COLUMNS = 2_000


@dataclass(frozen=True)
class Record:
    """One row: its cells, and the text they stood in, line end not included."""

    cells: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class Rows:
    """A CSV's header and rows; ``byte_order_mark`` and ``line_end`` are as they came."""

    header: Record
    records: tuple[Record, ...]
    delimiter: str
    line_end: str
    byte_order_mark: str


def read(text: str) -> Rows:
    """Return the rows of a CSV, whichever of comma, semicolon, tab and bar divides its cells.

    :raises RequestError: it has no header, too many columns, or its quotes don't match.
    """
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    text = text.removeprefix("\ufeff")
    first = text.partition("\n")[0]
    delimiter = delimiter_of(text)
    header, *records = list(_records(text, delimiter)) or [Record((), "")]
    if not any(cell.strip() for cell in header.cells):
        raise RequestError(400, "The table is empty: its first line must name the columns.")
    if len(header.cells) > MOST_COLUMNS:
        raise RequestError(
            413,
            f"The table has {len(header.cells):,} columns; send at most {MOST_COLUMNS:,}: those "
            "of the model, and what tells the customers apart.",
        )
    line_end = "\r\n" if first.endswith("\r") else "\n"
    return Rows(header, tuple(records), delimiter, line_end, mark)


def delimiter_of(text: str) -> str:
    """Return which of comma, semicolon, tab and bar divides the header, a CSV's first line."""
    return max(_DELIMITERS, key=text.partition("\n")[0].count)


def written(rows: Rows, added: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    """Return the CSV with the columns ``added``, whose ``cells`` are given a row at a time."""
    width = len(rows.header.cells)
    lines = [_line(rows, rows.header.text, _free(added, rows.header.cells))]
    for record, new in zip(rows.records, cells, strict=True):
        lines.append(_line(rows, _padded(rows, record, width), new))
    return rows.byte_order_mark + "".join(lines)


def _records(text: str, delimiter: str) -> Iterator[Record]:
    lines = list(io.StringIO(text, newline=""))
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    begun = 0
    try:
        for cells in reader:
            raw = "".join(lines[begun : reader.line_num])
            begun = reader.line_num
            if cells:  # a blank line is no customer
                yield Record(tuple(cells), raw.rstrip("\r\n"))
    except csv.Error as error:
        raise RequestError(
            400, f"The table can't be read at line {begun + 1}: {error}. Check its quotes."
        ) from error


def _free(added: Sequence[str], taken: Sequence[str]) -> list[str]:
    """Return the new columns' names, none of which stands in the table already."""
    return [f"{name}_predicted" if name in taken else name for name in added]


def _padded(rows: Rows, record: Record, width: int) -> str:
    """Return the row's text, made as wide as the header so that what is added lines up."""
    missing = width - len(record.cells)
    if missing >= 0:
        return record.text + rows.delimiter * missing
    last = rows.delimiter.join(record.cells[width - 1 :])  # too many cells: none may be lost
    return _joined(rows, [*record.cells[: width - 1], last])


def _line(rows: Rows, text: str, cells: Sequence[str]) -> str:
    return rows.delimiter.join([text, _joined(rows, cells)]) + rows.line_end


def _joined(rows: Rows, cells: Sequence[str]) -> str:
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=rows.delimiter, lineterminator="").writerow(cells)
    return out.getvalue()

"""Files of customers, scored by DuckDB running the model as SQL.

A row the SELECT doesn't take is looked at once more by :meth:`churn.schema.Schema.check`, which
understands every spelling the service does and has the words for what is wrong.
"""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from glob import glob, has_magic
from pathlib import Path
from threading import Lock
from typing import Any

import duckdb
from duckdb.func import SPECIAL

from churn import sql
from churn.errors import CustomerError, DataError, Problem
from churn.model import Model
from churn.service import in_short, in_words
from churn.sql import Type
from churn.table import delimiter_of

#: The formats, by how a file's name ends.
FORMATS = {
    ".csv": "csv", ".tsv": "csv", ".txt": "csv",
    ".parquet": "parquet", ".pq": "parquet",
    ".ndjson": "json", ".jsonl": "json", ".json": "json",
}  # fmt: skip

COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}

#: What DuckDB may hold before it writes to disk: more makes nothing quicker that is only read once.
MEMORY = "512MB"

#: What no cell is. To DuckDB a CSV's empty cell is then a text, and one too many is seen as such.
NO_TEXT = "\x01"

#: Rows whose texts are looked at beforehand, so that the usual spellings are found first.
LOOKED_AT = 2_000

#: More different texts than this in them are no categories.
MOST_TEXTS = 50

#: Standard input and output.
STANDARD = "-"

#: Returns how far the work has come, from 0 to 1, to whoever shows it.
Progress = Callable[[float], None]


@dataclass(frozen=True)
class Table:
    """Files of one format, read as one table; each column with what it holds."""

    files: tuple[str, ...]
    format: str
    columns: Mapping[str, Type]
    #: About how many rows there are, where that is soon found out.
    rows: int | None
    delimiter: str = ","


@dataclass(frozen=True)
class Target:
    """A file to be written."""

    path: Path
    format: str
    compression: str | None = None


@dataclass
class Tally:
    """What became of the rows."""

    scored: int = 0
    refused: int = 0
    reasons: Counter[str] = field(default_factory=Counter)


def format_of(name: str, told: str | None = None) -> tuple[str, str | None]:
    """Return the format and the compression that a file's name tells of.

    :raises DataError: it tells of none.
    """
    path = Path(name)
    compression = COMPRESSIONS.get(path.suffix.lower())
    ending = Path(path.stem).suffix if compression else path.suffix
    found = told or FORMATS.get(ending.lower())
    if found is None:
        raise DataError(
            f"{name}: its name doesn't tell its format: end it in .csv, .parquet or .ndjson (and "
            ".gz or .zst), or say --format"
        )
    return found, compression


class Scoring:
    """Scores tables with one model.

    :raises DataError: the model is no scorecard.
    """

    def __init__(
        self, model: Model, *, threshold: float | None = None, explain: bool = False,
        top: int | None = None,
    ) -> None:  # fmt: skip
        self.model = model
        self.threshold = model.manifest.threshold if threshold is None else threshold
        self.explain = explain
        self.top = top
        self.tally = Tally()
        self._lock = Lock()
        self._folder = Path(tempfile.mkdtemp(prefix="churn-score-"))
        self._refusals = self._folder / "refused.ndjson"
        self._refusals.touch()
        self._base = duckdb.connect(
            config={"temp_directory": str(self._folder), "memory_limit": MEMORY}
        )
        # the progress is asked for, and shown by whoever asks: nothing else is for standard output
        self._base.execute("SET enable_progress_bar = true; SET enable_progress_bar_print = false")
        looks: list[tuple[str, Callable[[str], Any], str]] = [
            ("second_look", self._second_look, "DOUBLE"),
            ("second_words", self._words, "VARCHAR"),
        ]
        for name, look, kind in looks:
            self._base.create_function(
                name, look, ["VARCHAR"], kind, null_handling=SPECIAL, side_effects=True
            )

    def close(self) -> None:
        """Let go of all that was needed on the way."""
        self._base.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def table(self, names: str, told: str | None = None) -> Table:
        """Return what files hold; ``names`` may have wildcards.

        :raises DataError: there are none, or they can't be read.
        :raises CustomerError: they lack columns that the model needs.
        """
        files = tuple(sorted(glob(names))) if has_magic(names) else (names,)  # noqa: PTH207
        if not files or not all(Path(each).is_file() for each in files):
            raise DataError(f"{names}: there is no such file")
        form, _ = format_of(files[0], told)
        if form == "csv":
            lines = {each: self._first_line(each) for each in files}
            header = lines[files[0]]
            others = [each for each, line in lines.items() if line != header]
            if others:
                raise DataError(f"{others[0]}: its header is another than that of {files[0]}")
            delimiter = delimiter_of(header)
            cells = next(csv.reader([header], delimiter=delimiter), [])
            if not any(cell.strip() for cell in cells):
                raise DataError(f"{files[0]}: it is empty: its first line must name the columns")
            self.model.schema.check_columns(cells)
            return Table(files, form, dict.fromkeys(cells, "text"), _about(files), delimiter)
        reader = {"parquet": "read_parquet", "json": "read_ndjson"}[form]
        sample = ", sample_size = -1" if form == "json" else ""
        described = self._execute(f"DESCRIBE SELECT * FROM {reader}({_list(files)}{sample})")
        kinds = {name: _kind(kind) for name, kind, *_ in described.fetchall()}
        if form == "json":
            kinds = dict.fromkeys(kinds, "json")
        self.model.schema.check_columns(list(kinds))
        rows = _about(files)
        if form == "parquet":
            (rows,) = self._execute(f"SELECT count(*) FROM {reader}({_list(files)})").fetchall()[0]
        return Table(files, form, kinds, rows)

    def write(
        self, table: Table, output: Target, rejects: Target | None, progress: Progress
    ) -> None:
        """Score a table into a file, and what can't be scored, with the reason, into another.

        Each appears under its name when it is whole, the scores last: where they are, all is.

        :raises DataError: a file can't be read or written.
        """
        self._open(table)
        query = self._query(table, output.format)
        with whole(output.path) as part:
            # what was read as an empty text is written as one, and not in quotes
            nothing = NO_TEXT if table.format == "csv" else ""
            copy = _copy(query, part, output, table, nothing)
            self.tally.scored = self._run(copy, progress)
            self._note_broken_rows(table)
            if rejects is not None:
                beyond = [self._row_text] if table.format == "csv" else []
                columns = [*table.columns, *beyond, self._error]
                typed = ", ".join(f"{_text(each)}: 'VARCHAR'" for each in columns)
                refused = f"read_ndjson({_text(str(self._refusals))}, columns = {{{typed}}})"
                with whole(rejects.path) as beside:
                    chosen = ", ".join(f"nullif({_quoted(c)}, '') AS {_quoted(c)}" for c in columns)
                    statement = _copy(f"SELECT {chosen} FROM {refused}", beside, rejects, table)
                    self._run(statement, lambda _: None)

    def _open(self, table: Table) -> None:
        """Make the view ``customers`` of a table, and find names for what is added to refusals."""
        self._row_text, self._error = sql.free(table.columns, "row_text", "error")
        files = _list(table.files)
        if table.format == "csv":
            names = ", ".join(f"{_text(name)}: 'VARCHAR'" for name in table.columns)
            source = (
                f"read_csv({files}, columns = {{{names}}}, header = true, auto_detect = false, "
                f"delim = {_text(table.delimiter)}, quote = '\"', escape = '\"', "
                f"store_rejects = true, nullstr = {_text(NO_TEXT)})"
            )
        elif table.format == "json":
            names = ", ".join(f"{_text(name)}: 'JSON'" for name in table.columns)
            source = f"read_ndjson({files}, columns = {{{names}}})"
        else:
            source = f"read_parquet({files})"
        self._execute(f"CREATE OR REPLACE TEMP VIEW customers AS SELECT * FROM {source}")

    def _query(self, table: Table, form: str) -> str:
        """Return the SELECT that scores the view, every row of it looked at again if need be."""
        probability, churn = map(_quoted, sql.added(table.columns))
        columns = [_quoted(each) for each in table.columns]
        kept = ", ".join(columns)
        shown = kept
        if table.format == "json" != form:  # each value is JSON still, texts in their quotes
            shown = ", ".join(f"{each} ->> '$' AS {each}" for each in columns)
        packed = ", ".join(f"{each} := {each}" for each in columns)
        record = f"to_json(struct_pack({packed}))"
        inner = sql.select(
            self.model, table.columns, "customers", "duckdb",
            threshold=self.threshold, explain=self.explain, seen=self._seen(table), pretty=False,
        )  # fmt: skip
        unknown = f"CASE WHEN {probability} IS NULL"
        found = f"{unknown} THEN second_look({record}) ELSE {probability} END AS model__found"
        verdict = f"model__found AS {probability}, model__found >= {self.threshold!r} AS {churn}"
        if self.explain:
            words = f"{unknown} THEN second_words({record}) ELSE {self._in_short()} END"
            found += f", {words} AS model__why"
            (reasons,) = sql.free(table.columns, "reasons")
            verdict += f", model__why AS {_quoted(reasons)}"
        order = "" if self.top is None else f" ORDER BY model__found DESC LIMIT {self.top}"
        return (
            f"SELECT {shown}, {verdict} FROM (SELECT {kept}, {found} FROM ({inner})) "
            f"WHERE model__found IS NOT NULL{order}"
        )

    def _in_short(self) -> str:
        """Return the expression for the strongest reasons, as the service's CSV tells them."""
        told = []
        for at, each in enumerate(self.model.schema.fields):
            value, points = _quoted(f"value_{each.name}"), _quoted(f"points_{each.name}")
            if each.numeric and each.kind != "number":
                value = f"CAST({value} AS BIGINT)"
            words = f"format('{{}} {{}} ({{:+.2f}})', {_text(each.name)}, {value}, {points})"
            told.append(f"{{'by': -abs({points}), 'at': {at}, 'words': {words}}}")
        first = f"list_sort([{', '.join(told)}])[1:3]"
        return f"array_to_string([each.words for each in {first}], ', ')"

    def _seen(self, table: Table) -> dict[str, list[str]]:
        """Return the texts that stand in each column's first rows, where they are few."""
        first = self._execute(f"SELECT * FROM customers LIMIT {LOOKED_AT}").fetchall()
        self._forget_broken_rows()
        seen = {}
        for at, name in enumerate(table.columns):
            texts = {row[at] for row in first if isinstance(row[at], str)}
            if len(texts) <= MOST_TEXTS:
                seen[name] = sorted(texts)
        return seen

    def _second_look(self, text: str) -> float | None:
        """Return the probability of a row that the SELECT gave none, if the schema takes it."""
        record = json.loads(text)
        try:
            return self.model.scorer.probability(self.model.schema.check(record))
        except CustomerError as error:
            self._refuse(record, error.problems)
            return None

    def _words(self, text: str) -> str | None:
        try:
            customer = self.model.schema.check(json.loads(text))
        except CustomerError:
            return None
        card = self.model.scorecard
        return in_short(card.reasons(customer)[1]) if card else None

    def _refuse(self, record: Mapping[str, object], problems: Sequence[Problem]) -> None:
        error = "; ".join(map(in_words, problems))
        with self._lock:
            self.tally.refused += 1
            for each in problems:
                self.tally.reasons[f"{each.field} {each.message}"] += 1
            with self._refusals.open("a", encoding="utf-8") as file:
                file.write(json.dumps({**record, self._error: error}) + "\n")

    def _note_broken_rows(self, table: Table) -> None:
        """Count the rows of a CSV that are none, and keep them."""
        if table.format != "csv":
            return
        broken = self._execute(
            "SELECT any_value(error_type), any_value(csv_line) FROM reject_errors "
            "GROUP BY file_id, line ORDER BY file_id, line"
        ).fetchall()
        for kind, line in broken:
            text = str(line or "").strip("\r\n")
            cells = _cells(text, table.delimiter)
            words = {
                "UNQUOTED VALUE": "has a quote that doesn't match",
                "INVALID ENCODING": "is not UTF-8",
            }.get(kind, f"has {cells} cells, where the header has {len(table.columns)}")
            self._refuse({self._row_text: text}, [Problem("row", words)])
        self._forget_broken_rows()

    def _forget_broken_rows(self) -> None:
        for name in ("reject_errors", "reject_scans"):
            self._execute(f"DROP TABLE IF EXISTS {name}")

    def _first_line(self, name: str) -> str:
        line = self._execute(
            f"SELECT line FROM read_csv({_text(name)}, columns = {{'line': 'VARCHAR'}}, "
            "auto_detect = false, header = false, delim = '\x01', quote = '', escape = '', "
            "ignore_errors = true, strict_mode = false) LIMIT 1"
        ).fetchone()
        return "" if line is None else str(line[0] or "").removeprefix("\ufeff").rstrip("\r")

    def _execute(self, statement: str) -> duckdb.DuckDBPyConnection:
        """Run a statement.

        :raises DataError: DuckDB can't; says why in its words.
        """
        try:
            return self._base.execute(statement)
        except duckdb.Error as error:
            raise DataError(str(error).partition("\n")[0]) from error

    def _run(self, statement: str, progress: Progress) -> int:
        """Run a COPY while somebody looks on; return how many rows it wrote."""
        with ThreadPoolExecutor(1) as pool:
            done = pool.submit(lambda: self._execute(statement).fetchone())
            try:
                while not wait([done], timeout=0.1).done:
                    progress(max(0.0, self._base.query_progress()) / 100)
                row = done.result()
            except KeyboardInterrupt:
                self._base.interrupt()
                raise
        progress(1.0)
        return int(row[0]) if row else 0


def _copy(query: str, part: Path, target: Target, table: Table, nothing: str = "") -> str:
    """Return the statement that writes a query's rows; ``nothing`` is how a CSV spells NULL."""
    options = f"FORMAT {target.format}"
    if target.format == "csv":
        options += f", HEADER, DELIMITER {_text(table.delimiter)}, NULLSTR {_text(nothing)}"
    if target.compression and target.format != "parquet":
        options += f", COMPRESSION {target.compression}"
    return f"COPY ({query}) TO {_text(str(part))} ({options})"


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Yield where to write a file that is to appear at ``path`` only when it is whole."""
    if not path.parent.is_dir():
        raise DataError(f"{path}: there is no folder {path.parent}")
    part = path.with_name(f".{path.name}.part")
    try:
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _about(files: Sequence[str]) -> int | None:
    """Return about how many rows files of text have, going by the first ones' length."""
    if any(Path(each).suffix.lower() in COMPRESSIONS for each in files):
        return None
    with Path(files[0]).open("rb") as file:
        first = file.read(2**16)
    size = sum(Path(each).stat().st_size for each in files)
    return round(size * first.count(b"\n") / max(1, len(first)))


def _cells(text: str, delimiter: str) -> int:
    """Return how many cells a row has."""
    return len(next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), []))


def _kind(duckdb_type: str) -> Type:
    """Return how the values of a DuckDB type are read."""
    if duckdb_type == "BOOLEAN":
        return "boolean"
    numbers = ("INT", "DECIMAL", "DOUBLE", "FLOAT", "REAL")
    return "number" if any(word in duckdb_type for word in numbers) else "text"


def _text(text: str) -> str:
    """Return a text as SQL has it."""
    quoted = text.replace("'", "''")
    return f"'{quoted}'"


def _quoted(name: str) -> str:
    quoted = name.replace('"', '""')
    return f'"{quoted}"'


def _list(files: tuple[str, ...]) -> str:
    return f"[{', '.join(map(_text, files))}]"

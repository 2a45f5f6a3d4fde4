"""Files of customers, scored by DuckDB running the model as SQL.

A row the SELECT doesn't take is looked at once more by :meth:`churn.schema.Schema.check`, which
understands every spelling the service does and has the words for what is wrong. A CSV is read as
the service reads it, but that blanks around a cell in quotes are none of it to DuckDB.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import re
import shutil
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from glob import escape, glob
from pathlib import Path
from threading import Lock
from typing import Any

import duckdb
from duckdb.func import SPECIAL

from churn import sql
from churn.errors import CustomerError, DataError, Problem, in_words
from churn.model import Model
from churn.scorecard import in_short
from churn.sql import Type, quoted_name, quoted_text
from churn.table import delimiter_of

try:
    import fcntl
except ModuleNotFoundError:  # Windows, where nobody can delete a file that somebody writes
    fcntl = None  # type: ignore[assignment]

#: The formats, by how a file's name ends.
FORMATS = {
    ".csv": "csv", ".tsv": "csv", ".txt": "csv",
    ".parquet": "parquet", ".pq": "parquet",
    ".ndjson": "json", ".jsonl": "json", ".json": "json",
}  # fmt: skip

COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}

#: What DuckDB may hold before it writes to disk. With less, its threads wait for one another to
#: write Parquet; more makes nothing quicker that is only read once.
MEMORY = "768MB"

#: What no cell is. To DuckDB a CSV's empty cell is then a text, and one too many is seen as such.
NO_TEXT = "\x01"

#: Rows whose texts are looked at beforehand, so that the usual spellings are found first.
LOOKED_AT = 2_000

#: More different texts than this in them are no categories.
MOST_TEXTS = 50

#: Where a header is looked for: a name in quotes may have several lines.
HEADER_LINES, HEADER_BYTES = 64, 2**20

#: What DuckDB calls rows that are somehow rows; after any other it may have lost its place.
TOLD_APART = {
    "MISSING COLUMNS": "has {cells} cells, where the header has {columns}",
    "TOO MANY COLUMNS": "has {cells} cells, where the header has {columns}",
    "INVALID ENCODING": "is not UTF-8",
}

#: Most reasons told of a customer, as in the service's CSV.
REASONS = 3

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
    #: Whether it is to be there with nothing in it, too.
    always: bool = True


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
        self._notes: list[str] = []
        self._folder = Path(tempfile.mkdtemp(prefix="churn-score-"))
        self._refusals = (self._folder / "refused.ndjson").open("w+", encoding="utf-8")
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
        self._refusals.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def table(self, names: str, told: str | None = None) -> Table:
        """Return what files hold; ``names`` may have wildcards.

        :raises DataError: there are none, or they can't be read.
        :raises CustomerError: they lack columns that the model needs.
        """
        files = (names,) if Path(names).is_file() else tuple(sorted(glob(names, recursive=True)))  # noqa: PTH207
        if not files or not all(Path(each).is_file() for each in files):
            raise DataError(f"{names}: there is no such file")
        form, _ = format_of(files[0], told)
        if form == "csv":
            header, delimiter = self._header(files[0])
            for each in files[1:]:
                if self._header(each) != (header, delimiter):
                    raise DataError(f"{each}: its header is another than that of {files[0]}")
            self.model.schema.check_columns(header)
            columns: dict[str, Type] = dict.fromkeys(header, "text")
            rows = _about(files)
        else:
            kinds = self._described(files, form)
            self.model.schema.check_columns(list(kinds))
            columns = {each: _kind(kind) for each, kind in kinds.items()}
            delimiter = ","
            reader = f"read_parquet({_list(files)}, hive_partitioning = false)"
            count = f"SELECT count(*) FROM {reader}"
            rows = _about(files) if form == "json" else self._execute(count)[0][0]
        _check_names(columns)
        return Table(files, form, columns, rows, delimiter)

    def _header(self, name: str) -> tuple[list[str], str]:
        """Return a CSV's columns and what divides them."""
        # what isn't UTF-8 further down is no matter here
        text = self._beginning(name).decode(errors="surrogateescape").removeprefix("\ufeff")
        text = text.lstrip("\r\n")
        delimiter = delimiter_of(text)
        try:
            header = next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), [])
        except csv.Error as error:
            raise DataError(f"{name}: its header can't be read: {error}") from error
        if not any(cell.strip() for cell in header):
            raise DataError(f"{name}: it is empty: its first line must name the columns")
        if any("\udc80" <= letter <= "\udcff" for cell in header for letter in cell):
            raise DataError(f"{name}: its first line is not UTF-8")
        return header, delimiter

    def _beginning(self, name: str) -> bytes:
        """Return what a text file begins with, decompressed."""
        _, compression = format_of(name, "csv")
        if compression == "zstd":  # Python can't before 3.14
            lines = self._execute(
                f"SELECT line FROM read_csv({_list([name])}, columns = {{'line': 'VARCHAR'}}, "
                "auto_detect = false, header = false, delim = '\x01', quote = '', escape = '', "
                "ignore_errors = true, strict_mode = false, hive_partitioning = false) "
                f"LIMIT {HEADER_LINES}"
            )
            return "\n".join(line or "" for (line,) in lines).encode()
        opened = gzip.open if compression else open
        try:
            with opened(name, "rb") as file:
                return bytes(file.read(HEADER_BYTES))
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise DataError(f"{name}: it can't be decompressed: {error}") from error

    def _described(self, files: tuple[str, ...], form: str) -> dict[str, str]:
        """Return the columns of Parquet or JSON, with DuckDB's types."""
        if form == "json":
            reader = f"read_ndjson({_list(files)}, sample_size = -1, hive_partitioning = false)"
            told = self._execute(f"DESCRIBE SELECT * FROM {reader}")
            return {name: "JSON" for name, *_ in told}
        found: list[dict[str, str]] = []
        for each in files:
            reader = f"read_parquet({_list([each])}, hive_partitioning = false)"
            told = self._execute(f"DESCRIBE SELECT * FROM {reader}")
            found.append({name: kind for name, kind, *_ in told})
            # DuckDB would leave columns out, and round what the first file has no decimals for
            if other := dict(found[-1].items() ^ found[0].items()):
                raise DataError(f"{each}: its column {min(other)} is another than in {files[0]}")
        return found[0]

    def write(
        self, table: Table, output: Target, rejects: Target | None, progress: Progress
    ) -> None:
        """Score a table into a file, and what can't be scored, with the reason, into another.

        Each appears under its name when it is whole, the scores last: where they are, all is.
        Rejects that aren't to be there always are so only with something in them, or where a file
        of that name is already, which would tell of another run.

        :raises DataError: a file can't be read or written.
        """
        for each in (output, rejects):
            if each is not None and not each.path.parent.is_dir():
                raise DataError(f"{each.path}: there is no folder {each.path.parent}")
        # what is told of a refused row: its text, if it is none, and why
        names = ["row_text"] if table.format == "csv" else []
        self._notes = sql.free(table.columns, *names, "error")
        try:
            self._write(table, output, rejects, progress)
        except DataError as error:
            if table.format != "csv" or "state machine" not in str(error):
                raise
            self.tally = Tally()  # its lines end in different ways, which DuckDB doesn't take
            self._refusals.seek(0)
            self._refusals.truncate()
            plain = tuple(map(self._rewritten, table.files, range(len(table.files))))
            self._write(replace(table, files=plain), output, rejects, progress)

    def _write(
        self, table: Table, output: Target, rejects: Target | None, progress: Progress
    ) -> None:
        self._open(table)
        query = self._query(table, output.format)
        with whole(output.path) as part:
            # what was read as an empty text is written as one, and not in quotes
            nothing = NO_TEXT if table.format == "csv" else ""
            copy = _copy(query, part, output, table, nothing)
            self.tally.scored = self._run(copy, progress)
            self._note_broken_rows(table)
            if rejects and (rejects.always or self.tally.refused or rejects.path.exists()):
                self._write_rejects(table, rejects)

    def _write_rejects(self, table: Table, rejects: Target) -> None:
        self._refusals.flush()
        columns = [*table.columns, *self._notes]
        typed = ", ".join(f"{quoted_text(each)}: 'VARCHAR'" for each in columns)
        refused = f"read_ndjson({_list([self._refusals.name])}, columns = {{{typed}}})"
        with whole(rejects.path) as part:
            chosen = ", ".join(f"nullif({quoted_name(c)}, '') AS {quoted_name(c)}" for c in columns)
            copy = _copy(f"SELECT {chosen} FROM {refused}", part, rejects, table)
            self._run(copy, lambda _: None)

    def _rewritten(self, name: str, at: int) -> str:
        """Return a CSV with the same cells, that DuckDB can read."""
        _, compression = format_of(name, "csv")
        if compression == "zstd":
            raise DataError(f"{name}: its lines end in different ways: decompress it first")
        opened = gzip.open if compression else open
        _, delimiter = self._header(name)
        plain = self._folder / f"{at}.csv"
        how: dict[str, Any] = {"encoding": "utf-8", "errors": "surrogateescape", "newline": ""}
        with opened(name, "rt", **how) as source, plain.open("w", **how) as target:
            rows = csv.reader(source, delimiter=delimiter, strict=True)
            try:
                writer = csv.writer(target, delimiter=delimiter, lineterminator="\n")
                writer.writerows(row for row in rows if row)
            except csv.Error as error:
                raise DataError(
                    f"{name}: it can't be read at line {rows.line_num}: {error}. Check its quotes."
                ) from error
        return str(plain)

    def _open(self, table: Table) -> None:
        """Make the view ``customers`` of a table."""
        files = _list(table.files)
        if table.format == "csv":
            names = ", ".join(f"{quoted_text(name)}: 'VARCHAR'" for name in table.columns)
            source = (
                f"read_csv({files}, columns = {{{names}}}, header = true, auto_detect = false, "
                f"delim = {quoted_text(table.delimiter)}, quote = '\"', escape = '\"', "
                f"store_rejects = true, nullstr = {quoted_text(NO_TEXT)}, "
                "hive_partitioning = false)"
            )
        elif table.format == "json":
            names = ", ".join(f"{quoted_text(name)}: 'JSON'" for name in table.columns)
            source = f"read_ndjson({files}, columns = {{{names}}}, hive_partitioning = false)"
        else:
            source = f"read_parquet({files}, hive_partitioning = false)"
        self._execute(f"CREATE OR REPLACE TEMP VIEW customers AS SELECT * FROM {source}")

    def _query(self, table: Table, form: str) -> str:
        """Return the SELECT that scores the view, every row of it looked at again if need be."""
        added = sql.free(table.columns, sql.PROBABILITY, sql.CHURN, "reasons")
        probability, churn, reasons = map(quoted_name, added)
        columns = [quoted_name(each) for each in table.columns]
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
            inner, words = self._with_reasons(inner, table)
            found += f", {unknown} THEN second_words({record}) ELSE {words} END AS model__why"
            verdict += f", model__why AS {reasons}"
        order = "" if self.top is None else f" ORDER BY model__found DESC LIMIT {self.top}"
        return (
            f"SELECT {shown}, {verdict} FROM (SELECT {kept}, {found} FROM ({inner})) "
            f"WHERE model__found IS NOT NULL{order}"
        )

    def _with_reasons(self, query: str, table: Table) -> tuple[str, str]:
        """Return the query with the strongest fields found, and them in words as the service has.

        By comparing sizes, one field after the other, and words are made of the few alone: sorting
        a list of all in every row takes ten times as long.
        """
        fields = self.model.schema.fields
        sizes = [f"abs({quoted_name(f'points_{each.name}')}) AS model__size_{at}"
                 for at, each in enumerate(fields)]  # fmt: skip
        query = f"SELECT *, {', '.join(sizes)} FROM ({query})"
        told = []
        for place in range(min(REASONS, len(fields))):
            untaken = [_untaken(at, place) for at in range(len(fields))]
            left = (f"CASE WHEN {free} THEN model__size_{at} ELSE -1 END"
                    for at, free in enumerate(untaken))  # fmt: skip
            query = (
                f"SELECT *, greatest(-1, {', '.join(left)}) AS model__most_{place} FROM ({query})"
            )
            found = (f"WHEN {free} AND model__size_{at} = model__most_{place} THEN {at}"
                     for at, free in enumerate(untaken))  # fmt: skip
            query = f"SELECT *, CASE {' '.join(found)} END AS model__place_{place} FROM ({query})"
            words = (f"WHEN {at} THEN {each}" for at, each in enumerate(self._words_of(table)))
            told.append(f"CASE model__place_{place} {' '.join(words)} END")
        return query, f"concat_ws(', ', {', '.join(told)})"

    def _words_of(self, table: Table) -> Iterator[str]:
        """Yield the expression of each field's reason in words."""
        columns = self.model.schema.check_columns(list(table.columns))
        for each in self.model.schema.fields:
            value, points = quoted_name(f"value_{each.name}"), quoted_name(f"points_{each.name}")
            if each.numeric and each.kind != "number":
                value = f"CAST({value} AS BIGINT)"
            elif each.numeric and each.missing is not None:  # 0 for a gap, and 0.0 for a 0
                text = f"coalesce(CAST({quoted_name(columns[each.name])} AS VARCHAR), '')"
                gap = f"NOT regexp_matches({text}, '[0-9]')"
                value = f"CASE WHEN {gap} THEN '{each.missing}' ELSE format('{{}}', {value}) END"
            yield f"format('{{}} {{}} ({{:+.2f}})', {quoted_text(each.name)}, {value}, {points})"

    def _seen(self, table: Table) -> dict[str, list[str]]:
        """Return the texts that stand in each column's first rows, where they are few."""
        first = self._execute(f"SELECT * FROM customers LIMIT {LOOKED_AT}")
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
        error, told = "; ".join(map(in_words, problems)), self._notes[-1]
        with self._lock:
            self.tally.refused += 1
            for each in problems:
                self.tally.reasons[f"{each.field} {each.message}"] += 1
            self._refusals.write(json.dumps({**record, told: error}) + "\n")

    def _note_broken_rows(self, table: Table) -> None:
        """Count the rows of a CSV that are none, and keep them."""
        if table.format != "csv":
            return
        broken = self._execute(
            "SELECT any_value(error_type), any_value(csv_line), line, any_value(file_path), "
            "any_value(line_byte_position) "
            "FROM reject_errors JOIN reject_scans USING (scan_id, file_id) "
            "GROUP BY file_id, line ORDER BY file_id, line"
        )
        for kind, row, line, file, position in broken:
            if kind not in TOLD_APART:
                if not file.lower().endswith(".zst"):  # DuckDB counts rows, of several lines maybe
                    line = _line_of(file, position)
                raise DataError(
                    f"{file}: it can't be read at line {line}: a quote has no match, or the row "
                    "has no end. Check its quotes."
                )
            text = str(row or "").strip("\r\n")
            cells = _cells(text, table.delimiter)
            words = TOLD_APART[kind].format(cells=cells, columns=len(table.columns))
            self._refuse({self._notes[0]: text}, [Problem("row", words)])
        self._forget_broken_rows()

    def _forget_broken_rows(self) -> None:
        for name in ("reject_errors", "reject_scans"):
            self._execute(f"DROP TABLE IF EXISTS {name}")

    def _execute(self, statement: str) -> list[tuple[Any, ...]]:
        """Return what a statement gives.

        :raises DataError: DuckDB can't run it; says why in its words.
        """
        try:
            return self._base.execute(statement).fetchall()
        except duckdb.Error as error:
            raise DataError(str(error).partition("\n")[0]) from error

    def _run(self, statement: str, progress: Progress) -> int:
        """Run a COPY while somebody looks on; return how many rows it wrote."""
        with ThreadPoolExecutor(1) as pool:
            done = pool.submit(self._execute, statement)
            try:
                while not wait([done], timeout=0.1).done:
                    progress(max(0.0, self._base.query_progress()) / 100)
                rows = done.result()
            except KeyboardInterrupt:
                self._base.interrupt()
                raise
        progress(1.0)
        return int(rows[0][0])


def _copy(query: str, part: Path, target: Target, table: Table, nothing: str = "") -> str:
    """Return the statement that writes a query's rows; ``nothing`` is how a CSV spells NULL."""
    options = f"FORMAT {target.format}, USE_TMP_FILE false"
    if target.format == "csv":
        options += (
            f", HEADER, DELIMITER {quoted_text(table.delimiter)}, NULLSTR {quoted_text(nothing)}"
        )
    if target.compression and target.format != "parquet":
        options += f", COMPRESSION {target.compression}"
    return f"COPY ({query}) TO {quoted_text(str(part))} ({options})"


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Yield where to write a file that is to appear at ``path`` only when it is whole.

    Parts that others left who were killed are removed; those that are being written are not.
    """
    for left in path.parent.glob(f".{escape(path.name)}.*.part"):
        _remove_if_left(left)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as held:
            if fcntl:
                fcntl.flock(held, fcntl.LOCK_EX)
            else:
                held.close()
            yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _remove_if_left(part: Path) -> None:
    with suppress(OSError):  # somebody writes it
        if fcntl:
            with part.open("rb") as held:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        part.unlink()


def _check_names(columns: Iterable[str]) -> None:
    """Refuse names that are two in the file, and one in DuckDB."""
    names: dict[str, str] = {}
    for each in columns:
        if each.lower() in names:
            raise DataError(
                f"the columns {names[each.lower()]} and {each} differ in their capitals alone, and "
                "DuckDB takes them for one: rename one"
            )
        names[each.lower()] = each


def _about(files: Sequence[str]) -> int | None:
    """Return about how many rows files of text have, going by the first ones' length."""
    if any(Path(each).suffix.lower() in COMPRESSIONS for each in files):
        return None
    with Path(files[0]).open("rb") as file:
        first = file.read(2**16)
    size = sum(Path(each).stat().st_size for each in files)
    return round(size * first.count(b"\n") / max(1, len(first)))


def _line_of(name: str, position: int) -> int:
    """Return the line that a byte stands in, the first byte being 1."""
    left, lines = position - 1, 1
    with (gzip.open if name.lower().endswith(".gz") else open)(name, "rb") as file:
        while left > 0 and (some := file.read(min(left, 2**20))):
            left, lines = left - len(some), lines + some.count(b"\n")
    return lines


def _untaken(at: int, place: int) -> str:
    """Return the condition that a field has none of the places before."""
    return " AND ".join(["true", *(f"model__place_{before} != {at}" for before in range(place))])


def _cells(text: str, delimiter: str) -> int:
    """Return how many cells a row has."""
    return len(next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), []))


def _kind(duckdb_type: str) -> Type:
    """Return how the values of a DuckDB type are read."""
    if duckdb_type in ("BOOLEAN", "JSON"):
        return "boolean" if duckdb_type == "BOOLEAN" else "json"
    return (
        "number"
        if re.fullmatch(r"U?\w*INT(EGER)?|DOUBLE|FLOAT|DECIMAL\(.*\)", duckdb_type)
        else "text"
    )


def _list(files: Iterable[str]) -> str:
    """Return files as SQL has them, their names not being patterns."""
    return f"[{', '.join(quoted_text(escape(each)) for each in files)}]"

"""A table of customers: read from a file, and cleaned into what a model learns from."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from churn.errors import DataError, UnusableColumn, listed
from churn.schema import GAPS, YES_NO, Field, Schema, Value, closest, normalise, repeated
from churn.table import delimiter_of

#: Fewer rows than this can all differ by chance, so a column of different values is no identifier.
FEWEST_FOR_AN_IDENTIFIER = 20

#: Whole numbers beyond this are not exact as floats, so a column of them may hold anything.
LARGEST_EXACT = 2.0**53


@dataclass(frozen=True)
class Dataset:
    """Clean customers and whether each left: ``churned`` holds 1 for leaving, 0 for staying."""

    schema: Schema
    columns: Mapping[str, list[Value]]
    churned: list[int]
    target: str
    positive: str
    #: What was left out and why, in sentences for the person who trains.
    notes: list[str] = field(default_factory=list)
    #: Gaps found, by field.
    gaps: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.churned)

    def customers(self) -> Iterator[dict[str, Value]]:
        """Yield each customer as a record of the vectorizer's."""
        for row in zip(*self.columns.values(), strict=True):
            yield dict(zip(self.columns, row, strict=True))


def read(path: Path) -> pd.DataFrame:
    """Return a CSV's or Parquet file's table, every cell as text, a gap as the empty text.

    :raises DataError: the file is missing, is no table, has no rows, or has a column twice.
    """
    try:
        parquet = path.suffix.lower() in (".parquet", ".pq")
        table = _read_parquet(path) if parquet else _read_csv(path)
    except OSError as error:
        raise DataError(f"can't read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path} is not UTF-8 text (line {line}): save it as CSV UTF-8 and try again"
        ) from error
    except (csv.Error, ValueError) as error:  # a broken file, in pyarrow's words or the reader's
        why = str(error).strip().splitlines()[-1:] or ["unreadable"]
        raise DataError(f"can't read {path}: {why[0]}") from error
    if table.empty:
        raise DataError(f"{path} has no rows")
    return table


def digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def prepare(
    table: pd.DataFrame,
    target: str = "churn",
    positive: str | None = None,
    drop: Collection[str] = (),
    keep: Collection[str] = (),
    fill: Mapping[str, str] | None = None,
) -> Dataset:
    """Return clean customers from a table as :func:`read` gives it.

    ``positive`` is the outcome that means "left", found by itself for yes/no, true/false and 1/0;
    ``drop`` leaves columns out, ``keep`` keeps one that looks like an identifier, and ``fill``
    says what a gap in a column stands for.

    :raises DataError: the outcome or a column can't be used, and only the user can say how.
    """
    names, notes = _unique_names(table.columns)
    wanted = _found(target, names, "--target")
    dropped = {_found(column, names, "--drop") for column in drop}
    kept = {_found(column, names, "--keep") for column in keep}
    filled = {_found(column, names, "--fill"): text for column, text in (fill or {}).items()}
    table, unknown = _with_outcome(table, names[wanted])
    notes += unknown
    churned, positive = _outcome(table[names[wanted]], names[wanted], positive)

    fields: list[Field] = []
    gaps: dict[str, int] = {}
    for name, column in names.items():
        if name == wanted or name in dropped:
            continue
        texts = _counted(table[column])
        try:
            found = Field.infer(column, texts, filled.get(name))
            if name not in kept:
                _refuse_identifier(found, texts, len(table))
        except UnusableColumn as error:
            notes.append(f"{column} is left out: it {error}")
            continue
        except DataError as error:
            raise DataError(f"{column} {error}", name) from error
        fields.append(found)
        if missing := sum(count for text, count in texts.items() if normalise(text) in GAPS):
            gaps[name] = missing
    if not fields:
        raise DataError("no column is left to learn from: " + "; ".join(notes))
    for feature in repeated(feature for each in fields for feature in _features(each)):
        raise DataError(
            f"two columns both make {feature!r}, which the model could not tell apart: "
            "rename one, or --drop it"
        )
    schema = Schema(tuple(fields))
    columns = {each.name: _cleaned(table[names[each.name]], each) for each in fields}
    return Dataset(schema, columns, churned, wanted, positive, notes, gaps)


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        with path.open("rb") as file:
            table = pd.read_parquet(file)
    except ImportError:
        raise DataError(
            f'{path} is Parquet, which needs pyarrow: run pipenv sync --categories "packages train"'
        ) from None
    if table.index.name is not None:
        table = table.reset_index()  # pandas wrote a column as the index; others would see a column
    return pd.DataFrame({column: _as_text(table[column]) for column in table.columns})


def _as_text(column: pd.Series[Any]) -> pd.Series[Any]:
    """Return a typed column as the text a CSV of it would hold."""
    gaps = column.isna()
    known = column[~gaps]
    if pd.api.types.is_float_dtype(column) and known.abs().le(LARGEST_EXACT).all():
        whole = (known % 1 == 0).all()  # whole numbers that were floats for their gaps
        column = column.fillna(0).astype("int64") if whole else column
    return column.astype(str).mask(gaps, "")


def _read_csv(path: Path) -> pd.DataFrame:
    text = path.read_bytes().decode("utf-8-sig")
    lines = io.StringIO(text, newline="")
    delimiter = delimiter_of(text)
    reader = csv.reader(lines, delimiter=delimiter, strict=True, skipinitialspace=True)
    header = next(reader, [])
    if not header:
        raise DataError(f"{path} is empty: its first line must name the columns")
    rows = []
    try:
        for row in filter(None, reader):  # a blank line is no customer
            if len(row) != len(header):
                raise DataError(
                    f"{path}, line {reader.line_num}: {len(row)} values under {len(header)} "
                    f"columns, divided by {delimiter!r}; quote a value that holds that itself"
                )
            rows.append(row)
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: {error}; check its quotes") from error
    return pd.DataFrame(rows, columns=header, dtype=str)


def _unique_names(columns: Sequence[str] | pd.Index[Any]) -> tuple[dict[str, str], list[str]]:
    """Return the columns by the name the model gives them, and notes on those without one."""
    names: dict[str, str] = {}
    notes: list[str] = []
    for place, column in enumerate(columns, start=1):
        name = normalise(str(column))
        if not name:  # the row numbers that R and pandas write
            notes.append(f"column {place} is left out: it has no name")
            continue
        if name in names:
            raise DataError(f"the column {name!r} stands twice: rename or remove one", name)
        names[name] = column
    return names, notes


def _found(column: str, names: Mapping[str, str], option: str) -> str:
    name = normalise(column)
    if name not in names:
        near = closest(name, names)
        hint = f"did you mean {names[near]!r}?" if near else f"there are {listed(list(names), 30)}"
        raise DataError(f"there is no column {column!r} for {option}; {hint}", name)
    return name


def _with_outcome(table: pd.DataFrame, target: str) -> tuple[pd.DataFrame, list[str]]:
    """Return the rows whose outcome is known."""
    unknown = table[target].map(normalise).isin(GAPS)
    if not unknown.any():
        return table, []
    note = f"{int(unknown.sum())} rows are left out: their {target} is empty"
    return table[~unknown], [note]


def _outcome(column: pd.Series[Any], target: str, positive: str | None) -> tuple[list[int], str]:
    """Return 1 for each customer who left, and the value that says so."""
    found = column.map(normalise)
    if set(found) == {"0.0", "1.0"}:  # as pandas writes 0 and 1 beside gaps
        found = found.str.removesuffix(".0")
    values = sorted(found.unique())
    if len(values) != 2:
        shown = listed([repr(value) for value in values]) if values else "nothing"
        raise DataError(
            f"{target} must hold two outcomes, leaving and staying, but holds {shown}"
            + (": name another column with --target" if len(values) > 2 else ""),
            target,
        )
    if positive is None:
        known = [yes for no, yes in YES_NO if values == [no, yes]]
        if not known:
            raise DataError(
                f"which of {values[0]!r} and {values[1]!r} in {target} means that the customer "
                f"left? Say --positive {values[0]} or --positive {values[1]}",
                target,
            )
        positive = known[0]
    positive = normalise(positive)
    if positive not in values:
        raise DataError(
            f"--positive is {positive!r}, but {target} holds {values[0]!r} and {values[1]!r}",
            target,
        )
    return (found == positive).astype(int).tolist(), positive


def _refuse_identifier(found: Field, texts: Mapping[str, int], rows: int) -> None:
    if found.kind == "number" or rows < FEWEST_FOR_AN_IDENTIFIER:
        return
    if len(texts) == rows:
        raise UnusableColumn("differs in every row, as an identifier does (--keep it if it isn't)")


def _features(known: Field) -> list[str]:
    """Return what the vectorizer makes of a field, by the names it gives."""
    if known.numeric:
        return [known.name]
    values = dict.fromkeys([*known.values, *filter(None, [known.missing])])
    return [f"{known.name}={value}" for value in values]


def _counted(column: pd.Series[Any]) -> dict[str, int]:
    return {str(text): count for text, count in column.value_counts(sort=False).items()}


def _cleaned(column: pd.Series[Any], known: Field) -> list[Value]:
    spellings = {text: known.clean(text) for text in column.unique()}
    return [spellings[text] for text in column]

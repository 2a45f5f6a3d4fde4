"""The model as one SQL SELECT, for whatever engine holds the customers.

It is written as DuckDB reads it; sqlglot puts that into the other dialects.

It gives the service's numbers, to the rounding of a float: tables and curves, gaps, raw spellings,
the threshold. What it doesn't take it refuses with NULL, never with another number. It takes all
that the service takes, but for a few spellings that no table has: white space beyond ASCII around a
value, numbers of more than 120 digits or with exponents beyond 99, and capitals beyond ASCII where
the engine's LOWER leaves them alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Literal

from churn.errors import CustomerError, DataError
from churn.model import Model
from churn.schema import GAPS, GREATEST, GREATEST_WHOLE, YES_NO, Field, Value, normalise
from churn.scorecard import Curve, Scorecard

#: The dialects that there are, under sqlglot's names.
DIALECTS = (
    "athena", "bigquery", "databricks", "duckdb", "postgres", "redshift", "snowflake", "spark",
    "sqlite",
)  # fmt: skip

#: What a column holds, as far as its values are read in different ways; "json" is DuckDB's alone.
Type = Literal["text", "number", "boolean", "json"]

#: The columns added; a reason each field besides, named after it.
PROBABILITY, CHURN, REFUSED = "churn_probability", "churn", "refused"

#: What they are on the way, so that no column of the table's own has the name.
_LOGIT, _PROBABILITY = "model__logit", "model__probability"

#: The white space of ASCII, which is stripped, by its numbers: engines differ on backslashes, and
#: what is pasted into a console loses a carriage return.
_SPACE = " || ".join(f"CHR({number})" for number in (32, 9, 10, 13, 11, 12))

#: The one letter of which some engines make another than Python does, putting it in lower case: a
#: plain "i", and with it a value that the service doesn't take.
_DOTTED = ("\u0130", "i\u0307")

#: A number as text, small enough for every engine to read without an error.
_NUMBER = r"^[+-]?([0-9]{1,120}([.][0-9]{0,120})?|[.][0-9]{1,120})(e[+-]?0{0,9}[0-9]{1,2})?$"

#: Stands for the table, whose name is spelt as its engine does.
_SOURCE = "model__source"

#: Log-odds beyond which the probability is 0 or 1; an engine's EXP fails on what is far beyond.
_GREATEST_LOGIT = 700


def select(
    model: Model,
    columns: Mapping[str, Type],
    source: str,
    dialect: str,
    *,
    threshold: float | None = None,
    explain: bool = False,
    refused: bool = False,
    seen: Mapping[str, Iterable[str]] | None = None,
    pretty: bool = True,
) -> str:
    """Return the SELECT that scores ``source``, a table of these ``columns``.

    It gives the columns as they are, the probability (a double between 0 and 1, NULL where a value
    is not one that the model knows) and the verdict; with ``explain`` also, for each field, its
    points against the average customer in log-odds, as ``points_…``, and its value as the model
    spells it, as ``value_…``; with ``refused`` the names of the fields that were not understood.
    Texts that were ``seen`` in a column, as they stand there, are looked for first, which changes
    nothing but the time taken. DuckDB's, not ``pretty``, is written without sqlglot.

    :raises CustomerError: columns are missing, or stand twice.
    :raises DataError: the model is no scorecard, or the dialect is none of :data:`DIALECTS`.
    """
    if dialect not in DIALECTS:
        raise DataError(f"there is no SQL dialect {dialect!r}: choose one of {', '.join(DIALECTS)}")
    card = model.scorecard
    if card is None:
        raise DataError("the model is no scorecard, and only a scorecard is an SQL expression")
    places = model.schema.check_columns(list(columns))
    if ours := [column for column in columns if column.lower().startswith("model__")]:
        raise DataError(f"the column {ours[0]} has a name that the SELECT needs: rename it")
    parts = [
        _Part(each, card, at, places[each.name], columns[places[each.name]], dialect, explain)
        for at, each in enumerate(model.schema.fields)
    ]
    for part in parts:
        part.look_first_for((seen or {}).get(places[part.field.name], ()))
    kept = [quoted_name(column) for column in columns]
    stripped = [part for part in parts if part.is_stripped_before]
    parsed = [part for part in parts if part.is_parsed_before]
    as_it_is = dialect == "duckdb" and not pretty
    table = source if as_it_is else _SOURCE
    query = f"SELECT {', '.join([*kept, *(part.strip() for part in stripped)])} FROM {table}"
    # what is used more than once is written once, in a SELECT of its own
    texts = [part.stripped for part in stripped]
    query = _over(dialect, query, "stripped", *kept, *texts, *(part.parse() for part in parsed))
    numbers = [part.parsed for part in parsed]
    query = _over(dialect, query, "parsed", *kept, *numbers, *(part.clean() for part in parts))
    values = [part.value for part in parts if explain]
    query = _over(dialect, query, "cleaned", *kept, *values, *(part.points() for part in parts))
    logit = " + ".join([_number(card.base), *(part.point for part in parts)])
    kept_points = [part.point for part in parts if explain or refused]
    query = _over(dialect, query, "pointed", *kept, *values, *kept_points, f"{logit} AS {_LOGIT}")
    query = _over(dialect, query, "added", *kept, *values, *kept_points, _sigmoid())
    limit = _number(model.manifest.threshold if threshold is None else threshold)
    probability, churn, unknown = free(columns, PROBABILITY, CHURN, REFUSED)
    chosen = [
        *kept,
        f"{_PROBABILITY} AS {quoted_name(probability)}",
        f"{_PROBABILITY} >= {limit} AS {quoted_name(churn)}",
    ]
    if explain:
        chosen += [each for part in parts for each in part.reason()]
    if refused:
        chosen.append(f"{_refused(parts)} AS {unknown}")
    query = _over(dialect, query, "scored", *chosen)
    return query if as_it_is else _translated(query, source, dialect, pretty)


def free(columns: Iterable[str], *names: str) -> list[str]:
    """Return names, each made longer until no column has it."""
    taken = {column.lower() for column in columns}
    found = []
    for name in names:
        while name in taken:
            name = f"{name}_predicted"
        found.append(name)
    return found


def plain_columns(model: Model, keys: Sequence[str] = ()) -> dict[str, Type]:
    """Return the columns of a table made for the model, with ``keys`` that tell customers apart."""
    kinds: dict[str, Type] = dict.fromkeys(keys, "text")
    for each in model.schema.fields:
        kinds[each.name] = "number" if each.numeric else "text"
    return kinds


class _Part:
    """What a field adds to the SELECT."""

    def __init__(
        self, field: Field, card: Scorecard, at: int, column: str, kind: Type, dialect: str,
        explain: bool,
    ) -> None:  # fmt: skip
        self.field = field
        self._card = card.points[field.name]
        self._average = card.average[field.name]
        self._kind = kind
        self._column = quoted_name(column)
        if kind == "text" and dialect in ("postgres", "duckdb"):  # an enum, say, or a date
            self._column = f"CAST({self._column} AS TEXT)"
        if kind == "json":  # DuckDB's, of one value
            self._column = f"({self._column} ->> '$')"
            self._kind = "text"
        self._dialect = dialect
        self._seen: dict[str, Value] = {}
        # who doesn't ask for the value gets from a spelling to its points in one step
        self._direct = not explain and not field.numeric
        self.value, self.point = f"model__value_{at}", f"model__points_{at}"
        self.stripped, self.parsed = f"model__text_{at}", f"model__number_{at}"

    def look_first_for(self, texts: Iterable[str]) -> None:
        """Have texts looked for as they are, before any are put into the model's spelling."""
        for text in texts if self._kind == "text" and not self.field.numeric else ():
            with suppress(CustomerError):
                self._seen[text] = self.field.clean(text)

    @property
    def is_stripped_before(self) -> bool:
        # DuckDB strips only what isn't a plain number, when it comes to it
        return self.field.numeric and self._kind == "text" and self._dialect != "duckdb"

    @property
    def is_parsed_before(self) -> bool:
        return self.field.numeric and self._kind != "boolean"

    def strip(self) -> str:
        """Return the text that holds a number, stripped."""
        return f"{self._lowered} AS {self.stripped}"

    def parse(self) -> str:
        """Return the number that there is, whether or not the field knows it."""
        return f"{self._double()} AS {self.parsed}"

    def clean(self) -> str:
        """Return the value as the model spells it; NULL where it is none."""
        known = self._number_of() if self.field.numeric else self._category_of()
        return f"{known} AS {self.value}"

    def points(self) -> str:
        """Return the points of the clean value, in log-odds."""
        if isinstance(self._card, Curve):
            points = _curve(self._card, self.value)
        elif self._direct:
            points = self.value
        else:
            table = [(_literal(key), _number(points)) for key, points in self._card.items()]
            points = _lookup(self.value, table)
        return f"{points} AS {self.point}"

    def _told(self, value: Value) -> str:
        """Return what stands for a value on the way: itself, or its points at once."""
        if self._direct and not isinstance(self._card, Curve):
            return _number(self._card[value])
        return _literal(value)

    def reason(self) -> list[str]:
        """Return the clean value, and its points against the average customer."""
        name = self.field.name
        return [
            f"{self.value} AS {quoted_name(f'value_{name}')}",
            f"{self.point} - {_number(self._average)} AS {quoted_name(f'points_{name}')}",
        ]

    @property
    def _text(self) -> str:
        """The column's text, white space stripped, in lower case."""
        return self.stripped if self.is_stripped_before else self._lowered

    @property
    def _lowered(self) -> str:
        return f"LOWER(TRIM({self._column}, {_SPACE}))"

    def _for_gap(self, told: str) -> str:
        """Return what is told for a gap, and NULL where there is none."""
        gaps = "NULL"
        if self._kind == "text":
            # not IN: of six texts DuckDB makes a join, and a join puts rows in another order
            gaps = _lookup(self._text, [(quoted_text(each), told) for each in sorted(GAPS)])
        return _case([(f"{self._column} IS NULL", told)], gaps)

    def _category_of(self) -> str:
        known, tell = self.field.spellings, self._told
        gap = "NULL" if self.field.missing is None else tell(self.field.missing)
        nothing = f"{self._column} IS NULL"
        if self._kind == "boolean":
            values = self.field.values
            flags = tuple(normalise(str(each)) for each in values) in YES_NO
            yes, no = (tell(values[at]) if flags else "NULL" for at in (True, False))
            return _case([(self._column, yes), (f"NOT {self._column}", no)], gap)
        if self._kind == "number":
            numbers = [(_number(key), tell(value)) for key, value in _as_numbers(known).items()]
            return _case([(nothing, gap)], _lookup(self._column, numbers))
        ordinary = {text: value for text, value in known.items() if normalise(text) == text}
        if self.field.missing is not None:  # a gap before all else, whatever is known by its name
            ordinary = {**ordinary, **dict.fromkeys(sorted(GAPS), self.field.missing)}
        dotted = ", ".join(map(quoted_text, _DOTTED))
        plain = f"LOWER(REPLACE(TRIM({self._column}, {_SPACE}), {dotted}))"
        found = _lookup(f"REPLACE({plain}, ' ', '_')", self._by_text(ordinary))
        odd = {
            text: value for text, value in known.items()
            if text not in ordinary and (self.field.missing is None or normalise(text) not in GAPS)
        }  # fmt: skip
        found = _lookup(self._column, self._by_text({**odd, **self._seen}), found)
        return _case([(nothing, gap)], found) if self.field.missing is not None else found

    def _by_text(self, values: Mapping[str, Value]) -> list[tuple[str, str]]:
        return [(quoted_text(text), self._told(value)) for text, value in values.items()]

    def _number_of(self) -> str:
        if self._kind == "boolean":
            # true and false are 1 and 0 where the field is a yes/no, and nothing elsewhere
            flags = self.field.values == (0, 1)
            yes, no = (_number(each) if flags else "NULL" for each in (1, 0))
            known = _case([(self._column, yes), (f"NOT {self._column}", no)])
        else:
            known = _case([(self._allowed(), self.parsed)])
        if self.field.missing is None:
            return known
        return f"COALESCE({known}, {self._for_gap(_number(float(self.field.missing)))})"

    def _allowed(self) -> str:
        """Return whether the field knows a number."""
        field, number = self.field, self.parsed
        if field.values:
            return f"{number} IN ({_number(0)}, {_number(1)})"
        greatest = GREATEST_WHOLE if field.kind == "integer" else GREATEST
        least = 0 if field.low is not None and field.low >= 0 else -greatest
        known = f"{number} BETWEEN {_number(least)} AND {_number(greatest)}"
        return f"{known} AND {number} = ROUND({number})" if field.kind == "integer" else known

    def _double(self) -> str:
        """Return the column as a double; NULL where its text is no number."""
        if self._kind == "number":
            cast = f"CAST({self._column} AS DOUBLE)"
            if self._dialect != "postgres":
                return cast
            # a decimal beyond what a double holds is an error there
            greatest = _number(GREATEST)
            return _case([(f"{self._column} BETWEEN -{greatest} AND {greatest}", cast)])
        text = self._text
        matches = "REGEXP_MATCHES" if self._dialect == "duckdb" else "REGEXP_LIKE"
        if self._dialect == "sqlite":
            is_number = _is_number_in_sqlite(text)
        else:
            is_number = f"{matches}({text}, {quoted_text(_NUMBER)})"
        if self._dialect in ("spark", "databricks"):  # Java's $ stands before a last U+0085, too
            is_number += f" AND NOT {matches}({text}, '[^-+.0-9e]')"
        # a text that some engine can't read after all is refused, and the others go on
        pairs = [(is_number, f"TRY_CAST({text} AS DOUBLE)")]
        if self._dialect == "duckdb":
            # quicker to tell: its cast goes wrong only at underscores, and at a minus after a plus
            plain = f"{self._column} >= '-' AND NOT CONTAINS({self._column}, '_')"
            pairs.insert(0, (plain, f"TRY_CAST({self._column} AS DOUBLE)"))
        return _case(pairs)


def _over(dialect: str, query: str, name: str, *columns: str) -> str:
    """Return a SELECT of columns from another's.

    Engines that would write the inner expressions out wherever they are used are kept from it.
    """
    chosen = f"SELECT {', '.join(columns)} FROM"
    if dialect == "sqlite":
        return f"WITH {name} AS MATERIALIZED ({query}) {chosen} {name}"
    offset = " OFFSET 0" if dialect == "postgres" else ""
    return f"{chosen} ({query}{offset}) AS {name}"


def _translated(query: str, source: str, dialect: str, pretty: bool) -> str:
    """Return DuckDB's query of :data:`_SOURCE` as another dialect has it."""
    import sqlglot
    from sqlglot import exp

    tree = sqlglot.parse_one(query, dialect="duckdb" if dialect == "duckdb" else None)
    for table in tree.find_all(exp.Table):
        if table.name == _SOURCE:
            table.replace(exp.maybe_parse(source, dialect=dialect, into=exp.Table))
    for each in tree.find_all(exp.DPipe, exp.TryCast):
        each.set("safe", False)  # texts are all that there is in them
    # Snowflake keeps plain names in capitals, unless they were created in quotes
    for name in tree.find_all(exp.Identifier) if dialect == "snowflake" else ():
        ours = not isinstance(name.parent, exp.Table)
        if ours and name.quoted and re.fullmatch("[a-z_][a-z0-9_]*", name.name):
            name.set("this", name.name.upper())
    return tree.sql(dialect=dialect, pretty=pretty)


def quoted_name(column: str) -> str:
    """Return a column's name as SQL has it."""
    quoted = column.replace('"', '""')
    return f'"{quoted}"'


def quoted_text(text: str) -> str:
    """Return a text as SQL has it."""
    quoted = text.replace("'", "''")
    return f"'{quoted}'"


def _literal(value: Value) -> str:
    return quoted_text(value) if isinstance(value, str) else _number(value)


def _number(number: float) -> str:
    """Return a double; with an exponent no engine takes it for a decimal."""
    text = repr(number + 0.0)  # which is no -0.0
    return text if "e" in text else f"{text}e0"


def _case(pairs: Iterable[tuple[str, str]], default: str = "NULL", of: str = "") -> str:
    """Return the first value whose condition is met, or else the default."""
    whens = "".join(f" WHEN {condition} THEN {value}" for condition, value in pairs)
    otherwise = "" if default == "NULL" else f" ELSE {default}"
    return f"CASE{of}{whens}{otherwise} END" if whens else default


def _lookup(value: str, table: Iterable[tuple[str, str]], default: str = "NULL") -> str:
    """Return what a table has for a value; the default where it has nothing."""
    return _case(table, default, f" {value}")


def _curve(curve: Curve, number: str) -> str:
    """Return a curve's points, by quarters: the right piece after few comparisons.

    By halves they are fewer, but DuckDB copies what it finds once for each CASE around it.
    """
    pieces = [_piece(number, *piece) for piece in curve.pieces]

    def among(some: range) -> str:
        if len({pieces[at] for at in some}) == 1:
            return pieces[some[0]]
        step = -(-len(some) // 4)
        *before, last = (some[at : at + step] for at in range(0, len(some), step))
        # a piece ends at the knot of its own number
        ends = [f"{number} < {_number(curve.knots[part[-1]])}" for part in before]
        return _case(zip(ends, map(among, before), strict=True), among(last))

    return _case([(f"NOT {number} IS NULL", among(range(len(pieces))))])


def _piece(number: str, anchor: float, points: float, slope: float) -> str:
    if slope == 0:
        return _number(points)
    return f"{_number(points)} + ({_number(slope)}) * ({number} - ({_number(anchor)}))"


def _sigmoid() -> str:
    """Return the probability of the log-odds, cut where it is 0 or 1 either way."""
    logit = f"LEAST(GREATEST({_LOGIT}, {_number(-_GREATEST_LOGIT)}), {_number(_GREATEST_LOGIT)})"
    # engines differ on whether GREATEST leaves out a NULL
    share = _case([(f"NOT {_LOGIT} IS NULL", f"1.0e0 / (1.0e0 + EXP(-({logit})))")])
    return f"{share} AS {_PROBABILITY}"


def _refused(parts: Sequence[_Part]) -> str:
    """Return the names of the fields that were not understood, with commas between."""
    names = ["''"]
    for part in parts:
        names.append(_case([(f"{part.point} IS NULL", quoted_text(f"{part.field.name}, "))], "''"))
    return f"NULLIF(TRIM(({' || '.join(names)}), ', '), '')"


def _as_numbers(known: Mapping[str, Value]) -> dict[float, Value]:
    """Return the values whose spelling is that of a number, by the number."""
    numbers: dict[float, Value] = {}
    for text, value in known.items():
        try:
            number = float(text)
        except ValueError:
            continue
        whole = number.is_integer() and abs(number) <= GREATEST_WHOLE
        if text == str(int(number) if whole else number):
            numbers[number] = value
    return numbers


def _is_number_in_sqlite(told: str) -> str:
    """Return whether text is a number, in a dialect that has no regular expressions.

    Digits are stripped, a point, digits: what is left is nothing or a power of ten.
    """
    unsigned = f"SUBSTR({told}, 1 + ({told} GLOB '[-+]*'))"
    rest = f"LTRIM({unsigned}, '0123456789')"
    rest = f"LTRIM(SUBSTR({rest}, 1 + ({rest} GLOB '.*')), '0123456789')"
    return (
        f"({unsigned} GLOB '[0-9]*' OR {unsigned} GLOB '.[0-9]*') AND ({rest} = '' OR "
        f"(({rest} GLOB 'e[0-9]*' OR {rest} GLOB 'e[-+][0-9]*') "
        f"AND NOT SUBSTR({rest}, 3) GLOB '*[^0-9]*'))"
    )

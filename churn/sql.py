"""The model as one SQL SELECT, for whatever engine holds the customers.

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
from functools import reduce
from typing import Literal

import sqlglot
from sqlglot import exp

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
_SPACE = (32, 9, 10, 13, 11, 12)

#: The one letter of which some engines make another than Python does, putting it in lower case: a
#: plain "i", and with it a value that the service doesn't take.
_DOTTED = ("\u0130", "i\u0307")

#: A number as text, small enough for every engine to read without an error.
_NUMBER = r"^[+-]?([0-9]{1,120}([.][0-9]{0,120})?|[.][0-9]{1,120})(e[+-]?0{0,9}[0-9]{1,2})?$"

#: Numbers as most tables have them.
_PLAIN = r"[0-9]{1,15}([.][0-9]{1,15})?"

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
    nothing but the time taken.

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
    kept: list[exp.Expr] = [_name(column) for column in columns]
    query = exp.select(*kept).from_(exp.maybe_parse(source, dialect=dialect, into=exp.Table))
    # what is used more than once is written once, in a SELECT of its own
    for name, step in ("stripped", _Part.strip), ("parsed", _Part.parse):
        new = [each for each in map(step, parts) if each is not None]
        query = _over(
            dialect, query.select(*new), name, *kept, *(each.args["alias"] for each in new)
        )
    query = query.select(*(part.clean() for part in parts))
    values = [exp.column(part.value) for part in parts if explain]
    query = _over(dialect, query, "cleaned", *kept, *values, *(part.points() for part in parts))
    logit: exp.Expr = _number(card.base)
    for part in parts:
        logit = exp.Add(this=logit, expression=exp.column(part.point))
    points = [exp.column(part.point) for part in parts if explain or refused]
    query = _over(dialect, query, "pointed", *kept, *values, *points, exp.alias_(logit, _LOGIT))
    query = _over(
        dialect, query, "added", *kept, *values, *points, exp.alias_(_sigmoid(), _PROBABILITY)
    )
    verdict = exp.GTE(
        this=exp.column(_PROBABILITY),
        expression=_number(model.manifest.threshold if threshold is None else threshold),
    )
    probability, churn, unknown = free(columns, PROBABILITY, CHURN, REFUSED)
    chosen = [
        *kept,
        exp.column(_PROBABILITY).as_(probability, quoted=True),
        verdict.as_(churn, quoted=True),
    ]
    if explain:
        chosen += [each for part in parts for each in part.reason()]
    if refused:
        chosen.append(exp.alias_(_refused(parts), unknown))
    query = _over(dialect, query, "scored", *chosen)
    if dialect == "snowflake":
        _fold(query)
    return query.sql(dialect=dialect, pretty=pretty)


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
        self._column: exp.Expr = _name(column)
        if kind == "text" and dialect in ("postgres", "duckdb"):  # an enum, say, or a date
            self._column = exp.Cast(this=self._column, to=exp.DataType.build("text"))
        if kind == "json":  # DuckDB's, of one value
            self._column = exp.JSONExtractScalar(
                this=self._column, expression=exp.Literal.string("$")
            )
            self._kind = "text"
        self._dialect = dialect
        self._seen: dict[str, Value] = {}
        # who doesn't ask for the value gets from a spelling to its points in one step
        self._direct = not explain and not field.numeric
        self.value, self.point = f"model__value_{at}", f"model__points_{at}"
        self._stripped, self._parsed = f"model__text_{at}", f"model__number_{at}"

    def look_first_for(self, texts: Iterable[str]) -> None:
        """Have texts looked for as they are, before any are put into the model's spelling."""
        for text in texts if self._kind == "text" and not self.field.numeric else ():
            with suppress(CustomerError):
                self._seen[text] = self.field.clean(text)

    @property
    def _is_stripped_before(self) -> bool:
        # DuckDB strips only what isn't a plain number, when it comes to it
        return self.field.numeric and self._kind == "text" and self._dialect != "duckdb"

    def strip(self) -> exp.Expr | None:
        """Return the text that holds a number, stripped; ``None`` where there is none."""
        return exp.alias_(self._lowered(), self._stripped) if self._is_stripped_before else None

    def parse(self) -> exp.Expr | None:
        """Return the number that there is, whether or not the field knows it."""
        if not self.field.numeric or self._kind == "boolean":
            return None
        return exp.alias_(self._double(), self._parsed)

    def clean(self) -> exp.Expr:
        """Return the value as the model spells it; NULL where it is none."""
        known = self._number_of() if self.field.numeric else self._category_of()
        return exp.alias_(known, self.value)

    def points(self) -> exp.Expr:
        """Return the points of the clean value, in log-odds."""
        value = exp.column(self.value)
        if isinstance(self._card, Curve):
            return exp.alias_(_curve(self._card, value), self.point)
        if self._direct:
            return exp.alias_(value, self.point)
        table = {_literal(key): _number(points) for key, points in self._card.items()}
        return exp.alias_(_lookup(value, table.items()), self.point)

    def _told(self, value: Value) -> exp.Expr:
        """Return what stands for a value on the way: itself, or its points at once."""
        if self._direct and not isinstance(self._card, Curve):
            return _number(self._card[value])
        return _literal(value)

    def reason(self) -> list[exp.Expr]:
        """Return the clean value, and its points against the average customer."""
        points = exp.Sub(this=exp.column(self.point), expression=_number(self._average))
        name = self.field.name
        return [
            exp.column(self.value).as_(f"value_{name}", quoted=True),
            points.as_(f"points_{name}", quoted=True),
        ]

    @property
    def _text(self) -> exp.Expr:
        """The column's text, white space stripped, in lower case."""
        return exp.column(self._stripped) if self._is_stripped_before else self._lowered()

    def _lowered(self) -> exp.Expr:
        space = reduce(
            lambda some, one: exp.DPipe(this=some, expression=one), map(_character, _SPACE)
        )
        return exp.func("LOWER", exp.Trim(this=self._column.copy(), expression=space))

    def _for_gap(self, told: exp.Expr) -> exp.Expr:
        """Return what is told for a gap, and NULL where there is none."""
        gaps: exp.Expr = exp.Null()
        if self._kind == "text":
            # not IN: of six texts DuckDB makes a join, and a join puts rows in another order
            gaps = _lookup(self._text, [(exp.Literal.string(each), told) for each in sorted(GAPS)])
        return _case([(exp.Is(this=self._column.copy(), expression=exp.Null()), told)], gaps)

    def _category_of(self) -> exp.Expr:
        known, tell = self.field.spellings, self._told
        gap = exp.Null() if self.field.missing is None else tell(self.field.missing)
        nothing = exp.Is(this=self._column.copy(), expression=exp.Null())
        if self._kind == "boolean":
            values = self.field.values
            flags = tuple(normalise(str(each)) for each in values) in YES_NO
            yes, no = (tell(values[at]) if flags else exp.Null() for at in (True, False))
            return _case([(self._column, yes), (self._column.not_(), no)], gap)
        if self._kind == "number":
            numbers = [(_number(key), tell(value)) for key, value in _as_numbers(known).items()]
            return _case([(nothing, gap)], _lookup(self._column.copy(), numbers))
        ordinary = {text: value for text, value in known.items() if normalise(text) == text}
        if self.field.missing is not None:  # a gap before all else, whatever is known by its name
            ordinary = {**ordinary, **dict.fromkeys(sorted(GAPS), self.field.missing)}
        text = self._text
        text.set("this", exp.func("REPLACE", text.this, *map(exp.Literal.string, _DOTTED)))
        normal = exp.func("REPLACE", text, exp.Literal.string(" "), exp.Literal.string("_"))
        found = _lookup(normal, self._by_text(ordinary))
        odd = {
            text: value for text, value in known.items()
            if text not in ordinary and (self.field.missing is None or normalise(text) not in GAPS)
        }  # fmt: skip
        as_it_is = {**odd, **self._seen}
        found = _lookup(self._column.copy(), self._by_text(as_it_is), found)
        return _case([(nothing, gap)], found) if self.field.missing is not None else found

    def _by_text(self, values: Mapping[str, Value]) -> list[tuple[exp.Expr, exp.Expr]]:
        return [(exp.Literal.string(text), self._told(value)) for text, value in values.items()]

    def _number_of(self) -> exp.Expr:
        if self._kind == "boolean":
            # true and false are 1 and 0 where the field is a yes/no, and nothing elsewhere
            flags = self.field.values == (0, 1)
            yes, no = (_number(each) if flags else exp.Null() for each in (1, 0))
            known = _case([(self._column, yes), (self._column.not_(), no)], exp.Null())
        else:
            number = exp.column(self._parsed)
            known = _case([(self._allowed(number), number)], exp.Null())
        if self.field.missing is None:
            return known
        gap = self._for_gap(_number(float(self.field.missing)))
        return exp.func("COALESCE", known, gap)

    def _allowed(self, number: exp.Expr) -> exp.Expr:
        """Return whether the field knows a number."""
        field = self.field
        if field.values:
            return number.copy().isin(_number(0), _number(1))
        greatest = GREATEST_WHOLE if field.kind == "integer" else GREATEST
        least = 0 if field.low is not None and field.low >= 0 else -greatest
        known = exp.Between(this=number.copy(), low=_number(least), high=_number(greatest))
        if field.kind != "integer":
            return known
        return exp.and_(known, number.copy().eq(exp.func("ROUND", number.copy())))

    def _double(self) -> exp.Expr:
        """Return the column as a double; NULL where its text is no number."""
        double = exp.DataType.build("double")
        if self._kind == "number":
            cast = exp.Cast(this=self._column.copy(), to=double)
            if self._dialect != "postgres":
                return cast
            greatest = _number(GREATEST)  # a decimal beyond what a double holds is an error there
            fits = exp.Between(this=self._column.copy(), low=exp.Neg(this=greatest), high=greatest)
            return _case([(fits, cast)], exp.Null())
        text = self._text
        plain = exp.func("REGEXP_FULL_MATCH", self._column.copy(), exp.Literal.string(_PLAIN))
        if self._dialect == "sqlite":
            is_number: exp.Expr = _is_number_in_sqlite(text)
        else:
            is_number = _matches(text, _NUMBER)
        if self._dialect in ("spark", "databricks"):  # Java's $ stands before a last U+0085, too
            is_number = exp.and_(is_number, _matches(text, "[^-+.0-9e]").not_())
        # a text that some engine can't read after all is refused, and the others go on
        pairs: list[tuple[exp.Expr, exp.Expr]] = [(is_number, exp.TryCast(this=text, to=double))]
        if self._dialect == "duckdb":  # by far the most, and quick to tell
            pairs.insert(0, (plain, exp.Cast(this=self._column.copy(), to=double)))
        return _case(pairs, exp.Null())


def _over(dialect: str, query: exp.Select, name: str, *columns: exp.Expr) -> exp.Select:
    """Return a SELECT of columns from another's.

    Engines that would write the inner expressions out wherever they are used are kept from it.
    """
    chosen = exp.select(*(each.copy() for each in columns))
    if dialect == "sqlite":
        return chosen.from_(name).with_(name, as_=query, materialized=True)
    return chosen.from_((query.offset(0) if dialect == "postgres" else query).subquery(name))


def _fold(query: exp.Expr) -> None:
    """Spell plain names in capitals, as Snowflake keeps them unless they were created in quotes."""
    for each in query.find_all(exp.Identifier):
        ours = not isinstance(each.parent, exp.Table)
        if ours and each.quoted and re.fullmatch("[a-z_][a-z0-9_]*", each.name):
            each.set("this", each.name.upper())


def _name(column: str) -> exp.Column:
    return exp.column(column, quoted=True)


def _character(number: int) -> exp.Expr:
    return exp.Chr(expressions=[exp.Literal.number(number)])


def _literal(value: Value) -> exp.Expr:
    return exp.Literal.string(value) if isinstance(value, str) else _number(value)


def _number(number: float) -> exp.Expr:
    """Return a double; with an exponent no engine takes it for a decimal."""
    text = repr(abs(float(number)))
    literal = exp.Literal.number(text if "e" in text else f"{text}e0")
    return exp.Neg(this=literal) if number < 0 else literal


def _case(pairs: Iterable[tuple[exp.Expr, exp.Expr]], default: exp.Expr) -> exp.Expr:
    case = exp.Case()
    for condition, value in pairs:
        case = case.when(condition.copy(), value)
    if not case.args.get("ifs"):
        return default
    return case if isinstance(default, exp.Null) else case.else_(default)


def _lookup(
    value: exp.Expr, table: Iterable[tuple[exp.Expr, exp.Expr]], default: exp.Expr | None = None
) -> exp.Expr:
    """Return what a table has for a value; the default, or else NULL, where it has nothing."""
    case = exp.Case(this=value)
    for key, found in table:
        case = case.when(key, found)
    if not case.args.get("ifs"):
        return default or exp.Null()
    return case if default is None or isinstance(default, exp.Null) else case.else_(default)


def _curve(curve: Curve, number: exp.Expr) -> exp.Expr:
    """Return a curve's points, by halves: the right piece after few comparisons."""
    pieces = [_piece(number, *piece) for piece in curve.pieces]

    def between(first: int, last: int) -> exp.Expr:
        if first == last:
            return pieces[first]
        middle = (first + last + 1) // 2  # the piece that starts at the knot before it
        below = exp.LT(this=number.copy(), expression=_number(curve.knots[middle - 1]))
        return exp.Case().when(below, between(first, middle - 1)).else_(between(middle, last))

    known = exp.Is(this=number.copy(), expression=exp.Null()).not_()
    return _case([(known, between(0, len(pieces) - 1))], exp.Null())


def _piece(number: exp.Expr, anchor: float, points: float, slope: float) -> exp.Expr:
    if slope == 0:
        return _number(points)
    away = exp.paren(exp.Sub(this=number.copy(), expression=exp.paren(_number(anchor))))
    rise = exp.Mul(this=exp.paren(_number(slope)), expression=away)
    return exp.Add(this=_number(points), expression=rise)


def _sigmoid() -> exp.Expr:
    """Return the probability of the log-odds, cut where it is 0 or 1 either way."""
    logit = exp.func("GREATEST", exp.column(_LOGIT), _number(-_GREATEST_LOGIT))
    logit = exp.func("LEAST", logit, _number(_GREATEST_LOGIT))
    known = exp.Is(this=exp.column(_LOGIT), expression=exp.Null()).not_()
    odds = exp.Exp(this=exp.Neg(this=exp.paren(logit)))
    share = exp.Div(
        this=_number(1), expression=exp.paren(exp.Add(this=_number(1), expression=odds))
    )
    # engines differ on whether GREATEST leaves out a NULL
    return _case([(known, share)], exp.Null())


def _refused(parts: Sequence[_Part]) -> exp.Expr:
    """Return the names of the fields that were not understood, with commas between."""
    names: exp.Expr = exp.Literal.string("")
    for part in parts:
        unknown = exp.Is(this=exp.column(part.point), expression=exp.Null())
        told = exp.Case().when(unknown, exp.Literal.string(f"{part.field.name}, "))
        names = exp.DPipe(this=names, expression=told.else_(exp.Literal.string("")))
    stripped = exp.Trim(this=exp.paren(names), expression=exp.Literal.string(", "))
    return exp.func("NULLIF", stripped, exp.Literal.string(""))


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


def _matches(text: exp.Expr, pattern: str) -> exp.Expr:
    return exp.RegexpLike(this=text.copy(), expression=exp.Literal.string(pattern))


def _is_number_in_sqlite(text: exp.Expr) -> exp.Expr:
    """Return whether text is a number, in a dialect that has no regular expressions.

    Digits are stripped, a point, digits: what is left is nothing or a power of ten.
    """
    told = text.sql(dialect="sqlite")
    unsigned = f"SUBSTR({told}, 1 + ({told} GLOB '[-+]*'))"
    rest = f"LTRIM({unsigned}, '0123456789')"
    rest = f"LTRIM(SUBSTR({rest}, 1 + ({rest} GLOB '.*')), '0123456789')"
    return sqlglot.parse_one(
        f"({unsigned} GLOB '[0-9]*' OR {unsigned} GLOB '.[0-9]*') AND ({rest} = '' OR "
        f"(({rest} GLOB 'e[0-9]*' OR {rest} GLOB 'e[-+][0-9]*') "
        f"AND NOT SUBSTR({rest}, 3) GLOB '*[^0-9]*'))",
        dialect="sqlite",
    )

"""Random models, and spellings to try them on."""

from __future__ import annotations

from pathlib import Path

from hypothesis import strategies as st

from churn.artifact import Manifest
from churn.model import Model
from churn.schema import MISSING, Field, Schema
from churn.scorecard import Curve, Scorecard

#: What stands in tables, right and wrong.
SPELLINGS = [
    "", " ", "NA", " n/a ", "null", "NaN", "<NA>", "nan ", "missing", "Missing", "None", "0",
    "1", "00", "1.0", "24", "24.0", "24.5", " 24 ", "+3", "-3", "-0", "-0.0", ".5", "5.", ".",
    "-", "+", "+-1", "--1", "1e5", "1E5", "1e+5", "1e-5", "e5", "1e", "1e5.5", "1e400",
    "1e-400", "1e101", "-1e101", "inf", "-Infinity", "1_000", "1,000", "1 000", "0x10", "0b1",
    "1d", "1f", "12", '\uff11\uff12', "1e16", "999999999999999", "1000000000000000",
    "1000000000000001", "9" * 30, "9" * 130, "0.1", "1/2", "yes", "Yes", "NO", " yes ", "true",
    "False", "Fiber Optic", "fiber optic", "FIBER_OPTIC", "fiber  optic", "fiber", "Fiber",
    "dsl\t", "\ndsl", 'dsl\xa0', "ds l", '\u0130', '\xdf', '\xc9', "it's", 'a "b"', "a;b", "\\",
    "\\n", "%", "_", "1.5", "1.50", "2020-01-02", "yess", "\x00", '\xe9',
    "F\u0130ber optic", "24\u0085", "ye\u017f", "\u212a",
]  # fmt: skip

_VALUES = [
    "yes",
    "no",
    "dsl",
    "fiber_optic",
    "Fiber",
    "fiber",
    "it's",
    "é",
    "1.5",
    "24",
    "na",
    "\\n",
    "ß",
]
_points = st.floats(-3, 3).map(lambda number: round(number, 6))
_numbers = st.floats(-50, 150).map(lambda number: round(number, 2))


@st.composite
def curves(draw):
    knots = sorted(draw(st.lists(_numbers, min_size=1, max_size=6)))
    points = draw(st.lists(_points, min_size=len(knots), max_size=len(knots)))
    slopes = st.floats(-0.01, 0.01)
    return Curve(tuple(knots), tuple(points), draw(slopes), draw(slopes))


@st.composite
def parts(draw, name):
    """Return a field with its points."""
    kind = draw(st.sampled_from(["category", "yes/no", "flag", "integer", "number"]))
    if kind in ("category", "yes/no"):
        values = draw(st.lists(st.sampled_from(_VALUES), min_size=2, max_size=5, unique=True))
        if kind == "yes/no":
            values = draw(st.sampled_from([["no", "yes"], ["false", "true"]]))
        missing = draw(st.sampled_from([None, MISSING, values[0]]))
        known = dict.fromkeys([*values, *([] if missing is None else [missing])])
        return Field(name, kind, tuple(values), missing=missing), {v: draw(_points) for v in known}
    missing = draw(st.sampled_from([None, 0, 1]))
    if kind == "flag":
        return Field(name, "yes/no", (0, 1), missing=missing), Curve.line(draw(_points))
    low = draw(st.sampled_from([None, 0.0, -5.0]))
    high = None if low is None else 100.0
    return Field(name, kind, low=low, high=high, missing=missing), draw(curves())


@st.composite
def models(draw):
    """Return a model of a few fields, all its own."""
    drawn = [draw(parts(f"field_{at}")) for at in range(draw(st.integers(1, 4)))]
    schema = Schema(tuple(field for field, _ in drawn))
    average = {field.name: draw(_points) for field, _ in drawn}
    card = Scorecard(draw(_points), {field.name: points for field, points in drawn}, average)
    return Model(Path("x"), "0" * 64, card, schema, Manifest(schema, "0" * 64), (0, 1))

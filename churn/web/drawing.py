"""The scorecard as drawn: where bars, curves and words stand, for a template to make SVG of.

Every panel shares one scale, so that a long bar anywhere means a strong field. Coordinates are the
SVG's own, in a box :data:`WIDTH` wide.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from churn.model import Model
from churn.schema import Field, Value
from churn.scorecard import Curve, Scorecard
from churn.web.wording import MINUS, name_of, number, percent, signed, worded

WIDTH = 360

#: Rows of a bar chart; a category with more shows its strongest, and the table has them all.
MOST_BARS = 12
ROW = 36
#: Where no points is in a bar chart, and how far the strongest bar reaches from there.
BARS_MIDDLE, BARS_REACH = 154, 140

#: The curve's plot: its left and right, its middle, and how far the scale reaches up and down.
LEFT, RIGHT, MIDDLE, REACH = 40, 350, 84, 72
#: The strip below it that shows where the customers are.
STRIP_TOP, STRIP_BOTTOM = 166, 194

#: Numbers sampled in each bin of the profile to find a curve's mean absolute points.
SAMPLES = 5


@dataclass(frozen=True)
class Row:
    """A value in words, its points against the average customer, and its share of customers."""

    value: str
    points: float
    share: float | None = None

    @property
    def shown(self) -> str:
        """The points, signed."""
        return signed(self.points)

    @property
    def customers(self) -> str:
        """The share of customers in words, where it is known."""
        return "" if self.share is None else f"{percent(self.share)} of customers"


@dataclass(frozen=True)
class Bar:
    """One bar of a category: its words and its box."""

    row: Row
    top: int
    left: float
    width: float


@dataclass(frozen=True)
class Plot:
    """A number's curve: polygons above and below the average, axes, and where customers are."""

    line: str
    above: str
    below: str
    strip: tuple[tuple[float, float, float, float], ...]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]


@dataclass(frozen=True)
class Panel:
    """One field of the scorecard: its rows for the table, and its drawing, if it has one."""

    name: str
    label: str
    importance: float
    rows: tuple[Row, ...]
    bars: tuple[Bar, ...] = ()
    plot: Plot | None = None
    note: str = ""

    @property
    def height(self) -> int:
        """How tall the drawing is."""
        return 216 if self.plot else ROW * len(self.bars) + 4

    @property
    def described(self) -> str:
        """The drawing in one sentence, for who can't see it."""
        return "; ".join(f"{row.value}: {row.shown}" for row in self.rows) + "."


def panels(model: Model, card: Scorecard) -> list[Panel]:
    """Return a panel a field, the one that moves customers most first."""
    fields = [_Drawn.of(model, card, each) for each in model.schema.fields]
    reach = max((abs(row.points) for field in fields for row in field.rows), default=0) or 1.0
    made = [field.panel(reach) for field in fields]
    return sorted(made, key=lambda panel: -panel.importance)


@dataclass(frozen=True)
class _Drawn:
    """A field, its points against the average customer, and what training saw of it."""

    field: Field
    card: Mapping[Value, float] | Curve
    average: float
    profile: Mapping[str, Any]

    @classmethod
    def of(cls, model: Model, card: Scorecard, field: Field) -> _Drawn:
        profile = model.manifest.profile.get(field.name, {})
        return cls(field, card.points[field.name], card.average[field.name], profile)

    def points(self, value: Value) -> float:
        """Return the points of a value, against the average customer."""
        if isinstance(self.card, Curve):
            return self.card(float(value)) - self.average
        return self.card[value] - self.average

    @property
    def rows(self) -> tuple[Row, ...]:
        """A row a value of a category; of a number, one wherever the curve bends."""
        if not self.field.values:
            return tuple(Row(number(at), self.points(at)) for at in self.bends)
        counts = self.profile.get("values", {})
        total = sum(counts.values())
        values = [*self.field.values]
        if self.field.missing is not None and self.field.missing not in values:
            values.append(self.field.missing)  # type: ignore[arg-type]  # no float: a category
        return tuple(
            Row(
                worded(self.field, value),
                self.points(value),
                counts.get(str(value), 0) / total if total else None,
            )
            for value in values
        )

    @property
    def range(self) -> tuple[float, float] | None:
        """From where to where the curve is drawn: what training saw, or else its knots."""
        low, high = self.field.low, self.field.high
        if low is None or high is None:
            knots = self.card.knots if isinstance(self.card, Curve) else ()
            low, high = (knots[0], knots[-1]) if knots else (0.0, 0.0)
        return (low, high) if low < high else None

    @property
    def bends(self) -> list[float]:
        """The numbers where the curve bends, with both ends of its range."""
        if self.range is None or not isinstance(self.card, Curve):
            return []
        low, high = self.range
        return sorted({low, high, *(knot for knot in self.card.knots if low < knot < high)})

    @property
    def importance(self) -> float:
        """The mean absolute points over the training customers, as far as these are known."""
        if self.field.values:
            weights = [1.0 if row.share is None else row.share for row in self.rows]
            sizes = [abs(row.points) for row in self.rows]
        else:
            bins = list(pairwise(self.profile.get("edges", self.bends)))
            counts = self.profile.get("counts", [1] * len(bins))
            weights = [count / SAMPLES for count in counts for _ in range(SAMPLES)]
            sizes = [
                abs(self.points(low + (high - low) * (at + 0.5) / SAMPLES))
                for low, high in bins
                for at in range(SAMPLES)
            ]
        total = sum(weights)
        return sum(w * s for w, s in zip(weights, sizes, strict=True)) / total if total else 0.0

    def panel(self, reach: float) -> Panel:
        panel = Panel(self.field.name, name_of(self.field), self.importance, self.rows)
        if self.field.values:
            return self._with_bars(panel, reach)
        if self.range is None:
            slope = self.points(1) - self.points(0)
            note = f"{signed(slope)} points for each 1 more; nobody recorded the range."
            return _replaced(panel, note=note)
        return _replaced(panel, plot=self._plot(reach), note=self._gap())

    def _with_bars(self, panel: Panel, reach: float) -> Panel:
        strongest = sorted(panel.rows, key=lambda row: -abs(row.points))[:MOST_BARS]
        shown = [row for row in panel.rows if row in strongest][:MOST_BARS]
        bars = []
        for at, row in enumerate(shown):
            length = abs(row.points) / reach * BARS_REACH
            left = BARS_MIDDLE - (length if row.points < 0 else 0)
            bars.append(Bar(row, at * ROW, round(left, 1), round(length, 1)))
        rest = len(panel.rows) - len(shown)
        note = f"The strongest {len(shown)}; the table below has {rest} more." if rest else ""
        return _replaced(panel, bars=tuple(bars), note=note)

    def _gap(self) -> str:
        missing = self.field.missing
        if missing is None:
            return ""
        return f"Left empty, it counts as {number(float(missing))}: {signed(self.points(missing))}."

    def _plot(self, reach: float) -> Plot:
        assert self.range is not None  # noqa: S101 - the caller's own check, for the reader of types
        low, high = self.range

        def x(at: float) -> float:
            return round(LEFT + (at - low) / (high - low) * (RIGHT - LEFT), 1)

        def y(points: float) -> float:
            return round(MIDDLE - points / reach * REACH, 1)

        ends = _crossed([(at, self.points(at)) for at in self.bends])
        ticks = (-_nice(reach), 0.0, _nice(reach))
        return Plot(
            line=_path((x(at), y(points)) for at, points in ends),
            above=_area([(x(at), y(max(points, 0))) for at, points in ends]),
            below=_area([(x(at), y(min(points, 0))) for at, points in ends]),
            strip=tuple(self._strip(low, high, x)),
            x_ticks=tuple((x(at), number(at)) for at in _ticks(low, high)),
            y_ticks=tuple(
                (y(tick), f"{tick:+g}".replace("-", MINUS) if tick else "0") for tick in ticks
            ),
        )

    def _strip(self, low: float, high: float, x: Any) -> list[tuple[float, float, float, float]]:
        """Return the histogram's boxes (x, y, width, height): areas stand for customers."""
        bins = [
            (max(a, low), min(b, high), count)
            for (a, b), count in zip(
                pairwise(self.profile.get("edges", ())), self.profile.get("counts", ()), strict=True
            )
        ]
        bins = [each for each in bins if each[0] < each[1]]
        densest = max((count / (b - a) for a, b, count in bins), default=0)
        boxes: list[tuple[float, float, float, float]] = []
        for a, b, count in bins:
            tall = (
                round(count / (b - a) / densest * (STRIP_BOTTOM - STRIP_TOP), 1) if densest else 0
            )
            boxes.append((x(a), STRIP_BOTTOM - tall, round(x(b) - x(a), 1), tall))
        return boxes


def _replaced(panel: Panel, **changes: Any) -> Panel:
    return Panel(**{**vars(panel), **changes})


def _crossed(ends: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the curve's corners, with those where it crosses the average added."""
    corners = [ends[0]]
    for (a, p), (b, q) in pairwise(ends):
        if p * q < 0:
            corners.append((a + (b - a) * p / (p - q), 0.0))
        corners.append((b, q))
    return corners


def _path(corners: Any) -> str:
    return "M" + " L".join(f"{x:g} {y:g}" for x, y in corners)


def _area(corners: Sequence[tuple[float, float]]) -> str:
    return f"{_path([(corners[0][0], MIDDLE), *corners, (corners[-1][0], MIDDLE)])} Z"


def _nice(reach: float) -> float:
    """Return the largest of 1, 2 and 5 times a power of ten that is within ``reach``."""
    power = 10.0 ** math.floor(math.log10(reach))
    return max(step * power for step in (1, 2, 5) if step * power <= reach * (1 + 1e-9))


def _ticks(low: float, high: float) -> list[float]:
    """Return round numbers along a range, few enough for a phone."""
    step = _nice((high - low) / 3)
    first = math.ceil(low / step)
    return [round(step * at, 10) for at in range(first, first + 12) if step * at <= high]

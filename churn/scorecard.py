"""An additive model in log-odds, as what it is: a scorecard.

``logit(p) = base + the points of each field``. A category's points are a table, a number's are a
curve of straight pieces. :meth:`Scorecard.from_pickle` works a card out of a pickled pair
``(DictVectorizer, model)`` of scikit-learn's; nothing else of the file is believed or run. Models
it can work out: logistic regression on the vectorizer's features, on scaled features, and on
piecewise-linear splines of the numbers (:class:`sklearn.preprocessing.SplineTransformer`).
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from operator import add
from typing import Any

from churn import inert
from churn.errors import ArtifactError, UntrustedError, reason
from churn.inert import Node
from churn.schema import GREATEST, Customer, Schema, Value

#: Every name that a scorecard's pickle asks for, over the releases of scikit-learn (0.21 to 1.9),
#: NumPy (1 and 2), SciPy and the pickle protocols.
KNOWN = frozenset({
    "sklearn.feature_extraction._dict_vectorizer.DictVectorizer",
    "sklearn.feature_extraction.dict_vectorizer.DictVectorizer",
    "sklearn.linear_model._logistic.LogisticRegression",
    "sklearn.linear_model._logistic.LogisticRegressionCV",
    "sklearn.linear_model.logistic.LogisticRegression",
    "sklearn.linear_model.logistic.LogisticRegressionCV",
    "sklearn.pipeline.Pipeline",
    "sklearn.preprocessing._data.StandardScaler",
    "sklearn.preprocessing._data.MinMaxScaler",
    "sklearn.preprocessing._data.MaxAbsScaler",
    "sklearn.preprocessing.data.StandardScaler",
    "sklearn.preprocessing.data.MinMaxScaler",
    "sklearn.preprocessing.data.MaxAbsScaler",
    "sklearn.preprocessing._polynomial.SplineTransformer",
    "sklearn.preprocessing._function_transformer.FunctionTransformer",
    "sklearn.compose._column_transformer.ColumnTransformer",
    "sklearn.compose._column_transformer._RemainderColsList",
    "scipy.interpolate._bsplines.BSpline",
    "scipy._lib.array_api_compat.numpy._aliases.asarray",
    "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray._reconstruct",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "numpy.core.numeric._frombuffer",
    "numpy._core.numeric._frombuffer",
    "numpy.ndarray",
    "numpy.dtype",
    "numpy.float64",
    "numpy.float32",
    "numpy.int64",
    "_codecs.encode",
    "builtins.slice",
    "__builtin__.slice",
    "builtins.object",
    "__builtin__.object",
    "copyreg._reconstructor",
    "copy_reg._reconstructor",
})  # fmt: skip

#: Packages whose classes make a file somebody's model, if not a scorecard.
MODEL_LIBRARIES = frozenset(
    {"sklearn", "numpy", "scipy", "pandas", "joblib", "xgboost", "lightgbm", "catboost", "imblearn"}
)

#: Names of the standard library that such classes are pickled with.
HARMLESS = frozenset({
    "collections.OrderedDict", "collections.defaultdict", "collections.deque",
    "functools.partial", "builtins.set", "builtins.frozenset", "builtins.bytearray",
})  # fmt: skip

#: Most work in making a card, in columns and knots: far above any table of customers, and soon
#: done. A small file can ask for endless work by naming the same step in itself again and again.
MOST_WORK = 3_000_000


@dataclass(frozen=True)
class Curve:
    """Points of a number: straight lines between knots, and a slope beyond either end.

    Two knots at one place are a jump there; the second holds the points at that very number.
    """

    knots: tuple[float, ...]
    points: tuple[float, ...]
    below: float = 0.0
    above: float = 0.0
    pieces: tuple[tuple[float, float, float], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Keep each piece as (where it is anchored, points there, slope)."""
        ends = list(zip(self.knots, self.points, strict=True))
        slopes = [(q - p) / (b - a) if a < b else 0.0 for (a, p), (b, q) in pairwise(ends)]
        pieces = [(*ends[0], self.below)]
        pieces += [(*end, slope) for end, slope in zip(ends, [*slopes, self.above], strict=True)]
        object.__setattr__(self, "pieces", tuple(pieces))

    def __call__(self, number: float) -> float:
        """Return the points of ``number``, in log-odds."""
        anchor, points, slope = self.pieces[bisect_right(self.knots, number)]
        return points + slope * (number - anchor)

    @classmethod
    def line(cls, slope: float) -> Curve:
        """Return the straight line through the origin."""
        return cls((0.0,), (0.0,), slope, slope)

    @classmethod
    def total(cls, curves: Sequence[Curve]) -> Curve:
        """Return the sum of curves; those that jump must have the same knots."""
        if len(curves) == 1:
            return curves[0]
        below, above = sum(c.below for c in curves), sum(c.above for c in curves)
        if len({curve.knots for curve in curves}) == 1:
            points = tuple(sum(at) for at in zip(*(c.points for c in curves), strict=True))
            return cls(curves[0].knots, points, below, above)
        knots = tuple(sorted({knot for curve in curves for knot in curve.knots})) or (0.0,)
        points = tuple(sum(curve(knot) for curve in curves) for knot in knots)
        return cls(knots, points, below, above)


@dataclass(frozen=True)
class Reason:
    """A field, its value, and the points it adds against the average customer, in log-odds."""

    field: str
    value: Value
    points: float


def in_short(reasons: list[Reason]) -> str:
    """Return the strongest reasons as a cell: ``tenure 1 (+1.14), contract … (+0.46), …``."""
    return ", ".join(f"{each.field} {each.value} ({each.points:+.2f})" for each in reasons[:3])


@dataclass(frozen=True)
class Scorecard:
    """``logit(p) = base + sum of points``; ``points`` holds a table or a curve a field.

    ``average`` is what each field adds for the average customer, in log-odds; where training's
    averages aren't known it is the mean of a table, and the curve's middle.
    """

    base: float
    points: Mapping[str, Mapping[Value, float] | Curve]
    average: Mapping[str, float]
    #: The one call that gives each field's points, so that scoring decides nothing.
    lookups: tuple[tuple[str, Callable[[Any], float]], ...] = field(
        init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        lookups = [
            (name, card if isinstance(card, Curve) else card.__getitem__)
            for name, card in self.points.items()
        ]
        object.__setattr__(self, "lookups", tuple(lookups))

    def logit(self, customer: Customer) -> float:
        """Return the log-odds that a customer leaves."""
        total = self.base
        for name, points in self.lookups:
            total += points(customer[name])
        return total

    def probability(self, customer: Customer) -> float:
        """Return the probability that a customer leaves, between 0 and 1."""
        return sigmoid(self.logit(customer))

    def probabilities(self, columns: Mapping[str, Sequence[Value]]) -> list[float]:
        """Return the probability of each customer, given their fields as columns of one length.

        The same sums in the same order as :meth:`probability`, so the same numbers to the bit.
        """
        length = len(next(iter(columns.values()), ()))
        totals = [self.base] * length
        for name, points in self.lookups:
            totals = list(map(add, totals, map(points, columns[name])))
        return list(map(sigmoid, totals))

    def reasons(self, customer: Customer) -> tuple[float, list[Reason]]:
        """Return the average customer's log-odds, and what each field adds to it, by size."""
        base = self.base + math.fsum(self.average.values())
        reasons = [
            Reason(name, customer[name], points(customer[name]) - self.average[name])
            for name, points in self.lookups
        ]
        return base, sorted(reasons, key=lambda reason: -abs(reason.points))

    @classmethod
    def from_pickle(
        cls, content: bytes, sha256: str, schema: Schema | None, average: Mapping[str, float] | None
    ) -> tuple[Scorecard, Schema, list[Any]]:
        """Return the card in a pickled pair, its schema (recovered where not given), its classes.

        :raises UntrustedError: it holds a model, but not a scorecard.
        :raises ArtifactError: it holds no model.
        """
        tree, names = inert.read(content)
        _allow(names, sha256)
        try:
            vectorizer, model = _pair(tree)
            features, separator = vectorizer["feature_names_"], vectorizer["separator"]
            if not _is_texts(features) or not isinstance(separator, str):
                raise ArtifactError("its vectorizer's features have no names")
            base, curves, classes = _worked_out(model, len(features))
            if schema is None:
                schema = Schema.recovered(features, separator)
            points = _cards(dict(zip(features, curves, strict=True)), separator, schema)
        except ArtifactError:
            raise
        except _NotAdditive as found:
            raise _untrusted(str(found), sha256, names) from None
        except Exception as error:  # foreign state may be of any shape at all
            raise ArtifactError(
                f"its parts don't fit together ({reason(error)}): train it again"
            ) from error
        known = average or {name: _middle(card) for name, card in points.items()}
        if lost := [name for name in points if name not in known]:
            raise ArtifactError(f"its manifest has no average for {lost[0]!r}: train it again")
        return cls(base, points, {name: known[name] for name in points}), schema, classes


def sigmoid(logit: float) -> float:
    """Return the probability of these log-odds; neither side can overflow."""
    if logit >= 0:
        return 1 / (1 + math.exp(-logit))
    odds = math.exp(logit)
    return odds / (1 + odds)


def _allow(names: set[str], sha256: str) -> None:
    """Refuse a pickle that asks for anything a scorecard doesn't."""
    others = sorted(names - KNOWN)
    library = [name for name in others if name.partition(".")[0] in MODEL_LIBRARIES]
    hostile = [name for name in others if name not in library and name not in HARMLESS]
    if hostile:
        raise UntrustedError(
            f"it asks for {', '.join(hostile[:3])}, which no churn model needs: "
            "don't load this file anywhere",
            sha256,
            others,
        )
    if others:
        classes = [name for name in library if name.rpartition(".")[2][:1].isupper()] or others
        raise _untrusted(f"it holds a {classes[0].rpartition('.')[2]}", sha256, set(others))


def _untrusted(what: str, sha256: str, names: set[str]) -> UntrustedError:
    return UntrustedError(
        f"{what}, not a scorecard, so only scikit-learn can serve it, by unpickling it, and "
        "unpickling runs whatever code the file holds. If you know who made it, install "
        f"scikit-learn and set CHURN_TRUST_SHA256={sha256}",
        sha256,
        sorted(names - KNOWN),
    )


def _pair(tree: Any) -> tuple[Node, Node]:
    """Return the vectorizer and what follows it."""
    if isinstance(tree, Node) and tree.kind == "Pipeline":
        (_, vectorizer), *rest = tree["steps"]
        tree = (vectorizer, Node("Pipeline", state={"steps": rest}))
    match tree:
        case (Node(kind="DictVectorizer") as vectorizer, Node() as model):
            return vectorizer, model
        case Node():
            raise ArtifactError(
                f"it holds a {tree.kind} alone; pickle the pair (DictVectorizer, model), "
                "or one Pipeline of both"
            )
    raise ArtifactError("it holds no pair (DictVectorizer, model)")


def _is_texts(found: Any) -> bool:
    return isinstance(found, list) and all(isinstance(each, str) for each in found)


class _NotAdditive(Exception):
    """A model is none that a scorecard can stand for; says what it is."""


class _Work:
    """What making a card may still cost."""

    def __init__(self) -> None:
        self.left = MOST_WORK

    def costs(self, amount: int) -> None:
        """Take note of so much work, before it is done.

        :raises ArtifactError: it is too much.
        """
        self.left -= amount
        if self.left < 0:
            raise ArtifactError("it asks for more work than any model of customers does")


@dataclass(frozen=True)
class _Column:
    """A column on its way through the model: ``scale * (the feature, or a hat of it) + shift``."""

    feature: int
    scale: float = 1.0
    shift: float = 0.0
    #: The spline's knots, which of its hats this is, and whether it goes on beyond the ends.
    hat: tuple[tuple[float, ...], int, bool] | None = None

    def scaled(self, scale: float, shift: float) -> _Column:
        return _Column(self.feature, self.scale * scale, self.shift * scale + shift, self.hat)

    def curve(self, weight: float) -> Curve:
        """Return ``weight * (this column - shift)`` as a curve of the feature."""
        if self.hat is None:
            return Curve.line(weight * self.scale)
        knots, at, goes_on = self.hat
        points = tuple(weight * self.scale * (i == at) for i in range(len(knots)))
        if not goes_on:
            return Curve(knots, points)
        ends = Curve(knots, points).pieces
        return Curve(knots, points, ends[1][2], ends[-2][2])


def _worked_out(model: Node, features: int) -> tuple[float, list[Curve], list[Any]]:
    """Return the model's base, a curve a feature, and its two classes."""
    work = _Work()
    *steps, classifier = _steps(model, work)
    columns = [_Column(feature) for feature in range(features)]
    for step in steps:
        columns = _through(step, columns, work)
    if classifier.kind not in ("LogisticRegression", "LogisticRegressionCV"):
        raise _NotAdditive(f"it ends in a {classifier.kind}")
    classes = inert.labels(classifier["classes_"])
    if not all(isinstance(each, str | int | float) for each in classes):
        raise ArtifactError("its classes are neither texts nor numbers")
    if len(classes) != 2:
        raise ArtifactError(f"it knows {len(classes)} classes, not leaving and staying")
    weights = inert.numbers(classifier["coef_"])
    if len(weights) != len(columns):
        raise ArtifactError(f"its model reads {len(weights)} columns and is given {len(columns)}")
    # scikit-learn's binary "multinomial" is a softmax over (-d, d): the sigmoid of 2 d
    factor = 2.0 if classifier.get("multi_class") == "multinomial" else 1.0
    weights = [factor * weight for weight in weights]
    (intercept,) = inert.numbers(classifier["intercept_"]) or [0.0]
    base = factor * intercept + math.fsum(
        w * c.shift for w, c in zip(weights, columns, strict=True)
    )
    curves: list[list[Curve]] = [[] for _ in range(features)]
    for weight, column in zip(weights, columns, strict=True):
        curves[column.feature].append(column.curve(weight))
    totals = [_total(each, work) for each in curves]
    told = [base, *(number for total in totals for piece in total.pieces for number in piece)]
    if not all(abs(number) <= GREATEST for number in told):
        raise ArtifactError("it holds a number too large to compute with, or none: train it again")
    return base, totals, classes


def _total(curves: list[Curve], work: _Work) -> Curve:
    """Return the sum of one feature's curves."""
    knots = {curve.knots for curve in curves}
    if len(knots) > 1 and any(a == b for each in knots for a, b in pairwise(each)):
        raise _NotAdditive("it has a curve with a jump in it beside another of the same number")
    work.costs(len(curves) * len(set().union(*knots)))
    return Curve.total(curves)


def _steps(model: Node, work: _Work) -> list[Node]:
    if model.kind != "Pipeline":
        return [model]
    work.costs(len(model["steps"]))
    steps = [step for _name, step in model["steps"] if step not in (None, "passthrough")]
    return [inner for step in steps for inner in _steps(step, work)]


def _through(step: Node, columns: list[_Column], work: _Work) -> list[_Column]:
    """Return the columns after one step of the model."""
    work.costs(1 + len(columns))
    match step.kind:
        case "StandardScaler":
            ones = [1.0] * len(columns)
            scales = ones if step["scale_"] is None else inert.numbers(step["scale_"])
            means = [0.0] * len(columns)
            if step.get("with_mean", True) and step["mean_"] is not None:
                means = inert.numbers(step["mean_"])
            pairs = [(1 / scale, -mean / scale) for scale, mean in zip(scales, means, strict=True)]
        case "MinMaxScaler" if not step.get("clip", False):
            least, scales = inert.numbers(step["min_"]), inert.numbers(step["scale_"])
            pairs = list(zip(scales, least, strict=True))
        case "MaxAbsScaler" if not step.get("clip", False):
            pairs = [(1 / scale, 0.0) for scale in inert.numbers(step["scale_"])]
        case "SplineTransformer":
            return _splines(step, columns, work)
        case "ColumnTransformer":
            return _column_transformer(step, columns, work)
        case "FunctionTransformer" if step.get("func") is None:
            return columns
        case kind:
            raise _NotAdditive(f"it has a {kind} in it")
    return [column.scaled(*pair) for column, pair in zip(columns, pairs, strict=True)]


def _splines(step: Node, columns: list[_Column], work: _Work) -> list[_Column]:
    """Return a column a hat: of degree 1, hat *i* is 1 at knot *i* and 0 at all the others."""
    extrapolation = step.get("extrapolation", "constant")
    if step["degree"] != 1 or extrapolation not in ("constant", "linear", "continue"):
        raise _NotAdditive("it has splines other than straight lines in it")
    goes_on = extrapolation != "constant"
    after: list[_Column] = []
    for column, spline in zip(columns, step["bsplines_"], strict=True):
        if column != _Column(column.feature):
            raise _NotAdditive("it has splines of scaled numbers in it")
        # SciPy 1.17 and newer call the padded knots "_t"
        knots = tuple(inert.numbers(spline.get("_t") or spline["t"])[1:-1])
        work.costs(len(knots) ** 2)
        hats = _hats(knots, goes_on)
        kept = hats if step["include_bias"] else hats[:-1]
        after += [_Column(column.feature, hat=(knots, at, goes_on)) for at in kept]
    return after


def _hats(knots: tuple[float, ...], goes_on: bool) -> list[int]:
    """Return the knot that each hat stands on, or -1 where it has none.

    Quantiles of a number that is often the same are knots at one place. SciPy then makes a jump
    there, and of two hats that meet at an end, the outer one has no room.
    """
    starts, ends = knots[0] == knots[1], knots[-1] == knots[-2]
    if goes_on and (starts or ends):
        raise _NotAdditive("it has splines that begin or end with a jump in it")
    inner = range(1, len(knots) - 1)
    return [-1 if starts else 0, *inner, -1 if ends else len(knots) - 1]


def _column_transformer(step: Node, columns: list[_Column], work: _Work) -> list[_Column]:
    if step.get("transformer_weights") is not None:
        raise _NotAdditive("it has weighted columns in it")
    after: list[_Column] = []
    for _name, transformer, chosen in step["transformers_"]:
        if transformer == "drop":
            continue
        taken = [columns[at] for at in _indices(chosen, len(columns))]
        work.costs(1 + len(taken))
        steps = [] if transformer == "passthrough" else _steps(transformer, work)
        for inner in steps:
            taken = _through(inner, taken, work)
        after += taken
    return after


def _indices(chosen: Any, count: int) -> list[int]:
    """Return the positions that a ColumnTransformer's choice of columns names."""
    if isinstance(chosen, Node) and chosen.kind == "slice":
        return list(range(count))[slice(*chosen.args)]
    if isinstance(chosen, Node) and chosen.kind == "_RemainderColsList":
        chosen = chosen["data"]
    if isinstance(chosen, Node):
        chosen = inert.labels(chosen)
    chosen = chosen if isinstance(chosen, list | tuple) else [chosen]
    if any(isinstance(at, str) for at in chosen):
        raise _NotAdditive("it chooses columns by their names")
    if chosen and all(isinstance(at, bool) for at in chosen):
        return [at for at, taken in enumerate(chosen) if taken]
    return list(map(int, inert.numbers(chosen)))


def _cards(
    by_feature: Mapping[str, Curve], separator: str, schema: Schema
) -> dict[str, Mapping[Value, float] | Curve]:
    """Return the points a field, given the curve of every feature."""
    left = dict(by_feature)
    cards: dict[str, Mapping[Value, float] | Curve] = {}
    for each in schema.fields:
        if each.numeric:
            if each.name not in left:
                raise ArtifactError(f"its vectorizer does not know the number {each.name!r}")
            cards[each.name] = left.pop(each.name)
            continue
        values: list[Value] = [*each.values, *([] if each.missing is None else [each.missing])]
        features = {f"{each.name}{separator}{value}": value for value in values}
        curves = {value: left.pop(name) for name, value in features.items() if name in left}
        absent = sum(curve(0.0) for curve in curves.values())
        cards[each.name] = {
            value: absent + (curves[value](1.0) - curves[value](0.0) if value in curves else 0.0)
            for value in values
        }
    if left:
        raise ArtifactError(f"its vectorizer knows {next(iter(left))!r}, which is no field's value")
    return cards


def _middle(card: Mapping[Value, float] | Curve) -> float:
    """Return a stand-in for the average points of a field whose training nobody recorded."""
    if isinstance(card, Curve):
        return card(card.knots[len(card.knots) // 2])
    return math.fsum(card.values()) / len(card)

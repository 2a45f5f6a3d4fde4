"""Train: choose, cross-validate, measure and fit a model on a table of customers."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import combinations, product
from platform import python_version
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import SplineTransformer, StandardScaler
from threadpoolctl import threadpool_limits

from churn.artifact import THRESHOLD, Golden, Manifest
from churn.data import Dataset
from churn.errors import DataError
from churn.schema import Field
from churn.scorecard import Scorecard

Kind = Literal["scorecard", "logistic"]
Table = NDArray[np.float64]
Labels = NDArray[np.int64]
#: Told of each model fitted, so that a progress bar can move.
Progress = Callable[[], object]

#: What the scorecard may be: the knots a number, and C, the inverse of the L2 penalty. Finer grids
#: gained nothing on the telephone data; these reach from nearly straight to as bent as data allow.
KNOTS = (4, 8, 12)
PENALTIES = (0.01, 0.03, 0.1, 0.3)

#: Folds by which a recipe is chosen, inside whatever part it may see.
INNER_FOLDS = 3

#: Golden customers kept with the model, spread over its probabilities.
GOLDEN = 6

#: Two values that chance would have shown together this often, and never were, exclude each other.
EXPECTED_TOGETHER = 10

#: Decimals of the figures in the manifest: what another processor's rounding leaves the same.
DECIMALS = 4


@dataclass(frozen=True)
class Recipe:
    """How to make a model: which kind, and the scorecard's knots a number and C."""

    kind: Kind
    knots: int = 0
    penalty: float = 1.0

    def model(self, table: Table, numbers: Sequence[int]) -> Any:
        """Return an unfitted model for ``table``, whose columns ``numbers`` get curves."""
        if self.kind == "logistic":
            # unscaled, liblinear stops short of the optimum where numbers are large (incomes, say)
            return make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=1000))
        splines = []
        for column in numbers:
            knots = np.unique(np.quantile(table[:, column], np.linspace(0, 1, self.knots)))
            if len(knots) > 2:  # a number of two values is a straight line already
                spline = SplineTransformer(degree=1, knots=knots[:, None])
                splines.append((f"column {column}", spline, [column]))
        return make_pipeline(
            ColumnTransformer(splines, remainder="passthrough"),
            StandardScaler(),
            LogisticRegression(C=self.penalty, max_iter=1000),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the recipe as the manifest tells it."""
        if self.kind == "logistic":
            return {"kind": self.kind, "C": 1.0}
        return {"kind": self.kind, "knots": self.knots, "C": self.penalty}


#: Plain logistic regression: the rival on every fold.
PLAIN = Recipe("logistic")

SCORECARDS = [Recipe("scorecard", knots, penalty) for knots in KNOTS for penalty in PENALTIES]


@dataclass(frozen=True)
class Scores:
    """How good probabilities are: ROC AUC (higher is better), Brier score and log loss (lower)."""

    roc_auc: float
    brier: float
    log_loss: float

    @classmethod
    def of(cls, churned: Labels, probabilities: Table) -> Scores:
        """Return the scores of ``probabilities``, given who ``churned``."""
        return cls(
            float(roc_auc_score(churned, probabilities)),
            float(brier_score_loss(churned, probabilities)),
            float(log_loss(churned, probabilities)),
        )


#: The scores by name, as figures are listed everywhere.
SCORE_NAMES = tuple(Scores.__dataclass_fields__)


@dataclass(frozen=True)
class Spread:
    """The scores of every fold."""

    folds: tuple[Scores, ...]

    def mean(self, name: str) -> float:
        """Return a score's mean over the folds."""
        return float(np.mean([getattr(scores, name) for scores in self.folds]))

    def std(self, name: str) -> float:
        """Return a score's standard deviation over the folds."""
        return float(np.std([getattr(scores, name) for scores in self.folds]))

    def to_json(self) -> dict[str, Any]:
        """Return means and standard deviations as the manifest tells them."""
        return {
            name: {"mean": round(self.mean(name), DECIMALS), "std": round(self.std(name), DECIMALS)}
            for name in SCORE_NAMES
        }


@dataclass(frozen=True)
class Held:
    """The part held out of all choosing and fitting: who left, and what each model said."""

    churned: Labels
    model: Table
    plain: Table


@dataclass(frozen=True)
class Trained:
    """A training's outcome: the pair, and all that was measured on the way."""

    vectorizer: DictVectorizer
    model: Any
    recipe: Recipe
    cross_validation: Spread
    plain: Spread
    held: Held
    probabilities: Table = field(repr=False)

    @property
    def test(self) -> Scores:
        """The model's scores on the held-out part."""
        return Scores.of(self.held.churned, self.held.model)

    @property
    def plain_test(self) -> Scores:
        """Plain logistic regression's scores on the held-out part."""
        return Scores.of(self.held.churned, self.held.plain)

    def content(self) -> bytes:
        """Return the pickled pair ``(vectorizer, model)``."""
        return pickle.dumps((self.vectorizer, self.model), protocol=4)


def fits(kind: Kind, folds: int) -> int:
    """Return how many models :func:`train` will fit."""
    choices = len(SCORECARDS) * INNER_FOLDS if kind == "scorecard" else 0
    return (choices + 2) * folds + choices + 3


def train(
    dataset: Dataset,
    kind: Kind = "scorecard",
    folds: int = 5,
    test_size: float = 0.2,
    seed: int = 1,
    progress: Progress = lambda: None,
) -> Trained:
    """Return a model of ``dataset``, cross-validated, tested and fitted on all of it.

    The table is split as ``train_test_split(test_size=…, random_state=seed)`` splits it. Recipes
    are chosen by log loss inside the training part only: inside each fold's own training part for
    the cross-validation, and inside the whole training part for the model.

    :raises DataError: too few customers left, or stayed, for that many folds.
    """
    vectorizer = DictVectorizer(sparse=False)
    table = vectorizer.fit_transform(dataset.customers())
    churned = np.asarray(dataset.churned)
    numbers = _numbers(vectorizer, dataset.schema.fields)
    # a probability's last digits must not depend on how many threads added it up
    with threadpool_limits(1):
        return _trained(
            _Bench(table, churned, numbers, progress), vectorizer, kind, folds, test_size, seed
        )


def _trained(
    bench: _Bench, vectorizer: DictVectorizer, kind: Kind, folds: int, test_size: float, seed: int
) -> Trained:
    churned = bench.churned
    _enough(churned, folds)
    customers = np.arange(len(churned))
    try:
        rest, test = train_test_split(customers, test_size=test_size, random_state=seed)
    except ValueError:
        raise DataError(f"--test-size {test_size} leaves no customer to train on") from None
    _enough(churned[rest], folds)
    if len(set(churned[test])) < 2:
        raise DataError(
            f"the held-out part, of size {len(test)}, has customers of one outcome only: "
            "raise --test-size, or try another --seed"
        )

    ours, plain = bench.cross_validated(kind, rest, folds, seed)
    recipe = bench.chosen(kind, rest, seed)
    held = Held(churned[test], bench.scored(recipe, rest, test), bench.scored(PLAIN, rest, test))
    model = bench.fitted(recipe, customers)
    probabilities = model.predict_proba(bench.table)[:, 1]
    return Trained(vectorizer, model, recipe, ours, plain, held, probabilities)


def manifest(
    dataset: Dataset,
    trained: Trained,
    threshold: float = THRESHOLD,
    actionable: Sequence[str] = (),
    data_sha256: str = "",
    seed: int = 1,
) -> Manifest:
    """Return all that the manifest tells of a training, but the digest of the pickle itself."""
    card, _, _ = Scorecard.from_pickle(trained.content(), "", dataset.schema, None)
    return Manifest(
        schema=dataset.schema,
        model=trained.recipe.kind,
        trained=datetime.now(UTC).isoformat(timespec="seconds"),
        target={"column": dataset.target, "positive": dataset.positive},
        threshold=threshold,
        actionable=tuple(actionable),
        average=_average(dataset, card),
        profile={each.name: _histogram(dataset, each) for each in dataset.schema.fields},
        never_together=tuple(_never_together(dataset)),
        metrics={
            "recipe": trained.recipe.to_json(),
            "folds": len(trained.cross_validation.folds),
            "seed": seed,
            "cross_validation": trained.cross_validation.to_json(),
            "plain_logistic_regression": trained.plain.to_json(),
            "test": {"customers": len(trained.held.churned), **_rounded(trained.test)},
            "plain_test": _rounded(trained.plain_test),
        },
        data={
            "sha256": data_sha256,
            "customers": len(dataset),
            "churned": sum(dataset.churned),
            "gaps": dict(dataset.gaps),
        },
        libraries={
            "python": python_version(),
            **{name: version(name) for name in ("scikit-learn", "numpy", "scipy", "pandas")},
        },
        golden=tuple(_golden(dataset, trained.probabilities)),
    )


class _Bench:
    """A table on which recipes are tried."""

    def __init__(
        self, table: Table, churned: Labels, numbers: Sequence[int], progress: Progress
    ) -> None:
        self.table = table
        self.churned = churned
        self.numbers = numbers
        self.progress = progress

    def fitted(self, recipe: Recipe, rows: NDArray[np.int64]) -> Any:
        table = self.table[rows]
        model = recipe.model(table, self.numbers).fit(table, self.churned[rows])
        self.progress()
        return model

    def scored(self, recipe: Recipe, rows: NDArray[np.int64], others: NDArray[np.int64]) -> Table:
        """Return the probabilities of ``others`` by a model fitted on ``rows``."""
        return np.asarray(self.fitted(recipe, rows).predict_proba(self.table[others])[:, 1])

    def cross_validated(
        self, kind: Kind, rows: NDArray[np.int64], folds: int, seed: int
    ) -> tuple[Spread, Spread]:
        """Return the scores of our kind and of plain logistic regression on the same folds."""
        ours, plain = [], []
        for inside, outside in self._folds(rows, folds, seed):
            recipe = self.chosen(kind, inside, seed)
            churned = self.churned[outside]
            ours.append(Scores.of(churned, self.scored(recipe, inside, outside)))
            plain.append(Scores.of(churned, self.scored(PLAIN, inside, outside)))
        return Spread(tuple(ours)), Spread(tuple(plain))

    def chosen(self, kind: Kind, rows: NDArray[np.int64], seed: int) -> Recipe:
        """Return the recipe of least log loss by folds inside ``rows``."""
        if kind == "logistic":
            return PLAIN
        losses = dict.fromkeys(SCORECARDS, 0.0)
        for inside, outside in self._folds(rows, INNER_FOLDS, seed):
            for recipe in SCORECARDS:
                said = self.scored(recipe, inside, outside)
                losses[recipe] += float(log_loss(self.churned[outside], said))
        return min(losses, key=lambda recipe: losses[recipe])

    def _folds(
        self, rows: NDArray[np.int64], folds: int, seed: int
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
        for inside, outside in splitter.split(rows, self.churned[rows]):
            yield rows[inside], rows[outside]


def _enough(churned: Labels, folds: int) -> None:
    left, stayed = int(churned.sum()), int((1 - churned).sum())
    # each fold's training part is folded once more to choose the recipe
    needed = folds * INNER_FOLDS
    if min(left, stayed) < needed:
        raise DataError(
            f"{left} customers who left and {stayed} who stayed are too few to train on: {folds} "
            f"folds need {needed} of each; bring more" + (", or ask for --folds 2" * (folds > 2))
        )


def _numbers(vectorizer: DictVectorizer, fields: Sequence[Field]) -> list[int]:
    """Return the positions of the numbers that may get a curve."""
    names = [each.name for each in fields if each.kind in ("integer", "number")]
    return [vectorizer.vocabulary_[name] for name in names]


def _average(dataset: Dataset, card: Scorecard) -> dict[str, float]:
    averages = {}
    for name, points_of in card.lookups:
        averages[name] = float(np.mean([points_of(value) for value in dataset.columns[name]]))
    return averages


def _histogram(dataset: Dataset, known: Field) -> dict[str, Any]:
    """Return how often each value came, or how many numbers lay between deciles."""
    column = dataset.columns[known.name]
    if not known.numeric or known.values:
        values = [*known.values, *([] if known.missing is None else [known.missing])]
        counts = Counter(column)
        return {"values": {str(value): counts[value] for value in values}}
    numbers = np.asarray(column, dtype=float)
    edges = np.unique(np.quantile(numbers, np.linspace(0, 1, 11)))
    between, _ = np.histogram(numbers, edges)
    return {
        "edges": edges.tolist(),
        "counts": between.tolist(),
        "mean": float(numbers.mean()),
        "median": float(np.median(numbers)),
    }


def _never_together(dataset: Dataset) -> Iterator[tuple[str, str, str, str]]:
    """Yield (field, value, other field, other value) that exclude each other in the table."""
    tables = [each for each in dataset.schema.fields if not each.numeric]
    for one, other in combinations(tables, 2):
        pairs = zip(dataset.columns[one.name], dataset.columns[other.name], strict=True)
        together = Counter(pairs)
        here, there = Counter(dataset.columns[one.name]), Counter(dataset.columns[other.name])
        for value, other_value in product(one.values, other.values):
            expected = here[value] * there[other_value] / len(dataset)
            if expected >= EXPECTED_TOGETHER and not together[value, other_value]:
                yield one.name, str(value), other.name, str(other_value)


def _golden(dataset: Dataset, probabilities: Table) -> Iterator[Golden]:
    """Yield the first customer, then the least to the most likely to leave, one with a gap too."""
    order = np.argsort(probabilities, kind="stable")
    places = [0, *order[np.linspace(0, len(order) - 1, GOLDEN).astype(int)].tolist()]
    customers = list(dataset.customers())
    filled = [each for each in dataset.schema.fields if each.missing is not None]
    for each in filled[:1]:
        places += [row for row, found in enumerate(customers) if found[each.name] == each.missing][
            :1
        ]
    for place in dict.fromkeys(places):
        yield Golden(customers[place], float(probabilities[place]))


def _rounded(scores: Scores) -> Mapping[str, float]:
    return {name: round(getattr(scores, name), DECIMALS) for name in SCORE_NAMES}

"""The scorecard: scikit-learn's own numbers, out of pickles of many releases and shapes."""

import json
import math
import pickle
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import BernoulliNB
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import SplineTransformer, StandardScaler

from churn import data
from churn.errors import ArtifactError, UntrustedError
from churn.schema import Field, Schema
from churn.scorecard import Curve, Scorecard, sigmoid
from churn.training import PLAIN, Recipe

PICKLES = Path(__file__).parent / "pickles"
DATA = Path(__file__).parent.parent / "data" / "telco-customer-churn.csv"
TOLD = json.loads((PICKLES / "expected.json").read_text())

KINDS = ["a", "b", "c"]
ROWS = [{"kind": KINDS[i % 3], "n": i % 7, "x": i * 1.5} for i in range(40)]
LEFT = [int(i * 7 % 5 > 2) for i in range(40)]
#: Far below, at every place in, and far above what training saw.
ASKED = [{"kind": k, "n": n, "x": x} for k in KINDS for n in (-9, 0, 3, 6, 99)
         for x in (-1e6, 0.0, 7.25, 58.5, 58.6, 1e6)]  # fmt: skip


def pair(model, rows=ROWS, left=LEFT, **options):
    vectorizer = DictVectorizer(**{"sparse": False, **options})
    return vectorizer, model.fit(vectorizer.fit_transform(rows), left)


def card_of(found):
    return Scorecard.from_pickle(pickle.dumps(found), "ab12", None, None)[0]


def columns(rows):
    return {name: [row[name] for row in rows] for name in rows[0]}


def assert_same(found, asked=ASKED):
    """The card must give scikit-learn's probabilities, to 1e-12."""
    vectorizer, model = found
    want = model.predict_proba(vectorizer.transform(asked))[:, 1]
    got = card_of(found).probabilities(columns(asked))
    assert np.abs(np.array(got) - want).max() <= 1e-12


def splined(*chosen, **options):
    """Return a model with curves for the columns ``chosen`` (kind is 0 to 2, n is 3, x is 4)."""
    each = [(f"s{at}", SplineTransformer(degree=1, **options), [at]) for at in chosen]
    return make_pipeline(
        ColumnTransformer(each, remainder="passthrough"), StandardScaler(), LogisticRegression()
    )


@pytest.mark.parametrize("name", TOLD["files"])
def test_pickle_of_another_release_gives_that_releases_numbers(name):
    content = (PICKLES / name).read_bytes()
    card, schema, classes = Scorecard.from_pickle(content, "", None, None)
    got = [card.probability(schema.check(customer)) for customer in TOLD["customers"]]
    assert got == pytest.approx(TOLD["files"][name], rel=0, abs=1e-12)
    assert classes in ([0, 1], ["no", "yes"], [False, True])


def test_pickles_are_of_many_releases():
    assert {name.partition("-")[0] for name in TOLD["files"]} == {
        "0.24.2", "1.0.2", "1.2.2", "1.5.2", "1.7.2", "1.9.1",
    }  # fmt: skip


@pytest.fixture(scope="module")
def telephone():
    return data.prepare(data.read(DATA))


@pytest.mark.parametrize("recipe", [PLAIN, Recipe("scorecard", knots=12, penalty=0.1)])
def test_every_telephone_customer_gets_scikit_learns_number(recipe, telephone):
    vectorizer = DictVectorizer(sparse=False)
    table = vectorizer.fit_transform(telephone.customers())
    numbers = [vectorizer.vocabulary_[name] for name in ("tenure", "totalcharges")]
    model = recipe.model(table, numbers).fit(table, telephone.churned)
    content = pickle.dumps((vectorizer, model))
    card, _, _ = Scorecard.from_pickle(content, "", telephone.schema, None)
    got, want = card.probabilities(telephone.columns), model.predict_proba(table)[:, 1]
    assert len(got) == 7043
    assert np.abs(np.array(got) - want).max() <= 1e-12


@pytest.mark.parametrize("extrapolation", ["constant", "linear", "continue"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("knots", ["uniform", "quantile"])
def test_splines_go_on_as_scikit_learns_do(extrapolation, bias, knots):
    options = {"extrapolation": extrapolation, "include_bias": bias, "knots": knots}
    assert_same(pair(splined(3, 4, **options)))


@pytest.mark.parametrize("chosen", [
    [4], [-1], (4,), np.array([4]), slice(4, None), np.arange(5) == 4, [np.int64(4)],
    [False] * 4 + [True],
])  # fmt: skip
def test_columns_may_be_chosen_in_any_way(chosen):
    spline = SplineTransformer(degree=1, n_knots=4)
    model = ColumnTransformer(
        [("x", spline, chosen), ("gone", "drop", [0])], remainder="passthrough"
    )
    assert_same(pair(make_pipeline(model, StandardScaler(), LogisticRegression())))


#: Many numbers are mostly one number, and then several quantiles lie at one place.
REPEATED = {
    "at the start": [0] * 20 + list(range(20)),
    "in the middle": [0, 1, 2, 3, *[7] * 20, *range(10, 26)],
    "at the end": [*range(20), *[50] * 20],
    "at the end, which is 0": [*range(-20, 0), *[0] * 20],
    "three at the start": [0] * 32 + list(range(8)),
    "three at the end": [*range(8), *[50] * 32],
    "at both ends": [0] * 16 + list(range(8)) + [50] * 16,
    "everywhere": [7] * 40,
}


@pytest.mark.parametrize("where", REPEATED)
@pytest.mark.parametrize("bias", [True, False])
def test_knots_at_one_place_are_a_jump(where, bias):
    values = REPEATED[where]
    rows = [{"x": float(value), "n": at % 3} for at, value in enumerate(values)]
    model = make_pipeline(
        ColumnTransformer(
            [("x", SplineTransformer(5, degree=1, knots="quantile", include_bias=bias), [1])],
            remainder="passthrough",
        ),
        LogisticRegression(C=100, max_iter=1000),
    )
    places = sorted({*values, -100, 100})
    asked = [
        {"x": float(x), "n": 1}
        for place in places
        for x in (np.nextafter(place, -200), place, np.nextafter(place, 200), place + 0.5)
    ]
    found = pair(model, rows)
    model[-1].coef_ = np.random.default_rng(3).normal(size=model[-1].coef_.shape)
    assert_same(found, asked)


@pytest.mark.parametrize("left", [
    np.array(["stays", "leaves"])[LEFT], pd.Series(["no", "yes"])[LEFT], np.array(LEFT) == 1,
    np.array(["no", "yes"], dtype=object)[LEFT], np.array(LEFT, dtype=np.int8),
    np.array(LEFT, dtype=float),
])  # fmt: skip
def test_probability_is_of_the_second_class_whatever_the_classes_are(left):
    found = pair(LogisticRegression(max_iter=1000), left=left)
    _, _, classes = Scorecard.from_pickle(pickle.dumps(found), "", None, None)
    assert classes == found[1].classes_.tolist()
    assert_same(found)


def test_pipelines_in_pipelines_are_followed():
    inner = make_pipeline(StandardScaler(), "passthrough", StandardScaler(with_std=False))
    assert_same(pair(Pipeline([("in", inner), ("none", None), ("lr", LogisticRegression())])))


numbers = st.floats(-1e4, 1e4, allow_nan=False).map(lambda number: round(number, 3))
tables = st.lists(
    st.fixed_dictionaries({"kind": st.sampled_from(KINDS), "n": st.integers(0, 72), "x": numbers}),
    min_size=8,
    max_size=30,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tables, st.lists(st.tuples(st.integers(-99, 999), numbers), min_size=1), st.booleans())
def test_any_table_gives_scikit_learns_numbers(rows, asked, curved):
    rows = [*ROWS[:3], *rows]
    scaled = make_pipeline(StandardScaler(), LogisticRegression(C=10))
    model = splined(3, 4, n_knots=4, knots="uniform") if curved else scaled
    found = pair(model, rows, [at % 2 for at in range(len(rows))])
    everyone = [{"kind": kind, "n": n, "x": x} for n, x in asked for kind in KINDS]
    assert_same(found, everyone + rows)


@settings(max_examples=60, deadline=None)
@given(tables)
def test_one_and_many_are_the_same_to_the_bit_and_reasons_add_up(rows):
    card = card_of(pair(splined(3, 4)))
    assert card.probabilities(columns(rows)) == [card.probability(row) for row in rows]
    base, reasons = card.reasons(rows[0])
    assert base + math.fsum(r.points for r in reasons) == pytest.approx(card.logit(rows[0]))
    sizes = [abs(reason.points) for reason in reasons]
    assert sizes == sorted(sizes, reverse=True)


def test_the_average_customer_has_no_reasons():
    vectorizer, model = pair(splined(3, 4))
    schema = Schema.recovered(vectorizer.feature_names_, "=")
    card = card_of((vectorizer, model))
    average = {name: float(np.mean([points(row[name]) for row in ROWS]))
               for name, points in card.lookups}  # fmt: skip
    known, _, _ = Scorecard.from_pickle(pickle.dumps((vectorizer, model)), "", schema, average)
    totals = [sum(r.points for r in known.reasons(row)[1]) for row in ROWS]
    assert np.mean(totals) == pytest.approx(0, abs=1e-12)


@given(st.floats(allow_nan=False))
def test_sigmoid_never_overflows_and_mirrors_itself(logit):
    assert 0 <= sigmoid(logit) <= 1
    assert sigmoid(logit) + sigmoid(-logit) == pytest.approx(1)


LINE = card_of(pair(LogisticRegression(max_iter=1000)))


@given(st.floats(-1e100, 1e100), st.floats(-1e100, 1e100))
def test_any_number_that_a_field_takes_has_a_probability(n, x):

    assert 0 <= LINE.probability({"kind": "a", "n": n, "x": x}) <= 1


def test_curve_is_straight_between_knots_and_goes_on_by_its_slopes():
    curve = Curve((0.0, 1.0, 3.0), (0.0, 2.0, 0.0), below=1.0, above=-5.0)
    got = [curve(x) for x in (-2, 0, 0.5, 1, 2, 3, 4)]
    assert got == [-2, 0, 1, 2, 1, 0, -5]


def test_sum_of_curves_is_a_curve():
    one = Curve((0.0, 2.0), (1.0, 3.0), below=0.5)
    other = Curve((1.0,), (4.0,), below=-1.0, above=2.0)
    total = Curve.total([one, other, Curve.line(3.0)])
    for x in (-5, 0, 0.3, 1, 1.5, 2, 9):
        assert total(x) == pytest.approx(one(x) + other(x) + 3 * x)
    assert Curve.total([])(5) == 0


NOT_SCORECARDS = {
    "SVD": (make_pipeline(TruncatedSVD(2), LogisticRegression()), "a TruncatedSVD"),
    "naive Bayes": (BernoulliNB(), "a BernoulliNB"),
    "cubic splines": (
        make_pipeline(SplineTransformer(degree=3), LogisticRegression()), "straight lines"
    ),
    "periodic": (
        make_pipeline(SplineTransformer(degree=1, extrapolation="periodic"), LogisticRegression()),
        "straight lines",
    ),
    "splines of scaled": (
        make_pipeline(StandardScaler(), SplineTransformer(degree=1), LogisticRegression()),
        "scaled numbers",
    ),
    "weighted": (
        make_pipeline(
            ColumnTransformer([("a", "passthrough", [0, 3])], transformer_weights={"a": 2}),
            LogisticRegression(),
        ),
        "weighted columns",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", NOT_SCORECARDS)
def test_model_that_is_no_scorecard_needs_trust(kind):
    model, words = NOT_SCORECARDS[kind]
    with pytest.raises(UntrustedError, match=r"CHURN_TRUST_SHA256=ab12") as caught:
        card_of(pair(model))
    assert words in str(caught.value)


def three_classes():
    return pair(LogisticRegression(max_iter=1000), left=[at % 3 for at in range(40)])


def altered(**attributes):
    vectorizer, model = pair(LogisticRegression(max_iter=1000))
    vars(model).update(attributes)
    return vectorizer, model


BROKEN = {
    "three classes": (three_classes, "3 classes"),
    "not fitted": (lambda: (pair(LogisticRegression())[0], LogisticRegression()), "was it fitted"),
    "the model alone": (lambda: pair(LogisticRegression())[1], "pickle the pair"),
    "wrong way round": (lambda: pair(LogisticRegression())[::-1], "no pair"),
    "columns missing": (lambda: altered(coef_=np.ones((1, 3))), "reads 3 columns and is given 5"),
    "not a number": (lambda: altered(coef_=np.full((1, 5), np.nan)), "too large to compute with"),
    "too large": (lambda: altered(coef_=np.full((1, 5), 1e200)), "too large to compute with"),
    "text for numbers": (lambda: altered(coef_=np.array([["a"] * 5])), "where numbers belong"),
    "two intercepts": (lambda: altered(intercept_=np.ones(2)), "don't fit together"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_model_is_refused_with_the_reason(kind):
    make, words = BROKEN[kind]
    with pytest.raises(ArtifactError, match=words):
        card_of(make())


def deep(depth=1_000_000):
    """Return a pickle's tuple in a tuple, a million times over: whoever hashes it crashes."""
    return b")" + b"\x85" * depth


@pytest.mark.parametrize(("text", "words"), [
    (b"contract=one_year", "no names"),
    (b"=", "no names"),
    (b"f8", "can't be read"),
])  # fmt: skip
def test_walking_into_what_should_be_text_does_not_crash(text, words):
    content = (PICKLES / "1.9.1-liblinear-protocol4.pkl").read_bytes()
    opcode = b"\x8c" + bytes([len(text)]) + text
    assert content.count(opcode) >= 1
    altered = content.replace(opcode, deep())
    schema = Schema.recovered(["contract=one_year"], "=")
    with pytest.raises(ArtifactError, match=words):
        Scorecard.from_pickle(altered, "", schema, None)


def nested(depth):
    """Return a Pipeline that holds itself over and over: 2 ** depth steps in a small file."""
    pipeline = Pipeline([])
    for _ in range(depth):
        pipeline = Pipeline([("a", pipeline), ("b", pipeline)])
    return pipeline


def test_file_that_asks_for_endless_work_is_refused():
    vectorizer, model = pair(LogisticRegression(max_iter=1000))
    with pytest.raises(ArtifactError, match="more work"):
        card_of((vectorizer, Pipeline([("endless", nested(60)), ("model", model)])))


def test_model_that_holds_itself_is_refused():
    vectorizer, _ = pair(LogisticRegression(max_iter=1000))
    pipeline = Pipeline([])
    pipeline.steps.append(("me", pipeline))
    with pytest.raises(ArtifactError, match="RecursionError"):
        card_of((vectorizer, pipeline))


def test_value_that_training_never_saw_of_a_known_field_has_the_points_of_none():
    schema = Schema((Field("kind", "category", ("a", "b", "c"), missing="missing"),
                     Field("n", "integer"), Field("x", "number")))  # fmt: skip
    found = pair(LogisticRegression(max_iter=1000))
    card, _, _ = Scorecard.from_pickle(pickle.dumps(found), "", schema, None)
    asked = {"kind": "missing", "n": 1, "x": 2.0}
    want = found[1].predict_proba(found[0].transform([asked]))[0, 1]
    assert card.probability(asked) == pytest.approx(want, abs=1e-12)


SCHEMAS = {
    "a number unknown": ([Field("y", "number")], "does not know the number 'y'"),
    "a field missing": ([Field("n", "integer"), Field("x", "number")], "no field's value"),
}


@pytest.mark.parametrize("kind", SCHEMAS)
def test_schema_of_another_model_is_refused(kind):
    fields, words = SCHEMAS[kind]
    content = pickle.dumps(pair(LogisticRegression(max_iter=1000)))
    with pytest.raises(ArtifactError, match=words):
        Scorecard.from_pickle(content, "", Schema(tuple(fields)), None)


def test_average_of_another_model_is_refused():
    content = pickle.dumps(pair(LogisticRegression(max_iter=1000)))
    with pytest.raises(ArtifactError, match="no average for 'kind'"):
        Scorecard.from_pickle(content, "", None, {"n": 0.0})


def test_points_of_a_number_rise_where_its_weight_is_positive():
    rows = [{"x": float(x)} for x in range(20)]
    card = card_of(pair(LogisticRegression(), rows, [int(x > 9) for x in range(20)]))
    assert all(a < b for a, b in pairwise(card.probability({"x": x}) for x in range(-5, 25)))

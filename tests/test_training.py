"""What a training measures, chooses and records; and that it beats the plain model honestly."""

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
from conftest import ROOT
from sklearn.model_selection import train_test_split

from churn import data, training
from churn.data import Dataset
from churn.errors import DataError
from churn.schema import Field, Schema
from churn.scorecard import Scorecard
from churn.training import PLAIN, Recipe, Scores

TELEPHONE = ROOT / "data" / "telco-customer-churn.csv"


def made(customers=400, seed=1, left=None):
    """Return customers who leave early or late, never midway, and more on plan b."""
    random = np.random.default_rng(seed)
    months = random.integers(0, 60, customers)
    plans = random.choice(["a", "b", "c"], customers)
    odds = np.abs(months - 30) / 6 - 3 + (plans == "b")
    churned = (random.random(customers) < 1 / (1 + np.exp(-odds))).astype(int)
    if left is not None:
        churned = (np.arange(customers) < left).astype(int)
    schema = Schema(
        (
            Field("months", "integer", low=0, high=59),
            Field("plan", "category", ("a", "b", "c")),
            Field("online", "yes/no", ("no", "yes")),
        )
    )
    columns = {
        "months": months.tolist(),
        "plan": plans.tolist(),
        "online": ["no" if plan == "c" else "yes" for plan in plans],
    }
    return Dataset(schema, columns, churned.tolist(), "churn", "yes")


@pytest.fixture(scope="module")
def telephone():
    return data.prepare(data.read(TELEPHONE))


@pytest.fixture(scope="module")
def trained(telephone):
    return training.train(telephone)


@pytest.fixture(scope="module")
def manifest(telephone, trained):
    return training.manifest(telephone, trained, data_sha256=data.digest(TELEPHONE))


@pytest.fixture(scope="module")
def small():
    return made()


@pytest.fixture(scope="module")
def small_trained(small):
    return training.train(small, folds=2)


def test_the_scorecard_beats_plain_logistic_regression_by_far(telephone):
    table, bench = _bench(telephone)
    everyone = np.arange(len(table))
    spreads = [bench.cross_validated("scorecard", everyone, 5, seed) for seed in (1, 2)]
    ours, plain = (
        training.Spread(ours.folds + more.folds) for ours, more in zip(*spreads, strict=True)
    )
    assert len(ours.folds) == len(plain.folds) == 10
    assert ours.mean("roc_auc") >= plain.mean("roc_auc") + 0.004
    assert ours.mean("brier") <= 0.134


def _bench(dataset):
    vectorizer = training.DictVectorizer(sparse=False)
    table = vectorizer.fit_transform(dataset.customers())
    numbers = training._numbers(vectorizer, dataset.schema.fields)
    return table, training._Bench(table, np.asarray(dataset.churned), numbers, lambda: None)


def test_the_committed_model_is_what_training_gives(manifest):
    committed = json.loads((ROOT / "churn-model.json").read_text())
    fresh = json.loads(json.dumps(manifest.to_json()))
    for known in ("schema", "metrics", "data", "never_together", "target"):
        assert fresh[known] == committed[known], known
    assert fresh["average"] == pytest.approx(committed["average"], abs=1e-6)


def test_the_manifest_counts_the_customers(manifest):
    assert manifest.data["customers"] == 7043
    assert manifest.data["churned"] == 1869
    assert manifest.data["gaps"] == {"totalcharges": 11}
    assert manifest.metrics["test"]["customers"] == 1409


def test_the_average_is_the_mean_of_each_fields_points(telephone, trained, manifest):
    card, _, _ = Scorecard.from_pickle(trained.content(), "", telephone.schema, None)
    for name, points in card.lookups:
        mean = np.mean([points(customer[name]) for customer in telephone.customers()])
        assert manifest.average[name] == pytest.approx(mean, abs=1e-12)


def test_golden_customers_are_the_first_and_a_spread_of_the_rest(telephone, trained, manifest):
    golden = manifest.golden
    assert golden[0].customer == next(telephone.customers())
    said = [each.probability for each in golden]
    assert min(said) == trained.probabilities.min()
    assert max(said) == trained.probabilities.max()
    assert any(each.customer["totalcharges"] == 0 for each in golden)


def test_golden_probabilities_are_scikit_learns(trained, manifest):
    vectorizer, model = pickle.loads(trained.content())
    for golden in manifest.golden:
        said = model.predict_proba(vectorizer.transform([golden.customer]))[0, 1]
        assert golden.probability == pytest.approx(said, abs=1e-12)


def test_values_that_exclude_each_other_are_told(manifest):
    pairs = set(manifest.never_together)
    assert ("phoneservice", "no", "multiplelines", "yes") in pairs
    assert ("internetservice", "no", "onlinesecurity", "yes") in pairs
    assert not any("contract" in (one, other) for one, _, other, _ in pairs)


def test_the_profile_counts_every_customer(telephone, manifest):
    for name, profile in manifest.profile.items():
        counts = profile["values"].values() if "values" in profile else profile["counts"]
        assert sum(counts) == len(telephone), name


def test_never_together_is_by_value(small, small_trained):
    told = training.manifest(small, small_trained).never_together
    assert set(told) == {
        ("plan", "a", "online", "no"), ("plan", "b", "online", "no"),
        ("plan", "c", "online", "yes"),
    }  # fmt: skip


def test_the_same_seed_gives_the_same_model(small, small_trained):
    again = training.train(small, folds=2)
    assert again.content() == small_trained.content()
    assert again.cross_validation == small_trained.cross_validation
    assert again.test == small_trained.test


def test_another_seed_gives_other_figures(small, small_trained):
    assert training.train(small, folds=2, seed=2).cross_validation != small_trained.cross_validation


def test_choosing_never_sees_the_held_out_part(small, small_trained):
    _, test = train_test_split(np.arange(len(small)), test_size=0.2, random_state=1)
    flipped = np.asarray(small.churned)
    flipped[test] = 1 - flipped[test]
    other = training.train(replace(small, churned=flipped.tolist()), folds=2)
    assert other.recipe == small_trained.recipe
    assert other.cross_validation == small_trained.cross_validation
    assert other.plain == small_trained.plain
    assert (other.held.model == small_trained.held.model).all()
    assert other.test != small_trained.test


def test_a_curve_finds_what_a_straight_line_cannot(small_trained):
    assert small_trained.test.roc_auc > small_trained.plain_test.roc_auc + 0.1


@pytest.mark.parametrize("kind", ["scorecard", "logistic"])
def test_progress_is_told_of_every_fit(small, kind):
    told = []
    training.train(small, kind, folds=3, progress=lambda: told.append(1))
    assert len(told) == training.fits(kind, 3)


def test_plain_logistic_regression_converges_whatever_the_numbers_size(small):
    table, bench = _bench(small)
    everyone = np.arange(len(table))
    said = bench.scored(PLAIN, everyone, everyone)
    months = bench.numbers[0]
    bench.table = table * np.where(np.arange(table.shape[1]) == months, 1e9, 1)
    assert bench.scored(PLAIN, everyone, everyone) == pytest.approx(said, abs=1e-6)


def test_a_number_of_two_values_is_a_straight_line():
    table = np.array([[0.0, 1], [1, 2], [0, 3], [1, 4]])
    splines = Recipe("scorecard", 4).model(table, [0, 1])[0].transformers
    assert [columns for _, _, columns in splines] == [[1]]


def test_scores_are_what_they_say():
    scores = Scores.of(np.array([0, 0, 1, 1]), np.array([0.1, 0.6, 0.4, 0.9]))
    assert scores.roc_auc == 0.75
    assert scores.brier == pytest.approx((0.01 + 0.36 + 0.36 + 0.01) / 4)
    assert scores.log_loss == pytest.approx(-np.log([0.9, 0.4, 0.4, 0.9]).mean())


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"left": 3}, "3 customers who left and 397 who stayed are too few .* --folds 2"),
        ({"left": 397}, "397 customers who left and 3 who stayed are too few"),
        ({"left": 3, "folds": 2}, "2 folds need 6 of each; bring more$"),
        ({"customers": 2, "left": 1}, "too few"),
        ({"test_size": 0.999}, "leaves no customer|too few"),
        ({"test_size": 0.9999}, "--test-size 0.9999 leaves no customer to train on"),
        ({"test_size": 0.0001}, "one outcome only: raise --test-size"),
    ],
)
def test_too_few_customers_are_refused(asked, said):
    table = {name: asked.pop(name) for name in ("customers", "left") if name in asked}
    with pytest.raises(DataError, match=said):
        training.train(made(**table), **asked)


def test_a_tiny_table_trains_without_a_warning():
    assert len(training.train(made(30, left=12), folds=2).probabilities) == 30

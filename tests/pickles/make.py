"""Make pairs and Pipelines as older releases of scikit-learn pickle them, for the tests to read.

Run once with each release, in an environment of its own, from the top of the project:

    python tests/pickles/make.py        with scikit-learn 0.24.2, 1.0.2, 1.2.2, 1.5.2, 1.7.2, 1.9.1

Each run writes ``<release>-<shape>.pkl``, and what scikit-learn itself gives some customers,
last digit and all, into ``expected.json``. A file that is there is left alone.
"""

import json
import pickle
import sys
import warnings
from pathlib import Path

import numpy as np
import sklearn
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, StandardScaler

try:
    from sklearn.preprocessing import SplineTransformer
except ImportError:  # older than 1.0
    SplineTransformer = None

HERE = Path(__file__).parent
CONTRACTS = ["month-to-month", "one_year", "two_year"]


def customers(seed, count):
    """Return customers of four fields, and whether each left."""
    rng = np.random.RandomState(seed)
    rows = [
        {
            "contract": CONTRACTS[rng.randint(3)],
            "paperless": ["no", "yes"][rng.randint(2)],
            "tenure": int(rng.randint(0, 73)),
            "charges": round(float(rng.uniform(18, 120)), 2),
        }
        for _ in range(count)
    ]
    pull = [(row["contract"] == CONTRACTS[0]) + row["charges"] / 60 - row["tenure"] / 30
            for row in rows]  # fmt: skip
    left = (np.array(pull) + rng.normal(size=count) > 0.8).astype(int)
    return rows, left


ROWS, LEFT = customers(1, 200)
#: Beyond what training saw, too: every model goes on there in a way of its own.
ASKED = customers(2, 10)[0] + [
    {"contract": "two_year", "paperless": "no", "tenure": 500, "charges": 1.5},
    {"contract": "one_year", "paperless": "yes", "tenure": 0, "charges": 4000.0},
    {"contract": "one_year", "paperless": "no", "tenure": 24, "charges": 50.0},
    {"contract": "one_year", "paperless": "no", "tenure": 23, "charges": 50.0},
]


#: With many of the shortest and of the longest tenure, so that quantiles of it are the same.
HEAPED = [dict(row, tenure=min(max(row["tenure"] - 20, 0), 24)) for row in ROWS]


def pair(model, left=LEFT, sparse=False, rows=ROWS):
    """Return ``(vectorizer, model)``, fitted."""
    vectorizer = DictVectorizer(sparse=sparse)
    return vectorizer, model.fit(vectorizer.fit_transform(rows), left)


def splines(**options):
    """Return a model with a curve for charges (column 0) and one for tenure (column 6)."""
    columns = ColumnTransformer(
        [
            ("charges", SplineTransformer(degree=1, n_knots=5, knots="quantile", **options), [0]),
            ("tenure", SplineTransformer(degree=1, n_knots=4, **options), np.arange(7) == 6),
        ],
        remainder="passthrough",
    )
    return make_pipeline(columns, StandardScaler(), LogisticRegression(C=0.1))


def shapes():
    """Yield the name of a shape, the pickle protocol, and what is pickled."""
    liblinear = LogisticRegression(solver="liblinear", random_state=1)
    for protocol in (0, 2, 4, 5):
        yield "liblinear-protocol%d" % protocol, protocol, pair(liblinear)  # noqa: UP031
    yield "sparse", 4, pair(LogisticRegression(max_iter=5000), sparse=True)
    yield "no-intercept", 4, pair(LogisticRegression(solver="liblinear", fit_intercept=False))
    yield "strings", 4, pair(LogisticRegression(max_iter=5000), np.array(["no", "yes"])[LEFT])
    yield "objects", 2, pair(LogisticRegression(max_iter=5000),
                             np.array(["no", "yes"], dtype=object)[LEFT])  # fmt: skip
    yield "booleans", 4, pair(LogisticRegression(max_iter=5000), LEFT == 1)
    yield "cv", 4, pair(LogisticRegressionCV(Cs=[0.1, 1.0], cv=3, max_iter=5000))
    for scaler in (MinMaxScaler(), MaxAbsScaler(), StandardScaler(with_mean=False)):
        yield type(scaler).__name__.lower(), 4, pair(make_pipeline(scaler, LogisticRegression()))
    if tuple(map(int, sklearn.__version__.split(".")[:2])) < (1, 8):
        yield "multinomial", 4, pair(LogisticRegression(multi_class="multinomial", max_iter=5000))
    for protocol in (0, 5):
        whole = Pipeline(
            [
                ("vectorizer", DictVectorizer(sparse=False)),
                ("scaler", StandardScaler()),
                ("model", LogisticRegression()),
            ]
        )
        yield "pipeline-protocol%d" % protocol, protocol, whole.fit(ROWS, LEFT)  # noqa: UP031
    if SplineTransformer:
        for protocol in (2, 5):
            yield "splines-protocol%d" % protocol, protocol, pair(splines())  # noqa: UP031
        heaped = SplineTransformer(degree=1, n_knots=8, knots="quantile")
        columns = ColumnTransformer([("tenure", heaped, [6])], remainder="passthrough")
        yield "splines-jumping", 4, pair(make_pipeline(columns, LogisticRegression()), rows=HEAPED)
        yield "splines-linear", 4, pair(splines(extrapolation="linear"))
        yield "splines-continue", 4, pair(splines(extrapolation="continue", include_bias=False))


def probabilities(found):
    """Return what scikit-learn gives the customers asked about."""
    if isinstance(found, tuple):
        vectorizer, model = found
        return model.predict_proba(vectorizer.transform(ASKED))[:, 1].tolist()
    return found.predict_proba(ASKED)[:, 1].tolist()


def main():
    """Write the files of this release that aren't there."""
    place = HERE / "expected.json"
    told = json.loads(place.read_text()) if place.exists() else {"customers": ASKED, "files": {}}
    for shape, protocol, found in shapes():
        name = "%s-%s.pkl" % (sklearn.__version__, shape)  # noqa: UP031 - Python 3.8 runs this
        if not (HERE / name).exists():
            (HERE / name).write_bytes(pickle.dumps(found, protocol=protocol))
            told["files"][name] = probabilities(found)
    place.write_text(json.dumps(told, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # each release deprecates what another one needs
    sys.exit(main())

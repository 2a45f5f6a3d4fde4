"""Models that are no scorecard: refused, or unpickled because the operator vouches for them."""

import hashlib
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import Perceptron
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

from churn import artifact, model
from churn.artifact import Golden, Manifest
from churn.errors import ArtifactError, UntrustedError
from churn.opaque import Opaque
from churn.schema import Schema

ROOT = Path(__file__).parent.parent
KINDS = ["a", "b", "c"]
ROWS = [{"kind": KINDS[at % 3], "n": at % 7} for at in range(40)]
LEFT = [int(at * 7 % 5 > 2) for at in range(40)]
FOREST = RandomForestClassifier(5, max_depth=3, random_state=1)


def pair(classifier, left=LEFT, sparse=False):
    vectorizer = DictVectorizer(sparse=sparse)
    return vectorizer, classifier.fit(vectorizer.fit_transform(ROWS), left)


def written(found, directory):
    """Return where ``found`` lies pickled, and its SHA-256."""
    content = pickle.dumps(found)
    (directory / "model.bin").write_bytes(content)
    return directory / "model.bin", hashlib.sha256(content).hexdigest()


def test_forest_is_refused_and_the_message_says_how_to_trust_it(tmp_path):
    place, sha256 = written(pair(FOREST), tmp_path)
    with pytest.raises(UntrustedError) as caught:
        model.load(place, {"0" * 64})
    message = str(caught.value)
    assert f"set CHURN_TRUST_SHA256={sha256}" in message
    assert "it holds a RandomForestClassifier" in message
    assert "runs whatever code" in message
    assert message.isprintable()
    assert caught.value.sha256 == sha256


SERVED = {
    "forest": lambda: pair(FOREST),
    "sparse": lambda: pair(FOREST, sparse=True),
    "Pipeline": lambda: make_pipeline(DictVectorizer(), FOREST).fit(ROWS, LEFT),
    "boosting": lambda: pair(HistGradientBoostingClassifier(max_iter=5)),
    "strings": lambda: pair(FOREST, np.array(["no", "yes"])[LEFT]),
}


@pytest.mark.parametrize("kind", SERVED)
def test_trusted_model_is_served_by_scikit_learn(kind, tmp_path):
    found = SERVED[kind]()
    place, sha256 = written(found, tmp_path)
    served = model.load(place, {sha256})
    vectorizer, classifier = (found[0], found[1]) if kind != "Pipeline" else found
    want = classifier.predict_proba(vectorizer.transform(ROWS))[:, 1].tolist()
    columns = {name: [row[name] for row in ROWS] for name in ROWS[0]}
    assert served.scorer.probabilities(columns) == want
    assert [served.scorer.probability(row) for row in ROWS] == want
    assert served.scorecard is None
    assert served.classes in ((0, 1), ("no", "yes"))


def test_trusted_model_proves_itself_on_its_golden_customers(tmp_path):
    found = pair(FOREST)
    place = tmp_path / "model.bin"
    golden = Golden(ROWS[0], found[1].predict_proba(found[0].transform(ROWS[:1]))[0, 1])
    schema = Schema.recovered(found[0].feature_names_, "=")
    for wrong in (0, 0.01):
        told = Golden(golden.customer, golden.probability + wrong)
        artifact.save(place, pickle.dumps(found), Manifest(schema, golden=(told,)))
        trusted = {artifact.read(place).sha256}
        if not wrong:
            assert model.load(place, trusted).schema == schema
    with pytest.raises(ArtifactError, match="golden customer"):
        model.load(place, trusted)


UNUSABLE = {
    "three classes": (lambda: pair(FOREST, [at % 3 for at in range(40)]), "3 classes"),
    "no probabilities": (lambda: pair(Perceptron()), "predict_proba"),
    "none yet": (lambda: (pair(FOREST)[0], RandomForestClassifier()), "classes_"),
    "the classifier alone": (lambda: pair(FOREST)[1], "make a pair"),
    "wrong way round": (lambda: pair(FOREST)[::-1], "feature_names_"),
    "no probabilities asked for": (lambda: pair(SVC()), "predict_proba"),
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_trusted_model_that_cannot_score_is_refused_at_once(kind, tmp_path):
    make, words = UNUSABLE[kind]
    place, sha256 = written(make(), tmp_path)
    with pytest.raises(ArtifactError, match=words) as caught:
        model.load(place, {sha256})
    assert str(caught.value).isprintable()


def test_trusting_another_file_does_not_run_this_one(tmp_path):
    class Call:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    place, sha256 = written((pair(FOREST)[0], Call()), tmp_path)
    with pytest.raises(UntrustedError):
        model.load(place, {sha256[::-1]})
    assert not (tmp_path / "ran").exists()


def test_file_that_raises_anything_at_all_is_refused():
    with pytest.raises(ArtifactError, match="use the release that wrote it"):
        Opaque.unpickled(b"cno_such_module\nThing\n.", None)


NO_LEARN = """
import sys
from pathlib import Path
from churn import model
from churn.errors import ArtifactError
try:
    model.load(Path(sys.argv[1]), {sys.argv[2]})
except ArtifactError as error:
    print(error)
"""


def test_without_scikit_learn_the_error_names_the_line_that_installs_it(tmp_path):
    place, sha256 = written(pair(FOREST), tmp_path)
    run = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, '.'){NO_LEARN}",
         place, sha256],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "run pipenv sync" in run.stdout
    assert run.stdout.count("\n") == 1

"""The two files on disk: belonging together, written whole or not at all, read by every version."""

import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from churn import artifact, model
from churn.artifact import FORMAT, Golden, Manifest
from churn.errors import ArtifactError, DataError
from churn.scorecard import Scorecard

ROOT = Path(__file__).parent.parent
PICKLES = ROOT / "tests" / "pickles"
OLD = (PICKLES / "1.9.1-liblinear-protocol4.pkl").read_bytes()
NEW = (PICKLES / "1.9.1-strings.pkl").read_bytes()
CARD, SCHEMA, _ = Scorecard.from_pickle(OLD, "", None, None)
CUSTOMER = {"charges": 70.5, "contract": "one_year", "paperless": "yes", "tenure": 12}
MANIFEST = Manifest(
    SCHEMA, model="logistic", golden=(Golden(CUSTOMER, CARD.probability(CUSTOMER)),)
)


@pytest.fixture
def place(tmp_path):
    """Return where a whole model lies."""
    place = tmp_path / "models" / "customers.bin"
    artifact.save(place, OLD, MANIFEST)
    return place


def alter(place, **changes):
    told = json.loads(artifact.manifest_path(place).read_bytes())
    artifact.manifest_path(place).write_text(json.dumps({**told, **changes}))


def refusal(place):
    with pytest.raises(ArtifactError) as caught:
        model.load(place)
    assert str(caught.value).isprintable()
    return str(caught.value)


def test_what_was_saved_is_read_again(place):
    found = artifact.read(place)
    assert found.content == OLD
    assert found.manifest == replace(MANIFEST, sha256=found.sha256)
    assert sorted(each.name for each in place.parent.iterdir()) == [
        "customers.bin",
        "customers.json",
    ]


def test_pickle_without_manifest_is_read(tmp_path):
    (tmp_path / "model.pkl").write_bytes(OLD)
    found = model.load(tmp_path / "model.pkl")
    assert found.unknown == ["ranges", "metrics", "golden customers"]
    assert found.scorer.probability(CUSTOMER) == CARD.probability(CUSTOMER)


def test_missing_model_says_how_to_make_one(tmp_path):
    message = refusal(tmp_path / "none.bin")
    assert "train.py" in message
    assert "CHURN_MODEL" in message


@pytest.mark.parametrize("folder", [Path(__file__).parent, Path("/")])
def test_directory_is_no_model(folder):
    assert "is a folder: name the .bin in it" in refusal(folder)


def test_manifest_named_for_the_model_is_pointed_out(place):
    assert "name the .bin" in refusal(artifact.manifest_path(place))


def test_altered_pickle_is_refused(place):
    place.write_bytes(OLD[:-2] + b"0.")
    assert "is not the file that customers.json describes" in refusal(place)


BROKEN = {
    "not JSON": "{",
    "nothing": "",
    "a list": "[]",
    "a number": "1",
    "no schema": "{}",
    "not UTF-8": b"\xff\xfe\x00",
    "deep": "[" * 100_000,
    "strange field": '{"schema": [{"called": 1}]}',
    "strange format": '{"format": "new", "schema": []}',
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_manifest_is_refused(kind, place):
    content = BROKEN[kind]
    content = content if isinstance(content, bytes) else content.encode()
    artifact.manifest_path(place).write_bytes(content)
    assert "customers.json" in refusal(place)


ALTERED = [
    ({"format": FORMAT + 1}, "newer than this version's"),
    ({"sha256": "0" * 64}, "describes"),
    ({"threshold": 1.5}, "threshold is 1.5"),
    ({"average": {}}, None),
    ({"average": {"tenure": 1.0}}, "no average for"),
    ({"schema": SCHEMA.to_json()[1:]}, "no field's value"),
    ({"golden": [{"customer": CUSTOMER, "probability": 0.5}]}, "gives a golden customer 0."),
    ({"golden": [{"customer": {}, "probability": 0.5}]}, "can't score a golden customer"),
    ({"golden": [{"customer": {**CUSTOMER, "tenure": "x"}, "probability": 0.5}]}, "can't score"),
    ({"golden": [{"customer": CUSTOMER, "probability": "high"}]}, "can't score"),
    ({"golden": [{"customer": CUSTOMER}]}, "can't read"),
    ({"a newer key": {"of": "the same format"}}, None),
    ({"schema": [{**each, "newer": 1} for each in SCHEMA.to_json()]}, None),
    ({"golden": [{**vars(MANIFEST.golden[0]), "newer": 1}]}, None),
]


@pytest.mark.parametrize(("changes", "words"), ALTERED)
def test_altered_manifest_is_refused_and_unknown_keys_are_let_through(changes, words, place):
    alter(place, **changes)
    if words is None:
        assert model.load(place).manifest.model == "logistic"
    else:
        assert words in refusal(place)


def test_model_in_place_of_a_manifest_is_not_written(tmp_path):
    with pytest.raises(DataError, match="call the model a"):
        artifact.save(tmp_path / "model.json", OLD, MANIFEST)


def test_place_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="can't write"):
        artifact.save(tmp_path / "file" / "model.bin", OLD, MANIFEST)


#: Saves a new model over an old one in a process that is killed at the n-th line, for every n, and
#: prints what is found at the place afterwards.
KILLED = """
import itertools, os, signal, sys
from pathlib import Path
from churn import artifact, model
from churn.artifact import Manifest
from churn.errors import ArtifactError
from churn.scorecard import Scorecard

home, old, new, before = Path(sys.argv[1]), *map(Path, sys.argv[2:4]), sys.argv[4]
old, new = old.read_bytes(), new.read_bytes()
schema = Scorecard.from_pickle(old, "", None, None)[1]

def save(place, die_at):
    left = itertools.count(die_at, -1)
    def trace(frame, event, argument):
        if frame.f_code.co_filename == artifact.__file__ and next(left) == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace
    pid = os.fork()
    if pid == 0:
        sys.settrace(trace)
        artifact.save(place, new, Manifest(schema, model="new"))
        os._exit(0)
    return os.waitpid(pid, 0)[1] == 0

for die_at in itertools.count():
    place = home / str(die_at) / "model.bin"
    place.parent.mkdir()
    if before != "nothing":
        artifact.save(place, old, Manifest(schema, model="old"))
    if before == "no manifest":
        place.with_suffix(".json").unlink()
    if before == "interrupted":
        artifact.save(home / "other.bin", old, Manifest(schema, model="old"))
        (home / "other.json").replace(place.with_suffix(".json.partial"))
        artifact.save(home / "other.bin", new, Manifest(schema, model="older"))
        (home / "other.json").replace(place.with_suffix(".json"))
    done = save(place, die_at)
    try:
        found = model.load(place)
        assert (found.manifest.model == "new") == (found.classes == ("no", "yes")), found.manifest
        print(found.manifest.model)
    except ArtifactError as error:
        print("no model" if "no model at" in str(error) else error)
    if done:
        break
"""


@pytest.mark.skipif(os.name != "posix", reason="kills forked processes")
@pytest.mark.parametrize(
    ("before", "found"),
    [
        ("a model", "old"),
        ("no manifest", "unknown"),
        ("nothing", "no model"),
        ("interrupted", "old"),
    ],
)
def test_training_killed_at_any_step_leaves_a_whole_model(before, found, tmp_path):
    old, new = PICKLES / "1.9.1-liblinear-protocol4.pkl", PICKLES / "1.9.1-strings.pkl"
    run = subprocess.run(
        [sys.executable, "-c", KILLED, tmp_path, old, new, before],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.stderr == ""
    steps = run.stdout.split("\n")[:-1]
    switch = steps.index("new")
    assert switch > 10
    assert steps == [found] * switch + ["new"] * (len(steps) - switch)


def test_half_written_leavings_do_no_harm(place):
    for leaving in ("customers.bin.partial", "customers.json.partial"):
        (place.parent / leaving).write_bytes(b'{"format": 99')
    assert model.load(place).manifest.model == "logistic"
    artifact.save(place, NEW, replace(MANIFEST, golden=()))
    assert artifact.read(place).content == NEW


def test_model_read_while_another_is_saved_is_one_or_the_other(place):
    done = threading.Event()

    def save_again_and_again():
        for content in [NEW, OLD] * 20:
            artifact.save(place, content, replace(MANIFEST, golden=()))
        done.set()

    saving = threading.Thread(target=save_again_and_again)
    saving.start()
    while not done.is_set():
        found = artifact.read(place)
        assert found.manifest.sha256 == found.sha256
    saving.join()

"""Reading a pickle without running it: hostile, broken and gigantic files."""

import json
import os
import pickle
import struct
import subprocess
import sys
import zipfile
from gzip import compress
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churn import inert, model
from churn.errors import ArtifactError
from churn.scorecard import Scorecard

ROOT = Path(__file__).parent.parent
GOOD = (ROOT / "tests/pickles/1.9.1-splines-protocol5.pkl").read_bytes()


class Calls:
    """Pickled, a request to call ``function`` with ``text``."""

    def __init__(self, function, text):
        self.asked = function, (text,)

    def __reduce__(self):
        return self.asked


def dictionary(text):
    """Return the pickle that a call of ``os.system(text)`` hides in: the state of a vectorizer."""
    from sklearn.feature_extraction import DictVectorizer

    vectorizer = DictVectorizer()
    vectorizer.vocabulary_ = [{"deep": [Calls(os.system, text)]}]
    return vectorizer


#: Each makes a pickle that would run a shell command, and the words that its refusal must have.
HOSTILE = {
    "reduce": (lambda run: pickle.dumps(Calls(os.system, run)), "asks for posix.system"),
    "protocol 0": (lambda run: pickle.dumps(Calls(os.system, run), 0), "asks for posix.system"),
    "eval": (
        lambda run: pickle.dumps(Calls(eval, f"__import__('os').system({run!r})")),
        "asks for builtins.eval",
    ),
    "exec": (lambda run: pickle.dumps(Calls(exec, f"import os; os.system({run!r})")), "exec"),
    "nested": (lambda run: pickle.dumps([{"a": (Calls(os.system, run),)}]), "posix.system"),
    "in a state": (lambda run: pickle.dumps((dictionary(run), None)), "posix.system"),
    "in a pair": (
        lambda run: pickle.dumps((*pickle.loads(GOOD)[:1], Calls(os.system, run))),
        "posix.system",
    ),
    "INST": (lambda run: f"(S'{run}'\nios\nsystem\n.".encode(), "it uses"),
    "OBJ": (lambda run: f"(cos\nsystem\nV{run}\no.".encode(), "it uses OBJ"),
    "GLOBAL": (lambda run: f"cos\nsystem\n(V{run}\ntR.".encode(), "os.system"),
    "named by a call": (lambda run: b"(cos\nsystem\ncos\ngetcwd\n)R\x93.", "not a name"),
    "strange name": (lambda run: b"cos\n\x1b[2Jsystem\n.", "name that nothing"),
    "EXT1": (lambda run: b"\x80\x02\x82\x01.", "it uses EXT1"),
    "persistent id": (lambda run: b"Pmodel\n.", "it uses PERSID"),
    "binary persistent id": (lambda run: b"\x80\x02K\x01Q.", "it uses BINPERSID"),
    "buffer": (lambda run: b"\x80\x05\x97.", "it uses NEXT_BUFFER"),
}

NOT_MODELS = {
    "nothing": (b"", "it is empty"),
    "text": (b"hello, world\n", "not a whole pickle"),
    "CSV": (b"customerID,gender,Churn\n7590-VHVEG,Female,No\n", "no pickle"),
    "JSON": (b'{"a": 1}', "JSON"),
    "gzip": (compress(GOOD), "gzip"),
    "a number": (pickle.dumps(1), "no pair"),
    "one dict": (pickle.dumps({"dv": 1, "model": 2}), "no pair"),
    "a Git LFS pointer": (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    "cut after its first byte": (GOOD[:1], "not a whole pickle"),
    "no STOP": (GOOD[:-1], "not a whole pickle"),
    "only STOP": (b".", "not a whole pickle"),
    "mark missing": (b"\x80\x04t.", "not a whole pickle"),
    "items into a number": (b"K\x01(K\x02e.", "holds none"),
    "state of a number": (b"K\x01}b.", "not an object"),
}

HUGE = struct.pack("<Q", 2**62)
WIDE = b"K\x01" + b"2\x86" * 60
#: Small files that claim, or grow into, more than a machine has.
GIGANTIC = {
    "BINBYTES8": b"\x80\x04\x8e" + HUGE + b"x.",
    "BINUNICODE8": b"\x80\x04\x8d" + HUGE + b"x.",
    "BYTEARRAY8": b"\x80\x05\x96" + HUGE + b"x.",
    "BINBYTES": b"\x80\x03B\xff\xff\xff\xff.",
    "LONG4": b"\x80\x02\x8b\xff\xff\xff\x7f.",
    "FRAME": b"\x80\x04\x95" + HUGE + b"K\x01.",
    "LONG_BINPUT": b"\x80\x02K\x01r\xff\xff\xff\xff.",
    "PUT": b"I1\np" + b"9" * 5000 + b"\n.",
    "INT": b"I" + b"9" * 100_000 + b"\n.",
    "deep tuples": b"\x80\x02)" + b"\x85" * 1_000_000 + b".",
    "deep lists": b"\x80\x02" + b"](" * 300_000 + b"e" * 300_000 + b".",
    "deep key": b"\x80\x02})" + b"\x85" * 1_000_000 + b"K\x01s.",
    "wide key": b"\x80\x02}" + WIDE + b"K\x01s.",
    "wide element": b"\x80\x04\x8f(" + WIDE + b"\x90.",
    "wide name": b"\x80\x04" + WIDE + b"2\x93.",
    "many marks": b"\x80\x02" + b"N" * 200_000 + b"(1" * 200_000 + b".",
}  # fmt: skip

LOADS_ALL = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (600_000_000, 600_000_000))
from pathlib import Path
from churn import model
from churn.errors import ArtifactError
for place in sorted(Path(sys.argv[1]).iterdir()):
    try:
        model.load(place)
        print(place.name, "is served")
    except ArtifactError as error:
        assert "\\n" not in str(error) and len(str(error)) < 500, error
"""


@pytest.fixture
def canary(tmp_path):
    return tmp_path / "canary"


def refusal(content, directory):
    place = directory / "model.bin"
    place.write_bytes(content)
    with pytest.raises(ArtifactError) as caught:
        model.load(place)
    return str(caught.value)


def test_the_hostile_files_are_hostile(canary):
    pickle.loads(HOSTILE["reduce"][0](f"touch {canary}"))
    assert canary.exists()


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_file_is_refused_in_one_line_and_not_run(kind, canary, tmp_path):
    make, words = HOSTILE[kind]
    message = refusal(make(f"touch {canary}"), tmp_path)
    assert words in message
    assert message.isprintable()
    assert not canary.exists()


def test_hostile_forest_is_not_offered_for_trust(tmp_path):
    from sklearn.ensemble import RandomForestClassifier

    content = pickle.dumps((RandomForestClassifier(), Calls(os.system, "true")))
    message = refusal(content, tmp_path)
    assert "posix.system" in message
    assert "CHURN_TRUST_SHA256" not in message


@pytest.mark.parametrize("kind", NOT_MODELS)
def test_what_is_no_model_is_refused_in_one_line(kind, tmp_path):
    content, words = NOT_MODELS[kind]
    message = refusal(content, tmp_path)
    assert words in message
    assert message.isprintable()


def test_zip_archive_is_refused_as_one(tmp_path):
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("model.bin", GOOD)
    assert "zip archive" in refusal(archive.getvalue(), tmp_path)


def test_joblib_file_is_named(tmp_path):
    import joblib

    joblib.dump(pickle.loads(GOOD), tmp_path / "joblib.bin")
    message = refusal((tmp_path / "joblib.bin").read_bytes(), tmp_path)
    assert "pickle.dump" in message


@pytest.mark.parametrize("cut", range(0, len(GOOD), 100))
def test_truncated_file_is_refused(cut):
    with pytest.raises(ArtifactError):
        Scorecard.from_pickle(GOOD[:cut], "", None, None)


def test_gigantic_claims_cost_little_memory_and_time(tmp_path):
    for kind, content in GIGANTIC.items():
        (tmp_path / kind).write_bytes(content)
    run = subprocess.run(
        [sys.executable, "-c", LOADS_ALL, tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


changes = st.lists(
    st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), min_size=1, max_size=5
)


@settings(max_examples=400, deadline=None)
@given(changes)
def test_altered_bytes_give_a_refusal_or_a_model_and_nothing_else(changes):
    altered = bytearray(GOOD)
    for place, byte in changes:
        altered[place] = byte
    try:
        card, schema, _ = Scorecard.from_pickle(bytes(altered), "", None, None)
    except ArtifactError:
        return
    customer = {each.name: (*each.values, 0)[0] for each in schema.fields}
    assert 0 <= card.probability(customer) <= 1


@pytest.mark.parametrize("protocol", range(6))
def test_plain_values_come_back_as_they_were(protocol):
    plain = [None, True, 1, 2**70, 1.5, "é\n", (1,), (1, 2), (1, 2, 3, 4), {"a": [1]}, [], {}, ()]
    assert inert.read(pickle.dumps(plain, protocol)) == (plain, set())


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("dtype", ["f8", "f4", ">f8", "i8", ">i4", "u2", "i1", "?"])
def test_arrays_are_read_without_numpy(protocol, dtype):
    import numpy as np

    array = np.array([0, 1, 1, 0, 1], dtype=dtype)
    tree, _ = inert.read(pickle.dumps(array, protocol))
    assert inert.numbers(tree) == array.tolist()
    assert json.dumps(inert.labels(tree)) == json.dumps(array.tolist())


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("dtype", ["U", ">U3", "O"])
def test_arrays_of_text_are_read_without_numpy(protocol, dtype):
    import numpy as np

    tree, _ = inert.read(pickle.dumps(np.array(["no", "yes"], dtype=dtype), protocol))
    assert inert.labels(tree) == ["no", "yes"]


@pytest.mark.parametrize("number", ["np.float64(2.5)", "np.float32(2.5)", "2.5", "[2.5]"])
def test_numbers_alone_are_read_too(number):
    import numpy as np

    tree, _ = inert.read(pickle.dumps(eval(number, {"np": np})))  # noqa: S307 - see above
    assert inert.numbers(tree) == [2.5]


def test_array_that_claims_more_than_it_holds_is_refused():
    dtype = inert.Node("numpy.dtype", ("f8",), (3, "<"))
    array = inert.Node(
        "numpy._core.multiarray._reconstruct", state=(1, (2**40,), dtype, False, b"")
    )
    with pytest.raises(ArtifactError, match="size and its bytes disagree"):
        inert.numbers(array)

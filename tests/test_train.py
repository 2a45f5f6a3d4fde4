"""The command line: any table in, a model that serves out; and what a mistake is answered with."""

import json
import os
import pickle
import random
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from conftest import ROOT

import train
from churn.data import prepare, read
from churn.errors import CustomerError
from churn.model import load

ROWS = 240


def words():
    """Strings as the outcome, gaps in words and numbers, columns of other people's naming."""
    dice = random.Random(1)
    return pd.DataFrame(
        {
            "Customer ID": [f"c-{n}" for n in range(ROWS)],
            "Plan Name": dice.choices(["Big One", "small", None], k=ROWS),
            "Spent ($)": [dice.choice([None, round(dice.uniform(5, 90), 2)]) for _ in range(ROWS)],
            "Status": dice.choices(["Gone", "Still here"], [1, 2], k=ROWS),
        }
    )


def booleans():
    """True and false, as words and as typed columns, with and without gaps."""
    dice = random.Random(2)
    return pd.DataFrame(
        {
            "paperless": dice.choices([True, False], k=ROWS),
            "autopay": dice.choices([True, False, None], k=ROWS),
            "senior": dice.choices([0, 1, None], k=ROWS),
            "left": dice.choices([True, False], [1, 3], k=ROWS),
        }
    )


def crowded():
    """Many categories, some of them rare, and numbers that are nearly always the same."""
    dice = random.Random(3)
    return pd.DataFrame(
        {
            "town": [f"town {int(dice.expovariate(0.1))}" for _ in range(ROWS)],
            "calls": dice.choices([0, 1, 50], [30, 2, 1], k=ROWS),
            "balance": dice.choices([-1e6, 0.0, 0.5, 1e9], [1, 30, 3, 1], k=ROWS),
            "churn": dice.choices([1, 0], [1, 2], k=ROWS),
        }
    )


TABLES = {
    "words": (words, ["--target", "status", "--positive", "gone"], {"plan_name": "huge"}),
    "booleans": (booleans, ["--target", "left"], {"autopay": "perhaps"}),
    "crowded": (crowded, [], {"calls": -1}),
}


def run(*arguments, cwd=ROOT, **environ):
    return subprocess.run(
        [sys.executable, "-W", "error", ROOT / "train.py", *arguments],
        cwd=cwd, env={**os.environ, **environ}, capture_output=True, text=True, encoding="utf-8",
    )  # fmt: skip


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "customers.csv"
    crowded().to_csv(path, index=False)
    return path


@pytest.fixture(scope="module", params=TABLES)
def served(tmp_path_factory, request):
    """A table of another company, what is wrong with a customer, and the model trained on it."""
    table, options, wrong = TABLES[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    end = ".parquet" if request.param == "booleans" else ".csv"
    path, output = folder / f"table{end}", folder / "model.bin"
    table().to_parquet(path) if end == ".parquet" else table().to_csv(path, index=False)
    assert train.main(["--data", str(path), "--output", str(output), "--folds=2", *options]) == 0
    target, positive = ([*options[1::2], None, None])[:2]
    return prepare(read(path), target or "churn", positive), wrong, load(output)


def test_any_table_is_served_with_scikit_learns_numbers(served):
    table, _, model = served
    vectorizer, classifier = pickle.loads(model.path.read_bytes())
    customers = list(table.customers())
    said = classifier.predict_proba(vectorizer.transform(customers))[:, 1]
    ours = [model.scorer.probability(model.schema.check(customer)) for customer in customers]
    assert ours == pytest.approx(said.tolist(), abs=1e-12)


def test_any_tables_rows_are_read_as_they_stand_in_it(served):
    table, _, model = served
    assert model.schema == table.schema
    for customer in table.customers():
        assert model.schema.check(customer) == customer


def test_any_tables_mistakes_are_refused(served):
    table, wrong, model = served
    customer = next(table.customers())
    with pytest.raises(CustomerError) as caught:
        model.schema.check({**customer, **wrong})
    assert [each.field for each in caught.value.problems] == list(wrong)
    with pytest.raises(CustomerError) as caught:
        model.schema.check({})
    assert [each.field for each in caught.value.problems] == list(customer)


def test_training_tells_what_it_found_and_where_the_model_is(small, tmp_path):
    output, drawing = tmp_path / "deep" / "model.bin", tmp_path / "drawn" / "model.png"
    done = run("--data", small, "--output", output, "--folds=2", "--report", drawing)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("240 customers, ")
    assert lines[-3:] == [
        f"Model: {output}", f"Manifest: {output.with_suffix('.json')}", f"Drawing: {drawing}",
    ]  # fmt: skip
    assert drawing.stat().st_size > 10_000


def test_options_end_up_in_the_manifest(small, tmp_path, capsys):
    output = tmp_path / "model.bin"
    options = "--folds 3 --seed 7 --threshold 0.3 --model logistic --actionable Town --drop calls"
    asked = ["--data", str(small), "--output", str(output), *options.split(), "--drop", "balance"]
    assert train.main(asked) == 0
    told = json.loads(output.with_suffix(".json").read_text())
    assert [each["name"] for each in told["schema"]] == ["town"]
    assert (told["model"], told["threshold"], told["actionable"]) == ("logistic", 0.3, ["town"])
    assert (told["metrics"]["folds"], told["metrics"]["seed"]) == (3, 7)


def test_the_shipped_tables_actionable_fields_may_be_dropped():
    asked = train.parser().parse_args(["--drop", "contract"])
    schema = load(ROOT / "churn-model.bin").schema
    fields = train.Schema(tuple(each for each in schema.fields if each.name != "contract"))
    assert train.actionable_fields(asked, fields) == train.SHIPPED_ACTIONABLE[1:]


def test_the_shipped_table_is_known_by_a_relative_path(monkeypatch):
    monkeypatch.chdir(ROOT)
    asked = train.parser().parse_args(["--data", "data/telco-customer-churn.csv"])
    schema = load(ROOT / "churn-model.bin").schema
    assert train.actionable_fields(asked, schema) == train.SHIPPED_ACTIONABLE


def test_help_has_examples_and_every_default():
    done = run("--help")
    assert done.returncode == 0
    assert "python train.py --data customers.csv" in done.stdout
    assert " ".join(done.stdout.split()).count("(default: ") >= 7


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--folds 1", "'1' is not a whole number from 2 to 50"),
        ("--folds many", "'many' is not a whole number from 2 to 50"),
        ("--seed=-1", "'-1' is not a whole number from 0"),
        ("--test-size 1", "'1' is not between 0 and 1"),
        ("--test-size nan", "'nan' is not between 0 and 1"),
        ("--threshold half", "'half' is not between 0 and 1"),
        ("--model forest", "invalid choice: 'forest'"),
        ("--output model.json", "'model.json' does not end in .bin"),
        ("--output model", "'model' does not end in .bin"),
        ("--report model.txt", "does not end in .png or .svg or .pdf"),
        ("--fill months", "'months' is not COLUMN=VALUE"),
        ("--fill =3", "'=3' is not COLUMN=VALUE"),
        ("--drop", "expected at least one argument"),
        ("--colour red", "unrecognized arguments: --colour red"),
    ],
)
def test_a_mistake_in_the_usage_exits_2(capsys, arguments, said):
    with pytest.raises(SystemExit) as caught:
        train.main(arguments.split())
    assert caught.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--data nowhere.csv", "can't read nowhere.csv: No such file"),
        ("--target chrn", "no column 'chrn' for --target; did you mean 'churn'?"),
        ("--target town", "town must hold two outcomes, leaving and staying"),
        ("--positive maybe", "--positive is 'maybe', but churn holds '0' and '1'"),
        ("--drop tonw", "no column 'tonw' for --drop; did you mean 'town'?"),
        ("--keep tonw", "no column 'tonw' for --keep; did you mean 'town'?"),
        ("--fill tonw=x", "no column 'tonw' for --fill; did you mean 'town'?"),
        ("--fill calls=some", "calls can't be filled with 'some'"),
        ("--actionable tonw", "'tonw', which the model doesn't use; did you mean 'town'?"),
        ("--actionable churn", "'churn', which the model doesn't use"),
        ("--folds 50", "are too few to train on"),
        ("--output {tmp}/file/model.bin", "can't write"),
        ("--output {tmp}/folder.bin", "it is a folder"),
        ("--report {tmp}/file/drawing.png", "can't write"),
    ],
)
def test_a_mistake_in_the_data_exits_1_with_one_line(small, capsys, arguments, said):
    (small.parent / "file").touch()
    (small.parent / "folder.bin").mkdir()
    arguments = arguments.replace("{tmp}", str(small.parent)).split()
    output = ["--output", str(small.parent / "model.bin")]
    assert train.main(["--data", str(small), *output, *arguments]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("train.py: ")
    assert said in line
    assert not (small.parent / "model.bin").exists()


def test_a_place_that_cannot_be_written_is_told_before_any_work(small, capsys):
    (small.parent / "folder.bin").mkdir()
    assert train.main(["--data", "nowhere.csv", "--output", str(small.parent / "folder.bin")]) == 1
    assert "it is a folder" in capsys.readouterr().err


def test_a_name_that_json_would_collide_with_is_never_written(small):
    with pytest.raises(SystemExit):
        train.main(["--data", str(small), "--output", str(small)])
    assert small.read_text().startswith("town,")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT to send")
def test_ctrl_c_stops_with_one_line(tmp_path):
    process = subprocess.Popen(
        [sys.executable, ROOT / "train.py", "--folds", "50", "--output", tmp_path / "model.bin"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    process.stdout.readline()  # the table is read, and training begins
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert told.strip() == "train.py: stopped by Ctrl+C"
    assert list(tmp_path.iterdir()) == []


def test_a_terminal_without_arrows_gets_the_figures_all_the_same(small, tmp_path):
    output = tmp_path / "model.bin"
    done = run("--data", small, "--output", output, "--folds=2", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert "ROC AUC ?" in done.stdout


@pytest.mark.parametrize("missing", ["tqdm", "sklearn", "pandas"])
def test_a_serving_environment_is_told_what_to_install(tmp_path, missing):
    (tmp_path / f"{missing}.py").write_text(
        f"raise ModuleNotFoundError('No module named {missing}', name='{missing}')"
    )
    done = run(PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr == (
        f"train.py: training needs {missing}, which this environment lacks: "
        'run pipenv sync --categories "packages train"\n'
    )


def test_nothing_is_left_beside_the_model(small, tmp_path):
    folder = tmp_path / "out"
    assert train.main(["--data", str(small), "--output", str(folder / "a.bin"), "--folds=2"]) == 0
    assert sorted(path.name for path in Path(folder).iterdir()) == ["a.bin", "a.json"]

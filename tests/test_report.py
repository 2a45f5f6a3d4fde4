"""What a person is told of a training: words, a table that lines up, a drawing."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from test_training import made

from churn import report, training
from churn.data import Dataset
from churn.errors import DataError
from churn.schema import Field, Schema


@pytest.fixture(scope="module")
def small():
    return made()


@pytest.fixture(scope="module", params=["scorecard", "logistic"])
def trained(small, request):
    return training.train(small, request.param, folds=2)


def test_the_table_is_told_in_words():
    fields = (Field("tenure", "integer", missing=0), Field("plan", "category", missing="missing"))
    found = Dataset(
        Schema(fields), {}, [1, 0, 0, 0], "left", "yes", ["Note."], {"tenure": 1, "plan": 1200}
    )
    assert report.of_data(found).splitlines() == [
        "4 customers, 1 left (25.0%: left is 'yes'), 2 fields",
        "tenure: 1 gap, which stands for 0",
        "plan: 1,200 gaps, which stand for 'missing'",
        "Note.",
    ]


def test_the_scores_line_up(trained):
    table, _, words = report.of_training(trained).partition("\n\n")
    assert len({len(line) for line in table.splitlines()}) == 1
    assert f"The model is a {trained.recipe.kind} (" in words
    assert "400 customers" in words
    assert "80 were held out" in words


def test_plain_logistic_regression_has_a_line_of_its_own_once(trained):
    lines = [line.split("  ")[0] for line in report.of_training(trained).splitlines()[1:5]]
    assert lines.count("2 folds: logistic") == 1
    assert lines.count("held out: logistic") == 1


def test_the_figures_are_the_measured_ones(trained):
    assert f"{trained.test.roc_auc:.4f}" in report.of_training(trained)
    assert f"{trained.cross_validation.mean('brier'):.4f} ± " in report.of_training(trained)


@pytest.mark.parametrize(
    ("suffix", "start"), [(".png", b"\x89PNG\r\n"), (".svg", b"<?xml"), (".pdf", b"%PDF")]
)
def test_a_drawing_is_saved(tmp_path, small, trained, suffix, start):
    path = tmp_path / f"churn{suffix}"
    report.draw(trained, small, path, threshold=0.3)
    assert path.read_bytes().startswith(start)


@pytest.mark.parametrize(
    ("threshold", "said"), [(1e-9, "80 of 80 counted as leaving; "), (1.0, "0 of 80 counted")]
)
def test_a_drawing_says_who_is_counted_as_leaving(trained, threshold, said):
    axes = Figure().subplots()
    report._draw_spread(axes, trained, threshold)
    assert axes.get_title().startswith(said)


def test_a_drawing_that_cannot_be_written_is_refused(tmp_path, small, trained):
    with pytest.raises(DataError, match="can't write"):
        report.draw(trained, small, tmp_path / "nowhere" / "churn.png")


def test_what_a_campaign_reaches_counts_the_riskiest_first():
    reached = report._reached(np.array([0, 1, 0, 1]), np.array([0.1, 0.9, 0.3, 0.2]))
    assert reached.tolist() == [0, 0.5, 0.5, 1, 1]

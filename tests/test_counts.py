"""Counts that processes share."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from conftest import ROOT

from churn.errors import SettingsError
from churn.settings import Settings
from churn.web.counts import Counts
from churn.web.metrics import Metrics

CHILD = """
import sys
from pathlib import Path
from churn.web.counts import Counts
counts = Counts(3, Path(sys.argv[1]))
counts.own()[1] += 2.5
"""


def test_sums_are_over_all_processes_the_dead_among_them(tmp_path):
    for _ in range(3):
        subprocess.run([sys.executable, "-c", CHILD, tmp_path], cwd=ROOT, check=True)
    counts = Counts(3, tmp_path)
    counts.own()[0] += 1
    assert counts.totals() == [1, 7.5, 0]


def test_a_process_alone_keeps_its_counts_to_itself():
    counts = Counts(2, None)
    counts.own()[1] += 4
    assert counts.totals() == [0, 4]


def test_a_process_of_the_same_number_goes_on_where_the_last_one_stopped(tmp_path):
    Counts(2, tmp_path).own()[0] += 1
    Counts(2, tmp_path).own()[0] += 1
    assert [path.name for path in tmp_path.iterdir()] == [f"{os.getpid()}.counts"]
    assert Counts(2, tmp_path).totals() == [2, 0]


def test_what_another_model_counted_is_left_alone(tmp_path):
    Counts(5, tmp_path).own()[0] += 1
    (tmp_path / f"{os.getpid()}.counts").rename(tmp_path / "1.counts")
    assert Counts(2, tmp_path).totals() == [0, 0]


def test_a_folder_that_cannot_be_made_is_told_at_start(tmp_path, model):
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="CHURN_METRICS_DIR"):
        Metrics(model, Settings(metrics_dir=tmp_path / "file" / "counts"))

"""The README: what it tells people to type works, and what it shows is what they get."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
from conftest import CUSTOMER, ROOT, Server

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_curl_it_shows_gets_the_answer_it_shows(client):
    command, answer = re.search(r"\$ (curl .*)\n(\{.*\})\n", README).groups()
    file = re.search(r"-d @(\S+)", command).group(1)
    got = client.post("/predict", data=(ROOT / file).read_bytes())
    assert json.loads(got.data) == pytest.approx(json.loads(answer), abs=1e-12)


def test_the_customer_it_sends_is_the_known_one():
    assert json.loads((ROOT / "data" / "customer.json").read_bytes()) == CUSTOMER


def test_the_figures_it_shows_are_the_shipped_models():
    metrics = json.loads((ROOT / "churn-model.json").read_bytes())["metrics"]
    for name in ("cross_validation", "plain_logistic_regression"):
        auc, brier = metrics[name]["roc_auc"], metrics[name]["brier"]
        assert (
            f"| {auc['mean']:.4f} ± {auc['std']:.4f} | {brier['mean']:.4f} ± {brier['std']:.4f} |"
            in README
        )
    assert f"| {metrics['test']['roc_auc']:.4f} | {metrics['test']['brier']:.4f} |" in README


def test_its_gunicorn_command_starts_as_it_stands():
    words = re.search(r"^pipenv run gunicorn (.*)$", README, re.MULTILINE).group(1)
    words = words.replace("0.0.0.0:9696", "127.0.0.1:0").split()  # a port that is free here
    code, log = Server(["-m", "gunicorn", *words]).stop()
    assert code == 0
    assert "Listening at" in log


def test_its_uvicorn_command_starts_as_it_stands():
    words = re.search(r"^\$ uv run --group fastapi uvicorn (.*)$", README, re.MULTILINE).group(1)
    words = words.replace("--port 9696", "--port 0").split()  # a port that is free here
    server = Server(["-m", "uvicorn", *words])
    server.wait_for("Application startup complete")
    server.stop()


@pytest.mark.parametrize(
    "file", sorted(set(re.findall(r"`(\w[\w./-]*\.(?:py|json|csv|md|toml))`", README)))
)
def test_every_file_it_names_is_there(file):
    made_by_the_reader = {"mine.bin", "customers.csv", "scored.rejects.csv"}
    assert file in made_by_the_reader or (ROOT / file).is_file()


@pytest.mark.parametrize("variable", sorted(set(re.findall(r"\bCHURN_[A-Z_0-9]+", README))))
def test_every_variable_it_names_is_read(variable):
    assert variable in (ROOT / "churn" / "settings.py").read_text(encoding="utf-8")


@pytest.mark.parametrize("option", sorted(set(re.findall(r"pipenv run train [^\n]*", README))))
def test_every_option_it_shows_for_training_is_one(option):
    known = subprocess.run(
        [sys.executable, "train.py", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert [word for word in re.findall(r"--[a-z-]+", option) if word not in known] == []

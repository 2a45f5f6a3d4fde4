"""What is installed: the lock file holds on every Python we name, and serving stays small."""

import json
from pathlib import Path

import pytest
from packaging.markers import Marker

ROOT = Path(__file__).parents[1]
LOCK = json.loads((ROOT / "Pipfile.lock").read_text(encoding="utf-8"))
CATEGORIES = ("default", "fastapi", "train", "develop")
PINS = [(category, name, pin) for category in CATEGORIES for name, pin in LOCK[category].items()]


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13", "3.14"])
def test_no_package_is_left_out_on_any_python(python):
    # A lock made on 3.12 marks numpy for 3.12; 3.11 then installs without it, and without a word.
    here = {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "sys_platform": "linux",
    }
    left_out = [
        f"{name} ({pin['markers']})"
        for _, name, pin in PINS
        if "markers" in pin and not Marker(pin["markers"]).evaluate(here)
    ]
    assert left_out == []


def test_the_categories_agree_on_every_version():
    # They are locked apart but installed into one environment, where the last one would win.
    versions = {}
    for _, name, pin in PINS:
        versions.setdefault(name, set()).add(pin["version"])
    assert {name: pins for name, pins in versions.items() if len(pins) > 1} == {}


@pytest.mark.parametrize(
    "name", ["numpy", "scipy", "scikit-learn", "pandas", "pyarrow", "fastapi", "uvicorn"]
)
def test_serving_installs_nothing_of_training_or_of_the_other_edition(name):
    assert name not in LOCK["default"]


def test_the_lock_names_the_public_index_alone():
    assert [source["url"] for source in LOCK["_meta"]["sources"]] == ["https://pypi.org/simple"]
    assert all(pin.get("index", "pypi") == "pypi" and "file" not in pin for *_, pin in PINS)


def test_the_lock_does_not_tie_down_python():
    # With it, `pipenv install --deploy` would stop on every other Python.
    assert LOCK["_meta"]["requires"] == {}

"""What is installed: the lock file holds on every Python we name, and serving stays small."""

import json
import re
import tomllib
from itertools import chain
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[1]
LOCK = json.loads((ROOT / "Pipfile.lock").read_text(encoding="utf-8"))
PIPFILE, PYPROJECT, UV_LOCK = (
    tomllib.loads((ROOT / name).read_text(encoding="utf-8"))
    for name in ("Pipfile", "pyproject.toml", "uv.lock")
)
PROJECT = PYPROJECT["project"]

#: What makes uv.lock anew, at the versions that pipenv locked.
LOCK_UV = (
    "uv lock --python 3.11 $(pipenv requirements --exclude-markers --exclude-index "
    '--categories "packages fastapi granian score train dev-packages" | sed "s/^/-P /")'
)

CATEGORIES = ("default", "fastapi", "granian", "score", "train", "develop")
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


def ranges_of(packages):
    """Return what a category of the Pipfile asks for, as requirements are written elsewhere."""
    asked = []
    for name, about in packages.items():
        told = about if isinstance(about, dict) else {"version": about}
        extras = f"[{','.join(told['extras'])}]" if "extras" in told else ""
        markers = f"; {told['markers']}" if "markers" in told else ""
        asked.append(f"{name}{extras}{told['version']}{markers}")
    return {str(Requirement(each)) for each in asked}


@pytest.mark.parametrize(
    "category", ["packages", "fastapi", "granian", "score", "train", "dev-packages"]
)
def test_pyproject_asks_for_what_the_pipfile_asks_for(category):
    groups = {**PYPROJECT["dependency-groups"], "packages": PYPROJECT["project"]["dependencies"]}
    ours = {str(Requirement(each)) for each in groups[category.removesuffix("-packages")]}
    assert ours == ranges_of(PIPFILE[category]), "change pyproject.toml as the Pipfile, then lock"


def test_uv_locked_the_versions_that_pipenv_locked():
    ours = {each["name"]: each.get("version") for each in UV_LOCK["package"]}
    pinned = {name: pin["version"].removeprefix("==") for _, name, pin in PINS}
    others = {
        name: (ours.get(name), want) for name, want in pinned.items() if ours.get(name) != want
    }
    assert others == {}, f"run: {LOCK_UV}"


def test_uv_locked_what_pyproject_asks_for():
    (project,) = (each for each in UV_LOCK["package"] if each["name"] == PROJECT["name"])
    asked = {"": project["metadata"]["requires-dist"], **project["metadata"]["requires-dev"]}
    ours = {"": PROJECT["dependencies"], **PYPROJECT["dependency-groups"]}
    names = {group: {each["name"] for each in packages} for group, packages in asked.items()}
    specified = {
        each["name"]: SpecifierSet(each["specifier"]) for group in asked.values() for each in group
    }
    wanted = [Requirement(each) for group in ours.values() for each in group]
    assert names == {group: {Requirement(e).name for e in each} for group, each in ours.items()}
    assert specified == {each.name: each.specifier for each in wanted}, f"run: {LOCK_UV}"


@pytest.mark.parametrize("python", ["3.11", "3.14"])
def test_uv_installs_what_pipenv_installs(python):
    here = {"python_full_version": f"{python}.0", "sys_platform": "linux", "os_name": "posix"}
    packages = {each["name"]: each for each in UV_LOCK["package"]}
    project = packages[PROJECT["name"]]
    coming = [*project["dependencies"], *chain(*project["dev-dependencies"].values())]
    reached = set()
    while coming:
        need = coming.pop()
        if Marker(need.get("marker", "python_version > '3'")).evaluate(here) and (
            need["name"] not in reached
        ):
            reached.add(need["name"])
            found = packages[need["name"]]
            coming += found.get("dependencies", [])
            for extra in need.get("extra", []):
                coming += found["optional-dependencies"][extra]
    assert reached == {name for _, name, _ in PINS}


def test_the_commands_that_lock_stand_in_the_contributors_guide():
    assert LOCK_UV in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_no_lock_names_another_host_than_the_public_indexs():
    text = (ROOT / "uv.lock").read_text(encoding="utf-8")
    assert set(re.findall(r"[a-z]+://[^/\"]+", text)) == {
        "https://pypi.org", "https://files.pythonhosted.org",
    }  # fmt: skip
    assert "path = " not in text


def test_the_versions_of_the_project_and_of_its_python_agree():
    assert f"## {PROJECT['version']}\n" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    oldest = PYPROJECT["tool"]["mypy"]["python_version"]
    assert PROJECT["requires-python"] == UV_LOCK["requires-python"] == f">={oldest}"


def test_the_lock_names_the_public_index_alone():
    assert [source["url"] for source in LOCK["_meta"]["sources"]] == ["https://pypi.org/simple"]
    assert all(pin.get("index", "pypi") == "pypi" and "file" not in pin for *_, pin in PINS)


def test_the_lock_does_not_tie_down_python():
    # With it, `pipenv install --deploy` would stop on every other Python.
    assert LOCK["_meta"]["requires"] == {}

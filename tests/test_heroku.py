"""Heroku: the packages it installs are the locked ones, and its web process is ours."""

from __future__ import annotations

import json
import re
import shlex

import pytest
from conftest import CUSTOMER, ROOT, Server
from engine import ask, free_port
from packaging.requirements import Requirement

LOCKED = json.loads((ROOT / "Pipfile.lock").read_text(encoding="utf-8"))["default"]

#: Heroku's buildpack stops the build where it finds more than one of them.
LISTS = {"requirements.txt", "Pipfile", "Pipfile.lock", "poetry.lock", "uv.lock"}

#: What renews requirements.txt.
CURE = "pipenv requirements --hash --exclude-index > requirements.txt"


def listed():
    """Return version, marker and hashes of each package in requirements.txt."""
    found = {}
    for line in (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines():
        words, *hashes = line.split(" --hash=")
        asked = Requirement(words)
        found[asked.name] = (str(asked.specifier), str(asked.marker), set(hashes))
    return found


def test_requirements_txt_is_what_the_lock_says():
    locked = {
        name: (pin["version"], str(Requirement(f"x; {pin['markers']}").marker), set(pin["hashes"]))
        for name, pin in LOCKED.items()
    }
    assert listed() == locked, f"run: {CURE}"


def test_its_command_stands_in_the_contributors_guide():
    assert CURE in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_heroku_is_left_one_list_of_packages():
    left_out = (ROOT / ".slugignore").read_text(encoding="utf-8").split()
    there = {name for name in LISTS if (ROOT / name).exists()}
    assert there - {path.removeprefix("/") for path in left_out} == {"requirements.txt"}


@pytest.mark.parametrize("needed", ["predict.py", "gunicorn.conf.py", "churn", "churn-model.bin"])
def test_what_the_web_process_needs_goes_along(needed):
    assert f"/{needed}" not in (ROOT / ".slugignore").read_text(encoding="utf-8").split()


def test_python_is_named_for_heroku_without_its_last_number():
    assert re.fullmatch(r"3\.\d+\n", (ROOT / ".python-version").read_text(encoding="utf-8"))


def test_the_web_process_listens_where_heroku_says():
    kind, command = (ROOT / "Procfile").read_text(encoding="utf-8").strip().split(": ")
    port = str(free_port())
    server = Server(
        ["-m", *shlex.split(command)], r"Listening at: http://0\.0\.0\.0:(\d+)",
        PORT=port, WEB_CONCURRENCY="2", DYNO="web.1",
    )  # fmt: skip
    status, body = ask(server.port, "POST", "/predict", json.dumps(CUSTOMER))
    code, _ = server.stop()
    assert (kind, str(server.port), status, code) == ("web", port, 200, 0)
    assert json.loads(body)["churn"] is True

"""Pipfile, its lock, and the version of Python: three files that have to say the same."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Iterator

from churn.doctor.findings import Finding
from churn.doctor.project import Project

#: Names that people type, and what they meant. The standard library's need no package.
_MISTAKEN = {
    "sklearn": 'scikit-learn = "*"',
    "pickle": "(nothing: Python has it)",
    "pickle-mixin": "(nothing: Python has pickle)",
    "pipenv": "(nothing: pipenv is not part of what it builds)",
}

#: Sections of a Pipfile that are no categories of packages.
_NO_CATEGORY = {"source", "packages", "dev-packages", "requires", "scripts", "pipfile", "pipenv"}


def lock_is_fresh(project: Project) -> list[Finding]:
    """``pipenv install --deploy`` refuses another Pipfile's lock, in the middle of a build."""
    pipfile = _pipfile(project)
    if not pipfile:
        return []
    try:
        locked = json.loads(project.text("Pipfile.lock"))["_meta"]["hash"]["sha256"]
    except (ValueError, KeyError, TypeError):
        return [Finding("missing, or no lock", "Pipfile.lock", "pipenv lock")]
    if locked == pipfile_hash(pipfile):
        return []
    what = "not made from this Pipfile, so that building the image would stop"
    return [Finding(what, project.line("Pipfile.lock", '"sha256"'), "pipenv lock")]


def pipfile_hash(pipfile: dict[str, object]) -> str:
    """Return the digest by which pipenv knows a Pipfile again."""
    meant = {
        "_meta": {"sources": pipfile.get("source", []), "requires": pipfile.get("requires", {})},
        "default": pipfile.get("packages", {}),
        "develop": pipfile.get("dev-packages", {}),
    }
    meant |= {name: value for name, value in pipfile.items() if name not in _NO_CATEGORY}
    return hashlib.sha256(
        json.dumps(meant, sort_keys=True, separators=(",", ":")).encode()
    ).hexdigest()


def pipfile_is_readable(project: Project) -> list[Finding]:
    """A Pipfile is TOML."""
    try:
        tomllib.loads(project.text("Pipfile"))
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"line (\d+)", str(error))
        return [
            Finding(
                f"no TOML: {error}", f"Pipfile:{line[1]}" if line else "Pipfile", 'name = "version"'
            )
        ]
    return []


def packages_are_meant(project: Project) -> list[Finding]:
    """A name that is another package, or none, fails for reasons that take an hour to see."""
    return [
        Finding(
            f"{name} is not the package you mean", project.line("Pipfile", name), _MISTAKEN[name]
        )
        for section, packages in _pipfile(project).items()
        if isinstance(packages, dict) and section != "scripts"
        for name in packages
        if name.lower() in _MISTAKEN
    ]


def gunicorn_is_locked(project: Project) -> list[Finding]:
    """The image's entry point."""
    packages = _pipfile(project).get("packages")
    if packages is None or (isinstance(packages, dict) and "gunicorn" in packages):
        return []
    what = "gunicorn, which the image starts, is not among the packages"
    return [Finding(what, project.line("Pipfile", "[packages]"), "pipenv install gunicorn")]


def python_is_asked_for_once(project: Project) -> list[Finding]:
    """The two forms contradict each other sooner or later."""
    requires = _pipfile(project).get("requires")
    if isinstance(requires, dict) and {"python_version", "python_full_version"} <= set(requires):
        place = project.line("Pipfile", "python_full_version")
        return [
            Finding("python_version and python_full_version, both", place, "(take this line out)")
        ]
    return []


def pythons_agree(project: Project) -> list[Finding]:
    """Image, Pipfile and .python-version name one Python, and pyproject.toml allows it."""
    named = list(_pythons(project))
    if not named:
        return []
    image, where = named[0]
    found = [
        Finding(f"Python {python}, but {where} has {image}", place, _place_cure(place, image))
        for python, place in named[1:]
        if python != image
    ]
    oldest = oldest_python(project)
    if oldest and _number(image) < oldest:
        wanted = ".".join(map(str, oldest))
        what = f"Python {image}, and {wanted} is the oldest that the lock is made for"
        found.append(Finding(what, where, _place_cure(where, wanted)))
    return found


def oldest_python(project: Project) -> tuple[int, ...] | None:
    """Return the oldest Python that will do, from pyproject.toml."""
    asked = re.search(
        r'^(?:requires-python|python_version)\s*=\s*"[>= ]*(\d+\.\d+)',
        project.text("pyproject.toml"),
        re.MULTILINE,
    )
    return _number(asked[1]) if asked else None


def _pythons(project: Project) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(project.text("Dockerfile").splitlines(), 1):
        if image := re.match(r"FROM\s+python:(\d+\.\d+)", line, re.IGNORECASE):
            yield image[1], f"Dockerfile:{number}"
    if chosen := re.match(r"(\d+\.\d+)", project.text(".python-version")):
        yield chosen[1], ".python-version:1"
    requires = _pipfile(project).get("requires")
    for name, version in requires.items() if isinstance(requires, dict) else ():
        yield ".".join(str(version).split(".")[:2]), project.line("Pipfile", name)


def _place_cure(place: str, python: str) -> str:
    """Return the line that names ``python`` in the file at ``place``."""
    if place.startswith("Pipfile"):
        return f'python_version = "{python}"'
    return f"FROM python:{python}-slim" if place.startswith("Dockerfile") else python


def _pipfile(project: Project) -> dict[str, object]:
    """Return the Pipfile, empty if it can't be read: :func:`pipfile_is_readable` says why."""
    try:
        return tomllib.loads(project.text("Pipfile"))
    except tomllib.TOMLDecodeError:
        return {}


def _number(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))

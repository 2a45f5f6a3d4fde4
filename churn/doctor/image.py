"""The Dockerfile, as all read it that may meet it: docker, the EB CLI, Elastic Beanstalk."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch

from churn.doctor.findings import Finding
from churn.doctor.project import Project
from churn.settings import PORT

DOCKERFILE = "Dockerfile"


@dataclass(frozen=True)
class Instruction:
    """One instruction of a Dockerfile, its continued lines joined."""

    line: int
    name: str
    rest: str

    @property
    def where(self) -> str:
        """Return ``file:line``."""
        return f"{DOCKERFILE}:{self.line}"


def instructions(project: Project) -> list[Instruction]:
    """Return the Dockerfile's instructions in order."""
    found: list[Instruction] = []
    start, held = 0, ""
    for number, line in enumerate(project.text(DOCKERFILE).splitlines(), 1):
        if line.lstrip().startswith("#"):
            continue
        start = number if not held else start
        held += line.strip()
        if held.endswith("\\"):
            held = held[:-1] + " "
        elif held:
            name, _, rest = held.partition(" ")
            found.append(Instruction(start, name.upper(), rest.strip()))
            held = ""
    return found


def dockerfile_is_there(project: Project) -> list[Finding]:
    """Elastic Beanstalk looks for that very name."""
    if (project.root / DOCKERFILE).is_file():
        return []
    alike = [
        path.name for path in project.root.glob("*") if path.name.lower().startswith("dockerfile")
    ]
    cure = f"mv {alike[0]} {DOCKERFILE}" if alike else "git checkout -- Dockerfile"
    return [
        Finding("there is none, and docker and Elastic Beanstalk build from it", DOCKERFILE, cure)
    ]


def first_from_is_literal(project: Project) -> list[Finding]:
    """``eb local run`` pulls what stands after the first FROM, letter by letter."""
    first = next((each for each in instructions(project) if each.name == "FROM"), None)
    if first is None or re.fullmatch(r"[\w./-]+:[\w.-]+( AS \w+)?", first.rest, re.IGNORECASE):
        return []
    what = f"`eb local run` reads FROM {first.rest}: it has to be image:tag, as it is"
    return [Finding(what, first.where, "FROM python:3.13-slim AS environment")]


def port_is_exposed(project: Project) -> list[Finding]:
    """nginx on the instance sends requests to the first EXPOSE."""
    exposed = next((each for each in instructions(project) if each.name == "EXPOSE"), None)
    if not (project.root / DOCKERFILE).is_file():
        return []
    if exposed is None:
        what = "no EXPOSE, and Elastic Beanstalk stops a deployment without it"
        return [Finding(what, DOCKERFILE, f"EXPOSE {PORT}")]
    if exposed.rest.split()[0] != str(PORT):
        what = f"EXPOSE {exposed.rest}, but the service listens on {PORT}"
        return [Finding(what, exposed.where, f"EXPOSE {PORT}")]
    return []


def needs_no_buildkit(project: Project) -> list[Finding]:
    """The EB CLI's docker, and older ones, build without BuildKit."""
    found = []
    for each in instructions(project):
        option = re.search(
            r"--(?:mount|chmod|link|platform|network|security|exclude|parents)\b[^ ]*", each.rest
        )
        if each.name in {"RUN", "COPY", "ADD", "FROM"} and (
            option or "<<" in each.rest.split(" ")[0]
        ):
            used = option.group() if option else "<<"
            what = f"{each.name} {used} needs BuildKit, which `eb local run` has not"
            cure = f"{each.name} {each.rest.replace(used, '').strip()}"
            found.append(Finding(what, each.where, cure))
    return found


def copied_files_will_be_there(project: Project) -> list[Finding]:
    """What COPY names has to be in the bundle, and let through by .dockerignore."""
    found = []
    for each in instructions(project):
        for source in _copied(each):
            if not _holds(project.bundle.sizes, source):
                what = f"copies {source}, which {project.bundle.origin} does not hold"
                cure = f"git add --force {source} && git commit --message 'Add {source}'"
                found.append(Finding(what, each.where, cure))
            elif _kept_out(project, source):
                what = f"{DOCKERFILE} copies {source}, which this keeps out of the build"
                found.append(Finding(what, ".dockerignore", f"!{source}"))
    return found


def _copied(each: Instruction) -> Iterator[str]:
    """Yield what a COPY names of the build's own files, less patterns: those may match nothing."""
    if each.name not in {"COPY", "ADD"} or "--from=" in each.rest:
        return
    words = json.loads(each.rest) if each.rest.startswith("[") else each.rest.split()
    for word in words[:-1]:
        if not word.startswith("--") and "://" not in word and not re.search(r"[*?\[$]", word):
            yield word.removeprefix("./").rstrip("/")


def _holds(names: Iterable[str], source: str) -> bool:
    return any(name == source or name.startswith(f"{source}/") for name in names) or source == "."


def _kept_out(project: Project, source: str) -> bool:
    """The last line of .dockerignore that fits decides, as docker has it."""
    out = False
    for line in project.text(".dockerignore").splitlines():
        pattern = line.strip().removeprefix("!").strip("/")
        if (
            line.strip()
            and not line.startswith("#")
            and fnmatch(source, pattern.removeprefix("**/"))
        ):
            out = not line.startswith("!")
    return out

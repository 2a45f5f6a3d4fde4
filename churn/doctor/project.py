"""The project as the checks see it: its files, and what of them Elastic Beanstalk will get."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

#: The directories that are never part of a project, whatever an .ebignore forgets.
_NEVER = frozenset({".git", ".venv", "__pycache__", ".elasticbeanstalk"})


@dataclass(frozen=True)
class Bundle:
    """The source bundle that ``eb deploy`` would send."""

    #: Where its files come from, in words.
    origin: str
    #: Size in bytes of each file, by its path from the project's root.
    sizes: Mapping[str, int]


@dataclass(frozen=True)
class Project:
    """A checkout of this project."""

    root: Path

    def text(self, name: str) -> str:
        """Return the text of a file, empty where there is none."""
        path = self.root / name
        return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""

    def line(self, name: str, needle: str) -> str:
        """Return ``name:line`` of the first line with ``needle``; ``name`` where there is none."""
        for number, line in enumerate(self.text(name).splitlines(), 1):
            if needle in line:
                return f"{name}:{number}"
        return name

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Return how ``command`` ended in the project's root; without such a program, in 127."""
        try:
            return subprocess.run(  # noqa: S603 - the checks' own commands
                command, cwd=self.root, capture_output=True, text=True, timeout=20, check=False
            )
        except FileNotFoundError:
            return subprocess.CompletedProcess(command, 127, "", f"no program {command[0]}")
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(command, 124, "", "no answer in 20 seconds")

    @cached_property
    def bundle(self) -> Bundle:
        """What ``eb deploy`` would send: the last commit, or what .ebignore leaves of the disk."""
        commit = self.run("git", "rev-parse", "--short", "HEAD")
        if (self.root / ".ebignore").exists():
            return Bundle("the files here less .ebignore's", self._files(self._ignored_by_eb()))
        if commit.returncode:
            return Bundle("the files here, as there is no commit", self._files(frozenset()))
        return Bundle(f"commit {commit.stdout.strip()}", self._committed())

    def _committed(self) -> dict[str, int]:
        listed = self.run("git", "ls-tree", "-r", "-l", "-z", "HEAD").stdout
        sizes = {}
        for entry in filter(None, listed.split("\0")):
            about, name = entry.split("\t", 1)
            size = about.split()[3]
            sizes[name] = int(size) if size.isdigit() else 0
        return sizes

    def _ignored_by_eb(self) -> frozenset[str]:
        """Git reads .ebignore as the EB CLI does: they share the format."""
        command = ["git", "ls-files", "-z", "--ignored", "--exclude-from=.ebignore"]
        names = [self.run(*command, which).stdout for which in ("--cached", "--others")]
        return frozenset(filter(None, "\0".join(names).split("\0")))

    def _files(self, left_out: frozenset[str]) -> dict[str, int]:
        return {name: size for name, size in _walk(self.root, ()) if name not in left_out}


def _walk(folder: Path, above: Sequence[str]) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.is_symlink():
            found += [] if path.name in _NEVER else _walk(path, (*above, path.name))
        else:
            found.append(("/".join((*above, path.name)), path.lstat().st_size))
    return found

"""Numbers that only grow: each process keeps its own, and whoever asks gets the sum over all.

Adding to one is an addition in memory. Where processes share a folder, that memory is a file of
the process's own in it, so what it counted outlives it.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path

#: Bytes of a number.
_WIDTH = 8


class Counts:
    """``size`` numbers, all 0 at first; processes that share ``folder`` share their sums."""

    def __init__(self, size: int, folder: Path | None) -> None:
        self._size = size
        self._folder = folder
        self._own: memoryview[float] | None = None
        if folder is not None and hasattr(os, "register_at_fork"):  # Windows has no forks
            os.register_at_fork(after_in_child=self._begin_anew)

    def own(self) -> memoryview[float]:
        """Return this process's numbers, to be added to by one thread at a time."""
        if self._own is None:
            if self._folder is None:
                self._own = memoryview(bytearray(self._size * _WIDTH)).cast("d")
            else:
                self._own = _mapped(self._folder / f"{os.getpid()}.counts", self._size)
        return self._own

    def totals(self) -> list[float]:
        """Return the sums over all processes that share the folder, this one's if there is none."""
        if self._folder is None:
            return list(map(float, self.own()))
        kept = [path.read_bytes() for path in sorted(self._folder.glob("*.counts"))]
        whole = [each for each in kept if len(each) == self._size * _WIDTH]
        columns = zip(*(memoryview(each).cast("d") for each in whole), strict=True)
        return [float(sum(column)) for column in columns] or [0.0] * self._size

    def _begin_anew(self) -> None:
        """Keep numbers of its own in a fork of another process."""
        self._own = None


def _mapped(path: Path, size: int) -> memoryview[float]:
    """Return a file's numbers, made where there is none."""
    with path.open("a+b") as file:
        file.truncate(size * _WIDTH)
        return memoryview(mmap.mmap(file.fileno(), size * _WIDTH)).cast("d")

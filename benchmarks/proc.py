"""What Linux tells of a server in /proc: its processes, their CPU and memory."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")

#: What reading about a process raises that has just ended.
ENDED = (FileNotFoundError, ProcessLookupError)


def tree(pid: int) -> list[int]:
    """Return a process and all that it started, itself or through others."""
    found = [pid]
    with suppress(*ENDED):
        for task in (PROC / str(pid) / "task").iterdir():
            for child in (task / "children").read_text().split():
                found += tree(int(child))
    return found


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has had, its own and the system's for it."""
    with suppress(*ENDED):
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def memory(pid: int) -> float:
    """Return a process's share of memory (PSS), in MB; what is shared is divided by its sharers."""
    with suppress(*ENDED):
        told = (PROC / str(pid) / "smaps_rollup").read_text()
        if share := re.search(r"^Pss:\s+(\d+)", told, re.MULTILINE):
            return int(share[1]) / 1024
    return 0.0

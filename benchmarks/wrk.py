"""The load, made by wrk: one customer a request over kept connections."""

from __future__ import annotations

import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from proc import cpu_seconds, tree
from services import CUSTOMER, JSON, Server, Skipped

#: wrk is told what to send, and tells what became of it, in Lua.
SCRIPT = """\
wrk.method = "POST"
wrk.headers["Content-Type"] = "{media}"
wrk.body = {body}
function done(summary, latency)
  local failed = summary.errors
  io.write(string.format("\\n[%d, %d, %d, %d, %d, %d]",
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    failed.status, failed.connect + failed.read + failed.write + failed.timeout))
end
"""


@dataclass(frozen=True)
class Load:
    """What so many connections got; times are in milliseconds, CPU in microseconds a request."""

    requests: int
    per_second: float
    p50: float
    p99: float
    cpu: float
    #: How many answers were no 200, and how often a connection broke or waited too long.
    refused: int = 0
    broken: int = 0


def load(server: Server, connections: int, seconds: int) -> Load:
    """Return what wrk got from a server, and what that cost it.

    :raises Skipped: there is no wrk, or it fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "post.lua"
        body = json.dumps(CUSTOMER.read_text("utf-8"))
        script.write_text(SCRIPT.replace("{media}", JSON).replace("{body}", body), "utf-8")
        command = [
            "wrk", "--threads=1", f"--connections={connections}", f"--duration={seconds}s",
            "--timeout=5s", f"--script={script}", server.url,
        ]  # fmt: skip
        before = cpu(server.pid)
        try:
            told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        except FileNotFoundError:
            raise Skipped("wrk makes the load: apt-get install wrk") from None
        except subprocess.CalledProcessError as error:
            raise Skipped(f"wrk failed: {(error.stderr or error.stdout).strip()}") from None
        spent = cpu(server.pid) - before
    return understood(told.rpartition("\n")[2], spent)


def understood(line: str, spent: float) -> Load:
    """Return the figures in the line that the script writes."""
    requests, duration, p50, p99, refused, broken = json.loads(line)
    rate, cost = requests / duration * 1e6, spent / max(requests, 1) * 1e6
    return Load(requests, rate, p50 / 1000, p99 / 1000, cost, refused, broken)


def cpu(pid: int) -> float:
    """Return the seconds of CPU that a server has had, in all its processes."""
    return sum(map(cpu_seconds, tree(pid)))

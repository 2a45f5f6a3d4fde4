"""Serve one customer a request, beside the usual way and the limits: ``pipenv run bench``.

Each service runs under gunicorn with two workers, one after the other, in rounds, and is loaded by
wrk (Debian: apt-get install wrk) on loopback. What counts are the ratios of one run: machines
differ, and are noisy. Needs the training packages, for the rival.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
RIVALS = ROOT / "benchmarks" / "rivals"
CUSTOMER = ROOT / "data" / "customer.json"
THREADED = ["--worker-class", "gthread", "--threads", "4", "--keep-alive", "75"]


@dataclass(frozen=True)
class Service:
    """What is served, from which folder, with which options of gunicorn's."""

    name: str
    folder: Path
    app: str
    options: tuple[str, ...] = ()


SERVICES = [
    Service("this service", ROOT, "predict:app"),
    Service("naive Flask and scikit-learn", RIVALS, "naive:app", (*THREADED,)),
    Service("Flask, a constant", RIVALS, "constant:flask_app", (*THREADED,)),
    Service("bare WSGI, a constant", RIVALS, "constant:bare_app", (*THREADED,)),
]


@dataclass(frozen=True)
class Run:
    """One round's figures of one service."""

    per_second: dict[int, float]
    p99: dict[int, float]
    start: float
    memory: float


def main() -> int:
    """Measure, and print the medians with their ratios."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3, help="runs of each service (default: 3)")
    parser.add_argument("--seconds", type=int, default=5, help="load of each run (default: 5)")
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 16, 64])
    asked = parser.parse_args()
    if shutil.which("wrk") is None:
        print("bench: wrk makes the load: apt-get install wrk", file=sys.stderr)
        return 1
    runs: dict[str, list[Run]] = defaultdict(list)
    for turn in range(asked.rounds):
        for service in SERVICES:
            print(f"round {turn + 1} of {asked.rounds}: {service.name}", file=sys.stderr)
            runs[service.name].append(measured(service, asked.connections, asked.seconds))
    report(runs, asked.connections)
    return 0


def measured(service: Service, connections: list[int], seconds: int) -> Run:
    """Return what one service does under load."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--workers", "2"]
    started = time.monotonic()
    server = subprocess.Popen(
        [*command, *service.options, service.app], cwd=service.folder,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        url = f"http://127.0.0.1:{port}/predict"
        start = first_answer(url, started)
        loads = {count: load(url, count, seconds) for count in connections}
        memory = sum(map(proportional, [server.pid, *children(server.pid)]))
    finally:
        server.terminate()
        server.wait()
    return Run(
        {count: found[0] for count, found in loads.items()},
        {count: found[1] for count, found in loads.items()},
        start,
        memory,
    )


def first_answer(url: str, started: float) -> float:
    """Return the seconds from the start to the first prediction."""
    asked = urllib.request.Request(url, CUSTOMER.read_bytes(), {"Content-Type": "application/json"})
    while time.monotonic() - started < 60:
        try:
            with urllib.request.urlopen(asked, timeout=10) as answer:
                json.load(answer)
                return time.monotonic() - started
        except OSError:
            time.sleep(0.01)
    raise TimeoutError(f"{url} never answered")


def load(url: str, connections: int, seconds: int) -> tuple[float, float]:
    """Return requests a second, and the 99th percentile of their times in milliseconds."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "post.lua"
        body = json.dumps(CUSTOMER.read_text())
        script.write_text(
            f'wrk.method="POST"\nwrk.headers["Content-Type"]="application/json"\nwrk.body={body}\n'
        )
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}", "--latency", "-s", script, url]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in told or "Socket errors" in told:
        raise RuntimeError(f"{url} failed under load:\n{told}")
    per_second = float(re.search(r"Requests/sec:\s+([\d.]+)", told).group(1))  # type: ignore[union-attr]
    number, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", told).groups()  # type: ignore[union-attr]
    return per_second, float(number) * {"us": 0.001, "ms": 1, "s": 1000}[unit]


def children(pid: int) -> list[int]:
    """Return a process's children."""
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def proportional(pid: int) -> float:
    """Return a process's share of memory (PSS), in MB."""
    found = re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    return int(found.group(1)) / 1024 if found else 0.0


def report(runs: dict[str, list[Run]], connections: list[int]) -> None:
    """Print medians, and how many times the first service's figure is each other's."""
    heads = [f"{count} conn. req/s" for count in connections]
    heads += [f"p99 at {connections[-1]}", "memory", "first answer"]
    print(f"{len(os.sched_getaffinity(0))} CPUs, two workers each, medians (ours as a multiple)\n")
    print(f"| service | {' | '.join(heads)} |\n|---|{'---|' * len(heads)}")
    ours = figures(next(iter(runs.values())), connections)
    for name, found in runs.items():
        theirs = figures(found, connections)
        units = ["", *[""] * (len(connections) - 1), " ms", " MB", " s"]
        cells = [
            f"{each:,.{0 if each >= 10 else 2}f}{unit} ({mine / each:.2f}x)"
            for each, mine, unit in zip(theirs, ours, units, strict=True)
        ]
        print(f"| {name} | {' | '.join(cells)} |")


def figures(runs: list[Run], connections: list[int]) -> list[float]:
    """Return the medians of a service's runs, in the order of the report's columns."""
    rates = [median(run.per_second[count] for run in runs) for count in connections]
    p99 = median(run.p99[connections[-1]] for run in runs)
    return [*rates, p99, median(run.memory for run in runs), median(run.start for run in runs)]


if __name__ == "__main__":
    sys.exit(main())

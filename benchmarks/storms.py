"""What slow callers, floods and a million requests do to a service: see --help.

Each service is asked alone, then with idle and half-sent connections held open, then by more
callers than it can serve, then for long.
"""

from __future__ import annotations

import argparse
import socket
import subprocess
import sys
from contextlib import ExitStack
from urllib.parse import urlsplit

from servers import (
    GUNICORN,
    NAIVE,
    ROOT,
    SERVICES,
    UVICORN,
    Service,
    first_answer,
    load,
    proportional,
    running,
    tree,
)

HELD = 64
HALF = b"POST /predict HTTP/1.1\r\nHost: here\r\nContent-Le"

CHOSEN = [
    *(each for each in SERVICES if "this service" in each.name),
    Service(
        "this service, waitress",
        (sys.executable, "predict.py", "--host", "127.0.0.1", "--port", "{port}"), ROOT,
    ),
    Service("this service, FastAPI, uvicorn", (*UVICORN, "predict_fastapi:app"), ROOT),
    *(each for each in SERVICES if each.name == NAIVE),
    Service("naive, gunicorn's one sync worker", (*GUNICORN, "--workers", "1", "naive:app")),
]  # fmt: skip


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description="What slow callers, floods and a million requests do to a service.",
        epilog="example: python benchmarks/storms.py --only gunicorn --requests 1000000",
    )
    parser.add_argument("--only", nargs="+", help="only services with one of these in their name")
    parser.add_argument("--seconds", type=int, default=4, help="of each load (default: 4)")
    parser.add_argument("--requests", type=int, default=100_000, help="of the long run")
    asked = parser.parse_args()
    print(
        f"p99 at 16 connections, alone and beside {HELD} idle and {HELD} half-sent ones; of 1,000 "
        f"connections; memory at the start, after the storms, after {asked.requests:,} more\n"
    )
    print("| service | alone | beside slow callers | flood | memory |\n|---|---|---|---|---|")
    for service in CHOSEN:
        if any(word in service.name for word in asked.only or [""]):
            print(f"| {service.name} | {' | '.join(weathered(service, asked))} |", flush=True)
    return 0


def weathered(service: Service, asked: argparse.Namespace) -> list[str]:
    """Return what became of a service, a cell a storm."""
    with running(service) as (server, url, started):
        first_answer(url, started, server)
        cells = [quickness(url, 16, 1, server.pid), quickness(url, 16, asked.seconds, server.pid)][
            1:
        ]
        memory = [megabytes(server.pid)]
        with ExitStack() as held:
            for said in (b"", HALF):
                for _ in range(HELD):
                    address = (urlsplit(url).hostname, urlsplit(url).port)
                    held.enter_context(socket.create_connection(address)).sendall(said)
            cells.append(quickness(url, 16, asked.seconds, server.pid))
        cells.append(quickness(url, 1000, asked.seconds, server.pid))
        memory.append(megabytes(server.pid))
        try:
            rate = load(url, 16, 2, server.pid).per_second
            load(url, 16, max(1, round(asked.requests / rate)), server.pid)
            memory.append(megabytes(server.pid))
        except (RuntimeError, subprocess.SubprocessError):
            memory.append("no answer")
        cells.append(", ".join(memory))
    return cells


def quickness(url: str, connections: int, seconds: int, pid: int) -> str:
    """Return the 99th percentile, and requests a second, or that there was no answer."""
    try:
        got = load(url, connections, seconds, pid)
    except (RuntimeError, ZeroDivisionError) as error:
        said = str(error)
        refused = "Socket errors" in said or "0 requests" in said or "division" in said
        return "**no answer**" if refused and "Requests/sec:      0.00" in said else "errors"
    return f"{got.p99:.1f} ms ({got.per_second:,.0f}/s)"


def megabytes(pid: int) -> str:
    """Return the memory of a process and all that it started."""
    return f"{sum(map(proportional, tree(pid))):.1f} MB"


if __name__ == "__main__":
    sys.exit(main())

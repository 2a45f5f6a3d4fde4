"""What becomes of a service under slow clients, a million requests, a flood, and kept connections.

``python benchmarks/storms.py --help`` lists what can be asked for.
"""

from __future__ import annotations

import argparse
import resource
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from statistics import median

from proc import cpu_seconds, memory, tree
from servers import named
from services import (
    NAIVE_SYNC,
    NAIVE_THREADED,
    OURS_GRANIAN_ALONE,
    OURS_GUNICORN,
    UVICORN,
    Server,
    Service,
    Skipped,
    answer,
    running,
)
from wrk import load

#: Connections held open that say nothing, and as many that stop in the middle of a request.
HELD = 64
HEAD = b"POST /predict HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n"
HALVES = (HEAD[:40], HEAD + b'Content-Length: 500\r\n\r\n{"gender": "fe')

#: How often slow callers come and go.
TURNS = 5

#: Seconds after which an answer is none.
PATIENCE = 5

SERVICES = [
    OURS_GUNICORN,
    OURS_GRANIAN_ALONE,
    Service("this service, waitress", ("predict.py", "--host", "127.0.0.1", "--port", "{port}")),
    Service("this service, FastAPI, uvicorn", (*UVICORN, "predict_fastapi:app")),
    NAIVE_SYNC,
    NAIVE_THREADED,
]

EPILOG = """\
examples:
  python benchmarks/storms.py
  python benchmarks/storms.py slow flood --only gunicorn --seconds 10
  python benchmarks/storms.py memory --only this --requests 1000000
"""


def main() -> int:
    """Let the storms rage, one after the other, and print what they did."""
    storms = {"slow": slow, "memory": long_run, "flood": flood, "spread": spread}
    parser = argparse.ArgumentParser(
        description="What becomes of services under slow clients, in the long run, in a flood, and "
        "how kept connections are spread over workers.",
        epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    which = f"{', '.join(storms)}; by default all"
    parser.add_argument("storms", nargs="*", choices=[[], *storms], metavar="STORM", help=which)
    parser.add_argument("--only", nargs="+", metavar="WORD", help="services with such a word")
    parser.add_argument("--seconds", type=int, default=4, help="of each load (default: 4)")
    parser.add_argument("--requests", type=int, default=1_000_000, help="of the long run")
    parser.add_argument("--flood", type=int, default=2_000, help="connections (default: 2,000)")
    asked = parser.parse_args()
    lift_the_limit_on_files()
    for name in asked.storms or storms:
        storm = storms[name]
        print(f"\n{(storm.__doc__ or '').partition(chr(10))[0]}\n")
        for service in SERVICES:
            if not named(service, asked.only) or (name == "memory" and not service.ours):
                continue  # a naive one would take an hour for its million
            print(f"{service.name}: {outcome(service, storm, asked)}", flush=True)
    return 0


def outcome(
    service: Service, storm: Callable[[Server, argparse.Namespace], str], asked: argparse.Namespace
) -> str:
    """Return what a storm did to a service, or why it wasn't there."""
    try:
        with running(service) as server:
            load(server, 16, 1)  # so that every worker has seen a request
            return storm(server, asked)
    except Skipped as why:
        return f"skipped: {why}"
    except (OSError, ValueError) as why:  # it takes no connections any more, or answers nonsense
        return f"broke down: {why}"


def slow(server: Server, asked: argparse.Namespace) -> str:
    """p99 at 16 connections: alone, and with 64 idle and 64 half-sent connections held open."""
    alone, beside = [], []
    for _ in range(TURNS):
        alone.append(load(server, 16, asked.seconds))
        with held(server):
            try:
                for _ in range(4):  # more than one worker may get them
                    answer(server.port, PATIENCE)
            except OSError:
                return f"{alone[0].p99:.1f} ms, then no answer in {PATIENCE} s"
            beside.append(load(server, 16, asked.seconds))
    told = [
        f"{median(each.p99 for each in found):.1f} ms"
        f" ({median(each.per_second for each in found):,.0f} requests a second)"
        for found in (alone, beside)
    ]
    return f"{' and '.join(told)}, medians of {TURNS} turns"


def long_run(server: Server, asked: argparse.Namespace) -> str:
    """Memory (PSS, MB) at the start, and after so many requests."""
    told, served, marks = [f"{megabytes(server):.1f}"], 0, tenths(asked.requests)
    for mark in marks:
        while served < mark:
            found = load(server, 16, 2)
            served += found.requests
            if not found.requests:
                return f"{' · '.join(told)}, then no answer"
        told.append(f"{megabytes(server):.1f} after {served:,}")
    return " · ".join(told)


def flood(server: Server, asked: argparse.Namespace) -> str:
    """A flood of connections: what was answered during it, and how soon a caller is after it."""
    found = load(server, asked.flood, asked.seconds)
    ended = time.monotonic()
    try:
        answer(server.port, 60)
        after = f"{time.monotonic() - ended:.2f} s later"
    except OSError:
        after = "not within a minute"
    return (
        f"{found.per_second:,.0f} requests a second, p50 {found.p50:,.0f} ms, p99 {found.p99:,.0f}"
        f" ms, {found.broken:,} broken or late, {found.refused:,} refused; the next answer {after}"
    )


def spread(server: Server, asked: argparse.Namespace) -> str:
    """How 16 kept connections are spread over processes: their shares of CPU in five loads."""
    told = []
    for _ in range(5):
        before = {pid: cpu_seconds(pid) for pid in tree(server.pid)}
        load(server, 16, max(1, asked.seconds // 2))
        spent = sorted((cpu_seconds(pid) - before[pid] for pid in before), reverse=True)
        shares = [round(100 * each / (sum(spent) or 1)) for each in spent]
        told.append(":".join(str(share) for share in shares if share > 1))
    return " · ".join(told)


@contextmanager
def held(server: Server) -> Iterator[None]:
    """Hold idle and half-sent connections to a server."""
    with ExitStack() as opened:
        for said in (b"", *HALVES):
            for _ in range(HELD if not said else HELD // len(HALVES)):
                caller = socket.create_connection(("127.0.0.1", server.port), PATIENCE)
                opened.enter_context(caller).sendall(said)
        yield


def tenths(requests: int) -> list[int]:
    """Return after how many requests to look: a tenth, a half, and all of them."""
    return [requests // 10, requests // 2, requests]


def megabytes(server: Server) -> float:
    """Return a server's memory, in all its processes."""
    return sum(map(memory, tree(server.pid)))


def lift_the_limit_on_files() -> None:
    """Let this process, and those it starts, hold as many connections as the system allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    sys.exit(main())

"""Serve one customer a request, beside the usual ways and the limits: ``pipenv run bench``.

Each service runs with two workers, one after the other, in rounds, and is loaded by wrk on
loopback. What counts are the ratios of one run: machines differ, and are noisy.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from proc import memory, tree
from services import NAIVE, SERVICES, Server, Service, Skipped, running
from wrk import load

ALL = [each.name for each in SERVICES]

#: What a run found: the connections, the CPUs, and the medians of each service.
Figures = dict[str, Any]

EPILOG = """\
examples:
  pipenv run bench --rounds 1 --only this nginx
  pipenv run bench --json figures.json --chart servers.svg
  pipenv run bench --from figures.json --chart servers.svg

Needs Linux, the packages of all categories (pipenv sync --all), wrk and, for one row, nginx
(Debian: apt-get install wrk nginx-light). Rivals get environments of their own on first use.
"""


def main() -> int:
    """Measure, or read an earlier run; print, save and draw it."""
    asked = options()
    try:
        figures = json.loads(asked.read.read_text("utf-8")) if asked.read else measured(asked)
        print("\n".join(report(figures)))
    except (Skipped, OSError, ValueError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except (KeyError, TypeError):
        print(f"bench: {asked.read} is no run that --json saved", file=sys.stderr)
        return 1
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    if asked.chart:
        from chart import draw  # matplotlib, which only this needs

        draw(figures, asked.chart)
    return 0


def options() -> argparse.Namespace:
    """Return what is asked for on the command line."""
    parser = argparse.ArgumentParser(
        prog="bench", description="Serve one customer a request, beside the usual ways.",
        epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--rounds", type=int, default=3, help="runs of each service (default: 3)")
    parser.add_argument("--seconds", type=int, default=4, help="of each load (default: 4)")
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 16, 64], metavar="N")
    parser.add_argument("--only", nargs="+", metavar="WORD", help="services with such a word")
    parser.add_argument("--json", type=Path, metavar="FILE", help="save the figures")
    parser.add_argument("--chart", type=Path, metavar="FILE", help="draw them, as SVG or PNG")
    parser.add_argument("--from", type=Path, metavar="FILE", dest="read", help="measure nothing")
    return parser.parse_args()


def measured(asked: argparse.Namespace) -> Figures:
    """Return the medians of all rounds.

    :raises Skipped: nothing can be measured here.
    """
    if shutil.which("wrk") is None or not Path("/proc/self/smaps_rollup").exists():
        raise Skipped("this needs Linux, and wrk to make the load (Debian: apt-get install wrk)")
    cpus, busy = len(os.sched_getaffinity(0)), os.getloadavg()[0]
    if busy > cpus / 4:
        print(
            f"others are at work on this machine (load {busy:.1f}): not a fair run", file=sys.stderr
        )
    chosen = [each for each in SERVICES if named(each, asked.only)]
    runs: dict[str, list[Figures]] = {each.name: [] for each in chosen}
    for turn in range(asked.rounds):
        for service in list(chosen):
            print(f"round {turn + 1} of {asked.rounds}: {service.name}", file=sys.stderr)
            try:
                with running(service) as server:
                    runs[service.name].append(one_run(server, asked.connections, asked.seconds))
            except Skipped as why:
                print(f"  skipped: {why}", file=sys.stderr)
                chosen.remove(service)
    medians = {name: middle(found) for name, found in runs.items() if found}
    if not medians:
        raise Skipped("no service could be measured; those there are: " + "; ".join(ALL))
    return {"cpus": cpus, "connections": asked.connections, "services": medians}


def named(service: Service, words: list[str] | None) -> bool:
    """Return whether a service is among those asked for."""
    return not words or any(word in service.name for word in words)


def one_run(server: Server, connections: list[int], seconds: int) -> Figures:
    """Return what one service does under load.

    :raises Skipped: it answers with something else than a prediction.
    """
    load(server, 16, 1)  # so that every worker has seen a request
    loads = {str(count): load(server, count, seconds) for count in connections}
    for count, found in loads.items():
        if found.refused or not found.requests:
            raise Skipped(f"{found.refused} answers of {found.requests} at {count} were no 200")
        if found.broken:
            print(f"  {found.broken} connections broke at {count}", file=sys.stderr)
    held = sum(map(memory, tree(server.pid)))
    told = {count: asdict(found) for count, found in loads.items()}
    return {"loads": told, "start": server.start, "memory": held}


def middle(runs: list[Figures]) -> Figures:
    """Return figures of the same shape, each the median of those given."""
    return {
        name: middle([run[name] for run in runs])
        if isinstance(first, dict)
        else round(median(run[name] for run in runs), 3)
        for name, first in runs[0].items()
    }


def report(figures: Figures) -> Iterator[str]:
    """Yield the lines of a table, with how many times the naive service's requests each serves."""
    counts = list(map(str, figures["connections"]))
    busy = counts[1:] or counts
    heads = ["service", *(f"req/s at {count}" for count in counts)]
    heads += [f"p50 · p99 at {count}, ms" for count in busy]
    heads += ["CPU, µs", "memory, MB", "start, s"]
    yield f"| {' | '.join(heads)} |"
    yield f"|---|{'--:|' * (len(heads) - 1)}"
    naive = figures["services"].get(NAIVE)
    for name, found in figures["services"].items():
        loads = found["loads"]
        cells = [name if "this service" not in name else f"**{name}**"]
        for count in counts:
            rate = loads[count]["per_second"]
            times = f" ({rate / naive['loads'][count]['per_second']:.1f}x)" if naive else ""
            cells.append(f"{rate:,.0f}{times}")
        cells += [f"{loads[count]['p50']:.1f} · {loads[count]['p99']:.1f}" for count in busy]
        cells += [
            f"{loads[busy[0]]['cpu']:,.0f}",
            f"{found['memory']:.0f}",
            f"{found['start']:.2f}",
        ]
        yield f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())

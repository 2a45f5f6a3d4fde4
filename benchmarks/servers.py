"""Serve one customer a request, beside the usual ways and the limits: ``pipenv run bench``.

Each service runs with two workers, one after the other, in rounds, and is loaded by wrk on
loopback. What counts are the ratios of one run: machines differ, and are noisy. Needs all
categories of the Pipfile, and Debian's packages wrk and nginx-light.
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
import venv
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
RIVALS = ROOT / "benchmarks" / "rivals"
ENVIRONMENTS = ROOT / "benchmarks" / ".environments"
CUSTOMER = ROOT / "data" / "customer.json"
ANSWER = '{"churn_probability": 0.7161721770226143, "churn": true}'
TICKS = os.sysconf("SC_CLK_TCK")

GUNICORN = (sys.executable, "-m", "gunicorn", "--bind", "127.0.0.1:{port}", "--workers", "2")
#: Four threads a worker, as gunicorn's own advice has it.
THREADED = (*GUNICORN, "--worker-class", "gthread", "--threads", "4", "--keep-alive", "75")
#: One thread a worker: a prediction never waits for anything, and two would wait for each other.
GRANIAN = (
    sys.executable, "-m", "granian", "--interface", "wsgi", "--workers", "2",
    "--blocking-threads", "1", "--no-ws", "--log-level", "warning",
    "--host", "127.0.0.1", "--port", "{port}",
)  # fmt: skip
UVICORN = (
    sys.executable, "-m", "uvicorn", "--workers", "2", "--port", "{port}", "--log-level", "warning",
    "--no-access-log",
)  # fmt: skip


@dataclass(frozen=True)
class Service:
    """What is served, from which folder, by which command."""

    name: str
    command: tuple[str, ...]
    folder: Path = RIVALS


#: The one that the others are measured by.
NAIVE = "naive Flask and scikit-learn, gunicorn"

SERVICES = [
    Service("this service, gunicorn", (*GUNICORN, "predict:app"), ROOT),
    Service("this service, granian", (*GRANIAN, "predict:app"), ROOT),
    Service(NAIVE, (*THREADED, "naive:app")),
    Service("naive FastAPI and scikit-learn, uvicorn", (*UVICORN, "fastapi_sister:app")),
    Service("LitServe", ("litserve", str(RIVALS / "litserve_server.py"), "{port}")),
    Service("Flask, a constant, gunicorn", (*THREADED, "constant:flask_app")),
    Service("Flask, a constant, granian", (*GRANIAN, "constant:flask_app")),
    Service("bare WSGI, a constant, gunicorn", (*THREADED, "constant:bare_app")),
    Service("bare WSGI, a constant, granian", (*GRANIAN, "constant:bare_app")),
    Service("nginx, a constant", ("nginx", "-c", "{nginx}")),
]

NGINX = """\
worker_processes 2; daemon off; error_log stderr error; pid {folder}/pid;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 100000000;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port};
    location = /predict {{ default_type application/json; return 200 '{answer}'; }}
  }}
}}
"""


@dataclass(frozen=True)
class Load:
    """What so many connections got: requests a second, times in ms, CPU of the server in µs."""

    per_second: float
    p50: float
    p99: float
    cpu: float


@dataclass(frozen=True)
class Run:
    """One round of one service: loads by connections, seconds to an answer, memory in MB."""

    loads: dict[str, Load]
    start: float
    memory: float


def main() -> int:
    """Measure, print medians with their ratios, and save and draw what is asked for."""
    parser = argparse.ArgumentParser(
        description="Serve one customer a request, beside the usual ways and the limits.",
        epilog="example: python benchmarks/servers.py --only this nginx --rounds 5",
    )
    parser.add_argument("--rounds", type=int, default=3, help="runs of each service (default: 3)")
    parser.add_argument("--seconds", type=int, default=4, help="of each load (default: 4)")
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--only", nargs="+", help="only services with one of these in their name")
    parser.add_argument("--json", type=Path, help="save the figures here, or read them from here")
    parser.add_argument("--chart", type=Path, help="draw the figures here, as SVG or PNG")
    asked = parser.parse_args()
    if asked.chart and asked.json and asked.json.exists():
        draw(json.loads(asked.json.read_text()), asked.chart)
        return 0
    if shutil.which("wrk") is None:
        print("bench: wrk makes the load: apt-get install wrk", file=sys.stderr)
        return 1
    runs: dict[str, list[Run]] = defaultdict(list)
    chosen = [each for each in SERVICES if any(word in each.name for word in asked.only or [""])]
    for turn in range(asked.rounds):
        for service in chosen:
            print(f"round {turn + 1} of {asked.rounds}: {service.name}", file=sys.stderr)
            try:
                runs[service.name].append(measured(service, asked.connections, asked.seconds))
            except (OSError, RuntimeError, subprocess.CalledProcessError) as error:
                print(f"  skipped: {error}", file=sys.stderr)
    figures = {name: summary(found) for name, found in runs.items() if found}
    report(figures, asked.connections)
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=1) + "\n")
    if asked.chart:
        draw(figures, asked.chart)
    return 0


def measured(service: Service, connections: list[int], seconds: int) -> Run:
    """Return what one service does under load."""
    with running(service) as (server, url, started):
        start = first_answer(url, started, server)
        load(url, 16, 1, server.pid)  # so that every worker has seen a request
        loads = {str(count): load(url, count, seconds, server.pid) for count in connections}
        memory = sum(map(proportional, tree(server.pid)))
    return Run(loads, start, memory)


@contextmanager
def running(service: Service) -> Iterator[tuple[subprocess.Popen[bytes], str, float]]:
    """Yield a running service, its address, and when it was started."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        nginx = Path(folder) / "nginx.conf"
        nginx.write_text(NGINX.format(folder=folder, port=port, answer=ANSWER))
        first, *rest = [part.format(port=port, nginx=nginx) for part in service.command]
        program = first if shutil.which(first) else str(environment(first))
        started = time.monotonic()
        server = subprocess.Popen(
            [program, *rest], cwd=service.folder,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={**os.environ, "CHURN_METRICS_DIR": folder},
        )  # fmt: skip
        try:
            yield server, f"http://127.0.0.1:{port}/predict", started
        finally:
            server.terminate()
            server.wait()


def environment(name: str) -> Path:
    """Return the Python of a rival's own environment, made if there is none.

    :raises RuntimeError: it can't be had.
    """
    wanted = RIVALS / f"requirements-{name}.txt"
    if not wanted.exists():
        raise RuntimeError(f"there is no {name} on this machine")
    folder = ENVIRONMENTS / name
    python = folder / "bin" / "python"
    if not python.exists():
        print(f"  installing {wanted.relative_to(ROOT)} into {folder}", file=sys.stderr)
        venv.create(folder, with_pip=True)
        install = [python, "-m", "pip", "install", "--quiet", "-r", wanted]
        if subprocess.run(install, capture_output=True).returncode:
            shutil.rmtree(folder)
            raise RuntimeError(f"{wanted.name} can't be installed here")
    return python


def first_answer(url: str, started: float, server: subprocess.Popen[bytes]) -> float:
    """Return the seconds from the start to the first prediction.

    :raises RuntimeError: there is none.
    """
    asked = urllib.request.Request(url, CUSTOMER.read_bytes(), {"Content-Type": "application/json"})
    while server.poll() is None and time.monotonic() - started < 60:
        try:
            with urllib.request.urlopen(asked, timeout=10) as answer:
                json.load(answer)
                return time.monotonic() - started
        except OSError:
            time.sleep(0.01)
    raise RuntimeError("it never answered")


def load(url: str, connections: int, seconds: int, pid: int) -> Load:
    """Return what wrk got over so many kept connections.

    :raises RuntimeError: an answer was none.
    """
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "post.lua"
        body = json.dumps(CUSTOMER.read_text())
        script.write_text(
            f'wrk.method="POST"\nwrk.headers["Content-Type"]="application/json"\nwrk.body={body}\n'
        )
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}", "--latency", "-s", script, url]
        before = sum(map(cpu_seconds, tree(pid)))
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        spent = sum(map(cpu_seconds, tree(pid))) - before
    if "Non-2xx" in told or "Socket errors" in told:
        raise RuntimeError(f"{url} failed under load:\n{told}")
    per_second = float(found(r"Requests/sec:\s+([\d.]+)", told)[0])
    requests = int(found(r"(\d+) requests in", told)[0])
    p50, p99 = (in_ms(*found(rf"{share}%\s+([\d.]+)(us|ms|s)", told)) for share in (50, 99))
    return Load(per_second, p50, p99, spent / requests * 1e6)


def found(pattern: str, text: str) -> tuple[str, ...]:
    """Return a pattern's groups in wrk's report."""
    match = re.search(pattern, text)
    if match is None:
        raise RuntimeError(f"wrk's report lacks {pattern}:\n{text}")
    return match.groups()


def in_ms(number: str, unit: str) -> float:
    """Return a time of wrk's in milliseconds."""
    return float(number) * {"us": 0.001, "ms": 1, "s": 1000}[unit]


def tree(pid: int) -> list[int]:
    """Return a process and all that it started."""
    below = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            below += tree(int(child))
    return [pid, *below]


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def proportional(pid: int) -> float:
    """Return a process's share of memory (PSS), in MB."""
    told = re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    return int(told.group(1)) / 1024 if told else 0.0


def summary(runs: list[Run]) -> dict:
    """Return the medians of a service's runs."""
    loads = {
        count: {
            name: median(asdict(run.loads[count])[name] for run in runs)
            for name in ("per_second", "p50", "p99", "cpu")
        }
        for count in runs[0].loads
    }
    start, memory = median(run.start for run in runs), median(run.memory for run in runs)
    return {"loads": loads, "start": start, "memory": memory}


def report(figures: dict[str, dict], connections: list[int]) -> None:
    """Print the medians, and beside requests a second how many times the naive service's."""
    heads = [f"req/s at {count}" for count in connections]
    heads += [f"p99 at {count}" for count in connections[1:]]
    heads += ["CPU a request", "memory", "first answer"]
    print(f"{len(os.sched_getaffinity(0))} CPUs, two workers each, medians (times the naive one)\n")
    print(f"| service | {' | '.join(heads)} |\n|---|{'---|' * len(heads)}")
    for name, each in figures.items():
        cells = []
        for count in map(str, connections):
            rate, naive = each["loads"][count]["per_second"], figures.get(NAIVE)
            times = f" ({rate / naive['loads'][count]['per_second']:.1f}x)" if naive else ""
            cells.append(f"{rate:,.0f}{times}")
        cells += [f"{each['loads'][str(count)]['p99']:.1f} ms" for count in connections[1:]]
        cells += [f"{each['loads'][str(connections[-1])]['cpu']:,.0f} µs"]
        cells += [f"{each['memory']:.0f} MB", f"{each['start']:.2f} s"]
        print(f"| {name} | {' | '.join(cells)} |")


def draw(figures: dict[str, dict], path: Path) -> None:
    """Draw requests a second and memory, ours in another colour."""
    from matplotlib import pyplot

    names = sorted(figures, key=lambda name: figures[name]["loads"]["16"]["per_second"])
    colours = ["#0b6e6e" if "this service" in name else "#b8c4c4" for name in names]
    pyplot.rcParams.update({"font.size": 9, "svg.fonttype": "path", "svg.hashsalt": "bench"})
    figure, (rates, memory) = pyplot.subplots(1, 2, figsize=(9, 0.36 * len(names) + 1), sharey=True)
    per_second = [figures[name]["loads"]["16"]["per_second"] for name in names]
    columns = [
        (rates, "requests a second, 16 connections", per_second),
        (memory, "memory of all its processes, MB", [figures[name]["memory"] for name in names]),
    ]
    for axes, title, values in columns:
        bars = axes.barh(names, values, color=colours, height=0.7)
        axes.bar_label(bars, [f"{value:,.0f}" for value in values], padding=3)
        axes.set_title(title, loc="left", fontsize=9)
        axes.set_xscale("log")
        axes.set_xlim(right=max(values) * 3)
        axes.spines[["top", "right", "bottom"]].set_visible(False)
        axes.tick_params(bottom=False, labelbottom=False, left=False)
        axes.minorticks_off()
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None, dpi=160)


if __name__ == "__main__":
    sys.exit(main())

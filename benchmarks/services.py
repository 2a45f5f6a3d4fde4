"""The services that are measured: this one, the usual ways, and the limits; and how each starts."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import venv
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RIVALS = ROOT / "benchmarks" / "rivals"
ENVIRONMENTS = ROOT / "benchmarks" / ".environments"
CUSTOMER = ROOT / "data" / "customer.json"
JSON = "application/json"

#: Seconds that a service may take to its first answer.
PATIENCE = 90

GUNICORN = ("-m", "gunicorn", "--bind", "127.0.0.1:{port}", "--workers", "2")
THREADED = (*GUNICORN, "--worker-class", "gthread", "--threads", "4", "--keep-alive", "75")
GRANIAN = (
    "-m", "granian", "--interface", "wsgi", "--workers", "2", "--no-ws", "--log-level", "warning",
    "--host", "127.0.0.1", "--port", "{port}", "--blocking-threads",
)  # fmt: skip
UVICORN = (
    "-m", "uvicorn", "--workers", "2", "--loop", "uvloop", "--http", "httptools",
    "--no-access-log", "--host", "127.0.0.1", "--port", "{port}",
)  # fmt: skip


class Skipped(Exception):
    """Why a service can't be measured here."""


@dataclass(frozen=True)
class Service:
    """A service, and what Python is told to start it.

    Rivals have the ``packages`` of ``rivals/requirements-….txt`` in an environment of their own.
    """

    name: str
    arguments: tuple[str, ...]
    packages: str = ""

    @property
    def ours(self) -> bool:
        """Whether it is the one that all this is about."""
        return not self.packages and self.name != NGINX

    @property
    def folder(self) -> Path:
        """Where it is started."""
        return ROOT if self.ours else RIVALS


NGINX = "nginx, a constant"
NAIVE = "naive Flask, gunicorn"

OURS_GUNICORN = Service("this service, gunicorn", (*GUNICORN, "predict:app"))
OURS_GRANIAN = Service("this service, granian", (*GRANIAN, "1", "predict:app"))
#: Where no proxy is in front: a client that stops in the middle of a body holds a thread.
OURS_GRANIAN_ALONE = Service("this service, granian, 80 threads", (*GRANIAN, "80", "predict:app"))
NAIVE_THREADED = Service(NAIVE, (*THREADED, "naive:app"), "flask")
#: As the course's Dockerfile has it, with one worker.
NAIVE_SYNC = Service(
    "naive Flask, gunicorn's one sync worker",
    ("-m", "gunicorn", "--bind=127.0.0.1:{port}", "naive:app"), "flask",
)  # fmt: skip

SERVICES = [
    OURS_GUNICORN,
    OURS_GRANIAN,
    OURS_GRANIAN_ALONE,
    NAIVE_THREADED,
    NAIVE_SYNC,
    # scikit-learn takes a fifth of the time for the plainest model there is
    Service(
        "naive Flask, plain logistic regression",
        (*THREADED, "--env", "PAIR=logistic.bin", "naive:app"), "flask",
    ),
    Service("naive FastAPI, uvicorn", (*UVICORN, "naive_fastapi:app"), "fastapi"),
    Service("LitServe", ("lit.py", "{port}"), "litserve"),
    Service(
        "BentoML", ("-m", "bentoml", "serve", "bento:Churn", "--host=127.0.0.1", "--port={port}"),
        "bentoml",
    ),
    Service("Flask, a constant, gunicorn", (*THREADED, "constant:flask_app"), "flask"),
    Service("Flask, a constant, granian", (*GRANIAN, "1", "constant:flask_app"), "flask"),
    Service("bare WSGI, a constant, gunicorn", (*THREADED, "constant:bare_app"), "flask"),
    Service("bare WSGI, a constant, granian", (*GRANIAN, "1", "constant:bare_app"), "flask"),
    Service(NGINX, ()),
]  # fmt: skip


@dataclass(frozen=True)
class Server:
    """A service that answers; ``start`` is how many seconds it took until it did."""

    pid: int
    port: int
    start: float

    @property
    def url(self) -> str:
        """Where it predicts."""
        return f"http://127.0.0.1:{self.port}/predict"


@contextmanager
def running(service: Service) -> Iterator[Server]:
    """Start a service, and stop it and all its processes in the end.

    :raises Skipped: it can't be had here, or doesn't answer.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command = _command(service, port, folder)
        started = time.monotonic()
        with (folder / "log").open("wb") as log:
            # no session of its own: Linux would give it half of the CPUs, and the load the other
            process = subprocess.Popen(
                command, cwd=service.folder, env=_variables(folder), process_group=0,
                stdout=subprocess.DEVNULL, stderr=log,
            )  # fmt: skip
        try:
            _first_answer(process, port, started, folder / "log")
            yield Server(process.pid, port, time.monotonic() - started)
        finally:
            _stop(process)


def answer(port: int, patience: float) -> object:
    """Return what is said of the customer.

    :raises OSError: nothing, within so many seconds.
    """
    url = f"http://127.0.0.1:{port}/predict"
    asked = urllib.request.Request(url, CUSTOMER.read_bytes(), {"Content-Type": JSON})
    with urllib.request.urlopen(asked, timeout=patience) as got:
        return json.load(got)


def python_of(packages: str) -> str:
    """Return the Python that has a rival's packages, in an environment made where there is none.

    :raises Skipped: they can't be installed.
    """
    wanted = (RIVALS / f"requirements-{packages}.txt").read_text("utf-8")
    folder = ENVIRONMENTS / packages
    python, made = folder / "bin" / "python", folder / "made-of.txt"
    if not (made.exists() and made.read_text("utf-8") == wanted):
        print(f"  installing {packages} into {folder.relative_to(ROOT)}", file=sys.stderr)
        venv.create(folder, clear=True, with_pip=True)
        install = [python, "-m", "pip", "install", "--quiet", "--requirement"]
        source = RIVALS / f"requirements-{packages}.txt"
        if subprocess.run([*install, source], stderr=subprocess.DEVNULL).returncode:
            raise Skipped(f"pip can't install rivals/{source.name}")
        made.write_text(wanted, "utf-8")
    return str(python)


def _command(service: Service, port: int, folder: Path) -> list[str]:
    if service.name == NGINX:
        return _nginx(port, folder)
    python = python_of(service.packages) if service.packages else sys.executable
    return [python, *(each.format(port=port) for each in service.arguments)]


def _nginx(port: int, folder: Path) -> list[str]:
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
    if program is None:
        raise Skipped("there is no nginx (Debian: apt-get install nginx-light)")
    config = (RIVALS / "nginx.conf").read_text("utf-8")
    (folder / "nginx.conf").write_text(
        config.replace("FOLDER", str(folder)).replace("PORT", str(port)), "utf-8"
    )
    return [program, "-e", "stderr", "-c", str(folder / "nginx.conf")]


def _variables(folder: Path) -> dict[str, str]:
    """Return an environment as small as a container's, and with what shares metrics.

    Nothing in it changes a service; and granian copies all of it in every request.
    """
    rest = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    own = {"CHURN_METRICS_DIR": str(folder / "metrics"), "BENTOML_HOME": str(folder / "bentoml")}
    return {**rest, **own, "BENTOML_DO_NOT_TRACK": "True"}


def _first_answer(process: subprocess.Popen[bytes], port: int, started: float, log: Path) -> None:
    while process.poll() is None and time.monotonic() - started < PATIENCE:
        try:
            answer(port, PATIENCE)
            return
        except (OSError, ValueError):  # not yet
            time.sleep(0.01)
    last = log.read_text("utf-8", "replace").strip().rpartition("\n")[2] or "and doesn't say why"
    raise Skipped(f"it doesn't answer: {last}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(15)
    with suppress(ProcessLookupError):  # LitServe leaves workers behind
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()

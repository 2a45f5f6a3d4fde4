"""The known customer, the shipped model, and the service around it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic

import hypothesis
import pytest

from churn.model import load
from churn.service import Service
from churn.settings import Settings
from churn.web.flask_app import create_app

# machines are shared and noisy: how long an example takes says nothing
hypothesis.settings.register_profile(
    "shared", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("shared")

ROOT = Path(__file__).parents[1]

CUSTOMER = {
    "gender": "female", "seniorcitizen": 0, "partner": "yes", "dependents": "no",
    "phoneservice": "no", "multiplelines": "no_phone_service", "internetservice": "dsl",
    "onlinesecurity": "no", "onlinebackup": "yes", "deviceprotection": "no", "techsupport": "no",
    "streamingtv": "no", "streamingmovies": "no", "contract": "month-to-month",
    "paperlessbilling": "yes", "paymentmethod": "electronic_check", "tenure": 1,
    "monthlycharges": 29.85, "totalcharges": 29.85,
}  # fmt: skip


@pytest.fixture
def customer():
    return dict(CUSTOMER)


@pytest.fixture(scope="session")
def model():
    return load(ROOT / "churn-model.bin")


@pytest.fixture(scope="session")
def service(model):
    return Service(model, Settings())


@pytest.fixture(scope="session")
def client(service):
    return create_app(service, Settings()).test_client()


class Server:
    """A real server process, listening on a port of its own choosing."""

    def __init__(self, command, listening=r"http://(?:localhost|127\.0\.0\.1):(\d+)", **environ):
        self.process = subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env={**os.environ, "PORT": "0", **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.log = []
        self._lines = SimpleQueue()
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()
        self.port = int(self.wait_for(listening).group(1))

    def _read(self):
        """Take in all that the server prints, so that it never waits for a reader."""
        with self.process.stdout:
            for line in self.process.stdout:
                self._lines.put(line)
        self._lines.put(None)

    def wait_for(self, pattern, seconds=30):
        """Return the first match in what the server prints, or fail with all that it printed."""
        until = monotonic() + seconds
        with suppress(Empty):
            while line := self._lines.get(timeout=max(0, until - monotonic())):
                self.log.append(line)
                if found := re.search(pattern, line):
                    return found
        self.process.kill()
        self.process.wait()
        raise AssertionError(f"never printed {pattern}: {''.join(self.log)}")

    def stop(self):
        """Stop it as a platform does; return its exit code and all that it printed."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=20)
        self._reader.join()
        self.log += iter(self._lines.get, None)
        return code, "".join(self.log)


SERVERS = {
    "gunicorn": ["-m", "gunicorn", "--bind", "127.0.0.1:0", "--workers", "2", "predict:app"],
    "waitress": ["predict.py", "--host", "127.0.0.1"],
    "flask run": ["-m", "flask", "--app", "predict", "run", "--port", "0"],
    "uvicorn": ["-m", "uvicorn", "predict_fastapi:app", "--port", "0", "--no-proxy-headers"],
    "predict_fastapi.py": ["predict_fastapi.py", "--host", "127.0.0.1"],
    "gunicorn, asgi": [
        "-m", "gunicorn", "--bind", "127.0.0.1:0", "--workers", "2", "-k", "asgi",
        "predict_fastapi:app",
    ],
}  # fmt: skip


@pytest.fixture(scope="module", params=SERVERS)
def server(request):
    started = Server(SERVERS[request.param])
    yield started
    started.stop()

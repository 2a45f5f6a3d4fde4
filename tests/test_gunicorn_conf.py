"""gunicorn's settings: workers follow what the container was granted."""

from __future__ import annotations

import gc
import json
import os
import runpy
import subprocess
import sys
import urllib.request

import pytest
from conftest import ROOT, Server


@pytest.fixture
def conf(monkeypatch):
    monkeypatch.setenv("CHURN_METRICS_DIR", "")  # so that what it sets is taken back

    def load(**environ):
        for name in ("PORT", "WEB_CONCURRENCY", "DYNO"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        return runpy.run_path(str(ROOT / "gunicorn.conf.py"))

    yield load
    gc.enable()  # which the settings leave to the workers


@pytest.mark.parametrize(
    ("cpus", "memory", "workers"),
    [
        (1, None, 1),
        (2, None, 2),
        (0.5, None, 1),
        (2.9, None, 2),
        (8, 256 * 2**20, 4),
        (8, 2**20, 1),
    ],
)
def test_workers_follow_cpus_as_far_as_memory_goes(conf, cpus, memory, workers):
    assert conf()["workers_for"](cpus, memory) == workers


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"cpu.max": "50000 100000"}, 0.5),
        ({"cpu.max": "max 100000"}, None),
        ({"cpu/cpu.cfs_quota_us": "25000", "cpu/cpu.cfs_period_us": "100000"}, 0.25),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ({}, None),
    ],
)
def test_a_container_gets_its_quota_and_not_the_hosts_processors(conf, tmp_path, files, quota):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    granted = conf()["granted_cpus"]
    assert granted(tmp_path) == (quota or granted(tmp_path / "nowhere"))


@pytest.mark.parametrize(("text", "memory"), [("268435456\n", 268435456), ("max\n", None)])
def test_memory_is_what_the_container_was_granted(conf, tmp_path, text, memory):
    (tmp_path / "memory.max").write_text(text)
    assert conf()["granted_memory"](tmp_path) == memory


@pytest.mark.parametrize(
    ("environ", "setting", "value"),
    [
        ({"WEB_CONCURRENCY": "7"}, "workers", 7),
        ({"PORT": "8000"}, "bind", "0.0.0.0:8000"),
        ({}, "bind", "0.0.0.0:9696"),
        ({}, "keepalive", 75),
        ({"DYNO": "web.1"}, "keepalive", 95),
        ({}, "control_socket_disable", True),
    ],
)
def test_the_platforms_variables_mean_what_they_mean_everywhere(conf, environ, setting, value):
    assert conf(**environ)[setting] == value


@pytest.mark.parametrize("workers", ["0", "-1", "two"])
def test_a_number_of_workers_that_would_never_answer_is_refused(conf, workers):
    with pytest.raises(SystemExit, match=f"WEB_CONCURRENCY is '{workers}'"):
        conf(WEB_CONCURRENCY=workers)


#: An application that tells how its worker collects garbage.
TELLING = """
import gc, json

def app(environ, start_response):
    start_response("200 OK", [])
    return [json.dumps([gc.isenabled(), gc.get_freeze_count()]).encode()]
"""


def test_a_worker_collects_its_own_garbage_and_not_what_all_share(tmp_path):
    (tmp_path / "telling.py").write_text(TELLING)
    where = ["--bind", "127.0.0.1:0", "--pythonpath", str(tmp_path)]
    server = Server(["-m", "gunicorn", *where, "telling:app"], WEB_CONCURRENCY="1")
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}", timeout=10) as answer:
        enabled, frozen = json.load(answer)
    server.stop()
    assert enabled
    assert frozen


def test_a_server_that_cannot_start_leaves_no_files(tmp_path):
    settings = tmp_path / "gunicorn.conf.py"
    text = (ROOT / "gunicorn.conf.py").read_text().replace("/dev/shm", str(tmp_path / "counts"))  # noqa: S108
    settings.write_text(text)
    (tmp_path / "counts").mkdir()
    command = ["-m", "gunicorn", "-c", str(settings), "--pythonpath", str(ROOT), "predict:app"]
    environ = {**os.environ, "CHURN_MODEL": "nowhere.bin"}
    ended = subprocess.run([sys.executable, *command], cwd=ROOT, env=environ, capture_output=True)
    assert b"no model at nowhere.bin" in ended.stderr
    assert not list((tmp_path / "counts").iterdir())

"""The benchmarks, all but the load: what they read, start, print and draw."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import CUSTOMER, ROOT
from proc import cpu_seconds, memory, tree
from servers import ALL, middle, report
from services import RIVALS, Service, Skipped, running
from wrk import understood

SAVED = ROOT / "benchmarks" / "servers.json"
on_linux = pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="reads /proc")


def test_the_readme_shows_the_run_that_is_saved():
    readme = (ROOT / "README.md").read_text("utf-8")
    assert "\n".join(report(json.loads(SAVED.read_text("utf-8")))) in readme


def test_the_saved_run_holds_every_service():
    saved = json.loads(SAVED.read_text("utf-8"))
    assert list(saved["services"]) == ALL


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_a_saved_run_can_be_drawn(tmp_path, kind):
    chart = tmp_path / f"chart.{kind}"
    said = bench("--from", SAVED, "--chart", chart)
    assert (said.returncode, said.stderr) == (0, "")
    assert 10_000 < chart.stat().st_size < 150_000


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "bench: this needs Linux, and wrk to make the load"),
        (["--from", "nowhere.json"], "bench: [Errno 2] No such file or directory: 'nowhere.json'"),
        (["--from", ROOT / "churn-model.json"], f"bench: {ROOT / 'churn-model.json'} is no run"),
    ],
)
def test_what_is_missing_is_said_in_a_line(options, said):
    missing = bench(*options, env={**os.environ, "PATH": ""})
    assert missing.returncode == 1
    assert missing.stderr.startswith(said)
    assert missing.stderr.count("\n") == 1


def test_a_service_that_does_not_start_is_skipped_with_its_reason():
    broken = Service("broken", ("-c", "raise SystemExit('no such thing')"))
    with pytest.raises(Skipped, match="it doesn't answer: no such thing"), running(broken):
        pass


@on_linux
def test_proc_tells_of_all_processes_of_a_server():
    program = (
        "import os, sys; os.fork(); sum(range(3_000_000)); print(flush=True); sys.stdin.read()"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", program], **pipes) as parent:
        for _ in range(2):
            parent.stdout.readline()
        found = tree(parent.pid)
        assert len(found) == 2
        assert all(0 < memory(pid) < 100 for pid in found)
        assert 0 < sum(map(cpu_seconds, found)) < 60


def test_what_wrk_says_is_understood():
    load = understood("[3000, 1500000, 2500, 9000, 1, 2]", spent=0.6)
    assert (load.per_second, load.p50, load.p99, load.cpu) == (2000, 2.5, 9, pytest.approx(200))
    assert (load.refused, load.broken) == (1, 2)


def test_rounds_come_down_to_their_medians():
    rounds = [{"loads": {"16": {"p99": value}}, "start": value} for value in (3, 1, 2)]
    assert middle(rounds) == {"loads": {"16": {"p99": 2}}, "start": 2}


@pytest.mark.parametrize("name", ["flask", "fastapi", "litserve", "bentoml", "onnx"])
def test_a_rival_has_the_libraries_that_the_model_was_trained_with(name):
    wanted = RIVALS / f"requirements-{name}.txt"
    libraries = json.loads((ROOT / "churn-model.json").read_bytes())["libraries"]
    lines = wanted.read_text("utf-8").split()
    assert {f"{name}=={libraries[name]}" for name in ("scikit-learn", "numpy", "scipy")} < {*lines}
    assert all("==" in line for line in lines)


@pytest.mark.parametrize(("rival", "app"), [("naive", "app"), ("constant", "flask_app")])
def test_rivals_answer_what_the_service_answers(client, rival, app):
    theirs = runpy.run_path(str(RIVALS / f"{rival}.py"))[app].test_client()
    ours = client.post("/predict", json=CUSTOMER).json
    assert theirs.post("/predict", json=CUSTOMER).json == pytest.approx(ours, abs=1e-12)


def bench(*options, **more):
    command = [sys.executable, ROOT / "benchmarks" / "servers.py", *options]
    return subprocess.run(command, capture_output=True, encoding="utf-8", check=False, **more)

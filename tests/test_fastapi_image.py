"""The FastAPI edition's image, built by uv and run by a real engine."""

import json
import re

import pytest
from engine import ROOT, built, docker, logs, needs_engine, running, until

pytestmark = needs_engine

DOCKERFILE = f"--file={ROOT / 'Dockerfile.fastapi'}"


@pytest.fixture(scope="module")
def image():
    with built("churn-serving-fastapi:test", DOCKERFILE) as tag:
        yield tag


@pytest.fixture(scope="module")
def container(image):
    with running(image, "--memory=256m", "--cpus=1") as running_container:
        yield running_container


def of(image, *command):
    """Return what a command printed in a container of its own."""
    return docker("run", "--rm", "--entrypoint", command[0], image, *command[1:])


def test_it_is_small(image):
    assert int(docker("image", "inspect", "--format", "{{.Size}}", image)) < 220_000_000


def test_it_holds_the_locked_packages_of_both_editions_and_no_others(image):
    listing = "from importlib.metadata import distributions as d; print(*{x.name for x in d()})"
    held = {
        re.sub(r"[-_.]+", "-", name).lower() for name in of(image, "python", "-c", listing).split()
    }
    locked = json.loads((ROOT / "Pipfile.lock").read_text())
    assert held == set(locked["default"]) | set(locked["fastapi"])


@pytest.mark.parametrize("program", ["pip", "uv", "pipenv", "gcc", "git", "curl"])
def test_what_a_service_does_not_need_is_not_there(image, program):
    assert of(image, "sh", "-c", f"command -v {program} || echo absent") == "absent"


def test_it_holds_the_service_and_nothing_else_of_the_checkout(image):
    held = of(image, "sh", "-c", "cd /app && find . -not -path '*__pycache__*' -type f").split()
    others = {name for name in held if not name.startswith("./churn/")}
    files = {"predict_fastapi.py", "churn-model.bin", "churn-model.json"}
    assert others == {f"./{name}" for name in files}
    assert not {name for name in held if "doctor" in name or "training" in name}


def test_no_cache_is_left_behind(image):
    places = "/root/.cache /root/.local /tmp /build /uv"
    assert of(image, "sh", "-c", f"find {places} -type f 2>/dev/null | head -3; true") == ""


def test_nothing_in_it_can_be_changed_by_its_user(image):
    assert of(image, "sh", "-c", "find /app /opt/venv -writable ! -type l | head -3") == ""


def test_it_answers_with_a_read_only_root_a_quarter_gigabyte_and_one_processor(container):
    status, body = container.predict()
    assert status == 200
    assert json.loads(body)["churn"] is True
    assert container.predict({"contract": "forever"})[0] == 422


def test_it_is_nobody_in_particular(container):
    assert container.inside("id", "-u") == "10001"


def test_it_needs_less_than_a_hundred_megabytes(container):
    for _ in range(200):
        container.predict()
    used = docker("stats", "--no-stream", "--format", "{{.MemUsage}}", container.name)
    assert float(used.partition("MiB")[0]) < 100


def test_port_moves_the_service_and_its_health_check(image):
    with running(image, "--env=PORT=8080", "--health-interval=1s", port=8080) as container:
        until(lambda: container.inspect("{{.State.Health.Status}}") == "healthy", container.logs)


def test_without_a_model_it_says_so_and_stops(image):
    name = docker("run", "--detach", "--env=CHURN_MODEL=/nowhere.bin", image)
    try:
        assert docker("wait", name) == "1"
        assert "no model at /nowhere.bin" in logs(name)
    finally:
        docker("rm", "--force", name)


def test_docker_stop_is_obeyed_at_once_and_ends_well(image):
    with running(image) as container:
        docker("stop", "--time", "10", container.name)
        assert container.inspect("{{.State.ExitCode}}") == "0"  # killed, it would be 137

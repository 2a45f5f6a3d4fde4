"""The image, built and run by a real engine, and looked at from outside."""

import json
import re

import pytest
from engine import ROOT, built, docker, logs, needs_engine, running, until

pytestmark = needs_engine

MEGABYTE = 10**6


@pytest.fixture(scope="module")
def image():
    with built("churn-serving:test") as tag:
        yield tag


@pytest.fixture(scope="module")
def container(image):
    with running(image, "--memory=256m", "--cpus=1") as running_container:
        yield running_container


def of(image, *command):
    """Return what a command printed in a container of its own."""
    return docker("run", "--rm", "--entrypoint", command[0], image, *command[1:])


def test_it_is_small(image):
    assert int(docker("image", "inspect", "--format", "{{.Size}}", image)) < 200 * MEGABYTE


def test_it_holds_the_locked_serving_packages_and_no_others(image):
    listing = "from importlib.metadata import distributions as d; print(*{x.name for x in d()})"
    held = {
        re.sub(r"[-_.]+", "-", name).lower() for name in of(image, "python", "-c", listing).split()
    }
    locked = json.loads((ROOT / "Pipfile.lock").read_text())["default"]
    assert {name for name in locked if "win32" not in locked[name].get("markers", "")} <= held
    assert held <= set(locked)


@pytest.mark.parametrize("program", ["pip", "pip3", "pipenv", "gcc", "cc", "make", "git", "curl"])
def test_what_a_service_does_not_need_is_not_there(image, program):
    assert of(image, "sh", "-c", f"command -v {program} || echo absent") == "absent"


def test_it_holds_the_service_and_nothing_else_of_the_checkout(image):
    held = of(image, "sh", "-c", "cd /app && find . -not -path '*__pycache__*' -type f").split()
    others = {name for name in held if not name.startswith("./churn/")}
    files = {"predict.py", "gunicorn.conf.py", "churn-model.bin", "churn-model.json"}
    assert others == {f"./{name}" for name in files}
    assert not {name for name in held if "doctor" in name or "training" in name}


def test_no_cache_is_left_behind(image):
    places = "/root/.cache /root/.local /tmp /build /pipenv"
    assert of(image, "sh", "-c", f"find {places} -type f 2>/dev/null | head -3; true") == ""


def test_nothing_in_it_can_be_changed_by_its_user(image):
    assert of(image, "sh", "-c", "find /app /opt/venv -writable ! -type l | head -3") == ""


def test_it_says_what_it_is(image):
    config = json.loads(docker("image", "inspect", "--format", "{{json .Config}}", image))
    assert config["User"] == "10001:10001"
    assert config["Entrypoint"] == ["gunicorn", "predict:app"]
    assert list(config["ExposedPorts"]) == ["9696/tcp"]
    assert config["Labels"]["org.opencontainers.image.title"] == "churn-serving"
    assert config["Healthcheck"]["Test"][0] == "CMD"  # no shell that would swallow signals


def test_its_python_is_the_one_that_the_checkout_names(image):
    named = (ROOT / ".python-version").read_text().strip()
    assert of(image, "python", "--version").startswith(f"Python {named}.")


def test_it_answers_with_a_read_only_root_a_quarter_gigabyte_and_one_processor(container):
    status, body = container.predict()
    assert status == 200
    assert set(json.loads(body)) == {"churn_probability", "churn"}


def test_it_refuses_as_it_does_everywhere(container):
    status, body = container.predict({"contract": "forever"})
    assert status == 422
    assert b"forever" in body


def test_it_is_nobody_in_particular(container):
    assert container.inside("id", "-u") == "10001"


def test_it_imports_nothing_of_the_training(container):
    maps = container.inside("sh", "-c", "cat /proc/[0-9]*/maps 2>/dev/null")
    assert "site-packages" in maps
    assert not re.search(r"numpy|scipy|sklearn|pandas", maps)


def test_two_workers_need_less_than_a_hundred_megabytes(image):
    with running(image, "--env=WEB_CONCURRENCY=2", "--memory=256m") as container:
        for _ in range(200):
            container.predict()
        assert workers(container) == 2
        used = docker("stats", "--no-stream", "--format", "{{.MemUsage}}", container.name)
        assert float(used.partition("MiB")[0]) < 100


@pytest.mark.parametrize(("options", "expected"), [
    (["--cpus=1"], 1),
    (["--cpus=0.5"], 1),
    (["--cpus=1", "--env=WEB_CONCURRENCY=3"], 3),
])  # fmt: skip
def test_workers_follow_the_processor_quota_unless_told(image, options, expected):
    with running(image, *options) as container:
        until(lambda: workers(container) == expected, container.logs)


def workers(container):
    """Return how many processes there are beside gunicorn's first."""
    return len(docker("top", container.name, "-eo", "pid").splitlines()) - 2


def test_the_engine_sees_that_it_is_healthy(image):
    with running(image, "--health-interval=1s") as container:
        until(lambda: container.inspect("{{.State.Health.Status}}") == "healthy", container.logs)


def test_port_moves_the_service_and_its_health_check(image):
    with running(image, "--env=PORT=8080", "--health-interval=1s", port=8080) as container:
        until(lambda: container.inspect("{{.State.Health.Status}}") == "healthy", container.logs)


@pytest.mark.parametrize("user", ["4321:4321", "10001:0"])
def test_any_user_will_do(image, user):
    with running(image, f"--user={user}") as container:
        assert container.predict()[0] == 200


def test_a_model_can_be_mounted_from_outside(image, tmp_path):
    for suffix in ("bin", "json"):
        (tmp_path / f"other.{suffix}").write_bytes((ROOT / f"churn-model.{suffix}").read_bytes())
    mounted = [f"--volume={tmp_path}:/models:ro", "--env=CHURN_MODEL=/models/other.bin"]
    tmp_path.chmod(0o755)
    with running(image, *mounted) as container:
        assert container.predict()[0] == 200


def test_without_a_model_it_says_so_and_stops(image):
    name = docker("run", "--detach", "--env=CHURN_MODEL=/nowhere.bin", image)
    try:
        assert docker("wait", name) not in {"0", "137"}
        assert "no model at /nowhere.bin" in logs(name)
    finally:
        docker("rm", "--force", name)


def test_it_writes_its_log_to_the_engine(container):
    assert "Listening at: http://0.0.0.0:9696" in container.logs()


def test_docker_stop_is_obeyed_at_once_and_ends_well(image):
    with running(image) as container:
        docker("stop", "--time", "10", container.name)
        assert container.inspect("{{.State.ExitCode}}") == "0"  # killed, it would be 137


def test_code_of_its_own_makes_no_new_layer_of_packages(image):
    history = docker("history", "--no-trunc", "--format", "{{.CreatedBy}}", image).splitlines()
    packages = next(i for i, line in enumerate(history) if "/opt/venv" in line and "COPY" in line)
    code = next(i for i, line in enumerate(history) if "/app/churn" in line or "in churn" in line)
    assert code < packages  # newest first

"""Fly.io: what fly.toml says, and that its image keeps the promises of the first."""

from __future__ import annotations

import re
import tomllib

import pytest
from conftest import ROOT

from churn.settings import PORT, Settings
from churn.web import uvicorn_server

FLY = tomllib.loads((ROOT / "fly.toml").read_text(encoding="utf-8"))
SERVICE = FLY["http_service"]
FIRST, SECOND = (
    (ROOT / name).read_text(encoding="utf-8") for name in ("Dockerfile", "Dockerfile.fastapi")
)

#: The keys that Fly.io's reference knows, of those a service like this one may need. Fly.io takes
#: another for nothing and says nothing, which is how a slip goes unseen.
KNOWN = {
    "": {
        "app", "primary_region", "kill_signal", "kill_timeout", "build", "env", "http_service",
        "vm", "metrics", "deploy",
    },
    "build": {"dockerfile"},
    "http_service": {
        "internal_port", "force_https", "auto_stop_machines", "auto_start_machines",
        "min_machines_running", "concurrency", "checks", "http_options",
    },
    "http_service.concurrency": {"type", "soft_limit", "hard_limit"},
    "http_service.checks": {"method", "path", "grace_period", "interval", "timeout", "headers"},
    "vm": {"size", "memory", "cpus"},
    "metrics": {"port", "path"},
    "deploy": {"strategy"},
}  # fmt: skip


def seconds(text):
    return int(re.fullmatch(r"(\d+)s", text).group(1))


def tables(told, name=""):
    """Return each table with its dotted name, those in lists of tables too."""
    yield name, told
    for key, value in told.items():
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, dict):
                yield from tables(each, f"{name}.{key}".removeprefix("."))


@pytest.mark.parametrize("name", sorted({name for name, _ in tables(FLY)} - {"env"}))
def test_every_key_is_one_that_fly_knows(name):
    assert {key for other, told in tables(FLY) if other == name for key in told} <= KNOWN[name]


def test_its_app_name_is_one_that_fly_takes():
    assert re.fullmatch(r"[a-z0-9-]+", FLY["app"])
    assert re.fullmatch(r"[a-z]{3}", FLY["primary_region"])


def test_it_sends_requests_where_the_service_listens():
    assert SERVICE["internal_port"] == FLY["metrics"][0]["port"] == PORT
    assert "PORT" not in FLY["env"]
    assert f"\nEXPOSE {PORT}\n" in SECOND


def test_it_asks_whether_a_machine_is_ready(client):
    (check,) = SERVICE["checks"]
    assert client.open(check["path"], method=check["method"]).status_code == 200
    assert check["path"] == "/ready"
    assert seconds(check["timeout"]) < seconds(check["interval"])


def test_it_reads_the_counts(client):
    assert "churn_requests_total" in client.get(FLY["metrics"][0]["path"]).text


def test_it_scales_to_nothing_and_back():
    # the boolean of older files is still taken, and means "stop"
    assert SERVICE["auto_stop_machines"] in {"stop", "suspend"}
    assert (SERVICE["auto_start_machines"], SERVICE["min_machines_running"]) == (True, 0)


def test_it_counts_requests_and_lets_machines_multiply_before_it_refuses():
    concurrency = SERVICE["concurrency"]
    assert concurrency["type"] == "requests"
    assert 0 < concurrency["soft_limit"] < concurrency["hard_limit"]


def test_what_is_at_work_may_end_before_a_machine_is_killed():
    assert FLY["kill_signal"] == "SIGTERM"  # Fly.io's own is SIGINT
    assert seconds(FLY["kill_timeout"]) > uvicorn_server.GRACE


def test_https_and_one_machine_after_the_other():
    assert SERVICE["force_https"] is True
    assert FLY["deploy"]["strategy"] == "rolling"


def test_its_settings_are_settings():
    assert Settings.from_env(FLY["env"], ROOT).trusted_proxies == 1


def test_it_builds_the_second_image():
    assert (ROOT / FLY["build"]["dockerfile"]).is_file()


def lines(dockerfile, *names):
    return [line for line in dockerfile.splitlines() if line.split(" ")[0] in names]


@pytest.mark.parametrize("promise", ["FROM", "USER", "EXPOSE", "HEALTHCHECK", "WORKDIR"])
def test_both_images_promise_the_same(promise):
    assert lines(FIRST, promise) == lines(SECOND, promise)


def test_it_needs_no_buildkit():
    assert not re.search(r"--(mount|chmod|link|platform)|<<", SECOND)
    assert not any("$" in line for line in lines(SECOND, "FROM", "EXPOSE"))


def test_its_last_stage_has_no_uv():
    assert not re.search(r"\buv\b", SECOND.rpartition("\nFROM ")[2].split("ENTRYPOINT")[0])


@pytest.mark.parametrize("file", sorted(re.findall(r"^COPY ([^-].*) \S+$", SECOND, re.MULTILINE)))
def test_what_it_copies_is_let_through_to_the_engine(file):
    let_through = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert all(f"!{name}" in let_through for name in file.split() if "[" not in name)

"""A container engine, whichever DOCKER_HOST names, and the few things the tests ask of it."""

import http.client
import json
import os
import shutil
import socket
import subprocess
import time
from contextlib import closing, contextmanager
from subprocess import PIPE, STDOUT

import pytest
from conftest import CUSTOMER, ROOT

#: Seconds until a test gives up on something that should happen at once.
PATIENCE = 30

needs_engine = [
    pytest.mark.engine,
    pytest.mark.skipif(
        not (os.environ.get("DOCKER_HOST") and shutil.which("docker")),
        reason="needs docker on the PATH and DOCKER_HOST naming a running engine",
    ),
]


def docker(*arguments, check=True):
    """Return what `docker …` printed."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0 or not check, (
        f"docker {' '.join(arguments)}\n{done.stdout}{done.stderr}"
    )
    return done.stdout.strip()


@contextmanager
def built(tag, *options):
    """Build the checkout's image; its name goes afterwards, its layers stay for the next build."""
    docker("build", "--tag", tag, *options, str(ROOT))
    try:
        yield tag
    finally:
        docker("rmi", "--force", "--no-prune", tag)


@contextmanager
def running(image, *options, port=9696):
    """Run a container as a careful operator would; yield it answering. It is gone afterwards."""
    careful = [
        "--read-only",
        "--tmpfs",
        "/tmp",  # noqa: S108
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
    ]
    name = docker("run", "--detach", *careful, "--publish", f"127.0.0.1::{port}", *options, image)
    try:
        container = Container(name, port)
        until(lambda: container.get("/ready")[0] == 200, container.logs)
        yield container
    finally:
        docker("rm", "--force", "--volumes", name)


class Container:
    """A running container of the service."""

    def __init__(self, name, port):
        self.name = name
        self.port = int(docker("port", name, str(port)).splitlines()[0].rpartition(":")[2])

    def get(self, path):
        """Return status and body."""
        return ask(self.port, "GET", path)

    def predict(self, customer=CUSTOMER):
        """Return status and body."""
        return ask(self.port, "POST", "/predict", json.dumps(customer))

    def inspect(self, template):
        """Return what the engine knows of it."""
        return docker("inspect", "--format", template, self.name)

    def logs(self):
        """Return what the service wrote."""
        return logs(self.name)

    def inside(self, *command):
        """Return what a command printed in the container."""
        return docker("exec", self.name, *command)


def logs(name):
    """Return what a container wrote, on both its streams."""
    command = ["docker", "logs", name]
    return subprocess.run(command, stdout=PIPE, stderr=STDOUT, text=True, check=True).stdout


def ask(port, method, path, body=None, **headers):
    """Return status and body of one request, on its own connection; 0 where nobody listens."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as connection:
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (ConnectionError, http.client.HTTPException, TimeoutError):
            return 0, b""


def free_port():
    """Return a port of this machine that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(happened, told=lambda: ""):
    """Wait until ``happened()`` is true; after PATIENCE fail, with what ``told()`` says."""
    deadline = time.monotonic() + PATIENCE
    while not (answer := happened()):
        assert time.monotonic() < deadline, f"waited {PATIENCE} s for it\n{told()}"
        time.sleep(0.05)
    return answer

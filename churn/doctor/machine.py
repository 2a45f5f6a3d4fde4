"""The machine in front of you: what the README's commands need, and commonly lack."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import socket
import sys
from pathlib import Path

from churn.doctor import packages
from churn.doctor.findings import Finding
from churn.doctor.project import Project
from churn.settings import PORT


def python_is_new_enough(project: Project) -> list[Finding]:
    """Older ones fail somewhere in the middle of an installation."""
    oldest = packages.oldest_python(project)
    if not oldest or sys.version_info >= oldest:
        return []
    wanted = ".".join(map(str, oldest))
    what = f"this is Python {platform.python_version()}, and {wanted} or newer is needed"
    return [Finding(what, sys.executable, "install a newer Python, and run it by its name")]


def pipenv_is_there(project: Project) -> list[Finding]:
    """Not found is as often not on the PATH."""
    if shutil.which("pipenv") or list(project.root.glob(".tools/*/pipenv*")):
        return []
    if importlib.util.find_spec("pipenv"):
        what = "pipenv is installed, but not on the PATH"
        cure = "python -m pipenv …  # wherever the README says pipenv"
        return [Finding(what, "this machine", cure, serious=False)]
    cure = "python3 -m venv .tools && .tools/bin/python -m pip install pipenv"
    return [Finding("pipenv is missing", "this machine", cure, serious=False)]


def docker_runs(project: Project) -> list[Finding]:
    """`docker build` and `eb local run` need it; Elastic Beanstalk builds on its own machines."""
    asked = project.run("docker", "info", "--format", "{{.ServerVersion}}")
    if asked.returncode == 127:
        return [
            Finding(
                "docker is missing", "this machine", "https://docs.docker.com/get-docker/", False
            )
        ]
    if asked.returncode:
        said = (asked.stderr.strip() or asked.stdout.strip() or "no answer").splitlines()[0]
        cure = (
            "start Docker Desktop"
            if platform.system() in {"Darwin", "Windows"}
            else "sudo systemctl start docker"
        )
        return [Finding(f"docker does not run: {said}", "this machine", cure, serious=False)]
    return []


def eb_is_there(project: Project) -> list[Finding]:
    """The EB CLI comes with the development packages."""
    if shutil.which("eb") or Path(sys.executable).with_name("eb").exists():
        return []
    return [
        Finding(
            "the EB CLI is missing",
            "this machine",
            "pipenv sync --all  # then: pipenv run eb …",
            False,
        )
    ]


def port_is_free(project: Project) -> list[Finding]:
    """Two services can't have one port."""
    text = os.environ.get("PORT") or str(PORT)
    if not text.isdigit() or not 0 < int(text) < 65_536:
        return [
            Finding(
                f"PORT is {text!r}, which is no port", "this machine", f"export PORT={PORT}", False
            )
        ]
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", int(text)))
        except OSError:
            what = f"port {text} is taken, perhaps by this very service in another window"
            cure = f"lsof -i :{text}  # who it is; or: PORT={int(text) + 1} pipenv run serve"
            return [Finding(what, "this machine", cure, serious=False)]
    return []

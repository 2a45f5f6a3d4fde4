"""A PostgreSQL server of the tests' own, on a socket in a folder."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

import psycopg
import pytest

#: PostgreSQL serves no root: then it runs as this one.
USER = "nobody"


def programs():
    """Return the folder of the server's programs."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    on_path = shutil.which("initdb")
    if not found and on_path is None:
        pytest.skip("there is no PostgreSQL server here (Debian's package postgresql)")
    return found[-1] if found else Path(on_path).parent


@contextmanager
def serving(folder):
    """Yield the URL of an empty database."""
    here = programs()
    person = {"user": USER, "group": "nogroup"} if os.getuid() == 0 else {}
    if person:
        shutil.chown(folder, **person)
        for parent in folder.parents:
            if parent.stat().st_uid == 0 and parent != Path("/"):
                parent.chmod(parent.stat().st_mode | 0o011)
    data = folder / "data"
    make = [here / "initdb", "-D", data, "-U", "tester", "--auth", "trust", "-E", "UTF8",
            "--locale", "C.UTF-8"]  # fmt: skip
    subprocess.run(make, check=True, capture_output=True, cwd=folder, **person)
    run = [
        here / "postgres",
        "-D",
        data,
        "-k",
        folder,
        "-c",
        "listen_addresses=",
        "-c",
        "fsync=off",
    ]
    server = subprocess.Popen(run, cwd=folder, stderr=subprocess.DEVNULL, **person)
    url = f"postgresql://tester@/postgres?host={folder}"
    try:
        until = monotonic() + 30
        while True:
            try:
                psycopg.connect(url).close()
                break
            except psycopg.OperationalError:
                assert server.poll() is None, "PostgreSQL stopped"
                assert monotonic() < until, "PostgreSQL never answered"
        yield url
    finally:
        server.terminate()
        server.wait(timeout=30)

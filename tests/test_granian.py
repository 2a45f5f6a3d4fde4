"""granian, another server for the same application: the README's command, as it stands."""

from __future__ import annotations

import json
import re
import socket
import sys
from contextlib import ExitStack

import pytest
from conftest import CUSTOMER, ROOT, Server
from test_predict import fetch

pytest.importorskip("granian")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="its README line is for POSIX")
BODY = json.dumps(CUSTOMER).encode()


@pytest.fixture
def server(tmp_path):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    words = re.search(r"^pipenv run granian (.*)$", readme, re.MULTILINE).group(1)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = re.sub(r"\b0[.]0[.]0[.]0\b", "127.0.0.1", words).replace("9696", str(port)).split()
    command = ["-m", "granian", *words]
    started = Server(command, CHURN_METRICS_DIR=str(tmp_path / "counts"))
    until_ready(started)
    yield started
    assert started.stop()[0] == 0


def until_ready(server):
    """Wait until both workers listen."""
    for _ in range(2):
        server.wait_for("Started worker-[12]( |$)")


def test_it_gives_the_services_answers(server):
    assert fetch(server, "/predict", BODY)[1].startswith(b'{"churn_probability": 0.716172177')
    assert fetch(server, "/predict", b"{}")[0] == 422
    assert fetch(server, "/ready")[0] == 200


def test_its_workers_add_up_what_they_count(server):
    for _ in range(40):
        fetch(server, "/predict", BODY)
    told = fetch(server, "/metrics")[1].decode()
    assert 'churn_requests_total{method="POST",route="/predict",status="200"} 40.0' in told


def test_clients_that_stop_in_a_body_keep_nobody_from_an_answer(server):
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(BODY)
    with ExitStack() as held:
        for said in (b"", head[:40], head + BODY[:9]):
            for _ in range(32):
                caller = held.enter_context(socket.create_connection(("127.0.0.1", server.port)))
                caller.sendall(said)
        answers = [fetch(server, "/predict", BODY)[0] for _ in range(20)]
    assert answers == [200] * 20
